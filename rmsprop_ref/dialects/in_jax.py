"""RMSProps in JAX, and in other array libraries of Python."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.dialects.dialect import dialect
from rmsprop_ref.rule import Rule


@dialect(
    "optax.rmsprop",
    version="0.2.8",
    source="google-deepmind/optax: optax/_src/alias.py, optax/_src/transform.py",
    status="run",
    discussions=("google-deepmind/optax#49", "google-deepmind/optax#532"),
)
def optax(
    learning_rate: Any,
    decay: Any = 0.9,
    eps: Any = 1e-8,
    initial_scale: Any = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Any = None,
    nesterov: bool = False,
    bias_correction: bool = False,
) -> Rule:
    """Everything by switch; ε inside the root unless ``eps_in_sqrt=False``."""
    return Rule(
        lr=learning_rate,
        beta=decay,
        eps_in=eps if eps_in_sqrt else 0.0,
        eps_out=0.0 if eps_in_sqrt else eps,
        v0=initial_scale,
        centered=centered,
        momentum=momentum or 0.0,
        nesterov=nesterov,
        lr_in_buffer=True,
        bias_correction=bias_correction,
    )
