"""Where RMSProp ends, and what pulls it there: theorems on its cycles of length two.

In one dimension: what a cycle's attraction depends on. In two: the cycle of a rotated valley, how
it attracts, and the convex program whose solution its preconditioner is.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
from sympy import Eq, Expr, Integer, Subs, Symbol, exp, log, sqrt, symbols

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.theorems import Theorem
from rmsprop_ref.symbolic.update import beta, eta, t

_a, _b, _c = symbols("a b c", positive=True)  # the Hessian is (a c; c b)
_sharp, _z = symbols("Lambda lambda")
_RULE = Rule(lr=eta, beta=beta, eps_out=0.0)


def _polynomial(sharpness: Expr, at: Expr = _z) -> Expr:
    """The characteristic polynomial of a mode of that effective sharpness."""
    return at**2 - (beta * sharpness - 1 + beta) * at + beta * (sharpness - 1)


def pull_of_a_cycle() -> Theorem:
    """Row 5, for any even loss: one number says whether a cycle of length two attracts."""
    p, r = symbols("p r", real=True)  # log |x| and log v
    slope = Symbol("q", positive=True)  # the gradient at the cycle's end
    # The gradient near x = η/2, to first order: Λ is η/√v times its derivative, and √v is q.
    gradient = slope + _sharp * slope / eta * (exp(p) - eta / 2)
    moved, after = step(exp(p), gradient, State(t - 1, exp(r)), _RULE, sympy)
    # Near the cycle x changes sign at every step, so |new x| is -new x.
    jacobian = sympy.Matrix([log(-moved), log(after.v)]).jacobian([p, r])
    on_cycle = jacobian.subs({p: log(eta / 2), r: 2 * log(slope)})
    matrix = sympy.Matrix([[beta * _sharp - 1, -beta], [(1 - beta) * _sharp, beta]])
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    characteristic = _z**2 - matrix.trace() * _z + matrix.det()
    names = ("log |x|", "log v")
    return Theorem(
        "The pull of a two-cycle",
        (
            Eq(sympy.MatrixSymbol("J", 2, 2), matrix, evaluate=False),
            Eq(Symbol(r"\det J"), beta * (_sharp - 1)),
        ),
        "On an even loss RMSProp, without ε, can jump between η/2 and -η/2. Let Λ be the effective "
        "sharpness there: η/√v times the second derivative. In the coordinates (log |x|, log v) a "
        "step multiplies a small deviation by a matrix J. For 0 < β < 1 both eigenvalues lie "
        "inside the unit circle, and the cycle attracts, if and only if 0 < Λ < 1 + 1/β.",
        (
            *(
                (
                    f"The reference's step, at the cycle: new {names[i]}, by {names[j]}",
                    on_cycle[i, j],
                    matrix[i, j],
                )
                for i in range(2)
                for j in range(2)
            ),
            ("The determinant, the product of the eigenvalues", determinant, beta * (_sharp - 1)),
            (
                "It is 1 at (beyond that Λ an eigenvalue lies outside the circle)",
                Subs(beta * (_sharp - 1), _sharp, 1 + 1 / beta),
                Integer(1),
            ),
            (
                "The other two of Jury's conditions: the characteristic polynomial, at 1, is",
                Subs(characteristic, _z, 1),
                2 * (1 - beta),
            ),
            (
                "And at -1 (so it is positive where Λ is)",
                Subs(characteristic, _z, -1),
                2 * beta * _sharp,
            ),
        ),
        "Derived for this project.",
    )


def cycle_in_the_plane() -> Theorem:
    """Row 4, for a valley that is not along the axes."""
    at = eta / 2
    first, second = (_a + _c) * at, (_c + _b) * at  # the gradient at (η/2, η/2)
    to_first, after_first = step(at, first, State(t - 1, first**2), _RULE, sympy)
    to_second, after_second = step(at, second, State(t - 1, second**2), _RULE, sympy)
    v_first, v_second = after_first.v, after_second.v
    p1, p2 = (_a + _c) / 2, (_b + _c) / 2
    other = 2 * (_a * _b - _c**2) / ((_a + _c) * (_b + _c))
    trace = _a / p1 + _b / p2
    loss = (_a * at**2 + 2 * _c * at * at + _b * at**2) / 2
    v1, v2 = symbols("v_1 v_2", positive=True)
    return Theorem(
        "The cycle of a rotated valley",
        (
            Eq(sqrt(v1) / eta, p1),
            Eq(sqrt(v2) / eta, p2),
            Eq(Symbol("L"), eta**2 / 8 * (_a + _b + 2 * _c)),
        ),
        "On the loss (a x₁² + 2c x₁x₂ + b x₂²)/2 with c > 0, without ε, both weights can jump "
        "between η/2 and -η/2 together, with the following averages and loss. (If c < 0, they "
        "jump in opposite directions, and |c| takes the place of c.) Of the matrix P⁻¹H, where "
        "P = diag(√v₁, √v₂)/η, one eigenvalue is 2, along the jump, and the other lies below 2.",
        (
            ("On the cycle the first average stays at its squared gradient", v_first, first**2),
            ("And the reference takes the first weight from η/2 to", to_first, -eta / 2),
            ("The second average stays, too", v_second, second**2),
            ("And the second weight goes to", to_second, -eta / 2),
            ("The root of the first average, over η", sqrt(v_first) / eta, p1),
            ("And of the second", sqrt(v_second) / eta, p2),
            ("The first component of P⁻¹H (1, 1) is 2", (_a + _c) / p1, Integer(2)),
            ("And the second", (_c + _b) / p2, Integer(2)),
            ("The trace of P⁻¹H, less 2, is the other eigenvalue", trace - 2, other),
            (
                "It is below 2 by something positive",
                2 - other,
                2 * _c * (_a + _b + 2 * _c) / ((_a + _c) * (_b + _c)),
            ),
            ("The loss", loss, eta**2 / 8 * (_a + _b + 2 * _c)),
        ),
        "Derived for this project.",
    )


def pull_in_the_plane() -> Theorem:
    """Row 5, in the plane: each eigenvector of P⁻¹H is pulled as one weight would be."""
    first, second = symbols("p_1 p_2", positive=True)  # P on the cycle: a = 2p₁-c, b = 2p₂-c
    l1, l2, r1, r2 = symbols("l_1 l_2 r_1 r_2", real=True)  # log |x| and log v
    x1, x2 = exp(l1), exp(l2)
    slopes = ((2 * first - _c) * x1 + _c * x2, _c * x1 + (2 * second - _c) * x2)
    moves, averages = [], []
    for x, gradient, r in zip((x1, x2), slopes, (r1, r2), strict=True):
        moved, after = step(x, gradient, State(t - 1, exp(r)), _RULE, sympy)
        moves.append(log(-moved))  # both weights change sign at every step
        averages.append(log(after.v))
    on_cycle = {l1: log(eta / 2), l2: log(eta / 2), r1: 2 * log(first * eta)}
    on_cycle[r2] = 2 * log(second * eta)
    jacobian = sympy.Matrix([*moves, *averages]).jacobian([l1, l2, r1, r2]).subs(on_cycle)
    jacobian = jacobian.applyfunc(lambda entry: sympy.cancel(sympy.simplify(entry)))
    whole = sympy.cancel((_z * sympy.eye(4) - jacobian).det(method="berkowitz"))
    other = 2 - _c / first - _c / second
    product = sympy.Poly(_polynomial(Integer(2)) * _polynomial(_sharp), _z)
    got = sympy.Poly(whole, _z)
    return Theorem(
        "The pull in the plane",
        (
            Eq(Symbol(r"p(\lambda)"), product.as_expr().factor(), evaluate=False),
            Eq(_sharp, other),
        ),
        "Around the cycle of the rotated valley, where P = diag(p₁, p₂) and so a = 2p₁ - c and "
        "b = 2p₂ - c: in the logarithms of |x₁|, |x₂|, v₁ and v₂ a step has the characteristic "
        "polynomial p(λ). Its first factor belongs to the eigenvalue 2 of P⁻¹H, its second to the "
        "other one, Λ. Each is the polynomial of one weight with that effective sharpness.",
        (
            (
                "The trace of P⁻¹H, less 2, is Λ",
                (2 * first - _c) / first + (2 * second - _c) / second - 2,
                other,
            ),
            *(
                (
                    f"The reference's step, on the cycle: the coefficient of λ{power} in p(λ)",
                    got.coeff_monomial(_z**n),
                    product.coeff_monomial(_z**n).subs(_sharp, other),
                )
                for n, power in ((3, "³"), (2, "²"), (1, ""), (0, "⁰"))
            ),
        ),
        "Derived for this project.",
    )


def program_in_the_plane() -> Theorem:
    """Row 20, in the plane: the smallest preconditioner that is stable."""
    u = Symbol("u", positive=True)
    first, second = symbols("p_1 p_2", positive=True)
    on_edge = ((first, second), ((_a + _c * u) / 2, (_b + _c / u) / 2))
    total = (_a + _c * u) / 2 + (_b + _c / u) / 2
    return Theorem(
        "The smallest stable preconditioner",
        (Eq(first, (_a + _c) / 2), Eq(second, (_b + _c) / 2)),
        "Among the diagonal P = diag(p₁, p₂) for which 2P - H has no negative eigenvalue, where "
        "H = (a c; c b) with c > 0, the following has the smallest trace.",
        (
            (
                "At the least trace det(2P - H) = 0: p₁ = (a + cu)/2, p₂ = (b + c/u)/2, some u > 0",
                Subs((2 * first - _a) * (2 * second - _b) - _c**2, *on_edge),
                Integer(0),
            ),
            (
                "The trace has the derivative by u",
                sympy.Derivative(total, u),
                _c / 2 * (1 - 1 / u**2),
            ),
            ("It is convex", sympy.Derivative(total, (u, 2)), _c / u**3),
            (
                "So it is least at u = 1, where p₁ is",
                Subs(on_edge[1][0], u, 1),
                (_a + _c) / 2,
            ),
            ("And p₂", Subs(on_edge[1][1], u, 1), (_b + _c) / 2),
        ),
        "The program is that of Cohen et al. (2024), at a point where the gradient is zero. Its "
        "solution in the plane is worked out here.",
    )


DYNAMICS: tuple[Callable[[], Theorem], ...] = (
    pull_of_a_cycle,
    cycle_in_the_plane,
    pull_in_the_plane,
    program_in_the_plane,
)
