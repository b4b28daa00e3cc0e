"""Optax: gradient transformations for JAX."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmsprop_ref.adapters.libraries.jax import driven


def rmsprop(
    theta0: Any,
    grads: Any,
    learning_rate: Any,
    *,
    jit: bool = False,
    injected: bool = False,
    **arguments: Any,
) -> Iterator[Any]:
    """``optax.rmsprop``, one operation at a time; or the whole step compiled.

    ``injected``: by way of ``optax.inject_hyperparams``, which keeps the hyper-parameters in the
    optimiser's state, as arrays of the parameters' dtype.
    """
    rates = learning_rate
    if isinstance(rates, tuple):  # a function of a step count that may be traced
        rates = lambda count: jnp.asarray(learning_rate)[count]  # noqa: E731
    optimiser = optax.inject_hyperparams(optax.rmsprop) if injected else optax.rmsprop

    def begin(theta: Any) -> Any:
        made = optimiser(rates, **arguments)

        def step(t: int, theta: Any, grad: Any, state: Any) -> Any:
            updates, state = made.update(grad, state, theta)
            return optax.apply_updates(theta, updates), state

        return jax.jit(step) if jit else step, made.init(theta)

    return driven(begin, theta0, grads)
