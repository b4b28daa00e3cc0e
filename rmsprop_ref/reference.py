"""RMSProp, the reference: the one file to read.

Divide each coordinate of the gradient by the running magnitude that it has had lately. Tieleman and
Hinton (2012) put it so in a lecture; Graves (2013) printed formulas for a centered form. One step
is three lines, on arrays of any shape, elementwise:

    v ← β v + (1-β) g²                the running average of squared gradients
    d ← √(v + ε_in) + ε_out           the running magnitude; ε on one side of the root
    θ ← θ - η g / d                   a step of about η, whatever the size of g

Here θ are the parameters and g is the gradient of the loss at θ; v, d and every other array has
the shape and dtype of θ. ``step`` computes these lines for a plain rule and, for the variants that
libraries have, the same lines with others between them. It holds the formulas and nothing else:
``xp`` says which number system they are computed in (``numpy``, ``jax.numpy``, ``torch``; ``sympy``
for the algebra, ``mpmath`` for many digits), and the hyper-parameters are exact numbers that round
once, when they meet an array (``constant.py``).

>>> import numpy as np
>>> from rmsprop_ref import Rule, init, step
>>> rule = Rule(lr=0.01, beta=0.9)
>>> theta = np.array([1.0, -2.0])
>>> state = init(theta, rule)
>>> theta, state = step(theta, np.array([3.0, -4e-3]), state, rule)
>>> print(theta, state.t)
[ 0.96837722 -1.96837747] 1

References
----------
T. Tieleman, G. Hinton (2012). Lecture 6.5, rmsprop. COURSERA: Neural Networks for Machine Learning.
A. Graves (2013). Generating sequences with recurrent neural networks. arXiv:1308.0850, eq. 38-45.
D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. ICLR. arXiv:1412.6980.
I. Loshchilov, F. Hutter (2019). Decoupled weight decay regularization. ICLR. arXiv:1711.05101.
"""

from __future__ import annotations

from typing import Any

import numpy

from rmsprop_ref.constant import full_like, maximum
from rmsprop_ref.rule import Rule, State, check, check_theta


def init(theta: Any, rule: Rule, xp: Any = numpy) -> State:
    """The state before the first step.

    Parameters
    ----------
    theta : array of floats, any shape, or one number
        The parameters θ.
    rule : Rule
        What will be computed.
    xp : module
        The number system: ``numpy``, ``jax.numpy``, ``torch``, ``dask.array``, ``sympy``, …

    Returns
    -------
    State
        ``t = 0``; ``v``, and ``m`` and ``b`` where the rule needs them, in θ's shape and dtype.
    """
    check_theta(theta, rule)  # a floating-point θ, or an error that says what it is
    # v ← v0, the start of the average. (From "first_square" it starts in the first step.)
    v = full_like(theta, 0.0 if rule.v0 == "first_square" else rule.v0, xp)
    m = full_like(theta, 0.0, xp) if rule.centered else None  # the mean gradient, from 0
    b = full_like(theta, 0.0, xp) if rule.momentum else None  # the momentum buffer, from 0
    return State(0, v, m, b)


def step(theta: Any, grad: Any, state: State, rule: Rule, xp: Any = numpy) -> tuple[Any, State]:
    """One step of RMSProp. Pure: nothing that goes in is changed.

    Parameters
    ----------
    theta : array of floats, any shape, or one number
        The parameters θ.
    grad : like ``theta``
        The gradient g of the loss at θ, in units of loss over θ.
    state : State
        From ``init``, or from the step before.
    rule : Rule
        What to compute: the hyper-parameters and the variant.
    xp : module
        The number system: ``numpy``, ``jax.numpy``, ``torch``, ``dask.array``, ``sympy``, …

    Returns
    -------
    theta, state
        The parameters and the state after the step; θ's shape and dtype throughout.

    Raises
    ------
    ValueError
        When a shape or dtype differs from θ's, or the schedule ``lr`` has no value for this step.
    TypeError
        For integers, lists, or anything else that is no floating-point array or number; for symbols
        in the rule where θ has a dtype; for a ``state.t`` without a value where the rule needs one.
    """
    check(theta, grad, state, rule)  # equal shapes and dtypes, or an error that names both
    t = state.t + 1  # the number of this step, from 1
    g = grad  # the gradient at θ, in θ's shape
    h = rule.constants(t)  # h.lr is η, h.beta is β, …: exact; each rounds once, with an array

    if rule.is_plain:
        # v ← β v + (1-β) g²: a share β of the past is kept. θ's shape, in units of g squared.
        v = h.beta * state.v + (1 - h.beta) * (g * g)
        # d ← √(v + ε_in) + ε_out: the root brings back the unit of g. Mostly one ε is 0.
        d = xp.sqrt(v + h.eps_in) + h.eps_out
        # θ ← θ - η g / d: g/d has no unit and is about ±1, so η has the unit of θ.
        return theta - h.lr * g / d, State(t, v)

    # The same lines again, with every variant between them. (A test proves, bit for bit and in
    # symbols, that without the variants they are the three lines above.)

    # Weight decay λ. "l2" puts λθ, the gradient of λθ²/2, into g, so that it is divided by d too;
    # "decoupled" shrinks θ by itself, past v and d (Loshchilov & Hutter 2019).
    if rule.weight_decay:
        if rule.weight_decay_form == "l2":
            g = g + h.weight_decay * theta
        elif rule.weight_decay_form == "decoupled":
            theta = theta - (h.lr * h.weight_decay) * theta
        else:
            theta = theta - h.weight_decay * theta

    # v ← β v + (1-β) g², as above. Started at the first g², v is g² after the first step.
    start = g * g if rule.v0 == "first_square" and state.t == 0 else state.v
    v = h.beta * start + (1 - h.beta) * (g * g)

    # a: what goes under the root, in units of g². Corrected, v is divided by the sum 1-β^t of its
    # weights, which a start at zero leaves below 1.
    a = v / (1 - h.beta**t) if rule.bias_correction else v

    # Centered (Graves 2013): the variance v - m² in place of the second moment v. In floating
    # point the difference cancels where g hardly varies, and may come out negative.
    m = None
    if rule.centered:
        m = h.beta * state.m + (1 - h.beta) * g
        mean = m / (1 - h.beta**t) if rule.bias_correction else m
        a = a - mean * mean

    # d ← max(√(a + ε_in) + ε_out, ε_floor), in units of g
    d = xp.sqrt(a + h.eps_in) + h.eps_out
    if rule.eps_floor:
        d = maximum(d, h.eps_floor, xp)

    # Momentum: b ← μ b + u, a buffer of normalised steps u (in fastai, of gradients undivided).
    # η enters the buffer with u (TensorFlow) or multiplies what comes out (PyTorch): the same while
    # η is constant.
    b = state.b if rule.momentum else None
    lr_first = rule.lr_in_buffer or not rule.momentum
    u = h.lr * g if lr_first else g  # the step to be, before the division
    if rule.momentum and rule.momentum_on == "gradient":
        u, b = _accumulate(u, b, h.momentum, rule.nesterov)
    u = u / d
    if rule.momentum and rule.momentum_on == "step":
        u, b = _accumulate(u, b, h.momentum, rule.nesterov)
    if not lr_first:
        u = h.lr * u

    # θ ← θ - u, where u has become the whole step
    return theta - u, State(t, v, m, b)


def _accumulate(u: Any, b: Any, mu: Any, nesterov: bool) -> tuple[Any, Any]:
    """What comes out of the momentum buffer b when u goes in, and the buffer after it."""
    b = mu * b + u  # heavy ball: the sum of all u so far, each weighted by μ^age (Polyak 1964)
    # Nesterov's form looks one accumulation ahead (Nesterov 1983, in the form that optax gives it).
    return (mu * b + u if nesterov else b), b
