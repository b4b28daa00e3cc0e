"""A hypothesis beside a recording: whether its enclosure holds it, and to which numbers.

Near its best numbers a hypothesis is linear in them. Let A be the matrix of the derivatives of the
recorded numbers, each over the radius that the enclosure allows. Errors of up to one radius each
shift the least-squares estimate of number k by no more than the sum of the absolute values in row k
of A's pseudoinverse. That is the accuracy that is stated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from rmsprop_ref.oracle.balls import Ball, Balls, Floats
from rmsprop_ref.oracle.enclosures import BINARY64, DECIMAL, Reading, needs, steps
from rmsprop_ref.oracle.fitting import Evidence, Form, Many, simulate
from rmsprop_ref.reference import step as reference_step
from rmsprop_ref.rule import Rule

_AWAY = 1e-6


@dataclass(frozen=True)
class Explanation:
    """A hypothesis with numbers, beside a recording.

    Attributes
    ----------
    form : Form
        Its formulas.
    numbers : dict
        The fitted numbers, by the fields of Rule. ``"lr"`` is one of them, or ``"lr[3]"``, …
    ranges : dict
        For each of them, and for each that the formulas could have besides, the least and the
        largest value with which they could still explain the recording.
    off, allowed, excess : array, shape (T, n)
        The error of each recorded number, with its sign; the allowed one; and the first over the
        second, NaN where anything is legal.
    reading : Reading
        What the hyper-parameters stand for.
    """

    form: Form
    numbers: dict[str, float]
    ranges: dict[str, tuple[float, float]]
    off: Floats
    allowed: Floats
    excess: Floats
    reading: Reading = BINARY64

    @property
    def worst(self) -> float:
        """The largest excess."""
        return float(np.nanmax(self.excess, initial=0.0))

    @property
    def digits(self) -> int:
        """How many digits it takes to write the numbers, beyond the first of each."""
        return sum(_digits(name, value) - 1 for name, value in self.numbers.items())

    @property
    def leaves(self) -> int:
        """The first step, from 1, in which a number is outside; 0 if none is."""
        outside = np.flatnonzero((self.excess > 1).any(axis=1))
        return int(outside[0]) + 1 if len(outside) else 0

    def rule(self, evidence: Evidence) -> Rule:
        """Its Rule."""
        return _rule(self.form, self.numbers, evidence)


def _rule(form: Form, numbers: dict[str, Any], evidence: Evidence) -> Rule:
    given = {k: v for k, v in evidence.given.items() if k in form.free}
    named = given | {k: v for k, v in numbers.items() if not k.startswith("lr")}
    if evidence.rates == "free":
        rates: Any = tuple(numbers[f"lr[{t}]"] for t in range(len(evidence.grads)))
    else:
        rates = numbers["lr"] if evidence.rates == "constant" else evidence.rates
    return form.rule(rates, named)


def enclosed(form: Form, rule: Rule, evidence: Evidence, dtype: str, *readings: Reading) -> Ball:
    """θ after each step, (T, n)."""
    system = Balls(dtype, **needs(rule))
    made = steps(rule, evidence.theta0, evidence.grads, system, *readings, step=form.step)
    ball: Ball = system.stack([theta for theta, _ in made], evidence.theta0.shape)
    return ball


def _slopes(
    form: Form, numbers: dict[str, float], evidence: Evidence, small: Mapping[str, float]
) -> Floats:
    """The derivatives of θ by the numbers, (T n, numbers)."""
    if not numbers:
        return np.zeros((evidence.grads.size, 0))
    away = [_step(name, value, small) for name, value in numbers.items()]
    values = {
        name: Many(value + by * (np.arange(len(numbers) + 1) == k + 1))
        for k, ((name, value), by) in enumerate(zip(numbers.items(), away, strict=True))
    }
    rule = _rule(form, values, evidence)
    theta = simulate(rule, form.step, evidence.theta0, evidence.grads)
    theta = np.broadcast_to(theta, (*evidence.grads.shape, len(numbers) + 1))
    with np.errstate(all="ignore"):
        change = (theta[:, :, 1:] - theta[:, :, :1]) / np.array(away)
    return np.asarray(change.reshape(-1, len(numbers)))


def _step(name: str, value: float, small: Mapping[str, float]) -> float:
    """How far to look for a derivative: where there is room, and the effect is seen and small."""
    if name == "beta":
        return _AWAY if value < 0.5 else _AWAY * min(value - 1, -1e-9)
    if name in ("momentum", "weight_decay"):
        return -_AWAY if value == 1 else _AWAY
    if name in small:
        return max(small[name], _AWAY * value)
    return _AWAY * value or _AWAY


def small_steps(form: Form, numbers: dict[str, float], evidence: Evidence) -> dict[str, float]:
    """For each ε, and for v0: a number so small that its effect is small, but seen."""
    tried = np.geomspace(1e-40, 1e8, 49)
    found: dict[str, float] = {}
    for name in ("eps_in", "eps_out", "eps_floor", "v0"):
        if name in form.free and name not in evidence.given:
            value = numbers.get(name, 0.0)
            rule = _rule(form, numbers | {name: Many(np.append(value, value + tried))}, evidence)
            theta = simulate(rule, form.step, evidence.theta0, evidence.grads)
            size = np.abs(theta[:, :, :1] - evidence.theta0[:, None]).max(0)
            effect = np.abs(theta[:, :, 1:] - theta[:, :, :1]).max(0)
            share = (effect / np.where(size > 0, size, 1.0)).max(0)
            found[name] = float(tried[max(np.flatnonzero(share < 1e-5), default=0)])
    return found


def _range(name: str, value: float, by: float) -> tuple[float, float]:
    """What a number may be that is known to an accuracy."""
    return max(value - by, 0.0), min(value + by, _most(name))


def _most(name: str) -> float:
    return {"beta": 1 - 2.0**-50, "momentum": 1.0}.get(name, math.inf)


def _accuracy(a: Floats) -> Floats:
    """Row sums of |A⁺|; infinite for numbers that a direction without effect takes part in."""
    if not a.size:
        return np.zeros(a.shape[1])
    length = np.sqrt((a * a).sum(0))
    unit = np.where(length > 0, length, 1.0)
    u, s, vt = np.linalg.svd(a / unit, full_matrices=False)
    seen = s > 1e-9 * s[0]
    inverse = (vt.T[:, seen] / s[seen]) @ u.T[seen]
    reach = np.abs(inverse).sum(1) / unit
    blind = (np.abs(vt[~seen]) > 1e-4).any(axis=0) | (length == 0)
    if len(a) < a.shape[1]:  # more numbers than data
        blind |= True
    return np.where(blind, np.inf, reach)


def _finite(a: Floats) -> Floats:
    return np.where(np.isfinite(a), a, 0.0)


def _solved(a: Floats, b: Floats) -> Floats:
    length = np.sqrt((a * a).sum(0))
    unit = np.where(length > 0, length, 1.0)
    return np.asarray(np.linalg.lstsq(a / unit, b, rcond=1e-10)[0] / unit)


def _moved(numbers: dict[str, float], by: Floats) -> dict[str, float]:
    """The numbers after a correction, in range."""
    return {
        name: min(max(value + float(change), 0.0), min(_most(name), 1e300))
        for (name, value), change in zip(numbers.items(), by, strict=True)
    }


def weigh(
    form: Form, numbers: dict[str, float], evidence: Evidence, dtype: str, rounds: int = 2
) -> Explanation:
    """The hypothesis with its numbers corrected and, where that still explains, made short.

    Parameters
    ----------
    form, numbers
        The hypothesis, with numbers that are nearly right.
    evidence : Evidence
        The recording.
    dtype : str
        The format in which it was computed.
    rounds : int
        How often the numbers are corrected.
    """
    numbers = {k: max(v, 0.0) for k, v in numbers.items()}
    best = _judged(form, numbers, evidence, dtype, BINARY64)
    stress, small = np.ones(best.excess.size), small_steps(form, numbers, evidence)
    for k in range(rounds + 4):
        if best.worst <= 1 or (k >= rounds and best.worst > 3):
            break
        off, weight = _residual(best)
        if k >= rounds:  # the largest error counts, not their mean square
            stress *= 0.2 + np.nan_to_num(np.minimum(best.excess.ravel(), 5.0))
        weight = weight * np.sqrt(stress)
        a = _finite(_slopes(form, best.numbers, evidence, small) * weight[:, None])
        trial = _moved(best.numbers, _solved(a, off * weight))
        new = _judged(form, trial, evidence, dtype, BINARY64)
        if new.worst >= best.worst:
            break
        best = new
    # In float64 the last bit of β, or of 1-β, may count more than the enclosure allows.
    if best.worst > (300 if dtype == "float64" else 3):
        return best
    off, weight = _residual(best)
    a = _finite(_slopes(form, best.numbers, evidence, small) * weight[:, None])
    tried: list[dict[str, float]] = []
    for share in (1.0, 1 / 8, 1 / 64) if best.worst <= 3 else (1.0,):
        short = _short(best.numbers, a, off * weight, share)
        if short in tried:
            continue
        tried.append(short)
        for reading in (BINARY64, DECIMAL):
            new = _judged(form, short, evidence, dtype, reading)
            if new.worst <= 1:
                return new
    return best


def _judged(
    form: Form, numbers: dict[str, float], evidence: Evidence, dtype: str, reading: Reading
) -> Explanation:
    """The hypothesis as it is."""
    ball = enclosed(form, _rule(form, numbers, evidence), evidence, dtype, reading)
    got = evidence.trajectory
    with np.errstate(all="ignore"):
        off = (
            got - ball.mid
            if isinstance(ball.mid, np.ndarray)
            else (got - ball.mid.hi) - ball.mid.lo
        )
    counts = evidence.weight > 0
    excess = np.where(counts, ball.excess(got), np.nan)
    # What allows anything explains nothing.
    rounding = 64 * len(got) * ball.system.u * np.abs(got)
    vague = counts & ~(ball.rad <= np.abs(got - evidence.theta0) + rounding)
    if 2 * np.count_nonzero(vague) > np.count_nonzero(counts):
        excess = np.where(vague, np.inf, excess)
    return Explanation(form, numbers, {}, off, ball.rad, excess, reading)


def _residual(one: Explanation) -> tuple[Floats, Floats]:
    """How far each number is off, and 1 over what is allowed; 0 for what says nothing."""
    off, rad = one.off.ravel(), one.allowed.ravel()
    usable = np.isfinite(off) & np.isfinite(rad) & (rad > 0) & ~np.isnan(one.excess.ravel())
    return np.where(usable, off, 0.0), np.where(usable, 1 / np.where(usable, rad, 1.0), 0.0)


def ranges(
    one: Explanation,
    evidence: Evidence,
    small: Mapping[str, float],
    besides: bool = True,
) -> dict[str, tuple[float, float]]:
    """The range of each number and, ``besides``, of each that the rule could have as well."""
    off, weight = _residual(one)
    weight = weight / max(1.0, one.worst)

    def known(a: Floats) -> Floats:
        return _accuracy(_finite(a * weight[:, None])[weight > 0])

    def spans(a: Floats) -> tuple[Floats, Floats]:
        """The middle of each range, from the number as it is, and half its width."""
        return _solved(_finite(a * weight[:, None]), off * weight), known(a)

    own = _slopes(one.form, one.numbers, evidence, small)
    columns = [spans(own)]
    found: dict[str, tuple[float, float]] = {}
    for form, name in _besides(one.form, one.numbers, evidence) if besides else ():
        away = _step(name, 0.0, small)
        middle, reach = spans(np.hstack([own, _effect(form, one.numbers, evidence, name, away)]))
        high = max(float(middle[-1] + reach[-1]), 0.0)
        found[name] = 0.0, max(high, found.get(name, (0.0, 0.0))[1])
        # Another number that hardly shows may still move the others, where it does not hide them.
        if np.isfinite(reach).all():
            columns.append((middle[:-1], reach[:-1]))
    for k, (name, value) in enumerate(one.numbers.items()):
        # The numbers may have been made short: they are no longer in the middle.
        ends = [_range(name, value + float(m[k]), float(r[k])) for m, r in columns]
        lows, highs = zip((value, value), *ends, strict=True)
        found[name] = min(lows), max(highs)
    return found


def _besides(
    form: Form, numbers: dict[str, float], evidence: Evidence
) -> Iterator[tuple[Form, str]]:
    """What else a rule could have: the formulas with it, and its name."""
    for name in ("eps_out", "eps_in", "v0"):
        if name in form.free and name not in numbers and name not in evidence.given:
            yield form, name
    if form.step is not reference_step:
        return
    for name, fields in (
        ("momentum", {"momentum_on": "step"}),
        ("momentum", {"momentum_on": "gradient"}),
        ("weight_decay", {"weight_decay_form": "l2"}),
        ("weight_decay", {"weight_decay_form": "decoupled"}),
    ):
        if name not in form.free and name not in evidence.given:
            more = tuple((dict(form.fields) | fields).items())
            yield replace(form, fields=more, free=(*form.free, name)), name


def _effect(
    form: Form, numbers: dict[str, float], evidence: Evidence, name: str, away: float
) -> Floats:
    """The derivative of θ by a number that is 0, (T n, 1)."""
    rule = _rule(form, numbers | {name: Many(np.array([0.0, away]))}, evidence)
    theta = simulate(rule, form.step, evidence.theta0, evidence.grads)
    return np.asarray((theta[:, :, 1:] - theta[:, :, :1]).reshape(-1, 1) / away)


def _short(numbers: dict[str, float], a: Floats, b: Floats, share: float) -> dict[str, float]:
    """The numbers with as few digits as their accuracy allows, the best known first."""
    short, left = dict(numbers), list(numbers)
    shift = np.zeros(len(numbers))  # of each, from where A was formed
    place = {name: k for k, name in enumerate(numbers)}
    while left:
        columns = a[:, [place[name] for name in left]]
        at = _moved({x: numbers[x] for x in left}, _solved(columns, b - a @ shift))
        reach = dict(zip(left, _accuracy(columns) * share, strict=True))
        name = min(left, key=lambda x: reach[x] / (at[x] or 1e-300))
        short[name] = _decimal(name, at[name], *_range(name, at[name], reach[name]))
        shift[place[name]] = short[name] - numbers[name]
        left.remove(name)
    return short


def _digits(name: str, value: float) -> int:
    ways = [value, round(1 - value, 16)] if name in ("beta", "momentum") else [value]
    return min(len(Decimal(repr(x)).normalize().as_tuple().digits) for x in ways)


def _decimal(name: str, value: float, low: float, high: float) -> float:
    """The shortest decimal between two numbers, as near to ``value`` as it can be."""
    if name.startswith("eps") and value > 0:  # mostly a power of ten
        power = float(f"1e{round(math.log10(value))}")
        if low <= power <= high:
            return power
    for digits in range(1, 17):
        near = [float(f"{value:.{digits}g}"), 1 - float(f"{1 - value:.{digits}g}")]
        near[1] = float(f"{near[1]:.15g}")
        for x in near if 0 < value <= 1 else near[:1]:
            if low <= x <= high and x > 0:
                return x
    return value


def feedforward(form: Form, numbers: dict[str, float], evidence: Evidence) -> Floats:
    """θ after each step (T, n), in float64."""
    rule = _rule(form, {k: Many(np.array([v])) for k, v in numbers.items()}, evidence)
    theta = simulate(rule, form.step, evidence.theta0, evidence.grads)
    return np.asarray(np.broadcast_to(theta, (*evidence.grads.shape, 1))[:, :, 0])


def nudged(
    form: Form,
    numbers: dict[str, float],
    evidence: Evidence,
    judge: Explanation,
    small: Mapping[str, float],
) -> dict[str, float]:
    """The numbers after one correction, in float64, with the allowed errors of ``judge``."""
    off = evidence.trajectory - feedforward(form, numbers, evidence)
    _, weight = _residual(replace(judge, off=off))
    a = _finite(_slopes(form, numbers, evidence, small) * weight[:, None])
    return _moved(numbers, _solved(a, _finite(off.ravel() * weight)))
