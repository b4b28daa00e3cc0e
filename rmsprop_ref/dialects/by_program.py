"""RMSProps in other languages, and in libraries that need an older NumPy."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import LEFT_TO_RIGHT, QUOTIENT_FIRST, RATE_FIRST, Arithmetic
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule


@dialect(
    "TensorFlow.js, tf.train.rmsprop",
    version="4.22.0",
    source="tensorflow/tfjs: tfjs-core/src/optimizers/rmsprop_optimizer.ts",
    status="run",
    discussions=("tensorflow/tfjs-core#880", "tensorflow/tfjs#126"),
    claims=(
        Claim(
            {"learningRate": 0.01, "centered": True},
            Rule(lr=0.01, beta=0.9, eps_in=1e-7, centered=True),
            "tfjs-core/src/optimizers/optimizer_constructors.ts: “@param epsilon Small value to "
            "avoid zero denominator. @param centered If true, gradients are normalized by the "
            "estimated variance of the gradient.” Its own test has sqrt(v - m * 2 + epsilon)",
        ),
    ),
    language="JavaScript",
    not_expressible=(
        "centered=true takes √(v - (m² + ε)), ε subtracted: NaN where the variance is below ε.",
    ),
    arithmetic=Arithmetic(numbers="float64"),
)
def tfjs(
    learningRate: Any,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
) -> Rule:
    """ε inside the root; the learning rate enters the momentum buffer. It has no bias correction.

    ``epsilon`` is the back end's own unless given: 1e-7 in float32. The arguments have no names in
    JavaScript, but an order.
    """
    if centered and epsilon:
        raise Unsupported(
            "centered=True takes √(v - (m² + ε)), with ε subtracted: the root of a negative number "
            "where the variance is below ε. Give epsilon=0 to have the variance alone"
        )
    return Rule(
        lr=learningRate,
        beta=decay,
        eps_in=epsilon,
        eps_out=0.0,
        momentum=momentum,
        lr_in_buffer=True,
        centered=centered,
    )


_HOOKS = (
    "The hooks GradientClipping, GradientHardClipping, GradientNoise and Lasso change the gradient "
    "before it comes to the rule. (WeightDecay(λ) adds λθ to it: the rule's l2.)"
)


@dialect(
    "Chainer, chainer.optimizers.RMSprop",
    version="7.8.1",
    source="chainer/chainer: chainer/optimizers/rmsprop.py",
    status="run",
    discussions=("chainer/chainer#4754", "chainer/chainer#5150"),
    not_expressible=(_HOOKS,),
    arithmetic=Arithmetic((LEFT_TO_RIGHT,), numbers="float64"),
)
def chainer(
    lr: Any = 0.01, alpha: Any = 0.99, eps: Any = 1e-8, eps_inside_sqrt: bool = False
) -> Rule:
    """ε outside the root, or inside by switch. An ε that is 0 in the dtype is refused."""
    return Rule(
        lr=lr,
        beta=alpha,
        eps_in=eps if eps_inside_sqrt else 0.0,
        eps_out=0.0 if eps_inside_sqrt else eps,
    )


@dialect(
    "Chainer, chainer.optimizers.RMSpropGraves",
    version="7.8.1",
    source="chainer/chainer: chainer/optimizers/rmsprop_graves.py",
    status="run",
    not_expressible=(_HOOKS,),
    arithmetic=Arithmetic((LEFT_TO_RIGHT,), numbers="float64"),
)
def chainer_graves(lr: Any = 1e-4, alpha: Any = 0.95, momentum: Any = 0.9, eps: Any = 1e-4) -> Rule:
    """Always centered, ε inside the root; the learning rate enters the momentum buffer."""
    return Rule(
        lr=lr,
        beta=alpha,
        eps_in=eps,
        eps_out=0.0,
        centered=True,
        momentum=momentum,
        lr_in_buffer=True,
    )


# MXNet. Its class takes None for no clipping; its operators take a negative number.

_CLIPPED = (
    "clip_gradient limits each element of the gradient, after weight decay is added to it.",
    "clip_weights limits each parameter after the step.",
)
_PLAIN = Arithmetic((QUOTIENT_FIRST,), numbers="float32")
_ALEX = Arithmetic((LEFT_TO_RIGHT,), numbers="float32")


def _unclipped(rescale_grad: Any, clip_gradient: Any, clip_weights: Any) -> None:
    if rescale_grad != 1:
        raise Unsupported(f"rescale_grad={rescale_grad} scales the gradients: scale those you give")
    for name, limit in (("clip_gradient", clip_gradient), ("clip_weights", clip_weights)):
        if limit is not None and limit >= 0:
            raise Unsupported(f"{name}={limit} limits each element: no rule does, so clip apart")


@dialect(
    "MXNet 1, mxnet.optimizer.RMSProp",
    version="1.9.1",
    source="apache/mxnet: python/mxnet/optimizer/optimizer.py, src/operator/optimizer_op-inl.h",
    status="run",
    discussions=("apache/mxnet#6235", "apache/mxnet#6219", "apache/mxnet#5099"),
    not_expressible=(*_CLIPPED, "multi_precision=True computes float16 in float32."),
)
def mxnet(
    learning_rate: Any = 0.001,
    gamma1: Any = 0.9,
    gamma2: Any = 0.9,
    epsilon: Any = 1e-8,
    centered: bool = False,
    wd: Any = 0.0,
    rescale_grad: Any = 1.0,
    clip_gradient: Any = None,
    clip_weights: Any = None,
) -> tuple[Rule, Arithmetic]:
    """ε inside the root. Momentum belongs to the centered form, where it is 0.9 unless given.

    It computes in float32 alone: its state is made in float32, and the operators that it calls want
    one dtype. A limit of 0 is no limit.
    """
    _unclipped(rescale_grad, clip_gradient or None, clip_weights or None)
    rule = Rule(
        lr=learning_rate,
        beta=gamma1,
        eps_in=epsilon,
        eps_out=0.0,
        centered=centered,
        momentum=gamma2 if centered else 0.0,
        lr_in_buffer=centered,
        weight_decay=wd,
    )
    return rule, _ALEX if centered else _PLAIN


def _limits(rule: Rule) -> tuple[Claim, ...]:
    said = "src/operator/optimizer_op-inl.h: “If {0} <= 0, {1} clipping is turned off.”"
    return (
        Claim(
            {"lr": rule.lr, "clip_gradient": 0.0}, rule, said.format("clip_gradient", "gradient")
        ),
        Claim({"lr": rule.lr, "clip_weights": 0.0}, rule, said.format("clip_weights", "weight")),
    )


@dialect(
    "MXNet 1, mxnet.nd.rmsprop_update",
    version="1.9.1",
    source="apache/mxnet: src/operator/optimizer_op-inl.h, RMSPropUpdateKernel",
    status="run",
    discussions=("apache/mxnet#6235", "apache/mxnet#5137"),
    claims=_limits(Rule(lr=0.01, beta=0.95, eps_in=1e-8)),
    not_expressible=_CLIPPED,
    arithmetic=_PLAIN,
)
def mxnet_update(
    lr: Any,
    gamma1: Any = 0.95,
    epsilon: Any = 1e-8,
    wd: Any = 0.0,
    rescale_grad: Any = 1.0,
    clip_gradient: Any = -1.0,
    clip_weights: Any = -1.0,
) -> Rule:
    """ε inside the root. Its numbers are float32 whatever the arrays are; a limit of 0 limits."""
    _unclipped(rescale_grad, clip_gradient, clip_weights)
    return Rule(lr=lr, beta=gamma1, eps_in=epsilon, eps_out=0.0, weight_decay=wd)


@dialect(
    "MXNet 1, mxnet.nd.rmspropalex_update",
    version="1.9.1",
    source="apache/mxnet: src/operator/optimizer_op-inl.h, RMSPropAlexUpdateKernel",
    status="run",
    discussions=("apache/mxnet#4493", "apache/mxnet#6235"),
    claims=_limits(
        Rule(lr=0.01, beta=0.95, eps_in=1e-8, centered=True, momentum=0.9, lr_in_buffer=True)
    ),
    not_expressible=_CLIPPED,
    arithmetic=_ALEX,
)
def mxnet_alex_update(
    lr: Any,
    gamma1: Any = 0.95,
    gamma2: Any = 0.9,
    epsilon: Any = 1e-8,
    wd: Any = 0.0,
    rescale_grad: Any = 1.0,
    clip_gradient: Any = -1.0,
    clip_weights: Any = -1.0,
) -> Rule:
    """Always centered, ε inside the root: Alex Graves's. Its numbers are float32, as above."""
    _unclipped(rescale_grad, clip_gradient, clip_weights)
    return Rule(
        lr=lr,
        beta=gamma1,
        eps_in=epsilon,
        eps_out=0.0,
        centered=True,
        momentum=gamma2,
        lr_in_buffer=True,
        weight_decay=wd,
    )


@dialect(
    "MXNet 2, mxnet.optimizer.RMSProp",
    version="2.0 beta, b84609d",
    source="apache/mxnet: python/mxnet/optimizer/rmsprop.py, src/operator/optimizer_op-inl.h",
    discussions=("apache/mxnet#17400",),
    claims=(
        Claim(
            {"learning_rate": 0.01, "epsilon": 1e-3},
            Rule(lr=0.01, beta=0.9, eps_in=1e-3),
            "src/operator/optimizer_op.cc, rmsprop_update: RMS[g]_t = \\sqrt{E[g^2]_t + \\epsilon}",
        ),
    ),
    not_expressible=(
        "clip_gradient limits each element of the gradient, before weight decay is added to it.",
        *_CLIPPED[1:],
    ),
)
def mxnet2(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.9,
    epsilon: Any = 1e-8,
    centered: bool = False,
    wd: Any = 0.0,
    rescale_grad: Any = 1.0,
    clip_gradient: Any = None,
    clip_weights: Any = None,
) -> Rule:
    """ε outside the root, but inside when centered. Momentum belongs to the centered form."""
    _unclipped(rescale_grad, clip_gradient, clip_weights or None)
    return Rule(
        lr=learning_rate,
        beta=rho,
        eps_in=epsilon if centered else 0.0,
        eps_out=0.0 if centered else epsilon,
        centered=centered,
        momentum=momentum if centered else 0.0,
        lr_in_buffer=centered,
        weight_decay=wd,
    )


@dialect(
    'ConvNetJS, convnetjs.Trainer with method "windowgrad"',
    version="0.3.0",
    false_friends=("momentum",),
    source="karpathy/convnetjs: src/convnet_trainers.js",
    status="run",
    language="JavaScript",
    not_expressible=("l1_decay adds a multiple of the sign of θ to the gradient.",),
    arithmetic=Arithmetic((LEFT_TO_RIGHT, RATE_FIRST), numbers="float64"),
)
def convnetjs(
    learning_rate: Any = 0.01,
    ro: Any = 0.95,
    eps: Any = 1e-6,
    l2_decay: Any = 0.0,
    l1_decay: Any = 0.0,
    batch_size: int = 1,
    momentum: Any = 0.9,
) -> Rule:
    """RMSProp under another name, in float64; ε inside the root. ``momentum`` is for its "sgd"."""
    if l1_decay:
        raise Unsupported(f"l1_decay={l1_decay} adds a multiple of the sign of θ: no rule does")
    if batch_size != 1:
        raise Unsupported(f"batch_size={batch_size} steps on means: give the mean of each batch")
    return Rule(lr=learning_rate, beta=ro, eps_in=eps, eps_out=0.0, weight_decay=l2_decay)
