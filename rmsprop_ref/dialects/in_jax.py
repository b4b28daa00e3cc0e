"""RMSProps in JAX, and in other array libraries of Python."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import RECIPROCAL, Arithmetic
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule

# In operations one by one, as the libraries write them. The hyper-parameters are Python's floats.
_AS_WRITTEN = Arithmetic(numbers="float64")

# Optax on a CPU, one operation at a time; and compiled, on one with a fused multiply-add. Where
# 1-β^t divides, XLA multiplies by its reciprocal. In float64 these are Optax's bits under every
# switch. In float32 they are where ε is outside the root and nothing is corrected: XLA's 1/sqrt(x)
# is an approximation there, up to 1.7 units in the last place off, and 1-β^t is formed in float32.
# What is compiled for a narrower format rounds to it only at the end.
_BY_RECIPROCAL = "x/(1 - beta**n) -> x*(1/(1 - beta**n))"
OPTAX_EAGER = Arithmetic((_BY_RECIPROCAL, RECIPROCAL), numbers="float64")
OPTAX_COMPILED = Arithmetic(
    (
        _BY_RECIPROCAL,
        "beta*v + (1 - beta)*x -> fma(1 - beta, x, beta*v)",
        "v*n - x*x -> fma(v, n, -(x*x))",
        "v - x*x -> fma(-x, x, v)",
        "v*n + eps_in -> fma(v, n, eps_in)",
        RECIPROCAL,
        "momentum*b + x -> fma(momentum, b, x)",
        "theta - lr*x -> fma(-lr, x, theta)",
    ),
    numbers="float64",
)


_STEPS = (0.1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01, 0.1, 0.1, 0.1, 0.1)  # a learning rate


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
    claims=(
        Claim(
            {"learning_rate": _STEPS, "eps_in_sqrt": False, "momentum": 0.9},
            Rule(lr=_STEPS, eps_out=1e-8, momentum=0.9),
            'the warning in the docstring of optax.rmsprop: "Using eps_in_sqrt=False in optax '
            "will match PyTorch's behavior\"",
        ),
    ),
    arithmetic=OPTAX_EAGER,
    not_expressible=(
        "complex parameters: the square is |g|², and a Rule's numbers are real",
        "learning_rate=None: nothing scales the step or turns its sign, so that it ascends",
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
    """Everything by switch; ε inside the root unless ``eps_in_sqrt=False``.

    ``nesterov`` without momentum is ignored. ``bias_correction`` divides by 1-β^t also where the
    average does not start at zero; with ``centered`` what is under the root is then ε at the first
    step, and what rounding leaves of v - m² = 0.
    """
    if learning_rate is None:
        raise Unsupported("learning_rate=None ascends: give a number")
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
    arithmetic=_AS_WRITTEN,
)
def jax_examples(step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8) -> Rule:
    """ε inside the root; momentum is another function.

    Under its own ``piecewise_constant``, which gives arrays of float32, parameters of float16 come
    back as float32.
    """
    return Rule(lr=step_size, beta=gamma, eps_in=eps, eps_out=0.0)


@dialect(
    "JAX, jax.example_libraries.optimizers.rmsprop_momentum",
    version="0.10.2",
    source="jax-ml/jax: jax/example_libraries/optimizers.py",
    status="run",
    arithmetic=_AS_WRITTEN,
)
def jax_examples_momentum(
    step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8, momentum: Any = 0.9
) -> Rule:
    """ε inside the root; the learning rate enters the momentum buffer."""
    return Rule(
        lr=step_size, beta=gamma, eps_in=eps, eps_out=0.0, momentum=momentum, lr_in_buffer=True
    )


@dialect(
    "NumPyro, numpyro.optim.RMSProp",
    version="0.22.0",
    source="pyro-ppl/numpyro: numpyro/optim.py",
)
def numpyro(step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8) -> Rule:
    """A wrapper of ``jax.example_libraries.optimizers.rmsprop``: ε inside the root."""
    return jax_examples(step_size=step_size, gamma=gamma, eps=eps).rule


@dialect(
    "NumPyro, numpyro.optim.RMSPropMomentum",
    version="0.22.0",
    source="pyro-ppl/numpyro: numpyro/optim.py",
)
def numpyro_momentum(
    step_size: Any, gamma: Any = 0.9, eps: Any = 1e-8, momentum: Any = 0.9
) -> Rule:
    """A wrapper of ``rmsprop_momentum`` of the same: the learning rate enters the buffer."""
    return jax_examples_momentum(step_size=step_size, gamma=gamma, eps=eps, momentum=momentum).rule


@dialect(
    "Flax, flax.optim.RMSProp",
    version="0.5.3",
    source="google/flax: flax/optim/rmsprop.py",
    discussions=("google/flax#662",),
)
def flax(learning_rate: Any, beta2: Any = 0.9, eps: Any = 1e-8, centered: bool = False) -> Rule:
    """ε outside the root, also when centered; the learning rate may come with each step instead.

    It was the last version with optimisers of its own: Optax took their place.
    """
    return Rule(lr=learning_rate, beta=beta2, eps_out=eps, centered=centered)


@dialect(
    "Trax, trax.optimizers.RMSProp",
    version="1.4.1",
    source="google/trax: trax/optimizers/rms_prop.py, trax/optimizers/base.py",
    not_expressible=("clip_grad_norm: it bounds the norm of all gradients together",),
)
def trax(
    learning_rate: Any = 0.001, gamma: Any = 0.9, eps: Any = 1e-8, clip_grad_norm: Any = None
) -> Rule:
    """The average starts at 1, with ε outside the root; 1-γ is formed in float32."""
    if clip_grad_norm is not None:
        raise Unsupported("clip_grad_norm bounds all gradients together: give clipped gradients")
    return Rule(lr=learning_rate, beta=gamma, eps_out=eps, v0=1.0)


@dialect(
    "MLX, mlx.optimizers.RMSprop",
    version="0.32.4",
    source="ml-explore/mlx: python/mlx/optimizers/optimizers.py",
    status="run",
    arithmetic=_AS_WRITTEN,
)
def mlx(learning_rate: Any, alpha: Any = 0.99, eps: Any = 1e-8) -> Rule:
    """ε outside the root, and never 0; the learning rate is kept in float32, whatever θ is."""
    if not eps > 0:
        raise Unsupported(f"MLX refuses eps={eps}: give a number above 0")
    return Rule(lr=learning_rate, beta=alpha, eps_out=eps)


@dialect(
    "HIPS autograd, autograd.misc.optimizers.rmsprop",
    version="1.9.1",
    source="HIPS/autograd: autograd/misc/optimizers.py",
    status="run",
    arithmetic=_AS_WRITTEN,
)
def autograd(step_size: Any = 0.1, gamma: Any = 0.9, eps: Any = 1e-8) -> Rule:
    """The average starts at 1, with ε outside the root; the arithmetic is float64, whatever θ is.

    Its docstring says "See Adagrad paper for details"; that paper has a sum, and no average.
    """
    if isinstance(step_size, (tuple, list)):
        raise Unsupported("step_size is one number for all steps: give no schedule")
    return Rule(lr=step_size, beta=gamma, eps_out=eps, v0=1.0)
