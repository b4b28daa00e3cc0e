"""fastai."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from fastai.optimizer import RMSProp

from rmsprop_ref.adapters.catalogue import rate
from rmsprop_ref.adapters.libraries.torch import array, tensor


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``fastai.optimizer.RMSProp``."""
    theta = torch.nn.Parameter(tensor(theta0))
    made = RMSProp([theta], lr=rate(lr, 0), **arguments)
    for t, grad in enumerate(grads):
        made.set_hyper("lr", rate(lr, t))
        theta.grad = tensor(grad)
        made.step()
        yield array(theta.detach(), theta0.dtype)
