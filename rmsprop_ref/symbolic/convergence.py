"""When RMSProp walks away from the minimum: the example of Reddi, Kale & Kumar (2018), worked out.

The losses are linear, so the gradients come in the same order whatever the parameter is: C, and
then n-1 times -1. Each function returns a :class:`~rmsprop_ref.symbolic.theorems.Theorem`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from sympy import Eq, Expr, Integer, Limit, Rational, Subs, Sum, sqrt, symbols

from rmsprop_ref.rule import Rule
from rmsprop_ref.symbolic.theorems import Theorem, _one_step
from rmsprop_ref.symbolic.update import beta, eta, theta

_C, _n = symbols("C n", positive=True)
_k = sympy.Symbol("k", integer=True, nonnegative=True)

# The averages just after the gradients C, -1, -1, each times 1+β+β².
_A, _B, _D = (
    _C**2 + beta + beta**2,
    1 + beta * _C**2 + beta**2,
    1 + beta + beta**2 * _C**2,
)


def _share(k: Any) -> Expr:
    """The weight, in the steady state, of the last C, k steps old, and of all those before it."""
    return (1 - beta) * beta**k / (1 - beta**_n)


def periodic_average() -> Theorem:
    """Row 12: v, when one gradient C and n-1 gradients -1 take turns for ever."""

    def average(k: Any) -> Expr:
        return 1 + (_C**2 - 1) * _share(k)

    ages = sympy.Function("v")
    return Theorem(
        "The average over a rare gradient",
        (Eq(ages(_k), average(_k)),),
        "Gradients come in the order C, -1, …, -1, with the period n. In the steady state v is, k "
        "steps after the gradient C (0 ≤ k < n):",
        (
            (
                "A step of the reference with the gradient -1 leads from the age k to k+1",
                _one_step(Rule(beta=beta), theta, Integer(-1), average(_k))[1],
                average(_k + 1),
            ),
            (
                "One with the gradient C leads from the age n-1 back to 0",
                _one_step(Rule(beta=beta), theta, _C, average(_n - 1))[1],
                average(0),
            ),
            (
                "As β → 1 it is the mean square at every age",
                Limit(average(_k), beta, 1, "-"),
                _mean(),
            ),
        ),
        "Derived for this project.",
    )


def _mean() -> Expr:
    """The mean of the squared gradients of a period."""
    return (_C**2 + _n - 1) / _n


def three_step_boundary() -> Theorem:
    """Row 12: where the three-step example turns from failure to success."""
    whole = 1 + beta + beta**2
    a, b, d, c = symbols("a b d c", positive=True)
    named = symbols("A B D", positive=True)
    position, average = theta, _D / whole
    for gradient in (_C, Integer(-1), Integer(-1)):
        rule = Rule(lr=eta, beta=beta, eps_out=0.0)
        position, average = _one_step(rule, position, gradient, average)
    conjugates = [c / sqrt(a) + i / sqrt(b) + j / sqrt(d) for i in (1, -1) for j in (1, -1)]
    return Theorem(
        "The boundary of the three-step example",
        (
            Eq(_C / sqrt(named[0]), 1 / sqrt(named[1]) + 1 / sqrt(named[2])),
            *(Eq(name, value) for name, value in zip(named, (_A, _B, _D), strict=True)),
        ),
        "For C > 2, gradients C, -1, -1 in turns and a constant rate, from the steady state, three "
        "steps lead nowhere where the first equation holds. Where its left side is smaller they "
        "lead up, to the worst point (A, B, D over 1+β+β² are v just after the three gradients):",
        (
            ("The steady state is one: three steps bring v back", average, _D / whole),
            (
                "Three steps of the reference move θ by",
                position - theta,
                eta * sqrt(whole) * (1 / sqrt(_B) + 1 / sqrt(_D) - _C / sqrt(_A)),
            ),
            (
                "Squared twice the equation is a polynomial one: with A, B, D, C as a, b, d, c",
                sympy.prod(conjugates) * (a * b * d) ** 2,
                (c**2 * b * d - a * (b + d)) ** 2 - 4 * a**2 * b * d,
            ),
            (
                "Of the four factors only that with two minus signs can vanish, since B > D",
                _B - _D,
                beta * (1 - beta) * (_C**2 - 1),
            ),
            (
                "And C/√A > 1/√D",
                _C**2 * _D - _A,
                (_C**2 - 1) * (beta + beta**2 + beta**2 * _C**2),
            ),
        ),
        "Derived for this project. The example is Reddi, Kale & Kumar's (2018, Theorem 1).",
    )


def boundary_of_a_large_gradient() -> Theorem:
    """Row 12: the boundary of the three-step example when C is large."""
    z, q = symbols("z q", positive=True)  # C = z^-5 and β = q z^6
    excess = _C / sqrt(_A) - 1 / sqrt(_B) - 1 / sqrt(_D)
    leading = q**2 / 2 - 1 / sqrt(q)
    return Theorem(
        "The boundary far out",
        (Eq(sympy.Symbol(r"\beta_\ast"), 2 ** Rational(2, 5) * _C ** Rational(-6, 5)),),
        "In the three-step example, to leading order as C → ∞:",
        (
            (
                "Put C = 1/z⁵, β = q z⁶. The step at C less the other two is then, over z²",
                Limit(excess.subs(beta, q * z**6).subs(_C, z**-5) / z**2, z, 0),
                leading,
            ),
            (
                "It vanishes at q = 2^(2/5), and β is q C^(-6/5)",
                Subs(leading, q, 2 ** Rational(2, 5)),
                Integer(0),
            ),
        ),
        "Derived for this project.",
    )


def boundary_of_a_small_mean() -> Theorem:
    """Row 12: the boundary for any period, when the gradients nearly cancel."""
    gap = sympy.Symbol("q", positive=True)  # 1-β
    n = sympy.Symbol("n", integer=True, positive=True)
    first = ((n - 1) / 2 - _k) / n  # of the share of C, the coefficient of 1-β
    mean = (_C**2 + n - 1) / n
    tilt = (_C**2 - 1) / (2 * mean)  # of 1/√v in units of 1/√mean, per unit of the share
    pull = _C - (n - 1)
    lost = tilt * (_C + 1) * (n - 1) / (2 * n)
    claimed = 4 * (_C - n + 1) * (_C**2 + n - 1) / ((_C**2 - 1) * (_C + 1) * (n - 1))
    return Theorem(
        "The boundary for nearly cancelling gradients",
        (Eq(1 - sympy.Symbol(r"\beta_\ast"), claimed),),
        "Gradients C, -1, …, -1 with the period n, whose sum C-(n-1) is positive but small: to "
        "first order in 1-β the boundary lies at",
        (
            (
                "The share of C in v is 1/n and, in units of 1-β, the following more",
                Limit((_share(_k) - 1 / _n) / (1 - beta), beta, 1, "-"),
                first.subs(n, _n),
            ),
            (
                "So with s the mean square, √(s/v) changes, for each unit of that share, by",
                Subs(sympy.diff(1 / sqrt(1 + (_C**2 - 1) * gap / mean), gap), gap, 0),
                -tilt,
            ),
            (
                "Weighted with the gradients, the shares of a period add up to",
                _C * first.subs(_k, 0) - Sum(first, (_k, 1, n - 1)),
                (_C + 1) * (n - 1) / (2 * n),
            ),
            (
                "The sum of g√(s/v) over a period vanishes at this 1-β",
                Subs(pull - gap * lost, gap, claimed),
                Integer(0),
            ),
        ),
        "Derived for this project.",
    )


CONVERGENCE: tuple[Callable[[], Theorem], ...] = (
    periodic_average,
    three_step_boundary,
    boundary_of_a_large_gradient,
    boundary_of_a_small_mean,
)
