"""Autograd, of the Harvard Intelligent and Probabilistic Systems group: on NumPy."""

from __future__ import annotations

from typing import Any

from autograd.misc import optimizers


def rmsprop(theta0: Any, grads: Any, step_size: Any, **arguments: Any) -> list[Any]:
    """``autograd.misc.optimizers.rmsprop``: it runs by itself, and reports what it comes from."""
    seen: list[Any] = []
    last = optimizers.rmsprop(
        lambda x, i: grads[i],
        theta0,
        callback=lambda x, i, g: seen.append(x),
        num_iters=len(grads),
        step_size=step_size,
        **arguments,
    )
    return [*seen[1:], last] if seen else []
