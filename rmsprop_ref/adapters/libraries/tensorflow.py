"""Optimisers in TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(
    theta0: Any, grads: Any, learning_rate: Any, jit: bool = False, **arguments: Any
) -> Iterator[Any]:
    """``tf.compat.v1.train.RMSPropOptimizer``, eager; or compiled by XLA."""
    now = rate(learning_rate, 0)
    made = tensorflow.compat.v1.train.RMSPropOptimizer(lambda: now, **arguments)
    theta = tensorflow.Variable(theta0)
    made._create_slots([theta])  # before it is compiled
    update = tensorflow.function(made.apply_gradients, jit_compile=True) if jit else None
    for t, grad in enumerate(grads):
        now = rate(learning_rate, t)
        (update or made.apply_gradients)([(tensorflow.constant(grad), theta)])
        yield theta.numpy().copy()


def op(
    theta0: Any,
    grads: Any,
    lr: Any,
    rho: Any,
    momentum: Any,
    epsilon: Any,
    ms: Any = 0.0,
    centered: bool = False,
    jit: bool = False,
) -> Iterator[Any]:
    """``tf.raw_ops``: the kernel of the CPU; or compiled by XLA."""
    theta, mean_square, mg, mom = (
        tensorflow.Variable(array)
        for array in (theta0, theta0 * 0 + theta0.dtype.type(ms), theta0 * 0, theta0 * 0)
    )
    ops = tensorflow.raw_ops
    apply = ops.ResourceApplyCenteredRMSProp if centered else ops.ResourceApplyRMSProp
    state = {"var": theta.handle, "ms": mean_square.handle, "mom": mom.handle}
    state |= {"mg": mg.handle} if centered else {}

    def update(lr: Any, grad: Any) -> None:
        numbers = {"rho": rho, "momentum": momentum, "epsilon": epsilon}
        numbers = {name: tensorflow.constant(x, theta.dtype) for name, x in numbers.items()}
        apply(grad=grad, lr=lr, **numbers, **state)

    update = tensorflow.function(update, jit_compile=True) if jit else update
    for t, grad in enumerate(grads):
        update(tensorflow.constant(rate(lr, t), theta.dtype), tensorflow.constant(grad))
        yield theta.numpy().copy()
