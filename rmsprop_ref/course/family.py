"""The family of RMSProp: every method a step from (θ, g, state) to (θ, state), in the same parts.

``u`` is the step that will be taken. A method is its neighbour with a line more, or a line changed:
``KIN`` names the neighbours, and :func:`difference` shows the line. ``g = state["b"] = …`` reads:
this is remembered, and from here on it stands in the place of the gradient.

All act on each element alone, so θ may have any shape, and every hyper-parameter may be an array
that broadcasts against it: with θ of shape ``(runs, n)`` and a learning rate of shape ``(runs, 1)``
one call is a step of many runs at once. A state is a dict, empty before the first step; a step
leaves the one that it gets as it is. The RMSProps are the reference's rules: a test holds them
against ``reference.step`` to the bit, and the others against the libraries that have them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np

State = dict[str, Any]
Step = Callable[..., tuple[Any, State]]


class _Memory(dict[str, Any]):
    """What is remembered; whatever is not yet there is zero."""

    def __missing__(self, name: str) -> float:
        return 0.0


def method(formulas: Step) -> Step:
    """A step that counts, and writes in a copy of the state: its number is ``state["t"]``."""

    @wraps(formulas)
    def step(theta: Any, g: Any, state: State, **numbers: Any) -> tuple[Any, State]:
        return formulas(theta, g, _Memory(state, t=state.get("t", 0) + 1), **numbers)

    return step


@method
def descent(theta: Any, g: Any, state: State, *, lr: Any) -> tuple[Any, State]:
    """Gradient descent (Cauchy 1847); on mini-batches SGD (Robbins & Monro 1951)."""
    u = lr * g
    return theta - u, state


@method
def momentum(theta: Any, g: Any, state: State, *, lr: Any, mu: Any = 0.9) -> tuple[Any, State]:
    """The heavy ball (Polyak 1964): a buffer of gradients, as SGD in PyTorch has it."""
    g = state["b"] = mu * state["b"] + g
    u = lr * g
    return theta - u, state


@method
def nesterov(theta: Any, g: Any, state: State, *, lr: Any, mu: Any = 0.9) -> tuple[Any, State]:
    """Nesterov's momentum (1983), in the form of PyTorch and optax: one accumulation ahead."""
    state["b"] = mu * state["b"] + g
    g = mu * state["b"] + g
    u = lr * g
    return theta - u, state


@method
def sign(theta: Any, g: Any, state: State, *, lr: Any) -> tuple[Any, State]:
    """Sign descent (Bernstein et al. 2018)."""
    u = lr * np.sign(g)
    return theta - u, state


@method
def signum(theta: Any, g: Any, state: State, *, lr: Any, mu: Any = 0.9) -> tuple[Any, State]:
    """Signum (Bernstein et al. 2018): the sign of the momentum."""
    g = state["b"] = mu * state["b"] + g
    u = lr * np.sign(g)
    return theta - u, state


@method
def rprop(
    theta: Any, g: Any, state: State, *, lr: Any, up: float = 1.2, down: float = 0.5
) -> tuple[Any, State]:
    """Rprop (Riedmiller & Braun 1993), plain: lr is the first length of every weight's step."""
    agree, state["sign"] = np.sign(g) * state["sign"], np.sign(g)
    lr = state.get("length", lr + np.zeros_like(theta))
    lr = lr * np.where(agree > 0, up, np.where(agree < 0, down, 1.0))
    lr = state["length"] = np.clip(lr, 1e-6, 50.0)
    u = lr * np.sign(g)
    return theta - u, state


@method
def adagrad(theta: Any, g: Any, state: State, *, lr: Any, eps: Any = 1e-8) -> tuple[Any, State]:
    """AdaGrad (Duchi, Hazan & Singer 2011): the sum of all squares."""
    v = state["v"] = state["v"] + g * g
    u = lr * g / (np.sqrt(v) + eps)
    return theta - u, state


@method
def rmsprop(
    theta: Any, g: Any, state: State, *, lr: Any, beta: Any = 0.9, eps: Any = 1e-8
) -> tuple[Any, State]:
    """RMSProp (Tieleman & Hinton 2012): their moving average."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    u = lr * g / (np.sqrt(v) + eps)
    return theta - u, state


@method
def rmsprop_inside(
    theta: Any, g: Any, state: State, *, lr: Any, beta: Any = 0.9, eps: Any = 1e-8
) -> tuple[Any, State]:
    """RMSProp with ε inside the root, as Keras has it."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    u = lr * g / np.sqrt(v + eps)
    return theta - u, state


@method
def rmsprop_momentum(
    theta: Any, g: Any, state: State, *, lr: Any, beta: Any = 0.9, mu: Any = 0.9, eps: Any = 1e-8
) -> tuple[Any, State]:
    """RMSProp with a heavy ball of its steps, η among them, as TensorFlow has it."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    u = lr * g / (np.sqrt(v) + eps)
    u = state["b"] = mu * state["b"] + u
    return theta - u, state


@method
def centered(
    theta: Any, g: Any, state: State, *, lr: Any, beta: Any = 0.9, eps: Any = 1e-8
) -> tuple[Any, State]:
    """Centered RMSProp: the variance of the gradient, with ε inside the root."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    m = state["m"] = beta * state["m"] + (1 - beta) * g
    u = lr * g / np.sqrt(v - m * m + eps)
    return theta - u, state


@method
def graves(
    theta: Any, g: Any, state: State, *, lr: Any = 1e-4, beta: Any = 0.95, mu: Any = 0.9,
    eps: Any = 1e-4,
) -> tuple[Any, State]:  # fmt: skip
    """Graves's RMSProp (2013, eq. 38-45): centered, with momentum, ε inside; his numbers."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    m = state["m"] = beta * state["m"] + (1 - beta) * g
    u = lr * g / np.sqrt(v - m * m + eps)
    u = state["b"] = mu * state["b"] + u
    return theta - u, state


@method
def adadelta(
    theta: Any, g: Any, state: State, *, lr: Any = 1.0, beta: Any = 0.95, eps: Any = 1e-6
) -> tuple[Any, State]:
    """Adadelta (Zeiler 2012): η times the running size of the steps (his own η is 1)."""
    v = state["v"] = beta * state["v"] + (1 - beta) * (g * g)
    u = lr * np.sqrt(state["x"] + eps) * g / np.sqrt(v + eps)
    state["x"] = beta * state["x"] + (1 - beta) * np.square(u / lr)
    return theta - u, state


@method
def averaged(
    theta: Any, g: Any, state: State, *, lr: Any, beta1: Any = 0.9, beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> tuple[Any, State]:  # fmt: skip
    """RMSProp of a mean gradient: Adam without its correction."""
    v = state["v"] = beta2 * state["v"] + (1 - beta2) * (g * g)
    g = state["m"] = beta1 * state["m"] + (1 - beta1) * g
    u = lr * g / (np.sqrt(v) + eps)
    return theta - u, state


@method
def adam(
    theta: Any, g: Any, state: State, *, lr: Any, beta1: Any = 0.9, beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> tuple[Any, State]:  # fmt: skip
    """Adam (Kingma & Ba 2015): both averages corrected."""
    v = state["v"] = beta2 * state["v"] + (1 - beta2) * (g * g)
    g = state["m"] = beta1 * state["m"] + (1 - beta1) * g
    g, v = g / (1 - beta1 ** state["t"]), v / (1 - beta2 ** state["t"])
    u = lr * g / (np.sqrt(v) + eps)
    return theta - u, state


@method
def adamw(
    theta: Any, g: Any, state: State, *, lr: Any, beta1: Any = 0.9, beta2: Any = 0.999,
    eps: Any = 1e-8, decay: Any = 0.01,
) -> tuple[Any, State]:  # fmt: skip
    """AdamW (Loshchilov & Hutter 2019): θ shrinks by itself, past the division."""
    v = state["v"] = beta2 * state["v"] + (1 - beta2) * (g * g)
    g = state["m"] = beta1 * state["m"] + (1 - beta1) * g
    g, v = g / (1 - beta1 ** state["t"]), v / (1 - beta2 ** state["t"])
    u = lr * g / (np.sqrt(v) + eps)
    u = u + lr * decay * theta
    return theta - u, state


@method
def amsgrad(
    theta: Any, g: Any, state: State, *, lr: Any, beta1: Any = 0.9, beta2: Any = 0.999,
    eps: Any = 1e-8,
) -> tuple[Any, State]:  # fmt: skip
    """AMSGrad (Reddi, Kale & Kumar 2018), as in PyTorch: the largest average, then corrected."""
    v = state["v"] = beta2 * state["v"] + (1 - beta2) * (g * g)
    v = state["largest"] = np.maximum(state["largest"], v)
    g = state["m"] = beta1 * state["m"] + (1 - beta1) * g
    g, v = g / (1 - beta1 ** state["t"]), v / (1 - beta2 ** state["t"])
    u = lr * g / (np.sqrt(v) + eps)
    return theta - u, state


class Edge(NamedTuple):
    """Two neighbours, and what the line between them says."""

    parent: Step
    child: Step
    says: str


KIN = (
    Edge(descent, momentum, "remember"),
    Edge(momentum, nesterov, "look ahead"),
    Edge(descent, sign, "sign"),
    Edge(sign, signum, "remember"),
    Edge(sign, rprop, "own length"),
    Edge(descent, adagrad, "divide"),
    Edge(adagrad, rmsprop, "forget"),
    Edge(rmsprop, rmsprop_inside, "ε inside"),
    Edge(rmsprop_inside, adadelta, "unit of θ"),
    Edge(rmsprop_inside, centered, "center"),
    Edge(centered, graves, "average after"),
    Edge(rmsprop, rmsprop_momentum, "average after"),
    Edge(rmsprop, averaged, "average before"),
    Edge(averaged, adam, "correct"),
    Edge(adam, adamw, "shrink θ"),
    Edge(adam, amsgrad, "never less"),
)


def formulas(step: Step) -> list[str]:
    """The lines between the docstring of a method and its ``return``; β2 is called β."""
    lines = inspect.getsource(step).splitlines()
    (last,) = (i for i, line in enumerate(lines) if line.lstrip().startswith("return"))
    first = max(i for i, line in enumerate(lines) if line.rstrip().endswith('"""')) + 1
    return [line.strip().replace("beta2", "beta") for line in lines[first:last]]


def difference(parent: Step, child: Step) -> list[str]:
    """The lines in which two methods differ, ``-`` for the first and ``+`` for the second."""
    lines = difflib.ndiff(formulas(parent), formulas(child))
    return [line for line in lines if line[0] in "-+"]
