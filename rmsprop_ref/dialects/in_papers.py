"""The first RMSProps: a lecture and a paper, and the Lua programs of Torch that spread them."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule


@dialect(
    "Tieleman and Hinton, lecture 6.5, rmsprop",
    version="2012",
    source="COURSERA, Neural Networks for Machine Learning, lecture 6e: a transcript of it",
    status="told",
    language="a slide",
    not_expressible=("where the average starts: the lecture does not say; here it starts at 0",),
)
def hinton(learning_rate: Any) -> Rule:
    """No ε at all, and β is nine tenths; what else there is, is left to the listener."""
    return Rule(lr=learning_rate, beta=0.9, eps_out=0.0)


@dialect(
    "Graves, Generating sequences with recurrent neural networks, equations 38 to 45",
    version="arXiv:1308.0850v5, 2013",
    source="as sony/nnabla: src/nbla/solver/generic/rmsprop_graves.cpp restates it",
    status="told",
    language="a paper",
)
def graves(aleph: Any = 0.95, beth: Any = 0.9, gimel: Any = 1e-4, daleth: Any = 1e-4) -> Rule:
    """Centered, with momentum and ε inside the root; its constants are Hebrew letters."""
    return Rule(
        lr=gimel,
        beta=aleph,
        eps_in=daleth,
        centered=True,
        momentum=beth,
        lr_in_buffer=True,
    )


@dialect(
    "Torch 7, optim.rmsprop",
    version="git a5ceed7",
    source="torch/optim: rmsprop.lua",
    discussions=("torch/optim#117", "torch/optim#130", "torch/optim#149"),
    claims=(
        Claim(
            {"epsilon": 1e-4},
            Rule(lr=0.01, beta=0.99, v0=1e-4, eps_out=0.0),
            'the head of the file: "config.epsilon: value with which to initialise m"',
        ),
    ),
    language="Lua",
)
def torch7(
    learningRate: Any = 1e-2,
    alpha: Any = 0.99,
    epsilon: Any = 1e-8,
    weightDecay: Any = 0,
    initialMean: Any = 0,
) -> Rule:
    """What PyTorch took over; ``initialMean`` is where the average starts.

    For thirteen weeks of 2016 (8 June to 6 September) it started at 1. λθ is added to the caller's
    own gradient.
    """
    return Rule(
        lr=learningRate,
        beta=alpha,
        eps_out=epsilon,
        v0=initialMean,
        weight_decay=weightDecay,
    )


@dialect(
    "DeepMind's DQN of 2015, NeuralQLearner.lua",
    version="git ff6086c",
    source="kuz/DeepMind-Atari-Deep-Q-Learner: dqn/NeuralQLearner.lua",
    discussions=("google-deepmind/dqn#5", "google/dopamine#43", "kenjyoung/MinAtar#37"),
    language="Lua",
    not_expressible=(
        "lr_end: the learning rate falls with the actions taken, which is no number of steps",
    ),
)
def dqn(lr: Any = 0.01, lr_end: Any = None, wc: Any = 0) -> Rule:
    """Centered, without momentum; β = 0.95 and ε = 0.01, inside the root, stand in the code.

    The "gradient momentum" of the paper is β of the mean gradient. The program ascends, and
    multiplies its buffer of steps by 0 each time. The paper's learning rate is 0.00025.
    """
    if lr_end is not None and lr_end != lr:
        raise Unsupported(
            f"lr_end={lr_end!r} anneals the learning rate by the actions taken: leave it out and "
            "give the learning rate of each step"
        )
    return Rule(lr=lr, beta=0.95, eps_in=0.01, centered=True, weight_decay=wc)
