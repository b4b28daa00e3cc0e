"""RMSProps in JAX, and in other array libraries of Python."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import Arithmetic
from rmsprop_ref.dialects.dialect import dialect
from rmsprop_ref.rule import Rule


@dialect(
    "optax.rmsprop",
    version="0.2.8",
    source="google-deepmind/optax: optax/_src/alias.py, optax/_src/transform.py",
    status="run",
    discussions=(
        "google-deepmind/optax#49",
        "google-deepmind/optax#532",
        "google-deepmind/optax#595",
        "google-deepmind/optax#1784",
    ),
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
        nesterov=nesterov and bool(momentum),
        lr_in_buffer=True,
        bias_correction=bias_correction,
    )


@dialect(
    "JAX, jax.example_libraries.optimizers.rmsprop",
    version="0.10.2",
    source="jax-ml/jax: jax/example_libraries/optimizers.py",
    status="run",
    discussions=("jax-ml/jax#975", "jax-ml/jax#1427"),
    arithmetic=Arithmetic(numbers="float64"),
)
def jax_examples(step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8) -> Rule:
    """ε inside the root, since 2019; momentum is another function."""
    return Rule(lr=step_size, beta=gamma, eps_in=eps, eps_out=0.0)


@dialect(
    "JAX, jax.example_libraries.optimizers.rmsprop_momentum",
    version="0.10.2",
    source="jax-ml/jax: jax/example_libraries/optimizers.py",
    status="run",
    arithmetic=Arithmetic(numbers="float64"),
)
def jax_examples_momentum(
    step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8, momentum: Any = 0.9
) -> Rule:
    """ε inside the root; the learning rate enters the momentum buffer."""
    return Rule(
        lr=step_size, beta=gamma, eps_in=eps, eps_out=0.0, momentum=momentum, lr_in_buffer=True
    )


@dialect(
    "MLX, mlx.optimizers.RMSprop",
    version="0.32.4",
    source="ml-explore/mlx: python/mlx/optimizers/optimizers.py",
    status="run",
    arithmetic=Arithmetic(numbers="float64"),
)
def mlx(learning_rate: Any, alpha: Any = 0.99, eps: Any = 1e-8) -> Rule:
    """ε outside the root, and never 0; the learning rate passes through float32."""
    if not eps > 0:
        raise Unsupported(f"MLX refuses eps={eps}: give a number above 0")
    return Rule(lr=learning_rate, beta=alpha, eps_out=eps)


@dialect(
    "HIPS autograd, autograd.misc.optimizers.rmsprop",
    version="1.9.1",
    source="HIPS/autograd: autograd/misc/optimizers.py",
    status="run",
    arithmetic=Arithmetic(numbers="float64"),
)
def autograd(step_size: Any = 0.1, gamma: Any = 0.9, eps: Any = 10**-8) -> Rule:
    """The average starts at 1, and ε is outside the root all the same."""
    if isinstance(step_size, (tuple, list)):
        raise Unsupported("Autograd's step_size is one number: its loop has no schedule")
    return Rule(lr=step_size, beta=gamma, eps_out=eps, v0=1.0)
