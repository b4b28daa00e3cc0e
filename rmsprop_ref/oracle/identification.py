"""Which rule a trajectory, or a black box, computes: its formulas and its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rmsprop_ref.adapters import Broken
from rmsprop_ref.oracle.answers import Identification, brief
from rmsprop_ref.oracle.enclosures import format_name
from rmsprop_ref.oracle.examining import (
    Examined,
    evidence_of,
    explained,
    hull,
    imprecision,
    part_of,
)
from rmsprop_ref.oracle.explaining import Explanation, ranges, small_steps, weigh
from rmsprop_ref.oracle.fitting import Evidence
from rmsprop_ref.oracle.probes import probe
from rmsprop_ref.oracle.recording import Recording
from rmsprop_ref.oracle.running import Run
from rmsprop_ref.oracle.statements import answer, runners, title, words
from rmsprop_ref.rule import Rule


def identify(
    source: Recording | Run,
    *,
    dtype: Any = None,
    timeout: float = 10.0,
    **given: Any,
) -> Identification:
    """Which rule a recording, or a black box, computes, and with which numbers.

    Parameters
    ----------
    source : Recording or callable
        A trajectory that exists already; or ``run(theta0, grads) -> trajectory``, as for ``check``,
        which is probed with gradients that are made for it.
    dtype : str or dtype, optional
        In which format a black box is probed: by default float64 if it takes that, else float32.
    timeout : float
        Seconds that one call of a black box may take.
    **given
        Fields of Rule that are known: ``lr=0.01``, or ``lr=[0.1, 0.05, …]``, ``beta=0.9``,
        ``centered=False``. What is left out is found.

    Raises
    ------
    TypeError, ValueError
        For a source that is neither, and for names or values that no Rule has.

    Examples
    --------
    >>> import numpy as np
    >>> from rmsprop_ref import Rule, init, step
    >>> rng, theta, rule = np.random.default_rng(0), np.ones(4), Rule(lr=0.02, beta=0.95)
    >>> grads, rows, state = rng.normal(size=(20, 4)), [], init(theta, rule)
    >>> for grad in grads:
    ...     theta, state = step(theta, grad, state, rule)
    ...     rows.append(theta)
    >>> answer = identify(Recording(np.ones(4), grads, rows))
    >>> answer.rule.lr, answer.rule.beta
    (0.02, 0.95)
    """
    known = _checked(given)
    if isinstance(source, Recording):
        with np.errstate(all="ignore"):  # a hypothesis may give anything
            return _identified(source, known)
    if not callable(source):
        raise TypeError(
            f"identify takes a Recording or a callable run(theta0, grads), not {source!r}"
        )

    try:
        recording = probe(source, None if dtype is None else format_name(dtype), timeout)
    except Broken as error:
        return Identification("", None, {}, (), "broken", f"broken: {error}", str(dtype or ""))
    with np.errstate(all="ignore"):
        return _identified(recording, known)


def _checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The given fields, as a Rule has them."""
    company = {"nesterov": {"momentum": 0.5}}
    return {
        name: getattr(Rule(**(company.get(name, {}) | {name: value})), name)
        for name, value in given.items()
    }


def _identified(recording: Recording, known: Mapping[str, Any]) -> Identification:
    """The answer for a recording."""
    common: dict[str, Any] = {"dtype": recording.dtype, "shape": recording.grads.shape}
    if (recording.trajectory == recording.theta0).all():
        moving = (np.nan_to_num(recording.grads) != 0).any()
        why = "though there are gradients" if moving else "and all gradients are zero"
        said = f"none: θ never moves, {why}"
        return Identification("", None, {}, (), "none", said, **common)
    part = part_of(recording)
    evidence, found = explained(part, known)
    best = found.fitting[0]
    if best.worst <= 1 and part is not recording and evidence.rates != "free":
        whole = evidence_of(recording, known, evidence.rates)
        fitting = []
        for one in found.fitting[:8]:
            again = weigh(one.form, one.numbers, whole, recording.dtype)
            if again.worst <= 1:
                spans = hull(one.ranges, {k: (x, x) for k, x in again.numbers.items()})
                fitting.append(replace(again, ranges=spans))
        if not fitting:
            said = f"none: {title(best, evidence)}, explains a part of it, but not the whole"
            return Identification("", None, {}, (), "none", said, **common)
        found = found._replace(fitting=fitting)
    if best.worst <= 1:
        # A round rule in worse arithmetic is likelier than a legal one with long numbers.
        long = best.digits > 8 and evidence.rates != "free"
        other = _imprecise(found.fitting[:1], recording, known, evidence, found) if long else None
        return other or answer(recording, known, evidence, found, common)
    if contradiction := _contradiction(recording, known):
        return contradiction
    if other := _imprecise(found.fitting[:4], recording, known, evidence, found):
        return other
    said = (
        f"none of the rules and optimisers known here; the nearest, "
        f"{words(best.form, best.numbers)}, is {best.worst:.2g} times the allowed error off"
    )
    near = runners(found, evidence)
    return Identification("", None, {}, (), "none", said, runners_up=near, **common)


def _imprecise(
    some: Sequence[Explanation],
    recording: Recording,
    known: Mapping[str, Any],
    evidence: Evidence,
    found: Examined,
) -> Identification | None:
    """The answer that one of ``some`` is computed in worse arithmetic than a legal one."""
    common: dict[str, Any] = {"dtype": recording.dtype, "shape": recording.grads.shape}
    for one in some:
        if fault := imprecision(one, evidence, recording.dtype):
            said, numbers = fault
            exact = replace(one, numbers=numbers)
            if one.worst <= 1 and exact.digits > one.digits - 6:
                continue
            spans = ranges(one, evidence, small_steps(one.form, one.numbers, evidence))
            exact = replace(exact, ranges=hull(spans, {k: (x, x) for k, x in numbers.items()}))
            made = answer(recording, known, evidence, found._replace(fitting=[exact]), common)
            said = f"{title(exact, evidence)}, in imprecise arithmetic: {said}"
            return replace(made, verdict="imprecise", sentence=said)
    return None


def _contradiction(recording: Recording, known: Mapping[str, Any]) -> Identification | None:
    """What a recording says that contradicts what is given; None if it is not that."""
    for name in known:
        others = {k: v for k, v in known.items() if k != name}
        found = _identified(recording, others)
        if found.verdict not in ("identified", "imprecise") or "contradicts" in found.sentence:
            continue
        says = found.numbers.get(name)
        if says is None and found.rule is not None:
            says = getattr(found.rule, name)
        said = f"{name}={brief(known[name])} contradicts the recording"
        if says is not None:
            said += f", which says {brief(says)}"
        return replace(found, verdict="contradicted", sentence=f"{said}: it is {found.sentence}")
    return None
