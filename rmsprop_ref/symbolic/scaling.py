"""What the batch, the noise and the memory do to a step, proved.

Each theorem starts from one step of ``reference.step`` on symbols. A gradient with noise is
hx + sξ, where ξ has the mean 0 and the mean square 1: in a step, or its square, the terms in ξ⁰
and ξ² are what an expectation keeps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
from sympy import Eq, Expr, Integral, Limit, Rational, Subs, Sum, Symbol, exp, oo, pi, sqrt, symbols

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.theorems import Theorem
from rmsprop_ref.symbolic.update import beta, eta, t, theta

_x, _xi = symbols("x xi", real=True)
_h, _s, _eps, _kappa, _rho, _a, _r = symbols("h s epsilon kappa rho a r", positive=True)
_n, _k = symbols("n k", integer=True, nonnegative=True)
_u, _span, _q = symbols("u T q", positive=True)


def _moved(gradient: Expr, average: Expr, **fields: Any) -> Expr:
    """The way of one step of the reference, from x."""
    rule = Rule(**{"eps_out": 0.0, **fields})
    position, _ = step(_x, gradient, State(t - 1, average), rule, sympy)
    return sympy.expand(_x - position)


def _mean_square(change: Expr) -> Expr:
    """The expectation of change², for an x of mean square q that is independent of ξ."""
    square = sympy.expand(change**2)
    kept: Expr = square.coeff(_xi, 0) + square.coeff(_xi, 2)
    return kept.subs(_x**2, _q)


def square_root_rule() -> Theorem:
    """Row 14: what η, β and ε must become when the batch gets κ times as large."""
    noisy = _h * _x + _s / sqrt(_kappa) * _xi
    frozen = {"lr": eta * sqrt(_kappa), "beta": 1, "eps_out": _eps / sqrt(_kappa)}
    way = _moved(noisy, _s**2 / _kappa, **frozen)
    inside = {**frozen, "eps_out": 0.0, "eps_in": _eps / _kappa}
    way_inside = _moved(noisy, _s**2 / _kappa, **inside)
    average = Symbol("v", positive=True)
    _, large = step(
        theta, _s * _xi / sqrt(_kappa), State(0, average / _kappa), Rule(beta=beta), sympy
    )
    _, small = step(theta, _s * _xi, State(0, average), Rule(beta=beta), sympy)
    eta_k, beta_k, eps_k = symbols(r"\eta_{\kappa} \beta_{\kappa} \varepsilon_{\kappa}")
    return Theorem(
        "The square-root rule",
        (
            Eq(eta_k, eta * sqrt(_kappa)),
            Eq(beta_k, beta**_kappa),
            Eq(eps_k, _eps / sqrt(_kappa)),
        ),
        "The gradient of a batch κ times as large is hx plus noise of standard deviation s/√κ, and "
        "its step comes once in κ units of data. If v is the variance of the noise, then at these "
        "numbers (ε outside the root; inside, ε/κ) a unit of data does the same whatever κ is:",
        (
            (
                "The mean way in a unit of data",
                way.coeff(_xi, 0) / _kappa,
                eta * _h * _x / (_s + _eps),
            ),
            (
                "The variance that it adds",
                way.coeff(_xi, 1) ** 2 / _kappa,
                eta**2 * _s**2 / (_s + _eps) ** 2,
            ),
            (
                "With ε inside the root, divided by κ, the mean way is",
                way_inside.coeff(_xi, 0) / _kappa,
                eta * _h * _x / sqrt(_s**2 + _eps),
            ),
            (
                "An old v weighs, after n units of data, that is n/κ steps",
                Subs(beta ** (_n / _kappa), beta, beta**_kappa),
                beta**_n,
            ),
            (
                "Which is what κ(1-β) for 1-β does, as long as that is small",
                Limit((1 - beta**_kappa) / (1 - beta), beta, 1, "-"),
                _kappa,
            ),
            (
                "A large batch's v follows its noise at 1/κ of the size",
                large.v,
                sympy.expand(small.v / _kappa),
            ),
        ),
        "Malladi, Lyu, Panigrahi & Arora 2022, who write 1-κ(1-β) for β.",
    )


def noise_floor() -> Theorem:
    """Rows 4 and 14: one formula from the noisy floor to the two-cycle."""
    average = (eta * _h / _rho) ** 2
    square = eta**2 / (2 * _rho)
    noise = average - _h**2 * square  # the variance s² that belongs to ρ
    way = _moved(_h * _x + _s * _xi, average, lr=eta, beta=1)
    following = _mean_square(_x - way).subs({_s**2: noise, _q: square})
    solved = _a * (sqrt(_a**2 + 16) - _a) / 4
    return Theorem(
        "The floor, at any noise",
        (Eq(Symbol(r"\mathrm{E}\,x^2"), square), Eq(_rho, solved), Eq(_a, eta * _h / _s)),
        "On ½hx² with noise of standard deviation s, when v has come to rest at the mean square of "
        "the gradient (a long memory) and ρ = ηh/√v is the curvature as the step sees it:",
        (
            ("If E x² is η²/(2ρ), it is so after a step of the reference", following, square),
            (
                "The noise that leaves v there: its a² is",
                Subs(eta**2 * _h**2 / _s**2, _s, sqrt(noise)),
                2 * _rho**2 / (2 - _rho),
            ),
            (
                "At the stated ρ that is so: a² (2 - ρ) - 2ρ² is",
                Subs(_a**2 * (2 - _rho) - 2 * _rho**2, _rho, solved),
                sympy.S.Zero,
            ),
            (
                "Where noise rules (a → 0), ρ is a, and E x² is ηs/(2h)",
                Limit(solved / _a, _a, 0),
                sympy.S.One,
            ),
            (
                "Without noise (a → ∞) ρ is 2, and x jumps between ±η/2",
                Limit(Subs(solved, _a, 1 / _r).doit(), _r, 0, "+"),
                sympy.Integer(2),
            ),
        ),
        "Derived for this project.",
    )


def memory_in_the_step() -> Theorem:
    """Row 15: the differential equation that the steps follow, to first order in η."""
    g, bend = symbols("g b", real=True)  # the slope of the loss, and the slope of the slope
    norm = sqrt(g**2 + _eps)
    speed = g / norm  # dx/dt = -speed, with η as the unit of time
    lag = Sum(_k * (1 - beta) * beta ** (_k - 1), (_k, 1, oo)).subs(beta, 1 / (1 + _r))

    # The slope k steps ago, to the first order in η: x was k η speed higher up.
    past = (g + bend * _k * eta * speed) ** 2
    # Before a step v holds gradients that are 1, 2, … steps old, of mean age 1/(1-β).
    before = g**2 + 2 * eta * speed * g * bend / (1 - beta)
    way = _moved(g, before, lr=eta, beta=beta, eps_in=_eps)
    first = -beta / (1 - beta) * g**3 * bend / norm**4

    # A flow dx/dt = -(f0 + η f1) moves x in the time η by η f0 + η² (f1 - ½ f0 f0').
    plain = (1 - (1 + beta) / (1 - beta) * g**2 / (g**2 + _eps)) / 2
    nearby = (g + bend * _u) / sqrt((g + bend * _u) ** 2 + _eps)
    changing = bend * _eps / norm**3
    coefficient, slope_of_norm = Symbol("c"), Symbol("N'")
    return Theorem(
        "What the memory does to the path",
        (
            Eq(
                sympy.Derivative(Symbol("x"), Symbol("t"), evaluate=False),
                -(g + eta * coefficient * slope_of_norm) / Symbol("N"),
                evaluate=False,
            ),
            Eq(coefficient, plain),
        ),
        "A loss of one parameter has at x the slope g, and the slope itself the slope b. Late in "
        "the run, with ε inside the root and up to terms in η², the steps follow this flow. Its "
        "unit of time is 1/η steps; N is √(g² + ε), and N' the slope of N:",
        (
            (
                "To the first order, k steps ago the squared gradient was g² plus η times",
                Subs(sympy.diff(past, eta), eta, 0),
                2 * _k * g**2 * bend / norm,
            ),
            (
                "Before a step v averages k = 1, 2, … With β = 1/(1+r) the mean of k, 1/(1-β), is",
                lag,
                (1 + _r) / _r,
            ),
            (
                "From that v the reference's way, over η, is g/N plus η times",
                Subs(sympy.diff(way / eta, eta), eta, 0),
                first,
            ),
            (
                "The speed g/N itself changes, along x, by",
                Subs(sympy.diff(nearby, _u), _u, 0),
                changing,
            ),
            (
                "And N by",
                Subs(sympy.diff(sqrt((g + bend * _u) ** 2 + _eps), _u), _u, 0),
                g * bend / norm,
            ),
            (
                "So in a time η the stated flow moves x by η g/N plus η² times",
                plain * (g * bend / norm) / norm - speed * changing / 2,
                first,
            ),
            (
                "Where g² is far above ε, c is minus the mean age",
                Limit(plain, _eps, 0),
                -beta / (1 - beta),
            ),
            ("Where it is far below, c is ½", Limit(plain, g, 0), Rational(1, 2)),
            (
                "At g² = ε(1-β)/(2β) c changes its sign",
                Subs(plain, g, sqrt(_eps * (1 - beta) / (2 * beta))),
                sympy.S.Zero,
            ),
        ),
        "Cattaneo, Klusowski & Shigida 2024, for many parameters.",
    )


def linear_decay() -> Theorem:
    """Row 14, with a schedule: what a linear decay of η to zero leaves of the noisy floor."""
    way = _moved(_h * _x + _s * _xi, _s**2, lr=_r * _s, beta=1)
    change = sympy.expand(_mean_square(_x - way) - _q)
    rate = eta * _u / (_span * _s)  # u steps before the end
    left = exp(-_h * eta * _u**2 / (_span * _s))
    square = sqrt(pi) / 4 * sqrt(eta * _s**3 / (_h**3 * _span))
    return Theorem(
        "A linear decay has no floor",
        (
            Eq(
                Symbol(r"\tfrac12 h\,\mathrm{E}\,x^2"),
                sqrt(pi) / 8 * sqrt(eta * _s**3 / (_h * _span)),
            ),
        ),
        "On ½hx², when noise of standard deviation s holds v at s² and η falls linearly to 0 over "
        "T steps. Asked are ηh/s small and ηhT/s large:",
        (
            (
                "A step with the rate r = η/s changes E x² = q, to the first order in r, by -2rhq",
                Limit(change.coeff(_q) / _r, _r, 0),
                -2 * _h,
            ),
            ("And the noise adds", Subs(change, _q, 0), _r**2 * _s**2),
            (
                "What noise brings a steps before the end is multiplied, until the end, by",
                exp(-Integral(2 * _h * rate, (_u, 0, _a))),
                exp(-_h * eta * _a**2 / (_span * _s)),
            ),
            (
                "So that in the end there is",
                Integral((rate * _s) ** 2 * left, (_u, 0, oo)),
                square,
            ),
            (
                "A constant η leaves ηs/(2h). The decay leaves of it",
                sympy.Mul(square, 2 * _h / (eta * _s), evaluate=False),
                sqrt(pi) / 2 * sqrt(_s / (eta * _h * _span)),
            ),
        ),
        "Derived for this project.",
    )


SCALING: tuple[Callable[[], Theorem], ...] = (
    square_root_rule,
    noise_floor,
    memory_in_the_step,
    linear_decay,
)
