"""The theorems of the centered rule, each beside a run of the reference; chapter 13's module."""

from pathlib import Path

import numpy as np
import pytest

from rmsprop_ref import Rule, State, enclosure
from rmsprop_ref.course import centered
from rmsprop_ref.course.runs import on_gradients, rmsprop, rmsprop_states
from rmsprop_ref.symbolic.centered import (
    CENTERED,
    centered_cycle,
    centered_noise,
    centered_ramp,
    centered_recursion,
    centered_steps,
    centered_variance,
)
from rmsprop_ref.symbolic.theorems import Theorem

ATLAS = Path(__file__).parents[1] / "book" / "_root" / "atlas.json"


def rule_of(**numbers):
    return Rule(**{"lr": 0.01, "beta": 0.9, "eps_out": 0.0, "centered": True, **numbers})


def value(expression, **numbers):
    """The number that an expression comes to when its symbols, by name, are these numbers."""
    return float(expression.subs({s: numbers[s.name] for s in expression.free_symbols}))


@pytest.mark.parametrize("theorem", CENTERED, ids=lambda theorem: theorem.__name__)
def test_it_is_proved_and_prints(theorem):
    made = theorem()
    assert isinstance(made, Theorem)
    assert made.markdown().count("$$") >= 6


def given(grads, rule):
    """The states of the reference on given gradients."""
    rows = iter(grads)
    return [s for _, s in rmsprop_states(lambda _: next(rows), np.zeros(()), rule, len(grads))[1:]]


def test_the_variance_of_a_history_that_begins_with_zeros():
    grads = np.random.default_rng(1).normal(3, 1, size=40)
    statement = centered_variance().statement[0]
    for t, state in enumerate(given(grads, rule_of()), 1):
        weights = 0.9 ** np.arange(t - 1, -1, -1.0)
        mean = np.average(grads[:t], weights=weights)
        squares = np.average(grads[:t] ** 2, weights=weights)
        predicted = value(statement.rhs, w=1 - 0.9**t, M=mean, S=squares)
        assert state.v - state.m**2 == pytest.approx(predicted, rel=1e-12)


def test_steps_under_a_constant_gradient():
    size = centered_steps().statement[0].rhs
    path = on_gradients(np.full(100, 0.1), rule_of())
    for t in (1, 7, 30, 100):
        predicted = value(size, eta=0.01, beta=0.9, t=t)
        # v - m² is β^t of v, and both are right to some 2^-53: at t = 100 that leaves 1e-10.
        assert path[t - 1] - path[t] == pytest.approx(predicted, rel=1e-9)
    for eps in ({"eps_in": 1e-6}, {"eps_out": 1e-3}):
        path = on_gradients(np.full(400, 0.1), rule_of(**eps))
        # Rounding leaves some 1e-17 of v - m², whose root is 4e-6 of ε.
        assert path[-2] - path[-1] == pytest.approx(0.01 * 0.1 / 1e-3, rel=1e-5)


def test_the_recursion():
    grads = np.random.default_rng(2).normal(size=50)
    new = centered_recursion().statement[0].rhs
    a, m = np.float64(0), np.float64(0)
    for g, state in zip(grads, given(grads, rule_of()), strict=True):
        predicted = value(new, beta=0.9, a=a, g=g, m=m)
        a, m = centered.recursion(a, m, g, 0.9), state.m
        assert a == pytest.approx(predicted, rel=1e-14)
        assert state.v - state.m**2 == pytest.approx(a, rel=1e-11)


def test_the_recursion_is_never_negative():
    draw = np.random.default_rng(3)
    for scale in (0.0, 1e-7, 1e-3, 1.0):
        a = m = np.zeros(500, np.float32)
        for _ in range(300):
            g = (1 + scale * draw.normal(size=500)).astype(np.float32)
            a = centered.recursion(a, m, g, 0.9)
            m = np.float32(0.9) * m + np.float32(0.1) * g
            assert (a >= 0).all()
            assert a.dtype == np.float32


def test_among_noise():
    grads = np.random.default_rng(4).normal(3, 0.5, size=(150, 40000))
    rows = iter(grads)
    state = rmsprop_states(lambda _: next(rows), np.zeros(40000), rule_of(), 150)[-1][1]
    variance = state.v - state.m**2
    predicted = value(centered_noise().statement[0].rhs, beta=0.9, sigma=0.5)
    error = variance.std() / np.sqrt(40000)
    assert abs(variance.mean() - predicted) < 4 * error
    assert error < 0.01 * predicted


def test_downhill():
    spread, stride = (equation.rhs for equation in centered_ramp().statement)
    ramp = given(5 - 0.01 * np.arange(300), rule_of())[-1]
    assert ramp.v - ramp.m**2 == pytest.approx(value(spread, beta=0.9, d=0.01), rel=1e-9)
    path = rmsprop(lambda x: 7 * x, 1.0, rule_of(lr=1e-5), 900)
    i = int(np.argmax(path < 0.5))
    predicted = value(stride, eta=1e-5, beta=0.9, x=0.5)
    # Neglected is that d changes within the memory: √(η/((1-β)x)) = 1.4 % at most.
    assert path[i] - path[i + 1] == pytest.approx(predicted, rel=0.014)


def test_the_two_cycle():
    amplitude = value(centered_cycle().statement[0].rhs, eta=0.01, beta=0.9)
    path = rmsprop(lambda x: 3 * x, 1.0, rule_of(), 2000)
    assert np.abs(path[-2:]) == pytest.approx(amplitude, rel=1e-9)
    assert amplitude > 0.005


MANTISSAS = (np.linspace(1, 2, 300, endpoint=False) + 1e-3).astype(np.float32)


def test_the_order_that_spares_exactly_constant_gradients():
    below, above = (centered.left_over(MANTISSAS, 0.99, 1500, form) for form in centered.FORMS)
    assert 0.2 < (below < 0).mean() < 0.45
    assert above.min() > 0.3
    first = centered.first_negative(MANTISSAS, 0.99, 1500)
    assert ((first > 0) == (below < 0)).mean() > 0.95  # a few were below zero and came back


def test_the_first_negative_is_the_same_by_the_states():
    first = centered.first_negative(MANTISSAS, 0.9, 200)
    visited = centered.states(MANTISSAS, 0.9, 200)
    negative = np.array([s.v - s.m * s.m < 0 for s in visited])
    assert (first == np.where(negative.any(0), negative.argmax(0) + 1, 0)).all()
    assert isinstance(visited[0], State)


def test_the_earliest_legal_step_is_the_oracles():
    rule = Rule(lr=1.0, beta=0.9, centered=True)
    ball = enclosure(rule, np.zeros(1, np.float32), np.full((200, 1), 0.1, np.float32)).theta
    oracle = int(np.argmax(np.isinf(ball.rad[:, 0]))) + 1
    units = centered.units_remembered(0.9, "float32")
    assert abs(oracle - np.log(units * 2.0**-24) / np.log(0.9)) < 2


def test_guards():
    found = centered.guarded(MANTISSAS, 0.9, 400, 1e-8)
    assert found["nothing"][0] > 10
    assert all(found[name][0] == 0 for name in ("abs(v - m²)", "max(v - m², 0)", "the recursion"))
    assert found["ε inside, 1e-4"][0] == 0


def test_the_libraries_are_those_of_the_atlas():
    rows = centered.libraries(ATLAS)
    by_name = {name: (rule, f32, f64) for name, rule, f32, f64 in rows}
    assert {"pytorch", "optax", "tf-op", "keras-3-jax", "tfjs"} <= by_name.keys()
    assert by_name["tfjs"][0] is None
    assert all(f32.isdigit() and (f64.isdigit() or f64 == "-") for _, _, f32, f64 in rows)


def test_a_steady_weight_beside_noisy_ones():
    plain, centred = (
        np.median(centered.beside_noise(10, c, [r], steps=1000, runs=30, seed=0))
        for c, r in ((False, 1.2e-3), (True, 1.2e-4))
    )
    assert 7 < plain / centred < 13


def test_gain_refuses_a_grid_that_ends_too_early():
    grid = np.array([1e-4, 2e-4, 4e-4])
    with pytest.raises(ValueError, match="the grid's end"):
        centered.gain(centered.beside_noise, 10, {False: grid, True: grid}, steps=50, runs=4)
