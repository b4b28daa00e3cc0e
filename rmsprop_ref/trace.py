"""The reference as a straight-line program: what ``step`` does, in order, one operation a line.

Numbers that write down what is done to them go through the unchanged ``reference.step``. What they
have written is the program. It computes the same bits wherever each operation rounds as IEEE 754
says, so it can be compiled, blocked, counted, or printed in another language.

>>> from rmsprop_ref import Rule
>>> print(trace(Rule(lr=0.01, beta=0.75)))
from theta, grad, v
x1 = 0.75 * v
x2 = grad * grad
x3 = 0.25 * x2
x4 = x1 + x3
x5 = x4 + 0.0
x6 = sqrt(x5)
x7 = x6 + 1e-08
x8 = 0.01 * grad
x9 = x8 / x7
x10 = theta - x9
to theta = x10, v = x4
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy

from rmsprop_ref.constant import Constant, maximum
from rmsprop_ref.reference import step
from rmsprop_ref.rule import Rule, State

_OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}


class Line(NamedTuple):
    """One assignment, ``name = op(operands)``.

    Attributes
    ----------
    name : str
        What is assigned, ``x1``, ``x2``, …: each once.
    op : str
        ``+ - * /``, ``sqrt``, ``max``; between hyper-parameters also ``**``. An Arithmetic adds
        ``neg`` and ``fma``.
    operands : tuple of str and Constant
        Names of inputs or of earlier lines; exact numbers, not yet rounded.
    """

    name: str
    op: str
    operands: tuple[str | Constant, ...]


@dataclass(frozen=True)
class Program:
    """One step of one Rule as a list of assignments.

    Attributes
    ----------
    inputs : tuple of str
        ``theta``, ``grad``, ``v``, with ``m`` and ``b`` where the rule has them, then what is free.
    lines : tuple of Line
        The assignments, in the order in which the reference makes them.
    outputs : tuple of (str, str)
        What is new, ``theta`` first, and the name of the line that holds it.
    """

    inputs: tuple[str, ...]
    lines: tuple[Line, ...]
    outputs: tuple[tuple[str, str], ...]

    def run(self, xp: Any = numpy, **inputs: Any) -> dict[str, Any]:
        """Compute the outputs, in any number system: what ``step`` gives, to the last bit.

        Hyper-parameters that are free go in as Constants, so that they too round once.
        """
        functions = {"sqrt": xp.sqrt, "max": lambda x, floor: maximum(x, floor, xp)}
        functions |= _OPERATORS | {"fma": getattr(xp, "fma", None), "neg": operator.neg}
        known = dict(inputs)
        for name, op, operands in self.lines:
            known[name] = functions[op](*(known[x] if isinstance(x, str) else x for x in operands))
        return {output: known[name] for output, name in self.outputs}

    def __str__(self) -> str:
        """The lines as formulas; a constant is shown as the binary64 number nearest to it."""
        lines = (f"{name} = {_formula(op, operands)}" for name, op, operands in self.lines)
        outputs = ", ".join(f"{output} = {name}" for output, name in self.outputs)
        return "\n".join([f"from {', '.join(self.inputs)}", *lines, f"to {outputs}"])


def trace(rule: Rule, t: int = 1, free: Iterable[str] = ()) -> Program:
    """What ``step`` does in step ``t`` of ``rule``.

    Parameters
    ----------
    rule : Rule
        What is computed.
    t : int
        The step, from 1. It matters for 1-β^t, for a schedule, and for an average that starts at
        the first square.
    free : names of Rule's numbers
        These become inputs of the program, whatever their values in ``rule``; the other
        hyper-parameters are constants in it.

    Examples
    --------
    >>> trace(Rule(), free=["lr"]).inputs
    ('theta', 'grad', 'v', 'lr')
    """
    free = tuple(free)
    lines: list[Line] = []
    freed: dict[str, Any] = {name: _Traced(name, lines) for name in free}
    rule = replace(rule, **freed)
    names = ["theta", "grad", "v", *["m"] * rule.centered, *["b"] * (rule.momentum != 0)]
    given = {name: _Traced(name, lines) for name in names}
    state = State(t - 1, given["v"], given.get("m"), given.get("b"))
    theta, state = step(given["theta"], given["grad"], state, rule, _TRACED)
    new = {"theta": theta, **state._asdict()}
    outputs = tuple((name, new[name].name) for name in names if name != "grad")
    return Program((*names, *free), tuple(lines), outputs)


def javascript(program: Program, name: str) -> str:
    """The program as a JavaScript function ``name(theta, grad, v, …)`` of plain numbers.

    Its numbers are binary64, so it computes the same bits as the reference does on NumPy's float64.
    It returns the outputs as the properties of an object.

    Raises
    ------
    ValueError
        Where β is free and the rule needs 1-β^t: a power of binary64 numbers rounds repeatedly.
    """
    if any(op == "**" for _, op, _ in program.lines):
        raise ValueError("1-β^t is not rounded once where beta is free: give beta a number")
    lines = (
        f"  const {x} = {_formula(op, operands, 'Math.sqrt', '{0} < {1} ? {1} : {0}')};"
        for x, op, operands in program.lines
    )
    head = f"function {name}({', '.join(program.inputs)}) {{"
    outputs = ", ".join(f"{output}: {x}" for output, x in program.outputs)
    return "\n".join([head, *lines, f"  return {{ {outputs} }};", "}"])


def _formula(
    op: str,
    operands: tuple[str | Constant, ...],
    sqrt: str = "sqrt",
    larger: str = "max({0}, {1})",
) -> str:
    """``op(operands)`` in the notation that Python and JavaScript share."""
    written = [x if isinstance(x, str) else json.dumps(x.like(0.0)) for x in operands]
    if op == "sqrt":
        return f"{sqrt}({written[0]})"
    if op in ("fma", "neg"):
        return f"{op}({', '.join(written)})"
    return larger.format(*written) if op == "max" else f" {op} ".join(written)


def _recorded(op: str, *, swap: bool = False) -> Callable[[_Traced, Any], Any]:
    """The method that writes ``op`` down."""

    def method(self: _Traced, x: Any) -> Any:
        if not isinstance(x, (_Traced, int, Fraction)):
            return NotImplemented
        return self.record(op, x, self) if swap else self.record(op, self, x)

    return method


class _Traced:
    """A number without a value, which writes down what is done to it."""

    # What Rule and Constant ask of a symbol. It may be a hyper-parameter, and exact numbers come to
    # it exact.
    is_finite = is_nonnegative = True

    def __init__(self, name: str, lines: list[Line]) -> None:
        self.name, self.lines, self.free_symbols = name, lines, {name}

    def __gt__(self, largest: Any) -> bool:
        return False  # not provably

    def record(self, op: str, *operands: Any) -> _Traced:
        """Write down the next line, and return what it assigns."""
        written = (x.name if isinstance(x, _Traced) else Constant(x) for x in operands)
        self.lines.append(Line(f"x{len(self.lines) + 1}", op, tuple(written)))
        return _Traced(self.lines[-1].name, self.lines)

    __add__, __radd__ = _recorded("+"), _recorded("+", swap=True)
    __sub__, __rsub__ = _recorded("-"), _recorded("-", swap=True)
    __mul__, __rmul__ = _recorded("*"), _recorded("*", swap=True)
    __truediv__, __rtruediv__ = _recorded("/"), _recorded("/", swap=True)
    __pow__ = _recorded("**")


# The number system of traced numbers, as `xp`.
_TRACED = SimpleNamespace(
    sqrt=lambda x: x.record("sqrt", x), Max=lambda x, floor: x.record("max", x, floor)
)
