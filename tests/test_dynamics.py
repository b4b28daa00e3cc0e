"""Where RMSProp ends: theorems against runs of the reference, and the network's derivatives."""

from functools import cache

import numpy as np
import pytest

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course.dynamics import SINE, along_the_step, at_the_edge, settled, sharpnesses
from rmsprop_ref.symbolic.dynamics import (
    DYNAMICS,
    cycle_in_the_plane,
    program_in_the_plane,
    pull_in_the_plane,
    pull_of_a_cycle,
)

RATE, B = 0.01, 0.75
prove = cache(lambda theorem: theorem())


def stated(theorem, i=0):
    return prove(theorem).statement[i].rhs


def number(expression, **values):
    named = {str(symbol): symbol for symbol in expression.free_symbols}
    return float(expression.subs({named[n]: x for n, x in values.items() if n in named}))


def rule(beta=B, **fields):
    return Rule(**{"lr": RATE, "beta": beta, "eps_out": 0.0, **fields})


def jacobian(gradient, signs, beta):
    """Of the reference's step in (log |θ|, log v), on the cycle ±η/2: by differences."""
    n, at = len(signs), RATE / 2 * signs
    cycle = np.concatenate([np.log(np.abs(at)), np.log(gradient(at) ** 2)])

    def new(logs):
        theta = signs * np.exp(logs[:n])
        theta, state = step(theta, gradient(theta), State(3, np.exp(logs[n:])), rule(beta))
        return np.concatenate([np.log(np.abs(theta)), np.log(state.v)])

    d = 1e-6
    return np.column_stack([(new(cycle + e) - new(cycle - e)) / (2 * d) for e in d * np.eye(2 * n)])


@pytest.mark.parametrize("theorem", DYNAMICS, ids=lambda theorem: theorem.__name__)
def test_theorem(theorem):
    proved = prove(theorem)
    page = proved._repr_markdown_()
    assert page.count("$$") == 2 * (1 + len(proved.proof))
    assert "Error" not in page
    assert all(str(left) != str(right) for _, left, right in proved.proof)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.0])
def test_the_pull_as_stated(power):
    """On the loss |x|^(k+1)/(k+1) the cycle has Λ = 2k."""
    found = jacobian(lambda x: np.sign(x) * np.abs(x) ** power, np.array([1.0]), B)
    matrix = stated(pull_of_a_cycle)
    entries = [number(entry, beta=B, Lambda=2 * power) for entry in matrix]
    np.testing.assert_allclose(found.ravel(), entries, atol=1e-8)
    determinant = number(stated(pull_of_a_cycle, 1), beta=B, Lambda=2 * power)
    assert np.linalg.det(found) == pytest.approx(determinant, abs=1e-8)
    inside = np.abs(np.linalg.eigvals(found)).max() < 1
    assert inside == (2 * power < 1 + 1 / B)


@pytest.mark.parametrize("c", [3.0, -3.0])
def test_the_cycle_in_the_plane_as_stated(c):
    a, b = 9.0, 2.0
    hessian = np.array([[a, c], [c, b]])
    theta, v = settled(hessian, [1.0, -0.7], rule(), 2000, 1)
    np.testing.assert_allclose(np.abs(theta[0]), RATE / 2, rtol=1e-12)
    assert np.sign(theta[0, 0] * theta[0, 1]) == np.sign(c)
    values = {"a": a, "b": b, "c": abs(c), "eta": RATE}
    for i in range(2):
        root = np.sqrt(v[0, i]) / RATE
        assert root == pytest.approx(number(stated(cycle_in_the_plane, i), **values), rel=1e-12)
        assert root == pytest.approx(number(stated(program_in_the_plane, i), **values), rel=1e-12)
    loss = theta[0] @ hessian @ theta[0] / 2
    assert loss == pytest.approx(number(stated(cycle_in_the_plane, 2), **values), rel=1e-12)
    first, second = sharpnesses(hessian, v[0], RATE)
    assert first == pytest.approx(2, rel=1e-12)
    roots = {"p_1": np.sqrt(v[0, 0]) / RATE, "p_2": np.sqrt(v[0, 1]) / RATE, "c": abs(c)}
    assert second == pytest.approx(number(stated(pull_in_the_plane, 1), **roots), rel=1e-9)


def test_the_pull_in_the_plane_as_stated():
    hessian = np.array([[9.0, 3.0], [3.0, 2.0]])
    found = np.poly(jacobian(lambda x: hessian @ x, np.ones(2), B))
    for z in (-0.5, 0.3, 2.0):
        want = number(stated(pull_in_the_plane), beta=B, Lambda=0.3, **{"lambda": z})
        assert np.polyval(found, z) == pytest.approx(want, abs=1e-7)


def test_in_more_dimensions_each_mode_is_pulled_as_one_weight():
    rng = np.random.default_rng(2)
    hessian = np.abs(rng.standard_normal((5, 5)))  # positive, so that all signs may be equal
    hessian = hessian + hessian.T + 4 * np.eye(5)
    modes = sharpnesses(hessian, (hessian.sum(1) * RATE / 2) ** 2, RATE)
    matrix = stated(pull_of_a_cycle)
    want = [
        np.linalg.eigvals(
            np.reshape([number(entry, beta=B, Lambda=mode) for entry in matrix], (2, 2))
        )
        for mode in modes
    ]
    found = np.linalg.eigvals(jacobian(lambda x: hessian @ x, np.ones(5), B))
    for root in np.ravel(want):
        assert np.abs(found - root).min() < 1e-7


def test_no_stable_preconditioner_is_smaller():
    """The program in the plane: on a grid around the solution."""
    values = {"a": 9.0, "b": 2.0, "c": 3.0}
    best = np.array([number(stated(program_in_the_plane, i), **values) for i in range(2)])
    hessian = np.array([[9.0, 3.0], [3.0, 2.0]])
    for p1 in best[0] * np.linspace(0.5, 2, 31):
        for p2 in best[1] * np.linspace(0.5, 2, 31):
            stable = np.linalg.eigvalsh(2 * np.diag([p1, p2]) - hessian)[0] >= -1e-12
            assert not stable or p1 + p2 >= best.sum() - 1e-12


def test_the_derivatives_of_the_network():
    theta, d = SINE.starts([3, 4]), 1e-5
    assert theta.shape == (2, 37)
    slopes = [(SINE.loss(theta + e) - SINE.loss(theta - e)) / (2 * d) for e in d * np.eye(37)]
    np.testing.assert_allclose(np.stack(slopes, -1), SINE.gradient(theta), atol=1e-8)
    rows = [(SINE.gradient(theta + e) - SINE.gradient(theta - e)) / (2 * d) for e in d * np.eye(37)]
    np.testing.assert_allclose(np.stack(rows, -1), SINE.hessian(theta), atol=1e-7)


def test_sharpnesses_and_the_curvature_along_a_step():
    hessian, v = np.array([[9.0, 3.0], [3.0, 2.0]]), np.array([0.04, 0.01])
    p = np.sqrt(v) / RATE
    want = np.sort(np.linalg.eigvals(hessian / p[:, None]))[::-1]
    np.testing.assert_allclose(sharpnesses(hessian, v, RATE), want, rtol=1e-12)
    g = hessian @ np.array([0.3, -1.0])
    d = -g / p
    seen = along_the_step(g, g + hessian @ d, np.sqrt(v))
    assert seen == pytest.approx(d @ hessian @ d / (d @ (p * d)), rel=1e-12)


def test_training_is_the_reference():
    seen = at_the_edge(SINE, SINE.starts([0]), rule(0.9), steps=4, every=2)
    assert seen.steps.tolist() == [2, 4]
    theta, state, losses = SINE.starts([0]), State(0, np.zeros((1, 37))), []
    for _ in range(4):
        losses.append(SINE.loss(theta))
        theta, state = step(theta, SINE.gradient(theta), state, rule(0.9))
    assert seen.loss[:, 0].tolist() == [losses[1][0], losses[3][0]]
    assert seen.sharp.shape == (2, 1, 37)
    assert seen.along.shape == (4, 1)
