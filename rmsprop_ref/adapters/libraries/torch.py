"""Optimisers in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy
import torch

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``torch.optim.RMSprop``."""
    return _driven(torch.optim.RMSprop, theta0, grads, lr, **arguments)


def _driven(optimiser: Any, theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """Any optimiser of PyTorch's kind: a list of parameters, and groups that hold their lr."""
    theta = torch.nn.Parameter(tensor(theta0))
    made = optimiser([theta], lr=rate(lr, 0), **arguments)
    for t, grad in enumerate(grads):
        made.param_groups[0]["lr"] = rate(lr, t)
        theta.grad = tensor(grad)
        made.step()
        yield array(theta.detach(), theta0.dtype)


def tensor(x: Any) -> Any:
    """A NumPy array as a tensor of the same bits; bfloat16 goes through integers."""
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(numpy.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(x.copy())


def array(x: Any, dtype: Any) -> Any:
    """The tensor as a NumPy array of ``dtype``, which has the same bits."""
    if x.dtype == torch.bfloat16:
        return x.view(torch.int16).numpy().copy().view(dtype)
    return x.numpy().copy()
