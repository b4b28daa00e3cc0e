"""Numbers of 106 bits: hi + lo, the unevaluated sum of two float64 that do not overlap.

The midpoints of float64's enclosures need more than float64. Each operation here errs by less than
2^-98 of its result; and by a few of float64's smallest subnormals where a product falls below
2^-969, for its low half is then no float64. Overflow gives infinity or NaN.

References
----------
T. J. Dekker (1971). A floating-point technique for extending the available precision. Numerische
Mathematik 18, 224-242.
Y. Hida, X. S. Li, D. H. Bailey (2001). Algorithms for quad-double precision floating point
arithmetic. ARITH-15, 155-162.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DoubleDouble:
    """hi + lo, elementwise."""

    hi: Floats
    lo: Floats

    @classmethod
    def of(cls, x: Fraction | Floats) -> DoubleDouble:
        """A fraction, or an array of float64, as it is."""
        if isinstance(x, Fraction):
            hi = float(x)
            return cls(np.asarray(hi), np.asarray(float(x - Fraction(hi))))
        return cls(np.asarray(x), np.zeros(np.shape(x)))

    def __add__(self, other: DoubleDouble) -> DoubleDouble:
        hi, error = _two_sum(self.hi, other.hi)
        lo, rest = _two_sum(self.lo, other.lo)
        hi, error = _fast_two_sum(hi, error + lo)
        return DoubleDouble(*_fast_two_sum(hi, error + rest))

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.hi, -self.lo)

    def __sub__(self, other: DoubleDouble) -> DoubleDouble:
        return self + -other

    def __mul__(self, other: DoubleDouble) -> DoubleDouble:
        hi, lo = _two_product(self.hi, other.hi)
        return DoubleDouble(*_fast_two_sum(hi, lo + (self.hi * other.lo + self.lo * other.hi)))

    def __truediv__(self, other: DoubleDouble) -> DoubleDouble:
        # Long division with float64 for a digit: two quotients, each of what the last one left.
        quotient = self.hi / other.hi
        rest = self - other * DoubleDouble.of(quotient)
        return DoubleDouble(*_fast_two_sum(quotient, rest.hi / other.hi))

    def sqrt(self) -> DoubleDouble:
        """The root."""
        # One step of Newton's iteration from float64's root.
        root = np.sqrt(self.hi)
        rest = self - DoubleDouble(*_two_product(root, root))
        return DoubleDouble(*_fast_two_sum(root, np.where(root == 0, 0, rest.hi / (2 * root))))


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded sum and its error, exactly (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _fast_two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded sum and its error where |a| ≥ |b| (Dekker); none past the largest float."""
    total = a + b
    low = b - (total - a)
    return total, np.where(np.isfinite(total), low, 0.0)


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """The rounded product and its error, but for the last bit of the smallest partial product."""
    product = a * b
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Floats) -> tuple[Floats, Floats]:
    """The upper 26 bits of the significand, and the other 27."""
    upper = (np.asarray(a).view(np.int64) & np.int64(-(1 << 27))).view(np.float64)
    return upper, a - upper
