"""One function, many number systems: the same ``step`` wherever its formulas mean something."""

from types import SimpleNamespace

import dask.array as da
import flint
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import sympy
from rules import RULES

from rmsprop_ref import Rule, State, init, step

STEPS = 5
rng = np.random.default_rng(0)
THETA = rng.normal(size=3)
GRADS = rng.normal(size=(STEPS, 3))


@pytest.fixture(autouse=True)
def _double_precision_in_jax():
    with jax.enable_x64(True):
        yield


def run(theta, grads, rule, xp):
    state = init(theta, rule, xp)
    for grad in grads:
        theta, state = step(theta, grad, state, rule, xp)
    return theta


def run_each(number, rule, xp, steps=STEPS):
    """Element by element, for number systems without arrays."""
    return [
        run(number(THETA[i]), [number(grad[i]) for grad in GRADS[:steps]], rule, xp)
        for i in range(3)
    ]


def mp(x):
    return mpmath.mpf(float(x))


def rational(x):
    return sympy.Rational(float(x))


@pytest.fixture(params=RULES.values(), ids=RULES.keys())
def rule(request):
    return request.param


@pytest.fixture
def digits():
    with mpmath.workdps(60):
        yield 60


@pytest.fixture
def exact(rule, digits):
    """Sixty digits, by mpmath."""
    return run_each(mp, rule, mpmath)


def test_numpy(rule, exact):
    np.testing.assert_allclose(run(THETA, GRADS, rule, np), np.array(exact, float), rtol=1e-12)


@pytest.mark.usefixtures("digits")
def test_sympy_agrees_with_mpmath_to_fifty_digits(rule):
    """Two steps: SymPy keeps every root, so its expressions double with each."""
    exact = run_each(rational, rule, sympy, steps=2)
    for got, want in zip(exact, run_each(mp, rule, mpmath, steps=2), strict=True):
        got = mpmath.mpf(sympy.N(got, 60)._mpf_)
        assert abs(got - want) < mpmath.mpf(10) ** -50 * (1 + abs(want))


def test_flint_encloses_mpmath(rule, exact):
    """python-flint's balls are rigorous: the value that mpmath finds lies inside."""
    with flint.ctx.workprec(150):
        balls = run_each(lambda x: flint.arb(float(x)), rule, SimpleNamespace(sqrt=flint.arb.sqrt))
        for ball, want in zip(balls, exact, strict=True):
            middle = flint.arb(mpmath.nstr(want, 60))
            assert (ball - middle).contains(0)
            assert float(ball.rad()) < 1e-35


def test_jax_and_its_compiler(rule):
    theta, grads = jnp.asarray(THETA), jnp.asarray(GRADS)
    want = run(THETA, GRADS, rule, np)
    np.testing.assert_allclose(run(theta, grads, rule, jnp), want, rtol=1e-13)
    # Compiled, with the step count known beforehand: it decides the schedule and 1-β^t.
    state = init(theta, rule, jnp)
    for grad in grads:
        t = state.t

        def one(theta, grad, state, t=t):
            theta, state = step(theta, grad, state._replace(t=t), rule, jnp)
            return theta, state._replace(t=None)

        theta, state = jax.jit(one)(theta, grad, state._replace(t=None))
        state = state._replace(t=t + 1)
    np.testing.assert_allclose(theta, want, rtol=1e-12)


def test_jax_differentiates_the_step():
    """The same function, under automatic differentiation, against SymPy's derivative of it."""
    rule = Rule(eps_out=0.1)

    def after(g):
        return step(jnp.asarray(1.0), g, State(3, jnp.asarray(2.0)), rule, jnp)[0]

    g = sympy.Symbol("g", real=True)
    expression, _ = step(sympy.Integer(1), g, State(3, sympy.Integer(2)), rule, sympy)
    want = float(sympy.diff(expression, g).subs(g, sympy.Rational(1, 2)))
    assert float(jax.grad(after)(0.5)) == pytest.approx(want, rel=1e-12)


def test_dask(rule):
    theta = da.from_array(THETA, chunks=2)
    grads = [da.from_array(grad, chunks=2) for grad in GRADS]
    got = run(theta, grads, rule, da)
    assert got.chunks == theta.chunks  # lazy, block by block
    np.testing.assert_array_equal(got.compute(), run(THETA, GRADS, rule, np))


def test_torch(rule):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    got = run(torch.asarray(THETA), torch.asarray(GRADS), rule, torch)
    assert got.dtype == torch.float64
    np.testing.assert_allclose(got.numpy(), run(THETA, GRADS, rule, np), rtol=1e-13)
    half = run(torch.asarray(THETA).half(), torch.asarray(GRADS).half(), rule, torch)
    assert half.dtype == torch.float16


@pytest.mark.parametrize("xp", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_low_precision_is_near_the_exact_value(xp, dtype):
    """Not a proof, a sanity check: five plain steps lose no more than a few units of roundoff."""
    theta, grads = THETA.astype(dtype), GRADS.astype(dtype)
    want = run(theta.astype(float), grads.astype(float), Rule(), np)
    got = np.asarray(run(xp.asarray(theta), xp.asarray(grads), Rule(), xp))
    assert got.dtype == dtype
    assert np.abs(got - want).max() < 20 * np.finfo(dtype).eps


def test_integers_are_exact_gradients_and_no_float_ones():
    theta = sympy.Symbol("theta")
    rule = Rule(eps_out=0)
    assert step(theta, 3, init(theta, rule, sympy), rule, sympy)[0].has(theta)
    with pytest.raises(ValueError, match=r"grad has shape .* and dtype int, theta has .* float64"):
        step(1.0, 3, init(1.0, rule), rule)


def test_jit_may_trace_the_step_count_where_nothing_depends_on_it():
    theta = jnp.ones(3)
    state = init(theta, Rule(), jnp)
    after, _ = jax.jit(lambda s: step(theta, theta, s, Rule(), jnp))(state)
    np.testing.assert_array_equal(after, step(theta, theta, state, Rule(), jnp)[0])
    corrected = Rule(bias_correction=True)
    with pytest.raises(TypeError, match=r"under jax\.jit keep it out of what is traced"):
        jax.jit(lambda s: step(theta, theta, s, corrected, jnp))(state)


def test_torch_without_xp_is_told():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    theta = torch.ones(3)
    with pytest.raises(TypeError, match=r"state\.v is of numpy, theta of torch: give .* xp=torch"):
        step(theta, theta, init(theta, Rule()), Rule())
