"""What is true of RMSProp, proved.

Each function returns a :class:`Theorem`: a statement, and the chain of equalities that proves it,
each reduced to zero by SymPy when the theorem is made. The steps that are RMSProp's come out of
``reference.step`` itself; the row numbers are those of the project's list of results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Eq, Expr, Rational, Sum, Symbol, exp, log, oo, sqrt, symbols, zeta

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.update import beta, eta, g, t, theta, theta_t, v, v0, v_t


class ProofError(AssertionError):
    """Two sides that a proof says are equal are not, or SymPy cannot see that they are."""


@dataclass(frozen=True)
class Theorem:
    """A statement, and the equalities that prove it: each one was checked when this was made.

    Attributes
    ----------
    name : str
        What it is about.
    statement : tuple of sympy equations or inequalities
        What holds.
    where : str
        What the symbols mean and what is assumed.
    proof : tuple of (str, left, right)
        Each step in words, with the two sides whose difference SymPy reduced to zero.
    source : str
        Who stated it, where somebody did.
    """

    name: str
    statement: tuple[Any, ...]
    where: str
    proof: tuple[tuple[str, Any, Any], ...]
    source: str = ""

    def __post_init__(self) -> None:
        for words, left, right in self.proof:
            if sympy.simplify(sympy.sympify(left) - sympy.sympify(right)) != 0:
                raise ProofError(f"{self.name}: {words}: {left} is not {right}")

    def __str__(self) -> str:
        return f"{self.name}: " + "; ".join(str(part) for part in self.statement)

    def _repr_markdown_(self) -> str:
        def line(*parts: Any) -> str:
            return "$$" + r" \qquad ".join(map(sympy.latex, parts)) + "$$"

        steps = "\n\n".join(
            f"{words}:\n\n{line(Eq(sympy.sympify(left), right, evaluate=False))}"
            for words, left, right in self.proof
        )
        source = f"\n\n*Source.* {self.source}" if self.source else ""
        return (
            f"**{self.name}.** {self.where}\n\n{line(*self.statement)}\n\n*Proof.* {steps}{source}"
        )


def _one_step(
    rule: Rule, position: Any, gradient: Any, average: Any, taken: Any = t - 1
) -> tuple[Expr, Expr]:
    """θ and v after one step of the reference, from the given θ, g and v."""
    new_theta, after = step(position, gradient, State(taken, average), rule, sympy)
    return new_theta, after.v


# In a proof β is 1/(1+q) with q > 0: the one way to tell SymPy that β lies between 0 and 1.
_q = Symbol("q", positive=True)
_BETWEEN_0_AND_1 = 1 / (1 + _q)
_s, _k = symbols("s k", integer=True, nonnegative=True)
_x = Symbol("x", real=True)
_h, _eps, _c = symbols("h epsilon c", positive=True)


def unrolled_average() -> Theorem:
    """Row 1: the recursion for v, solved."""
    grad = sympy.Function("g", real=True)  # grad(s): the gradient at step s

    def past(age: Expr) -> Expr:  # the sum over the gradients 1 … t, each weighted by β^age
        return Sum(beta**age * grad(_s) ** 2, (_s, 1, t))

    v_at_t = beta**t * v0 + (1 - beta) * past(t - _s)
    # One term further, the last one written out: its weight is β^0.
    v_at_next = beta ** (t + 1) * v0 + (1 - beta) * (past(t + 1 - _s) + grad(t + 1) ** 2)
    _, v_stepped = _one_step(Rule(beta=beta), theta, grad(t + 1), v_at_t)
    weights = sympy.summation((1 - beta) * beta ** (t - _s), (_s, 1, t))
    return Theorem(
        "The average, unrolled",
        (Eq(v_t, v_at_t), Eq(Sum((1 - beta) * beta ** (t - _s), (_s, 1, t)), 1 - beta**t)),
        "For every β and every sequence of gradients g₁, g₂, …, from v₀:",
        (
            ("It holds before the first step, when the sum is empty", v_at_t.subs(t, 0).doit(), v0),
            (
                "If it holds after t steps, the reference's step gives it after t+1",
                v_stepped,
                v_at_next,
            ),
            ("The weights are a geometric sum", weights, 1 - beta**t),
        ),
    )


def half_life() -> Theorem:
    """Row 1: after how many steps a gradient's weight has halved."""
    n = Symbol("n", positive=True)
    (solution,) = sympy.solve(Eq(beta**n, Rational(1, 2)), n)
    return Theorem(
        "Half-life",
        (Eq(n, log(2) / -log(beta)),),
        "A squared gradient n steps old weighs β^n times as much as a new one: half as much at",
        (
            ("The equation β^n = ½ has one solution", solution, log(2) / -log(beta)),
            (
                "There the weight is one half",
                _BETWEEN_0_AND_1 ** solution.subs(beta, _BETWEEN_0_AND_1),
                Rational(1, 2),
            ),
        ),
    )


def mean_age() -> Theorem:
    """Row 1: how old the averaged gradients are, on average."""
    weight = (1 - _BETWEEN_0_AND_1) * _BETWEEN_0_AND_1**_k
    return Theorem(
        "Mean age",
        (Eq(Sum(_k * (1 - beta) * beta**_k, (_k, 0, oo)), beta / (1 - beta)),),
        "Late in a run the weight of a gradient k steps old is (1-β)β^k. With 0 < β < 1:",
        (
            ("Put β = 1/(1+q). The weights sum to one", sympy.summation(weight, (_k, 0, oo)), 1),
            ("The weighted ages sum to 1/q", sympy.summation(_k * weight, (_k, 0, oo)), 1 / _q),
            ("And 1/q is β/(1-β)", 1 / _q, (beta / (1 - beta)).subs(beta, _BETWEEN_0_AND_1)),
        ),
    )


def zero_start_bias() -> Theorem:
    """What v underestimates because it starts at zero, and what bias correction restores."""
    second_moment = Symbol("s_2", positive=True)  # the expectation of g²
    n = Symbol("n", integer=True, nonnegative=True)
    expected = sympy.Function("E")(n)
    following = _one_step(Rule(beta=beta), theta, sqrt(second_moment), expected)[1]
    solution = sympy.rsolve(
        expected.subs(n, n + 1) - following, expected, {expected.subs(n, 0): v0}
    )
    mean = sympy.Function("E")(v_t)
    return Theorem(
        "The bias of a start",
        (Eq(mean, (1 - beta**t) * second_moment + beta**t * v0),),
        "If every g² has the expectation s₂, then (expectation being linear)",
        (
            (
                "The step's recurrence for the expectation, solved",
                solution,
                (1 - beta**n) * second_moment + beta**n * v0,
            ),
            (
                "From v₀ = 0, division by 1-β^t removes the bias",
                solution.subs(v0, 0).subs(n, t) / (1 - beta**t),
                second_moment,
            ),
        ),
        "Kingma & Ba 2015, section 3, for Adam's averages.",
    )


def first_steps() -> Theorem:
    """Row 2: under a constant gradient from v0 = 0, the size of step t."""
    constant = Symbol("g", real=True, nonzero=True)
    before, after = (1 - beta ** (t - 1)) * constant**2, (1 - beta**t) * constant**2
    rule = Rule(lr=eta, beta=beta, eps_out=0.0)
    moved, v_stepped = _one_step(rule, theta, constant, before)
    size = sympy.Abs(constant) * eta / sqrt(after)
    # |θ - new θ|, with the square root's argument replaced by what it was just proved to equal.
    distance = sympy.Abs(constant) / constant * (theta - moved.subs(v_stepped, after))
    return Theorem(
        "The first steps",
        (Eq(sympy.Abs(theta_t - theta), eta / sqrt(1 - beta**t)),),
        "From v₀ = 0, without ε, while the gradient stays the same (and is not zero):",
        (
            ("After t steps v is (1-β^t)g²: it is 0 at first", before.subs(t, 1), 0),
            ("And the reference's step keeps it so", v_stepped, after),
            ("So the reference moves θ by", distance, size),
            ("Which is free of g", size**2, eta**2 / (1 - beta**t)),
            ("The first step is longer than η", (size**2).subs(t, 1), eta**2 / (1 - beta)),
        ),
    )


def early_displacement() -> Theorem:
    """Row 3: how much further than η a step the zero start carries θ, in all."""
    u, tau, x = symbols("u tau x", positive=True)
    excess = 1 / sqrt(1 - exp(-x)) - 1
    substituted = (1 / u - 1) * sympy.diff(-log(1 - u**2), u)  # u = √(1-e^(-x)), dx = …du
    near_zero = sympy.series(excess, x, 0, 1).removeO()
    total = Sum(1 / sqrt(1 - beta**_k) - 1, (_k, 1, oo))
    approximation = 2 * log(2) * tau + zeta(Rational(1, 2)) * sqrt(tau) + Rational(1, 2)
    return Theorem(
        "What the zero start costs",
        (Eq(total, approximation + sympy.O(1 / sqrt(tau), (tau, oo))), Eq(tau, -1 / log(beta))),
        "The sum over all steps of (step size)/η - 1, under a constant gradient, as β → 1:",
        (
            (
                "With x = t/τ the summand is f(x) = (1-e^(-x))^(-½) - 1",
                excess.subs(x, t / tau),
                1 / sqrt(1 - exp(-1 / tau) ** t) - 1,
            ),
            ("Put u = √(1-e^(-x)). Then f dx is 2/(1+u) du", substituted, 2 / (1 + u)),
            (
                "So the integral of f over all x > 0 is 2 ln 2: the term in τ",
                sympy.integrate(2 / (1 + u), (u, 0, 1)),
                2 * log(2),
            ),
            ("Near 0, f has a branch point", near_zero, 1 / sqrt(x) - 1 + sqrt(x) / 4),
            (
                (
                    "There the Euler-Maclaurin formula (Navot 1961) adds a ζ(-α) τ^(-α) "
                    "for each term a x^α: the terms in √τ and 1"
                ),
                zeta(Rational(1, 2)) * sqrt(tau) - zeta(0),
                approximation - 2 * log(2) * tau,
            ),
        ),
        "Derived for this project; the summation formula is Navot's (1961).",
    )


def scale_invariance() -> Theorem:
    """RMSProp does not see the unit of the loss, and ε restores it."""
    average = Symbol("v", positive=True)
    inside, outside = symbols("epsilon_in epsilon_out", positive=True)

    def stepped(c: Any, **eps: Any) -> tuple[Expr, Expr]:
        rule = Rule(lr=eta, beta=beta, **{"eps_out": 0.0, **eps})
        return _one_step(rule, theta, c * g, c**2 * average)

    theta_1, v_1 = stepped(1)
    theta_c, v_c = stepped(_c)
    return Theorem(
        "Invariance to scale, and how ε breaks it",
        (
            Eq(
                sympy.Symbol(r"\theta_t(c g, \varepsilon=0)"),
                sympy.Symbol(r"\theta_t(g, \varepsilon=0)"),
            ),
            Eq(
                sympy.Symbol(r"\theta_t(c g, c^2\varepsilon_{in}, c\,\varepsilon_{out})"),
                sympy.Symbol(r"\theta_t(g, \varepsilon_{in}, \varepsilon_{out})"),
            ),
        ),
        "Multiply the loss by c > 0, so that every g becomes c g. From v₀ = 0 (or c²v₀):",
        (
            ("If v was multiplied by c² before the step, it is after it", v_c, _c**2 * v_1),
            ("Without ε the parameters do not change", theta_c, theta_1),
            (
                "With ε, if ε changes with the gradient's unit: squared, inside",
                stepped(_c, eps_in=_c**2 * inside)[0],
                stepped(1, eps_in=inside)[0],
            ),
            (
                "And as it is, outside",
                stepped(_c, eps_out=_c * outside)[0],
                stepped(1, eps_out=outside)[0],
            ),
            (
                "With the same ε, as c → 0, gradient descent: inside, at the rate η/√ε",
                sympy.limit((theta - stepped(_c, eps_in=inside)[0]) / _c, _c, 0),
                eta * g / sqrt(inside),
            ),
            (
                "Outside, at the rate η/ε",
                sympy.limit((theta - stepped(_c, eps_out=outside)[0]) / _c, _c, 0),
                eta * g / outside,
            ),
        ),
    )


def adagrad() -> Theorem:
    """Row 8: AdaGrad is an RMSProp whose average forgets nothing."""
    total = Symbol("G", positive=True)  # the sum of the first t-1 squared gradients
    rule = Rule(lr=eta / sqrt(t), beta=1 - 1 / t, eps_out=0.0)
    moved, v_stepped = _one_step(rule, theta, g, total / (t - 1))
    _, v_first = _one_step(Rule(lr=eta, beta=0.0, eps_out=0.0), theta, g, v, taken=0)
    return Theorem(
        "AdaGrad is RMSProp with β = 1 - 1/t and the rate η/√t",
        (Eq(theta_t, theta - eta * g / sqrt(total + g**2)), Eq(v_t, (total + g**2) / t)),
        "G is the sum of all squared gradients before this one. Without ε:",
        (
            ("At t = 1, β = 0 and v is the first g²", v_first, g**2),
            (
                "From then on v is the plain mean of all squared gradients",
                v_stepped,
                (total + g**2) / t,
            ),
            ("And the reference's step is AdaGrad's", moved, theta - eta * g / sqrt(total + g**2)),
        ),
        "Mukkamala & Hein 2017, section 3; AdaGrad: Duchi, Hazan & Singer 2011.",
    )


def sign_descent() -> Theorem:
    """Row 9: without memory only the sign is left."""
    slope = Symbol("g", real=True, nonzero=True)
    moved, _ = _one_step(Rule(lr=eta, beta=0.0, eps_out=0.0), theta, slope, v)
    return Theorem(
        "Sign descent is RMSProp with β = 0",
        (Eq(theta_t, theta - eta * sympy.sign(g)),),
        "Without ε, at a gradient that is not zero:",
        (("The reference's step", moved, theta - eta * sympy.sign(slope)),),
        "Bernstein et al. 2018 study the right-hand side as signSGD.",
    )


def adam() -> Theorem:
    """Row 10: Adam without its first moment, and where its ε goes."""
    average = Symbol("v", nonnegative=True)
    gradient = Symbol("g", real=True)

    def adam_step(eps: Any, *, correct: bool) -> Expr:
        """Algorithm 1 of Kingma & Ba with β1 = 0, whose corrected first moment is g itself."""
        second = beta * average + (1 - beta) * gradient**2
        return theta - eta * gradient / (sqrt(second / (1 - beta**t if correct else 1)) + eps)

    def rmsprop_step(**changes: Any) -> Expr:
        rule = Rule(**{"lr": eta, "beta": beta, "eps_out": _eps, **changes})
        return _one_step(rule, theta, gradient, average)[0]

    root = sqrt(1 - beta**t)
    gap = Symbol("w", positive=True)  # 1-β^t, so that SymPy may move it through a root
    corrected = eta * gradient / (sqrt(average / gap) + _eps)
    folded = eta * sqrt(gap) * gradient / (sqrt(average) + _eps * sqrt(gap))
    misfolded = eta * sqrt(gap) * gradient / (sqrt(average) + _eps * gap)
    wrong = sympy.simplify(1 / misfolded - 1 / folded)
    return Theorem(
        "RMSProp is Adam without its first moment",
        (
            Eq(sympy.Symbol(r"\hat\varepsilon_t"), _eps * root),
            Eq(sympy.Symbol(r"\hat\eta_t"), eta * root),
        ),
        "Adam with β₁ = 0 is bias-corrected RMSProp; and that is RMSProp without correction, "
        "at the rate and with the ε (outside the root)",
        (
            (
                "With bias correction",
                rmsprop_step(bias_correction=True),
                adam_step(_eps, correct=True),
            ),
            ("Without it on both sides", rmsprop_step(), adam_step(_eps, correct=False)),
            (
                "With w = 1-β^t, the correction moves into the rate and into ε, each times √w",
                corrected,
                folded,
            ),
            (
                "Not times w: the denominators, over the rate, would differ by",
                wrong,
                _eps * (sqrt(gap) - 1) / (eta * gradient),
            ),
        ),
        "Kingma & Ba 2015, algorithm 1 and the remark on its efficiency at the end of section 2.",
    )


def two_cycle() -> Theorem:
    """Row 4: on a quadratic, without ε, RMSProp ends in a cycle of length two."""
    amplitude = Symbol("a", positive=True)
    rule = Rule(lr=eta, beta=beta, eps_out=0.0)
    slope = _h * amplitude
    moved, v_stepped = _one_step(rule, amplitude, slope, slope**2)
    (solution,) = sympy.solve(moved + amplitude, amplitude)
    back, _ = _one_step(rule, -amplitude, -slope, slope**2)
    loss = _h * amplitude**2 / 2
    return Theorem(
        "The two-cycle",
        (Eq(amplitude, eta / 2), Eq(_h * eta / sqrt(v), 2), Eq(loss, _h * eta**2 / 8)),
        "On the loss ½hx², without ε, for every h > 0 and every β: x jumps between +a and -a with",
        (
            (
                "On a cycle ±a the gradient squared is h²a² always, and v stays there",
                v_stepped,
                slope**2,
            ),
            ("The reference's step from a is then η long", amplitude - moved, eta),
            ("It ends at -a when a is half of that", solution, eta / 2),
            ("And the step from -a returns to a", back.subs(amplitude, eta / 2), eta / 2),
            (
                "The curvature over the preconditioner is 2",
                (_h * eta / sqrt(slope**2)).subs(amplitude, eta / 2),
                2,
            ),
            (
                "The loss stays at hη²/8; in several coordinates, at η²/8 times tr H",
                loss.subs(amplitude, eta / 2),
                _h * eta**2 / 8,
            ),
        ),
        "Cf. Ma, Wu & E 2022; Bock & Weiß 2019 on Adam's limit cycles.",
    )


def two_cycle_attracts() -> Theorem:
    """Row 5: the cycle pulls trajectories in, at the rate √β a step."""
    p, r = symbols("p r", real=True)  # log |x| and log v
    rule = Rule(lr=eta, beta=beta, eps_out=0.0)
    moved, v_stepped = _one_step(rule, exp(p), _h * exp(p), exp(r))
    # Near the cycle x changes sign at every step, so |new x| is -new x.
    jacobian = sympy.Matrix([log(-moved), log(v_stepped)]).jacobian([p, r])
    on_cycle = {p: log(eta / 2), r: 2 * log(_h * eta / 2)}
    matrix = jacobian.subs(on_cycle).applyfunc(sympy.simplify)
    expected = sympy.Matrix([[2 * beta - 1, -beta], [2 * (1 - beta), beta]])
    lam = Symbol("lambda")
    polynomial = matrix.charpoly(lam).as_expr()
    real_pair = sympy.discriminant(polynomial, lam)
    return Theorem(
        "The two-cycle attracts",
        (Eq(sympy.Symbol("J"), expected), Eq(sympy.Symbol(r"\det J"), beta)),
        "Linearised on the cycle, in the coordinates (log |x|, log v), one step multiplies a small "
        "deviation by a matrix J that depends on β alone. For 1/9 < β < 1 its eigenvalues are a "
        "complex pair, so both have modulus √β: the deviation shrinks by √β a step.",
        (
            *(
                (
                    f"Entry {i + 1}, {j + 1} of the Jacobian of the reference's step",
                    matrix[i, j],
                    expected[i, j],
                )
                for i in range(2)
                for j in range(2)
            ),
            ("The determinant, the product of the eigenvalues", matrix.det(), beta),
            (
                "The discriminant is negative, the pair complex, between its roots 1/9 and 1",
                real_pair,
                (9 * beta - 1) * (beta - 1),
            ),
            (
                (
                    "For 0 < β < 1 both lie inside the unit circle (Jury's criterion), as three "
                    "numbers are positive: the characteristic polynomial at 1"
                ),
                polynomial.subs(lam, 1),
                2 * (1 - beta),
            ),
            ("The polynomial at -1", polynomial.subs(lam, -1), 4 * beta),
            ("One less the determinant", 1 - matrix.det(), 1 - beta),
        ),
        "Derived for this project.",
    )


def epsilon_and_the_cycle() -> Theorem:
    """Row 6: ε shrinks the cycle, on each side of the root differently, and removes it."""
    amplitude = Symbol("a", positive=True)
    slope = _h * amplitude

    def turned(**eps: Any) -> Expr:  # zero where the step from a ends at -a
        rule = Rule(lr=eta, beta=beta, **{"eps_out": 0.0, **eps})
        return _one_step(rule, amplitude, slope, slope**2)[0] + amplitude

    # The ε at which the amplitude is a, and (solved for a) the amplitude at that ε.
    eps_inside = _h**2 * (eta**2 / 4 - amplitude**2)
    eps_outside = _h * (eta / 2 - amplitude)
    inside, outside = sqrt(eta**2 / 4 - _eps / _h**2), eta / 2 - _eps / _h
    # What gradient descent with the rate left over multiplies x by, at the ε where the cycle ends.
    rate_in, rate_out = eta / sqrt(_eps), eta / _eps
    return Theorem(
        "ε and the two-cycle",
        (Eq(Symbol(r"a_{in}"), inside), Eq(Symbol(r"a_{out}"), outside)),
        "On ½hx², ε inside the root leaves the first amplitude, ε outside leaves the second:",
        (
            (
                "Inside, the reference's step from a ends at -a if ε = h²(η²/4 - a²)",
                turned(eps_in=eps_inside),
                0,
            ),
            ("Solved for a", inside.subs(_eps, eps_inside), amplitude),
            ("Outside, it does if ε = h(η/2 - a)", turned(eps_out=eps_outside), 0),
            ("Solved for a", outside.subs(_eps, eps_outside), amplitude),
            (
                "Inside, nothing is left of the cycle at ε = (ηh/2)²",
                inside.subs(_eps, (eta * _h / 2) ** 2),
                0,
            ),
            ("Outside, at ε = ηh/2", outside.subs(_eps, eta * _h / 2), 0),
            (
                "There gradient descent with the rate η/√ε multiplies x by -1; beyond, by less",
                (1 - rate_in * _h).subs(_eps, (eta * _h / 2) ** 2),
                -1,
            ),
            ("And with the rate η/ε likewise", (1 - rate_out * _h).subs(_eps, eta * _h / 2), -1),
        ),
        "Derived for this project.",
    )


THEOREMS: tuple[Callable[[], Theorem], ...] = (
    unrolled_average,
    half_life,
    mean_age,
    zero_start_bias,
    first_steps,
    early_displacement,
    scale_invariance,
    adagrad,
    sign_descent,
    adam,
    two_cycle,
    two_cycle_attracts,
    epsilon_and_the_cycle,
)
