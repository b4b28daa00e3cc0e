"""An enclosure is sound, tight, and follows the conditioning."""

from fractions import Fraction
from types import SimpleNamespace

import flint
import ml_dtypes
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmsprop_ref import Rule, enclosure, exact, init, step
from rmsprop_ref.course.orders import evaluate
from rmsprop_ref.oracle import BINARY64, DECIMAL, RULES, cases
from rmsprop_ref.oracle.double_double import DoubleDouble
from rmsprop_ref.oracle.judgement import Judgement, expected

DTYPES = ("float16", "bfloat16", "float32", "float64")
U = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}

normal = st.floats(2.0**-400, 2.0**400)


def value(x):
    return Fraction(float(x.hi)) + Fraction(float(x.lo))


@given(normal, normal, st.floats(-1, 1), st.floats(-1, 1), st.booleans())
@settings(deadline=None)
def test_double_doubles_err_by_less_than_two_to_the_minus_98(a, b, c, d, minus):
    x = DoubleDouble(np.float64(a), np.float64(a * 2.0**-54 * c))
    y = DoubleDouble(np.float64(-b if minus else b), np.float64(b * 2.0**-54 * d))
    p, q = value(x), value(y)
    with np.errstate(all="ignore"):
        for got, want, size in (
            (x + y, p + q, abs(p) + abs(q)),
            (x - y, p - q, abs(p) + abs(q)),
            (x * y, p * q, abs(p * q)),
            (x / y, p / q, abs(p / q)),
        ):
            assert abs(value(got) - want) <= Fraction(2) ** -98 * size
        root = value(x.sqrt())
    assert abs(root * root - p) <= Fraction(2) ** -97 * p


def draw(dtype, n=60, steps=12, seed=0):
    rng = np.random.default_rng(seed)
    cast = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    scale = np.ldexp(1.0, rng.integers(-6, 7, size=n))
    grads = rng.normal(size=(steps, n)) * scale * (rng.random((steps, n)) > 0.2)
    theta = rng.normal(size=n) * rng.choice([0, 0.01, 1, 100], size=n)
    return theta.astype(cast), grads.astype(cast)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RULES)
def test_every_honest_order_stays_inside(name, dtype):
    """Four forms of the average, five of the quotient, contracted or not, faithful or nearest."""
    rule, rng = RULES[name], np.random.default_rng(1)
    theta0, grads = draw(dtype)
    worst = 0.0
    for reading in (BINARY64, DECIMAL):
        ball = enclosure(rule, theta0, grads, dtype, reading=reading).theta
        for _ in range(6):
            got = evaluate(rule, theta0, grads, dtype, rng, decimal=reading is DECIMAL)
            excess = ball.excess(got)
            assert not np.any(excess > 1)
            worst = max(worst, np.nanmax(excess))
    assert worst > 1 / 4  # and it is tight


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["plain", "no-epsilon", "bias-correction", "l2", "everything"])
def test_every_honest_order_stays_inside_on_special_inputs_too(name, dtype):
    """Overflow, underflow, NaN, zeros: where something is determined, and by class elsewhere."""
    rule, rng = RULES[name], np.random.default_rng(2)
    for decimal in (False, True):
        got = {
            case.id: evaluate(rule, case.theta0, case.grads, dtype, rng, decimal=decimal)
            for case in cases(rule, dtype)
        }
        assert Judgement(expected(rule, dtype), got).passes


@pytest.mark.parametrize("name", RULES)
def test_the_exact_value_is_the_midpoint(name):
    """To far below the radius; and python-flint's balls, which are rigorous, agree."""
    rule = RULES[name]
    for dtype in ("float32", "float64"):
        theta0, grads = draw(dtype, n=3, steps=4)
        balls = enclosure(rule, theta0, grads, dtype)
        truth = exact(rule, theta0, grads)
        for slot, ball in zip(("theta", "v", "m", "b"), balls, strict=True):
            want = getattr(truth, slot)
            if ball is None:
                assert want is None
                continue
            middle = ball.mid if dtype == "float64" else DoubleDouble.of(ball.mid)
            for index in zip(*np.nonzero(np.isfinite(ball.rad)), strict=True):
                with mpmath.workdps(60):
                    hi, lo = (mpmath.mpf(float(x[index])) for x in (middle.hi, middle.lo))
                    error = abs(hi + lo - want[index])
                    assert error <= mpmath.mpf(float(ball.rad[index])) * 2.0**-10
        with flint.ctx.workprec(300):
            for j in range(3):
                number = SimpleNamespace(sqrt=flint.arb.sqrt)
                theta, state = flint.arb(float(theta0[j])), None
                state = init(theta, rule, number)
                for t in range(4):
                    theta, state = step(theta, flint.arb(float(grads[t, j])), state, rule, number)
                    here = balls.theta[t, j]
                    if np.isinf(here.rad):
                        break
                    hi, lo = (here.mid.hi, here.mid.lo) if dtype == "float64" else (here.mid, 0.0)
                    inside = flint.arb(float(hi), float(here.rad)) + flint.arb(float(lo))
                    assert inside.contains(theta)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_neighbouring_rule_lies_outside(dtype):
    theta0, grads = draw(dtype)
    theta0[:] = 0
    for rule, other in ((Rule(), Rule(beta=0.95)), (Rule(eps_out=0.1), Rule(eps_in=0.1))):
        got = evaluate(other, theta0, grads, dtype, np.random.default_rng(3))
        excess = enclosure(rule, theta0, grads, dtype).theta.excess(got)
        assert np.nanmax(excess) > 0.01 / U[dtype]


def by_hand(keep, share, dtype, grads):
    theta = v = np.zeros(grads.shape[1], dtype)
    for g in grads:
        v = keep * v + share * (g * g)
        theta = theta - 0.01 * g / (np.sqrt(v) + 1e-8)
    return theta


def test_the_two_readings_of_a_decimal_are_apart_in_float64():
    _, grads = draw("float64", steps=1)
    theta0 = np.zeros(grads.shape[1])
    rule = Rule(lr=0.01, beta=0.9999)
    balls = {
        name: enclosure(rule, theta0, grads, "float64", reading=reading).theta[-1]
        for name, reading in (("formed", BINARY64), ("written", DECIMAL))
    }
    runs = {
        "formed": by_hand(0.9999, 1 - 0.9999, "float64", grads),
        "written": by_hand(0.9999, 0.0001, "float64", grads),
    }
    for ball, run in ((a, b) for a in balls for b in runs):
        inside = np.nanmax(balls[ball].excess(runs[run])) <= 1
        assert inside == (ball == run)
    # In units of roundoff: what the two coefficients of float64 are apart.
    for beta, apart in ((0.9, 2.5), (0.999, 8), (0.9999, 991)):
        written = Fraction(round(1 - beta, 12))
        formed = 1 - Fraction(beta)
        assert abs(float((written - formed) / written) / 2.0**-53) == pytest.approx(apart, rel=0.05)


def test_one_minus_beta_in_float32_is_outside():
    _, grads = draw("float32", steps=1)
    theta0 = np.zeros(grads.shape[1], "float32")
    late = np.float32(1) - np.float32(0.999)
    ball = enclosure(Rule(beta=0.999), theta0, grads, "float32").theta[-1]
    assert (
        np.nanmin(ball.excess(by_hand(np.float32(0.999), late, "float32", grads))[grads[0] != 0])
        > 1
    )


def test_the_radius_follows_the_conditioning():
    """The more constant the gradient, the more v - m² cancels; at last, NaN is legal."""
    rule = Rule(centered=True, eps_out=0.0)
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(200, 1))
    relative = []
    for wobble in (1.0, 1e-1, 1e-2, 1e-4):
        grads = (1 + wobble * noise).astype(np.float32)
        theta = enclosure(rule, np.zeros(1, np.float32), grads, "float32").theta
        relative.append(theta.rad[-1, 0] / abs(theta.mid[-1, 0]))
    assert relative == sorted(relative)
    assert relative[0] < 1e-4
    assert relative[-1] == np.inf


def test_flushed_subnormal_numbers_are_enclosed_when_asked_for():
    theta0, grads = np.zeros(1, np.float32), np.full((2, 1), 1e-41, np.float32)
    rule = Rule(eps_out=1.0)
    stays = np.zeros((2, 1))
    assert np.all(enclosure(rule, theta0, grads, "float32").theta.excess(stays) > 1)
    assert np.all(enclosure(rule, theta0, grads, "float32", flush=True).theta.excess(stays) <= 1)


def test_what_nothing_determines():
    def last(rule, *grads, dtype="float32"):
        column = np.array(grads, dtype)[:, None]
        return enclosure(rule, np.zeros(1, dtype), column, dtype).theta[-1]

    assert last(Rule(), 1e30).rad == np.inf  # g² overflows
    assert last(Rule(eps_out=0.0), 0.0).rad == np.inf  # 0/0
    assert last(Rule(centered=True, eps_out=0.0), *[0.1] * 300).rad == np.inf  # cancellation
    assert last(Rule(), 0.0, dtype="float16").rad == np.inf  # ε rounds to 0 there
    for special in (np.nan, np.inf, -np.inf):  # here NaN is determined
        ball = last(Rule(), special, 1.0)
        assert np.isnan(ball.center)
        assert ball.excess(np.array([np.nan])) == 0
        assert ball.excess(np.array([1.0])) == np.inf


def test_empty_inputs():
    balls = enclosure(Rule(centered=True), np.zeros(3), np.zeros((0, 3)), "float64")
    assert balls.theta.shape == balls.m.shape == (0, 3)
    assert balls.b is None
    assert enclosure(Rule(), np.zeros(0), np.zeros((2, 0)), "float32").v.shape == (2, 0)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((Rule(), [0.0], [[1]], "float32"), TypeError, "grads has dtype int64: expected floats"),
        ((Rule(), [0.1], [[1.0]], "float32"), ValueError, "theta0.0.=.*0.1.* is no float32"),
        (
            (Rule(), [0.0], [1.0], "float32"),
            ValueError,
            r"grads has shape \(1,\): expected \(T, 1\)",
        ),
        ((Rule(), [[0.0]], [[1.0]], "float32"), ValueError, r"theta0 has shape \(1, 1\)"),
        ((Rule(), [0.0], [[1.0]], "float8"), TypeError, "dtype='float8' is not possible"),
        (("rms", [0.0], [[1.0]], "float32"), TypeError, "rule is 'rms': expected a Rule"),
        ((Rule(lr=[0.1]), [0.0], [[1.0]] * 2, "float32"), ValueError, "lr has 1 values.* 2 steps"),
    ],
)
def test_bad_input_is_told(arguments, error, words):
    with pytest.raises(error, match=words):
        enclosure(*arguments)
