"""The family of RMSProp: every method a step from (θ, g, state) to (θ, state), in the same parts.

Written so that neighbours differ in one line. All act on each element alone, so θ may have any
shape, and every hyper-parameter may be an array that broadcasts against it: with θ of shape
``(runs, n)`` and a learning rate of shape ``(runs, 1)`` one call is a step of many runs at once.

A state is a dict of arrays, empty before the first step, when what it lacks counts as zero. The
RMSProps are the reference's rules; a test holds each against ``reference.step`` to the bit, and the
others against the libraries that have them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

State = dict[str, Any]
Step = Callable[..., tuple[Any, State]]


def descent(theta: Any, g: Any, state: State, *, lr: Any) -> tuple[Any, State]:
    """Gradient descent (Cauchy 1847); on mini-batches SGD (Robbins & Monro 1951)."""
    return theta - lr * g, state


def momentum(theta: Any, g: Any, state: State, *, lr: Any, mu: Any = 0.9) -> tuple[Any, State]:
    """The heavy ball (Polyak 1964): a buffer of gradients, as SGD in PyTorch has it."""
    b = mu * state.get("b", 0.0) + g
    return theta - lr * b, {"b": b}


def sign(theta: Any, g: Any, state: State, *, lr: Any) -> tuple[Any, State]:
    """Sign descent (Bernstein et al. 2018)."""
    return theta - lr * np.sign(g), state


def rprop(
    theta: Any, g: Any, state: State, *, lr: Any, up: float = 1.2, down: float = 0.5
) -> tuple[Any, State]:
    """Rprop (Riedmiller & Braun 1993), plain: lr is the first length of every weight's step."""
    before, length = state.get("sign", 0.0), state.get("length", lr + np.zeros_like(theta))
    agree = np.sign(g) * before
    length = length * np.where(agree > 0, up, np.where(agree < 0, down, 1.0))
    length = np.clip(length, 1e-6, 50.0)
    return theta - length * np.sign(g), {"sign": np.sign(g), "length": length}


def adagrad(theta: Any, g: Any, state: State, *, lr: Any, eps: Any = 1e-8) -> tuple[Any, State]:
    """AdaGrad (Duchi, Hazan & Singer 2011): the sum of all squares."""
    v = state.get("v", 0.0) + g * g
    return theta - lr * g / (np.sqrt(v) + eps), {"v": v}


def rmsprop(
    theta: Any, g: Any, state: State, *, lr: Any, beta: Any = 0.9, eps: Any = 1e-8
) -> tuple[Any, State]:
    """RMSProp (Tieleman & Hinton 2012): their moving average."""
    v = beta * state.get("v", 0.0) + (1 - beta) * (g * g)
    return theta - lr * g / (np.sqrt(v) + eps), {"v": v}


def adam(
    theta: Any, g: Any, state: State, *, lr: Any, beta1: Any = 0.9, beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> tuple[Any, State]:  # fmt: skip
    """Adam (Kingma & Ba 2015): the mean gradient for the gradient, both averages corrected."""
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0.0) + (1 - beta1) * g
    v = beta2 * state.get("v", 0.0) + (1 - beta2) * (g * g)
    mean, a = m / (1 - beta1**t), v / (1 - beta2**t)
    return theta - lr * mean / (np.sqrt(a) + eps), {"t": t, "m": m, "v": v}
