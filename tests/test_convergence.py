"""Chapter 10: its theorems and its tools, each against runs of the reference."""

from functools import cache

import numpy as np
import pytest
import sympy

from rmsprop_ref import Rule, State, init, step
from rmsprop_ref.course import counterexample as example
from rmsprop_ref.course import family
from rmsprop_ref.symbolic.convergence import (
    CONVERGENCE,
    boundary_of_a_large_gradient,
    boundary_of_a_small_mean,
    periodic_average,
    three_step_boundary,
)

prove = cache(lambda theorem: theorem())


def stated(theorem, i=0):
    """The right side of a statement as a function of its symbols, in the order of their names."""
    right = prove(theorem).statement[i].rhs
    return sympy.lambdify(sorted(right.free_symbols, key=str), right)


@pytest.mark.parametrize("theorem", CONVERGENCE, ids=lambda theorem: theorem.__name__)
def test_a_theorem_prints_and_each_step_says_something(theorem):
    proved = prove(theorem)
    assert proved._repr_markdown_().count("$$") == 2 * (1 + len(proved.proof))
    assert all(str(left) != str(right) for _, left, right in proved.proof)


def run_through(beta, big, period, turns):
    """v after each of the last turn's gradients, from v = 0."""
    rule = Rule(beta=beta, eps_out=0.0)
    theta = np.float64(0.0)
    state, seen = init(theta, rule), []
    for _ in range(turns):
        for g in example.batches(big, period):
            theta, state = step(theta, np.float64(g), state, rule)
            seen.append(float(state.v))
    return seen[-period:]


@pytest.mark.parametrize("period", [3, 7])
def test_the_periodic_average_as_stated(period):
    average = stated(periodic_average)  # of C, β, k, n
    expected = [average(5.0, 0.8, k, period) for k in range(period)]
    np.testing.assert_allclose(run_through(0.8, 5.0, period, 80), expected, rtol=1e-13)


@pytest.mark.parametrize("big", [2.5, 3.0, 10.0])
def test_the_three_step_boundary_as_stated(big):
    left, *names = (eq.lhs for eq in prove(three_step_boundary).statement)
    right = prove(three_step_boundary).statement[0].rhs
    values = {name: stated(three_step_boundary, i) for i, name in enumerate(names, 1)}
    symbols = {str(s): s for s in left.free_symbols | right.free_symbols}

    def excess(beta):
        numbers = {name: value(big, beta) for name, value in values.items()}
        return float((left - right).subs({**numbers, symbols["C"]: big}))

    edge = example.boundary(big)
    assert abs(excess(edge)) < 1e-12
    for factor in (0.99, 1.01):
        assert np.sign(excess(factor * edge)) == np.sign(
            example.drift_of_reference(factor * edge, big)
        )


def test_the_boundary_far_out_as_stated():
    """The neglected term is 0.3·2^(4/5) C^(-2/5) of it."""
    claimed = stated(boundary_of_a_large_gradient)
    for big in (1e4, 1e6):
        apart = example.boundary(big) / claimed(big) - 1
        assert apart == pytest.approx(0.3 * 2**0.8 * big**-0.4, rel=0.03)


@pytest.mark.parametrize(("big", "period"), [(2.001, 3), (100.0, 100)])
def test_the_boundary_of_a_small_mean_as_stated(big, period):
    forgotten = stated(boundary_of_a_small_mean)(big, period)
    assert 1 - example.boundary(big, period) == pytest.approx(forgotten, rel=0.005)  # 1-β


def test_the_boundary_of_the_project_s_list():
    assert example.boundary(3) == pytest.approx(0.472313140, abs=5e-10)


@pytest.mark.parametrize(("beta", "big", "period"), [(0.1, 3.0, 3), (0.6, 2.2, 3), (0.9, 10.0, 10)])
def test_the_drift_is_the_reference_s(beta, big, period):
    measured = example.drift_of_reference(beta, big, period)
    assert float(example.drift(beta, big, period)) == pytest.approx(measured, rel=1e-12)


def test_many_walks_are_the_reference_s_to_the_bit():
    steps = 60
    lr = tuple(0.5 / np.sqrt(np.arange(1, steps + 1)))
    bigs, betas = np.array([3.0, 4.0]), np.array([0.1, 0.7])
    many = example.ends(bigs, betas, steps=steps, rate=0.5)
    for big, beta, end in zip(bigs, betas, many, strict=True):
        rule = Rule(lr=lr, beta=beta, eps_out=0.0)
        assert example.walk(example.batches(big) * (steps // 3), rule)[-1] == end


def test_the_family_s_step_without_epsilon_is_the_reference_s():
    rule, state, x = Rule(lr=0.5, beta=0.7, eps_out=0.0), {}, np.array([0.3])
    for g in (3.0, -1.0, -1.0):
        expected, after = step(x, np.array([g]), State(0, state.get("v", np.zeros(1))), rule)
        x, state = family.rmsprop(x, np.array([g]), state, lr=0.5, beta=0.7, eps=0.0)
        assert x == expected
        assert state["v"] == after.v


def test_amsgrad_divides_by_the_largest_average():
    gradients, rate, beta = [3.0, -1.0, -1.0, 2.0], 0.1, 0.5
    path = example.amsgrad(gradients, Rule(lr=rate, beta=beta, eps_out=0.0))
    x, v, largest = 0.0, 0.0, 0.0
    for g, found in zip(gradients, path[1:], strict=True):
        v = beta * v + (1 - beta) * g**2
        largest = max(largest, v)
        x -= rate * g / np.sqrt(largest)
        assert found == pytest.approx(x, rel=1e-13)


def test_the_mean_drift_of_a_certain_block_is_the_drift():
    order = [3.0, -1.0, -1.0]
    listed = example.mean_drift(0.4, [(1.0, order)], past=30)
    assert listed == pytest.approx(float(example.drift(0.4, 3.0)), rel=1e-12)


def test_the_mean_drift_counts_blocks_with_their_probability():
    """Without memory every step has length 1: the sign of the gradient, on average."""
    assert example.mean_drift(0.0, example.independent(5.0), 3) == pytest.approx(-1 / 3)
    assert example.mean_drift(0.0, example.shuffled(5.0), 3) == pytest.approx(-1.0)


def test_where_three_points_rest():
    data = (-2.0, 1.0, 1.0)
    measured = example.rests([0.5, 0.9], data, rate=0.1, steps=21_000)
    expected = [example.rest(b, data) for b in (0.5, 0.9)]
    np.testing.assert_allclose(measured, expected, rtol=1e-3)  # the rate at the end: 0.0007


def test_the_expected_norm_is_that_of_the_runs():
    curvature = np.array([0.1, 1.0])
    mean, error = example.average_l1(400, curvature, runs=300)
    # What is neglected, the fluctuation of v, is of the relative size 1/T.
    assert example.expected_l1(400, curvature) == pytest.approx(mean, abs=3 * error + mean / 100)


def test_zero_refuses_what_has_none():
    with pytest.raises(ValueError, match="no change of sign"):
        example.zero(lambda x: x, 1.0, 2.0)
