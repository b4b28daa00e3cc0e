"""The optimisers that come with JAX, and what every optimiser in JAX needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy
from jax.example_libraries import optimizers


def rmsprop(theta0: Any, grads: Any, step_size: Any, **arguments: Any) -> Iterator[Any]:
    """``jax.example_libraries.optimizers.rmsprop``, one operation at a time."""
    return _triple(optimizers.rmsprop, theta0, grads, step_size, **arguments)


def rmsprop_momentum(theta0: Any, grads: Any, step_size: Any, **arguments: Any) -> Iterator[Any]:
    """``jax.example_libraries.optimizers.rmsprop_momentum``, one operation at a time."""
    return _triple(optimizers.rmsprop_momentum, theta0, grads, step_size, **arguments)


def _triple(
    optimiser: Any, theta0: Any, grads: Any, step_size: Any, **arguments: Any
) -> Iterator[Any]:
    rates = step_size.__getitem__ if isinstance(step_size, tuple) else step_size

    def begin(theta: Any) -> Any:
        init, update, get = optimiser(rates, **arguments)

        def step(t: int, theta: Any, grad: Any, state: Any) -> Any:
            state = update(t, grad, state)
            return get(state), state

        return step, init(theta)

    return driven(begin, theta0, grads)


def driven(begin: Callable[[Any], Any], theta0: Any, grads: Any) -> Iterator[Any]:
    """The steps of an optimiser in JAX: ``begin(theta)`` gives ``step`` and its first state.

    JAX has float64 only where ``jax_enable_x64`` is set. There it changes what 0.9**t is for an
    integer array t, so it is set for float64 alone.
    """
    wide = theta0.dtype == numpy.float64
    with jax.enable_x64(wide):
        theta = jnp.array(theta0)
        step, state = begin(theta)
    for t, grad in enumerate(grads):
        with jax.enable_x64(wide):
            theta, state = step(t, theta, jnp.array(grad), state)
        yield numpy.asarray(theta)
