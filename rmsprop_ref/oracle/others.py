"""What a program may compute instead of RMSProp: other optimisers, and RMSProps with a line astray.

Each has the form of ``reference.step`` and runs in the same number systems, so that the oracle can
enclose it. None is a recommendation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from rmsprop_ref.constant import FORMATS, Constant
from rmsprop_ref.oracle.balls import Ball
from rmsprop_ref.oracle.double_double import DoubleDouble
from rmsprop_ref.reference import step as reference_step
from rmsprop_ref.rule import Rule, State

Step = Callable[[Any, Any, State, Rule, Any], tuple[Any, State]]
# What stands in the place of the root: of (its argument, xp, the state before, h, g).
Root = Callable[[Any, Any, State, Any, Any], Any]
# The elements of single inputs, which lie side by side.
Segments = Sequence[slice]

_BETA1 = Constant(0.9)  # Adam's, where the rule has no momentum to take for it


def descent(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """Gradient descent, with the rule's momentum if it has any."""
    h = rule.constants(state.t + 1)
    u, b = g, state.b
    if rule.momentum:
        u = b = h.momentum * b + g
    return theta - h.lr * u, state._replace(t=state.t + 1, b=b)


def sign_descent(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """A step of η against the sign of the gradient (Bernstein et al. 2018)."""
    h = rule.constants(state.t + 1)
    return theta - h.lr * (g / abs(g)), state._replace(t=state.t + 1)


def adam(corrected: bool) -> Step:
    """Adam (Kingma & Ba 2015, algorithm 1), with its correction of both averages, or without."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        t = state.t + 1
        h = rule.constants(t)
        beta1 = h.momentum if rule.momentum else _BETA1
        m = (1 - beta1) * g if state.t == 0 else beta1 * state.m + (1 - beta1) * g
        v = h.beta * state.v + (1 - h.beta) * (g * g)
        mean, a = (m / (1 - beta1**t), v / (1 - h.beta**t)) if corrected else (m, v)
        d = xp.sqrt(a + h.eps_in) + h.eps_out
        return theta - h.lr * mean / d, state._replace(t=t, v=v, m=m)

    return step


def adadelta(eps: Constant | None, scaled: bool) -> Step:
    """Adadelta (Zeiler 2012, algorithm 1), with the rule's ε or another; times η, or not."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        h = rule.constants(state.t + 1)
        small = h.eps_in + h.eps_out if eps is None else eps
        v = h.beta * state.v + (1 - h.beta) * (g * g)
        moved = v * Constant(0.0) if state.t == 0 else state.m  # the average of squared steps
        u = xp.sqrt(moved + small) * g / xp.sqrt(v + small)
        moved = h.beta * moved + (1 - h.beta) * (u * u)
        return theta - (h.lr * u if scaled else u), state._replace(t=state.t + 1, v=v, m=moved)

    return step


def amsgrad(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The largest average so far in place of the average (Reddi, Kale & Kumar 2018)."""
    h = rule.constants(state.t + 1)
    v = h.beta * state.v + (1 - h.beta) * (g * g)
    largest = v if state.t == 0 else xp.where(state.m.center > v.center, state.m, v)
    u = h.lr * g / (xp.sqrt(largest + h.eps_in) + h.eps_out)
    return theta - u, state._replace(t=state.t + 1, v=v, m=largest)


def mean_magnitude(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """An average of |g| for the root of an average of g²."""
    h = rule.constants(state.t + 1)
    v = h.beta * state.v + (1 - h.beta) * abs(g)
    return theta - h.lr * g / (v + h.eps_in + h.eps_out), state._replace(t=state.t + 1, v=v)


def squared_after_averaging(
    theta: Any, g: Any, state: State, rule: Rule, xp: Any
) -> tuple[Any, State]:
    """The square of an average of g for an average of g²."""
    h = rule.constants(state.t + 1)
    v = h.beta * state.v + (1 - h.beta) * g
    d = xp.sqrt(v * v + h.eps_in) + h.eps_out
    return theta - h.lr * g / d, state._replace(t=state.t + 1, v=v)


def running_mean(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The plain mean of all squares so far, weights 1/t."""
    t = state.t + 1
    h = rule.constants(t)
    share = Constant(1) / t
    v = (1 - share) * state.v + share * (g * g)
    return theta - h.lr * g / (xp.sqrt(v + h.eps_in) + h.eps_out), state._replace(t=t, v=v)


def with_root(root: Root) -> Step:
    """The reference with another function in the place of the root."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        h = rule.constants(state.t + 1)
        other = SimpleNamespace(
            sqrt=lambda a: root(a, xp, state, h, g), Max=xp.Max, full_like=xp.full_like
        )
        return reference_step(theta, g, state, rule, other)

    return step


def stale_root(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√(v + ε) with the v of the step before."""
    return xp.sqrt(state.v + h.eps_in)


def plus_root(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√(v + m²), of a = v - m²."""
    m = h.beta * state.m + (1 - h.beta) * g
    return xp.sqrt(a + (m * m + m * m))


def unsquared_root(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√(v - m), of a = v - m²."""
    m = h.beta * state.m + (1 - h.beta) * g
    return xp.sqrt(a + m * m - m)


def cube_root(a: Any, xp: Any, *_: Any) -> Any:
    """The cube root of a."""
    # Float64's power is enough here: the radius has room for its error.
    mid = np.cbrt(a.center)
    rad = a.rad / (3 * np.cbrt(np.maximum(a.center - a.rad, 0)) ** 2) + 4 * xp.u * mid
    rad = np.where(a.rad == 0, 4 * xp.u * mid, rad)
    return Ball(DoubleDouble.of(mid) if xp.wide else mid, rad, xp)


def root_corrected(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√v/(1-β^t), of a = v/(1-β^t)."""
    share = 1 - h.beta ** (state.t + 1)
    return xp.sqrt(a * share) / share


def mean_uncorrected(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√(v/(1-β^t) - m²), of the same with m corrected."""
    share = 1 - h.beta ** (state.t + 1)
    m = h.beta * state.m + (1 - h.beta) * g
    v = h.beta * state.v + (1 - h.beta) * (g * g)
    return xp.sqrt(v / share - m * m + h.eps_in)


def stale_mean(a: Any, xp: Any, state: State, h: Any, g: Any) -> Any:
    """√(v - m²) with the m of the step before."""
    v = h.beta * state.v + (1 - h.beta) * (g * g)
    return xp.sqrt(v - state.m * state.m + h.eps_in)


def correction_stored(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The corrected average is what the next step starts from."""
    share = 1 - rule.constants(state.t + 1).beta ** (state.t + 1)
    theta, new = reference_step(theta, g, state, rule, xp)
    return theta, new._replace(v=new.v / share)


def centered_numerator(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """What is divided is g - m, not g."""
    h = rule.constants(state.t + 1)
    _, new = reference_step(theta, g, state, rule, xp)
    d = xp.sqrt(new.v - new.m * new.m + h.eps_in) + h.eps_out
    return theta - h.lr * (g - new.m) / d, new


def deviation(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """An average of (g - m)² (AdaBelief, Zhuang et al. 2020)."""
    h = rule.constants(state.t + 1)
    m = h.beta * state.m + (1 - h.beta) * g
    v = h.beta * state.v + (1 - h.beta) * ((g - m) * (g - m))
    d = xp.sqrt(v + h.eps_in) + h.eps_out
    return theta - h.lr * g / d, state._replace(t=state.t + 1, v=v, m=m)


def one_buffer(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The mean is written into the array of v."""
    h = rule.constants(state.t + 1)
    v = h.beta * state.v + (1 - h.beta) * (g * g)
    v = h.beta * v + (1 - h.beta) * g
    d = xp.sqrt(v - v * v + h.eps_in) + h.eps_out
    return theta - h.lr * g / d, state._replace(t=state.t + 1, v=v)


def epsilon_kept(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """ε is added to v itself, and averaged with it."""
    h = rule.constants(state.t + 1)
    v = h.beta * state.v + (1 - h.beta) * (g * g) + (h.eps_in + h.eps_out)
    d = xp.sqrt(v + h.eps_in) + h.eps_out
    return theta - h.lr * g / d, state._replace(t=state.t + 1, v=v)


def absolute_decay(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The gradient of λ|θ| is added to that of the loss."""
    h = rule.constants(state.t + 1)
    share = xp.exactly(np.sign(theta.center))
    share = replace(share, rad=np.where(np.abs(theta.center) <= theta.rad, 2.0, 0.0))
    bare = replace(rule, weight_decay=0.0)
    return reference_step(theta, g + h.weight_decay * share, state, bare, xp)


def adamax(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The largest |g| of late, max(βv, |g|) (Kingma & Ba 2015, algorithm 2)."""
    h = rule.constants(state.t + 1)
    old, new = h.beta * state.v, abs(g)
    v = xp.where(old.center > new.center, old, new)
    u = h.lr * g / (v + (h.eps_in + h.eps_out))
    return theta - u, state._replace(t=state.t + 1, v=v)


def average_twice(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The same g² enters the average twice."""
    h = rule.constants(state.t + 1)
    once = h.beta * state.v + (1 - h.beta) * (g * g)
    return reference_step(theta, g, state._replace(v=once), rule, xp)


def twice(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """Two steps with one gradient."""
    theta, new = reference_step(theta, g, state, rule, xp)
    return reference_step(theta, g, new._replace(t=state.t), rule, xp)


def decay_after(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """θ shrinks after the step."""
    h = rule.constants(state.t + 1)
    theta, state = reference_step(theta, g, state, replace(rule, weight_decay=0.0), xp)
    apart = h.weight_decay
    if rule.weight_decay_form == "decoupled":
        apart = h.lr * h.weight_decay
    return theta - apart * theta, state


def decay_beside(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """λθ is added to the gradient that is divided, not to the one that is averaged."""
    h = rule.constants(state.t + 1)
    _, new = reference_step(theta, g, state, replace(rule, weight_decay=0.0), xp)
    d = xp.sqrt(new.v + h.eps_in) + h.eps_out
    return theta - h.lr * (g + h.weight_decay * theta) / d, new


def decay_in_average(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """λθ is added to the gradient that is averaged, not to the one that is divided."""
    h = rule.constants(state.t + 1)
    _, new = reference_step(theta, g, state, rule, xp)
    d = xp.sqrt(new.v + h.eps_in) + h.eps_out
    return theta - h.lr * g / d, new


def skipping_zeros(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """Where the gradient is zero, nothing changes."""
    new = reference_step(theta, g, state, rule, xp)
    return _where(g.center == 0, (theta, state), new, xp)


def still_at(number: int) -> Step:
    """The reference, but for one step in which θ stays: 1-β^0 = 0 divides there."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        moved, new = reference_step(theta, g, state, rule, xp)
        return (theta if state.t + 1 == number else moved), new

    return step


def resetting(period: int, early: bool) -> Step:
    """The reference, with an average that starts again after every ``period`` steps, or with it."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        if state.t and (state.t + early) % period == 0:
            start = 0.0 if rule.v0 == "first_square" else float(rule.v0)
            state = state._replace(v=xp.full_like(theta, Constant(start).like(theta)))
        return reference_step(theta, g, state, rule, xp)

    return step


# What follows depends on which elements belong to one input, or keeps something between steps: it
# makes the step anew for each run.


def stale(segments: Segments) -> Step:
    """The average has the new gradient, the step the one before."""
    before: list[Any] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        h = rule.constants(state.t + 1)
        _, new = reference_step(theta, g, state, rule, xp)
        old = before.pop() if before else Constant(0.0) * g
        before.append(g)
        return theta - h.lr * old / (xp.sqrt(new.v + h.eps_in) + h.eps_out), new

    return step


def first_not_taken(segments: Segments) -> Step:
    """The first gradient is left out."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        if state.t == 0:
            return theta, state._replace(t=1)
        return reference_step(theta, g, state, rule, xp)

    return step


def first_without_move(segments: Segments) -> Step:
    """In the first step θ stays, and the averages do not."""
    calls: list[None] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        moved, new = reference_step(theta, g, state, rule, xp)
        calls.append(None)
        return (theta if len(calls) == 1 else moved), new

    return step


def first_over_zero(segments: Segments) -> Step:
    """In the first step v is divided by zero: θ stays, or, where v is zero too, becomes NaN."""
    calls: list[None] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        moved, new = reference_step(theta, g, state, rule, xp)
        calls.append(None)
        if len(calls) > 1:
            return moved, new
        return replace(theta, rad=np.where(new.v.center == 0, np.inf, theta.rad)), new

    return step


def from_the_start(segments: Segments) -> Step:
    """Each step starts from θ0."""
    start: list[Any] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        start.append(theta)
        again = theta - (theta - start[0])  # with the rounding of a program that goes back
        return reference_step(again, g, state, rule, xp)

    return step


def one_step_back(segments: Segments) -> Step:
    """The momentum buffer holds the step before this one, and none older."""
    before: list[Any] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        h = rule.constants(state.t + 1)
        bare = replace(rule, momentum=0.0, nesterov=False)
        _, new = reference_step(theta, g, state, bare, xp)
        u = _divided(g, new, rule, h, xp)
        old = before.pop() if before else Constant(0.0) * u
        before.append(u)
        return theta - (u + h.momentum * old), new._replace(b=state.b)

    return step


def _divided(g: Any, state: State, rule: Rule, h: Any, xp: Any) -> Any:
    a = state.v - state.m * state.m if rule.centered else state.v
    return h.lr * g / (xp.sqrt(a + h.eps_in) + h.eps_out)


def row_before(segments: Segments) -> Step:
    """What is returned is one step behind."""
    ahead: list[Any] = []

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        here = ahead.pop() if ahead else theta
        moved, new = reference_step(here, g, state, rule, xp)
        ahead.append(moved)
        return here, new

    return step


def shared(name: str) -> Callable[[Segments], Step]:
    """One second moment for all elements of an input: their mean, largest, first or sum."""

    def make(segments: Segments) -> Step:
        def root(a: Any, xp: Any, *_: Any) -> Any:
            return xp.sqrt(_combined(name, a, segments))

        return with_root(root)

    return make


def normalised(most: float | None) -> Callable[[Segments], Step]:
    """The gradient divided by its norm; or, if that is larger than ``most``, scaled to it."""

    def make(segments: Segments) -> Step:
        def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
            norm = xp.sqrt(_combined("sum", g * g, segments))
            scaled = g / norm
            if most is not None:
                limit = Constant(most)
                scaled = xp.where(norm.center > most, limit * scaled, g)
            return reference_step(theta, scaled, state, rule, xp)

        return step

    return make


def kept_in(dtype: str, slot: str) -> Callable[[Segments], Step]:
    """θ or v is rounded, or cut off, to another dtype in each step."""
    bits, e_min, e_max = FORMATS[dtype]
    largest = 2.0**e_max

    def rounded(x: Ball) -> Ball:
        size = np.abs(x.center) + x.rad
        rad = x.rad + np.maximum(size * 2.0 ** (1 - bits), np.where(size > 0, 2.0**e_min, 0.0))
        return replace(x, rad=np.where(size > largest, np.inf, rad))

    def make(segments: Segments) -> Step:
        stored = with_root(lambda a, xp, *_: xp.sqrt(rounded(a))) if slot == "v" else reference_step

        def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
            theta, state = stored(theta, g, state, rule, xp)
            if slot == "theta":
                return rounded(theta), state
            return theta, state._replace(v=rounded(state.v))

        return step

    return make


def _where(mask: Any, a: tuple[Any, State], b: tuple[Any, State], xp: Any) -> tuple[Any, State]:
    """θ and the state: where the mask holds those of ``a``, elsewhere those of ``b``."""
    slots = {
        name: xp.where(mask, getattr(a[1], name), new)
        for name, new in b[1]._asdict().items()
        if isinstance(new, Ball)
    }
    return xp.where(mask, a[0], b[0]), b[1]._replace(**slots)


def _combined(name: str, a: Ball, segments: Segments) -> Ball:
    """In each segment, its mean, largest, first or sum."""
    mid, rad = np.empty(a.shape), np.empty(a.shape)
    for s in segments:
        center, width, n = a.center[s], a.rad[s], s.stop - s.start
        if n == 0:
            continue
        if name == "largest":
            mid[s], rad[s] = center.max(), width.max()
        elif name == "first":
            mid[s], rad[s] = center[0], width[0]
        else:
            share = n if name == "mean" else 1
            mid[s] = center.sum() / share
            rad[s] = (width.sum() + n * a.system.u * np.abs(center).sum()) / share
    wide: Any = DoubleDouble.of(mid) if a.system.wide else mid
    return Ball(wide, rad, a.system)
