"""Sonnet 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sonnet
import tensorflow

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, learning_rate: Any, **arguments: Any) -> Iterator[Any]:
    """``snt.optimizers.RMSProp``, eager."""
    made = sonnet.optimizers.RMSProp(rate(learning_rate, 0), **arguments)
    theta = tensorflow.Variable(theta0)
    for t, grad in enumerate(grads):
        made.learning_rate = rate(learning_rate, t)
        made.apply([tensorflow.constant(grad)], [theta])
        yield theta.numpy().copy()
