"""A health check for a run, five ways to make one ill, and what 16 bits do to v.

``health`` needs nothing but NumPy and four numbers of the rule: copy it into your own loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref import Rule, State, init, step
from rmsprop_ref.constant import FORMATS
from rmsprop_ref.course.convnet import NETWORK, digits

Array = NDArray[Any]


def health(
    theta: Array, grad: Array, state: State, rule: Rule, layers: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What to log: a report on the step that was just made.

    Parameters
    ----------
    theta, grad : arrays of one shape
        The parameters, and the gradient of the last step.
    state : State
        After that step: its ``t`` and ``v``, of the shape of θ.
    rule : Rule
        A plain rule (no momentum, not centered, from v0 = 0) with a constant learning rate.
    layers : mapping of names to indices, optional
        Which part of θ is which layer; by default all is one.

    Returns
    -------
    dict
        ``root_v``: 5, 50 and 95 % quantiles of √v over the live parameters, in units of g.
        ``step``: mean of ``abs(step)``/η over them, no unit; ``first``: what a constant gradient
        would give at this age, 1/√(1-β^t). ``below_eps``: share of the live with √v below ε.
        ``dead``: share of all with g = v = 0. ``lost``: share with g ≠ 0 and v = 0.
        ``full``: share with an infinite or undefined v, θ or g. ``age``: t/τ, τ = -1/ln β.
        ``moved``, ``dead_in``: by layer, the rms of the step over that of θ, and the dead share.
    """
    g, v, w = (np.asarray(x, dtype=np.float64) for x in (grad, state.v, theta))
    eps = rule.eps_out + np.sqrt(rule.eps_in)
    full = ~np.isfinite(v) | ~np.isfinite(g) | ~np.isfinite(w)
    dead, lost = (g == 0) & (v == 0), (g != 0) & (v == 0)
    live = ~(full | dead | lost)
    root = np.sqrt(v[live])
    u = np.zeros(g.shape)  # the step over η
    u[live] = g[live] / (np.sqrt(v[live] + rule.eps_in) + rule.eps_out)
    parts = layers or {"all": ...}
    return {
        "root_v": np.quantile(root, (0.05, 0.5, 0.95)) if live.any() else np.full(3, np.nan),
        "step": float(np.abs(u[live]).mean()) if live.any() else 0.0,
        "first": 1 / np.sqrt(1 - rule.beta**state.t),
        "below_eps": float((root < eps).mean()) if live.any() else 0.0,
        "dead": float(dead.mean()),
        "lost": float(lost.mean()),
        "full": float(full.mean()),
        "age": -state.t * np.log(rule.beta) if rule.beta else np.inf,
        "moved": {
            name: float(rule.lr * np.sqrt(np.mean(u[i] ** 2) / max(np.mean(w[i] ** 2), 1e-300)))
            for name, i in parts.items()
        },
        "dead_in": {name: float(dead[i].mean()) for name, i in parts.items()},
    }


def signs(report: Mapping[str, Any]) -> list[str]:
    """What a report says is wrong. The limits suit a small network; chapter 19 tries them."""
    silent = [name for name, share in report["dead_in"].items() if share > 0.9]
    found = {
        "float: v, g or θ overflowed": report["full"] > 0,
        "float: v underflowed": report["lost"] > 0.01,
        f"dead: {', '.join(silent)}": bool(silent),
        "ε: most steps are gradient descent": report["below_eps"] > 0.5,
        "η: a step is over 10 % of a layer": max(report["moved"].values()) > 0.1,
        "v: inflated, steps far below η": report["step"] < 0.1 and report["below_eps"] <= 0.5,
    }
    return [sign for sign, here in found.items() if here] or ["healthy"]


@dataclass(frozen=True)
class Run:
    """Where a training run stands: what ``health`` wants to see, and the loss on all images."""

    theta: Array
    grad: Array
    state: State
    rule: Rule
    loss: float

    def health(self) -> dict[str, Any]:
        """The report, by layer. Biases, which start at zero, belong to their layer's weights."""
        at = NETWORK.places
        layers = {
            name: slice(at[name].start, at[bias].stop)
            for name, bias in (("conv 1", "bias 1"), ("conv 2", "bias 2"), ("dense", "bias 3"))
        }
        return health(self.theta, self.grad, self.state, self.rule, layers)


def train(
    rule: Rule,
    steps: int = 120,
    *,
    seed: int = 0,
    dtype: Any = np.float64,
    start: Callable[[Array], None] | None = None,
    spoil: Callable[[int, Array], Array] | None = None,
    loss_scale: float = 1.0,
    clip: float | None = None,
) -> Run:
    """Train the convolutional network of ``convnet.py`` on the digits, batch 32, by the reference.

    Parameters
    ----------
    rule : Rule
        A plain rule.
    steps, seed : int
        How many steps; of the start and the batches.
    dtype : dtype
        Of θ, of the gradient that the optimiser sees, and of v. The network itself computes in
        float64.
    start : callable, optional
        ``start(theta)`` changes the start in place.
    spoil : callable, optional
        ``spoil(t, grad)`` returns the gradient that the optimiser sees in step t, from 1.
    loss_scale : float
        The gradient is multiplied by it, before it is rounded to ``dtype``.
    clip : float, optional
        The gradient is clipped at so many √v, weight by weight.
    """
    images, labels = digits()["train"]
    x = NETWORK.patches(images)
    rng = np.random.default_rng(seed)
    first = NETWORK.start(rng)
    if start is not None:
        start(first)
    theta = first.astype(dtype)
    state, grad = init(theta, rule), np.zeros_like(theta)
    with np.errstate(all="ignore"):  # what overflows is the subject
        for t in range(1, steps + 1):
            i = rng.integers(len(labels), size=32)
            wide = theta.astype(np.float64)[None]
            _, g = NETWORK.loss_and_gradient(wide, x[None, i], labels[None, i])
            g = spoil(t, g[0]) if spoil is not None else g[0]
            grad = (loss_scale * g).astype(dtype)
            grad = grad if clip is None else clipped(grad, state, clip)
            theta, state = step(theta, grad, state, rule)
        wide = theta.astype(np.float64)[None]
        loss, _ = NETWORK.loss_and_gradient(wide, x[None], labels[None])
    return Run(theta, grad, state, rule, float(loss[0]))


def vanishing_gradient(dtype: str, beta: float = 0.0) -> float:
    """Up to which gradient the first v is 0: (1-β)g² is at most half of the least subnormal.

    (The rounding of g² itself, which at β > 0 may be subnormal, is neglected.)
    """
    _, smallest, _ = FORMATS[dtype]
    return float(2.0 ** ((smallest - 1) / 2) / np.sqrt(1 - beta))


def overflowing_gradient(dtype: str) -> float:
    """From about which gradient on g² is infinite."""
    return float(2.0 ** (FORMATS[dtype][2] / 2))


def share_that_falls(forgotten: float, dtype: Any, *, wide: bool) -> float:
    """Of all v between 1 and 2 in that format, the share that one step with g = 0 makes smaller.

    Parameters
    ----------
    forgotten : float
        1-β.
    dtype : dtype
        A format of NumPy or of ml_dtypes.
    wide : bool
        The step is computed in float64 and v is rounded to ``dtype`` afterwards (a 16-bit state of
        a 32-bit optimiser); otherwise everything is in ``dtype``.
    """
    bits = FORMATS[np.dtype(dtype).name][0]
    v = (1 + np.arange(2 ** (bits - 1)) / 2 ** (bits - 1)).astype(dtype)
    computed = v.astype(np.float64) if wide else v
    zero = np.zeros_like(computed)
    _, state = step(zero, zero, State(0, computed), Rule(beta=1 - forgotten))
    return float((state.v.astype(dtype) < v).mean())


def held(beta: float, size: float, dtype: Any, *, wide: bool, seed: int = 19) -> float:
    """√v in that format over √v in float64, on the same noise: the rms of 500 weights.

    Parameters
    ----------
    beta, size : float
        β; the standard deviation of the gradients. v starts at 1 and sees them for 6 τ steps.
    dtype, wide : dtype, bool
        As in ``share_that_falls``.
    """
    steps, rule, rng = int(6 / (1 - beta)) + 50, Rule(beta=beta), np.random.default_rng(seed)
    computed = np.float64 if wide else dtype
    v, exact, zero = np.ones(500, computed), np.ones(500), np.zeros(500)
    for _ in range(steps):
        g = (size * rng.standard_normal(500)).astype(dtype)
        exact = step(zero, g.astype(np.float64), State(0, exact), rule)[1].v
        v = step(zero.astype(computed), g.astype(computed), State(0, v), rule)[1].v
        v = v.astype(dtype).astype(computed)
    return float(np.sqrt(v.astype(np.float64).mean() / exact.mean()))


def clipped(grad: Array, state: State, factor: float) -> Array:
    """The gradient, cut at ``factor`` times its running rms √v; not while there is no v."""
    limit = np.where(state.v > 0, factor * np.sqrt(state.v), np.inf)
    return np.clip(grad, -limit, limit)


def inflated(grads: Array, rule: Rule, factor: float | None = None) -> Array:
    """√v after each step on given gradients, of shape (T,), from v = 1; clipped, or as they are."""
    theta, state, roots = np.float64(0.0), State(0, np.float64(1.0)), []
    for g in np.asarray(grads, dtype=float):
        seen = g if factor is None else clipped(g, state, factor)
        theta, state = step(theta, np.float64(seen), state, rule)
        roots.append(np.sqrt(state.v))
    return np.array(roots)
