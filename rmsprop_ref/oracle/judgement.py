"""The trajectories of an implementation beside what a rule allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from rmsprop_ref.oracle.balls import Ball, Balls, Floats
from rmsprop_ref.oracle.enclosures import (
    BINARY64,
    DECIMAL,
    Reading,
    needs,
    numpy_dtype,
    steps,
)
from rmsprop_ref.oracle.inputs import Case, cases
from rmsprop_ref.oracle.report import CaseResult, Point
from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule

Trajectories = Mapping[str, Floats]

# The honest ways to take the hyper-parameters, and whether subnormal numbers are flushed to zero.
HONEST = tuple((reading, flush) for flush in (False, True) for reading in (BINARY64, DECIMAL))


@dataclass(frozen=True)
class Batch:
    """Inputs of equally many steps, side by side: what is done elementwise is done at once."""

    cases: tuple[Case, ...]
    theta0: Floats
    grads: Floats
    segments: tuple[slice, ...]

    def split(self, rows: Floats) -> Iterator[tuple[Case, Floats]]:
        """What belongs to each input, as views."""
        for case, part in zip(self.cases, self.segments, strict=True):
            yield case, rows[:, part]


def batches(inputs: Iterable[Case]) -> list[Batch]:
    """The longest last: it takes the most time, and is not needed once another has failed."""
    by_steps: dict[int, list[Case]] = {}
    for case in inputs:
        by_steps.setdefault(len(case.grads), []).append(case)
    made = []
    for _, group in sorted(by_steps.items(), key=lambda item: (item[0] > 100, -item[0])):
        ends = np.cumsum([len(case.theta0) for case in group]).tolist()
        segments = tuple(slice(a, b) for a, b in zip([0, *ends], ends, strict=False))
        theta0 = np.concatenate([case.theta0 for case in group])
        grads = np.concatenate([case.grads for case in group], axis=1)
        made.append(Batch(tuple(group), theta0, grads, segments))
    return made


class Expected:
    """What a rule may give on its inputs: computed when it is first asked for, and kept."""

    def __init__(self, rule: Rule, dtype: str) -> None:
        self.rule, self.dtype = rule, dtype
        self.batches = batches(cases(rule, dtype))
        self._balls: dict[tuple[int, Reading, bool, bool], Ball] = {}

    def ball(
        self, i: int, reading: Reading = BINARY64, flush: bool = False, wide: bool = False
    ) -> Ball:
        """θ of the batch ``i`` after each step. ``wide``: as if no number were too large."""
        where = i, reading, flush, wide
        if where not in self._balls:
            batch = self.batches[i]
            system = Balls(self.dtype, flush=flush, **needs(self.rule))
            if wide:
                system.largest = np.inf
            balls = [
                theta for theta, _ in steps(self.rule, batch.theta0, batch.grads, system, reading)
            ]
            self._balls[where] = system.stack(balls, batch.theta0.shape)
        return self._balls[where]

    @cached_property
    def bits(self) -> dict[str, Floats]:
        """The reference's own trajectories in NumPy."""
        found: dict[str, Floats] = {}
        dtype = numpy_dtype(self.dtype)
        for batch in self.batches:
            theta = batch.theta0.astype(dtype)
            state = init(theta, self.rule)
            rows = np.empty(batch.grads.shape)
            for t, grad in enumerate(batch.grads.astype(dtype)):
                with np.errstate(all="ignore"):
                    theta, state = step(theta, grad, state, self.rule)
                rows[t] = theta
            found |= {case.id: part for case, part in batch.split(rows)}
        return found


@lru_cache(maxsize=8)
def expected(rule: Rule, dtype: str) -> Expected:
    """The enclosures of the inputs of ``rule``, kept for the next check."""
    return Expected(rule, dtype)


class Judgement:
    """The trajectories of an implementation beside the enclosures of a rule.

    Attributes
    ----------
    reading, flush
        The honest way to take the hyper-parameters under which all of them are legal; or else the
        first.
    excess : dict of case ids to arrays (T, n)
        The error of each number over the allowed error; NaN where anything is legal.
    """

    def __init__(self, right: Expected, got: Trajectories) -> None:
        self.right, self.got = right, got
        for self.reading, self.flush in HONEST:
            self.excess = self._of(self.reading, self.flush, until_one_fails=True)
            if self.passes:
                return
        self.reading, self.flush = HONEST[0]
        self.excess = self._of(self.reading, self.flush)

    @property
    def passes(self) -> bool:
        """Whether all of it is legal."""
        return not any(np.any(excess > 1) for excess in self.excess.values())

    def _of(
        self, reading: Reading, flush: bool, until_one_fails: bool = False
    ) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        for i, batch in enumerate(self.right.batches):
            if until_one_fails and any(np.any(excess > 1) for excess in found.values()):
                break
            known = [case.id in self.got for case in batch.cases]
            if not any(known):
                continue
            rows = np.full(batch.grads.shape, np.nan)
            for (case, part), here in zip(batch.split(rows), known, strict=True):
                if here:
                    part[:] = self.got[case.id]
            excess = self.right.ball(i, reading, flush).excess(rows)
            excess = self._at_overflow(i, excess, rows, reading, flush)
            for (case, part), here in zip(batch.split(excess), known, strict=True):
                if here:
                    found[case.id] = part
        return found

    def _at_overflow(
        self, i: int, excess: Floats, rows: Floats, reading: Reading, flush: bool
    ) -> Floats:
        """The excess where a number is past the largest: what is legal there has a class.

        The step may be as if there were no largest number, when no such number is formed; it may be
        zero, with v infinite; and θ may be NaN or infinite.
        """
        rule = self.right.rule
        if rule.momentum or rule.weight_decay or not np.any(np.isnan(excess) & np.isfinite(rows)):
            return excess
        free = self.right.ball(i, reading, flush, wide=True).excess(rows)
        before = np.vstack([self.right.batches[i].theta0[None], rows])[:-1]
        illegal = (free > 1) & np.isfinite(rows) & (rows != before)
        return np.where(np.isnan(excess) & illegal, np.inf, excess)

    def point(self, case: str, t: int, j: int) -> Point:
        """One number of the trajectory of a case: row ``t``, from 0, and element ``j``."""
        for i, batch in enumerate(self.right.batches):
            for one, segment in zip(batch.cases, batch.segments, strict=True):
                if one.id == case:
                    ball = self.right.ball(i, self.reading, self.flush)[t, segment][j]
                    got = self.got[case][t, j]
                    return Point(
                        case,
                        t + 1,
                        j,
                        float(got),
                        float(ball.center),
                        float(ball.error(got)),
                        float(ball.rad),
                    )
        raise KeyError(case)

    def worst(self, among: Iterable[str]) -> Point | None:
        """The point of the largest excess."""
        best: tuple[float, str, int] | None = None
        for case in among:
            excess = self.excess[case]
            if np.any(excess >= 0):
                k = int(np.nanargmax(excess))
                if best is None or excess.flat[k] > best[0]:
                    best = float(excess.flat[k]), case, k
        if best is None:
            return None
        _, case, k = best
        return self.point(case, *divmod(k, self.excess[case].shape[1]))

    def first(self, among: Iterable[str]) -> Point | None:
        """The earliest illegal point; among those of one step, the worst."""
        best: tuple[int, float, str, int] | None = None
        for case in among:
            excess = self.excess[case]
            bad = np.flatnonzero((excess > 1).any(axis=1))
            if len(bad):
                t = int(bad[0])
                j = int(np.nanargmax(excess[t]))
                candidate = t, -float(excess[t, j]), case, j
                best = candidate if best is None else min(best, candidate)
        return None if best is None else self.point(best[2], best[0], best[3])

    def result(self, case: Case, exact: bool) -> CaseResult:
        """How one input went; ``exact`` says whether its bits are the reference's."""
        excess = self.excess[case.id]
        ratio = float(np.nanmax(excess)) if np.any(excess >= 0) else np.nan
        verdict = "exact" if exact else "outside" if np.any(excess > 1) else "proven"
        return CaseResult(case.id, verdict, ratio, _outcomes(excess, self.got[case.id], case))


def _outcomes(excess: Floats, got: Floats, case: Case) -> str:
    """What was given where nothing is determined."""
    free = np.isnan(excess)
    if not free.any():
        return ""
    before = np.vstack([case.theta0[None], got])[:-1]
    classes = {
        "NaN": np.isnan(got),
        "infinite": np.isinf(got),
        "unchanged": got == before,
        "finite": np.isfinite(got) & (got != before),
    }
    counts = {name: int((free & mask).sum()) for name, mask in classes.items()}
    seen = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"nothing is determined at {int(free.sum())} of {free.size} numbers: {seen}"
