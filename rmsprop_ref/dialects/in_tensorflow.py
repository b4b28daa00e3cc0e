"""RMSProps in TensorFlow and Keras."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.dialects.dialect import dialect
from rmsprop_ref.rule import Rule


@dialect(
    "Keras 3, keras.optimizers.RMSprop",
    version="3.15.1",
    source="keras-team/keras: keras/src/optimizers/rmsprop.py",
    status="run",
    discussions=("keras-team/keras#435", "keras-team/keras#4356"),
)
def keras3(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
) -> Rule:
    """ε inside the root, also when centered; the learning rate enters the momentum buffer."""
    return Rule(
        lr=learning_rate,
        beta=rho,
        eps_in=epsilon,
        eps_out=0.0,
        momentum=momentum,
        lr_in_buffer=True,
        centered=centered,
        weight_decay=weight_decay or 0.0,
        weight_decay_form="decoupled",
    )
