"""How other people test an RMSProp: six published tests, restated in NumPy, for contrast.

Each ``accepts(make)`` builds the implementations that it needs, ``make(rule)``, and says whether
the test would pass. Inputs, numbers of steps and tolerances are theirs; the code is not. What they
look at besides the parameters (the slots of TensorFlow's optimisers) is not seen here. ``verdict``
puts a mutant before a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rmsprop_ref.course.mutants import Array, Mutant, RMSProp, Run, quiet
from rmsprop_ref.rule import Rule

Make = Callable[[Rule], Run]


@quiet
def descend(run: Run, theta0: Array, gradient: Callable[[Array], Array], steps: int) -> Array:
    """θ after ``steps`` steps, each with the gradient at the θ that the step before gave.

    An ``RMSProp`` is fed one gradient at a time. Of any other ``run`` the loop can be closed only
    from outside: it starts again for each step, with one gradient more.
    """
    theta, grads = theta0.copy(), np.empty((0, theta0.size), theta0.dtype)
    if isinstance(run, RMSProp):
        run.start(theta0.copy())
        for _ in range(steps):
            theta = run.step(gradient(theta))
        return theta
    for _ in range(steps):
        grads = np.vstack([grads, gradient(theta)])
        theta = run(theta0.copy(), grads.copy())[-1]
    return theta


# TensorFlow: a twin in NumPy, a constant gradient.

# What assertAllCloseAccordingToType allows, relative and absolute (framework/test_util.py).
_CLOSE = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-6}
_PAIRS = ([1.0, 2.0], [0.1, 0.2]), ([3.0, 4.0], [0.01, 0.2])
_EQUAL_PAIRS = ([1.0, 2.0], [0.1, 0.1]), ([3.0, 4.0], [0.01, 0.01])


def _tf(lr: float, beta: float, momentum: float, eps: float, centered: bool = False) -> Rule:
    return Rule(
        lr=lr,
        beta=beta,
        momentum=momentum,
        eps_in=eps,
        centered=centered,
        v0=1.0,
        lr_in_buffer=True,
    )


_TF_DENSE = (
    _tf(0.5, 0.9, 0.0, 1e-3, True),
    _tf(0.5, 0.9, 0.0, 1e-3, False),
    _tf(0.1, 0.9, 0.0, 1e-3, True),
    _tf(0.5, 0.95, 0.0, 1e-3, False),
    _tf(0.5, 0.95, 0.0, 1e-5, True),
    _tf(0.5, 0.95, 0.9, 1e-5, True),
)
_TF_TWO_STEPS = (_tf(2.0, 0.9, 0.0, 1.0), _tf(2.0, 0.9, 0.5, 1e-5))


def _twin(theta: Array, g: Array, rule: Rule, steps: int) -> Array:
    """The update of both TensorFlow tests, in the dtype of θ, as a trajectory."""
    v, m, b = np.full_like(theta, rule.v0), np.zeros_like(theta), np.zeros_like(theta)
    rows = []
    for t in range(steps):
        lr = rule.lr[t] if isinstance(rule.lr, tuple) else rule.lr
        v = v * rule.beta + (1 - rule.beta) * g * g
        m = m * rule.beta + (1 - rule.beta) * g
        a = v - m * m if rule.centered else v
        b = rule.momentum * b + lr * g / (np.sqrt(a + rule.eps_in) + rule.eps_out)
        theta = theta - b
        rows.append(theta)
    return np.array(rows)


def _matches_twin(
    make: Make, rule: Rule, steps: int, dtype: str, pairs: tuple[tuple[list[float], ...], ...]
) -> bool:
    for start, gradient in pairs:
        theta0, g = np.array(start, dtype), np.array(gradient, dtype)
        got = make(rule)(theta0, np.tile(g, (steps, 1)))
        expected = _twin(theta0, g, rule, steps)
        if not np.allclose(expected, got, rtol=_CLOSE[dtype], atol=_CLOSE[dtype]):
            return False
    return True


def tensorflow(make: Make) -> bool:
    """A twin in NumPy, four steps of a constant gradient, and two steps with ε = 1.

    tensorflow/tensorflow, tensorflow/python/training/rmsprop_test.py, commit
    c4977ca4ddbf06a175c83d6fa5d778645b38c17e: testDense, testWithoutMomentum, testWithMomentum.
    """
    dtypes = ("float16", "float32")
    return all(
        _matches_twin(make, rule, steps, dtype, pairs)
        for rules, steps, pairs in ((_TF_DENSE, 4, _PAIRS), (_TF_TWO_STEPS, 2, _EQUAL_PAIRS))
        for rule in rules
        for dtype in dtypes
    )


_TF_KERAS_DENSE = (
    Rule(lr=0.05, beta=0.9, eps_out=1e-3, centered=True),
    Rule(lr=0.05, beta=0.9, eps_out=1e-3),
    Rule(lr=0.1, beta=0.9, eps_out=1e-3, centered=True),
    Rule(lr=0.01, beta=0.9, eps_out=1e-5, centered=True),
    Rule(lr=0.01, beta=0.9, eps_in=1e-5, centered=True, momentum=0.9, lr_in_buffer=True),
)
_TF_KERAS_DECAY = Rule(lr=(0.01, 0.01 / 1.5), beta=0.9, eps_out=1e-7)


def tf_keras(make: Make) -> bool:
    """A twin in NumPy, three steps of a constant gradient, and two whose learning rate falls.

    tensorflow/tensorflow, tensorflow/python/keras/optimizer_v2/rmsprop_test.py, commit
    00f0938ae85c7dd68b44b4d80a873f42b1dca16a: testDense (float16, float32 and float64) and
    testDenseWithLearningRateDecay. ε stands outside the root, and with momentum inside.
    """
    dense = all(
        _matches_twin(make, rule, 3, dtype, _PAIRS)
        for rule in _TF_KERAS_DENSE
        for dtype in ("float16", "float32", "float64")
    )
    return dense and _matches_twin(make, _TF_KERAS_DECAY, 2, "float64", _PAIRS)


# Keras 3: golden values.

_KERAS = Rule(lr=0.001, beta=0.9, eps_in=1e-7)
_KERAS_STEP = replace(_KERAS, lr=0.5)
_KERAS_DECAY = replace(_KERAS, lr=1.0, weight_decay=0.004, weight_decay_form="decoupled")
_KERAS_CENTERED = replace(_KERAS, centered=True)


def keras(make: Make) -> bool:
    """Golden values: one step, a weight decay with gradient 0, five steps of the centered rule.

    keras-team/keras, keras/src/optimizers/rmsprop_test.py, commit
    3324ca6d3d02bed5435fb1d38bfa6262ddad81a8: test_single_step, test_weight_decay (the variable that
    decays: three optimisers take one step each) and test_correctness_with_golden.
    """
    theta0 = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    grads = np.array([[1.0, 6.0, 7.0, 2.0]], np.float32)
    values = [-0.5811, 0.4189, 1.4189, 2.4189]
    one = np.allclose(make(_KERAS_STEP)(theta0, grads)[-1], values, rtol=1e-4, atol=1e-4)

    theta = np.array([2.0], np.float32)
    for _ in range(3):
        theta = make(_KERAS_DECAY)(theta, np.zeros((1, 1), np.float32))[-1]
    decayed = bool(abs(float(theta[0]) - 1.9760959) < 1.5e-6)

    rise = np.arange(0.1, 1.1, 0.1).astype(np.float32)
    grads = np.vstack([np.full((1, 10), 0.01, np.float32), np.tile(rise, (4, 1))])
    got = make(_KERAS_CENTERED)(np.ones(10, np.float32), grads)
    golden = np.tile([[0.9967], [0.9933], [0.9908], [0.9885], [0.9864]], (1, 10))
    return one and decayed and np.allclose(got, golden, rtol=5e-4, atol=5e-4)


# optax: the same as another library, after fifty steps; and convergence.

_OPTAX_JAX = (
    Rule(lr=0.01, beta=0.9, eps_in=0.1),
    Rule(lr=0.01, beta=0.9, eps_in=0.1, momentum=0.9, lr_in_buffer=True),
)
_OPTAX_FLAX = (
    Rule(lr=0.01, beta=0.9, eps_in=1e-8),
    Rule(lr=0.01, beta=0.9, eps_in=1e-8, centered=True),
)


def optax_equivalence(make: Make) -> bool:
    """The last of fifty steps of a constant gradient equals that of JAX's and Flax's optimisers.

    google-deepmind/optax, optax/_src/equivalence_test.py, commit
    3bdc518f3703a09acd1c34e0fb6ca8346b5a91e5: rmsprop, rmsprop_momentum and centered_rmsprop. Flax
    has its ε outside the root and optax inside: the test holds two rules to be the same.
    """
    jax = ([1.0, 2.0], [500.0, 5.0]), ([3.0, 4.0, 5.0], [300.0, 3.0, 1.0])
    flax = ([1.0, 0.1, 1.0, 2.0], [0.0, 0.3, 500.0, 5.0]), ([3.0, 4.0], [300.0, 3.0])
    cases = [(rule, rule, jax, 1e-5) for rule in _OPTAX_JAX]
    cases += [(rule, replace(rule, eps_in=0, eps_out=1e-8), flax, 2e-4) for rule in _OPTAX_FLAX]
    for rule, others, pairs, rtol in cases:
        for start, gradient in pairs:
            theta0, g = np.array(start, np.float32), np.array(gradient, np.float32)
            got = make(rule)(theta0, np.tile(g, (50, 1)))[-1]
            expected = _twin(theta0, g, others, 50)[-1]
            if not np.allclose(expected, got, rtol=rtol, atol=0):
                return False
    return True


_OPTAX = Rule(lr=5e-3, beta=0.9, eps_in=1e-8)
_OPTAX_MOMENTUM = replace(_OPTAX, momentum=0.9, lr_in_buffer=True)


def _parabola(theta: Array) -> Array:
    gradient: Array = 2 * (theta - np.array([1.0, -1.0, 1.0], theta.dtype))
    return gradient


def _rosenbrock(theta: Array) -> Array:
    x, y = theta
    return np.array([2 * (x - 1) - 400 * x * (y - x * x), 200 * (y - x * x)], theta.dtype)


def optax_convergence(make: Make) -> bool:
    """Ten thousand steps end within 0.03 of the optimum of a parabola and of Rosenbrock's valley.

    google-deepmind/optax, optax/_src/alias_test.py, commit
    47fe6554e5567201ac246292ffd00aec480f4b65: test_optimization, float32. It takes half a second.
    """
    parabola = (_parabola, [-1.0, 10.0, 1.0], [1.0, -1.0, 1.0])
    valley = (_rosenbrock, [0.0, 0.0], [1.0, 1.0])
    for rule in (_OPTAX, _OPTAX_MOMENTUM):
        for gradient, start, optimum in (parabola, valley):
            theta = descend(make(rule), np.array(start, np.float32), gradient, 10_000)
            if not np.allclose(theta, optimum, rtol=3e-2, atol=3e-2):
                return False
    return True


# PyTorch: the loss falls.

_TORCH = (
    Rule(lr=0.01, beta=0.99, eps_out=1e-8),
    Rule(lr=0.001, beta=0.99, eps_out=1e-8),
    Rule(lr=0.01, beta=0.99, eps_out=1e-8, weight_decay=0.1),
    Rule(lr=0.01, beta=0.99, eps_out=1e-8, weight_decay=0.1, centered=True),
    Rule(lr=0.01, beta=0.99, eps_out=1e-8, weight_decay=0.1, centered=True, momentum=0.1),
)


def pytorch(make: Make) -> bool:
    """After twenty steps the loss is lower than at the start; or higher, where that is the aim.

    pytorch/pytorch, test/test_optim.py, commit c96bc81bc2d0c9bdacd9aa6cbda691777bd299c0:
    test_forloop_goes_right_direction, with the options of optim_inputs_func_rmsprop in
    torch/testing/_internal/common_optimizers.py, commit cd3602a3db1467e03ea5b1897493f68423041aaa.
    Theirs draws weights unseeded; here the seed is fixed.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal(5).astype(np.float32)

    def residual(theta: Array) -> Any:
        return theta[:50].reshape(10, 5) @ x + theta[50:]

    def loss(theta: Array) -> float:
        return float((residual(theta) ** 2).sum())

    def downhill(theta: Array) -> Array:
        r = 2 * residual(theta)
        return np.concatenate([np.outer(r, x).ravel(), r])

    def uphill(theta: Array) -> Array:
        return -downhill(theta)

    starts = rng.standard_normal((6, 60)).astype(np.float32)
    for rule, theta0 in zip(_TORCH, starts, strict=False):
        if not loss(descend(make(rule), theta0, downhill, 20)) < loss(theta0):
            return False
    theta0 = starts[-1]  # maximize=True
    return loss(descend(make(_TORCH[-1]), theta0, uphill, 20)) > loss(theta0)


@dataclass(frozen=True)
class PublishedTest:
    """One test: its name, the rules that it sets, and what it says to a ``make``."""

    name: str
    rules: tuple[Rule, ...]
    accepts: Callable[[Make], bool]
    loop: bool = False  # whether it takes one step at a time and sees no trajectory


PUBLISHED = (
    PublishedTest("TensorFlow", _TF_DENSE + _TF_TWO_STEPS, tensorflow),
    PublishedTest("tf.keras", (*_TF_KERAS_DENSE, _TF_KERAS_DECAY), tf_keras),
    PublishedTest("Keras 3", (_KERAS_STEP, _KERAS_DECAY, _KERAS_CENTERED), keras),
    PublishedTest("optax, equivalence", _OPTAX_JAX + _OPTAX_FLAX, optax_equivalence),
    PublishedTest("optax, convergence", (_OPTAX, _OPTAX_MOMENTUM), optax_convergence, loop=True),
    PublishedTest("PyTorch", _TORCH, pytorch, loop=True),
)


def probes(steps: int) -> Iterator[tuple[Array, Array]]:
    """Inputs on which any fault of ``mutants`` shows, with at most so many steps."""
    rng = np.random.default_rng(1)
    for dtype in (np.float32, np.float64):
        for T, n in ((12, 13), (12, 40), (2, 600), (1, 3), (5, 1), (3, 0)):
            scale = 10.0 ** rng.uniform(-9, 1, n)
            grads = (scale * rng.standard_normal((T, n)))[:steps].astype(dtype)
            theta0 = rng.standard_normal(n).astype(dtype)
            yield theta0, grads
            yield 0 * theta0, 1000 * grads
            yield theta0, np.asfortranarray(grads)
        for odd in (0.0, np.nan, np.inf, -300.0):
            grads = rng.standard_normal((min(steps, 12), 9)).astype(dtype)
            grads[min(2, steps - 1) :: 4, 3] = odd
            yield rng.standard_normal(9).astype(dtype), grads
    yield np.zeros(2), rng.standard_normal((min(steps, 300), 2))


def differs(run: Run, honest: Run, rule: Rule) -> bool:
    """Whether ``run`` breaks its contract or strays from ``honest`` on some probe.

    To within 3·10⁻⁶, or 10⁻¹¹ in float64, of the largest value so far of each element: no proof,
    but enough for mutants.
    """
    for theta0, grads in probes(len(rule.lr) if isinstance(rule.lr, tuple) else 300):
        expected = honest(theta0.copy(), grads.copy())
        inputs = theta0.copy(), grads.copy(order="K")
        try:
            got, again = run(*inputs), run(theta0.copy(), grads.copy(order="K"))
        except Exception:
            return True
        if got.shape != expected.shape or got.dtype != expected.dtype:
            return True
        changed = not np.array_equal(inputs[0], theta0)
        changed |= not np.array_equal(inputs[1], grads, equal_nan=True)
        if changed or not np.array_equal(got, again, equal_nan=True):
            return True
        near = 3e-6 if theta0.dtype == np.float32 else 1e-11
        largest = np.fmax.accumulate(np.abs(np.vstack([theta0, expected])))[1:]
        if not np.isclose(got, expected, rtol=0, atol=near * largest, equal_nan=True).all():
            return True
    return False


def verdict(test: PublishedTest, mutant: Mutant) -> bool | None:
    """Whether a test accepts a mutant; None where the fault does not exist under its rules."""

    def one_by_one(run: Run) -> Run:
        """The trajectory as a loop sees it."""

        def steps(theta0: Array, grads: Array) -> Array:
            assert isinstance(run, RMSProp)
            run.start(theta0)
            rows = [run.step(g) for g in grads]
            return np.array(rows, theta0.dtype).reshape(grads.shape)

        return steps if test.loop else run

    if not any(differs(one_by_one(mutant.make(r)), RMSProp(r), r) for r in test.rules):
        return None
    try:
        return test.accepts(mutant.make)
    except Exception:
        return False
