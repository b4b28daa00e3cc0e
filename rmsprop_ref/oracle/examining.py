"""The hypotheses beside a recording: which explain it, the shortest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import FORMATS
from rmsprop_ref.oracle.explaining import (
    Explanation,
    feedforward,
    nudged,
    ranges,
    small_steps,
    weigh,
)
from rmsprop_ref.oracle.faults import imprecise
from rmsprop_ref.oracle.fitting import NAMES, Evidence, Form
from rmsprop_ref.oracle.hypotheses import Found, includes, search
from rmsprop_ref.oracle.recording import Recording

_MOST = 24  # hypotheses that are looked at closely


def evidence_of(recording: Recording, known: Mapping[str, Any], rates: Any) -> Evidence:
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


class Examined(NamedTuple):
    """The hypotheses that explain a recording, the best first; and how far off the others are."""

    fitting: list[Explanation]
    rest: list[tuple[Found, float, int]]


def examined(found: Sequence[Found], evidence: Evidence, dtype: str) -> Examined:
    """The hypotheses beside the recording; if none explains it, the nearest comes first."""
    best, tried = _best(found, evidence, dtype)
    small = small_steps(best.form, best.numbers, evidence)
    if best.worst > 1:
        near = [x for x in tried.values() if x is not best and x.worst < 30 * best.worst]
        near.sort(key=lambda one: len(one.numbers))
        nearest = sorted(found, key=lambda one: one.cost)[:12]
        rest = [(x, *_distance(x.form, named(x, evidence), best, evidence)) for x in nearest]
        return Examined([best, *near], rest)
    fitting, rest = [replace(best, ranges=ranges(best, evidence, small))], []
    for one in sorted(found, key=lambda one: one.size):
        explanation = tried.get(id(one))
        if explanation is best:
            continue
        if best.form.optimiser != "RMSProp" == one.form.optimiser and _extreme(one, evidence):
            continue
        numbers = named(one, evidence)
        distance, step = _distance(one.form, numbers, best, evidence)
        if explanation is None and 1 < distance < 100:
            numbers = nudged(one.form, numbers, evidence, best, small)
            distance = min(distance, _distance(one.form, numbers, best, evidence)[0])
            if 1 < distance < 3 and len(tried) < _MOST // 2:
                explanation = tried[id(one)] = weigh(one.form, numbers, evidence, dtype, rounds=1)
            elif distance < 3:  # in doubt it counts, so that less is said to be determined
                distance = 1.0
        if explanation is not None:
            distance, step = explanation.worst, explanation.leaves
        if distance > 1 or len(fitting) >= _MOST:
            rest.append((one, distance, step))
            continue
        if explanation is None:
            explanation = replace(best, form=one.form, numbers=numbers)
        spans = ranges(explanation, evidence, small, besides=False)
        simpler = [k for k, x in enumerate(fitting) if _needless(explanation, spans, x)]
        # A little Nesterov momentum only scales the step: to first order the learning rate.
        little = (
            "nesterov" in dict(one.form.fields) and explanation.numbers.get("momentum", 1) < 0.05
        )
        for k in [] if little else simpler:
            fitting[k] = replace(fitting[k], ranges=hull(fitting[k].ranges, spans))
        if not simpler:
            fitting.append(replace(explanation, ranges=ranges(explanation, evidence, small)))
    return Examined(fitting, rest)


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
        tried[id(one)] = explanation = weigh(one.form, named(one, evidence), evidence, dtype)
        if explanation.worst <= 1 and one.size + explanation.digits / 4 < length:
            best, length = explanation, one.size + explanation.digits / 4
    if best is None:
        for one in sorted(found, key=lambda one: one.cost)[:6]:
            if id(one) not in tried:
                tried[id(one)] = weigh(one.form, named(one, evidence), evidence, dtype)
        best = min(tried.values(), key=lambda one: one.worst)
    return best, tried


def _distance(
    form: Form, numbers: dict[str, float], judge: Explanation, evidence: Evidence
) -> tuple[float, int]:
    """The largest error over the allowed one, by the enclosure of ``judge``; the first step."""
    off = np.abs(evidence.trajectory - feedforward(form, numbers, evidence))
    ratio = np.where(off == 0, 0.0, off / judge.allowed)
    ratio = np.where(np.isnan(judge.excess), 0.0, np.where(np.isnan(ratio), np.inf, ratio))
    outside = np.flatnonzero((ratio > 1).any(axis=1))
    return float(ratio.max(initial=0.0)), int(outside[0]) + 1 if len(outside) else 0


def _extreme(one: Found, evidence: Evidence) -> bool:
    """Whether an RMSProp is all but the limit that another optimiser is."""
    largest = float(np.nanmax(np.abs(evidence.grads), initial=0.0))
    eps = one.numbers.get("eps_out", 0.0) + math.sqrt(one.numbers.get("eps_in", 0.0))
    return not 1e-4 < one.numbers.get("beta", 0.5) < 1 - 1e-4 or eps > 100 * largest


def hull(
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


def named(one: Found, evidence: Evidence) -> dict[str, float]:
    """The fitted numbers with their learning rates."""
    numbers = {k: max(v, 0.0) for k, v in one.numbers.items() if k not in evidence.given}
    if evidence.rates == "constant":
        numbers["lr"] = max(one.rates[0], 0.0)
    elif evidence.rates == "free":
        numbers |= {f"lr[{t}]": max(rate, 0.0) for t, rate in enumerate(one.rates)}
    return numbers


def part_of(recording: Recording) -> Recording:
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


def explained(recording: Recording, known: Mapping[str, Any]) -> tuple[Evidence, Examined]:
    """The hypotheses beside the recording, first with a constant learning rate, then with any."""
    rate = known.get("lr", "constant")
    evidence = evidence_of(recording, known, rate)
    for everything in (False, True):
        found = search(evidence, known, isinstance(rate, tuple), everything)
        result = examined(found, evidence, recording.dtype)
        if result.fitting[0].worst <= 1 or all(one.cost >= 1e4 for one in found):
            break
    steps, n = recording.grads.shape
    if rate == "constant" and result.fitting[0].worst > 1 and n > 1 and steps > 1:
        free = evidence._replace(rates="free")
        other = examined(search(free, known, False), free, recording.dtype)
        if other.fitting[0].worst <= 1:
            return free, other
    return evidence, result


def imprecision(
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
