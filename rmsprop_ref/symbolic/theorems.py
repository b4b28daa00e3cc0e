"""What is true of RMSProp, proved.

Each function returns a :class:`Theorem`: a statement, and the equalities that prove it, checked
by SymPy when the theorem is made. The steps that are RMSProp's come out of
``reference.step`` itself; the row numbers are those of the project's list of results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy
from sympy import (
    Eq,
    Expr,
    Integer,
    Integral,
    Limit,
    Rational,
    Subs,
    Sum,
    Symbol,
    exp,
    log,
    oo,
    sqrt,
    symbols,
    zeta,
)

from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.update import beta, eta, g, t, tex, theta, theta_t, v, v0, v_t


class ProofError(AssertionError):
    """Two sides that a proof says are equal are not, or SymPy cannot see that they are."""


@dataclass(frozen=True, repr=False)
class Theorem:
    """A statement, and the equalities that prove it: each was checked when this was made.

    Attributes
    ----------
    name : str
        What it is about.
    statement : tuple of sympy equations
        What holds.
    where : str
        What the symbols mean and what is assumed.
    proof : tuple of (str, left, right)
        Each step in words, with two sides: the left one as it stands before it is worked out
        (a sum, a limit, an expression at a point), the right one as what it comes to. SymPy
        reduced their difference to zero.
    source : str
        Who stated it, where somebody did.

    Raises
    ------
    ProofError
        When a difference does not reduce to zero.
    """

    name: str
    statement: tuple[Eq, ...]
    where: str
    proof: tuple[tuple[str, Any, Any], ...]
    source: str = ""

    def __post_init__(self) -> None:
        if not self.proof:
            raise ProofError(f"{self.name}: nothing is proved")
        for words, left, right in self.proof:
            if sympy.simplify(left.doit() - right) != 0:
                raise ProofError(f"{self.name}: {words}: {left} is not {right}")

    def __repr__(self) -> str:
        return f"{self.name}: " + "; ".join(f"{eq.lhs} = {eq.rhs}" for eq in self.statement)

    def _repr_markdown_(self) -> str:
        return f"**{self.name}.** {self.markdown()}"

    def markdown(self) -> str:
        """The statement and its proof as Markdown with formulas, without the name."""

        def display(*equations: tuple[Any, Any]) -> str:
            return "$$" + r" \qquad ".join(f"{tex(a)} = {tex(b)}" for a, b in equations) + "$$"

        statement = display(*((eq.lhs, eq.rhs) for eq in self.statement))
        proof = "\n\n".join(f"{words}:\n\n{display((a, b))}" for words, a, b in self.proof)
        source = f"\n\n*Source.* {self.source}" if self.source else ""
        return f"{self.where}\n\n{statement}\n\n*Proof.* {proof}{source}"


def _one_step(
    rule: Rule, position: Any, gradient: Any, average: Any, taken: Any = t - 1
) -> tuple[Expr, Expr]:
    """θ and v after one step of the reference, from the given θ, g and v."""
    new_theta, after = step(position, gradient, State(taken, average), rule, sympy)
    return new_theta, after.v


# Where SymPy must know that β lies between 0 and 1, it is written 1/(1+q) with q > 0.
_q = Symbol("q", positive=True)
_BETWEEN_0_AND_1 = 1 / (1 + _q)
_s, _k = symbols("s k", integer=True, nonnegative=True)
_h, _eps, _c, _a = symbols("h epsilon c a", positive=True)


def unrolled_average() -> Theorem:
    """Row 1: the recursion for v, solved."""
    grad = sympy.Function("g", real=True)  # grad(s): the gradient at step s

    def last_apart(past: Sum) -> Expr:
        term, (index, first, last) = past.args
        return Sum(term, (index, first, last - 1)) + term.subs(index, last)

    v_at_t = beta**t * v0 + (1 - beta) * Sum(beta ** (t - _s) * grad(_s) ** 2, (_s, 1, t))
    v_at_next = v_at_t.subs(t, t + 1).replace(Sum, lambda *args: last_apart(Sum(*args)))
    _, v_stepped = _one_step(Rule(beta=beta), theta, grad(t + 1), v_at_t)
    weights = Sum((1 - beta) * beta ** (t - _s), (_s, 1, t))
    return Theorem(
        "The average, unrolled",
        (Eq(v_t, v_at_t), Eq(weights, 1 - beta**t)),
        "For every β and every sequence of gradients g₁, g₂, …, from v₀:",
        (
            ("It holds before the first step, when the sum is empty", v_at_t.subs(t, 0), v0),
            (
                "If it holds after t steps, a step gives it after t+1 (with the last term apart)",
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
        (Eq(n, solution),),
        "For 0 < β < 1 a squared gradient n steps old weighs β^n times a new one: half of it at",
        (("There β^n, which falls as n grows, is", Subs(beta**n, n, solution), Rational(1, 2)),),
    )


def mean_age() -> Theorem:
    """Row 1: how old the averaged gradients are, on average."""
    weight = _q / (1 + _q) * (1 + _q) ** (-_k)  # (1-β)β^k with β = 1/(1+q)
    return Theorem(
        "Mean age",
        (Eq(Sum(_k * (1 - beta) * beta**_k, (_k, 0, oo)), beta / (1 - beta)),),
        "Late in a run the weight of a gradient k steps old is (1-β)β^k. For 0 < β < 1:",
        (
            ("Put β = 1/(1+q). The weights sum to one", Sum(weight, (_k, 0, oo)), Integer(1)),
            ("The weighted ages sum to 1/q", Sum(_k * weight, (_k, 0, oo)), 1 / _q),
            ("Which is β/(1-β)", Subs(beta / (1 - beta), beta, _BETWEEN_0_AND_1), 1 / _q),
        ),
    )


def zero_start_bias() -> Theorem:
    """What v underestimates because it starts at zero, and what bias correction restores."""
    second_moment = Symbol("s_2", positive=True)  # the expectation of g²
    n = Symbol("n", integer=True, nonnegative=True)
    expected = sympy.Function("E")(n)
    following = _one_step(Rule(beta=beta), theta, sqrt(second_moment), expected)[1]
    recurrence = expected.subs(n, n + 1) - following
    solution = sympy.rsolve(recurrence, expected, {expected.subs(n, 0): v0})
    claimed = (1 - beta**t) * second_moment + beta**t * v0
    return Theorem(
        "The bias of a start",
        (Eq(sympy.Function("E")(v_t), claimed),),
        "If every g² has the expectation s₂, then (expectation being linear, and 0 < β < 1)",
        (
            (
                "The step's recurrence for the expectation has this solution",
                solution.subs(n, t),
                claimed,
            ),
            (
                "From v₀ = 0, division by 1-β^t removes the bias",
                Subs(claimed / (1 - beta**t), v0, 0),
                second_moment,
            ),
        ),
        "Kingma & Ba 2015, section 3, for Adam's averages.",
    )


def first_steps() -> Theorem:
    """Row 2: under a constant gradient from v0 = 0, the size of step t."""
    constant = Symbol("g", real=True, nonzero=True)
    before, after = (1 - beta ** (t - 1)) * constant**2, (1 - beta**t) * constant**2
    moved, v_stepped = _one_step(Rule(lr=eta, beta=beta, eps_out=0.0), theta, constant, before)
    size = eta / sqrt(1 - beta**t)
    return Theorem(
        "The first steps",
        (Eq(sympy.Abs(theta_t - theta), size),),
        "From v₀ = 0, without ε, for 0 < β < 1, while the gradient is the same and not zero:",
        (
            ("After t steps v is (1-β^t)g². It is 0 at the start", Subs(after, t, 0), Integer(0)),
            ("And the reference's step keeps it so", v_stepped, after),
            (
                "With that v the reference moves θ by",
                theta - moved.subs(v_stepped, after),
                sympy.sign(constant) * size,
            ),
            ("The first step is longer than η", Subs(size, t, 1), eta / sqrt(1 - beta)),
        ),
    )


def early_displacement() -> Theorem:
    """Row 3: how much further than η a step the zero start carries θ, in all."""
    u, tau, x = symbols("u tau x", positive=True)
    excess = 1 / sqrt(1 - exp(-x)) - 1
    substituted = (1 / u - 1) * sympy.diff(-log(1 - u**2), u)  # u = √(1-e^(-x)), dx = …du
    total = Sum(1 / sqrt(1 - beta**_k) - 1, (_k, 1, oo))
    approximation = 2 * log(2) * tau + zeta(Rational(1, 2)) * sqrt(tau) + Rational(1, 2)
    return Theorem(
        "What the zero start costs",
        (Eq(total, approximation + sympy.O(1 / sqrt(tau), (tau, oo))), Eq(tau, -1 / log(beta))),
        "The sum over all steps of (step size)/η - 1, under a constant gradient, as β → 1 (the "
        "last step of the proof applies a formula that is cited, not proved):",
        (
            (
                "The summand is f(k/τ), where f(x) = (1-e^(-x))^(-½) - 1",
                Subs(excess, x, _k / tau),
                1 / sqrt(1 - Subs(beta**_k, beta, exp(-1 / tau)).doit()) - 1,
            ),
            (
                "Put u = √(1-e^(-x)). Then f(x) dx is the following times du",
                substituted,
                2 / (1 + u),
            ),
            (
                "So the integral of f over all x > 0, the factor of τ, is",
                Integral(2 / (1 + u), (u, 0, 1)),
                2 * log(2),
            ),
            (
                "Near 0, f(x) is 1/√x - 1 + √x/4 and smaller terms",
                Limit((excess - 1 / sqrt(x) + 1) / sqrt(x), x, 0),
                Rational(1, 4),
            ),
            (
                "For each term a x^α there, Euler-Maclaurin (Navot 1961) adds a ζ(-α) τ^(-α)",
                2 * log(2) * tau + zeta(Rational(1, 2)) * sqrt(tau) - zeta(0, evaluate=False),
                approximation,
            ),
        ),
        "Derived for this project; the summation formula is Navot's.",
    )


def scale_invariance() -> Theorem:
    """RMSProp does not see the unit of the loss; ε makes it see."""
    average = Symbol("v", positive=True)
    inside, outside = symbols("epsilon_in epsilon_out", positive=True)
    after = sympy.Function("theta_t")

    def stepped(c: Any, **eps: Any) -> tuple[Expr, Expr]:
        rule = Rule(lr=eta, beta=beta, **{"eps_out": 0.0, **eps})
        return _one_step(rule, theta, c * g, c**2 * average)

    def moved(**eps: Any) -> Expr:
        return (theta - stepped(_c, **eps)[0]) / _c

    return Theorem(
        "Invariance to scale, and how ε breaks it",
        (
            Eq(after(_c * g, 0, 0), after(g, 0, 0)),
            Eq(after(_c * g, _c**2 * inside, _c * outside), after(g, inside, outside)),
        ),
        "Multiply the loss by c > 0, so that every g becomes c g. From v₀ = 0, with the parameters "
        "after the step as a function of the gradient and of ε inside and outside the root:",
        (
            (
                "If v was multiplied by c² before the step, it is so after it",
                stepped(_c)[1],
                _c**2 * stepped(1)[1],
            ),
            ("Without ε the parameters do not change", stepped(_c)[0], stepped(1)[0]),
            (
                "With ε, they do not if ε inside is multiplied by c²",
                stepped(_c, eps_in=_c**2 * inside)[0],
                stepped(1, eps_in=inside)[0],
            ),
            (
                "And ε outside by c",
                stepped(_c, eps_out=_c * outside)[0],
                stepped(1, eps_out=outside)[0],
            ),
            (
                "With ε as it was, small gradients (c → 0) get gradient descent, at the rate η/√ε",
                Limit(moved(eps_in=inside), _c, 0),
                eta * g / sqrt(inside),
            ),
            ("Or, outside, η/ε", Limit(moved(eps_out=outside), _c, 0), eta * g / outside),
        ),
    )


def adagrad() -> Theorem:
    """Row 8: AdaGrad is an RMSProp whose average forgets nothing."""
    total = Symbol("G", positive=True)  # the sum of the first t-1 squared gradients
    rule = Rule(lr=eta / sqrt(t), beta=1 - 1 / t, eps_out=0.0)
    moved, v_stepped = _one_step(rule, theta, g, total / (t - 1))
    first, v_first = _one_step(Rule(lr=eta, beta=beta, eps_out=0.0), theta, g, v)
    return Theorem(
        "AdaGrad is RMSProp with β = 1 - 1/t and the rate η/√t",
        (Eq(v_t, (total + g**2) / t), Eq(theta_t, theta - eta * g / sqrt(total + g**2))),
        "G is the sum of all squared gradients before this one. Without ε:",
        (
            (
                "At t = 1, β is 0, and v is the first g² wherever it started",
                Subs(v_first, beta, 0),
                g**2,
            ),
            (
                "From then on the reference keeps v the plain mean of all squared gradients",
                v_stepped,
                (total + g**2) / t,
            ),
            ("The first step is AdaGrad's", Subs(first, beta, 0), theta - eta * g / sqrt(g**2)),
            ("And each later one", moved, theta - eta * g / sqrt(total + g**2)),
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
    average, gap, total = symbols("v w v_t", positive=True)  # w: 1-β^t
    second = beta * average + (1 - beta) * g**2

    def adam_step(*, correct: bool) -> Expr:
        """Algorithm 1 of Kingma & Ba with β1 = 0, whose corrected first moment is g itself."""
        moment = second / (1 - beta**t) if correct else second
        return theta - eta * g / (sqrt(moment) + _eps)

    def rmsprop_step(rate: Expr, eps: Expr, *, bias_correction: bool) -> Expr:
        rule = Rule(lr=rate, beta=beta, eps_out=eps, bias_correction=bias_correction)
        return _one_step(rule, theta, g, average)[0]

    def shortened(step_taken: Expr) -> Expr:  # so that SymPy may move 1-β^t through the root
        return step_taken.subs(beta**t, 1 - gap).subs(second, total)

    root = sqrt(1 - beta**t)
    corrected = rmsprop_step(eta, _eps, bias_correction=True)
    folded = rmsprop_step(eta * sqrt(gap), _eps * sqrt(gap), bias_correction=False)
    return Theorem(
        "RMSProp is Adam without its first moment",
        (Eq(Symbol(r"\hat\eta_t"), eta * root), Eq(Symbol(r"\hat\varepsilon_t"), _eps * root)),
        "Adam with β₁ = 0 is RMSProp with bias correction; and that is RMSProp without it, at the "
        "rate and with the ε (outside the root)",
        (
            ("With correction, the reference's step is Adam's", corrected, adam_step(correct=True)),
            (
                "Without it, too",
                rmsprop_step(eta, _eps, bias_correction=False),
                adam_step(correct=False),
            ),
            (
                "With w = 1-β^t, the corrected step is the plain one with √w times the rate and ε",
                shortened(corrected),
                shortened(folded),
            ),
            (
                "Not ε times w, as is sometimes printed: the denominator would be off by",
                sympy.Add(
                    sqrt(average) + _eps * gap,
                    -(sqrt(average) + _eps * sqrt(gap)),
                    evaluate=False,
                ),
                _eps * sqrt(gap) * (sqrt(gap) - 1),
            ),
        ),
        "Kingma & Ba 2015, algorithm 1 and the remark on its efficiency at the end of section 2.",
    )


def two_cycle() -> Theorem:
    """Row 4: on a quadratic, without ε, RMSProp has a cycle of length two."""
    average = Symbol("v", positive=True)
    slope = _h * _a
    rule = Rule(lr=eta, beta=beta, eps_out=0.0)
    moved, v_stepped = _one_step(rule, _a, slope, slope**2)
    back, _ = _one_step(rule, -_a, -slope, slope**2)
    loss = _h * _a**2 / 2
    return Theorem(
        "The two-cycle",
        (Eq(_a, eta / 2), Eq(_h * eta / sqrt(average), 2), Eq(loss, _h * eta**2 / 8)),
        "On the loss ½hx², without ε, for h > 0 and 0 < β < 1, x can jump between a and -a, with",
        (
            (
                "On a cycle ±a the squared gradient is h²a² always, so v stays there",
                v_stepped,
                slope**2,
            ),
            ("The reference's step from a is then η long", _a - moved, eta),
            ("It ends at -a if that is twice a", Subs(moved, _a, eta / 2), -eta / 2),
            ("And the step from -a returns to a", Subs(back, _a, eta / 2), eta / 2),
            (
                "The curvature as the step sees it, η/√v times h, is 2",
                Subs(eta / sqrt(average) * _h, average, (_h * eta / 2) ** 2),
                Integer(2),
            ),
            (
                "The loss stays at (with a diagonal Hessian H, at η²/8 times its trace)",
                Subs(loss, _a, eta / 2),
                _h * eta**2 / 8,
            ),
        ),
        "Cf. Ma, Wu & E 2022; Bock & Weiß 2019 on Adam's limit cycles.",
    )


def two_cycle_attracts() -> Theorem:
    """Row 5: the cycle pulls in what is near it, at the rate √β a step."""
    p, r = symbols("p r", real=True)  # log |x| and log v
    rule = Rule(lr=eta, beta=beta, eps_out=0.0)
    moved, v_stepped = _one_step(rule, exp(p), _h * exp(p), exp(r))
    # Near the cycle x changes sign at every step, so |new x| is -new x.
    jacobian = sympy.Matrix([log(-moved), log(v_stepped)]).jacobian([p, r])
    on_cycle = jacobian.subs({p: log(eta / 2), r: 2 * log(_h * eta / 2)})
    matrix = sympy.Matrix([[2 * beta - 1, -beta], [2 * (1 - beta), beta]])
    lam = Symbol("lambda")
    polynomial = lam**2 - matrix.trace() * lam + matrix.det()
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]
    entries = (
        ("log |x|", "log |x|"),
        ("log |x|", "log v"),
        ("log v", "log |x|"),
        ("log v", "log v"),
    )
    return Theorem(
        "The two-cycle attracts",
        (Eq(sympy.MatrixSymbol("J", 2, 2), matrix, evaluate=False), Eq(Symbol(r"\det J"), beta)),
        "In the coordinates (log |x|, log v) a step multiplies a small deviation from the cycle by "
        "a matrix J that depends on β alone, with characteristic polynomial p(λ). For 1/9 < β < 1 "
        "its eigenvalues are a complex pair, so both have the modulus √β: in the long run a "
        "small deviation is multiplied by √β a step.",
        (
            *(
                (
                    f"The reference's step, on the cycle: its new {new}, differentiated by {old}",
                    on_cycle[i],
                    matrix[i],
                )
                for i, (new, old) in enumerate(entries)
            ),
            ("The determinant, the product of the eigenvalues", determinant, beta),
            (
                "The discriminant is negative, and the pair complex, between its roots 1/9 and 1",
                matrix.trace() ** 2 - 4 * beta,
                (9 * beta - 1) * (beta - 1),
            ),
            (
                "For 0 < β < 1 both lie inside the unit circle (Jury), as det J < 1, p(λ) > 0 at 1",
                Subs(polynomial, lam, 1),
                2 * (1 - beta),
            ),
            ("And p(λ) > 0 at -1", Subs(polynomial, lam, -1), 4 * beta),
        ),
        "Derived for this project.",
    )


def epsilon_and_the_cycle() -> Theorem:
    """Row 6: ε shrinks the cycle, on each side of the root differently, until nothing is left."""
    slope = _h * _a

    def stepped(**eps: Any) -> Expr:
        rule = Rule(lr=eta, beta=beta, **{"eps_out": 0.0, **eps})
        return _one_step(rule, _a, slope, slope**2)[0]

    # The ε at which the amplitude is a, and (solved for a) the amplitude at that ε.
    eps_inside, eps_outside = _h**2 * (eta**2 / 4 - _a**2), _h * (eta / 2 - _a)
    inside, outside = sqrt(eta**2 / 4 - _eps / _h**2), eta / 2 - _eps / _h
    last_inside, last_outside = (eta * _h / 2) ** 2, eta * _h / 2
    return Theorem(
        "ε and the two-cycle",
        (Eq(Symbol(r"a_{in}"), inside), Eq(Symbol(r"a_{out}"), outside)),
        "On ½hx², ε inside the root leaves the first amplitude, ε outside the second:",
        (
            (
                "Inside, the step from a ends at -a if ε = h²(η²/4 - a²)",
                stepped(eps_in=eps_inside),
                -_a,
            ),
            ("Which, solved for a, is the amplitude", Subs(inside, _eps, eps_inside), _a),
            ("Outside, it does if ε = h(η/2 - a)", stepped(eps_out=eps_outside), -_a),
            ("Likewise", Subs(outside, _eps, eps_outside), _a),
            (
                "Inside, nothing is left of the cycle at ε = (ηh/2)²",
                Subs(inside, _eps, last_inside),
                Integer(0),
            ),
            ("Outside, at ε = ηh/2", Subs(outside, _eps, last_outside), Integer(0)),
            (
                "There gradient descent at the rate η/√ε multiplies x by -1; beyond it converges",
                Subs(1 - _h * eta / sqrt(_eps), _eps, last_inside),
                Integer(-1),
            ),
            (
                "And at the rate η/ε likewise",
                Subs(1 - _h * eta / _eps, _eps, last_outside),
                Integer(-1),
            ),
        ),
        "Derived for this project.",
    )


RMSPROP: tuple[Callable[[], Theorem], ...] = (
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
