"""A quadratic loss seen through noise: many runs of the reference on it, and what theory expects.

A grid of learning rates and ε needs many Rules, and a Rule holds one number of each. It is run all
the same without a loop, because RMSProp has two units: η is the unit of θ and ε, outside the root,
that of the gradient. In y = θ/η and γ = g/ε every run is a run with η = ε = 1:

    g/(√v + ε) = γ/(√(v/ε²) + 1)   and   y ← y - γ/(√(v/ε²) + 1)

So one array holds the whole grid, each element in its own units, and ``reference.step`` takes all
its steps at once. (What changes is the rounding.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        last: int = 1,
        seed: int = 5,
    ) -> Array:
        """The loss after ``steps`` steps of the reference: the mean of ``runs`` runs.

        ``lr`` and ``eps_out``, which must be positive, are numbers or arrays, and are broadcast:
        the result has their shape. With ``last``, the mean is over that many last steps as well.
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
        return np.asarray((self.curvature * mean_square).sum(-1).mean(-1) / 2)

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


def crossing(values: Any, losses: Any, level: float) -> float:
    """The value at which growing ``losses`` pass ``level``, interpolated on logarithmic axes."""
    return float(np.exp(np.interp(np.log(level), np.log(losses), np.log(values))))


def loss_map(
    ax: Any, rates: Any, other: Any, measured: Any, predicted: Any, marks: Any, labels_at: float
) -> Any:
    """Colours for the measured loss, lines where the predicted one is 2, 10 and 100.

    ``marks`` are named points (name, x, y, side), with the name to the left (-1) or the right (1);
    the lines are labelled at the ordinate ``labels_at``.
    """
    ax.set(xscale="log", yscale="log", xlabel="learning rate η")
    image = ax.pcolormesh(rates, other, measured, norm=LogNorm(0.7, 500), cmap=plots.CMAP + "_r")
    levels = [2, 10, 100]
    lines = ax.contour(rates, other, predicted, levels, colors=["k", "k", "w"], linewidths=1.2)
    row = predicted[np.argmin(np.abs(np.log(np.asarray(other) / labels_at)))]
    bottom = int(np.argmin(row))
    spots = [
        (crossing(rates[side], row[side], level), labels_at)
        for level in levels
        for side in (slice(bottom, None, -1), slice(bottom, None))
    ]
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
