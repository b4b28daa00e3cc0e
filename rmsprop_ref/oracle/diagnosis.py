"""What is wrong with an implementation that fails: the fault that explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.oracle.faults import SPOKEN, Fault, catalogue, coarser, neighbours, pairs, reset
from rmsprop_ref.oracle.inputs import Case
from rmsprop_ref.oracle.judgement import Batch, Judgement, Trajectories, batches
from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule

# The inputs of the first look at a fault: most faults differ from the program there.
_SCREEN = ("from-zero", "average-near-epsilon", "root-near-epsilon", "large-parameters", "sparse")


def diagnosed(judgement: Judgement, judged: Sequence[Case], bad: Sequence[str]) -> Fault:
    """The fault that explains an implementation, or else the nearest."""
    rule, dtype, got = judgement.right.rule, judgement.right.dtype, judgement.got
    usual = [case for case in judged if case.ordinary]
    if any(not case.ordinary for case in judged if case.id in bad):  # then no ordinary one is
        return _special(judgement, [case for case in judged if case.id in bad])
    if words := _visible(judgement, usual):
        return Fault(words, "memory", rule, "broken")
    if words := _decimals(judgement, usual):
        return Fault(words, "arithmetic", rule, "imprecise")
    screen = batches(case for case in usual if case.id in _SCREEN)
    rest = batches(usual)

    failing = {case.id: judgement.excess[case.id] > 1 for case in usual}

    def explains(fault: Fault) -> _Used | None:
        if _used(fault, screen, got, failing, dtype) is None:
            return None
        return _used(fault, rest, got, failing, dtype)

    def candidates() -> Iterator[Fault]:
        first = judgement.first(bad)
        if first is not None and first.step > max(len(case.grads) for case in usual[:1]):
            yield from (reset(rule, first.step, early) for early in (False, True))
        yield from catalogue(rule, dtype)
        yield from _fitted(judgement, usual)
        yield from pairs(rule)

    # What encloses much explains much. A fault that leaves some numbers undetermined, or whose
    # borders nothing comes near, is kept in mind while others are tried.
    kept: list[tuple[_Used, Fault]] = []
    for fault in candidates():
        used = explains(fault)
        if used is not None and used.tight and used.determined > 0.9:
            return fault
        if used is not None:
            kept.append((used, fault))
    if kept:
        return max(kept, key=lambda one: (one[0].tight, one[0].determined))[1]
    for fault in coarser(rule, dtype):
        # These are wide by themselves: errors not near their borders have another reason.
        used = explains(fault)
        if used is not None and used.most and used.tight:
            return fault
    for case in usual:
        if np.any(np.isnan(got[case.id]) & (judgement.excess[case.id] > 1)):
            said = f"NaN where the rule is finite (input {case.id})"
            return Fault(said, "special values", rule, "broken")
    short = [batch for batch in rest if len(batch.grads) <= 100]  # the others take long
    return _nearest(rule, dtype, short or rest, got)


# Hyper-parameters that may have any other value: the input that shows them best, and whether their
# distance from 1 is what varies.
_FREE = {
    "lr": ("from-zero", False),
    "beta": ("from-zero", True),
    "eps_out": ("root-near-epsilon", False),
    "eps_in": ("average-near-epsilon", False),
    "momentum": ("from-zero", True),
    "weight_decay": ("large-parameters", False),
}


def _fitted(judgement: Judgement, usual: Sequence[Case]) -> Iterator[Fault]:
    """The rule with one hyper-parameter as the trajectories have it, to a few decimals."""
    rule, by_id = judgement.right.rule, {case.id: case for case in usual}
    for name, (shown_by, from_one) in _FREE.items():
        claimed = getattr(rule, name)
        if shown_by not in by_id or isinstance(claimed, tuple) or (claimed == 0 and "eps" in name):
            continue

        def value(p: float, from_one: bool = from_one) -> float:
            return float(1 - 10**p if from_one else 10**p)

        between = (-7.0, -0.01) if from_one else (-12.0, 2.0)
        found = _best(judgement, by_id[shown_by], name, value, between)
        if found is None:
            continue
        for digits in range(1, 6):
            share = float(f"{10**found:.{digits}g}")
            near = round(1 - share, 12) if from_one else share
            if near not in (claimed, 0):
                said = f"{SPOKEN[name]} is {near:g}, not {claimed:g}"
                fields: dict[str, Any] = {name: near}
                yield Fault(said, name, replace(rule, **fields))


def _best(
    judgement: Judgement,
    case: Case,
    name: str,
    value: Callable[[float], float],
    between: tuple[float, float],
) -> float | None:
    """The p for which the rule with ``value(p)`` comes nearest; None if none comes near."""
    rule, got = judgement.right.rule, judgement.got[case.id]
    moved = got - case.theta0

    def distance(p: float) -> float:
        theta = case.theta0
        fields: dict[str, Any] = {name: value(p)}
        other = replace(rule, **fields)
        state, rows = init(theta, other), np.empty(got.shape)
        with np.errstate(all="ignore"):
            for t, grad in enumerate(case.grads):
                theta, state = step(theta, grad, state, other)
                rows[t] = theta
            off = np.abs(rows - got) / np.abs(moved)
        known = off[np.isfinite(off)]
        return float(np.median(known)) if known.size else np.inf

    low, high = between
    for _ in range(7):  # a grid, then a finer one about its best point
        grid = np.linspace(low, high, 29)
        i = int(np.argmin([distance(p) for p in grid]))
        low, high = grid[max(i - 1, 0)], grid[min(i + 1, 28)]
    return float(grid[i]) if distance(grid[i]) < 0.01 else None


class _Used(NamedTuple):
    """How a fault explains a program.

    Attributes
    ----------
    most : float
        The largest error over the one that the fault allows, at most 1.
    determined : float
        The share of the numbers in need of an explanation for which the fault leaves no choice.
    """

    most: float
    determined: float

    @property
    def tight(self) -> bool:
        """Whether the program comes near a border of what the fault allows, or is exactly it."""
        return self.most == 0 or self.most >= 1 / 8


def _used(
    fault: Fault,
    inputs: Sequence[Batch],
    got: Trajectories,
    failing: Mapping[str, Any],
    dtype: str,
) -> _Used | None:
    """How much of the fault's enclosures is used; None where something is outside.

    And None where hardly anything is determined of the numbers that need an explanation.
    """
    determined, total, most = 0, 0, 0.0
    for batch in inputs:
        rows = np.concatenate([got[case.id] for case in batch.cases], axis=1)
        wrong = np.concatenate([failing[case.id] for case in batch.cases], axis=1)
        made = fault.steps(batch.theta0, batch.grads, batch.segments, dtype)
        for row, bad, (theta, _) in zip(rows, wrong, made, strict=True):
            excess = theta.excess(row)
            known = ~np.isnan(excess)
            most = max(most, float(excess[known].max(initial=0.0)))
            if most > 1:
                return None
            determined += int((known & bad).sum())
        total += int(wrong.sum())
    return _Used(most, determined / max(total, 1)) if 8 * determined >= total else None


def _visible(judgement: Judgement, usual: Sequence[Case]) -> str:
    """What the trajectories themselves show, or nothing."""
    got = judgement.got
    some = [case for case in usual if len(case.grads) > 1 and len(case.theta0)]

    def right(rows: Callable[[Case], Floats], among: Sequence[Case]) -> bool:
        return Judgement(judgement.right, {case.id: rows(case) for case in among}).passes

    moving = [case for case in some if (got[case.id][-1] != case.theta0).any()]
    if moving and not any(got[case.id].any() for case in some):
        return "every parameter is 0 after every step"
    still = all((got[case.id] == got[case.id][-1]).all() for case in some)
    if moving and still:
        return "every row is the last one: one array was appended again and again, not copies"
    if len(some) > 1:
        first, same = some[0], [c for c in some if c.grads.shape == some[0].grads.shape]
        right_once = (judgement.excess[first.id] <= 1).all()
        if right_once and all(np.array_equal(got[first.id], got[case.id]) for case in same):
            return "inputs of one shape get one answer: that of an earlier call"
    if some and right(lambda case: got[case.id][:, ::-1], some[:3]):
        return "the elements come back in reverse order"
    return _left_out(judgement, some)


def _left_out(judgement: Judgement, some: Sequence[Case]) -> str:
    """Which elements are never updated, where the others are right."""
    failing: dict[int, set[int]] = {}
    for case in some:
        got, excess = judgement.got[case.id], judgement.excess[case.id]
        wrong = np.flatnonzero((excess > 1).any(axis=0))
        if not (got[:, wrong] == case.theta0[wrong]).all():
            return ""
        failing.setdefault(len(case.theta0), set()).update(wrong.tolist())

    def elements(which: Callable[[int], int]) -> bool:
        """Whether the failing elements of each length n are all from ``which(n)`` on, or none."""
        whole = all(bad in (set(), set(range(which(n), n))) for n, bad in failing.items())
        return whole and all(bad or which(n) == n for n, bad in failing.items() if n >= 24)

    def tail(width: int) -> Callable[[int], int]:
        return lambda n: n - n % width

    for width in (2, 4, 8, 16, 32, 64):
        if elements(tail(width)):
            most = ", ".join(f"{n % width} of {n}" for n, bad in failing.items() if bad)
            return (
                f"the last elements of a length not divisible by {width} are never updated: {most}"
            )
    if elements(lambda n: n - 1):
        return "the last element is never updated"
    if all(bad == {0} for n, bad in failing.items() if n > 1):
        return "the first element is never updated"
    start = min((min(bad) for bad in failing.values() if bad), default=0)
    if start and elements(lambda n: min(start, n)):
        return f"elements beyond the first {start} are never updated"
    return ""


def _decimals(judgement: Judgement, some: Sequence[Case]) -> str:
    """Whether all parameters are decimal numbers of few places."""
    rows = np.concatenate([judgement.got[case.id].ravel() for case in some] or [np.zeros(0)])
    rows, dtype = rows[np.isfinite(rows)], numpy_dtype(judgement.right.dtype)
    for places in range(1, 7):
        rounded = np.round(rows, places).astype(dtype).astype(np.float64)
        if np.any(rows) and np.array_equal(rounded, rows, equal_nan=True):
            return f"θ is rounded to {places} decimals"
    return ""


def _special(judgement: Judgement, bad: Sequence[Case]) -> Fault:
    """What is wrong with a program that is right on ordinary inputs."""
    rule = judgement.right.rule
    for case in bad:
        got, excess = judgement.got[case.id], judgement.excess[case.id]
        wrong = excess > 1
        if np.any(wrong & ~np.isnan(got)) and "NotFinite" in case.flags:
            what = "a NaN" if case.id == "nan" else "an infinite"
            if np.all(~wrong | np.isfinite(got)):
                said = f"{what} gradient is swallowed: θ stays finite where it must become NaN"
                return Fault(said, "special values", rule, "broken")
        if np.any(wrong & np.isnan(got)):
            if "NotFinite" in case.flags:
                what = "a NaN" if case.id == "nan" else "an infinite gradient"
                said = f"{what} in one element spreads to other elements"
            else:
                said = f"NaN where the rule is finite (input {case.id})"
            return Fault(said, "special values", rule, "broken")
    ids = ", ".join(case.id for case in bad)
    said = f"right on ordinary inputs, outside the enclosure on special ones: {ids}"
    return Fault(said, "special values", rule, "imprecise")


def _nearest(rule: Rule, dtype: str, batches: Sequence[Batch], got: Trajectories) -> Fault:
    """The rule that comes nearest, where none explains."""

    def share(fault: Fault) -> float:
        inside = total = 0
        for batch in batches:
            rows = np.concatenate([got[case.id] for case in batch.cases], axis=1)
            made = fault.steps(batch.theta0, batch.grads, batch.segments, dtype)
            for row, (theta, _) in zip(rows, made, strict=True):
                excess = theta.excess(row)
                inside, total = inside + int(np.sum(excess <= 1)), total + row.size
        return inside / max(total, 1)

    claimed = Fault("the claimed rule", "unknown", rule)
    known = [Fault(*neighbour) for neighbour in neighbours(rule)]
    best = max([claimed, *known], key=share)
    percent, least = (int(100 * share(x)) for x in (best, claimed))
    said = "another rule than any known here; the nearest is "
    if percent < least + 5:
        best = claimed
        said += f"the claimed one, with {least} % of the numbers inside its enclosure"
    else:
        said += (
            f'"{best.sentence}", with {percent} % of the numbers inside its enclosure '
            f"({least} % inside that of the claimed rule)"
        )
    return replace(best, sentence=said, axis="unknown", rule=rule)
