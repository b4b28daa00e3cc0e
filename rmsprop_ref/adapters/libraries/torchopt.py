"""TorchOpt: optimisers as functions, for PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torchopt

from rmsprop_ref.adapters.catalogue import rate
from rmsprop_ref.adapters.libraries.torch import array, tensor


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``torchopt.rmsprop``."""
    made = torchopt.rmsprop(lr=lambda t: rate(lr, int(t)), **arguments)
    theta = (tensor(theta0),)
    state = made.init(theta)
    for grad in grads:
        updates, state = made.update((tensor(grad),), state, params=theta, inplace=False)
        theta = torchopt.apply_updates(theta, updates, inplace=False)
        yield array(theta[0], theta0.dtype)
