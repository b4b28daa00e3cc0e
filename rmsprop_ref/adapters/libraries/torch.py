"""Optimisers in PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import torch
import torch._inductor.config
from torch.optim.rmsprop import rmsprop as functional

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``torch.optim.RMSprop``."""
    return driven(torch.optim.RMSprop, theta0, grads, lr, **arguments)


def compiled(
    theta0: Any,
    grads: Any,
    lr: Any,
    alpha: Any = 0.99,
    momentum: Any = 0,
    centered: bool = False,
    **arguments: Any,
) -> Iterator[Any]:
    """What the step of ``torch.optim.RMSprop`` calls, compiled (Inductor, for the CPU, in C++).

    The learning rate is a tensor of float64: as a number it would be compiled in, each one anew.
    """
    theta = tensor(theta0)
    v, m, b = ([torch.zeros_like(theta)] if has else [] for has in (True, centered, momentum > 0))
    steps = [torch.zeros(())]
    for t, grad in enumerate(grads):
        _COMPILED(
            *([theta], [tensor(grad)], v, m, b, steps),
            lr=torch.tensor(rate(lr, t), dtype=torch.float64),
            alpha=alpha,
            momentum=momentum,
            centered=centered,
            **arguments,
        )
        yield array(theta, theta0.dtype)


# In one piece and for all lengths, or an error: where only parts can be compiled, PyTorch would
# silently run the rest as it stands.
_COMPILED = torch.compile(functional, fullgraph=True, dynamic=True)
torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1024
torch._dynamo.config.fail_on_recompile_limit_hit = True
# From its cache on disk Inductor 2.13.0 takes code with the 1-α of an earlier α: another rule.
torch._inductor.config.force_disable_caches = True


def driven(optimiser: Any, theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
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


def alone(name: str) -> Any:
    """A module without what the packages around it import, which may be much and not be here."""
    names = name.split(".")
    around = [".".join(names[:i]) for i in range(1, len(names))]
    bare = [package for package in around if package not in sys.modules]
    for package in bare:
        found = importlib.util.find_spec(package)
        if found is None:
            raise ModuleNotFoundError(f"No module named {package!r}")
        sys.modules[package] = importlib.util.module_from_spec(found)
    try:
        return importlib.import_module(name)
    finally:
        for package in bare:
            del sys.modules[package]
