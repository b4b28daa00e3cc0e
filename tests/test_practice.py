"""The health check and the limits of the formats, on cases that can be counted by hand."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course import practice

RULE = Rule(lr=0.01, beta=0.75, eps_out=0.5)


def report(grad, v, theta=None, **layers):
    grad = np.array(grad, dtype=float)
    theta = np.ones_like(grad) if theta is None else np.array(theta)
    return practice.health(theta, grad, State(2, np.array(v, dtype=float)), RULE, layers or None)


def test_health_counts_shares():
    seen = report([0, 1, 2, 3, 0.1], [0, 0, np.inf, 9, 0.01])
    assert (seen["dead"], seen["lost"], seen["full"]) == (0.2, 0.2, 0.2)
    assert seen["below_eps"] == 0.5  # of the live two, √v = 0.1 is below 0.5
    assert seen["step"] == pytest.approx((3 / 3.5 + 0.1 / 0.6) / 2)
    assert seen["first"] == pytest.approx(1 / np.sqrt(1 - 0.75**2))


def test_step_of_health_is_the_step_of_the_reference():
    rng = np.random.default_rng(0)
    theta, grad, v = 1 + rng.random((3, 8))
    for rule in (RULE, Rule(lr=0.1, beta=0.9, eps_in=0.3)):
        after, state = step(theta, grad, State(4, v), rule)
        seen = practice.health(after, grad, state, rule)
        assert seen["step"] == pytest.approx(np.abs(after - theta).mean() / rule.lr)
        moved = np.sqrt(np.mean((after - theta) ** 2) / np.mean(after**2))
        assert seen["moved"]["all"] == pytest.approx(moved)


def test_signs_name_the_layer():
    seen = report([0, 0, 1, 1], [0, 0, 1, 1], first=slice(0, 2), second=slice(2, 4))
    assert practice.signs(seen) == ["dead: first"]
    assert practice.signs(report([1.0], [1.0])) == ["healthy"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_gradients_vanish_where_the_formats_say(dtype, beta):
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    low, high = practice.vanishing_gradient(dtype, beta), practice.overflowing_gradient(dtype)
    # At β = 0.9 g² itself has three bits where (1-β)g² vanishes: 5 % of g, as √ halves it.
    off = 0.01 if beta == 0 else 0.06
    g = np.array([low * (1 - off), low * (1 + off), 0.99 * high, 1.01 * high]).astype(kind)
    with np.errstate(over="ignore"):
        _, after = step(0 * g, g, State(0, 0 * g), Rule(beta=beta, eps_out=1.0))
    v = after.v.astype(np.float64)
    assert v[0] == 0 < v[1]
    assert v[2] < np.inf == v[3]


def test_clip_bounds_a_spike():
    roots = practice.inflated([1e6, 1.0], Rule(beta=0.99), np.sqrt(1 + 0.21 / 0.01))
    assert roots[0] == pytest.approx(1.1)
    assert np.all(practice.clipped(np.array([5.0]), State(0, np.zeros(1)), 3.0) == 5.0)


def test_a_carried_momentum_buffer_is_divided_by_the_rate():
    theta, grad = np.array([1.0]), np.array([0.3])
    numbers = {"lr": 0.02, "beta": 0.9, "momentum": 0.9}
    inside, outside = (Rule(**numbers, lr_in_buffer=first) for first in (True, False))
    v, b = np.array([0.2]), np.array([0.05])
    there, _ = step(theta, grad, State(3, v, None, b), inside)
    here, _ = step(theta, grad, State(3, v, None, b / 0.02), outside)
    assert here == pytest.approx(there, rel=1e-14)
