"""The centered rule: what v - m² is, how long its steps are, and the recursion that keeps it alive.

With ``centered=True`` the reference divides by √(v - m²) in place of √v. Every theorem here starts
from its step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from sympy import Eq, Integer, Integral, Limit, Rational, Subs, Sum, Symbol, sqrt

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.theorems import Theorem
from rmsprop_ref.symbolic.update import beta, eta, g, m, t, theta, theta_t, v

_a, _d, _p, _w = sympy.symbols("a d p w", positive=True)
_x, _h, _S = sympy.symbols("x h S", positive=True)
_M, _mean = sympy.symbols("M mu", real=True)
_sd, _eps = sympy.symbols("sigma epsilon", positive=True)
_s = Symbol("s", integer=True, nonnegative=True)
_q, _V = sympy.symbols("q V", positive=True)


def _centered(gradient: Any, v_old: Any, m_old: Any, position: Any = theta, **eps: Any) -> Any:
    """The position and the state after one centered step of the reference, without ε."""
    rule = Rule(lr=eta, beta=beta, centered=True, **{"eps_out": 0.0, **eps})
    return step(position, gradient, State(t, v_old, m_old), rule, sympy)


def _between(expression: Any) -> Any:
    """With β = 1/(1+q), q > 0, so that SymPy knows that it lies between 0 and 1."""
    return sympy.simplify(expression.subs(beta, 1 / (1 + _q)))


def centered_variance() -> Theorem:
    """What v - m² is: a variance, of a history that begins with zeros."""
    grad = sympy.Function("g", real=True)
    m_at_t = (1 - beta) * Sum(beta ** (t - _s) * grad(_s), (_s, 1, t))
    _, after = _centered(grad(t + 1), v, m_at_t)
    last_apart = (1 - beta) * (
        Sum(beta ** (t + 1 - _s) * grad(_s), (_s, 1, t)) + grad(t + 1)
    )  # Σ up to t+1
    difference = _w * _S - (_w * _M) ** 2
    inside, between = _w * (_S - _M**2), _w * (1 - _w) * _M**2
    return Theorem(
        "What v - m² is",
        (Eq(v - m**2, inside + between), Eq(_w, 1 - beta**t)),
        "From v₀ = m₀ = 0, for all gradients. Let M be the average of the gradients so far and S "
        "that of their squares, with weights in proportion to β^(t-s) that sum to one, so that "
        "S - M² is the variance of the gradients:",
        (
            (
                "The mean m is unrolled as v is (row 1): a step adds its term to the sum",
                after.m,
                last_apart,
            ),
            (
                "The weights sum to w",
                Sum((1 - beta) * beta ** (t - _s), (_s, 1, t)),
                1 - beta**t,
            ),
            ("So v = wS and m = wM, and the difference is", difference, inside + between),
            (
                "Give the weight 1-w to zeros: the variance between them and the gradients is",
                _w * (_M - _w * _M) ** 2 + (1 - _w) * (0 - _w * _M) ** 2,
                between,
            ),
        ),
        "The law of total variance.",
    )


def centered_steps() -> Theorem:
    """Row 16: the centered rule under a constant gradient."""
    constant = Symbol("g", positive=True)
    old, new = 1 - beta ** (t - 1), 1 - beta**t
    moved, after = _centered(constant, old * constant**2, old * constant)
    spread = constant**2 * beta**t * new
    size = eta / sqrt(beta**t * new)
    of_p = 1 / sqrt(_p * (1 - _p))

    def last(**eps: Any) -> Any:
        inner = Symbol("a", positive=True)  # what is under the root
        stepped, state = _centered(constant, inner + m**2, m, **eps)
        length = (theta - stepped).subs(state.v - state.m**2, inner)
        # m = g, as late in the run: what is left under the root is βa, and a falls to 0.
        return Limit(length.subs(m, constant), inner, 0, "+")

    return Theorem(
        "Centered steps under a constant gradient",
        (Eq(sympy.Abs(theta_t - theta), size),),
        "From v₀ = m₀ = 0, without ε, for 0 < β < 1, while the gradient is the same and not zero "
        "(here positive):",
        (
            ("After t steps v is (1-β^t)g²: the reference's step keeps it so", after.v,
             new * constant**2),
            ("And m is (1-β^t)g", after.m, new * constant),
            ("What is left between them", new * constant**2 - (new * constant) ** 2, spread),
            ("With it the reference moves θ by",
             theta - moved, size),
            ("With p = β^t, from 1 down to 0, the step changes with p as",
             sympy.diff(of_p, _p), (2 * _p - 1) / (2 * (_p * (1 - _p)) ** Rational(3, 2))),
            ("So it is shortest where p = ½", Subs(of_p, _p, Rational(1, 2)), Integer(2)),
            ("Then it grows. In the end each step is longer than the last by the factor",
             Limit(of_p.subs(_p, beta * _p) / of_p, _p, 0), 1 / sqrt(beta)),
            ("ε inside the root ends the growth at", last(eps_in=_eps),
             eta * constant / sqrt(_eps)),
            ("ε outside at", last(eps_out=_eps), eta * constant / _eps),
        ),
        "Derived for this project.",
    )  # fmt: skip


def centered_recursion() -> Theorem:
    """The same variance without a difference of large numbers."""
    _, after = _centered(g, _a + m**2, m)
    _, first = _centered(g, Integer(0), Integer(0))
    new = beta * (_a + (1 - beta) * (g - m) ** 2)
    return Theorem(
        "A recursion for v - m²",
        (Eq(Symbol("a_t"), new),),
        "For every gradient, with a = v - m² before the step, m the mean before it, and a_t the "
        "value after it:",
        (
            (
                "From v = a + m² the reference's step leaves v - m² at",
                after.v - after.m**2,
                new,
            ),
            (
                "Its first step, from v₀ = m₀ = 0, too",
                first.v - first.m**2,
                Subs(new, (_a, m), (0, 0)).doit(),
            ),
        ),
        "Finch (2009), for exponential weights that sum to one.",
    )


def centered_noise() -> Theorem:
    """What v - m² is on average, when gradients are a mean and noise."""
    xi = Symbol("xi", real=True)
    moments = Symbol("q", positive=True)  # the expectation of m²
    _, after = _centered(_mean + _sd * xi, v, m)

    def expected(expression: Any) -> Any:
        """The noise has mean 0 and mean square 1 and knows nothing of v and m."""
        poly = sympy.Poly(sympy.expand(expression), xi)
        mean = poly.coeff_monomial(1) + poly.coeff_monomial(xi**2)
        return sympy.expand(mean).subs(m**2, moments).subs(m, _mean)

    of_v = _mean**2 + _sd**2
    of_q = _mean**2 + _sd**2 * (1 - beta) / (1 + beta)
    settled = _sd**2 * 2 * beta / (1 + beta)
    return Theorem(
        "Centered among noise",
        (Eq(sympy.Function("E")(v - m**2), settled),),
        "Late in a run, when gradients are independent, with mean μ and variance σ²:",
        (
            (
                "The expectation of v does not change in a step if it is μ² + σ²",
                expected(after.v).subs(v, of_v),
                of_v,
            ),
            (
                "That of m² does not if it is this",
                expected(after.m**2).subs(moments, of_q),
                of_q,
            ),
            ("Their difference does not know μ", of_v - of_q, settled),
        ),
    )


def centered_ramp() -> Theorem:
    """A gradient that falls steadily; and with it the walk into a minimum without noise."""
    lag, spread = beta * _d / (1 - beta), beta * _d**2 / (1 - beta) ** 2
    behind = g + _d + lag  # m, when the last gradient was g + d
    _, after = _centered(g, spread + behind**2, behind)
    left = after.v - after.m**2  # d may be anything, so it stays symbolic here
    stride = sqrt(eta * _x * (1 - beta) / sqrt(beta))
    slope = _h * _x
    moved, new = _centered(slope, _a + m**2, m, position=_x)
    way = (_x - moved).subs(new.v - new.m**2, _V)
    distance = Symbol("x_0", positive=True)
    return Theorem(
        "Centered downhill",
        (Eq(v - m**2, spread), Eq(sympy.Abs(theta_t - theta), stride)),
        "The first: while the gradient falls by d in each step. The second: on ½hx² without noise "
        "and ε, at a distance x so far above η/(1-β) that d hardly changes within the memory:",
        (
            ("If m is behind the gradient by βd/(1-β), it is so after a step of the reference",
             after.m - g, lag),
            ("And v - m², if it was the following, stays so", left, spread),
            ("A step ℓ changes the gradient by d = hℓ. With β = 1/(1+q), this is ℓ again, if ℓ is",
             Subs(way, _V, _between(spread.subs(_d, _h * stride))), _between(stride)),
            ("From x₀ to the minimum the number of steps is",
             Integral(_between(1 / stride), (_x, 0, distance)),
             _between(2 * sqrt(distance * sqrt(beta) / (eta * (1 - beta))))),
        ),
        "Derived for this project.",
    )  # fmt: skip


def centered_cycle() -> Theorem:
    """Row 4 for the centered rule: the two-cycle, a little wider."""
    share = (1 - beta) / (1 + beta)
    top = _h * _p  # the gradient at x = p, the amplitude
    _, after = _centered(top, top**2, -share * top, position=_p)
    moved, _ = _centered(top, top**2, -share * top, position=_p)
    amplitude = eta / 2 * (1 + beta) / (2 * sqrt(beta))
    kept = top**2 * 4 * beta / (1 + beta) ** 2
    return Theorem(
        "The centered two-cycle",
        (Eq(Symbol("A"), amplitude),),
        "On ½hx² without ε, for 0 < β ≤ 1, there is a cycle between A and -A:",
        (
            ("At x = p, from v = h²p² and m = -ρhp with ρ = (1-β)/(1+β), the mean becomes",
             after.m, share * top),
            ("And v stays", after.v, top**2),
            ("What is left between them", after.v - after.m**2, kept),
            ("So from p = A the step of the reference ends at",
             sympy.simplify(moved).subs(_p, amplitude), -amplitude),
        ),
        "Derived for this project.",
    )  # fmt: skip


CENTERED: tuple[Callable[[], Theorem], ...] = (
    centered_variance,
    centered_steps,
    centered_recursion,
    centered_noise,
    centered_ramp,
    centered_cycle,
)
