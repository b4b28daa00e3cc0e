"""A quadratic loss seen through noise: many runs of the reference on it, and what theory expects.

A grid of learning rates and ε needs many Rules, and a Rule holds one number of each. It is run all
the same without a loop, because RMSProp has two units: η is the unit of θ and ε, outside the root,
that of the gradient. In y = θ/η and γ = g/ε every run is a run with η = ε = 1:

    g/(√v + ε) = γ/(√(v/ε²) + 1)   and   y ← y - γ/(√(v/ε²) + 1)

So one array holds the whole grid, each element in its own units, and ``reference.step`` takes all
its steps at once. (What changes is the rounding.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from rmsprop_ref import Rule, init, step
from rmsprop_ref.course import plots

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class NoisyQuadratic:
    """The loss ½ Σ hᵢxᵢ², where the gradient hᵢxᵢ is seen with Gaussian noise.

    Attributes
    ----------
    curvature : array
        The hᵢ.
    noise : array of the same shape, or float
        The standard deviations sᵢ of the noise.
    start : float
        Where every xᵢ starts.
    """

    curvature: Array
    noise: Array | float
    start: float = 1.0

    def measured(
        self,
        steps: int,
        *,
        lr: Any,
        beta: float = 0.99,
        eps_out: Any = 1e-8,
        runs: int = 1,
        batches: int = 0,
        last: int = 1,
        seed: int = 5,
    ) -> Array:
        """The loss after ``steps`` steps of the reference: the mean of ``runs`` runs.

        ``lr`` and ``eps_out``, which must be positive, are numbers or arrays, and are broadcast:
        the result has their shape. With ``last``, the mean is over that many last steps as well.
        With ``batches``, the runs are divided into so many, and each has its mean, on a last axis.
        Every point of the grid meets the same noise.
        """
        eta, eps = np.broadcast_arrays(np.asarray(lr, float), np.asarray(eps_out, float))
        eta, eps = eta[..., None, None], eps[..., None, None]  # two more axes: runs, coordinates
        shape = (runs, len(self.curvature))
        slope, noise = self.curvature * eta / eps, self.noise / eps
        rng = np.random.default_rng(seed)

        rule = Rule(lr=1.0, beta=beta, eps_out=1.0)
        y = self.start / eta + np.zeros(shape)
        state = init(y, rule)
        mean_square = np.zeros(y.shape)
        for t in range(steps):
            y, state = step(y, slope * y + noise * rng.standard_normal(shape), state, rule)
            if t >= steps - last:
                mean_square += (eta * y) ** 2 / last
        losses = (self.curvature * mean_square).sum(-1) / 2
        if batches:
            losses = losses.reshape(*losses.shape[:-1], batches, -1)
        return np.asarray(losses.mean(-1))

    def predicted(self, steps: int, *, lr: Any, beta: float = 0.99, eps_out: Any = 1e-8) -> Array:
        """The loss that theory expects, if v does not stray from its own expectation.

        Let q be the expectation of x². Then that of g² is h²q + s². A gradient of just that size
        makes the reference's v the expected one, and its step, divided by the gradient, is the rate
        r = η/(√v + ε). One step with that rate turns q into (1 - rh)² q + r² s².
        """
        eta, eps = np.broadcast_arrays(np.asarray(lr, float), np.asarray(eps_out, float))
        eta, eps = eta[..., None], eps[..., None]
        rule = Rule(lr=1.0, beta=beta, eps_out=1.0)
        q = self.start**2 + np.zeros((*eta.shape[:-1], len(self.curvature)))
        state = init(q, rule)
        for _ in range(steps):
            gradient = np.sqrt(self.curvature**2 * q + np.square(self.noise))
            moved, state = step(np.zeros(q.shape), gradient / eps, state, rule)
            rate = -eta * moved / gradient
            q = (1 - rate * self.curvature) ** 2 * q + rate**2 * np.square(self.noise)
        return np.asarray((self.curvature * q).sum(-1) / 2)


def doubling(run: Callable[..., Any], rate: float) -> dict[str, Array]:
    """How far each number can go, the others as they are, until the loss of ``run`` doubles.

    ``run(lr=…, beta=…, eps_out=…)`` gives the losses, of several batches on the last axis; so does
    the answer. The ends of the range of η are in units of ``rate``; that of β is 1/(1-β).
    """
    smaller, larger = rate * np.geomspace(0.65, 0.35, 4), rate * np.geomspace(2, 4, 4)
    memory, eps = np.geomspace(4000, 12000, 4), np.geomspace(0.15, 0.5, 4)
    losses = {
        "smallest η / best": (smaller / rate, run(lr=smaller)),
        "largest η / best": (larger / rate, run(lr=larger)),
        "largest 1/(1-β)": (memory, np.stack([run(lr=rate, beta=1 - 1 / m) for m in memory])),
        "largest ε": (eps, run(lr=rate, eps_out=eps)),
    }
    twice = np.atleast_1d(2 * run(lr=rate))
    return {
        name: np.array(
            [_crossing(values, *pair) for pair in zip(each.reshape(4, -1).T, twice, strict=True)]
        )
        for name, (values, each) in losses.items()
    }


def draw_maps(rates: Any, forgotten: Any, by_beta: Any, epsilons: Any, by_epsilon: Any) -> None:
    """Two maps of the loss, (measured, predicted) each: over η and 1-β, and over η and ε."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(7.2, 4.6), sharex=True)
    marks = ("PyTorch", 1e-2, 1e-2, 1), ("Keras 3", 1e-3, 1e-1, -1)
    _draw_map(left, rates, forgotten, by_beta, marks, 0.5)
    marks = ("PyTorch", 1e-2, 1e-8, 1), ("Keras 3", 1e-3, np.sqrt(1e-7), -1)
    image = _draw_map(right, rates, epsilons, by_epsilon, marks, 1e-6)

    left.invert_yaxis()
    left.minorticks_off()
    left.set_yticks(10.0 ** -np.arange(6), ["0", ".9", ".99", ".999", ".9999", ".99999"])
    left.set(ylabel="memory β  (ε = 1e-8)", title="β: hardly matters below 0.999")
    right.set(ylabel="ε, outside the root  (β = 0.99)", title="ε: hardly matters below 0.1")
    bar = fig.colorbar(image, ax=[left, right], location="bottom", shrink=0.7, aspect=40)
    bar.set_label("final loss, 1 = the best at β = 0.99, ε = 1e-8")
    bar.set_ticks([1, 10, 100], labels=["1", "10", "100"])


def _draw_map(ax: Any, rates: Any, other: Any, losses: Any, marks: Any, labels_at: float) -> Any:
    """Colours for the measured loss, lines where the predicted one is 2, 10 and 100."""
    measured, predicted = losses
    ax.set(xscale="log", yscale="log", xlabel="learning rate η")
    image = ax.pcolormesh(rates, other, measured, norm=LogNorm(0.7, 500), cmap=plots.CMAP + "_r")
    levels = [2, 10, 100]
    lines = ax.contour(rates, other, predicted, levels, colors=["k", "k", "w"], linewidths=1.2)
    row = predicted[np.argmin(np.abs(np.log(other / labels_at)))]
    lowest = int(np.argmin(row))
    sides = slice(lowest, None, -1), slice(lowest, None)
    spots = [(_crossing(rates[s], row[s], x), labels_at) for x in levels for s in sides]
    ax.clabel(lines, fmt=lambda level: f"×{level:.0f}", fontsize=10.5, manual=spots)
    for name, x, y, side in marks:
        ax.plot(x, y, "o", ms=7, mfc="white", mec="k")
        ax.annotate(
            name,
            (x, y),
            xytext=(9 * side, 0),
            textcoords="offset points",
            va="center",
            ha="left" if side > 0 else "right",
            bbox={"boxstyle": "round,pad=0.15", "fc": "w", "ec": "none", "alpha": 0.85},
        )
    return image


def _crossing(values: Any, losses: Any, level: float) -> float:
    """The value at which growing ``losses`` pass ``level``, interpolated on logarithmic axes.

    Raises
    ------
    ValueError
        When they do not pass it.
    """
    if not losses[0] <= level <= losses[-1]:
        raise ValueError(
            f"the losses, {losses[0]:.3g} to {losses[-1]:.3g}, do not pass {level:.3g}"
        )
    return float(np.exp(np.interp(np.log(level), np.log(losses), np.log(values))))
