"""The exact trajectory: two ways that agree, and what they say where nothing is left to round."""

import itertools
import sys
from fractions import Fraction

import ml_dtypes
import mpmath
import numpy as np
import pytest
import sympy
from mpmath import mpf
from rules import RULES

from rmsprop_ref import Rule, init, step
from rmsprop_ref.oracle import values
from rmsprop_ref.oracle.values import Trajectory, exact, rounded, unrolled

BOTH = pytest.mark.parametrize("way", [exact, unrolled])
TINY = 5e-324


def column(*numbers):
    """One element: a gradient for each step."""
    return np.array(numbers, float)[:, None]


def assert_same(got, want, digits=40):
    """So many significant digits in every value; 0 is 0, NaN is NaN, None is None."""
    for slot, xs, ys in zip(Trajectory._fields, got, want, strict=True):
        assert (xs is None) == (ys is None), slot
        if xs is None:
            continue
        assert xs.shape == ys.shape
        for (t, i), x in np.ndenumerate(xs):
            y = ys[t, i]
            assert type(x) is type(y) is mpf
            same = mpmath.isnan(x) == mpmath.isnan(y)
            if not mpmath.isnan(y):
                same = same and abs(x - y) * 10**digits <= abs(y)
            assert same, f"{slot}[{t}, {i}] is {mpmath.nstr(x, 60)}, not {mpmath.nstr(y, 60)}"


def agreed(rule, theta0, grads):
    """The trajectory, found in both ways."""
    trajectory = exact(rule, theta0, grads)
    assert_same(unrolled(rule, theta0, grads), trajectory)
    return trajectory


def defined(xs):
    return [[not mpmath.isnan(x) for x in row] for row in xs]


@pytest.fixture(params=RULES.values(), ids=RULES.keys())
def rule(request):
    return request.param


def test_wide_scales(rule):
    rng = np.random.default_rng(1)
    theta0 = rng.normal(size=4) * 10.0 ** rng.integers(-6, 6, 4)
    grads = rng.normal(size=(5, 4)) * 10.0 ** rng.integers(-25, 25, (5, 4))
    agreed(rule, theta0, grads)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if np.isscalar(rule.lr)])
def test_long_run(name):
    rng = np.random.default_rng(2)
    agreed(RULES[name], rng.normal(size=1), rng.normal(size=(60, 1)))


def test_close_to_float64(rule):
    """A third witness: the reference in NumPy."""
    rng = np.random.default_rng(3)
    theta, grads = rng.normal(size=3), rng.normal(size=(5, 3))
    trajectory = exact(rule, theta, grads)
    state = init(theta, rule)
    for t, grad in enumerate(grads):
        theta, state = step(theta, grad, state, rule)
        for xs, y in zip(trajectory, (theta, *state[1:]), strict=True):
            if y is not None:
                np.testing.assert_allclose(rounded(xs[t], "float64"), y, rtol=1e-11)


EPS = [{"eps_out": 0.0}, {"eps_out": 1e-8}, {"eps_in": 1e-8}]
VARIANTS = [
    {},
    {"v0": 0.5},
    {"v0": "first_square"},
    {"bias_correction": True},
    {"centered": True},
    {"centered": True, "bias_correction": True},
    {"centered": True, "v0": "first_square"},
    {"centered": True, "bias_correction": True, "weight_decay": 0.1},
    {"eps_floor": 0.5},
    {"momentum": 1.0, "nesterov": True},
    {"momentum": 0.5, "momentum_on": "gradient", "nesterov": True},
    {"momentum": 0.5, "momentum_on": "gradient", "lr_in_buffer": True, "centered": True},
    {"lr": [0.5, 0.0, 0.25, 2.0, 0.1], "momentum": 0.5, "weight_decay": 0.3},
    {"lr": [0.5, 0.0, 0.25, 2.0, 0.1], "momentum": 0.5, "momentum_on": "gradient"},
    {"lr": [0.5, 0.0, 0.25, 2.0, 0.1], "weight_decay": 1.0, "weight_decay_form": "decoupled"},
    {"weight_decay": 1.0, "weight_decay_form": "decoupled_unscaled", "momentum": 0.9},
]


FIELDS = [
    {"beta": beta, **eps, **variant}
    for variant, eps, beta in itertools.product(VARIANTS, EPS, (0.0, 0.5, 0.9999, 1.0))
    if not (beta == 1 and variant.get("bias_correction"))  # no such rule
]


@pytest.mark.parametrize("fields", FIELDS, ids=str)
def test_special_hyper_parameters(fields):
    """A first gradient of 0, all of them 0, all the same, any, and with a NaN."""
    grads = np.array(
        [
            [0.0, 0.0, 0.75, 0.3, -1.5],
            [0.5, 0.0, 0.75, -2.1, 0.1],
            [-3.0, 0.0, 0.75, 1e-9, np.nan],
            [1e5, 0.0, 0.75, 0.2, 0.7],
            [0.5, 0.0, 0.75, 0.2, 0.7],
        ]
    )
    agreed(Rule(**fields), np.array([1.0, 0.0, -0.5, 0.3, 2.0]), grads)


# By hand


@BOTH
def test_a_step_by_hand(way):
    """v = 9/4 and 25/4, and m = 3/2 and 7/4, so a = 0 and 51/16."""
    rule = Rule(lr=1.0, beta=0.5, centered=True, eps_in=0.25, eps_out=0.0, v0=4.5)
    got = way(rule, np.zeros(1), column(0.0, 2.0))
    assert [got.v[0, 0], got.v[1, 0]] == [mpf(9) / 4, mpf(25) / 8]
    assert [got.m[0, 0], got.m[1, 0]] == [0, 1]
    with mpmath.workdps(60):
        want = -2 / mpmath.sqrt(mpf(25) / 8 - 1 + mpf("0.25"))
        assert got.theta[0, 0] == 0
        assert abs(got.theta[1, 0] - want) < mpf(10) ** -50


@BOTH
def test_an_exact_zero_is_zero(way):
    """Steps of a quarter from 1; an average of gradients that cancels."""
    got = way(Rule(lr=0.25, beta=0.0, eps_out=0.0), np.ones(1), column(3.0, 0.1, 7.0, 1e-9))
    assert got.theta[:, 0].tolist() == [0.75, 0.5, 0.25, 0.0]
    got = way(Rule(beta=0.75, centered=True), np.ones(1), column(1e-200, 1.0, -0.75))
    assert got.m[2, 0] == mpmath.fmul(mpf(1e-200), 0.75**2 * 0.25, exact=True)
    got = way(Rule(beta=0.75, centered=True), np.ones(1), column(0.0, 1.0, -0.75))
    assert got.m[2, 0] == 0


# 1/√(1-β), and then -3 · 1/(3 √(1-β)): rounding leaves something of θ = 0, which only shrinks.
CANCELLING = (
    Rule(lr=[1.0, 3.0], beta=0.125, eps_out=0.0),
    np.zeros(5),
    column(1.0, -0.125) * [1, 3, 5, 7, 9],
)


@BOTH
def test_irrational_steps_that_cancel(way):
    theta = way(*CANCELLING).theta
    assert all(mpmath.almosteq(x**2, 1 / mpf(0.875)) for x in theta[0])
    assert theta[1].tolist() == [0] * 5


@BOTH
def test_a_small_term_is_not_lost(way):
    """1 - 1/(1+ε) = ε - ε² + …, and ε is far below any first precision."""
    got = way(Rule(lr=1.0, beta=0.0, eps_out=1e-300), np.ones(1), column(1.0)).theta[0, 0]
    with mpmath.workdps(60):
        assert abs(got / mpf(1e-300) - 1) < mpf(10) ** -49


def test_a_memory_that_fades():
    """Powers β^t or μ^t down to 1e-2100, and what they multiply."""
    grads = column(1.0, *[0.0] * 7)
    assert agreed(Rule(beta=1e-300), np.ones(1), grads).v[-1, 0] > 0
    assert agreed(Rule(momentum=1e-300), np.ones(1), grads).b[-1, 0] > 0


def test_a_variance_far_below_the_mean():
    """Gradients that differ in their last bit; a memory of 1e-300; only β^t apart from 0."""
    wide = column(1.0, 1.0 + 2.0**-52, 1.0, 1.0)
    for beta, bias_correction in itertools.product((1e-300, 0.9), (False, True)):
        rule = Rule(beta=beta, eps_out=0.0, centered=True, bias_correction=bias_correction)
        agreed(rule, np.ones(1), wide)


# Each has something that a first precision could leave out: found by random extremes, or made so.
BARE = {"eps_out": 0.0, "centered": True, "bias_correction": True}
EXTREMES = [
    ({"beta": 1.3e-8, "weight_decay": TINY, "eps_in": 0.5}, -2.6e-307, [0.0, 0.0]),
    (
        {"beta": 3e-191, "weight_decay": 0.5, "eps_out": TINY, "centered": True},
        -9.7e227,
        [1.0, 1.1],
    ),
    ({"beta": 0.9999, "weight_decay": 6e-291, "v0": TINY, **BARE}, 1.0, [7.8e255, -0.67]),
    ({"beta": 1e-300, "weight_decay": 1e-300, "lr": 0.0, **BARE}, 1e-300, [1.1]),
    ({"beta": 1e-281, "v0": 1.0, "eps_out": 0.0, "centered": True}, -3.6e159, [1.0, 1e-64]),
    ({"beta": 3.8e-209, "lr": 0.0, **BARE}, 0.77, [-1.3246637314780902]),
    ({"beta": 5e-161, "lr": 1.0, "eps_out": 0.0}, 1.0, [1.0 + 2.0**-52]),
    ({**BARE, "beta": 1e-142, "eps_out": TINY}, 1.0, [-1.0, 3e21]),
    ({"beta": 0.5, "eps_floor": TINY}, 1.0, [0.0] * 3),
    (
        {"beta": 0.75, "lr": 1.0, "eps_in": 1.0, "centered": True},
        0.0,
        [1.0, 2.0**1000, -1.5 * 2.0**999],
    ),
    (
        {"weight_decay": 1 - 2.0**-53, "weight_decay_form": "decoupled_unscaled", "lr": 1.0},
        1.0,
        [0.0] * 60,
    ),
]


@pytest.mark.parametrize(("fields", "theta0", "grads"), EXTREMES)
def test_extremes(fields, theta0, grads):
    agreed(Rule(**fields), np.array([theta0]), column(*grads))


@BOTH
@pytest.mark.parametrize("beta", [0.5, 0.9, 0.9999, 0.3])
def test_no_variance(way, beta):
    """Constant gradients, corrected: a = 0, so d is ε, or 0 where there is none."""
    rule = Rule(lr=0.5, beta=beta, centered=True, bias_correction=True, eps_out=2.0**-20)
    got = way(rule, np.zeros(2), np.full((7, 2), [3.0, 0.1]))
    for i, g in enumerate((3.0, 0.1)):
        want = -7 * mpf(0.5) * mpf(g) * 2**20
        assert abs(got.theta[-1, i] / want - 1) < 1e-15
    got = way(Rule(beta=beta, centered=True, bias_correction=True, eps_out=0.0), *_constant())
    assert defined(got.theta) == [[False]] * 7
    assert defined(got.v) == defined(got.m) == [[True]] * 7


def _constant():
    return np.zeros(1), np.full((7, 1), 0.1)


def test_settled():
    one, close, tiny = mpf(1), mpf(1) + mpf(2) ** -40, mpmath.ldexp(1, -2400)
    assert values._settled(close, one, 12) is one
    assert values._settled(close, one, 13) is None
    assert values._settled(tiny, 2 * tiny, 1) == 0
    assert values._settled(2 * tiny, 2 * tiny, 50) == 2 * tiny
    assert values._settled(mpf("nan"), one, 1) is values._settled(one, mpf("nan"), 1) is None


@BOTH
def test_digits(way, rule):
    rng = np.random.default_rng(4)
    theta0, grads = rng.normal(size=2), rng.normal(size=(5, 2))
    with mpmath.workdps(320):
        for digits in (1, 50, 150):
            assert_same(way(rule, theta0, grads, digits), way(rule, theta0, grads, 300), digits)


@BOTH
def test_mpmath_keeps_its_precision_and_has_no_say(way):
    theta0, grads = np.ones(1), column(0.1, 0.2)
    want = way(Rule(), theta0, grads)
    with mpmath.workdps(5):
        got = way(Rule(), theta0, grads)
        assert mpmath.mp.dps == 5
    assert_same(got, want)
    with pytest.raises(ZeroDivisionError):
        mpf(1) / mpf(0)


# Where nothing is defined


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_without_value(way, bad):
    rule = Rule(momentum=0.9, centered=True, beta=0.0)
    grads = np.ones((4, 3))
    clean = way(rule, np.ones(3), grads)
    grads[2, 1] = bad
    got = way(rule, np.ones(3), grads)
    for xs, ys in zip(got, clean, strict=True):
        assert defined(xs) == [[True] * 3] * 2 + [[True, False, True]] * 2
        assert (xs[:, [0, 2]] == ys[:, [0, 2]]).all()
        assert (xs[:2] == ys[:2]).all()


@BOTH
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_parameter_without_value(way, bad):
    """θ is undefined; the state only where decay brings θ into the gradient."""
    theta0, grads = np.array([bad, 1.0]), np.ones((3, 2))
    yes, no = [[True, True]] * 3, [[False, True]] * 3
    got = way(Rule(momentum=0.9, centered=True), theta0, grads)
    assert list(map(defined, got)) == [no, yes, yes, yes]
    got = way(Rule(momentum=0.9, centered=True, weight_decay=0.1), theta0, grads)
    assert list(map(defined, got)) == [no, no, no, no]


@BOTH
@pytest.mark.parametrize("g", [0.0, 2.0])
@pytest.mark.parametrize("on", ["step", "gradient"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_division_by_zero(way, g, on, decay):
    """0/0 and 2/0, at β = 1 with an average of 0: θ, and what depends on it."""
    rule = Rule(beta=1.0, eps_out=0.0, momentum=0.5, momentum_on=on, weight_decay=decay)
    got = way(rule, np.zeros(1), np.full((3, 1), g))
    none, all_, first = [[False]] * 3, [[True]] * 3, [[True], [False], [False]]
    assert defined(got.theta) == none
    assert defined(got.v) == (first if decay else all_)
    assert defined(got.b) == (none if on == "step" else first if decay else all_)


@BOTH
def test_undefined_later(way):
    """With β = 0 the second gradient, 0, is divided by 0."""
    got = way(Rule(beta=0.0, eps_out=0.0), np.ones(2), np.array([[1.0, 1.0], [0.0, 1.0]]))
    assert defined(got.theta) == [[True, True], [False, True]]
    assert defined(got.v) == [[True, True]] * 2


# The ends of the formats


def test_smallest_and_largest_numbers(rule):
    largest = np.finfo(float).max
    theta0 = np.array([TINY, 1.0, largest, TINY])
    grads = np.array(
        [
            [TINY, TINY, largest, 1e-320],
            [-TINY, 1.0, -largest, -3e-320],
            [3e-320, 1e-200, TINY, 0.0],
        ]
    )
    agreed(rule, theta0, grads)


def test_subnormal_numbers_without_epsilon():
    got = agreed(Rule(lr=0.5, beta=0.75, eps_out=0.0), np.zeros(1), column(TINY, 0.0))
    assert got.v[0, 0] == mpf(TINY) ** 2 / 4
    assert got.theta[0, 0] == -1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32])
@BOTH
def test_every_format_is_exact(way, dtype):
    theta0, grads = (
        np.array([0.1, -3.0]).astype(dtype),
        column(0.3, 7e-3).repeat(2, 1).astype(dtype),
    )
    want = way(Rule(), theta0.astype(float), grads.astype(float))
    assert_same(way(Rule(), theta0, grads), want, 60)


@BOTH
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_do(way, shape, rule):
    got = way(rule, np.ones(shape[1]), np.ones(shape))
    assert [xs is None for xs in got] == [False, False, not rule.centered, not rule.momentum]
    assert all(xs.shape == shape and xs.dtype == object for xs in got if xs is not None)


def test_rational_hyper_parameters():
    """SymPy's fractions are exact numbers too, and no binary ones."""
    third = sympy.Rational(1, 3)
    rule = Rule(lr=third, beta=third, momentum=third, eps_out=third, weight_decay=third)
    agreed(rule, np.ones(1), column(1.0, -2.0, 0.3))


# Rounding


def _hard(dtype):
    """Numbers of ``dtype``, the midpoints between them, and the neighbours of both."""
    bits, e_min, e_max = values.FORMATS[dtype]
    rng = np.random.default_rng(5)
    units = rng.integers(2 ** (bits - 1), 2**bits, 200)
    exponents = rng.integers(e_min - 3, e_max - bits + 1, 200)
    subnormal, top = np.arange(9), 2**bits - np.array([3, 2, 1])
    xs = [
        np.ldexp(n + half, e)
        for n, e in ((units, exponents), (subnormal, e_min), (top, e_max - bits))
        for half in (0.0, 0.5)
    ]
    # ml_dtypes casts to bfloat16 by way of float32, and so rounds twice: it gets no other numbers.
    xs = np.concatenate(xs).astype(np.float32 if dtype == "bfloat16" else np.float64)
    xs = np.concatenate(
        [xs, np.nextafter(xs, np.inf, dtype=xs.dtype), np.nextafter(xs, 0, dtype=xs.dtype)]
    ).astype(float)
    return np.concatenate([xs, -xs])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_rounded_as_numpy_casts(dtype):
    numbers = _hard(dtype)
    with np.errstate(over="ignore", under="ignore"):
        want = numbers.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype).astype(float)
    got = rounded([mpf(x) for x in numbers], dtype)
    np.testing.assert_array_equal(got, want)
    nonzero = numbers != 0
    np.testing.assert_array_equal(np.signbit(got[nonzero]), np.signbit(numbers[nonzero]))


def test_rounded_float64():
    numbers = np.random.default_rng(6).integers(0, 2**63, 500).view(float)
    np.testing.assert_array_equal(rounded([mpf(x) for x in numbers], "float64"), numbers)


HALFWAY = [
    # To binary64 and from there to float32 these would round twice, and to the wrong side.
    ("float32", Fraction(1) + Fraction(1, 2**24) + Fraction(1, 2**80), 1 + 2.0**-23),
    ("float32", Fraction(1) + Fraction(3, 2**24) - Fraction(1, 2**80), 1 + 2.0**-23),
    ("float16", Fraction(1) + Fraction(1, 2**11) + Fraction(1, 2**500), 1 + 2.0**-10),
    ("float64", Fraction(1) + Fraction(1, 2**53), 1.0),
    ("float64", Fraction(1) + Fraction(3, 2**53), 1 + 2.0**-51),
    ("float64", Fraction(1) + Fraction(1, 2**53) + Fraction(1, 2**900), 1 + 2.0**-52),
    ("float64", Fraction(1, 2**1075), 0.0),
    ("float64", Fraction(3, 2**1075), 1e-323),
    ("float64", Fraction(1, 2**1075) + Fraction(1, 2**3000), TINY),
    ("float64", Fraction(2**1024 - 2**970), np.inf),
    ("float64", Fraction(2**1024 - 2**970 - 1), np.finfo(float).max),
    ("float16", Fraction(65520), np.inf),
    ("float16", Fraction(65519), 65504.0),
    ("float16", Fraction(10**5000), np.inf),
    ("float16", Fraction(1, 10**5000), 0.0),
]


@pytest.mark.parametrize(("dtype", "x", "want"), HALFWAY)
def test_rounded_once(dtype, x, want):
    with mpmath.workprec(20000):
        number = mpf(x.numerator) / x.denominator
        numbers = np.array([[number], [-number]])
    got = rounded(numbers, dtype)
    assert got.dtype == np.float64
    assert got.tolist() == [[want], [-want]]
    assert np.signbit(got).tolist() == [[False], [True]]


def test_rounded_special_values():
    got = rounded([mpf("nan"), mpf("inf"), mpf("-inf"), mpf(0)], "float32")
    np.testing.assert_array_equal(got, [np.nan, np.inf, -np.inf, 0.0])
    assert rounded(np.empty((0, 3), object), "float32").shape == (0, 3)


# Errors

ONE, TWO = np.ones(1), np.ones((2, 1))
SCHEDULE = Rule(lr=[0.1])
ERRORS = [
    (TypeError, r"rule is 0.1: expected a Rule", (0.1, ONE, TWO)),
    (TypeError, r"is a symbol", (Rule(lr=sympy.Symbol("eta", positive=True)), ONE, TWO)),
    (TypeError, r"theta0 is of int64: expected an array \(n,\) of float16 or", (Rule(), [1], TWO)),
    (TypeError, r"theta0 is of int64: expected", (Rule(), ONE.astype(int), TWO)),
    (TypeError, r"grads is of complex128: expected an array \(T, n\)", (Rule(), ONE, TWO * 1j)),
    (ValueError, r"theta0 has shape \(\): expected \(n,\)", (Rule(), 1.0, TWO)),
    (ValueError, r"theta0 has shape \(2, 1\): expected \(n,\)", (Rule(), TWO, TWO)),
    (ValueError, r"grads has shape \(1,\): expected \(T, 1\)", (Rule(), ONE, ONE)),
    (ValueError, r"grads has shape \(2, 1\): expected \(T, 3\)", (Rule(), np.ones(3), TWO)),
    (ValueError, r"grads has 2 steps and the schedule lr has 1 values", (SCHEDULE, ONE, TWO)),
    (TypeError, r"digits=5.0 is not an integer", (Rule(), ONE, TWO, 5.0)),
    (ValueError, r"digits=0 is not positive", (Rule(), ONE, TWO, 0)),
]


@BOTH
@pytest.mark.parametrize(("error", "message", "args"), ERRORS)
def test_errors(way, error, message, args):
    with pytest.raises(error, match=message):
        way(*args)


def test_errors_of_rounded():
    with pytest.raises(ValueError, match="dtype='float8' is not possible: dtype is float16 or"):
        rounded([mpf(1)], "float8")
    with pytest.raises(TypeError, match=r"values\[1\] is 0.5: expected a number of mpmath"):
        rounded([mpf(1), 0.5], "float32")
    with pytest.raises(TypeError, match=r"values\[\] is None"):
        rounded(None, "float32")


@BOTH
def test_digits_that_do_not_stand_still(way, monkeypatch):
    monkeypatch.setattr(values, "_LIMIT", 1000)  # bits, too few to tell a zero from 1e-700
    message = r"theta of element \d after step 2 does not settle to 50 digits even with 1000 bits, "
    with pytest.raises(ArithmeticError, match=message + r"under Rule\(lr=\(1.0, 3.0\), beta=0.125"):
        way(*CANCELLING)


@BOTH
def test_without_mpmath(way, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(ImportError, match=r"pip install 'rmsprop-ref\[oracle\]'"):
        way(Rule(), ONE, TWO)
