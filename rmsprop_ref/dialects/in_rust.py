"""RMSProps in Rust."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import dialect
from rmsprop_ref.rule import Rule


@dialect(
    "Burn, RmsPropConfig",
    version="git 2c06be3",
    source="tracel-ai/burn: crates/burn-optim/src/optim/rmsprop.rs",
    language="Rust",
    not_expressible=("grad_clipping; it is left out where the optimiser comes from build()",),
)
def burn(
    lr: Any,
    alpha: Any = 0.99,
    momentum: Any = 0.9,
    epsilon: Any = 1e-5,
    centered: bool = False,
    weight_decay: Any = None,
    grad_clipping: Any = None,
) -> Rule:
    """PyTorch's rule; but momentum is 0.9 unless it is switched off, and ε is 1e-5.

    The learning rate is an argument of each step. ``weight_decay`` is the penalty of its
    ``WeightDecayConfig``.
    """
    if grad_clipping is not None:
        raise Unsupported("grad_clipping clips, and no Rule does: leave it out")
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=epsilon,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay or 0.0,
    )


@dialect(
    "candle-optimisers, RMSprop",
    version="0.6.0, git f2a323b",
    source="KGrewal1/optimisers: src/rmsprop.rs",
    language="Rust",
)
def candle(
    lr: Any = 0.01,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = None,
    momentum: Any = None,
    centered: bool = False,
) -> Rule:
    """PyTorch's rule and defaults. Candle itself has no RMSProp."""
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        momentum=momentum or 0.0,
        centered=centered,
        weight_decay=weight_decay or 0.0,
    )


@dialect(
    "dfdx, RMSprop",
    version="git 4722a99",
    source="coreylowman/dfdx: dfdx-core/src/tensor_ops/rmsprop/cpu_kernel.rs, "
    "dfdx/src/nn/optim/rmsprop.rs",
    discussions=("chelsea0x3b/dfdx#748",),
    language="Rust",
    not_expressible=("a parameter without a gradient in the first step: its average starts at 0",),
)
def dfdx(
    lr: Any = 1e-2,
    alpha: Any = 0.9,
    eps: Any = 1e-8,
    momentum: Any = None,
    centered: bool = False,
    weight_decay: Any = None,
    decoupled: bool = False,
) -> Rule:
    """timm's: an average from 1, ε inside the root; the learning rate stays out of the buffer.

    ``weight_decay`` is ``WeightDecay::L2`` of that number; with ``decoupled``,
    ``WeightDecay::Decoupled``.
    """
    return Rule(
        lr=lr,
        beta=alpha,
        eps_in=eps,
        eps_out=0.0,
        v0=1.0,
        momentum=momentum or 0.0,
        centered=centered,
        weight_decay=weight_decay or 0.0,
        weight_decay_form="decoupled" if decoupled else "l2",
    )
