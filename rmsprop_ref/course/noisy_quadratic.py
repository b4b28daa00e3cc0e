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
from numpy.typing import NDArray

from rmsprop_ref import Rule, init, step

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
