"""timm: PyTorch image models. Its optimisers need neither its models nor torchvision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rmsprop_ref.adapters.libraries.torch import alone, driven

RMSpropTF = alone("timm.optim.rmsprop_tf").RMSpropTF


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``timm.optim.RMSpropTF``."""
    return driven(RMSpropTF, theta0, grads, lr, **arguments)
