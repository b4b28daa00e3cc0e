"""bitsandbytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bitsandbytes

from rmsprop_ref.adapters.libraries.torch import driven


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``bitsandbytes.optim.RMSprop``, its state in 32 bits."""
    return driven(bitsandbytes.optim.RMSprop, theta0, grads, lr, optim_bits=32, **arguments)
