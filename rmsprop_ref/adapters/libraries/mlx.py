"""MLX, an array library for Apple's processors that also runs on other CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.optimizers
import numpy

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, learning_rate: Any, **arguments: Any) -> Iterator[Any]:
    """``mlx.optimizers.RMSprop`` on the CPU: nothing else of MLX's has float64."""
    made = mlx.optimizers.RMSprop(rate(learning_rate, 0), **arguments)
    theta = {"theta": _array(theta0)}
    for t, grad in enumerate(grads):
        with mx.stream(mx.cpu):
            made.learning_rate = rate(learning_rate, t)
            theta = made.apply_gradients({"theta": _array(grad)}, theta)
            mx.eval(theta, made.state)
        yield _numpy(theta["theta"], theta0.dtype)


def _array(x: Any) -> Any:
    return mx.array(x, dtype=getattr(mx, x.dtype.name))  # left to itself it narrows float64


def _numpy(x: Any, dtype: Any) -> Any:
    if x.dtype == mx.bfloat16:  # which NumPy's buffers have no word for
        return numpy.array(x.view(mx.uint16)).view(dtype)
    return numpy.array(x)
