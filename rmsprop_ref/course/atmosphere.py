"""The temperature of the air up to 80 km, and a small network that learns it.

The network has one input, twelve tanh units and one output. Its 37 parameters lie in one vector:
the first layer's weights, its biases, the last layer's weights, its bias. Leading axes are free,
so that many networks run side by side.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.course.runs import Array, Gradient

HIDDEN = 12
FIRST = slice(0, HIDDEN)
LAST = slice(2 * HIDDEN, 3 * HIDDEN)

# The International Standard Atmosphere: linear between these heights (km), with these °C.
_KINKS = [0, 11, 20, 32, 47, 51, 71, 84.852]
_AT_KINKS = [15, -56.5, -56.5, -44.5, -2.5, -2.5, -58.5, -86.204]


def standard_atmosphere() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """41 heights from 0 to 80 km, and the temperatures there: mean zero, variance one."""
    heights = np.arange(0, 81, 2.0)
    temperatures = np.interp(heights, _KINKS, _AT_KINKS)
    return heights, (temperatures - temperatures.mean()) / temperatures.std()


def starts(seeds: Sequence[int]) -> NDArray[np.float64]:
    """One random start per seed, shape (len(seeds), 37).

    Biases are zero; weights are normal with variance one over the number of inputs of their layer
    (LeCun et al. 1998).
    """
    thetas = np.zeros((len(seeds), 3 * HIDDEN + 1))
    for theta, seed in zip(thetas, seeds, strict=True):
        first, last = np.random.default_rng(seed).normal(size=(2, HIDDEN))
        theta[FIRST], theta[LAST] = first, last / np.sqrt(HIDDEN)
    return thetas


def loss_and_gradient(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Half the mean squared error on the points (x, y), and its gradient.

    Shapes: theta (..., 37), x and y (n,); the loss (...), the gradient (..., 37).
    """
    first, bias, last = (theta[..., i * HIDDEN : (i + 1) * HIDDEN] for i in range(3))
    a = np.tanh(x[:, None] * first[..., None, :] + bias[..., None, :])  # (..., n, 12)
    r = (a @ last[..., None])[..., 0] + theta[..., -1:] - y  # (..., n)
    d = (1 - a * a) * r[..., None]  # (..., n, 12), still without the last layer's weights
    parts = [x @ d * last, d.sum(-2) * last, (r[..., None, :] @ a)[..., 0, :]]
    gradient = np.concatenate([*parts, r.sum(-1, keepdims=True)], axis=-1) / len(x)
    return (r * r).mean(-1) / 2, gradient


def hessian(theta: Array, x: Array, y: Array) -> NDArray[np.float64]:
    """All second derivatives at one ``theta`` (37,), exact but for rounding.

    The complex step: the gradient's formula is analytic, so the imaginary part of its value at
    θ + ih, divided by h, is its derivative; nothing is subtracted, and h may be tiny.
    """
    h = 1e-100
    steps = theta + 1j * h * np.eye(theta.size)
    return np.asarray(loss_and_gradient(steps, x, y)[1].imag / h, dtype=np.float64)


class _StopError(Exception):
    """Raised inside a run that need not go on."""


def steps_to_loss(goal: float, train: Callable[[Gradient], object], x: Array, y: Array) -> float:
    """After how many steps more than half of the networks have had a loss of ``goal``, or infinity.

    ``train`` runs an optimiser on the gradient that it is given; it is stopped there, or when all
    losses have overflowed.
    """
    steps, there = 0, np.array(False)

    def gradient(theta: Array) -> Array:
        nonlocal steps, there
        loss, slope = loss_and_gradient(theta, x, y)
        there = there | (loss <= goal)
        if there.mean() > 0.5 or not np.isfinite(loss).any():
            raise _StopError
        steps += 1
        return slope

    with np.errstate(all="ignore"), contextlib.suppress(_StopError):
        train(gradient)
    return steps if there.mean() > 0.5 else math.inf
