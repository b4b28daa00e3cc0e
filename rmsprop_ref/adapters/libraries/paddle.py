"""PaddlePaddle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import paddle

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, learning_rate: Any, **arguments: Any) -> Iterator[Any]:
    """``paddle.optimizer.RMSProp``."""
    theta = paddle.create_parameter(theta0.shape, theta0.dtype.name)
    theta.set_value(theta0)
    made = paddle.optimizer.RMSProp(rate(learning_rate, 0), parameters=[theta], **arguments)
    for t, grad in enumerate(grads):
        made.set_lr(rate(learning_rate, t))
        theta.grad = paddle.to_tensor(grad)
        made.step()
        yield theta.numpy().copy()
