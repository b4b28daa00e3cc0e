"""The reference in NumPy: purity, shapes, dtypes, errors, and what the formulas imply."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rules import RULES

from rmsprop_ref import Rule, State, init, step

DTYPES = [np.float16, np.float32, np.float64]


def trajectory(theta, grads, rule):
    """All θ, and the last state."""
    state, visited = init(theta, rule), []
    for grad in grads:
        theta, state = step(theta, grad, state, rule)
        visited.append(theta)
    return np.array(visited), state


def random_input(seed, shape=(3,), steps=5, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape).astype(dtype), rng.normal(size=(steps, *shape)).astype(dtype)


def test_the_plain_rule_is_the_formula_everybody_writes():
    """To the last bit, as somebody would type it."""
    theta, grads = random_input(0, (1000,), 50)
    got, state = trajectory(theta, grads, Rule(lr=0.01, beta=0.9, eps_out=1e-8))
    v = np.zeros(1000)
    one_minus_beta = 1 - 0.9  # exact: Sterbenz
    for g, after in zip(grads, got, strict=True):
        v = 0.9 * v + one_minus_beta * (g * g)
        theta = theta - 0.01 * g / (np.sqrt(v) + 1e-8)
        np.testing.assert_array_equal(theta, after)
    np.testing.assert_array_equal(v, state.v)


@pytest.mark.parametrize("eps", [{}, {"eps_in": 1e-3}, {"eps_out": 0.0, "eps_in": 1e-3}, {"v0": 1}])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_long_way_gives_the_same_bits_as_the_plain_one(eps, dtype):
    """lr_in_buffer means nothing without a buffer, but it takes step() past the plain branch."""
    plain, longer = Rule(**eps), Rule(**eps, lr_in_buffer=True)
    assert plain.is_plain
    assert not longer.is_plain
    theta, grads = random_input(1, (100,), 20, dtype)
    theta[:2], grads[:, :2] = -0.0, [0.0, -0.0]
    with np.errstate(invalid="ignore"):  # float16 has no 1e-8: there it is 0, and 0/0 is NaN
        a, last_a = trajectory(theta, grads, plain)
        b, last_b = trajectory(theta, grads, longer)
    assert a.tobytes() == b.tobytes()
    assert last_a.v.tobytes() == last_b.v.tobytes()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("dtype", [*DTYPES, ml_dtypes.bfloat16])
def test_no_dtype_is_promoted(rule, dtype):
    theta, grads = random_input(2, dtype=dtype)
    state = init(theta, rule)
    for grad in grads:
        theta, state = step(theta, grad, state, rule)
        for array in (theta, *state[1:]):
            assert array is None or array.dtype == dtype


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (7,), (2, 3, 4)])
def test_shapes(rule, shape):
    theta, grads = random_input(3, shape)
    got, state = trajectory(theta, grads, rule)
    assert got.shape == grads.shape
    for array in state[1:]:
        assert array is None or np.shape(array) == shape


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16, np.array])
def test_scalars(kind):
    rule = Rule()
    theta, _ = step(kind(1.0), kind(2.0), init(kind(1.0), rule), rule)
    assert np.shape(theta) == ()
    assert float(theta) == pytest.approx(1 - 0.01 / np.sqrt(0.1), rel=1e-3)
    assert np.result_type(theta) == np.result_type(kind(1.0))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_pure(rule):
    theta, grads = random_input(4)
    state = init(theta, rule)
    for grad in grads:
        arrays = [a for a in (theta, grad, *state[1:]) if a is not None]
        before = [a.copy() for a in arrays]
        for array in arrays:
            array.flags.writeable = False
        first, second = step(theta, grad, state, rule), step(theta, grad, state, rule)
        np.testing.assert_array_equal(first[0], second[0])
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)
        theta, state = first
        assert not any(np.shares_memory(a, theta) for a in arrays)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_elementwise(rule):
    """Each element goes its own way: no element sees another."""
    theta, grads = random_input(5, (9,))
    whole, _ = trajectory(theta, grads, rule)
    for i in range(9):
        alone, _ = trajectory(theta[i : i + 1], grads[:, i : i + 1], rule)
        np.testing.assert_array_equal(alone[:, 0], whole[:, i])


@pytest.mark.parametrize("name", ["plain", "centered", "momentum on gradient", "bias correction"])
@given(power=st.integers(-40, 40), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_without_epsilon_the_scale_of_the_loss_is_invisible(name, power, seed):
    """A power of two scales without rounding, so the parameters agree to the last bit."""
    rule = replace(RULES[name], eps_in=0.0, eps_out=0.0)
    theta, grads = random_input(seed)
    with np.errstate(invalid="ignore", divide="ignore"):  # centered: v - m² may be 0 at first
        plain, _ = trajectory(theta, grads, rule)
        scaled, _ = trajectory(theta, grads * 2.0**power, rule)
    np.testing.assert_array_equal(plain, scaled)


@given(
    hnp.arrays(np.float64, (5, 3), elements=st.floats(-1e3, 1e3)),
    st.floats(0, 0.999),
    st.sampled_from([0.0, 1.0]),
)
def test_the_average_lies_between_what_it_averages(grads, beta, v0):
    rule = Rule(beta=beta, v0=v0, eps_out=1.0)
    _, state = trajectory(np.zeros(3), grads, rule)
    largest = np.maximum((grads**2).max(axis=0), v0)
    assert (state.v >= 0).all()
    assert (state.v <= largest * (1 + 1e-14)).all()


@given(st.floats(1e-150, 1e150), st.floats(0.01, 0.999))
def test_the_first_step_does_not_depend_on_the_gradient(g, beta):
    rule = Rule(lr=0.01, beta=beta, eps_out=0.0)
    theta, _ = step(0.0, g, init(0.0, rule), rule)
    assert -theta == pytest.approx(0.01 / np.sqrt(1 - beta), rel=1e-14)


def test_starts():
    theta = np.zeros(2)
    assert (init(theta, Rule(v0=2.0)).v == 2).all()
    rule = Rule(v0="first_square", beta=0.9)
    _, state = step(theta, np.array([3.0, -4.0]), init(theta, rule), rule)
    np.testing.assert_allclose(state.v, [9, 16], rtol=1e-15)
    _, state = step(theta, np.array([1.0, 1.0]), state, rule)
    np.testing.assert_allclose(state.v, [0.9 * 9 + 0.1, 0.9 * 16 + 0.1], rtol=1e-15)


def test_state_holds_what_the_rule_needs_and_no_more():
    theta = np.zeros(2)
    assert init(theta, Rule()) == State(0, pytest.approx(0), None, None)
    state = init(theta, Rule(centered=True, momentum=0.9))
    assert state.m is not None
    assert state.b is not None


def test_special_values_follow_ieee():
    """Nothing is caught or clipped: 0/0 is NaN, an infinite gradient gives ∞/∞."""
    rule = Rule(eps_out=0.0)
    with np.errstate(all="ignore"):
        theta, state = step(
            np.zeros(3), np.array([0.0, np.inf, 1e200]), init(np.zeros(3), rule), rule
        )
    assert np.isnan(theta[0])
    assert np.isnan(theta[1])
    assert theta[2] == 0.0  # g² overflowed: v is infinite, and the step is nothing
    assert np.isinf(state.v[2])


def test_a_nan_passes_the_floor():
    rule = Rule(eps_floor=0.5)
    with np.errstate(invalid="ignore"):
        theta, _ = step(np.zeros(1), np.array([np.nan]), init(np.zeros(1), rule), rule)
    assert np.isnan(theta[0])


@pytest.mark.parametrize(
    ("theta", "grad", "message"),
    [
        (np.zeros(3), np.zeros(2), r"grad has shape \(2,\) .* theta has shape \(3,\)"),
        (np.zeros(3), np.zeros((3, 1)), r"grad has shape \(3, 1\)"),
        (
            np.zeros(3),
            np.zeros(3, np.float32),
            "grad has .* dtype float32, theta has .* dtype float64",
        ),
        (np.zeros(3), 0.0, r"grad has shape \(\)"),
    ],
)
def test_mismatches_name_both(theta, grad, message):
    with pytest.raises(ValueError, match=message):
        step(theta, grad, init(theta, Rule()), Rule())


@pytest.mark.parametrize(
    "theta", [np.arange(3), np.zeros(3, complex), np.zeros(3, object), [1.0], 1, "a"]
)
def test_only_floating_point(theta):
    with pytest.raises(TypeError, match=r"theta (has dtype|is) .*: expected"):
        init(theta, Rule())


def test_states_that_do_not_fit():
    theta = np.zeros(2)
    with pytest.raises(
        ValueError, match=r"state\.b is None, but this rule needs it: start from init"
    ):
        step(theta, theta, init(theta, Rule()), Rule(momentum=0.9))
    with pytest.raises(ValueError, match=r"state.v has shape \(3,\)"):
        step(theta, theta, init(np.zeros(3), Rule()), Rule())
    with pytest.raises(TypeError, match="expected a State, as init"):
        step(theta, theta, (0, theta, None, None), Rule())
    with pytest.raises(TypeError, match="expected a Rule"):
        init(theta, {"lr": 0.01})
    # A rule without momentum goes on from a state that has a buffer.
    after = step(theta, theta, init(theta, Rule(momentum=0.9)), Rule())
    assert after[1].b is None


def test_a_step_count_may_be_any_integer():
    """As np.load gives it back: an array without dimensions."""
    rule = Rule(lr=[0.1] * 40, beta=0.875, bias_correction=True)
    want = step(1.0, 1.0, State(20, 0.9), rule)[0]
    for t in (np.int64(20), np.array(20), np.uint8(20)):
        assert step(1.0, 1.0, State(t, 0.9), rule)[0] == want


@pytest.mark.parametrize(
    ("t", "error", "message"),
    [
        (-1, ValueError, "state.t=-1 is negative"),
        (0.5, TypeError, "state.t is 0.5: expected an integer"),
        (None, TypeError, "state.t is None: expected an integer"),
        ("a", TypeError, "state.t is 'a'"),
    ],
)
def test_step_counts_that_count_nothing(t, error, message):
    with pytest.raises(error, match=message):
        step(1.0, 1.0, State(t, 0.0), Rule(bias_correction=True))


def test_what_a_rule_does_not_need_is_not_carried():
    theta = np.zeros(2)
    other = init(theta, Rule(centered=True, momentum=0.9))._replace(b=np.zeros(7, np.float16))
    for rule in (Rule(), Rule(lr_in_buffer=True)):
        _, after = step(theta, theta + 1, other, rule)
        assert after.m is None
        assert after.b is None


def test_symbols_need_symbolic_parameters():
    sympy = pytest.importorskip("sympy")
    with pytest.raises(TypeError, match="lr=x is a symbol, and theta has dtype float64: give a n"):
        init(np.zeros(2), Rule(lr=sympy.Symbol("x")))
    # An exact rational is a number like others.
    half = Rule(lr=sympy.Rational(1, 2), beta=sympy.Rational(1, 2), v0=sympy.Integer(1))
    theta = np.ones(2, np.float32)
    got, _ = step(theta, theta, init(theta, half), half)
    want, _ = step(theta, theta, init(theta, Rule(lr=0.5, beta=0.5, v0=1)), Rule(lr=0.5, beta=0.5))
    np.testing.assert_array_equal(got, want)


def test_none_is_no_state():
    with pytest.raises(TypeError, match="state is None: expected a State, as init"):
        step(np.zeros(2), np.zeros(2), None, Rule())


def test_constants_are_handed_out_as_copies():
    rule = Rule()
    rule.constants(1).beta = 0
    assert step(0.0, 1.0, State(0, 0.0), rule)[1].v == pytest.approx(0.1)


def test_big_endian_arrays_are_floats_too():
    theta = np.ones(2, ">f4")
    after, _ = step(theta, theta, init(theta, Rule()), Rule())
    assert after.dtype == np.float32
