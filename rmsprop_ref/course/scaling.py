"""Noise, batches and schedules: rules for a larger batch, and runs that put them to the test.

The unit of data is one batch of the base size. A batch κ times as large takes κ units a step, and
the noise of its gradient is √κ times smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref import Rule, State, step
from rmsprop_ref.course.runs import Array


def for_batch(rule: Rule, kappa: float, power: float = 0.5, *, memory: bool = True) -> Rule:
    """The rule for a batch κ times as large.

    Parameters
    ----------
    rule : Rule
        What is used at the base size, with a constant learning rate.
    kappa : float
        How many times larger the batch is.
    power : float
        η is multiplied by κ to this power: ½ is the square-root rule, 1 the linear one, 0 none.
    memory : bool
        Whether β becomes β^κ, so that v forgets as much a unit of data as before, and ε is divided
        by √κ (inside the root by κ), as the noise is. Otherwise both stay.
    """
    scaled = replace(rule, lr=rule.lr * kappa**power)
    if not memory:
        return scaled
    return replace(
        scaled,
        beta=rule.beta**kappa,
        eps_in=rule.eps_in / kappa,
        eps_out=rule.eps_out / kappa**0.5,
    )


class Spread(NamedTuple):
    """What is expected of x: mean and standard deviation, each of shape (1 + steps, …)."""

    mean: Array
    deviation: Array


def noisy_runs(
    rule: Rule,
    noise: Any,
    *,
    curvature: Any,
    start: Any,
    v_start: Any,
    steps: int,
    runs: int,
    every: int = 1,
    seed: int = 11,
) -> Array:
    """Many runs of the reference on ½hx², where the gradient hx comes with Gaussian noise.

    Parameters
    ----------
    rule : Rule
        The rule; its ``v0`` does not count.
    noise : float or array of shape (steps,)
        The standard deviation of the noise, constant or for each step, in units of the gradient.
    curvature, start, v_start : float or arrays of one shape
        h, and the x and the v at which every run starts.
    steps, runs, every, seed : int
        How many; one position in ``every`` is kept, the start among them.

    Returns
    -------
    array of shape (1 + steps // every, …, runs)
        The positions; the middle axes are those of ``curvature`` and the starts.
    """
    levels = np.broadcast_to(np.asarray(noise, float), (steps,))
    h, x, v = (
        np.asarray(each, float)[..., None]
        for each in np.broadcast_arrays(curvature, start, v_start)
    )
    shape = (*x.shape[:-1], runs)
    rng = np.random.default_rng(seed)
    x, state = x + np.zeros(shape), State(0, v + np.zeros(shape))
    kept = [x]
    for t in range(steps):
        x, state = step(x, h * x + levels[t] * rng.standard_normal(shape), state, rule)
        if (t + 1) % every == 0:
            kept.append(x)
    return np.array(kept)


def expected(
    rule: Rule, noise: Any, *, curvature: Any, start: Any, v_start: Any, steps: int
) -> Spread:
    """What theory expects of those runs, if v does not stray from its own expectation.

    With the mean m and the mean square q of x, the expectation of g² is h²q + s². A gradient of
    just that size makes the reference's v the expected one, and its step, divided by the gradient,
    is the rate r. One step turns m into (1 - rh) m and q into (1 - rh)² q + r² s². The arguments
    are those of :func:`noisy_runs`.
    """
    levels = np.broadcast_to(np.asarray(noise, float), (steps,))
    h, mean, v = (
        np.asarray(each, float) for each in np.broadcast_arrays(curvature, start, v_start)
    )
    square, state = mean**2, State(0, v)
    means, squares = [mean], [square]
    for s in levels:
        gradient = np.sqrt(h**2 * square + s**2)
        moved, state = step(np.zeros(np.shape(mean)), gradient, state, rule)
        rate = -moved / gradient
        mean = (1 - rate * h) * mean
        square = (1 - rate * h) ** 2 * square + (rate * s) ** 2
        means.append(mean)
        squares.append(square)
    deviation = np.sqrt(np.maximum(np.array(squares) - np.square(means), 0))
    return Spread(np.array(means), deviation)


# The learning rate at step t of T, over its peak.
SCHEDULES: dict[str, Callable[[Array, int], Array]] = {
    "constant": lambda t, _: np.ones(len(t)),
    "1/√t": lambda t, _: 1 / np.sqrt(t + 1),
    "step": lambda t, T: np.where(t < T / 2, 1.0, np.where(t < 3 * T / 4, 0.1, 0.01)),
    "cosine": lambda t, T: (1 + np.cos(np.pi * t / T)) / 2,
    "linear": lambda t, T: 1 - t / T,
}


def scheduled_losses(
    name: str, peaks: Array, *, curvature: Array, noise: Array, steps: int, runs: int = 0
) -> Array:
    """The final loss ½ Σ h x² under a schedule, for several peak rates η.

    Every weight is run in its own units, x/η and g/s: there the rate is the schedule alone, the
    noise is 1, and the curvature ηh/s. The start is x = 1 and v = 0, and β is 0.99.

    Parameters
    ----------
    name : str
        Which of ``SCHEDULES``.
    peaks : array of shape (p,)
        The peak rates.
    curvature, noise : arrays of shape (n,)
        The h and s of each weight.
    steps, runs : int
        How many steps, and the mean of how many runs; with 0 runs, what theory expects.

    Returns
    -------
    array of shape (p,)
        The losses.
    """
    rule = Rule(lr=SCHEDULES[name](np.arange(steps), steps), beta=0.99, eps_out=0.0)
    eta = peaks[:, None]
    numbers = {
        "curvature": eta * curvature / noise,
        "start": 1 / eta + 0 * curvature,
        "v_start": 0.0,
        "steps": steps,
    }
    if runs:
        last = noisy_runs(rule, 1.0, runs=runs, every=steps, **numbers)[-1]
        square = np.mean(last**2, axis=-1)
    else:
        theory = expected(rule, 1.0, **numbers)
        square = theory.mean[-1] ** 2 + theory.deviation[-1] ** 2
    return np.asarray((curvature * eta**2 * square).sum(axis=1) / 2)


class Digits:
    """Softmax regression on scikit-learn's 8 x 8 digits: 1792 of them, 65 weights a class.

    Attributes
    ----------
    pixels : array of shape (1792, 65)
        Grey values from 0 to 1, and a constant 1.
    labels : array of shape (1792, 10)
        One in the column of the digit.
    """

    COUNT = 1792  # 7 · 256: whole batches of every size up to 256

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        images, digits = load_digits(return_X_y=True)
        self.pixels = np.c_[images[: self.COUNT] / 16, np.ones(self.COUNT)]
        self.labels = np.eye(10)[digits[: self.COUNT]]

    def loss(self, weights: Array) -> Array:
        """The mean cross-entropy over all digits; ``weights`` has the shape (…, 65, 10)."""
        right = (_softmax(self.pixels @ weights) * self.labels).sum(axis=-1)
        return np.asarray(-np.log(right).mean(axis=-1))

    def train(
        self, rule: Rule, rates: Any, batch: int, epochs: int, seeds: int, every: int = 256
    ) -> Array:
        """Train from zero; all rates and seeds at once, each seed with its own order of the data.

        Parameters
        ----------
        rule : Rule
            With ``lr=1``: the weights are run in units of η, so that one Rule serves all rates.
        rates : array of shape (r,)
            The learning rates η.
        batch, epochs, seeds : int
            Batch size, passes over the data, and how many orders of it.
        every : int
            Digits between two kept weights; a multiple of ``batch``.

        Returns
        -------
        array of shape (1 + epochs · 1792 / every, r, seeds, 65, 10)
            The weights, the start among them.
        """
        eta = np.asarray(rates, float)[:, None, None, None]
        orders = [np.random.default_rng(seed) for seed in range(seeds)]
        y = np.zeros((len(eta), seeds, 65, 10))  # the weights over η
        state, kept = State(0, np.zeros_like(y)), [y]
        for _ in range(epochs):
            shuffled = np.stack([order.permutation(self.COUNT) for order in orders])
            for seen in range(batch, self.COUNT + 1, batch):
                chosen = shuffled[:, seen - batch : seen]
                pixels, labels = self.pixels[chosen], self.labels[chosen]
                wrong = _softmax(pixels @ (eta * y)) - labels
                y, state = step(y, np.swapaxes(pixels, 1, 2) @ wrong / batch, state, rule)
                if seen % every == 0:
                    kept.append(y)
        return np.asarray(eta * np.array(kept))

    def moments(self, weights: Array) -> tuple[Array, Array]:
        """The gradient over all digits, and the variance over digits of one digit's gradient."""
        wrong = _softmax(self.pixels @ weights) - self.labels
        mean = self.pixels.T @ wrong / self.COUNT
        square = self.pixels.T**2 @ wrong**2 / self.COUNT
        return mean, np.maximum(square - mean**2, 0)

    def descent(self, weights: Array, batch: int) -> tuple[float, float]:
        """How fast the loss falls at these weights, over η and step, and the gradient's share.

        The first is Σ g²/√v with v = g² + s²/batch, the mean square of a mini-batch's gradient
        (without replacement). The second is the share of g² in v, averaged with the same weights.
        """
        g, one = self.moments(weights)
        v = g**2 + one / batch * (self.COUNT - batch) / (self.COUNT - 1)
        v[v == 0] = 1.0  # pixels that are never lit: g is 0 too
        fall = g**2 / np.sqrt(v)
        return float(fall.sum()), float((fall * g**2 / v).sum() / fall.sum())


def matching_factor(rates: Array, losses: Array, wanted: Array) -> Array:
    """By what factor of η the wanted loss is reached, log-linear between the rates tried.

    ``rates`` of shape (r,) ascend, ``losses`` of shape (r, seeds) fall; ``wanted`` has (seeds,).
    """
    factors = [
        np.exp(np.interp(-np.log(want), -np.log(column), np.log(rates)))
        for want, column in zip(wanted, losses.T, strict=True)
    ]
    return np.array(factors)


def _softmax(scores: Array) -> Array:
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
