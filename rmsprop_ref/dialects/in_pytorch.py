"""RMSProps in PyTorch, and on top of it."""

from __future__ import annotations

from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import dialect
from rmsprop_ref.rule import Rule


@dialect(
    "PyTorch, torch.optim.RMSprop",
    version="2.13.0",
    source="pytorch/pytorch: torch/optim/rmsprop.py",
    status="run",
    discussions=("pytorch/pytorch#23796", "pytorch/pytorch#32545", "pytorch/pytorch#46118"),
)
def pytorch(
    lr: Any = 1e-2,
    alpha: Any = 0.99,
    eps: Any = 1e-8,
    weight_decay: Any = 0,
    momentum: Any = 0,
    centered: bool = False,
    maximize: bool = False,
) -> Rule:
    """ε outside the root; the learning rate multiplies what leaves the momentum buffer."""
    if maximize:
        raise Unsupported("maximize=True ascends: give the rule the negated gradients")
    return Rule(
        lr=lr,
        beta=alpha,
        eps_out=eps,
        momentum=momentum,
        centered=centered,
        weight_decay=weight_decay,
    )
