"""RMSProps in PyTorch, and on top of it.

All of them call PyTorch's kernels, so they share its arithmetic: ``addcmul`` and ``add(alpha=…)``
are fused, ``addcdiv`` is not, and 1-α is formed in Python, in float64. Its root is MKL's, which is
up to 0.75 units in the last place away, so the last bits of θ are those of the machine.

kozistr/pytorch_optimizer (4.1.0: pytorch_optimizer/optimizer/__init__.py) has no RMSProp of its
own: ``RMSprop`` there is PyTorch's, ``rmsprop8bit`` and ``rmsprop32bit`` are bitsandbytes'.
"""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import QUOTIENT_FIRST, Arithmetic
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule

# What PyTorch's kernels do to the formulas, in float32 and float64.
_SQUARE = "beta*v + (1 - beta)*(x*x) -> fma((1 - beta)*x, x, beta*v)"  # addcmul_
_MEAN = "beta*m + (1 - beta)*x -> fma(1 - beta, x, beta*m)"  # add_(alpha=…)
_LERP = "beta*v + (1 - beta)*x -> fma(1 - beta, x - v, v)"  # lerp_, for a weight below one half
_VARIANCE = "a - m*m -> fma(-m, m, a)"  # addcmul(value=-1)
_L2 = "x + weight_decay*theta -> fma(weight_decay, theta, x)"  # add(alpha=…)
_DECOUPLED = "theta - (lr*weight_decay)*theta -> theta*(1 - lr*weight_decay)"
_RATE_LAST = "w - lr*x -> fma(-lr, x, w)"  # add_(alpha=…)
_NESTEROV = "momentum*(momentum*b + u) + u -> fma(momentum, momentum*b + u, u)"  # add(alpha=…)
_ONE_QUOTIENT = "lr*(x/d) -> (lr*x)/d"  # addcdiv_
_PYTORCH = Arithmetic((_SQUARE, _LERP, _VARIANCE, _L2, _RATE_LAST), numbers="float64")

_MAXIMIZE = "maximize=True ascends: give the rule the negated gradients"


@dialect(
    "PyTorch, torch.optim.RMSprop",
    version="2.13.0",
    source="pytorch/pytorch: torch/optim/rmsprop.py",
    status="run",
    discussions=("pytorch/pytorch#23796", "pytorch/pytorch#32545", "pytorch/pytorch#46118"),
    arithmetic=_PYTORCH,
    not_expressible=(
        "maximize=True: the same rule with the negated gradients.",
        "alpha > 1 and momentum > 1, which it accepts: averages with weights outside [0, 1].",
    ),
)
def pytorch(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
    maximize: bool = False,
) -> Any:
    """ε outside the root; the learning rate multiplies what leaves the momentum buffer.

    ``foreach`` rounds as the loop does; compiled, it rounds a learning rate that is a tensor to
    float32, also beside float64. ``capturable`` with such a one (on a GPU) forms g/(d/η).
    """
    if maximize:
        raise Unsupported(_MAXIMIZE)
    rule = Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )
    # For a weight of one half and more, lerp_ counts from the other end.
    return (rule, None) if centered and alpha <= 0.5 else rule


@dialect(
    "timm, timm.optim.RMSpropTF",
    version="1.0.31",
    source="huggingface/pytorch-image-models: timm/optim/rmsprop_tf.py",
    status="run",
    discussions=("huggingface/pytorch-image-models#225", "pytorch/pytorch#23796"),
    arithmetic=Arithmetic((_LERP, _VARIANCE, _L2, _RATE_LAST, _DECOUPLED), numbers="float64"),
    not_expressible=(
        "caution=True with momentum: a step then depends on the signs of all elements.",
        "corrected_weight_decay=True with a schedule: θ shrinks by η²λθ over the first η.",
    ),
)
def timm(
    lr: Any = 1e-2,
    alpha: Any = 0.9,
    eps: Any = 1e-10,
    weight_decay: Any = 0,
    momentum: Any = 0.0,
    centered: bool = False,
    decoupled_decay: bool = False,
    corrected_weight_decay: bool = False,
    lr_in_momentum: bool = True,
    caution: bool = False,
) -> Rule:
    """TensorFlow 1's rule: ε inside the root, the average from 1, η in the momentum buffer.

    ``caution`` does nothing without momentum, and ``corrected_weight_decay`` nothing without
    ``decoupled_decay``.
    """
    if caution and momentum:
        raise Unsupported("caution=True masks the step by its sign: leave it out")
    scheduled = isinstance(lr, (tuple, list)) and len(set(lr)) > 1
    if corrected_weight_decay and decoupled_decay and weight_decay and scheduled:
        raise Unsupported("corrected_weight_decay=True decays by η²/η_max: leave it out")
    return Rule(
        lr=lr,
        beta=alpha,
        eps_in=eps,
        eps_out=0.0,
        v0=1.0,
        momentum=momentum,
        lr_in_buffer=lr_in_momentum,
        centered=centered,
        weight_decay=weight_decay,
        weight_decay_form="decoupled" if decoupled_decay else "l2",
    )


@dialect(
    "timm, create_optimizer_v2(…, 'rmsprop')",
    version="1.0.31",
    source="huggingface/pytorch-image-models: timm/optim/_optim_factory.py",
    status="read",
    arithmetic=_PYTORCH,
    claims=(
        Claim(
            {"lr": 0.01},
            Rule(beta=0.99),
            "timm/optim/_optim_factory.py describes 'rmsprop' as torch.optim.RMSprop, whose "
            "defaults are alpha=0.99 and momentum=0",
        ),
    ),
    not_expressible=(
        "Given a model, not its parameters, it exempts one-dimensional ones from the decay.",
    ),
)
def timm_factory(
    lr: Any = None,
    weight_decay: Any = 0.0,
    momentum: Any = 0.9,
    alpha: Any = 0.9,
    eps: Any = 1e-8,
    centered: bool = False,
    maximize: bool = False,
) -> Any:
    """PyTorch's RMSprop with defaults of timm's own: α = 0.9, and a momentum of 0.9."""
    made = pytorch(
        lr=1e-2 if lr is None else lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        centered=centered,
        maximize=maximize,
    )
    return made.rule, made.arithmetic


@dialect(
    "Stable-Baselines3, RMSpropTFLike",
    version="2.9.2",
    source="DLR-RM/stable-baselines3: stable_baselines3/common/sb2_compat/rmsprop_tf_like.py",
    status="run",
    discussions=("DLR-RM/stable-baselines3#110",),
    arithmetic=Arithmetic((_SQUARE, _MEAN, _VARIANCE, _L2, _RATE_LAST), numbers="float64"),
    claims=(
        Claim(
            {"lr": 0.01, "eps": 1e-3},
            Rule(beta=0.99, v0=1.0, eps_out=1e-3),
            'its docstring, "takes the square root of the gradient average before adding epsilon" '
            '(and, above that, "Move epsilon inside square root")',
        ),
    ),
)
def stable_baselines3(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
) -> Rule:
    """ε inside the root and the average from 1, as TensorFlow 1; momentum as PyTorch.

    With momentum and a schedule it is therefore not TensorFlow's rule.
    """
    return Rule(
        lr=lr,
        beta=alpha,
        eps_in=eps,
        eps_out=0.0,
        v0=1.0,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )


@dialect(
    "fastai, fastai.optimizer.RMSProp",
    version="2.8.12",
    source="fastai/fastai: fastai/optimizer.py",
    status="run",
    arithmetic=Arithmetic((_SQUARE, _L2, _ONE_QUOTIENT, _DECOUPLED), numbers="float64"),
    claims=(
        Claim(
            {"lr": 0.01, "eps": 1e-3},
            Rule(beta=0.99, eps_out=1e-3),
            'the signature of RMSProp, eps: "Added for numerical stability"',
        ),
    ),
)
def fastai(
    lr: Any,
    mom: Any = 0.0,
    sqr_mom: Any = 0.99,
    eps: Any = 1e-8,
    wd: Any = 0.0,
    decouple_wd: bool = True,
) -> Rule:
    """ε is 1e-8, outside the root: ``eps`` is accepted and not handed on.

    Momentum accumulates gradients, undivided and without a factor 1-μ.
    """
    return Rule(
        lr=lr,
        beta=sqr_mom,
        eps_out=1e-8,
        momentum=mom,
        momentum_on="gradient",
        weight_decay=wd,
        weight_decay_form="decoupled" if decouple_wd else "l2",
    )


@dialect(
    "fastai, course22p2",
    version="fastai/course22p2@03fac8a",
    source="fastai/course22p2: nbs/12_accel_sgd.ipynb",
)
def fastai_course(lr: Any, wd: Any = 0.0, sqr_mom: Any = 0.99, eps: Any = 1e-5) -> Rule:
    """The average starts at the first squared gradient."""
    return Rule(
        lr=lr,
        beta=sqr_mom,
        eps_out=eps,
        v0="first_square",
        weight_decay=wd,
        weight_decay_form="decoupled",
    )


@dialect(
    "bitsandbytes, RMSprop",
    version="0.50.2",
    source="bitsandbytes-foundation/bitsandbytes: bitsandbytes/optim/rmsprop.py, "
    "bitsandbytes/backends/cpu/ops.py",
    status="run",
    arithmetic=Arithmetic((_SQUARE, _L2, "w - (lr*x)/d -> fma(-lr, x/d, w)"), numbers="float64"),
    claims=(
        Claim(
            {"lr": 0.01, "momentum": 0.9},
            Rule(beta=0.99, momentum=0.9),
            'the docstring of RMSprop, momentum: "taking bigger steps"',
        ),
    ),
    not_expressible=(
        "optim_bits=8: from 4096 elements on the average is kept in eight bits, in blocks of 256.",
    ),
)
def bitsandbytes(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
) -> Rule:
    """PyTorch's rule in float32, whatever the parameters; ``momentum`` is accepted and ignored."""
    if centered:
        raise Unsupported("bitsandbytes has no centered form")
    if alpha in (0, 1) or momentum == 1:
        raise Unsupported(f"bitsandbytes refuses alpha={alpha} with momentum={momentum}")
    return Rule(lr=lr, beta=alpha, eps_out=eps, weight_decay=weight_decay)


@dialect(
    "TorchOpt, torchopt.rmsprop",
    version="0.7.3",
    source="metaopt/torchopt: torchopt/alias/rmsprop.py, torchopt/transform/scale_by_rms.py",
    status="run",
    discussions=("metaopt/torchopt#8", "metaopt/torchopt#54"),
    arithmetic=Arithmetic(
        (_SQUARE, _MEAN, _VARIANCE, _L2, QUOTIENT_FIRST, _NESTEROV),
        numbers="float64",
    ),
    not_expressible=(
        "alpha=1: the squares are summed, as in AdaGrad, where a weight of 1 would keep the start.",
        "maximize=True: the same rule with the negated gradients.",
    ),
)
def torchopt(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0.0,
    momentum: Any = 0.0,
    centered: bool = False,
    initial_scale: Any = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> Rule:
    """PyTorch's rule with optax's switches: where the average starts, and Nesterov's form."""
    if alpha == 1:
        raise Unsupported("alpha=1 sums the squares, as AdaGrad does: give a smaller alpha")
    if maximize:
        raise Unsupported(_MAXIMIZE)
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        v0=initial_scale,
        momentum=momentum,
        nesterov=nesterov,
        centered=centered,
        weight_decay=weight_decay,
    )


@dialect(
    "Dive into Deep Learning, from scratch",
    version="1.0.3",
    source="d2l-ai/d2l-en: chapter_optimization/rmsprop.md",
)
def d2l(lr: Any, gamma: Any) -> Rule:
    """ε is 1e-6, inside the root.

    The chapter then calls PyTorch's, MXNet's and TensorFlow's, each with its own ε and place.
    """
    return Rule(lr=lr, beta=gamma, eps_in=1e-6, eps_out=0.0)
