"""The convex problem on which RMSProp walks to the worst point, and a problem on which it may not.

Reddi, Kale & Kumar (2018): the losses are C x, and then n-1 times -x, in turns, on [-1, 1]. So the
gradients do not depend on x, their sum over a period is C-(n-1) > 0, the best point is -1, and the
worst is +1. Whether RMSProp finds the one or the other is decided by the sign of what it moves
over a period: :func:`drift` where the order is fixed, :func:`mean_drift` where it is random.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from rmsprop_ref import Rule, init, step
from rmsprop_ref.course import family
from rmsprop_ref.course.runs import Array

# (probability, gradients): a block of gradients that comes with that probability
Block = tuple[float, Sequence[float]]


def batches(big: Any, period: int = 3) -> list[Any]:
    """The gradients of one period: C, and n-1 times -1. C may be an array: many runs at once."""
    big = np.asarray(big, dtype=float)
    return [big, *[-np.ones_like(big)] * (period - 1)]


def walk(gradients: Iterable[Any], rules: Rule | Iterable[Rule], start: float = 0.0) -> Array:
    """The reference with projection: each step is ``reference.step``, then cut to [-1, 1].

    Parameters
    ----------
    gradients : iterable of float or array
        One a step.
    rules : Rule, or iterable of Rules
        The same for all steps (whose ``lr`` may be a schedule), or one for each.
    start : float
        Where x starts.

    Returns
    -------
    array of shape (steps + 1, ...)
        All positions, the start first.
    """
    path, state = [], None
    x = None
    each = iter([rules] if isinstance(rules, Rule) else rules)
    rule = next(each)
    for gradient in gradients:
        g = np.asarray(gradient, dtype=float)
        if state is None or x is None:
            x = np.full(g.shape, start)
            state = init(x, rule)
            path.append(x)
        else:
            rule = next(each, rule)
        x, state = step(x, g, state, rule)
        x = np.clip(x, -1.0, 1.0)
        path.append(x)
    return np.stack(path)


def amsgrad(gradients: Iterable[Any], rule: Rule, start: float = 0.0) -> Array:
    """AMSGrad without momentum (Reddi et al. 2018, Algorithm 2), with the same projection.

    It divides by the root of the largest v so far. So its step is the reference's times √(v/v̂); the
    rule must have no ε.
    """
    x, path = np.float64(start), [np.float64(start)]
    state, largest = init(x, rule), np.float64(0.0)
    for g in gradients:
        moved, state = step(x, np.float64(g), state, rule)
        largest = max(largest, state.v)
        x = np.clip(x + (moved - x) * np.sqrt(state.v / largest), -1.0, 1.0)
        path.append(x)
    return np.array(path)


def ends(big: Any, beta: Any, *, steps: int, period: int = 3, rate: float = 1.0) -> Array:
    """Where many runs are after ``steps`` steps with the rate ``rate``/√t, from 0.

    C and β are arrays and are broadcast. A Rule holds one β; so the steps are those of
    ``family.rmsprop``, which a test holds against the reference to the bit.
    """
    big, beta = np.broadcast_arrays(np.asarray(big, float), np.asarray(beta, float))
    turn, x = batches(big, period), np.zeros(big.shape)
    state: dict[str, Any] = {}
    for t in range(steps):
        x, state = family.rmsprop(
            x, turn[t % period], state, lr=rate / math.sqrt(t + 1), beta=beta, eps=0.0
        )
        np.clip(x, -1.0, 1.0, out=x)
    return np.asarray(x)


def drift(beta: Any, big: Any, period: int = 3) -> Array:
    """What a period moves x *down*, in units of η: the sum of g/√v in the steady state.

    v is ``symbolic.convergence.periodic_average``. Positive: to the best point. β < 1.
    """
    beta, big = np.asarray(beta, float), np.asarray(big, float)
    share = [(1 - beta) * beta**k / (1 - beta**period) for k in range(period)]
    turn = zip(batches(big, period), share, strict=True)
    return np.asarray(sum(g / np.sqrt(1 + (big**2 - 1) * w) for g, w in turn))


def drift_of_reference(beta: float, big: float, period: int = 3, eps_out: float = 0.0) -> float:
    """The same, measured: run the reference until v is periodic, then take one period more."""
    rule = Rule(lr=1.0, beta=beta, eps_out=eps_out)
    turn = [np.float64(g) for g in batches(big, period)]
    # β^t below 1e-17: what v was at the start is rounded away.
    periods = math.ceil(math.log(1e-17) / math.log(beta) / period) + 1
    theta = np.float64(0.0)
    state = init(theta, rule)
    for _ in range(periods):
        for g in turn:
            theta, state = step(theta, g, state, rule)
    theta, total = np.float64(0.0), 0.0
    for g in turn:
        moved, state = step(theta, g, state, rule)
        total -= float(moved)
    return total


def zero(function: Callable[[float], Any], low: float, high: float) -> float:
    """Where a function changes from below zero to above it, by bisection to the last bits.

    Raises
    ------
    ValueError
        When it does not change sign so between ``low`` and ``high``.
    """
    if not function(low) < 0 < function(high):
        raise ValueError(f"no change of sign, from below to above, between {low} and {high}")
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return low


def boundary(big: float, period: int = 3) -> float:
    """β*(C): the β below which the steady state walks to the worst point."""
    return zero(lambda beta: drift(beta, big, period), 1e-9, 1 - 1e-9)


def independent(big: float, period: int = 3) -> list[Block]:
    """One gradient a block, drawn anew each time: C with the probability 1/n."""
    return [(1 / period, [big]), (1 - 1 / period, [-1.0])]


def shuffled(big: float, period: int = 3) -> list[Block]:
    """One period a block, in random order: C stands at each place with the probability 1/n."""
    orders = (np.where(np.arange(period) == place, big, -1.0) for place in range(period))
    return [(1 / period, list(order)) for order in orders]


def mean_drift(beta: float, blocks: Sequence[Block], past: int) -> float:
    """What a block moves x down, in units of η, on average over all pasts and all blocks.

    Parameters
    ----------
    beta : float
        β.
    blocks : list of Block
        The blocks, independent of each other.
    past : int
        How many blocks back every possibility counts on its own; older squares count with their
        mean. That neglects β^(2 n past) times the relative variance of v. The cost grows as the
        number of blocks to the power ``past``.
    """
    squares = sum(p * float(np.square(gs).sum()) for p, gs in blocks)
    v = np.full(1, squares / sum(p * len(gs) for p, gs in blocks))
    weight = np.ones(1)
    for _ in range(past):
        v = np.concatenate([_after(v, gs, beta) for _, gs in blocks])
        weight = np.concatenate([p * weight for p, _ in blocks])
    total = 0.0
    for p, gs in blocks:
        average = v
        for g in gs:
            average = beta * average + (1 - beta) * g**2
            total += p * g * float((weight / np.sqrt(average)).sum())
    return total


def _after(v: Array, gradients: Sequence[float], beta: float) -> Array:
    for g in gradients:
        v = beta * v + (1 - beta) * g**2
    return v


def rest(beta: float, data: Sequence[float]) -> float:
    """Where x rests on ½(x-a)² for the points a in turns, as η → 0 (between median and mean).

    There the gradients x-a repeat, and the sum of g/√v over a period is zero, as in ``drift``.
    """
    points = np.asarray(data, float)

    def down(x: float) -> float:
        turn = [x - a for a in points]
        v, ages = 0.0, np.arange(len(points))
        total = 0.0
        for i, g in enumerate(turn):
            past = np.array([turn[i - k] for k in ages])
            v = float((1 - beta) / (1 - beta ** len(turn)) * (beta**ages * past**2).sum())
            total += g / math.sqrt(v)
        return total

    return zero(down, points.min(), points.max())


def rests(betas: Any, data: Sequence[float], *, rate: float, steps: int) -> Array:
    """The same, measured, for several β at once: runs from the mean with the rate ``rate``/√t.

    Returns the mean of x over the last period, for each β. The steps are ``family.rmsprop``'s.
    """
    betas = np.asarray(betas, float)
    x = np.full(betas.shape, np.mean(data))
    last: list[Array] = []
    state: dict[str, Any] = {}
    for t in range(steps):
        g = x - data[t % len(data)]
        x, state = family.rmsprop(x, g, state, lr=rate / math.sqrt(t + 1), beta=betas, eps=0.0)
        last = [*last[1 - len(data) :], x]
    return np.asarray(np.mean(last, axis=0))


def average_l1(
    steps: int, curvature: Array, noise: float = 1.0, *, runs: int, seed: int = 10
) -> tuple[float, float]:
    """The mean ℓ1 norm of the gradient over a run of T steps, with η = 1/√(dT) and β = 1-1/T.

    The loss is ½ Σ hᵢxᵢ² with hᵢ ≤ 1 (so L = 1), started at xᵢ = 1/√(d hᵢ), where it is ½ for every
    d. The noise on each gradient is normal, of standard deviation ``noise``/√d, so the variances
    add up to ``noise``² for every d. v starts at ``noise``²/d.

    Returns
    -------
    mean, standard error : float
        Over ``runs`` runs, of the mean over the steps of Σ|hᵢxᵢ|: the true gradient's norm.
    """
    d = len(curvature)
    rng = np.random.default_rng(seed)
    rule = _of_the_theorem(steps, d, noise)
    x = np.broadcast_to(1 / np.sqrt(d * curvature), (runs, d)).copy()
    state, total = init(x, rule), np.zeros(runs)
    for _ in range(steps):
        slope = curvature * x
        total += np.abs(slope).sum(-1)
        g = slope + noise / math.sqrt(d) * rng.standard_normal((runs, d))
        x, state = step(x, g, state, rule)
    means = total / steps
    return float(means.mean()), float(means.std(ddof=1) / math.sqrt(runs))


def expected_l1(steps: int, curvature: Array, noise: float = 1.0) -> float:
    """What :func:`average_l1` is expected to be, if v does not stray from its own expectation.

    Then x is normal: let M be its mean and Q its variance. A gradient of the expected size makes
    the reference's v the expected one; its step, divided by the gradient, is the rate r, and one
    step turns M into (1-rh)M and Q into (1-rh)²Q + r²s². Neglected: that v fluctuates.
    """
    d, s = len(curvature), noise / math.sqrt(len(curvature))
    rule = _of_the_theorem(steps, d, noise)
    h, times = np.unique(curvature, return_counts=True)
    mean, variance = 1 / np.sqrt(d * h), np.zeros(h.shape)
    state, total = init(mean, rule), 0.0
    erf = np.vectorize(math.erf, otypes=[float])
    for _ in range(steps):
        # The mean of |x| for a normal x.
        spread = np.sqrt(2 * variance)
        ratio = np.divide(mean, spread, out=np.full(h.shape, 30.0), where=spread > 0)
        size = spread / math.sqrt(math.pi) * np.exp(-(ratio**2)) + mean * erf(ratio)
        total += float((times * h * size).sum())
        g = np.sqrt(h**2 * (mean**2 + variance) + s**2)
        moved, state = step(np.zeros(h.shape), g, state, rule)
        rate = -moved / g
        mean = (1 - rate * h) * mean
        variance = (1 - rate * h) ** 2 * variance + (rate * s) ** 2
    return total / steps


def _of_the_theorem(steps: int, d: int, noise: float) -> Rule:
    return Rule(lr=1 / math.sqrt(d * steps), beta=1 - 1 / steps, eps_out=0.0, v0=noise**2 / d)
