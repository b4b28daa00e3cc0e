"""Stable-Baselines3: reinforcement learning. Its optimiser needs no environments to learn in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rmsprop_ref.adapters.libraries.torch import alone, driven

RMSpropTFLike = alone("stable_baselines3.common.sb2_compat.rmsprop_tf_like").RMSpropTFLike


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``RMSpropTFLike``."""
    return driven(RMSpropTFLike, theta0, grads, lr, **arguments)
