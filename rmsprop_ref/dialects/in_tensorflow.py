"""RMSProps in TensorFlow and Keras, and in what follows TensorFlow's formulas."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.arithmetic import DELTA, Arithmetic
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule

# TensorFlow's kernel: v + (g² - v)(1 - β), where 1 - β is formed in the dtype of the parameters.
KERNEL = Arithmetic((DELTA,), numbers="dtype")

# Keras 3: the hyper-parameters are Python's numbers, and the decay is θ·λ·η from the left.
KERAS = Arithmetic(("(lr*weight_decay)*x -> (x*weight_decay)*lr",), numbers="float64")

_EPSILON_HAT = (
    'its docstring: "This epsilon is "epsilon hat" in the Kingma and Ba paper (in the formula just '
    'before Section 2.1)", which there is added to the root'
)
_ISSUES = ("tensorflow/tensorflow#41115", "tensorflow/tensorflow#58412")


def _inside(lr: Any, beta: Any, momentum: Any, epsilon: Any, centered: bool, **more: Any) -> Rule:
    """What they share: ε inside the root, and the learning rate in the momentum buffer."""
    return Rule(
        lr=lr,
        beta=beta,
        eps_in=epsilon,
        eps_out=0.0,
        momentum=momentum,
        lr_in_buffer=True,
        centered=centered,
        **more,
    )


def _decoupled(weight_decay: Any) -> dict[str, Any]:
    return {"weight_decay": weight_decay or 0.0, "weight_decay_form": "decoupled"}


@dialect(
    "TensorFlow 1, tf.compat.v1.train.RMSPropOptimizer",
    version="2.21.0",
    source="tensorflow/tensorflow: tensorflow/python/training/rmsprop.py",
    status="run",
    discussions=("tensorflow/tensorflow#40670", "google-deepmind/optax#49", "jax-ml/jax#975"),
    claims=(
        Claim(
            {"learning_rate": 0.001, "epsilon": 1e-7},
            Rule(lr=0.001, eps_in=1e-7),
            'its docstring, of tf.keras.optimizers.RMSprop: "the formula used for the variable '
            'updates still matches"; there the average starts at 0',
        ),
    ),
    arithmetic=KERNEL,
    not_expressible=("sparse gradients: the averages of rows without a gradient stand still",),
)
def tf1(
    learning_rate: Any,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-10,
    centered: bool = False,
) -> Rule:
    """The average of squares starts at 1, that of gradients at 0; ε inside the root."""
    return _inside(learning_rate, decay, momentum, epsilon, centered, v0=1.0)


@dialect(
    "TensorFlow, tf.raw_ops.ResourceApplyRMSProp and ResourceApplyCenteredRMSProp",
    version="2.21.0",
    source="tensorflow/tensorflow: tensorflow/core/kernels/training_ops.cc",
    status="run",
    discussions=_ISSUES,
    language="C++",
    arithmetic=KERNEL,
    not_expressible=("mg and mom that start at other values than 0: a Rule has v0 alone",),
)
def tensorflow_op(
    lr: Any, rho: Any, momentum: Any, epsilon: Any, ms: Any = 0.0, centered: bool = False
) -> Rule:
    """The caller says where the average starts; ``centered`` says which of the two ops it is.

    Its other state, ``mg`` and ``mom``, starts at 0 here.
    """
    return _inside(lr, rho, momentum, epsilon, centered, v0=ms)


@dialect(
    "Keras 2, keras.optimizers.RMSprop",
    version="2.2.4",
    source="keras-team/keras: keras/optimizers.py",
    discussions=("keras-team/keras#435", "keras-team/keras#4356", "keras-team/keras#7895"),
    false_friends=("decay",),
)
def keras2(lr: Any = 0.001, rho: Any = 0.9, epsilon: Any = 1e-7, decay: Any = 0.0) -> Rule:
    """ε outside the root (``None`` is 1e-7); ``decay`` is a schedule, and no average's."""
    _no_decay(decay)
    return Rule(lr=lr, beta=rho, eps_out=1e-7 if epsilon is None else epsilon)


@dialect(
    "Keras in TensorFlow before 2.11, tf.keras.optimizers.legacy.RMSprop",
    version="tf_keras 2.21.0",
    source="keras-team/tf-keras: tf_keras/src/optimizers/legacy/rmsprop.py",
    status="run",
    discussions=(*_ISSUES, "keras-team/tf-keras#315"),
    claims=(
        Claim(
            {"learning_rate": 0.001, "momentum": 0.9, "epsilon": 1e-7},
            Rule(lr=0.001, momentum=0.9, lr_in_buffer=True, eps_out=1e-7),
            f"{_EPSILON_HAT}; so it is without momentum",
        ),
        Claim(
            {"learning_rate": 0.001, "epsilon": 0.0},
            Rule(lr=0.001, eps_out=0.0),
            "its docstring, which gives epsilon a default and 0 no other meaning",
        ),
    ),
    false_friends=("decay",),
)
def keras_legacy(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    decay: Any = 0.0,
) -> tuple[Rule, Arithmetic]:
    """ε outside the root; with momentum, inside it. An ε of 0 is silently 1e-7."""
    _no_decay(decay)
    epsilon = epsilon or 1e-7
    if momentum:
        return _inside(learning_rate, rho, momentum, epsilon, centered), KERNEL
    rule = Rule(lr=learning_rate, beta=rho, eps_out=epsilon, centered=centered)
    return rule, Arithmetic(numbers="dtype")


def _no_decay(decay: Any) -> None:
    if decay:
        raise Unsupported(
            f"decay={decay!r} divides the learning rate of step t by 1 + {decay!r}·(t - 1): "
            "leave it out and give that schedule as the learning rate"
        )


@dialect(
    "Keras in TensorFlow from 2.11 to 2.15, tf.keras.optimizers.RMSprop",
    version="tf_keras 2.21.0",
    source="keras-team/tf-keras: tf_keras/src/optimizers/rmsprop.py",
    status="run",
    discussions=("keras-team/tf-keras#315",),
    claims=(
        Claim(
            {"learning_rate": 0.001, "epsilon": 1e-7}, Rule(lr=0.001, eps_out=1e-7), _EPSILON_HAT
        ),
    ),
)
def keras2_11(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
) -> Rule:
    """ε inside the root, with momentum and without: no longer as in the legacy class.

    It multiplies by a reciprocal root, in float32 an approximation, up to two units in the last
    place off, except in the last n mod 8 elements: which bits depends on where an element stands.
    """
    decoupled = _decoupled(weight_decay)
    return _inside(learning_rate, rho, momentum, epsilon, centered, **decoupled)


@dialect(
    "Keras 3, keras.optimizers.RMSprop",
    version="3.15.1",
    source="keras-team/keras: keras/src/optimizers/rmsprop.py",
    status="run",
    discussions=("keras-team/keras#435", "keras-team/keras#4356"),
    claims=keras2_11.claims,
    arithmetic=KERAS,
)
def keras3(
    learning_rate: Any = 0.001,
    rho: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-7,
    centered: bool = False,
    weight_decay: Any = None,
) -> Rule:
    """ε inside the root, also when centered; the learning rate enters the momentum buffer.

    The learning rate is held in float32, whatever the parameters. The torch backend has a step of
    its own, and other bits.
    """
    decoupled = _decoupled(weight_decay)
    return _inside(learning_rate, rho, momentum, epsilon, centered, **decoupled)


@dialect(
    "Sonnet 2, snt.optimizers.RMSProp",
    version="2.0.2",
    source="google-deepmind/sonnet: sonnet/src/optimizers/rmsprop.py",
    status="run",
)
def sonnet2(
    learning_rate: Any,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-10,
    centered: bool = False,
) -> Rule:
    """The arguments and the ε of TensorFlow 1; but the average starts at 0.

    In float32 its reciprocal root is that of ``keras2_11``.
    """
    return _inside(learning_rate, decay, momentum, epsilon, centered)


@dialect(
    "PaddlePaddle, paddle.optimizer.RMSProp",
    version="3.3.1",
    source="PaddlePaddle/Paddle: paddle/phi/kernels/impl/rmsprop_kernel_impl.h",
    status="run",
    discussions=("PaddlePaddle/Paddle#13161", "PaddlePaddle/Paddle#44151"),
    claims=(
        Claim(
            {"learning_rate": 0.01, "momentum": 0.9},
            Rule(lr=0.01, beta=0.95, eps_in=1e-6, momentum=0.9, lr_in_buffer=True, nesterov=True),
            'its docstring: "In our implementation, Nesterov momentum is used"; the formula that '
            "follows is of plain momentum",
        ),
    ),
)
def paddle(
    learning_rate: Any,
    rho: Any = 0.95,
    epsilon: Any = 1e-6,
    momentum: Any = 0.0,
    centered: bool = False,
    weight_decay: Any = None,
) -> Rule:
    """ε inside the root; a number as ``weight_decay`` is L2, added to the gradient.

    β, ε and μ are float32, whatever the parameters. On a CPU the root in float32 is an
    approximation, except in the last n mod 8 elements; there a v that overflows gives NaN.
    """
    return _inside(
        learning_rate, rho, momentum, epsilon, centered, weight_decay=weight_decay or 0.0
    )


@dialect(
    "MindSpore, mindspore.nn.RMSProp",
    version="commit 0f6ce6c",
    source="mindspore-ai/mindspore: mindspore/python/mindspore/nn/optim/rmsprop.py",
    not_expressible=(
        "centered=True skips an element where v - m² + ε, rounded, is 0 or less: no Rule does",
    ),
)
def mindspore(
    learning_rate: Any = 0.1,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-10,
    centered: bool = False,
    loss_scale: Any = 1.0,
    weight_decay: Any = 0.0,
) -> Rule:
    """TensorFlow 1 again, from 1; with L2 decay, and a guard against a variance of 0 or less.

    Where the guard steps in, θ and the momentum buffer stay as they are; v and m do not.
    """
    if loss_scale != 1:
        raise Unsupported(
            f"loss_scale={loss_scale!r} divides the gradient and its weight decay: divide them"
        )
    if not epsilon:
        raise Unsupported("epsilon=0 is refused: give it a small number")
    more = {"v0": 1.0, "weight_decay": weight_decay}
    return _inside(learning_rate, decay, momentum, epsilon, centered, **more)


@dialect(
    "OneFlow, oneflow.optim.RMSprop",
    version="commit 25c8978",
    source="Oneflow-Inc/oneflow: python/oneflow/nn/optimizer/rmsprop.py",
    discussions=("Oneflow-Inc/oneflow#5755", "Oneflow-Inc/oneflow#3523"),
    claims=(Claim({}, Rule(lr=0.01, beta=0.99, eps_in=1e-8), "its docstring: lr (default: 1e-2)"),),
)
def oneflow(
    lr: Any = 0.001,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0.0,
    centered: bool = False,
) -> Rule:
    """PyTorch's arguments, but ε inside the root, and any momentum is refused."""
    if momentum:
        raise Unsupported(f"momentum={momentum!r} is refused: only 0 is implemented")
    return _inside(lr, alpha, momentum, eps, centered, weight_decay=weight_decay)
