"""The algebra: equations that come out of the reference, and proofs that can fail."""

import itertools
from functools import cache

import numpy as np
import pytest
import sympy
from rules import RULES

from rmsprop_ref import Rule, init, step
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


def test_no_step_of_a_proof_is_decided_by_its_own_right_side():
    """A step whose two sides print alike proves nothing to a reader; two in Adam are by design."""
    trivial = [
        (theorem.__name__, words)
        for theorem in THEOREMS
        for words, left, right in prove(theorem).proof
        if str(left) == str(right)
    ]
    assert {name for name, _ in trivial} <= {"adam"}


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


AXES = {
    "eps_in": (0.0, 1e-3),
    "eps_out": (0.0, 1e-8),
    "eps_floor": (0.0, 0.1),
    "bias_correction": (False, True),
    "centered": (False, True),
    "momentum": (0.0, 0.9),
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
