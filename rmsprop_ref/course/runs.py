"""Whole runs: an optimiser let loose on a gradient. Each returns all positions, the start first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref import Rule, State, init, step

Array = NDArray[Any]
Gradient = Callable[[Array], Array]


def rmsprop(grad: Gradient, theta: Any, rule: Rule, steps: int) -> Array:
    """The reference, from ``theta``: positions of shape (steps+1, *theta.shape)."""
    return np.stack([position for position, _ in rmsprop_states(grad, theta, rule, steps)])


def rmsprop_states(grad: Gradient, theta: Any, rule: Rule, steps: int) -> list[tuple[Array, State]]:
    """The same run with the optimiser's state beside each position."""
    theta = np.asarray(theta, dtype=float)
    state = init(theta, rule)
    visited = [(theta, state)]
    for _ in range(steps):
        theta, state = step(theta, np.asarray(grad(theta)), state, rule)
        visited.append((theta, state))
    return visited


def on_gradients(grads: Any, rule: Rule) -> Array:
    """The reference on a list of gradients that is fixed beforehand, from θ = 0."""
    grads = np.asarray(grads, dtype=float)
    given = iter(grads)
    return rmsprop(lambda _: next(given), np.zeros(grads.shape[1:]), rule, len(grads))


def gradient_descent(grad: Gradient, theta: Any, lr: Any, steps: int) -> Array:
    """θ ← θ - η g."""
    positions = [np.asarray(theta, dtype=float)]
    for _ in range(steps):
        positions.append(positions[-1] - lr * grad(positions[-1]))
    return np.stack(positions)


def compare(*rows: tuple[str, float, float], within: float) -> None:
    """Print ``predicted / measured / relative error`` for each row, and assert that they agree.

    Errors at the level of rounding differ between machines, so they are printed as "rounding".
    A prediction of exactly zero is compared absolutely.
    """
    width = max(len(name) for name, _, _ in rows)
    print(f"{'':{width}}  {'predicted':>12}  {'measured':>12}  relative error")
    worst = 0.0
    for name, predicted, measured in rows:
        error = abs(measured - predicted) / (abs(predicted) or 1.0)
        shown = "rounding" if error < 1e-10 else f"{error:.1e}"
        print(f"{name:{width}}  {predicted:>12.6g}  {measured:>12.6g}  {shown:>14}")
        worst = max(worst, error)
    assert worst <= within, f"relative error {worst:.2e}, allowed {within:.2e}"
