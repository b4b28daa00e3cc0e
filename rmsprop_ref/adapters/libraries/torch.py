"""Optimisers in PyTorch."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from typing import Any

import numpy
import torch

from rmsprop_ref.adapters.catalogue import rate


def rmsprop(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``torch.optim.RMSprop``."""
    return driven(torch.optim.RMSprop, theta0, grads, lr, **arguments)


def compiled(theta0: Any, grads: Any, lr: Any, **arguments: Any) -> Iterator[Any]:
    """``torch.optim.RMSprop`` with its step compiled (Inductor, for the CPU, in C++)."""
    # One program for all lengths and learning rates; an error, not the eager path, where it fails.
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    theta = torch.nn.Parameter(tensor(theta0))
    eta = torch.tensor(rate(lr, 0), dtype=torch.float64)
    made = torch.optim.RMSprop([theta], lr=eta, **arguments)
    step = torch.compile(made.step, fullgraph=False, dynamic=True)
    for t, grad in enumerate(grads):
        made.param_groups[0]["lr"].fill_(rate(lr, t))
        theta.grad = tensor(grad)
        step()
        yield array(theta.detach(), theta0.dtype)


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
