"""How far apart two Rules get: by a proved formula where there is one, otherwise as measured.

The distance is the largest ratio, over gradients and steps, of what the two move the same θ by
after the same gradients; where it is proved, of what they divide by. 1 is the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy

from rmsprop_ref.dialects.dialect import canonical
from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule

# The golden ratio: the ε across the root that comes nearest is √(ε/φ), see symbolic.conversions.
GOLDEN = (1 + math.sqrt(5)) / 2
_EPSILONS = ("eps_in", "eps_out", "eps_floor")
_STEPS = 100


class Apart(NamedTuple):
    """How far apart the steps of two rules get.

    Attributes
    ----------
    factor : float
        The largest ratio of the two, the larger over the smaller; NaN where it is not known.
    where : str
        At which gradients, and in which step.
    proved : bool
        A bound for all gradients; or else the largest in a hundred steps, each at the same θ, along
        gradients of one sign, constant and random, from 1e-8 to 1e4.
    """

    factor: float
    where: str
    proved: bool

    def __str__(self) -> str:
        if math.isnan(self.factor):
            return f"not measured, {self.where}"
        factor = "without bound" if math.isinf(self.factor) else f"by a factor of {self.factor:.4g}"
        what = "proved: denominators differ at most" if self.proved else "measured: steps differ"
        return f"{what} {factor}, {self.where}"


@lru_cache(maxsize=4096)
def apart(rule: Rule, other: Rule) -> Apart:
    """How far apart the steps of two rules get."""
    return _bound(rule, other) or _measured(rule, other)


def _bound(rule: Rule, other: Rule) -> Apart | None:
    """The proved factor, where only ε differs, or only the start of the average."""
    rules = (rule, other)

    def differ_only_in(*names: str) -> bool:
        moved = replace(rule, **{name: getattr(other, name) for name in names})
        return canonical(moved) == canonical(other)

    if differ_only_in(*_EPSILONS):
        # One ε each: the ratio has its extremes at 0, at a floor, and where ε_in/ε_out is √v.
        if not all(sum(getattr(x, name) > 0 for name in _EPSILONS) <= 1 for x in rules):
            return None
        inside, outside = (max(getattr(x, name) for x in rules) for name in ("eps_in", "eps_out"))
        places = {0.0, rule.eps_floor, other.eps_floor, inside / outside if outside else 0.0}
        return max(_at(denominator(rule), denominator(other), place) for place in sorted(places))
    numbers = isinstance(rule.v0, float) and isinstance(other.v0, float)
    if numbers and differ_only_in("v0"):
        gain = rule.beta / (1 - rule.beta if rule.bias_correction else 1)
        first = [denominator(rule)(math.sqrt(x.v0 * gain)) for x in rules]
        return Apart(_over(*first), "in the first step, as the gradient goes to 0", True)
    return None


def denominator(rule: Rule) -> Callable[[float], float]:
    """What ``rule`` divides by, as a function of the root of the average."""
    return lambda root: max(
        math.sqrt(root * root + rule.eps_in) + rule.eps_out, float(rule.eps_floor)
    )


def _at(ours: Callable[[float], float], theirs: Callable[[float], float], root: float) -> Apart:
    where = f"at √v = {root:.3g}" if root else "as the gradients go to 0"
    return Apart(_over(ours(root), theirs(root)), where, True)


def _over(x: float, y: float) -> float:
    smaller, larger = sorted((x, y))
    return 1.0 if smaller == larger else larger / smaller if smaller else math.inf


def across(rule: Rule) -> list[Rule]:
    """The rule as it is, and with its ε elsewhere, each the nearest there to three digits."""
    size = max(math.sqrt(rule.eps_in), rule.eps_out, rule.eps_floor)
    if size == 0 or sum(getattr(rule, name) > 0 for name in _EPSILONS) > 1:
        return [rule]
    # By the ratio of the denominators at √v = 0 and where it is furthest on the other side of 1.
    from_to = {
        ("eps_in", "eps_out"): size / math.sqrt(GOLDEN),
        ("eps_out", "eps_in"): size * math.sqrt(GOLDEN),
        ("eps_floor", "eps_in"): size / math.sqrt(GOLDEN),
        ("eps_in", "eps_floor"): size * math.sqrt(GOLDEN),
        ("eps_floor", "eps_out"): size / GOLDEN,
        ("eps_out", "eps_floor"): size * GOLDEN,
    }
    (place,) = (name for name in _EPSILONS if getattr(rule, name) > 0)
    moved: list[dict[str, Any]] = [
        {to: float(f"{x * x if to == 'eps_in' else x:.3g}")}
        for (source, to), x in from_to.items()
        if source == place
    ]
    return [rule, *(replace(rule, **dict.fromkeys(_EPSILONS, 0.0) | eps) for eps in moved)]


def _measured(rule: Rule, other: Rule) -> Apart:
    with numpy.errstate(all="ignore"):
        sizes = abs(numpy.log(_steps(rule) / _steps(other)))
    if numpy.isnan(sizes).all():
        return Apart(math.nan, "for in float64 nothing is left of v - m²", False)
    sizes = numpy.nan_to_num(sizes, nan=0.0, posinf=math.inf)
    t, i = numpy.unravel_index(int(sizes.argmax()), sizes.shape)
    scale, kind = _SCALES[i // len(_KINDS)], _KINDS[i % len(_KINDS)]
    return Apart(
        float(numpy.exp(sizes[t, i])), f"at {kind} gradients of {scale:g}, step {t + 1}", False
    )


_SCALES = [10.0**k for k in range(-8, 5)]
_KINDS = ("constant", "random", "very unequal")


@lru_cache(maxsize=1)
def _gradients() -> Any:
    """(T, n), of one sign: so are all steps then, and their ratio has a meaning."""
    rng = numpy.random.default_rng(0)
    shape = (_STEPS, len(_SCALES))
    kinds = [numpy.ones(shape), abs(rng.normal(size=shape)), rng.lognormal(sigma=3.0, size=shape)]
    return (numpy.stack(kinds, axis=-1) * numpy.array(_SCALES)[:, None]).reshape(_STEPS, -1)


@lru_cache(maxsize=256)
def _steps(rule: Rule) -> Any:
    """What ``rule`` moves θ by, (T, n); NaN where float64 does not resolve it."""
    grads, steps = _gradients(), []
    grads = grads[: len(rule.lr)] if isinstance(rule.lr, tuple) else grads
    # Without weight decay a step does not depend on θ; beside θ = 0 it keeps all its digits.
    theta = numpy.full(grads.shape[1], 1.0 if rule.weight_decay else 0.0)
    state = init(theta, rule)
    with numpy.errstate(all="ignore"):
        for grad in grads:
            after, state = step(theta, grad, state, rule)
            steps.append(theta - after)
            if rule.centered:  # v - m² that has cancelled
                steps[-1][state.v - state.m * state.m < 1e-9 * state.v] = numpy.nan
    return numpy.array(steps)
