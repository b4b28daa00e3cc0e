"""The algebra: equations that come out of the reference, and proofs that can fail."""

import itertools
from functools import cache

import numpy as np
import pytest
import sympy
from rules import RULES

from rmsprop_ref import Rule, State, init, step, symbolic
from rmsprop_ref.symbolic import THEOREMS, ProofError, Theorem, equations, latex, symbolized
from rmsprop_ref.symbolic import update as symbols
from rmsprop_ref.symbolic.update import beta, eta, g, theta, v

prove = cache(lambda theorem: theorem())


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.__name__)
def test_theorem(theorem):
    proved = prove(theorem)
    assert proved.statement
    assert proved.proof
    page = proved._repr_markdown_()
    assert page.count("$$") == 2 * (1 + len(proved.proof))
    assert repr(proved).startswith(proved.name)
    assert "Error" not in page


def test_a_wrong_step_is_no_proof():
    """The bias correction that some texts print, with 1-β^t where the algebra gives its root."""
    w = sympy.Symbol("w", positive=True)
    with pytest.raises(ProofError, match="the correction moves into ε"):
        Theorem("Adam", (), "", (("the correction moves into ε", sympy.sqrt(w), w),))


def test_an_empty_proof_is_none():
    with pytest.raises(ProofError, match="nothing is proved"):
        Theorem("Everything", (sympy.Eq(beta, 1, evaluate=False),), "", ())


def test_few_steps_of_a_proof_print_the_same_on_both_sides():
    """Such a step tells a reader nothing; in adam two say that the reference's is Adam's."""
    trivial = [
        theorem.__name__
        for theorem in THEOREMS
        for _, left, right in prove(theorem).proof
        if str(left) == str(right)
    ]
    assert trivial == ["adam", "adam"]


# What the statements say, in numbers: each against a run of the reference, not against its proof.
H, RATE, B = 3.0, 0.01, 0.75  # a curvature, a learning rate, a decay rate: exact in binary, mostly


def stated(theorem, i=0):
    return prove(theorem).statement[i].rhs


def number(expression, **values):
    named = {str(symbol): symbol for symbol in expression.free_symbols}
    return float(expression.subs({named[n]: x for n, x in values.items() if n in named}).doit())


def run(grads, theta=0.0, state=None, **fields):
    """Positions and the last state of the reference on given gradients, or on gradients of θ."""
    rule = Rule(**{"lr": RATE, "beta": B, "eps_out": 0.0, **fields})
    state, path = state or init(theta, rule), [theta]
    for grad in grads:
        theta, state = step(theta, float(grad(theta) if callable(grad) else grad), state, rule)
        path.append(float(theta))
    return np.array(path), state


def test_the_average_as_stated():
    grads = [0.5, -2.0, 1.5, 3.0]
    general = stated(symbolic.unrolled_average)
    (at,) = general.atoms(sympy.Function("g", real=True)(sympy.Symbol("s")).func)
    values = general.subs({symbols.t: 4, symbols.v0: 2, beta: sympy.Rational(3, 4)}).doit()
    values = values.replace(at.func, lambda s: sympy.Rational(str(grads[int(s) - 1])))
    assert float(values) == pytest.approx(float(run(grads, v0=2.0)[1].v), rel=1e-14)
    assert number(stated(symbolic.unrolled_average, 1), beta=B, t=4) == 1 - B**4


def test_the_memory_as_stated():
    assert B ** number(stated(symbolic.half_life), beta=B) == pytest.approx(0.5, rel=1e-15)
    ages = np.arange(400)
    measured = (ages * (1 - B) * B**ages).sum()
    assert number(stated(symbolic.mean_age), beta=B) == pytest.approx(measured, rel=1e-12)


def test_the_start_as_stated():
    _, state = run([2.0] * 5, v0=7.0)
    bias = number(stated(symbolic.zero_start_bias), beta=B, t=5, s_2=4, v_0=7)
    assert bias == pytest.approx(float(state.v), rel=1e-14)
    steps = np.abs(np.diff(run([-2.0] * 5)[0]))
    sizes = [number(stated(symbolic.first_steps), eta=RATE, beta=B, t=t) for t in range(1, 6)]
    np.testing.assert_allclose(steps, sizes, rtol=1e-13)


@pytest.mark.parametrize("b", [0.9, 0.99, 0.999])
def test_the_displacement_as_stated(b):
    tau = number(stated(symbolic.early_displacement, 1), beta=b)
    value = number(stated(symbolic.early_displacement).removeO(), tau=tau)
    exact = (1 / np.sqrt(1 - b ** np.arange(1.0, 60 * tau)) - 1).sum()
    assert abs(value - exact) < 0.06 / np.sqrt(tau)  # the next term: ζ(-½)/4 = -0.052 over √τ


def test_relatives_as_stated():
    grads, sizes = np.array([0.5, -2.0, 1.5]), (np.array([0.5, -2.0, 1.5]) ** 2).cumsum()
    theta, state = 1.0, init(1.0, Rule())
    for t, grad in enumerate(grads, 1):
        rule = Rule(lr=RATE / np.sqrt(t), beta=1 - 1 / t, eps_out=0.0)
        before = {"theta": theta, "eta": RATE, "g": grad, "G": sizes[t - 1] - grad**2, "t": t}
        theta, state = step(theta, grad, state, rule)
        assert number(stated(symbolic.adagrad), **before) == pytest.approx(float(state.v))
        assert number(stated(symbolic.adagrad, 1), **before) == pytest.approx(float(theta))
    path, _ = run(grads, beta=0.0)
    for old, new, grad in zip(path, path[1:], grads, strict=False):
        want = number(stated(symbolic.sign_descent), theta=old, eta=RATE, g=grad)
        assert new == pytest.approx(want, rel=1e-13)


def test_adam_as_stated():
    corrected, _ = run([0.5, -2.0, 1.5], bias_correction=True, eps_out=0.1)
    theta, state = 0.0, init(0.0, Rule())
    for t, grad in enumerate([0.5, -2.0, 1.5], 1):
        rate, eps = (
            number(stated(symbolic.adam, i), eta=RATE, epsilon=0.1, beta=B, t=t) for i in (0, 1)
        )
        theta, state = step(theta, grad, state, Rule(lr=rate, beta=B, eps_out=eps))
        assert float(theta) == pytest.approx(corrected[t], rel=1e-13)


def test_scale_as_stated():
    grads = np.array([0.5, -2.0, 1.5])
    first, second = (prove(symbolic.scale_invariance).statement[i].lhs.args for i in (0, 1))
    np.testing.assert_allclose(run(grads)[0], run(4 * grads)[0], rtol=1e-13)
    assert [str(x) for x in first] == ["c*g", "0", "0"]
    # The factors on g and on the two ε: each argument, with c = 4 and every other symbol 1.
    factors = [
        float(x.subs({s: 4 if str(s) == "c" else 1 for s in x.free_symbols})) for x in second
    ]
    eps = {"eps_in": 0.3, "eps_out": 0.2}
    scaled = {"eps_in": 0.3 * factors[1], "eps_out": 0.2 * factors[2]}
    got = run(factors[0] * grads, **scaled)[0]
    np.testing.assert_allclose(got, run(grads, **eps)[0], rtol=1e-13)


def test_the_cycle_as_stated():
    path, state = run([lambda x: H * x] * 400, theta=0.0217)
    assert abs(path[-1]) == pytest.approx(number(stated(symbolic.two_cycle), eta=RATE), rel=1e-9)
    sharpness = prove(symbolic.two_cycle).statement[1]
    assert number(sharpness.lhs, eta=RATE, h=H, v=float(state.v)) == pytest.approx(2, rel=1e-9)
    floor = number(stated(symbolic.two_cycle, 2), eta=RATE, h=H)
    assert H * path[-1] ** 2 / 2 == pytest.approx(floor, rel=1e-9)

    def new(p, r):
        state = State(3, np.exp(r))
        path, after = run([lambda x: H * x], theta=np.exp(p), state=state)
        return np.array([np.log(abs(path[-1])), np.log(after.v)])

    at, d = np.array([np.log(RATE / 2), 2 * np.log(H * RATE / 2)]), 1e-6
    columns = [(new(*(at + e)) - new(*(at - e))) / (2 * d) for e in d * np.eye(2)]
    jacobian = np.array(stated(symbolic.two_cycle_attracts).subs(beta, B), float)
    np.testing.assert_allclose(np.column_stack(columns), jacobian, atol=1e-8)
    determinant = number(stated(symbolic.two_cycle_attracts, 1), beta=B)
    assert np.linalg.det(jacobian) == pytest.approx(determinant)

    limits = {"eta": RATE, "h": H}
    for i, name, last in ((0, "eps_in", (RATE * H / 2) ** 2), (1, "eps_out", RATE * H / 2)):
        path, _ = run([lambda x: H * x] * 2000, theta=0.0217, **{name: 0.5 * last})
        amplitude = number(stated(symbolic.epsilon_and_the_cycle, i), epsilon=0.5 * last, **limits)
        assert abs(path[-1]) == pytest.approx(amplitude, rel=1e-9)
        assert number(stated(symbolic.epsilon_and_the_cycle, i), epsilon=last, **limits) < 1e-9


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_equations_reproduce_the_run(rule):
    """Evaluated in order, assignment by assignment, they give what step() gives."""
    rng = np.random.default_rng(0)
    start, grads = 0.7, rng.normal(size=4)
    assignments = equations(rule)
    position, state = start, init(start, rule)
    named = {theta: start, v: float(state.v), symbols.m: 0.0, symbols.b: 0.0}
    numbers = {
        symbol: getattr(rule, name)
        for name, symbol in symbols._SYMBOL_OF.items()
        if name not in ("lr", "v0")
    }
    for t, grad in enumerate(grads, 1):
        position, state = step(position, grad, state, rule)
        rate = rule.lr[t - 1] if isinstance(rule.lr, tuple) else rule.lr
        values = {**numbers, **named, eta: rate, symbols.t: t, g: grad}
        if rule.v0 == "first_square" and t == 1:
            values[v] = grad**2
        for equation in assignments:
            values[equation.lhs] = float(equation.rhs.subs(values))
        assert values[symbols.theta_t] == pytest.approx(float(position), rel=1e-12)
        assert values[symbols.v_t] == pytest.approx(float(state.v), rel=1e-12)
        for old, new in ((theta, "theta_t"), (v, "v_t"), (symbols.m, "m_t"), (symbols.b, "b_t")):
            named[old] = values.get(getattr(symbols, new), 0.0)


def test_latex_reads_as_a_person_writes():
    assert latex(Rule()) == (
        r"\begin{aligned}v_{t} &= \beta v_{t-1} + \left(1 - \beta\right) g_t^{2} \\[4pt] "
        r"\theta_t &= \theta_{t-1} - \frac{\eta g_t}{\sqrt{v_{t}} + \varepsilon_{\mathrm{out}}}"
        r"\end{aligned}"
    )


def test_latex_of_the_longer_rules():
    assert latex(RULES["Graves"]) == (
        r"\begin{aligned}v_{t} &= \beta v_{t-1} + \left(1 - \beta\right) g_t^{2} \\[4pt] "
        r"m_{t} &= \beta m_{t-1} + \left(1 - \beta\right) g_t \\[4pt] "
        r"b_{t} &= \mu b_{t-1} + \frac{\eta g_t}{\sqrt{v_{t} - m_{t}^{2} + "
        r"\varepsilon_{\mathrm{in}}}} \\[4pt] \theta_t &= \theta_{t-1} - b_{t}\end{aligned}"
    )
    text = latex(RULES["nearly all"])
    for part in (
        r"\tilde g_t &= g_t + \lambda \theta_{t-1}",
        r"v_{t} &= \beta v_{t-1} + \left(1 - \beta\right) \tilde g_t^{2}",
        r"\hat v_t &= \frac{v_{t}}{1 - \beta^{t}}",
        r"m_{t} &= \beta m_{t-1} + \left(1 - \beta\right) \tilde g_t",
        r"\hat m_t &= \frac{m_{t}}{1 - \beta^{t}}",
        r"\max\left(\varepsilon_{\mathrm{floor}}, \sqrt{\hat v_t - \hat m_t^{2} + ",
        r"- \mu b_{t}",
    ):
        assert part in text
    assert r"\eta_t g_t" in latex(RULES["schedule"])


AXES = {
    "beta": (0.0, 0.9),
    "eps_in": (0.0, 1e-3),
    "eps_out": (0.0, 1e-8),
    "eps_floor": (0.0, 0.1),
    "bias_correction": (False, True),
    "centered": (False, True),
    "momentum": (0.0, 1.0),
    "weight_decay": (0.0, 0.1),
}


@pytest.mark.parametrize("values", list(itertools.product(*AXES.values())))
def test_equations_of_every_combination_are_in_order(values):
    """Each right side uses only what is old or was assigned before it."""
    rule = Rule(**dict(zip(AXES, values, strict=True)))
    assigned = set()
    new = {symbols.v_t, symbols.v_hat, symbols.m_t, symbols.m_hat, symbols.b_t, symbols.theta_t}
    for equation in equations(rule):
        assert equation.rhs.free_symbols & new <= assigned
        assert v not in equation.rhs.free_symbols or equation.lhs == symbols.v_t
        assigned.add(equation.lhs)
    assert latex(rule).count("&=") == len(equations(rule))


def test_without_variants_the_long_way_is_the_plain_rule():
    """In symbols: what the variants add vanishes where their numbers are zero."""
    plain, longer = symbolized(Rule()), symbolized(Rule(lr_in_buffer=True))
    state = init(theta, plain, sympy)._replace(v=v)
    one, other = (step(theta, g, state, rule, sympy) for rule in (plain, longer))
    assert one[0] == other[0]
    assert one[1].v == other[1].v == beta * v + (1 - beta) * g**2
