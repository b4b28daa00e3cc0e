"""Enclosures: every result that a legal floating-point evaluation of a Rule can give.

They are the reference, run on balls. What is here is the part of the error model that belongs to
the hyper-parameters: what each stands for, how it is rounded, and what the honest rearrangements of
a formula need beyond the reference's own operations. Chapter 6 derives the numbers.

The hyper-parameters have two honest readings. A program that forms 1-β from the binary64 number β
computes with ``Fraction(0.9)``; one that says 0.9 and 0.1 computes with nine tenths and one tenth,
each rounded once. In float64 their coefficients 1-β differ by 2.5 units of roundoff at β = 0.9, and
by a thousand at 0.9999. So each reading has an enclosure of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import FORMATS, Constant, _nearest, dtype_name
from rmsprop_ref.oracle.balls import Ball, Balls, Floats
from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule, State


@dataclass(frozen=True)
class Reading:
    """What a program takes the hyper-parameters for.

    Attributes
    ----------
    name : str
        What a report calls it.
    number : callable
        The value of a hyper-parameter, from its name and its exact binary64 value.
    complement : callable
        The value of 1-β from that of β.
    slack : float
        A bound on the further error of 1-β^t, in units of β^t, for each factor of the power. 0: it
        is formed in binary64, or better.
    """

    name: str
    number: Callable[[str, Fraction], Fraction]
    complement: Callable[[Fraction], Fraction] = lambda beta: 1 - beta
    slack: float = 0.0


BINARY64 = Reading("1-β from the binary64 number β", lambda name, x: x)
DECIMAL = Reading("β and 1-β each written in decimal", lambda name, x: Fraction(repr(float(x))))


class Enclosure(NamedTuple):
    """The balls of all slots after each step, of shape (T, n); None where there is no such slot.

    Attributes
    ----------
    theta, v, m, b : Ball
        ``mid`` and ``rad``: what is legal lies within ``rad`` of ``mid``.
    """

    theta: Ball
    v: Ball
    m: Ball | None
    b: Ball | None


def enclosure(
    rule: Rule,
    theta0: Any,
    grads: Any,
    dtype: Any = None,
    *,
    reading: Reading = BINARY64,
    flush: bool = False,
) -> Enclosure:
    """A ball for each element and step that holds every legal evaluation of ``rule`` in ``dtype``.

    Parameters
    ----------
    rule : Rule
        What is computed, with numbers for hyper-parameters.
    theta0 : array of floats, shape (n,)
        The parameters before the first step: numbers of ``dtype``.
    grads : array of floats, shape (T, n)
        The gradient of each step: numbers of ``dtype``.
    dtype : str or dtype
        ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``; if None, that of ``theta0``.
    reading : Reading
        What the hyper-parameters stand for: ``BINARY64`` or ``DECIMAL``.
    flush : bool
        Whether subnormal numbers may be flushed to zero.

    Raises
    ------
    TypeError, ValueError
        For another dtype, shapes that do not fit, numbers that ``dtype`` does not have, symbols in
        the rule, or a schedule that ends before the gradients do.

    Examples
    --------
    >>> theta = enclosure(Rule(), [1.0], [[0.5], [-0.25]], "float32").theta
    >>> print(theta.mid.round(6).tolist(), theta.rad.shape)
    [[0.968377], [0.983121]] (2, 1)
    """
    if dtype is None:
        dtype = dtype_name(np.asarray(theta0))
    name = format_name(dtype)
    theta0, grads = as_inputs(theta0, grads, name)
    check_rule(rule, len(grads))
    system = Balls(name, flush=flush, **needs(rule))
    visited = list(steps(rule, theta0, grads, system, reading))
    slots = [[state.v, state.m, state.b] for _, state in visited]
    columns = [[theta for theta, _ in visited], *map(list, zip(*slots, strict=True))]
    if not visited:
        first = init(system.exactly(theta0), rule, system)
        columns = [[x] * 0 if x is not None else [None] for x in (0, first.v, first.m, first.b)]
    return Enclosure(*(system.stack(column, theta0.shape) for column in columns))


def steps(
    rule: Rule,
    theta0: Floats,
    grads: Floats,
    system: Balls,
    *readings: Reading,
    step: Callable[..., tuple[Any, State]] = step,
    count: Callable[[int], int] = int,
) -> Iterator[tuple[Ball, State]]:
    """θ and the state after each step, as balls: the reference under ``system``.

    Several readings are enclosed together. Another ``step``, or another ``count`` of the steps, is
    how the faults of ``faults.py`` are made.
    """
    theta = system.exactly(theta0)
    system.table = coefficients(rule, 1, system, *readings)
    state = init(theta, rule, system)
    # Whatever the order of evaluation, an infinite gradient gives θ ∞/∞; the state may be infinite.
    infinite = np.isinf(grads)
    grads = np.where(infinite, np.nan, grads)
    for t, grad in enumerate(grads, 1):
        with np.errstate(all="ignore"):
            number = count(t)
            if rule._counts:
                system.table = coefficients(rule, number, system, *readings)
            state = state._replace(t=number - 1)
            system.rate = float(rule.constants(number).lr) or 1.0
            theta, state = step(theta, system.exactly(grad), state, rule, system)
        if infinite[t - 1].any():
            slots: dict[str, Any] = {
                k: x for k, x in state._asdict().items() if isinstance(x, Ball)
            }
            for name, x in slots.items():
                slots[name] = replace(x, rad=np.where(infinite[t - 1], np.inf, x.rad))
            state = state._replace(**slots)
        yield theta, state


def needs(rule: Rule) -> dict[str, Any]:
    """What ``Balls`` must know of a rule.

    A quotient of Balls errs by 3u. Where θ is decayed apart from the step, a program may also add
    the two changes before it subtracts them: one rounding more, of the size of the step.
    """
    apart = rule.weight_decay != 0 and rule.weight_decay_form != "l2"
    return {"signed_root": rule.centered, "quotient": 4 if apart else 3}


@lru_cache(maxsize=4096)
def _coefficient_error(value: Fraction, dtype: str) -> float:
    """|rounded - exact| of a coefficient that is rounded once, by way of binary64 or directly."""
    if value == 0:
        return 0.0
    nearest = _nearest(value.numerator, value.denominator, dtype)
    if math.isinf(nearest):
        return math.inf
    by_binary64 = 0.0 if dtype == "float64" else float(abs(value)) * 2.0**-50
    return float(abs(Fraction(nearest) - value)) * (1 + 2.0**-20) + by_binary64


def coefficients(
    rule: Rule, t: int, system: Balls, *readings: Reading
) -> dict[Fraction | int, tuple[Fraction, float]]:
    """What the hyper-parameters of step ``t`` stand for: a value and a radius for each.

    In units of roundoff u, and beyond its one rounding, a coefficient's radius has

    * for β and 1-β, what v + (1-β)(g²-v) needs beyond βv + (1-β)g²: it errs by 3(1-β)v + 3(1-β)g²,
      against 2βv + 2(1-β)g², and the last product's rounding is counted by the product itself;
    * in a centered rule, one more for both and for ε: (v + ε) - m² rounds v + ε, not v - m²;
    * for 1-β^t, three more: √v/√(1-β^t) rounds twice after the root and once before;
    * for ηλ, two more, for a product of rounded factors; and one u for (1-ηλ)θ.
    """
    dtype, u = system.dtype, system.u

    def error(x: Fraction) -> float:
        return _coefficient_error(x, dtype)

    table: dict[Fraction | int, tuple[Fraction, float]] = {}

    def enter(key: Fraction | int, value: Fraction, rad: float) -> None:
        other, wider = table.get(key, (value, 0.0))
        table[key] = other, max(rad, wider) + abs(float(value - other))

    exact = rule.constants(t)
    for reading in readings:
        value = {
            name: reading.number(name, Fraction(x))
            for name, x in vars(exact).items()
            if isinstance(x, Constant)
        }
        for name, x in value.items():
            if name != "beta":
                again = u * float(x) if name == "eps_in" and rule.centered else 0.0
                enter(id(getattr(exact, name)), x, error(x) + again)
        if "v0" in value:  # the reference's init makes it anew
            enter(exact.v0, value["v0"], error(value["v0"]))

        beta, rest = value["beta"], reading.complement(value["beta"])
        share, other = float(rest), float(beta)
        delta = max(error(rest), error(beta) if beta <= Fraction(1, 2) else 0.0)
        more = u if rule.centered else 0.0
        keep = max(error(beta), delta + (2 * share - other) * u) + more * other
        enter(id(exact.beta), beta, keep)
        enter(1 - exact.beta, rest, delta + (u + more) * share)
        if rule.bias_correction:
            power, corrected = beta**t, 1 - beta**t
            # The power of binary64 numbers: a faithful one, or t-1 products; with β itself
            # rounded, where it is not a binary64 number.
            formed = ((t + 1) * (t > 1) + t * (Fraction(float(beta)) != beta)) * 2.0**-53
            rad = error(corrected) + 3 * u * float(corrected)
            rad += (formed + t * reading.slack) * float(power)
            enter(1 - exact.beta**t, corrected, rad)
        decay = value["weight_decay"]
        if decay and rule.weight_decay_form == "decoupled":
            x = value["lr"] * decay
            enter(exact.lr * exact.weight_decay, x, error(x) + u * (2 * float(x) + 1))
        elif decay and rule.weight_decay_form == "decoupled_unscaled":
            enter(id(exact.weight_decay), decay, error(decay) + u)
    return table


def format_name(dtype: Any) -> str:
    """The name of a dtype that the oracle knows.

    Raises
    ------
    TypeError
        For another one.
    """
    name = dtype if isinstance(dtype, str) else str(getattr(dtype, "__name__", dtype))
    name = name.removeprefix("torch.")
    if name not in FORMATS:
        raise TypeError(f"dtype={dtype!r} is not possible: expected one of {', '.join(FORMATS)}")
    return name


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype of that name; that of bfloat16 comes with ml_dtypes.

    Raises
    ------
    ImportError
        When ml_dtypes is needed and missing.
    """
    if name != "bfloat16":
        return np.dtype(name)
    try:
        import ml_dtypes
    except ImportError as error:
        raise ImportError("bfloat16 needs ml_dtypes: pip install ml-dtypes") from error
    found: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return found


def as_inputs(theta0: Any, grads: Any, dtype: str) -> tuple[Floats, Floats]:
    """θ0 (n,) and the gradients (T, n) as float64 arrays that hold numbers of ``dtype``.

    Raises
    ------
    TypeError, ValueError
        When they are something else.
    """
    arrays = []
    for name, x in (("theta0", theta0), ("grads", grads)):
        array = np.asarray(x)
        if array.size == 0 and array.dtype.kind == "f":
            array = array.astype(np.float64)
        if dtype_name(array) not in FORMATS:
            raise TypeError(f"{name} has dtype {array.dtype}: expected floats of {dtype}")
        wide = array.astype(np.float64)
        if dtype != "float64":
            with np.errstate(over="ignore"):
                kept = wide.astype(numpy_dtype(dtype)).astype(np.float64)
            off = (kept != wide) & ~np.isnan(wide)
            if off.any():
                where = tuple(int(i) for i in np.argwhere(off)[0])
                raise ValueError(
                    f"{name}{list(where)}={wide[where]!r} is no {dtype}: "
                    f"the nearest is {float(kept[where])!r}"
                )
        arrays.append(wide)
    theta, rows = arrays
    if theta.ndim != 1:
        raise ValueError(f"theta0 has shape {theta.shape}: expected (n,)")
    if rows.ndim != 2 or rows.shape[1] != len(theta):
        raise ValueError(f"grads has shape {rows.shape}: expected (T, {len(theta)})")
    return theta, rows


def check_rule(rule: Any, count: int = 0) -> None:
    """Raise unless ``rule`` is a Rule of numbers that has a learning rate for ``count`` steps.

    Raises
    ------
    TypeError, ValueError
        When it is not, or has not.
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule is {rule!r}: expected a Rule")
    if rule._symbols:
        raise TypeError(f"{rule._symbols[0]} is a symbol: the oracle needs a number")
    if isinstance(rule.lr, tuple) and len(rule.lr) < count:
        raise ValueError(
            f"the schedule lr has {len(rule.lr)} values, the gradients have {count} steps"
        )
