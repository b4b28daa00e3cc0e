"""Softmax regression on many classes, frequent and rare: how each method of the family fares.

Sixty classes share six hundred inputs, which are noise: nothing but memory tells them apart.
Either all classes have as many inputs, or class k has a number in proportion to 1/k. All batches
are full, so nothing is random but the data. After Kunstner et al. 2024, whose inputs are uniform
and outnumbered by the weights of a class; here they outnumber them, which leaves no rate that
fits every input in a few steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.course import family
from rmsprop_ref.course.convnet import cross_entropy
from rmsprop_ref.course.experiments import Experiment, stored

Array = NDArray[Any]

CLASSES, INPUTS, FEATURES, STEPS = 60, 600, 60, 200
# Classes 1, 2-3, 4-7, …, 32-60: by the number of their inputs, each about half of the one before.
GROUPS = [(2**i, min(2 ** (i + 1), CLASSES + 1)) for i in range(6)]
RATES = [float(f"{10 ** (i / 2):.3g}") for i in range(-4, 7)]  # the grid of η, for all methods
SEEDS = (1, 2, 3)
METHODS: dict[str, family.Step] = {
    "gradient descent": family.descent,
    "momentum": family.momentum,
    "sign descent": family.sign,
    "RMSProp": family.rmsprop,
    "Adam": family.adam,
}


def data(frequencies: str, seed: int) -> tuple[Array, Array]:
    """Inputs of shape (about 600, 61), the last feature 1, and the class of each, from 0.

    ``frequencies`` is "equal", or "1/k".
    """
    rank = np.arange(1, CLASSES + 1)
    share = np.ones(CLASSES) if frequencies == "equal" else 1 / rank
    numbers = np.round(INPUTS * share / share.sum()).astype(int)
    labels = np.repeat(np.arange(CLASSES), numbers)
    inputs = np.random.default_rng(seed).standard_normal((len(labels), FEATURES))
    return np.c_[inputs / np.sqrt(FEATURES), np.ones(len(labels))], labels


def loss_and_gradient(weights: Array, inputs: Array, labels: Array) -> tuple[Array, Array]:
    """The cross-entropy of each input in nats, and the gradient of their mean.

    Shapes: weights (features, classes), inputs (n, features), labels (n,), losses (n,).
    """
    losses, excess = cross_entropy(inputs @ weights, labels)
    excess[np.arange(len(labels)), labels] -= 1
    return losses, inputs.T @ excess / len(labels)


def trained(method: str, inputs: Array, labels: Array, rate: float) -> Array:
    """The weights after ``STEPS`` steps from 0."""
    weights: Array = np.zeros((inputs.shape[1], CLASSES))
    state: family.State = {}
    for _ in range(STEPS):
        _, gradient = loss_and_gradient(weights, inputs, labels)
        weights, state = METHODS[method](weights, gradient, state, lr=rate)
    return weights


def fared(method: str, frequencies: str, seed: int, rate: float) -> dict[str, Any]:
    """The mean loss after ``STEPS`` steps from 0, and the mean loss of each group of classes."""
    inputs, labels = data(frequencies, seed)
    weights = trained(method, inputs, labels, rate)
    losses, _ = loss_and_gradient(weights, inputs, labels)
    grouped = [losses[(labels + 1 >= low) & (labels + 1 < high)].mean() for low, high in GROUPS]
    return {"loss": float(losses.mean()), "groups": [float(loss) for loss in grouped]}


def curvatures(method: str, frequencies: str, seed: int, rate: float) -> Array:
    """For each class the largest curvature of the loss in the weights of that class, when trained.

    That is the largest eigenvalue of its block of the Hessian, XᵀDX/n, where D holds p(1-p) for the
    probability p that each input gives the class.
    """
    inputs, labels = data(frequencies, seed)
    odds = np.exp(inputs @ trained(method, inputs, labels, rate))
    chance = odds / odds.sum(axis=1, keepdims=True)
    weighted = (chance * (1 - chance)).T[:, :, None] * inputs
    return np.array([np.linalg.eigvalsh(inputs.T @ each)[-1] for each in weighted]) / len(labels)


def at_best_rate(frequencies: str) -> dict[str, tuple[Array, Array, Array]]:
    """Of each method, for each seed: its best rate, the loss there, and the loss of each group."""
    found: dict[str, tuple[Array, Array, Array]] = {}
    for method in METHODS:
        rows = []
        for seed in SEEDS:
            runs = [
                (result["loss"], job["rate"], result["groups"])
                for job, result in stored("imbalance")
                if (job["method"], job["frequencies"], job["seed"]) == (method, frequencies, seed)
            ]
            rows.append(min(runs))
        losses, rates, groups = zip(*rows, strict=True)
        found[method] = np.array(rates), np.array(losses), np.array(groups)
    return found


_JOBS = [
    {"method": method, "frequencies": frequencies, "seed": seed, "rate": rate}
    for frequencies in ("1/k", "equal")
    for method in METHODS
    for seed in SEEDS
    for rate in RATES
]

EXPERIMENTS = {
    "imbalance": Experiment(
        fared,
        _JOBS,
        # A start moved by 1e-15 moves the losses of the samples by 1e-6 at most. Rates that are too
        # large for a method make its runs chaotic: there the losses move by a tenth and more.
        within=1e-4,
        sample=tuple(
            _JOBS.index({"method": method, "frequencies": "1/k", "seed": 1, "rate": rate})
            for method, rate in (
                ("gradient descent", 10.0),
                ("momentum", 10.0),
                ("sign descent", 0.1),
                ("RMSProp", 0.1),
                ("Adam", 3.16),
            )
        ),
    )
}
