"""A traced program whose every operation may err: what chapter 6 differentiates."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
import sympy

from rmsprop_ref import Rule
from rmsprop_ref.oracle import BINARY64
from rmsprop_ref.oracle.balls import Balls
from rmsprop_ref.oracle.enclosures import coefficients, needs
from rmsprop_ref.trace import Program

# How many units of roundoff an operation may err in the oracle's balls.
UNITS = {"+": 1, "-": 1, "*": 1, "sqrt": 2, "/": 3}
_OPERATIONS: dict[str, Any] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "sqrt": sympy.sqrt,
}


class Rounding(NamedTuple):
    """One place where a program rounds.

    Attributes
    ----------
    delta : sympy.Symbol
        The relative error that is made there.
    place : str
        What is rounded: a line of the program, or a hyper-parameter.
    units : int
        How many units of roundoff it may err: for a hyper-parameter 1.
    """

    delta: Any
    place: str
    units: int


def with_errors(program: Program, **inputs: Any) -> tuple[dict[str, Any], list[Rounding]]:
    """The outputs of ``program`` with a factor 1+δ wherever it rounds, and the list of these.

    Free inputs are hyper-parameters: exact among themselves, and rounded where they meet an array.
    A sum with 0 is exact, and so is a 0.
    """
    known: dict[str, Any] = dict(inputs)
    exact = set(program.inputs) - {"theta", "grad", "v", "m", "b"}
    roundings: list[Rounding] = []
    texts: dict[str, str] = {}

    def rounded(value: Any, place: str, units: int) -> Any:
        if value == 0:
            return value
        delta = sympy.Symbol(f"delta_{len(roundings) + 1}")
        roundings.append(Rounding(delta, place, units))
        return value * (1 + delta)

    def operand(x: Any, hyper: bool) -> Any:
        value = known[x] if isinstance(x, str) else sympy.Rational(x)
        if hyper or (isinstance(x, str) and x not in exact):
            return value
        return rounded(value, texts.get(x, str(x)), 1)

    shown = str(program).splitlines()[1:-1]
    for (name, op, operands), text in zip(program.lines, shown, strict=True):
        hyper = all(x in exact or not isinstance(x, str) for x in operands)
        values = [operand(x, hyper) for x in operands]
        known[name] = _OPERATIONS[op](*values)
        if hyper:
            exact.add(name)
            texts[name] = text.split(" = ")[1].replace("1.0", "1")
        elif not (op in "+-" and 0 in values):
            known[name] = rounded(known[name], text, UNITS[op])
    return {output: known[name] for output, name in program.outputs}, roundings


def known_errors(rule: Rule, dtype: str) -> dict[float, float]:
    """How far each hyper-parameter of ``rule`` may be off in ``dtype``, in units of roundoff."""
    system = Balls(dtype, **needs(rule))
    table = coefficients(rule, 1, system, BINARY64)
    return {float(x): rad / (system.u * float(x)) for x, rad in table.values() if x}


def ulp(x: Any, dtype: str) -> Any:
    """The unit in the last place of ``x``, as a number of ``dtype``."""
    return np.abs(np.spacing(np.asarray(x, dtype))).astype(float)
