"""A small convolutional network on scikit-learn's digits, its gradients written by hand.

The images go through a convolution, a ReLU, a mean over blocks of 2 × 2, a second convolution and
ReLU, and a dense layer to one number a class; the loss is the softmax's cross-entropy. Every array
has the runs on its first axis: θ of shape ``(runs, n)`` is that many networks that learn at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from rmsprop_ref.course import family
from rmsprop_ref.course.experiments import Experiment, stored

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """The shape of the network. The default is the chapter's; a small one serves for proofs.

    Attributes
    ----------
    side : int
        Pixels along the side of an image, an even number.
    kernels : pair of int
        Sides of the two convolutions' windows, the first odd. The first convolution sees the image
        with a border of zeros and keeps its size; the second has no border.
    filters : pair of int
        How many numbers each convolution gives a position.
    classes : int
        How many classes there are.
    """

    side: int = 8
    kernels: tuple[int, int] = (3, 3)
    filters: tuple[int, int] = (8, 16)
    classes: int = 10

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor of θ, in order."""
        (k1, k2), (f1, f2) = self.kernels, self.filters
        seen = (self.side // 2 - k2 + 1) ** 2 * f2
        return {
            "conv 1": (k1 * k1, f1),
            "bias 1": (f1,),
            "conv 2": (k2 * k2 * f1, f2),
            "bias 2": (f2,),
            "dense": (seen, self.classes),
            "bias 3": (self.classes,),
        }

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where in θ each tensor is."""
        ends = np.cumsum([0, *(int(np.prod(shape)) for shape in self.shapes.values())])
        return {name: slice(*ends[i : i + 2]) for i, name in enumerate(self.shapes)}

    @property
    def size(self) -> int:
        """The number n of parameters."""
        return int(self.places["bias 3"].stop)

    def views(self, theta: Array) -> dict[str, Array]:
        """The tensors of θ by name, as views: shapes ``(runs, *shape)`` for θ ``(runs, n)``."""
        return {
            name: theta[..., self.places[name]].reshape(*theta.shape[:-1], *shape)
            for name, shape in self.shapes.items()
        }

    def start(self, rng: np.random.Generator) -> Array:
        """Weights of variance 2/(numbers that enter), biases 0 (He et al. 2015). Shape ``(n,)``."""
        theta = np.zeros(self.size)
        for tensor in self.views(theta).values():
            if tensor.ndim == 2:
                tensor[:] = rng.normal(0.0, np.sqrt(2 / len(tensor)), tensor.shape)
        return theta

    def patches(self, images: Array) -> Array:
        """What the first convolution sees, cut out once.

        ``(N, side, side)`` becomes ``(N, blocks, 4, kernel²)``: the window about each pixel, the
        four pixels of a block of 2 × 2 together.
        """
        k, half = self.kernels[0], self.side // 2
        border = k // 2
        framed = np.pad(images, ((0, 0), (border, border), (border, border)))
        windows = sliding_window_view(framed, (k, k), axis=(1, 2))
        blocks = windows.reshape(-1, half, 2, half, 2, k * k).swapaxes(2, 3)
        return np.ascontiguousarray(blocks.reshape(-1, half * half, 4, k * k))

    def forward(self, theta: Array, x: Array) -> tuple[Array, tuple[Array, ...]]:
        """Scores of the classes, and what the way back needs.

        Parameters
        ----------
        theta : array, shape (R, n)
            The parameters of R networks.
        x : array, shape (R or 1, B, blocks, 4, kernel²)
            Their B images each, from ``patches``.

        Returns
        -------
        scores : array, shape (R, B, classes)
        kept : tuple of arrays
            The first layer, the patches of the second convolution, the second layer.
        """
        p, (runs, batch) = self.views(theta), (len(theta), x.shape[1])
        half, k, (f1, f2) = self.side // 2, self.kernels[1], self.filters
        out = half - k + 1

        flat = x.reshape(len(x), -1, x.shape[-1])
        first = np.maximum(flat @ p["conv 1"] + p["bias 1"][:, None], 0)
        fours = first.reshape(runs, batch, half, half, 4, f1)
        pooled = (fours[..., 0, :] + fours[..., 1, :] + fours[..., 2, :] + fours[..., 3, :]) / 4
        windows = sliding_window_view(pooled, (k, k), axis=(2, 3))  # (R, B, out, out, f1, k, k)
        seen = windows.transpose(0, 1, 2, 3, 5, 6, 4).reshape(runs, -1, k * k * f1)
        second = np.maximum(seen @ p["conv 2"] + p["bias 2"][:, None], 0)
        last = second.reshape(runs, batch, out * out * f2)
        return last @ p["dense"] + p["bias 3"][:, None], (first, seen, second)

    def loss_and_gradient(self, theta: Array, x: Array, labels: Array) -> tuple[Array, Array]:
        """The mean cross-entropy of each run, in nats, and its gradient.

        Parameters
        ----------
        theta, x : arrays
            As in ``forward``.
        labels : array of int, shape (R, B)
            The classes.

        Returns
        -------
        loss : array, shape (R,)
        gradient : array, shape (R, n)
        """
        runs, batch = labels.shape
        half, k, (f1, f2) = self.side // 2, self.kernels[1], self.filters
        out = half - k + 1
        p = self.views(theta)
        gradient = np.empty_like(theta)
        d = self.views(gradient)  # to be filled, layer by layer, from the last
        scores, (first, seen, second) = self.forward(theta, x)
        losses, chance = cross_entropy(scores, labels)

        # The cross-entropy's derivative by the scores: probabilities minus the truth.
        np.put_along_axis(
            chance, labels[..., None], np.take_along_axis(chance, labels[..., None], 2) - 1, 2
        )
        by_scores = chance / batch
        last = second.reshape(runs, batch, -1)
        d["dense"][:] = last.swapaxes(1, 2) @ by_scores
        d["bias 3"][:] = by_scores.sum(1)

        # Through the second ReLU and convolution: a product with the patches, transposed.
        by_last = by_scores @ p["dense"].swapaxes(1, 2)
        by_second = by_last.reshape(second.shape) * (second > 0)
        d["conv 2"][:] = seen.swapaxes(1, 2) @ by_second
        d["bias 2"][:] = by_second.sum(1)

        # Each entry of a patch came from one pooled number: add up where it came from.
        by_seen = (by_second @ p["conv 2"].swapaxes(1, 2)).reshape(runs, batch, out, out, k, k, f1)
        by_pooled = np.zeros((runs, batch, half, half, f1))
        for i in range(k):
            for j in range(k):
                by_pooled[:, :, i : i + out, j : j + out] += by_seen[:, :, :, :, i, j]

        # A mean of four hands a quarter to each; then the first ReLU and convolution.
        by_first = (first > 0) * np.repeat(by_pooled.reshape(runs, -1, f1) / 4, 4, axis=1)
        d["conv 1"][:] = x.reshape(runs, -1, x.shape[-1]).swapaxes(1, 2) @ by_first
        d["bias 1"][:] = by_first.sum(1)
        return losses.mean(1), gradient


def cross_entropy(scores: Array, labels: Array) -> tuple[Array, Array]:
    """-log of the softmax's probability of the truth, shape (R, B), and all probabilities."""
    shifted = scores - scores.max(-1, keepdims=True)
    weights = np.exp(shifted)
    total = weights.sum(-1, keepdims=True)
    right = np.take_along_axis(shifted, labels[..., None], -1)
    return (np.log(total) - right)[..., 0], weights / total


NETWORK = Network()


@cache
def digits(seed: int = 15) -> dict[str, tuple[Array, Array]]:
    """scikit-learn's 1797 digits in three parts: images (N, 8, 8), from 0 to 1, and labels (N,).

    Every class is divided alike: a fifth is for validation, a fifth for the test, the rest to train
    on. (From the UCI repository, Alpaydin & Kaynak 1998, CC BY 4.0; scikit-learn ships them.)
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Array]] = {"train": [], "validation": [], "test": []}
    for c in range(10):
        members = rng.permutation(np.flatnonzero(labels == c))
        fifth = len(members) // 5
        for name, chosen in zip(
            ("validation", "test", "train"), np.split(members, [fifth, 2 * fifth]), strict=True
        ):
            parts[name].append(chosen)
    where = {name: np.concatenate(chosen) for name, chosen in parts.items()}
    return {name: (images[i], labels[i]) for name, i in where.items()}


@cache
def _cut(unit: float) -> dict[str, tuple[Array, Array]]:
    """The parts as patches, the brightness counted in units ``unit`` times as small."""
    return {name: (NETWORK.patches(unit * x), y) for name, (x, y) in digits().items()}


def rmsprop_momentum(
    theta: Any, g: Any, state: family.State, *, lr: Any, beta: Any = 0.9, mu: Any = 0.9,
    eps: Any = 1e-8,
) -> tuple[Any, family.State]:  # fmt: skip
    """RMSProp whose steps a heavy ball accumulates, as in PyTorch."""
    v = beta * state.get("v", 0.0) + (1 - beta) * (g * g)
    b = mu * state.get("b", 0.0) + g / (np.sqrt(v) + eps)
    return theta - lr * b, {"v": v, "b": b}


METHODS: dict[str, family.Step] = {
    "SGD": family.descent,
    "momentum": family.momentum,
    "AdaGrad": family.adagrad,
    "RMSProp": family.rmsprop,
    "RMSProp + momentum": rmsprop_momentum,
    "Adam": family.adam,
}
BATCH = 32
See = Callable[[int, Array, Array, Array, family.State], None]


def train(
    method: str,
    lr: Any,
    seeds: list[int],
    epochs: int,
    *,
    unit: float = 1.0,
    adapt: bool = True,
    nudge: float = 0.0,
    batch: int = BATCH,
    see: See | None = None,
    **numbers: Any,
) -> tuple[Array, dict[str, Array]]:
    """Train one network for each seed, all at once.

    Parameters
    ----------
    method : str
        A key of METHODS; ``numbers`` are passed to it.
    lr : float or array, shape (n,) or (runs, n)
        The learning rate.
    seeds : list of int
        Each determines a start and the order of the images, the same for every method.
    epochs : int
        Passes over the training images, in batches; those that fill no batch are left out.
    unit : float
        The brightness is counted in units that many times as small: 16 gives raw pixels, 0 to 16.
    adapt : bool
        Whether the first convolution starts with weights as many times as small: the same network.
    nudge : float
        The start is multiplied by 1 + nudge, to see what training makes of a rounding error.
    batch : int
        Images a step.
    see : callable, optional
        Called as ``see(t, θ before, gradient, θ after, state after)`` in step t, from 1.

    Returns
    -------
    theta : array, shape (runs, n)
    curves : dict of arrays, shape (epochs, runs)
        "train": the mean loss of an epoch's batches, each before its step; "validation".
    """
    data, step = _cut(unit), METHODS[method]
    images, labels = data["train"]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    theta = np.stack([NETWORK.start(rng) for rng in rngs]) * (1 + nudge)
    if adapt:
        NETWORK.views(theta)["conv 1"][:] /= unit
    state: family.State = {}
    curves: dict[str, list[Array]] = {"train": [], "validation": []}
    t = 0
    # A rate that is too large ends in infinities: an outcome, not an accident.
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(epochs):
            order = np.stack([rng.permutation(len(labels)) for rng in rngs])
            seen = []
            for i in range(0, len(labels) - batch + 1, batch):
                t += 1
                chosen = order[:, i : i + batch]
                loss, g = NETWORK.loss_and_gradient(theta, images[chosen], labels[chosen])
                before = theta
                theta, state = step(theta, g, state, lr=lr, **numbers)
                seen.append(loss)
                if see:
                    see(t, before, g, theta, state)
            curves["train"].append(np.mean(seen, axis=0))
            curves["validation"].append(evaluate(theta, "validation", unit)[0].mean(1))
    return theta, {name: np.array(curve) for name, curve in curves.items()}


def evaluate(theta: Array, part: str, unit: float = 1.0) -> tuple[Array, Array]:
    """Loss of each image of a part, and whether it is recognised: shapes (runs, images)."""
    x, labels = _cut(unit)[part]
    with np.errstate(over="ignore", invalid="ignore"):
        scores, _ = NETWORK.forward(theta, x[None])
        truth = np.broadcast_to(labels, scores.shape[:2])
        return cross_entropy(scores, truth)[0], scores.argmax(-1) == truth
