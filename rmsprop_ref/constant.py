"""A hyper-parameter inside a formula: an exact number that rounds once.

Write ``(1 - beta) * v`` with ``beta = Constant(0.9)``. The difference is formed exactly, and the
product rounds it once, to the dtype of ``v``: float16, float32 or float64, whatever ``v`` has.
Where ``v`` is not an array but a number of another kind (SymPy, mpmath, a ball of python-flint),
nothing is rounded that its own number system would not round. So the reference is written once,
without a word on dtypes.

Why it matters: ``1 - float32(0.999)`` misses 0.001 by 1.3e-5 of its value, two hundred units of
roundoff. A library that forms 1-β in float32 computes another rule than the one it was asked for.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

# IEEE 754-2019, table 3.5 (bfloat16: the upper half of a binary32), as
# (bits in the significand, exponent of the smallest subnormal, exponent of the overflow threshold).
FORMATS = {
    "float16": (11, -24, 16),
    "bfloat16": (8, -133, 128),
    "float32": (24, -149, 128),
    "float64": (53, -1074, 1024),
}


def dtype_name(x: Any) -> str | None:
    """The name of ``x``'s dtype, such as ``"float32"``; None for a number that has no dtype."""
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return "float64" if isinstance(x, float) else None  # Python's float is IEEE's binary64
    return _spelled(dtype)


@lru_cache(maxsize=64)
def _spelled(dtype: Any) -> str:
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


@lru_cache(maxsize=256)
def _nearest(p: int, q: int, dtype: str) -> float:
    """p/q rounded once to ``dtype``, ties to even.

    By way of binary64 it could be rounded twice: below one half 1-β may need more than 53 bits,
    and its 53-bit neighbour may lie half way between two float32.
    """
    if dtype not in FORMATS:
        raise TypeError(f"a hyper-parameter cannot round to {dtype}: only to {', '.join(FORMATS)}")
    bits, e_min, e_max = FORMATS[dtype]
    infinity = math.inf if p > 0 else -math.inf
    try:
        nearest = p / q  # Python rounds the quotient of two integers correctly
    except OverflowError:
        return infinity
    if dtype == "float64" or nearest == 0:
        return nearest
    e = max(math.frexp(nearest)[1] - bits, e_min)  # 2^e: the unit in the last place
    units = round(Fraction(p, q) / Fraction(2) ** e)  # Python rounds halves to even
    return infinity if abs(units) >= 2 ** (e_max - e) else math.ldexp(units, e)


def _meeting(operation: Callable[[Any, Any], Any], *, swap: bool = False) -> Callable[..., Any]:
    """The method that first makes the Constant a number of its partner's kind, then operates."""

    def method(self: Constant, x: Any) -> Any:
        if isinstance(x, (int, Fraction)):
            a, b = Fraction(self), Fraction(x)
            return Constant(operation(b, a) if swap else operation(a, b))
        return operation(x, self.like(x)) if swap else operation(self.like(x), x)

    return method


class Constant(Fraction):
    """An exact rational number that rounds once, to nearest, when it meets an array.

    ``Constant + array``, and the other three operations, from either side, give an array of the
    same dtype. With integers, fractions and other Constants it stays exact. Any other number (of
    SymPy, mpmath, python-flint, …) receives it as the exact quotient of two integers. Comparisons
    are those of fractions: with numbers, not with arrays.

    Examples
    --------
    >>> import numpy as np
    >>> float((1 - Constant(0.999)) * np.float32(1))
    0.0010000000474974513
    >>> float(1 - np.float32(0.999))
    0.0009999871253967285
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy, on `array * Constant`, then leaves the operation to Constant

    def like(self, x: Any) -> Any:
        """This number as ``x``'s own kind: rounded to its dtype, or handed over exactly."""
        dtype = dtype_name(x)
        if dtype is not None:
            number = getattr(getattr(x, "dtype", None), "type", float)  # np.float32 and its kin
            return number(_nearest(self.numerator, self.denominator, dtype))
        if hasattr(x, "free_symbols"):
            return Fraction(self)  # SymPy takes a fraction as it is
        if hasattr(x, "coefficient"):
            return x.coefficient(self)  # the oracle's balls say how far a rounded number may be off
        number = type(x)  # mpmath, python-flint, …: a quotient in their own arithmetic
        return number(self.numerator) / number(self.denominator)

    __add__, __radd__ = _meeting(operator.add), _meeting(operator.add, swap=True)
    __sub__, __rsub__ = _meeting(operator.sub), _meeting(operator.sub, swap=True)
    __mul__, __rmul__ = _meeting(operator.mul), _meeting(operator.mul, swap=True)
    __truediv__, __rtruediv__ = _meeting(operator.truediv), _meeting(operator.truediv, swap=True)

    def __pow__(self, exponent: Any) -> Any:
        if isinstance(exponent, Fraction) and exponent.denominator == 1:
            exponent = exponent.numerator
        try:
            return Constant(Fraction(self) ** operator.index(exponent))
        except TypeError:  # a symbol makes its own kind of power
            return NotImplemented

    def __neg__(self) -> Constant:
        return Constant(-Fraction(self))

    def __abs__(self) -> Constant:
        return Constant(abs(Fraction(self)))


def exact(value: Any) -> Any:
    """A number as a Constant; SymPy's symbols, irrational numbers and words stay as they are."""
    if isinstance(value, tuple):
        return tuple(map(exact, value))
    if getattr(value, "is_Rational", False):
        return Constant(int(value.p), int(value.q))
    return Constant(value) if isinstance(value, float) else value


def maximum(x: Any, floor: Any, xp: Any) -> Any:
    """Elementwise max(x, floor) in the number system ``xp``; a NaN in ``x`` stays NaN."""
    if hasattr(xp, "Max"):  # SymPy
        return xp.Max(x, floor)
    if hasattr(xp, "where"):
        return xp.where(x < floor.like(x), floor.like(x), x)
    return floor.like(x) if x < floor.like(x) else x


def full_like(x: Any, value: Any, xp: Any) -> Any:
    """``value`` in the shape and dtype of ``x``; in a number system without arrays, the number."""
    if hasattr(xp, "full_like"):
        return xp.full_like(x, exact(value).like(x))
    return x * 0 + exact(value)
