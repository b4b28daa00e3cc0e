"""Ball arithmetic: numbers with a bound on the error of every legal floating-point evaluation.

A ball is a midpoint and a radius. The midpoint is the exact value, known to many more bits than the
dtype has. Whatever a legal evaluation in the dtype gives lies no further from it than the radius.
``reference.step`` runs on balls as it stands; each operation widens the radius by what it may err:

* a sum, a difference or a product is rounded once, or not at all (contracted into a fused
  multiply-add, or kept in a wider register): u of the result, where u is the unit roundoff;
* a quotient is faithful, 2u, and may be formed by way of a reciprocal: 3u;
* a root is faithful: 2u;
* a product or quotient that underflows errs by up to the smallest subnormal number, or, where
  subnormal numbers are flushed to zero, any result by up to the smallest normal one;
* a hyper-parameter is rounded once. What the other forms of the same formula need beyond that
  (v + (1-β)(g²-v) for βv + (1-β)g²) is added to the radius of its coefficient: ``enclosures.py``.

What no legal evaluation determines has an infinite radius: a result past the largest float, a
divisor that may be zero, a root whose argument may be negative. A midpoint that is NaN, with a
finite radius, says that every legal evaluation gives NaN.

References
----------
N. J. Higham (2002). Accuracy and stability of numerical algorithms, 2nd ed., SIAM. Section 2.2.
J. van der Hoeven (2010). Ball arithmetic. In: Logical approaches to barriers in computing and
complexity, Greifswald.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.constant import FORMATS, Constant
from rmsprop_ref.oracle.double_double import DoubleDouble

Floats = NDArray[np.float64]

# The bounds below are to first order in u; a result may be rounded twice, by way of a wider format;
# midpoints and radii are themselves rounded. All of that is less than these shares of u, and of the
# radius.
_MORE_U = 2.0**-10  # and 4u
_MORE = 1 + 2.0**-40


@dataclass(frozen=True, slots=True)
class Ball:
    """All numbers within ``rad`` of ``mid``, elementwise.

    Attributes
    ----------
    mid : array of float64, or DoubleDouble
        The midpoints, of any shape.
    rad : array of float64
        The radii, of the same shape: finite, or infinite where anything is legal.
    system : Balls
        The number system that the ball belongs to.
    least : array of float64, optional
        A bound below all legal numbers, where one is known that is better than ``mid - rad``: a
        root is never negative.
    """

    mid: Any
    rad: Floats
    system: Balls
    least: Any = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both."""
        return self.rad.shape

    @property
    def center(self) -> Floats:
        """The float64 nearest to the midpoint."""
        return _high(self.mid)

    def excess(self, x: Floats) -> Floats:
        """How far ``x`` lies from the midpoint, in radii: legal up to 1.

        It is 0 where a NaN must be and is, infinite where it must be and is not, or is and must not
        be, and NaN where anything is legal.
        """
        with np.errstate(all="ignore"):
            error = self.error(x)
            must, undetermined = np.isnan(self.center), np.isinf(self.rad)
            ratio = np.where(error == 0, 0.0, error / self.rad)
            ratio = np.where(np.isnan(x) | must, np.where(np.isnan(x) & must, 0.0, np.inf), ratio)
            return np.where(undetermined, np.nan, ratio)

    def error(self, x: Floats) -> Floats:
        """The distance of ``x`` from the midpoint."""
        with np.errstate(all="ignore"):
            if isinstance(self.mid, DoubleDouble):
                return np.abs((x - self.mid.hi) - self.mid.lo)
            return np.asarray(np.abs(x - self.mid))

    def coefficient(self, number: Constant) -> Ball:
        """An exact number as it enters a formula: what ``Constant`` asks for."""
        return self.system.coefficient(number)

    def __abs__(self) -> Ball:
        return self.system.where(self.center < 0, Ball(-self.mid, self.rad, self.system), self)

    def __getitem__(self, index: Any) -> Ball:
        mid = self.mid
        if isinstance(mid, DoubleDouble):
            return Ball(DoubleDouble(mid.hi[index], mid.lo[index]), self.rad[index], self.system)
        return Ball(mid[index], self.rad[index], self.system)

    def __add__(self, other: Any) -> Ball:
        if not isinstance(other, Ball):
            return NotImplemented
        return self.system.added(self, other, self.mid + other.mid)

    def __sub__(self, other: Any) -> Ball:
        if not isinstance(other, Ball):
            return NotImplemented
        return self.system.added(self, other, self.mid - other.mid)

    def __mul__(self, other: Any) -> Ball:
        if not isinstance(other, Ball):
            return NotImplemented
        a, b = np.abs(self.center), np.abs(other.center)
        rad = a * other.rad + b * self.rad + self.rad * other.rad
        # Where both are not zero, though their product may be smaller than any float64.
        inexact = (a + self.rad > 0) & (b + other.rad > 0)
        return self.system.rounded(self.mid * other.mid, rad, 1, self, other, underflows=inexact)

    def __truediv__(self, other: Any) -> Ball:
        if not isinstance(other, Ball):
            return NotImplemented
        system, mid = self.system, self.mid / other.mid
        # |a/b - a'/b'| = |(a/b)(b'-b) + (a-a')|/|b'| ≤ (|a/b| rb + ra)/(|b| - rb)
        least, most = np.abs(other.center) - other.rad, np.abs(other.center) + other.rad
        if other.least is not None:
            least = np.maximum(least, other.least)
        rad = np.abs(_high(mid)) * other.rad + self.rad + system.middle_error(self)
        rad = np.where(least > 0, rad / least, np.inf) + system.underway(self, mid, most)
        # 1/b, or b/η, may be past the largest number.
        rad = np.where(np.maximum(1 / least, most / system.rate) > system.overflow, np.inf, rad)
        inexact = np.abs(self.center) + self.rad > 0
        return system.rounded(mid, rad, system.quotient, self, other, underflows=inexact)


class Balls:
    """The number system of balls for one dtype, as the ``xp`` of the reference.

    Parameters
    ----------
    dtype : str
        A key of ``FORMATS``.
    flush : bool
        Whether subnormal numbers may be flushed to zero, inputs and results.
    signed_root : bool
        Whether what goes under the root can be negative in floating point: in a centered rule.
    quotient : int
        How many units of roundoff a quotient may err.
    """

    def __init__(
        self, dtype: str, *, flush: bool = False, signed_root: bool = False, quotient: int = 3
    ) -> None:
        bits, e_min, e_max = FORMATS[dtype]
        self.dtype, self.signed_root, self.quotient = dtype, signed_root, quotient
        self.wide = dtype == "float64"  # its midpoints need more than float64
        self.u = 2.0**-bits * (1 + _MORE_U + 4 * 2.0**-bits)
        # Double-double numbers err by a few smallest subnormals of their own.
        self.tiny = 2.0**-1070 if self.wide else 2.0**e_min
        self.normal = 2.0 ** (e_min + bits - 1)
        self.overflow = float((2 - Fraction(2) ** (1 - bits)) * Fraction(2) ** (e_max - 1))
        # Past this number nothing is determined. Infinite: as if results had no largest number.
        self.largest = self.overflow
        self.flushed = self.normal if flush else 0.0
        # The learning rate, which may be divided, or divide, before it meets the gradient.
        self.rate = 1.0
        # What each hyper-parameter stands for: its value and a radius. One that the reference takes
        # from the rule is known by its identity, for β and μ may be equal; one that it forms, such
        # as 1-β, by its value. Set anew for each step.
        self.table: Mapping[Fraction | int, tuple[Fraction, float]] = MappingProxyType({})

    def exactly(self, x: Any) -> Ball:
        """Floats of the dtype, which stand for themselves."""
        x = np.asarray(x, np.float64)
        rad = np.where(np.abs(x) < self.flushed, np.abs(x), 0.0)
        return Ball(DoubleDouble.of(x) if self.wide else x, rad, self)

    def coefficient(self, number: Fraction) -> Ball:
        """A hyper-parameter, or a number made of them, rounded once."""
        known = self.table.get(id(number)) or self.table.get(number)
        value, rad = known or (number, 4 * self.u * abs(float(number)))
        mid = DoubleDouble.of(value) if self.wide else np.asarray(float(value))
        precision = 2.0**-100 if self.wide else 2.0**-53
        return Ball(mid, np.asarray(rad + precision * abs(float(value)) * (value != 0)), self)

    def sqrt(self, a: Ball) -> Ball:
        """√a."""
        center = a.center
        mid = a.mid.sqrt() if isinstance(a.mid, DoubleDouble) else np.sqrt(a.mid)
        rad = a.rad + self.middle_error(a)
        least = center * (1 - 2.0**-50) - rad
        # √a - √a' = (a - a')/(√a + √a'); a sum of squares that may be 0 stays at 0 or above.
        at_zero = np.where(self.signed_root, np.inf, np.sqrt(np.maximum(center, 0) + rad))
        apart = rad / (_high(mid) + np.sqrt(np.maximum(least, 0)))
        rad = np.where(a.rad == 0, 0.0, at_zero)
        rad = np.where(least > 0, apart, rad)
        root = self.rounded(mid, rad, 2, a, underflows=least > 0)
        return root if self.signed_root else replace(root, least=np.zeros(a.shape))

    def Max(self, a: Ball, floor: Constant) -> Ball:
        """The larger of the two: no further off than the worse of them."""
        b = self.coefficient(floor)
        larger = self.where(a.center < b.center, b, a)
        return replace(larger, rad=np.maximum(a.rad, b.rad), least=b.center - b.rad)

    def where(self, mask: Any, a: Ball, b: Ball) -> Ball:
        """The ball ``a`` where the mask holds, else ``b``."""
        mid: Any
        if self.wide:
            mid = DoubleDouble(
                np.where(mask, a.mid.hi, b.mid.hi), np.where(mask, a.mid.lo, b.mid.lo)
            )
        else:
            mid = np.where(mask, a.mid, b.mid)
        return Ball(mid, np.where(mask, a.rad, b.rad), self)

    def full_like(self, a: Ball, value: Ball) -> Ball:
        """``value`` in the shape of ``a``."""
        return self.where(np.ones(a.shape, bool), value, value)

    def stack(self, balls: Sequence[Ball | None], shape: tuple[int, ...]) -> Any:
        """Balls of one shape, along a new first axis; None where they are None."""
        if balls and balls[0] is None:
            return None

        def rows(arrays: Iterable[Any]) -> Floats:
            return np.array(list(arrays), np.float64).reshape(len(balls), *shape)

        mids = [ball.mid for ball in balls if ball is not None]
        rad = rows(ball.rad for ball in balls if ball is not None)
        if self.wide:
            return Ball(DoubleDouble(rows(x.hi for x in mids), rows(x.lo for x in mids)), rad, self)
        return Ball(rows(mids), rad, self)

    def added(self, a: Ball, b: Ball, mid: Any) -> Ball:
        """The sum or difference: rounded, unless one of the two is exactly zero."""
        exact = ((a.center == 0) & (a.rad == 0)) | ((b.center == 0) & (b.rad == 0))
        total = self.rounded(mid, a.rad + b.rad, np.where(exact, 0, 1), a, b, underflows=False)
        if a.least is None:
            return total
        return replace(total, least=(a.least + b.center - b.rad) * (1 - 2 * self.u))

    def rounded(self, mid: Any, rad: Floats, units: Any, *operands: Ball, underflows: Any) -> Ball:
        """The ball of ``rad`` about ``mid`` after a rounding of so many units of roundoff.

        ``underflows`` says where the result may be subnormal and not exact: no sum is that.
        """
        size = np.abs(_high(mid))
        most = size + rad
        error = units * self.u * most
        error = np.maximum(error, np.where(underflows, self.tiny, 0.0))
        if self.flushed:
            error = np.where(
                size - rad < self.flushed,
                np.maximum(error, np.minimum(most, self.flushed)),
                error,
            )
        rad = (rad + error) * _MORE
        rad = np.where(size + rad > self.largest, np.inf, rad)
        if not np.all(rad < np.inf):  # a NaN fails as well
            # Whatever the other operand, NaN gives NaN.
            must = sum(np.isnan(x.center) & np.isfinite(x.rad) for x in operands) > 0
            rad = np.where(must, 0.0, np.where(rad < np.inf, rad, np.inf))
        return Ball(mid, rad, self)

    def underway(self, a: Ball, quotient: Any, divisor: Floats) -> Any:
        """What a/b loses where 1/b, or η/b, underflows before it is multiplied by the rest of a."""
        share = min(self.rate, 1.0)
        below = share < self.normal * divisor
        if not np.any(below):
            return 0.0
        size = np.abs(a.center) + a.rad
        lost = np.abs(_high(quotient)) if self.flushed else size * (self.tiny / share)
        return np.where(below & (size > 0), lost, 0.0)

    def middle_error(self, a: Ball) -> Any:
        """What a double-double quotient or root misses where its remainder underflows."""
        return np.where(a.center != 0, self.tiny, 0.0) if self.wide else 0.0


def _high(mid: Any) -> Floats:
    return mid.hi if isinstance(mid, DoubleDouble) else np.asarray(mid)
