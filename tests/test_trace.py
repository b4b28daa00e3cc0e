"""The traced program is the reference: line by line, bit by bit, in Python and in JavaScript."""

import json
import shutil
import subprocess
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from rules import RULES

from rmsprop_ref import Rule, init, step
from rmsprop_ref.constant import Constant
from rmsprop_ref.trace import Line, javascript, trace

STEPS = 5
NODE = shutil.which("node")
rng = np.random.default_rng(0)
THETA = rng.normal(size=7)
GRADS = rng.normal(size=(STEPS, 7))

all_rules = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


def arrays(theta, state):
    named = {"theta": theta, "v": state.v, "m": state.m, "b": state.b}
    return {name: array for name, array in named.items() if array is not None}


def assert_same_bits(got, want):
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].dtype == want[name].dtype
        assert got[name].tobytes() == want[name].tobytes(), name


@all_rules
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_the_lines_compute_what_step_computes(rule, dtype):
    theta = THETA.astype(dtype)
    state = init(theta, rule)
    mine = arrays(theta, state)
    for t, grad in enumerate(GRADS.astype(dtype), 1):
        theta, state = step(theta, grad, state, rule)
        mine = trace(rule, t).run(grad=grad, **mine)
        assert_same_bits(mine, arrays(theta, state))


@all_rules
def test_free_hyperparameters_change_no_bit(rule):
    """Given as Constants they are exact until they meet an array, as in the reference."""
    numbers = ("lr", "beta", "eps_in", "eps_out")
    theta = THETA.astype("float32")
    state = init(theta, rule)
    mine = arrays(theta, state)
    for t, grad in enumerate(GRADS.astype("float32"), 1):
        theta, state = step(theta, grad, state, rule)
        h = rule.constants(t)
        given = {name: getattr(h, name) for name in numbers}
        mine = trace(rule, t, free=numbers).run(grad=grad, **given, **mine)
        assert_same_bits(mine, arrays(theta, state))


@all_rules
def test_in_another_number_system(rule):
    with mpmath.workdps(60):
        theta, grad = mpmath.mpf(1) / 3, mpmath.mpf(2) / 7
        state = init(theta, rule, mpmath)
        want = arrays(*step(theta, grad, state, rule, mpmath))
        assert trace(rule).run(mpmath, grad=grad, **arrays(theta, state)) == want


@all_rules
def test_straight(rule):
    """Each line assigns a new name and uses only what is an input or stands above it."""
    program = trace(rule)
    known = set(program.inputs)
    for name, _, operands in program.lines:
        assert all(x in known if isinstance(x, str) else type(x) is Constant for x in operands)
        assert name not in known
        known.add(name)
    assert {name for _, name in program.outputs} <= known
    assert hash(program) == hash(trace(rule))


def test_constants_stay_exact():
    beta = 0.3  # 1-β needs more than the 53 bits of a binary64
    assert Line("x3", "*", (1 - Constant(beta), "x2")) in trace(Rule(beta=beta)).lines
    decay = Rule(weight_decay=0.1, weight_decay_form="decoupled")
    assert trace(decay).lines[0].operands == (Constant(0.01) * Constant(0.1), "theta")


def test_number_of_operations():
    """ε = 0 is added too: the reference has no branch for it."""
    ops = [line.op for line in trace(Rule()).lines]
    assert sorted(ops) == sorted(["*"] * 4 + ["+"] * 3 + ["sqrt", "/", "-"])
    assert len(trace(Rule(bias_correction=True)).lines) == len(ops) + 1
    assert len(trace(Rule(eps_floor=0.5)).lines) == len(ops) + 1
    assert len(trace(Rule(momentum=0.9)).lines) == len(ops) + 2
    assert len(trace(Rule(centered=True)).lines) == len(ops) + 5


def test_the_step_matters():
    scheduled = Rule(lr=[0.5, 0.25])
    assert "x8 = 0.5 * grad" in str(trace(scheduled))
    assert "x8 = 0.25 * grad" in str(trace(scheduled, t=2))
    with pytest.raises(ValueError, match="step 3 has no learning rate"):
        trace(scheduled, t=3)
    first = Rule(v0="first_square")
    assert not any("v" in line.operands for line in trace(first).lines)
    assert any("v" in line.operands for line in trace(first, t=2).lines)


def test_the_printed_program():
    rule = Rule(beta=0.75, eps_out=1e-8, eps_floor=0.5)
    assert str(trace(rule, free=["lr"])).splitlines() == [
        "from theta, grad, v, lr",
        "x1 = 0.75 * v",
        "x2 = grad * grad",
        "x3 = 0.25 * x2",
        "x4 = x1 + x3",
        "x5 = x4 + 0.0",
        "x6 = sqrt(x5)",
        "x7 = x6 + 1e-08",
        "x8 = max(x7, 0.5)",
        "x9 = lr * grad",
        "x10 = x9 / x8",
        "x11 = theta - x10",
        "to theta = x11, v = x4",
    ]


# Reads {state, grads, free}, writes the bits of all outputs after each step.
HARNESS = """
const { state, grads, free } = JSON.parse(require("fs").readFileSync(0, "utf8"));
for (const [t, grad] of grads.entries()) {
  const given = { ...state, ...free, grad };
  Object.assign(state, steps[t](...inputs.map((name) => given[name])));
  console.log(Buffer.from(new Float64Array(Object.values(state)).buffer).toString("hex"));
}
"""


def bits_in_node(programs, state, grads, free):
    """The trajectory that programs, one a step, have in JavaScript."""
    steps = ", ".join(javascript(program, f"step{t}") for t, program in enumerate(programs))
    script = f"const inputs = {json.dumps(programs[0].inputs)}, steps = [{steps}];{HARNESS}"
    data = json.dumps({"state": state, "grads": grads.tolist(), "free": free})
    done = subprocess.run(
        [NODE, "-e", script], input=data, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(NODE is None, reason="no node on this machine to run JavaScript with")
@all_rules
@pytest.mark.parametrize("free", [(), ("lr", "beta", "eps_in", "eps_out")], ids=["baked", "free"])
def test_javascript_computes_the_bits_of_numpy(rule, free):
    if isinstance(rule.lr, tuple):
        rule = replace(rule, lr=0.05 if free else 20 * rule.lr)
    if rule.bias_correction and free:
        pytest.skip("refused: test_a_power_is_refused_where_it_would_round")
    grads = np.random.default_rng(1).normal(size=100) * np.logspace(-3, 3, 100)
    theta, state = THETA[0], init(THETA[0], rule)
    start = {name: float(x) for name, x in arrays(theta, state).items()}
    programs = [trace(rule, t, free) for t in range(1, 101)]
    got = bits_in_node(programs, start, grads, {name: getattr(rule, name) for name in free})
    for grad, bits in zip(grads, got, strict=True):
        theta, state = step(theta, grad, state, rule)
        assert np.array([*arrays(theta, state).values()]).tobytes().hex() == bits


def test_a_power_is_refused_where_it_would_round():
    rule = Rule(bias_correction=True)
    assert "**" not in javascript(trace(rule, t=3), "step")
    with pytest.raises(ValueError, match="give beta a number"):
        javascript(trace(rule, t=3, free=["beta"]), "step")
