"""Keras 3 on any of its backends."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import rate


def rmsprop(
    theta0: Any, grads: Any, learning_rate: Any, *, backend: str, **arguments: Any
) -> Iterator[Any]:
    """``keras.optimizers.RMSprop``, eager.

    Keras holds the learning rate in float32 (``keras.config.floatx()``), whatever the parameters.
    """
    keras = on(backend)
    made = keras.optimizers.RMSprop(learning_rate=rate(learning_rate, 0), **arguments)
    dtype = theta0.dtype.name
    theta = keras.Variable(theta0, dtype=dtype)
    for t, grad in enumerate(grads):
        made.learning_rate = rate(learning_rate, t)
        made.apply([keras.ops.convert_to_tensor(grad, dtype=dtype)], [theta])
        yield keras.ops.convert_to_numpy(theta.value).astype(theta0.dtype)


def on(backend: str) -> Any:
    """Keras on this backend: a process has one."""
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = backend
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        raise Unsupported(f"Keras on {backend} is not here: {error}") from error
    if (loaded := keras.config.backend()) != backend:
        raise Unsupported(f"Keras runs on {loaded} here: start another process for {backend}")
    if backend == "jax":  # otherwise float64 would silently be float32
        importlib.import_module("jax").config.update("jax_enable_x64", True)
    return keras
