"""Which rule a trajectory, or a black box, computes: its formulas and its numbers."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.adapters import Broken, Unsupported
from rmsprop_ref.constant import FORMATS
from rmsprop_ref.oracle.enclosures import format_name
from rmsprop_ref.oracle.explaining import Explanation, feedforward, ranges, small_steps, weigh
from rmsprop_ref.oracle.faults import _imprecise as imprecise
from rmsprop_ref.oracle.fitting import NAMES, Evidence
from rmsprop_ref.oracle.hypotheses import ABOUT, Found, includes, search
from rmsprop_ref.oracle.recording import Recording
from rmsprop_ref.oracle.report import _speakable, short
from rmsprop_ref.oracle.running import Run
from rmsprop_ref.rule import Rule

# What would show a field of Rule that a recording leaves open.
_WANTED = {
    "lr": "more steps, with gradients of different sizes",
    "beta": "gradients whose size changes from step to step",
    "eps": "gradients about as small as ε, or zero",
    "v0": "the first steps of a run, with gradients about as small as √v0",
    "bias_correction": "the first steps of a run, several of them",
    "centered": "gradients of one sign for some steps",
    "momentum": "a gradient of zero, or a much smaller one, after others",
    "lr_in_buffer": "a learning rate that changes between steps, given as lr=[…]",
    "weight_decay": "large parameters with small gradients",
    "weight_decay_form": "large parameters with gradients of many sizes",
    "unscaled": "a learning rate that changes between steps, given as lr=[…]",
}
_LITTLE = 1e-3  # of momentum or weight decay: as good as none
_MOST = 40  # hypotheses that are looked at closely


class Axis(NamedTuple):
    """What a recording says of one field of Rule.

    Attributes
    ----------
    name : str
        The field.
    value : object
        What it is in the simplest rule that explains the recording.
    determined : bool
        Whether every rule that explains the recording has it: a number between ``low`` and
        ``high``, which are close together or close to 0; any other field exactly.
    low, high : float or None
        The least and the largest number that the recording allows.
    wanted : str
        If it is not determined, what data would determine it.
    """

    name: str
    value: Any
    determined: bool
    low: float | None = None
    high: float | None = None
    wanted: str = ""


class RunnerUp(NamedTuple):
    """A hypothesis that does not explain the recording, with its best numbers.

    Attributes
    ----------
    words : str
        What it is.
    distance : float
        The largest error of a recorded number, over the error that is allowed.
    step : int
        The first step in which one is outside.
    """

    words: str
    distance: float
    step: int


@dataclass(frozen=True)
class Identification:
    """The answer of :func:`identify`. It prints itself, also in Jupyter.

    Attributes
    ----------
    optimiser : str
        ``"RMSProp"``; another, such as ``"Adam"``; ``""`` for none that is known here.
    rule : Rule or None
        The simplest Rule that explains the recording; for SGD and sign descent, which a Rule can
        say as well, that one. None where no Rule can.
    numbers : dict
        The hyper-parameters by the names that Rule has for them (for Adam, β1 is ``momentum``).
    axes : tuple of Axis
        Each field of the rule: determined, or what would determine it.
    verdict : str
        ``"identified"``; ``"imprecise"``, for a rule in worse arithmetic than a legal one;
        ``"none"``; ``"broken"``, for a black box that gives no trajectory.
    sentence : str
        The verdict and its reason.
    dtype : str
        The format of the recording.
    worst : float
        The largest error of a recorded number over the allowed one.
    dialects : tuple of (str, dict)
        The libraries that compute this, with their own arguments.
    also : tuple of Rule
        Other rules that explain the recording.
    others : tuple of str
        Other optimisers that do.
    runners_up : tuple of RunnerUp
        The nearest that do not.
    shape : tuple of int
        Steps and parameters of the recording.
    """

    optimiser: str
    rule: Rule | None
    numbers: dict[str, Any]
    axes: tuple[Axis, ...]
    verdict: str
    sentence: str
    dtype: str
    worst: float = math.nan
    dialects: tuple[tuple[str, dict[str, Any]], ...] = ()
    also: tuple[Rule, ...] = ()
    others: tuple[str, ...] = ()
    runners_up: tuple[RunnerUp, ...] = ()
    shape: tuple[int, int] = (0, 0)

    @property
    def ok(self) -> bool:
        """Whether it is an RMSProp that a Rule says."""
        return self.optimiser == "RMSProp"

    @property
    def undetermined(self) -> tuple[Axis, ...]:
        """The fields that the recording leaves open."""
        return tuple(axis for axis in self.axes if not axis.determined)

    def __str__(self) -> str:
        steps, n = self.shape
        data = f"{steps} step{'s' * (steps != 1)} of {n} parameter{'s' * (n != 1)}, {self.dtype}"
        lines = [self.sentence]
        if self.rule is not None:
            lines.append(f"  rule       {short(self.rule)}")
        if self.worst == self.worst:
            lines.append(f"  data       {data}: worst {self.worst:.2f} of the allowed error")
        else:
            lines.append(f"  data       {data}")
        known = [axis for axis in self.axes if axis.determined and axis.low is not None]
        for axis in known:
            lines.append(f"  {axis.name:10} {_interval(axis)}")
        for i, axis in enumerate(self.undetermined):
            head = "open" if i == 0 else ""
            lines.append(f"  {head:10} {axis.name}{_between(axis)}; it takes {axis.wanted}")
        for i, (name, arguments) in enumerate(self.dialects[:6]):
            said = ", ".join(f"{k}={_brief(v)}" for k, v in arguments.items())
            lines.append(f"  {'libraries' if i == 0 else '':10} {name}({said})")
        if len(self.dialects) > 6:
            lines.append(f"  {'':10} {', '.join(name for name, _ in self.dialects[6:])}")
        for i, rule in enumerate(self.also[:3]):
            lines.append(f"  {'or' if i == 0 else '':10} {short(rule)}")
        for i, other in enumerate(self.runners_up):
            head = "not" if i == 0 else ""
            lines.append(
                f"  {head:10} {other.words}: {other.distance:.2g} times the allowed error, "
                f"first in step {other.step}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, _, rest = str(self).partition("\n")
        return (
            f"<div><p><strong>{html.escape(head)}</strong></p><pre>{html.escape(rest)}</pre></div>"
        )

    def as_dict(self) -> dict[str, Any]:
        """The answer as nested dictionaries of plain values."""
        content = asdict(self)
        content["rule"] = None if self.rule is None else asdict(self.rule)
        content["also"] = [asdict(rule) for rule in self.also]
        content["axes"] = [axis._asdict() for axis in self.axes]
        content["runners_up"] = [other._asdict() for other in self.runners_up]
        content = _speakable({"ok": self.ok} | content)
        return dict(content)

    def to_json(self, **options: Any) -> str:
        """The answer as JSON; numbers that JSON has no word for are strings."""
        return json.dumps(self.as_dict(), ensure_ascii=False, **options)


def _brief(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > 3:
        return f"[{value[0]:g}, … {len(value)} values]"
    return (
        f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else repr(value)
    )


def _interval(axis: Axis) -> str:
    assert axis.low is not None and axis.high is not None
    if axis.value == 0:
        if axis.high == 0 or math.isinf(axis.high):
            return "0"
        return f"0, at most {axis.high:.2g}"
    by = max(axis.high - axis.value, axis.value - axis.low)
    return f"{_brief(axis.value)} ± {by:.1g}"


def _between(axis: Axis) -> str:
    if axis.low is None or axis.high is None:
        return ""
    if axis.low == 0:
        return "" if math.isinf(axis.high) else f" (below {axis.high:.2g})"
    return f" (between {axis.low:.3g} and {axis.high:.3g})"


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
    from rmsprop_ref.oracle.probes import probe

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


def _evidence(recording: Recording, known: Mapping[str, Any], rates: Any) -> Evidence:
    """What a recording says, and how much each of its increments counts."""
    theta, rows = recording.theta0, recording.trajectory
    before = np.vstack([theta[None], rows])[:-1]
    bits, e_min, _ = FORMATS[recording.dtype]
    with np.errstate(all="ignore"):
        # One rounding of θ; and about eight of the step.
        error = 2.0**-bits * (np.abs(rows) + 8 * np.abs(rows - before)) + 2.0**e_min
        weight = np.where(np.isfinite(error) & np.isfinite(recording.grads), 1 / error, 0.0)
    given = {k: v for k, v in known.items() if k in NAMES and isinstance(v, float)}
    clean = np.where(np.isfinite(rows), rows, 0.0)
    return Evidence(theta, recording.grads, clean, weight, given, rates)


class _Examined(NamedTuple):
    """The hypotheses that explain a recording, the best first; and how far off the others are."""

    fitting: list[Explanation]
    rest: list[tuple[Found, float, int]]


def _examined(found: Sequence[Found], evidence: Evidence, dtype: str) -> _Examined:
    """The hypotheses beside the recording. Without one that explains it, the nearest comes first."""
    best, tried = _best(found, evidence, dtype)
    small = small_steps(best.form, best.numbers, evidence)
    if best.worst > 1:
        near = [x for x in tried.values() if x is not best and x.worst < 30 * best.worst]
        near.sort(key=lambda one: len(one.numbers))
        nearest = sorted(found, key=lambda one: one.cost)[:12]
        rest = [(one, *_distance(one, best, evidence)) for one in nearest]
        return _Examined([best, *near], rest)
    fitting, rest = [replace(best, ranges=ranges(best, evidence, small))], []
    for one in sorted(found, key=lambda one: one.size):
        distance, step = _distance(one, best, evidence)
        explanation = tried.get(id(one))
        if explanation is best:
            continue
        if best.form.optimiser != "RMSProp" == one.form.optimiser and _extreme(one, evidence):
            continue
        if explanation is None and 1 < distance < 10 and len(tried) < _MOST:
            explanation = tried[id(one)] = _weighed(one, evidence, dtype, rounds=1)
        if explanation is not None:
            distance, step = explanation.worst, explanation.leaves
        if distance > 1 or len(fitting) >= _MOST:
            rest.append((one, distance, step))
            continue
        if explanation is None:
            explanation = replace(best, form=one.form, numbers=_named(one, evidence))
        spans = ranges(explanation, evidence, small, besides=False)
        simpler = [k for k, x in enumerate(fitting) if _needless(explanation, spans, x)]
        for k in simpler:
            fitting[k] = replace(fitting[k], ranges=_hull(fitting[k].ranges, spans))
        if not simpler:
            fitting.append(replace(explanation, ranges=ranges(explanation, evidence, small)))
    return _Examined(fitting, rest)


def _best(
    found: Sequence[Found], evidence: Evidence, dtype: str
) -> tuple[Explanation, dict[int, Explanation]]:
    """The hypothesis that explains the recording and is written most shortly; and all looked at."""
    tried: dict[int, Explanation] = {}
    best: Explanation | None = None
    length = math.inf
    promising = sorted(
        (one for one in found if one.cost < 1e4), key=lambda one: (one.cost > 9, one.size)
    )
    for one in promising:
        if one.size >= length or len(tried) >= 12:
            continue
        tried[id(one)] = explanation = _weighed(one, evidence, dtype)
        if explanation.worst <= 1 and one.size + explanation.digits / 4 < length:
            best, length = explanation, one.size + explanation.digits / 4
    if best is None:
        for one in sorted(found, key=lambda one: one.cost)[:6]:
            if id(one) not in tried:
                tried[id(one)] = _weighed(one, evidence, dtype)
        best = min(tried.values(), key=lambda one: one.worst)
    return best, tried


def _distance(one: Found, judge: Explanation, evidence: Evidence) -> tuple[float, int]:
    """The largest error over the allowed one, by the enclosure of ``judge``; the first step."""
    off = np.abs(evidence.trajectory - feedforward(one.form, _named(one, evidence), evidence))
    ratio = np.where(off == 0, 0.0, off / judge.allowed)
    ratio = np.where(np.isnan(judge.excess), 0.0, np.where(np.isnan(ratio), np.inf, ratio))
    outside = np.flatnonzero((ratio > 1).any(axis=1))
    return float(ratio.max(initial=0.0)), int(outside[0]) + 1 if len(outside) else 0


def _extreme(one: Found, evidence: Evidence) -> bool:
    """Whether an RMSProp is all but the limit that another optimiser is."""
    largest = float(np.nanmax(np.abs(evidence.grads), initial=0.0))
    eps = one.numbers.get("eps_out", 0.0) + math.sqrt(one.numbers.get("eps_in", 0.0))
    return not 1e-4 < one.numbers.get("beta", 0.5) < 1 - 1e-4 or eps > 100 * largest


def _hull(
    a: Mapping[str, tuple[float, float]], b: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Ranges that hold both."""
    ends = {k: [x[k] for x in (a, b) if k in x] for k in (*a, *b)}
    return {k: (min(low for low, _ in x), max(high for _, high in x)) for k, x in ends.items()}


def _needless(
    one: Explanation, spans: Mapping[str, tuple[float, float]], other: Explanation
) -> bool:
    """Whether ``one`` is ``other`` with numbers besides that may as well be 0."""
    more = set(one.numbers) - set(other.numbers)
    return (
        bool(more)
        and set(other.numbers) <= set(one.numbers)
        and includes(one.form, other.form)
        and all(spans[name][0] == 0 for name in more)
    )


def _rate_names(numbers: Mapping[str, float]) -> set[str]:
    return {name for name in numbers if name.startswith("lr")}


def _named(one: Found, evidence: Evidence) -> dict[str, float]:
    """The fitted numbers with their learning rates."""
    numbers = {k: max(v, 0.0) for k, v in one.numbers.items() if k not in evidence.given}
    if evidence.rates == "constant":
        numbers["lr"] = max(one.rates[0], 0.0)
    elif evidence.rates == "free":
        numbers |= {f"lr[{t}]": max(rate, 0.0) for t, rate in enumerate(one.rates)}
    return numbers


def _weighed(one: Found, evidence: Evidence, dtype: str, rounds: int = 2) -> Explanation:
    return weigh(one.form, _named(one, evidence), evidence, dtype, rounds)


def _identified(recording: Recording, known: Mapping[str, Any]) -> Identification:
    """The answer for a recording."""
    common: dict[str, Any] = {"dtype": recording.dtype, "shape": recording.grads.shape}
    if (recording.trajectory == recording.theta0).all():
        moving = (np.nan_to_num(recording.grads) != 0).any()
        why = "though there are gradients" if moving else "and all gradients are zero"
        said = f"none: θ never moves, {why}"
        return Identification("", None, {}, (), "none", said, **common)
    part = _part(recording)
    evidence, examined = _explained(part, known)
    best = examined.fitting[0]
    if best.worst <= 1:
        if part is not recording and evidence.rates != "free":
            whole = _evidence(recording, known, evidence.rates)
            fitting = []
            for one in examined.fitting[:8]:
                again = weigh(one.form, one.numbers, whole, recording.dtype)
                if again.worst <= 1:
                    spans = _hull(one.ranges, {k: (x, x) for k, x in again.numbers.items()})
                    fitting.append(replace(again, ranges=spans))
            if not fitting:
                said = (
                    f"none: what explains a part of it, {_title(best, evidence)}, fails elsewhere"
                )
                return Identification("", None, {}, (), "none", said, **common)
            examined = examined._replace(fitting=fitting)
        return _answer(recording, known, evidence, examined, common)
    if contradiction := _contradiction(recording, known):
        return replace(contradiction, **common)
    for one in examined.fitting[:4]:
        if fault := _imprecise(one, evidence, recording.dtype):
            words, numbers = fault
            spans = ranges(one, evidence, small_steps(one.form, one.numbers, evidence))
            spans |= {k: (min(spans[k][0], x), max(spans[k][1], x)) for k, x in numbers.items()}
            exact = replace(one, numbers=numbers, ranges=spans)
            found = examined._replace(fitting=[exact])
            answer = _answer(recording, known, evidence, found, common)
            said = f"{_title(exact, evidence)}, in imprecise arithmetic: {words}"
            return replace(answer, verdict="imprecise", sentence=said)
    runners = _runners(examined, evidence)
    words, worst = _words(best.form, best.numbers), best.worst
    said = (
        f"none of the rules and optimisers known here; the nearest is {words}, "
        f"{worst:.2g} times the allowed error off, first in step {best.leaves}"
    )
    return Identification("", None, {}, (), "none", said, runners_up=runners, **common)


def _part(recording: Recording) -> Recording:
    """As much of a large recording as it takes: some elements of all sizes, and the first steps."""
    steps, n = recording.grads.shape
    kept = max(4, 240 // min(steps, 60))
    if steps <= 60 and n <= kept:
        return recording
    sizes = np.abs(recording.grads[:60])
    size = np.min(np.where(sizes > 0, sizes, np.inf), axis=0)  # ε shows where it is small
    spread = np.linspace(0, n - 1, min(kept, n)).astype(int)
    chosen = np.sort(np.argsort(size, kind="stable")[spread])
    return Recording(
        recording.theta0[chosen],
        recording.grads[:60, chosen],
        recording.trajectory[:60, chosen],
        recording.dtype,
    )


def _explained(recording: Recording, known: Mapping[str, Any]) -> tuple[Evidence, _Examined]:
    """The hypotheses beside the recording, first with a constant learning rate, then with any."""
    rate = known.get("lr", "constant")
    evidence = _evidence(recording, known, rate)
    for everything in (False, True):
        found = search(evidence, known, isinstance(rate, tuple), everything)
        examined = _examined(found, evidence, recording.dtype)
        if examined.fitting[0].worst <= 1 or all(one.cost >= 1e4 for one in found):
            break
    steps, n = recording.grads.shape
    if rate == "constant" and examined.fitting[0].worst > 1 and n > 1 and steps > 1:
        free = evidence._replace(rates="free")
        other = _examined(search(free, known, False), free, recording.dtype)
        if other.fitting[0].worst <= 1:
            return free, other
    return evidence, examined


def _answer(
    recording: Recording,
    known: Mapping[str, Any],
    evidence: Evidence,
    examined: _Examined,
    common: dict[str, Any],
) -> Identification:
    best = examined.fitting[0]
    rule = _as_rule(best, evidence)
    optimiser = best.form.optimiser
    if optimiser == "RMSProp":
        axes = tuple(_axes(examined.fitting, evidence, known))
    else:
        axes = tuple(_own_axes(best))
    numbers = dict(best.numbers) | dict(evidence.given)
    also = [_as_rule(one, evidence) for one in examined.fitting[1:]]
    rules = [x for x in dict.fromkeys(also) if x is not None and x != rule]
    kinds = [one.form.optimiser for one in examined.fitting if not _without_momentum(one)]
    others = tuple(x for x in dict.fromkeys(kinds) if x != optimiser)
    said = _title(best, evidence)
    if others:
        said = said.replace(", no RMSProp", "")
        said += f"; or {', '.join(others)}: the recording does not tell"
    return Identification(
        optimiser,
        rule,
        numbers,
        axes,
        "identified",
        said,
        worst=best.worst,
        dialects=tuple(_dialects([rule, *rules])) if optimiser == "RMSProp" and rule else (),
        also=tuple(rules),
        others=others,
        runners_up=_runners(examined, evidence),
        **common,
    )


def _title(one: Explanation, evidence: Evidence) -> str:
    if one.form.optimiser == "RMSProp":
        return f"RMSProp, {_words(one.form, one.numbers)}"
    numbers = dict(one.numbers) | {k: v for k, v in evidence.given.items() if k in one.form.free}
    said = ", ".join(f"{_SPOKEN[k]}={v:g}" for k, v in numbers.items() if k in _SPOKEN)
    return (
        f"{one.form.optimiser}, no RMSProp: {said}" if said else f"{one.form.optimiser}, no RMSProp"
    )


_SPOKEN = {
    "lr": "η",
    "beta": "β",
    "eps_in": "ε (inside the root)",
    "eps_out": "ε (outside)",
    "momentum": "μ",
    "weight_decay": "λ",
    "v0": "v0",
}


def _words(form: Any, numbers: Mapping[str, float]) -> str:
    """The formulas in words."""
    fields = dict(form.fields)
    if form.optimiser != "RMSProp":
        name = form.optimiser
    else:
        parts = ["centered" if fields.get("centered") else "plain"]
        places = {"eps_in": "inside", "eps_out": "outside", "eps_floor": "as a floor of"}
        found = [words for name, words in places.items() if name in numbers]
        parts.append(f"ε {' and '.join(found)} the root" if found else "no ε that shows")
        if "v0" in numbers:
            parts.append("its average started elsewhere than at 0")
        if fields.get("v0") == "first_square":
            parts.append("its average started at the first square")
        if fields.get("bias_correction"):
            parts.append("bias-corrected")
        if "momentum" in form.free:
            kind = "Nesterov momentum" if fields.get("nesterov") else "momentum"
            parts.append(f"{kind} on the {fields.get('momentum_on', 'step')}")
        if len(parts) > 2 and parts[0] == "plain":
            parts = parts[1:]
        name = ", ".join(parts)
    if "weight_decay" in form.free:
        name += f", weight decay ({fields.get('weight_decay_form', 'l2')})"
    if "lr[0]" in numbers:
        name += ", with a learning rate that changes"
    return name


def _as_rule(one: Explanation, evidence: Evidence) -> Rule | None:
    """The Rule that says the same; None where no Rule can."""
    name = one.form.optimiser
    if name == "sign descent":
        return Rule(lr=one.rule(evidence).lr, beta=0.0, eps_out=0.0)
    return one.rule(evidence) if name == "RMSProp" or name.startswith("SGD") else None


def _without_momentum(one: Explanation) -> bool:
    """Whether it is Adam without momentum, which is an RMSProp."""
    return one.form.optimiser[:4] == "Adam" and one.ranges.get("momentum", (1.0,))[0] == 0


def _runners(examined: _Examined, evidence: Evidence) -> tuple[RunnerUp, ...]:
    """The nearest that do not explain it, of each kind one."""
    fits = {_words(one.form, one.numbers) for one in examined.fitting if one.worst <= 1}
    nearest: dict[str, RunnerUp] = {}
    for one, distance, step in sorted(examined.rest, key=lambda item: item[1]):
        if distance <= 1 or any(
            includes(one.form, x.form) and set(x.numbers) <= set(_named(one, evidence))
            for x in examined.fitting
        ):
            continue
        words = _words(one.form, one.numbers)
        if words not in fits:
            nearest.setdefault(words, RunnerUp(words, distance, step))
    return tuple(list(nearest.values())[:3])


def _axes(
    fitting: Sequence[Explanation], evidence: Evidence, known: Mapping[str, Any]
) -> Iterator[Axis]:
    """What all that explains the recording says of each field."""
    best = fitting[0]
    rule = _as_rule(best, evidence)
    assert rule is not None
    pairs = [(x, one.ranges) for one in fitting if (x := _as_rule(one, evidence)) is not None]
    rules, spans = [x for x, _ in pairs], [span for _, span in pairs]
    for field in fields(Rule):
        name, value = field.name, getattr(rule, field.name)
        if name in known:
            yield Axis(name, value, True)
        elif name in ABOUT:
            yield _manner(name, rule, rules, best, evidence)
        elif isinstance(value, (bool, str)):
            same = all(getattr(x, name) == value for x in rules)
            yield Axis(name, value, same, wanted="" if same else _WANTED[name])
        elif name == "lr" and isinstance(value, tuple):
            yield Axis(name, value, True)
        else:
            yield _number(name, value, rules, spans, best)


def _own_axes(best: Explanation) -> Iterator[Axis]:
    """The numbers of another optimiser."""
    for name, value in best.numbers.items():
        low, high = best.ranges[name]
        known = high - low <= 0.2 * value
        wanted = (
            ""
            if known
            else _WANTED[
                "eps" if name.startswith("eps") else name[:2] if name.startswith("lr") else name
            ]
        )
        yield Axis(name, value, known, low, high, wanted)


def _manner(
    name: str, rule: Rule, rules: Sequence[Rule], best: Explanation, evidence: Evidence
) -> Axis:
    """A field that is about momentum or weight decay."""
    value = getattr(rule, name)
    having = [x for x in rules if getattr(x, ABOUT[name]) > _LITTLE]
    if not getattr(rule, ABOUT[name]):
        return Axis(name, value, not having, wanted=_WANTED[ABOUT[name]] if having else "")
    same = len(having) == len(rules) and all(getattr(x, name) == value for x in having)
    if not isinstance(evidence.rates, tuple):
        if name == "lr_in_buffer":
            return Axis(name, value, False, wanted=_WANTED["lr_in_buffer"])
        if name == "weight_decay_form" and same and value == "decoupled":
            return Axis(name, value, False, wanted=_WANTED["unscaled"])
    wanted = _WANTED.get(name, _WANTED["momentum"])
    return Axis(name, value, same, wanted="" if same else wanted)


def _number(
    name: str,
    value: float,
    rules: Sequence[Rule],
    spans: Sequence[Mapping[str, tuple[float, float]]],
    best: Explanation,
) -> Axis:
    """A field that is a number."""
    low, high = math.inf, 0.0
    for rule, span in zip(rules, spans, strict=True):
        held = getattr(rule, name)
        if isinstance(held, str):
            return Axis(name, value, False, wanted=_WANTED[name])
        if held != 0 or name in span:
            a, b = span.get(name, (held, held))
        elif name == "eps_floor":
            a, b = 0.0, math.inf
        else:
            a, b = 0.0, 0.0
        low, high = min(low, a), max(high, b)
    key = "eps" if name.startswith("eps") else name
    if value == 0:
        quiet = low == 0 and high < (math.inf if key == "eps" else _LITTLE)
        shown = key == "eps" and any(best.ranges.get(x, (0.0, 0.0))[0] > 0 for x in _EPS)
        if name == "eps_floor":
            determined = shown and len(rules) == sum(x.eps_floor == 0 for x in rules)
        else:
            determined = quiet and (key != "eps" or shown)
    else:
        determined = low > 0 and high - low <= 0.2 * value
    return Axis(name, value, determined, low, high, "" if determined else _WANTED[key])


_EPS = ("eps_in", "eps_out", "eps_floor")


def _dialects(rules: Sequence[Rule]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The libraries that can say one of the rules, or one that differs invisibly."""
    from rmsprop_ref.dialects import DIALECTS

    for name, dialect in DIALECTS.items():
        for rule in rules:
            found = None
            for fields_ in ({}, {"lr_in_buffer": not rule.lr_in_buffer}):
                if fields_ and (not rule.momentum or isinstance(rule.lr, tuple)):
                    continue
                try:
                    found = dialect.arguments(replace(rule, **fields_))
                    break
                except Unsupported:
                    continue
            if found is not None:
                yield name, found
                break


def _imprecise(
    best: Explanation, evidence: Evidence, dtype: str
) -> tuple[str, dict[str, float]] | None:
    """Worse arithmetic under which short numbers explain the recording; those numbers."""
    if best.form.optimiser != "RMSProp" or not best.worst < 1e4:
        return None
    for digits in (1, 2, 3, 4):
        numbers = {}
        for name, value in best.numbers.items():
            rest = float(f"{1 - value:.{digits}g}") if value < 1 else 0.0
            near = float(f"{1 - rest:.15g}") if name in ("beta", "momentum") else value
            if near == value:
                near = float(f"{value:.{digits}g}")
            numbers[name] = near if abs(near - value) <= 0.02 * abs(value) else value
        rule = replace(best, numbers=numbers).rule(evidence)
        for fault in imprecise(rule, dtype):
            if not fault.sentence.endswith((dtype, "float32")):
                continue  # a format so narrow would excuse anything
            made = fault.steps(
                evidence.theta0, evidence.grads, (slice(0, len(evidence.theta0)),), dtype
            )
            inside = True
            for (theta, _), row, weight in zip(
                made, evidence.trajectory, evidence.weight, strict=False
            ):
                if np.any((theta.excess(row) > 1) & (weight > 0)):
                    inside = False
                    break
            if inside:
                return fault.sentence, numbers
    return None


def _contradiction(recording: Recording, known: Mapping[str, Any]) -> Identification | None:
    """The given fields that the recording contradicts, and what it says instead."""
    for name in known:
        others = {k: v for k, v in known.items() if k != name}
        evidence, examined = _explained(recording, others)
        best = examined.fitting[0]
        if best.worst > 1:
            continue
        common: dict[str, Any] = {"dtype": recording.dtype, "shape": recording.grads.shape}
        answer = _answer(recording, others, evidence, examined, common)
        says = answer.numbers.get(name)
        if says is None and answer.rule is not None:
            says = getattr(answer.rule, name)
        said = f"{name}={_brief(known[name])} contradicts the recording"
        if says is not None:
            said += f", which says {_brief(says)}"
        return replace(answer, sentence=f"{said}: it is {answer.sentence}")
    return None
