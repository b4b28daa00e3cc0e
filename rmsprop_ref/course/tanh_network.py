"""A network of one hidden layer, 1-12-1 with tanh: its loss, gradient and exact Hessian.

The 37 parameters lie in one vector: the first layer's weights, its biases, the last layer's
weights, its bias. Leading axes are free, so that many networks run side by side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.course.runs import Array

HIDDEN = 12
FIRST = slice(0, HIDDEN)
LAST = slice(2 * HIDDEN, 3 * HIDDEN)


def starts(seeds: range) -> NDArray[np.float64]:
    """One random start per seed, shape (len(seeds), 37); biases start at zero.

    The weights are normal with variance one over the number of inputs (LeCun et al. 1998).
    """
    draws = [np.random.default_rng(seed).normal(size=(2, HIDDEN)) for seed in seeds]
    thetas = np.zeros((len(draws), 3 * HIDDEN + 1))
    for theta, (first, last) in zip(thetas, draws, strict=True):
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

    The complex step: the gradient's formula is analytic, so that the imaginary part of its value
    at θ + ih, divided by h, is its derivative; nothing is subtracted, and h may be tiny.
    """
    h = 1e-100
    steps = theta + 1j * h * np.eye(theta.size)
    return np.asarray(loss_and_gradient(steps, x, y)[1].imag / h, dtype=np.float64)
