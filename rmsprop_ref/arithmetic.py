"""How a Rule is rounded: which bits, where a Rule alone says what is right.

The reference's straight-line program (``trace.py``) fixes an order of operations. An
:class:`Arithmetic` changes that order by rewriting: each rewrite is an identity of real numbers, so
that the rule stays what it is, and only the rounding changes. It also says in which precision the
hyper-parameters are when they meet the arrays. So the reference reproduces a library to the bit.

>>> import numpy as np
>>> from rmsprop_ref import Rule
>>> tensorflow = Arithmetic(("beta*v + (1 - beta)*x -> v + (x - v)*(1 - beta)",), numbers="dtype")
>>> print(tensorflow.program(Rule(eps_in=1e-7)))
from theta, grad, v, lr, beta, eps_in
x1 = grad * grad
x2 = x1 - v
x3 = 1.0 - beta
x4 = x2 * x3
x5 = v + x4
x6 = lr * grad
x7 = x5 + eps_in
x8 = sqrt(x7)
x9 = x6 / x8
x10 = theta - x9
to theta = x10, v = x5
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal

import numpy

from rmsprop_ref.constant import Constant
from rmsprop_ref.reference import init
from rmsprop_ref.rule import Rule
from rmsprop_ref.trace import Line, Program, trace

# A formula as a tree: a name, an exact number, or (operation, formula, …).
Formula = Any
_OPERATIONS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}

# The forms in which libraries write the same average and the same quotient, by what they are called
# in the atlas. On the left is how the reference writes it.
DELTA = "beta*v + (1 - beta)*x -> v + (x - v)*(1 - beta)"
LEFT_TO_RIGHT = "(1 - beta)*(x*x) -> ((1 - beta)*x)*x"
QUOTIENT_FIRST = "(lr*x)/d -> lr*(x/d)"
RATE_FIRST = "(lr*x)/d -> (lr/d)*x"
RECIPROCAL = "(lr*x)/d -> lr*((1/d)*x)"


@dataclass(frozen=True)
class Arithmetic:
    """An order of operations, and the precision of the hyper-parameters.

    Attributes
    ----------
    rewrites : tuple of str
        Identities ``"left -> right"``, applied in turn, each wherever its left side stands. Single
        letters stand for any formula; longer names are the Rule's own numbers, ``theta`` and
        ``grad``. Operations: ``+ - * / **``, ``sqrt(x)``, and ``fma(x, y, z)``, x·y + z rounded
        once (IEEE 754-2019, section 5.4.1).
    numbers : "exact", "float64", "float32" or "dtype"
        What hyper-parameters are until they meet an array: exact; or of that format, also in 1-β,
        1-β^t and ηλ. "dtype": that of the array; so is "float32" where the array is narrower.

    Raises
    ------
    ValueError
        For a rewrite that is not of this form, or another word for ``numbers``.

    Examples
    --------
    >>> Arithmetic(("beta*v + v",))
    Traceback (most recent call last):
        ...
    ValueError: rewrite 'beta*v + v' is not of the form 'left -> right'
    """

    rewrites: tuple[str, ...] = ()
    numbers: Literal["exact", "float64", "float32", "dtype"] = "exact"

    def __post_init__(self) -> None:
        for rewrite in self.rewrites:
            sides(rewrite)
        if self.numbers not in ("exact", "float64", "float32", "dtype"):
            legal = "'exact', 'float64', 'float32' or 'dtype'"
            raise ValueError(f"numbers={self.numbers!r} is not possible: it is {legal}")

    def program(self, rule: Rule, t: int = 1) -> Program:
        """What step ``t`` of ``rule`` does in this order, as a straight-line program.

        Its inputs are the arrays, then those hyper-parameters that the rule has.
        """
        named = [name for name in _NUMBERS if name in ("lr", "beta") or getattr(rule, name) != 0]
        reference = trace(rule, t, free=named)
        outputs = _formulas(reference)
        for rewrite in self.rewrites:
            left, right = sides(rewrite)
            outputs = {name: _rewritten(tree, left, right) for name, tree in outputs.items()}
        return _lines(reference.inputs, outputs)

    def run(self, rule: Rule, sqrt: Callable[[Any], Any] = numpy.sqrt) -> Callable[[Any, Any], Any]:
        """An implementation under test that computes ``rule`` in this arithmetic.

        Parameters
        ----------
        rule : Rule
            What to compute.
        sqrt : callable
            The root of an array. The operations of IEEE 754 have one result; the roots of some
            vector libraries, such as MKL's, have another now and then.

        Returns
        -------
        callable
            ``run(theta0, grads) -> trajectory``: NumPy arrays ``(n,)`` and ``(T, n)`` of one dtype
            to a generator of the parameters after each step, ``(n,)``.
        """

        def run(theta0: Any, grads: Any) -> Iterator[Any]:
            state = init(theta0, rule)
            arrays = {"v": state.v, "m": state.m, "b": state.b}
            arrays = {"theta": theta0} | {name: x for name, x in arrays.items() if x is not None}
            xp = SimpleNamespace(sqrt=sqrt, where=numpy.where, fma=fma)
            with numpy.errstate(all="ignore"):
                for t, grad in enumerate(grads, 1):
                    program = self._program_of(rule, t)
                    numbers = {name: self._number(rule, t, name, theta0) for name in _NUMBERS}
                    used = {name: numbers[name] for name in program.inputs if name in numbers}
                    arrays = program.run(xp, grad=grad, **arrays, **used)
                    yield arrays["theta"]

        return run

    def _program_of(self, rule: Rule, t: int) -> Program:
        # Only a correction by 1-β^t, and a start at the first square, make steps differ.
        differs = rule.bias_correction or (rule.v0 == "first_square" and t == 1)
        return _made(self, rule, t if differs else 2)

    def _number(self, rule: Rule, t: int, name: str, like: Any) -> Any:
        exact = getattr(rule.constants(t), name)
        if self.numbers == "exact" or name == "v0":
            return exact
        if self.numbers == "float64":
            # Beside bfloat16, which is not NumPy's own, a Python float would widen the array.
            return exact if like.dtype.name == "bfloat16" else float(exact)
        # A float32 beside an array of float64 is widened when the two meet; 1-β is formed before.
        wide = self.numbers == "float32" and like.dtype == numpy.float64
        return exact.like(numpy.float32(0) if wide else like)


_NUMBERS = ("lr", "beta", "eps_in", "eps_out", "eps_floor", "momentum", "weight_decay")


@lru_cache(maxsize=256)
def _made(arithmetic: Arithmetic, rule: Rule, t: int) -> Program:
    return arithmetic.program(rule, t)


# Formulas: reading, matching, rewriting


@lru_cache(maxsize=256)
def sides(rewrite: str) -> tuple[Formula, Formula]:
    """The two sides of a rewrite as formulas.

    Raises
    ------
    ValueError
        When it is none, or the right side has a letter that the left side has not.
    """
    left, arrow, right = rewrite.partition("->")
    if not arrow:
        raise ValueError(f"rewrite {rewrite!r} is not of the form 'left -> right'")
    try:
        read = [_read(ast.parse(side.strip(), mode="eval").body) for side in (left, right)]
    except (SyntaxError, KeyError, AttributeError, ValueError):
        legal = "names, whole numbers, + - * / **, sqrt(x) and fma(x, y, z)"
        raise ValueError(f"rewrite {rewrite!r}: a formula has {legal}") from None
    if unknown := sorted(_letters(read[1]) - _letters(read[0])):
        raise ValueError(f"rewrite {rewrite!r}: {unknown[0]} stands on the right side only")
    return read[0], read[1]


def _read(node: Any) -> Formula:
    if isinstance(node, ast.BinOp):
        return (_OPERATIONS[type(node.op)], _read(node.left), _read(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return ("neg", _read(node.operand))
    if isinstance(node, ast.Call):
        if node.func.id not in ("sqrt", "fma"):  # type: ignore[attr-defined]
            raise KeyError(node.func)
        return (node.func.id, *map(_read, node.args))  # type: ignore[attr-defined]
    if isinstance(node, ast.Constant):
        return Constant(int(str(node.value)))
    return str(node.id)


def _letters(formula: Formula) -> set[str]:
    if isinstance(formula, tuple):
        return set().union(*map(_letters, formula[1:]))
    return {formula} if isinstance(formula, str) and len(formula) == 1 else set()


def _matched(pattern: Formula, formula: Formula, found: dict[str, Formula]) -> bool:
    """Whether ``formula`` has the form ``pattern``; ``found`` takes what its letters stand for."""
    if isinstance(pattern, str) and len(pattern) == 1:
        return bool(found.setdefault(pattern, formula) == formula)
    if not isinstance(pattern, tuple):
        return bool(pattern == formula)
    same = isinstance(formula, tuple) and formula[0] == pattern[0] and len(formula) == len(pattern)
    return same and all(map(lambda p, f: _matched(p, f, found), pattern[1:], formula[1:]))


def _rewritten(formula: Formula, left: Formula, right: Formula) -> Formula:
    """The formula with ``left`` replaced by ``right`` wherever it stands, from the outside in."""
    if not isinstance(formula, tuple):
        return formula
    found: dict[str, Formula] = {}
    if _matched(left, formula, found):
        found = {letter: _rewritten(part, left, right) for letter, part in found.items()}
        return _filled(right, found)
    return (formula[0], *(_rewritten(part, left, right) for part in formula[1:]))


def _filled(formula: Formula, found: dict[str, Formula]) -> Formula:
    if isinstance(formula, tuple):
        return (formula[0], *(_filled(part, found) for part in formula[1:]))
    return found.get(formula, formula) if isinstance(formula, str) else formula


def _formulas(program: Program) -> dict[str, Formula]:
    """The outputs of a program, each as one formula of its inputs; sums with 0 are left out."""
    known: dict[Any, Formula] = {name: name for name in program.inputs}
    for name, op, operands in program.lines:
        parts = tuple(known[x] if isinstance(x, str) else x for x in operands)
        known[name] = parts[0] if op == "+" and parts[1] == Constant(0) else (op, *parts)
    return {output: known[name] for output, name in program.outputs}


def _lines(inputs: tuple[str, ...], outputs: dict[str, Formula]) -> Program:
    """The formulas as a program again: what stands in several places is computed once."""
    lines: dict[Formula, Line] = {}

    def name_of(formula: Formula) -> Any:
        if not isinstance(formula, tuple):
            return formula
        if formula not in lines:
            operands = tuple(map(name_of, formula[1:]))
            lines[formula] = Line(f"x{len(lines) + 1}", formula[0], operands)
        return lines[formula].name

    named = tuple((output, name_of(formula)) for output, formula in reversed(outputs.items()))
    return Program(inputs, tuple(lines.values()), named[::-1])


# One rounding for a product and a sum


def fma(x: Any, y: Any, z: Any) -> Any:
    """x·y + z, rounded once, in NumPy: float32 by way of float64, float64 by error-free sums.

    Both round the last sum to odd before they round it to nearest (Boldo & Melquiond 2008,
    "Emulation of FMA and correctly rounded sums", IEEE Transactions on Computers 57(4)). Exact
    unless the product of two float64 overflows or its error is subnormal; there, and for NaN and
    infinities, it is x*y + z.
    """
    dtype = numpy.result_type(*(a for a in (x, y, z) if hasattr(a, "dtype")))
    # A hyper-parameter rounds to the dtype of the arrays that it meets.
    numbers = (a.like(dtype.type(0)) if isinstance(a, Constant) else a for a in (x, y, z))
    x, y, z = (numpy.asarray(a, dtype) for a in numbers)
    if dtype != numpy.float64:
        x, y, z = (a.astype(numpy.float64) for a in (x, y, z))
        return _sum_to_odd(x * y, z).astype(dtype)  # the product of two float32 is exact here
    plain = x * y + z
    high, low = _product(x, y)
    top, rest = _sum(z, low)
    total, error = _sum(high, top)
    fused = total + _sum_to_odd(rest, error)
    return numpy.where(numpy.isfinite(fused), fused, plain)


def _sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The sum rounded, and its error (Knuth's TwoSum)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _product(a: Any, b: Any) -> tuple[Any, Any]:
    """The product rounded, and its error (Dekker's product, with Veltkamp's splitting)."""

    def split(x: Any) -> tuple[Any, Any]:
        c = x * 134217729.0  # 2^27 + 1
        high = c - (c - x)
        return high, x - high

    p = a * b
    (a1, a2), (b1, b2) = split(a), split(b)
    return p, a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2)


def _sum_to_odd(a: Any, b: Any) -> Any:
    """The sum in float64, rounded to odd: if inexact, the neighbour whose last bit is 1."""
    s, error = (numpy.asarray(part, numpy.float64) for part in _sum(a, b))
    even = (s.view(numpy.int64) & 1) == 0
    towards = numpy.nextafter(s, numpy.copysign(numpy.inf, error))
    return numpy.where(even & (error != 0) & numpy.isfinite(s), towards, s)
