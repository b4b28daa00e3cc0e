"""Keras 2, as tf_keras has it: the optimiser of TensorFlow 2.11 to 2.15, and that before it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow
import tf_keras

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, learning_rate: Any, **arguments: Any) -> Iterator[Any]:
    """``tf_keras.optimizers.RMSprop``."""
    return _driven(tf_keras.optimizers.RMSprop, theta0, grads, learning_rate, **arguments)


def legacy(theta0: Any, grads: Any, learning_rate: Any, **arguments: Any) -> Iterator[Any]:
    """``tf_keras.optimizers.legacy.RMSprop``."""
    return _driven(tf_keras.optimizers.legacy.RMSprop, theta0, grads, learning_rate, **arguments)


def _driven(
    optimiser: Any, theta0: Any, grads: Any, learning_rate: Any, **arguments: Any
) -> Iterator[Any]:
    """Eager, with the learning rate in float32, as ``tf_keras.backend.floatx()`` has it."""
    made = optimiser(rate(learning_rate, 0), **arguments)
    theta = tensorflow.Variable(theta0)
    for t, grad in enumerate(grads):
        made.learning_rate = rate(learning_rate, t)
        made.apply_gradients([(tensorflow.constant(grad), theta)])
        yield theta.numpy().copy()
