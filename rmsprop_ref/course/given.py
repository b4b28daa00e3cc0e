"""The reference on gradients given beforehand: one impulse, noise, and an average of them all."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course.runs import Array, on_gradients, rmsprop_states


def impulse_response(rule: Rule, steps: int) -> Array:
    """The average v after one gradient of 1 and then zeros: what a gradient weighs as it ages."""
    given = iter([1.0] + [0.0] * (steps - 1))
    states = rmsprop_states(lambda _: np.asarray(next(given)), 0.0, rule, steps)
    return np.array([state.v for _, state in states[1:]])


def halved_after(weights: Array) -> float:
    """After how many steps the weights, which fall, have halved: log-linear between two steps."""
    i = int(np.argmax(weights < weights[0] / 2))
    last = np.log(weights[i - 1 : i + 1])
    return float(i - 1 + (last[0] - np.log(weights[0] / 2)) / (last[0] - last[1]))


def mean_step(gradients: Array, rule: Rule, skip: int) -> tuple[Array, Array]:
    """The mean step against the gradient after the first ``skip`` steps, and its standard error.

    Both are taken over the last axis of ``gradients``: weights that differ in their noise alone.
    """
    path = on_gradients(gradients, rule)
    steps = (path[skip] - path[-1]) / (len(path) - 1 - skip)
    return steps.mean(axis=-1), steps.std(axis=-1, ddof=1) / np.sqrt(steps.shape[-1])


def never_forgetting(gradients: Any, lr: float) -> Array:
    """The path from 0 when v is the plain mean of all squares so far: β = 1 - 1/t at step t."""
    theta, state = np.float64(0.0), State(0, np.float64(0.0))
    path = [theta]
    for t, g in enumerate(gradients, 1):
        rule = Rule(lr=lr, beta=1 - 1 / t, eps_out=0.0)
        theta, state = step(theta, np.float64(g), state, rule)
        path.append(theta)
    return np.array(path)
