"""A Constant is exact until it meets an array, and then rounds once."""

import pickle
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rmsprop_ref.constant import Constant

DTYPES = {
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float32": np.float32,
    "float64": np.float64,
}


@given(st.floats(0, 1), st.sampled_from(sorted(DTYPES)))
@example(0.25 + 2.0**-25 + 2.0**-54, "float32")  # 1-β rounds to 53 bits at a tie of 24 bits
@example(2.0**-60, "float16")
def test_complement_is_the_nearest_number_of_the_dtype(beta, name):
    dtype = DTYPES[name]
    exact = 1 - Fraction(beta)
    got = (1 - Constant(beta)).like(dtype(0))
    assert type(got) is dtype

    def error(x):
        return abs(Fraction(float(x)) - exact)

    below, above = np.nextafter(got, dtype(-1)), np.nextafter(got, dtype(2))
    assert error(got) <= min(error(below), error(above))
    if error(got) in (error(below), error(above)):  # a tie goes to the even significand
        assert int(got.view(f"u{got.itemsize}")) % 2 == 0


def test_double_rounding_would_show_here():
    """The example above is a real one: by way of float64 the result is another float32."""
    beta = 0.25 + 2.0**-25 + 2.0**-54
    assert (1 - Constant(beta)).like(np.float32(0)) != np.float32(1 - beta)


@pytest.mark.parametrize(
    ("value", "dtype", "rounded"),
    [
        (1e6, np.float16, np.inf),  # past the largest
        (65519.0, np.float16, 65504.0),  # nearer to it than to the next power of two
        (65520.0, np.float16, np.inf),  # a tie, to the even side
        (1e-8, np.float16, 0.0),  # ε as small as that is nothing in half precision
        (3e-8, np.float16, 2.0**-24),  # the smallest subnormal
        (1e300, np.float32, np.inf),
        (5e-324, np.float32, 0.0),
    ],
)
def test_range_ends(value, dtype, rounded):
    assert float(Constant(value).like(dtype(0))) == rounded


def test_overflow_of_a_product():
    assert (Constant(1e300) * Constant(1e300)).like(1.0) == np.inf


@given(st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_arrays_on_either_side(x, c):
    array = np.array([x, 2.0], np.float32)
    rounded = np.float32(c)
    for got, want in (
        (Constant(c) + array, rounded + array),
        (array + Constant(c), array + rounded),
        (Constant(c) - array, rounded - array),
        (array - Constant(c), array - rounded),
        (Constant(c) * array, rounded * array),
        (array * Constant(c), array * rounded),
        (array / Constant(c), array / rounded),
        (Constant(c) / (array + 2000), rounded / (array + 2000)),
    ):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, want)


@given(st.floats(0, 1), st.integers(0, 50))
def test_stays_exact_among_its_own(beta, t):
    got = 1 - Constant(beta) ** t
    assert isinstance(got, Constant)
    assert got == 1 - Fraction(beta) ** t


def test_survives_pickling():
    assert pickle.loads(pickle.dumps(Constant(0.9))) == Constant(0.9)


@pytest.mark.parametrize("name", DTYPES)
def test_every_format_ends_where_its_numbers_do(name):
    dtype = DTYPES[name]
    info = ml_dtypes.finfo(dtype)
    largest, smallest = float(info.max), float(info.smallest_subnormal)
    assert float(Constant(largest).like(dtype(0))) == largest
    assert float(Constant(smallest).like(dtype(0))) == smallest
    assert float(Constant(Fraction(smallest) * Fraction(5, 8)).like(dtype(0))) == smallest
    assert float(Constant(Fraction(smallest) / 2).like(dtype(0))) == 0  # a tie, to even
    half_a_place_above = Fraction(largest) * (1 + Fraction(float(info.eps)) / 2)
    assert float(Constant(half_a_place_above).like(dtype(0))) == np.inf
    assert float((-Constant(half_a_place_above)).like(dtype(0))) == -np.inf


def test_signs_and_powers_stay_constants():
    assert type(-Constant(0.5)) is type(abs(Constant(-0.5))) is Constant
    assert Constant(0.5) ** np.int64(3) == Fraction(1, 8)
    with pytest.raises(TypeError):
        Constant(0.5) ** 0.5
    with pytest.raises(TypeError, match="cannot round to int64: only to float16"):
        Constant(0.5) * np.arange(3)
