"""The theorems on batches, noise and memory, each against runs of the reference."""

from functools import cache

import numpy as np
import pytest
import sympy

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course.scaling import expected, for_batch, noisy_runs
from rmsprop_ref.symbolic import scaling
from rmsprop_ref.symbolic.update import eta

prove = cache(lambda theorem: theorem())


def stated(theorem, i=0):
    return prove(theorem).statement[i].rhs


def number(expression, **values):
    named = {str(symbol): symbol for symbol in expression.free_symbols}
    return float(expression.subs({named[n]: x for n, x in values.items() if n in named}).doit())


@pytest.mark.parametrize("theorem", scaling.SCALING, ids=lambda theorem: theorem.__name__)
def test_theorem(theorem):
    proved = prove(theorem)
    page = proved._repr_markdown_()
    assert page.count("$$") == 2 * (1 + len(proved.proof))
    assert "Error" not in page
    assert all(str(left) != str(right) for _, left, right in proved.proof)


def test_the_rule_is_the_one_of_the_theorem():
    base, kappa = Rule(lr=2e-3, beta=0.999, eps_out=0.3), 16
    scaled = for_batch(base, kappa)
    values = {"eta": base.lr, "beta": base.beta, "epsilon": 0.3, "kappa": kappa}
    want = [number(stated(scaling.square_root_rule, i), **values) for i in range(3)]
    assert (scaled.lr, scaled.beta, scaled.eps_out) == pytest.approx(want, rel=1e-14)


def test_runs_with_the_rule_agree_and_without_it_do_not():
    """Mean and spread over the same data; three standard errors of 2000 runs."""
    base, runs = Rule(lr=5e-3, beta=0.999, eps_out=0.5), 2000
    ends = {}
    for name, kappa, memory in (("small", 1, True), ("root", 25, True), ("ε kept", 25, False)):
        noise = 1 / np.sqrt(kappa)
        ends[name] = noisy_runs(
            for_batch(base, kappa, memory=memory),
            noise,
            curvature=0.1,
            start=0.3,
            v_start=noise**2,
            steps=3000 // kappa,
            runs=runs,
            every=3000 // kappa,
        )[-1]
    small = ends.pop("small")
    error = small.std() * np.sqrt(2 / runs)
    assert abs(ends["root"].mean() - small.mean()) < 3 * error
    assert ends["root"].var() == pytest.approx(small.var(), rel=3 * np.sqrt(4 / runs))
    assert abs(ends["ε kept"].mean() - small.mean()) > 6 * error


@pytest.mark.parametrize("a", [0.03, 1.0, 30.0])
def test_the_floor_as_stated(a):
    rho = number(stated(scaling.noise_floor, 1), a=a)
    want = number(stated(scaling.noise_floor), eta=1.0, rho=rho)
    noise = 1 / a  # h = 1
    start, rule = np.sqrt(want), Rule(lr=1.0, beta=0.999, eps_out=0.0)
    kept = noisy_runs(
        rule, noise, curvature=1.0, start=start, v_start=1 / rho**2, steps=3000, runs=200
    )
    squares = np.mean(kept[1000:] ** 2, axis=0)
    # Three standard errors, and half a percent for the fluctuation of v, which theory neglects.
    assert squares.mean() == pytest.approx(
        want, abs=3 * squares.std() / np.sqrt(200) + 0.005 * want
    )


@pytest.mark.parametrize("beta", [0.5, 0.9])
@pytest.mark.parametrize("slope", [0.05, 0.7, 20.0])
def test_the_flow_as_stated(beta, slope):
    """The loss ½cx² near x = 1, ε = 1: half the way of two steps is η times the speed of the flow.

    What is neglected is of the order η times the square of the mean age.
    """
    rate = 1e-5
    rule = Rule(lr=rate, beta=beta, eps_in=1.0, eps_out=0.0)
    x, state, path = 1.0, State(0, slope**2), []
    for _ in range(int(-60 / np.log(beta))):
        x, state = step(x, slope * x, state, rule)
        path.append(x)
    speed, here = (path[-3] - path[-1]) / (2 * rate), path[-2]
    g, norm = slope * here, np.sqrt((slope * here) ** 2 + 1)
    of_norm = slope**2 * here / norm
    measured = (speed * norm - g) / rate / of_norm
    c = stated(scaling.memory_in_the_step, 1)
    predicted = number(c, beta=beta, g=g, epsilon=1.0)
    age = 1 / (1 - beta)
    assert measured == pytest.approx(predicted, abs=10 * rate * age**2 * slope + 1e-4)


def test_the_flow_s_unit_of_time():
    derivative, speed = prove(scaling.memory_in_the_step).statement[0].args
    assert isinstance(derivative, sympy.Derivative)
    assert speed.has(eta)


def test_the_decay_as_stated():
    h, s, rate, steps = 1.0, 1.0, 0.01, 4000
    schedule = tuple(rate * (1 - np.arange(steps) / steps))
    rule = Rule(lr=schedule, beta=0.999, eps_out=0.0)
    numbers = {"curvature": h, "start": 0.0, "v_start": s**2, "steps": steps}
    want = number(stated(scaling.linear_decay), eta=rate, s=s, h=h, T=steps)
    theory = expected(rule, s, **numbers)
    assert h * theory.deviation[-1] ** 2 / 2 == pytest.approx(want, rel=rate * h / s)
    measured = noisy_runs(rule, s, runs=2000, every=steps, **numbers)[-1]
    assert h * np.mean(measured**2) / 2 == pytest.approx(want, rel=3 * np.sqrt(2 / 2000))
