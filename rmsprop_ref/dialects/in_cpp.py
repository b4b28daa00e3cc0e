"""RMSProps in C++."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule


@dialect(
    "PyTorch's C++ API, torch::optim::RMSprop",
    version="2.13.0",
    source="pytorch/pytorch: torch/csrc/api/include/torch/optim/rmsprop.h, src/optim/rmsprop.cpp",
    language="C++",
)
def libtorch(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
) -> Rule:
    """As in Python, with the mean gradient as βm + (1-β)g."""
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )


@dialect(
    "Caffe, RMSPropSolver",
    version="git 9b89154",
    source="BVLC/caffe: src/caffe/solvers/rmsprop_solver.cpp, src/caffe/proto/caffe.proto",
    language="C++",
    not_expressible=(
        "clip_gradients: by the norm over all parameters",
        'regularization_type "L1": a Rule decays by λθ, not by λ·sign(θ)',
    ),
)
def caffe(
    base_lr: Any,
    rms_decay: Any = 0.99,
    delta: Any = 1e-8,
    momentum: Any = 0,
    weight_decay: Any = 0,
    regularization_type: str = "L2",
    clip_gradients: Any = -1,
) -> Rule:
    """ε outside the root. The CPU computes η(g/d), the GPU (ηg)/d, there always in float32."""
    if momentum != 0:
        raise Unsupported(f"momentum={momentum!r}: Caffe refuses it with RMSProp; leave it out")
    if not rms_decay < 1:
        raise ValueError(f"rms_decay={rms_decay!r} is not possible: Caffe wants it below 1")
    if weight_decay != 0 and regularization_type != "L2":
        raise Unsupported(f"regularization_type={regularization_type!r}: no Rule has any but L2")
    if clip_gradients >= 0:
        raise Unsupported(f"clip_gradients={clip_gradients!r} clips by the norm: leave it at -1")
    return Rule(lr=base_lr, beta=rms_decay, eps_out=delta, weight_decay=weight_decay)


@dialect(
    "Caffe2, RmsProp operator",
    version="git 00bff7a",
    source="pytorch/pytorch: caffe2/sgd/rmsprop_op.cc, rmsprop_op.h",
    language="C++",
    not_expressible=("an input momentum that is not 0 at first: a Rule has v0 alone",),
)
def caffe2(
    lr: Any,
    decay: Any = 0.9,
    momentum: Any = 0.0,
    epsilon: Any = 1e-5,
    mean_squares: Any = 0.0,
) -> Rule:
    """TensorFlow's formulas; the caller says where the average starts, and subtracts the result."""
    return Rule(
        lr=lr,
        beta=decay,
        eps_in=epsilon,
        eps_out=0.0,
        v0=mean_squares,
        momentum=momentum,
        lr_in_buffer=True,
    )


@dialect(
    "CNTK, gradUpdateType = rmsProp; in Python, cntk.learners.rmsprop",
    version="git 00994fd",
    source="microsoft/CNTK: Source/Math/CPUMatrixImpl.h, Source/SGDLib/SGD.cpp",
    language="C++",
    not_expressible=(
        "all of it: as in Rprop, each weight has a step that grows or shrinks as signs agree",
        "normWithAveMultiplier: the learning rate is divided by the matrix's mean multiplier",
    ),
)
def cntk(
    lr: Any,
    rms_gamma: Any = 0.99,
    rms_wgt_inc: Any = 1.2,
    rms_wgt_dec: Any = 0.75,
    rms_wgt_max: Any = 10.0,
    rms_wgt_min: Any = 0.1,
    normWithAveMultiplier: bool = True,
) -> Rule:
    """RMSProp times Rprop: the steps adapt to the signs, whatever the arguments.

    Under it is an average that starts at the first square, with ε = 1e-6 inside the root.
    """
    raise Unsupported(
        "CNTK multiplies the step of each weight by rms_wgt_inc or rms_wgt_dec as signs agree, and "
        "no Rule does: its average alone is Rule(v0='first_square', eps_in=1e-6)"
    )


@dialect(
    "mlpack's ensmallen, ens::RMSProp",
    version="3.11.1, git f65354c",
    source="mlpack/ensmallen: include/ensmallen_bits/rmsprop/rmsprop_update.hpp",
    claims=(
        Claim(
            {"epsilon": 1e-4},
            Rule(lr=0.01, beta=0.99, v0=1e-4, eps_out=0.0),
            'doc/optimizers.md: "Value used to initialize the mean squared gradient parameter"',
        ),
    ),
    language="C++",
    not_expressible=(
        "an ε that underflows to 0, as 1e-8 in float16: it becomes 10 times the machine epsilon",
    ),
)
def ensmallen(stepSize: Any = 0.01, alpha: Any = 0.99, epsilon: Any = 1e-8) -> Rule:
    """ε outside the root; what else the constructor takes is about batches and stopping."""
    return Rule(lr=stepSize, beta=alpha, eps_out=epsilon)


@dialect(
    "Flashlight, fl::RMSPropOptimizer",
    version="git f5f717f",
    source="flashlight/flashlight: flashlight/fl/optim/RMSPropOptimizer.cpp",
    claims=(
        Claim(
            {"learningRate": 0.01, "weightDecay": 0.1},
            Rule(lr=0.01, beta=0.99, weight_decay=0.1),
            'RMSPropOptimizer.h: "The amount of L2 weight decay to use"',
        ),
    ),
    language="C++",
)
def flashlight(
    learningRate: Any,
    rho: Any = 0.99,
    epsilon: Any = 1e-8,
    weightDecay: Any = 0,
    use_first: bool = False,
) -> Rule:
    """ε outside the root; θ shrinks by λθ before the step, whatever the learning rate."""
    return Rule(
        lr=learningRate,
        beta=rho,
        eps_out=epsilon,
        centered=use_first,
        weight_decay=weightDecay,
        weight_decay_form="decoupled_unscaled",
    )


@dialect(
    "tiny-dnn, RMSprop",
    version="git c0f576f",
    source="tiny-dnn/tiny-dnn: tiny_dnn/optimizers/optimizer.h",
    language="C++",
    means={"alpha": "lr", "mu": "beta"},
)
def tiny_dnn(alpha: Any = 1e-4, mu: Any = 0.99) -> Rule:
    """Here ``alpha`` is the learning rate and ``mu`` the weight of the old average.

    ε = 1e-8, inside the root, is private.
    """
    return Rule(lr=alpha, beta=mu, eps_in=1e-8)


@dialect(
    "DyNet, RMSPropTrainer",
    version="git 22b4495",
    source="clab/dynet: dynet/training.cc, dynet/training.h",
    language="C++",
    not_expressible=(
        "clipping by the norm over all parameters, at 5, which is on unless switched off",
        "weight decay λ: the model keeps θ/s with s = (1-λ)^t, so the step shrinks with θ",
        "sparse updates: rows of a lookup table without a gradient stand still",
    ),
)
def dynet(
    learning_rate: Any = 0.1,
    eps: Any = 1e-20,
    rho: Any = 0.95,
    clipping_enabled: bool = True,
    weight_decay_lambda: Any = 0,
) -> Rule:
    """ε inside the root. ``clipping_enabled`` and the decay belong to trainer and model."""
    if clipping_enabled:
        raise Unsupported("DyNet clips the gradients by their norm: set clipping_enabled=False")
    if weight_decay_lambda != 0:
        raise Unsupported("weight_decay_lambda shrinks the step together with θ: leave it at 0")
    return Rule(lr=learning_rate, beta=rho, eps_in=eps, eps_out=0.0)


@dialect(
    "Sony's NNabla, RMSprop",
    version="git 2814df0",
    source="sony/nnabla: src/nbla/solver/generic/rmsprop.cpp",
    language="C++",
)
def nnabla(lr: Any = 1e-3, decay: Any = 0.9, eps: Any = 1e-8) -> Rule:
    """ε outside the root. Weight decay and clipping are calls of their own, on the gradients."""
    return Rule(lr=lr, beta=decay, eps_out=eps)


@dialect(
    "Sony's NNabla, RMSpropGraves",
    version="git 2814df0",
    source="sony/nnabla: src/nbla/solver/generic/rmsprop_graves.cpp",
    discussions=("sony/nnabla#724",),
    language="C++",
)
def nnabla_graves(lr: Any = 1e-4, decay: Any = 0.95, momentum: Any = 0.9, eps: Any = 1e-4) -> Rule:
    """Graves's equations, with his constants."""
    return Rule(
        lr=lr, beta=decay, eps_in=eps, eps_out=0.0, centered=True, momentum=momentum,
        lr_in_buffer=True,
    )  # fmt: skip


@dialect(
    "ByteDance's Monolith, RmspropOptimizer of the dense parameters",
    version="git 135c491",
    source="bytedance/monolith: monolith/native_training/optimizers/cc/kernels/training_ops.cc",
    language="C++",
    not_expressible=(
        "use_v2: v ← βv + g². Its lr·√(1-β) and ε·√(1-β) are seldom binary64 numbers",
    ),
)
def monolith(
    learning_rate: Any = 5e-6,
    beta1: Any = 0.99,
    beta2: Any = 0.999,
    epsilon: Any = 1e-8,
    weight_decay: Any = 0.0,
    use_v2: bool = False,
) -> Rule:
    """Momentum, called ``beta1``, is on; ε inside the root; the learning rate in the buffer."""
    if use_v2:
        raise Unsupported("use_v2 sums squares without 1-β, and puts ε outside: leave it off")
    return Rule(
        lr=learning_rate,
        beta=beta2,
        eps_in=epsilon,
        eps_out=0.0,
        momentum=beta1,
        lr_in_buffer=True,
        weight_decay=weight_decay,
    )


@dialect(
    "ByteDance's Monolith, RmspropOptimizer of the embeddings",
    version="git 135c491",
    source="bytedance/monolith: monolith/native_training/runtime/hash_table/optimizer/"
    "rmsprop_optimizer.cc",
    language="C++",
    not_expressible=(
        "the learning rates that it is handed: it uses the one number of its configuration",
    ),
    means={"momentum": "beta"},
)
def monolith_embeddings(
    learning_rate: Any = 0.01, weight_decay_factor: Any = 0.0, momentum: Any = 0.9
) -> Rule:
    """Here ``momentum`` is the weight of the old average. ε = 1, outside the root, is fixed."""
    if isinstance(learning_rate, (tuple, list)):
        raise Unsupported("this optimiser ignores a schedule: give one learning rate")
    return Rule(lr=learning_rate, beta=momentum, eps_out=1.0, weight_decay=weight_decay_factor)
