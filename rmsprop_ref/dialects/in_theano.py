"""RMSProps in Theano and its descendants, and in the Python libraries of its time."""

from __future__ import annotations

import math
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import Claim, dialect
from rmsprop_ref.rule import Rule


def _lasagne(learning_rate: Any, rho: Any, epsilon: Any, momentum: Any, nesterov: bool) -> Rule:
    return Rule(
        lr=learning_rate,
        beta=rho,
        eps_in=epsilon,
        eps_out=0.0,
        momentum=momentum,
        lr_in_buffer=True,
        nesterov=nesterov and momentum != 0,
    )


@dialect(
    "Lasagne, lasagne.updates.rmsprop",
    version="git 5d3c63c",
    source="Lasagne/Lasagne: lasagne/updates.py",
    language="Python, Theano",
)
def lasagne(
    learning_rate: Any = 1.0,
    rho: Any = 0.9,
    epsilon: Any = 1e-6,
    momentum: Any = 0.0,
    nesterov: bool = False,
) -> Rule:
    """ε inside the root, and a learning rate of 1.

    ``momentum`` is what ``apply_momentum`` or, with ``nesterov``, ``apply_nesterov_momentum`` makes
    of the updates: from the difference of two θ, so that it is no more exact than θ.
    """
    return _lasagne(learning_rate, rho, epsilon, momentum, nesterov)


@dialect(
    "PyMC, pymc.variational.updates.rmsprop",
    version="git 0152862",
    source="pymc-devs/pymc: pymc/variational/updates.py",
    language="Python, PyTensor",
)
def pymc(
    learning_rate: Any = 1.0,
    rho: Any = 0.9,
    epsilon: Any = 1e-6,
    momentum: Any = 0.0,
    nesterov: bool = False,
) -> Rule:
    """Lasagne's, to the letter, with its ``apply_momentum`` and ``apply_nesterov_momentum``."""
    return _lasagne(learning_rate, rho, epsilon, momentum, nesterov)


@dialect(
    "deep_q_rl, deepmind_rmsprop",
    version="git 3420249",
    source="spragunr/deep_q_rl: deep_q_rl/updates.py",
    claims=(
        Claim(
            {"learning_rate": 0.00025, "rho": 0.95, "epsilon": 0.01},
            Rule(lr=0.00025, beta=0.95, eps_in=0.01),
            "its docstring, which is still that of Lasagne: η/√(r + ε), without a mean gradient",
        ),
    ),
    language="Python, Theano",
)
def deep_q_rl(learning_rate: Any, rho: Any, epsilon: Any) -> Rule:
    """DeepMind's DQN again: centered, ε inside the root, no momentum."""
    return Rule(lr=learning_rate, beta=rho, eps_in=epsilon, eps_out=0.0, centered=True)


def _floored(learning_rate: Any, beta: Any, max_scaling: Any) -> Rule:
    if not max_scaling > 0:
        raise ValueError(f"max_scaling={max_scaling!r} is not possible: it is above 0")
    return Rule(lr=learning_rate, beta=beta, eps_out=0.0, eps_floor=1.0 / max_scaling)


@dialect(
    "Blocks, blocks.algorithms.RMSProp",
    version="git c69c2dc",
    source="mila-iqia/blocks: blocks/algorithms/__init__.py",
    language="Python, Theano",
)
def blocks(learning_rate: Any = 1.0, decay_rate: Any = 0.9, max_scaling: Any = 1e5) -> Rule:
    """No ε: the denominator is at least ``1/max_scaling``."""
    return _floored(learning_rate, decay_rate, max_scaling)


@dialect(
    "Pylearn2, learning_rule.RMSProp",
    version="git af81e5c",
    source="lisa-lab/pylearn2: pylearn2/training_algorithms/learning_rule.py",
    language="Python, Theano",
)
def pylearn2(learning_rate: Any, decay: Any = 0.9, max_scaling: Any = 1e5) -> Rule:
    """No ε: the denominator is at least ``1/max_scaling``. The learning rate is the trainer's."""
    if not decay < 1:
        raise ValueError(f"decay={decay!r} is not possible: Pylearn2 wants it below 1")
    return _floored(learning_rate, decay, max_scaling)


@dialect(
    "climin, climin.RmsProp",
    version="git 2215b1a",
    source="BRML/climin: climin/rmsprop.py",
    discussions=("BRML/climin#30",),
    claims=(
        Claim(
            {"step_rate": 0.1},
            Rule(lr=0.1, beta=0.9, eps_out=0.0),
            "its docstring, whose formula has no ε, and which does not say where v starts",
        ),
    ),
    not_expressible=(
        "momentum: it moves first, and then takes the gradient; fed recorded gradients it is plain",
        "step_adapt: a step rate for each parameter, raised or lowered as steps agree in sign",
    ),
)
def climin(
    step_rate: Any,
    decay: Any = 0.9,
    momentum: Any = 0,
    step_adapt: Any = False,
    step_rate_min: Any = 0,
    step_rate_max: Any = math.inf,
) -> Rule:
    """The average starts at 1; ε = 1e-8, inside the root, stands in the code."""
    if momentum != 0:
        # The points at which it takes gradients are the θ of this rule; its own θ lags by a move.
        raise Unsupported(
            "climin moves by the momentum before it takes the gradient: the points where it does "
            "are those of a rule with nesterov=True and lr_in_buffer=True"
        )
    if step_adapt:
        raise Unsupported(f"step_adapt={step_adapt!r} adapts each step rate by signs: leave it out")
    return Rule(lr=step_rate, beta=decay, eps_in=1e-8, v0=1.0)


@dialect(
    "Nervana neon, neon.optimizers.RMSProp",
    version="git 8c3fb8a",
    source="NervanaSystems/neon: neon/optimizers/optimizer.py",
    not_expressible=(
        "gradient_clip_norm: it scales the step, and not the gradient that the average takes in",
        "gradient_clip_value, param_clip_value: no Rule clips",
        "stochastic_round: no order of operations rounds at random",
    ),
)
def neon(
    stochastic_round: bool = False,
    decay_rate: Any = 0.95,
    learning_rate: Any = 2e-3,
    epsilon: Any = 1e-6,
    gradient_clip_norm: Any = None,
    gradient_clip_value: Any = None,
    param_clip_value: Any = None,
) -> Rule:
    """The same ε on both sides of the root. The gradient is the sum over the batch by its size."""
    for name, value in (
        ("gradient_clip_norm", gradient_clip_norm),
        ("gradient_clip_value", gradient_clip_value),
        ("param_clip_value", param_clip_value),
    ):
        if value:
            raise Unsupported(f"{name}={value!r} clips, and no Rule does: leave it out")
    if stochastic_round:
        raise Unsupported("stochastic_round rounds at random: leave it out")
    return Rule(lr=learning_rate, beta=decay_rate, eps_in=epsilon, eps_out=epsilon)
