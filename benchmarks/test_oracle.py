"""What the oracle costs. `make bench` runs this; tests/test_speed.py holds the same bounds in CI.

Times are CPU time, the best of several rounds, for other programs share the machine. What is
compared is measured in one run and in turns: NumPy, enclosure, mpmath, and once more.
"""

import sys
import time

import mpmath
import numpy as np
import pytest

from rmsprop_ref import Rule, check, enclosure, exact, init, step

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed: make bench")
pytestmark = pytest.mark.benchmark(timer=time.process_time)

PLAIN = Rule(lr=0.01, beta=0.9, eps_out=1e-8)
DTYPES = ("float32", "float64")
MANY, FEW = 10**6, 300  # elements; mpmath takes them one by one


def by_hand(theta0, grads):
    theta, v = theta0.copy(), np.zeros_like(theta0)
    for g in grads:
        v = 0.9 * v + 0.1 * g * g
        theta = theta - 0.01 * g / (np.sqrt(v) + 1e-8)
        yield theta


def forget():
    """Empty every cache of the package."""
    for name, module in list(sys.modules.items()):
        if name.startswith("rmsprop_ref"):
            for kept in list(vars(module).values()):
                if hasattr(kept, "cache_clear"):
                    kept.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cold_check_takes_less_than_a_second(benchmark, dtype):
    report = benchmark.pedantic(check, (by_hand, PLAIN, dtype), setup=forget, rounds=5)
    assert report.verdict == "proven"
    assert benchmark.stats.stats.median < 1


def inputs(dtype, n):
    rng = np.random.default_rng(0)
    return rng.standard_normal(n).astype(dtype), rng.standard_normal((1, n)).astype(dtype)


def numpy_step(dtype):
    theta, grads = inputs(dtype, MANY)
    state = init(theta, PLAIN)
    return lambda: step(theta, grads[0], state, PLAIN), MANY


def enclosing(dtype):
    theta, grads = inputs(dtype, MANY)
    return lambda: enclosure(PLAIN, theta, grads), MANY


def fifty_digits(dtype):
    """The same lines, once, at one precision."""
    field = mpmath.mp.clone()
    field.dps = 50
    theta, grads = (list(map(field.mpf, x.ravel().tolist())) for x in inputs(dtype, FEW))
    state = init(theta[0], PLAIN, field)
    return lambda: [step(x, g, state, PLAIN, field) for x, g in zip(theta, grads, strict=True)], FEW


def standing_still(dtype):
    """The precision raised until fifty digits stand still: what an exact value takes."""
    theta, grads = inputs(dtype, FEW)
    return lambda: exact(PLAIN, theta, grads, digits=50), FEW


SYSTEMS = {
    "NumPy": (numpy_step, 10),
    "enclosure": (enclosing, 3),
    "mpmath, 50 digits": (fifty_digits, 5),
    "exact, until 50 digits stand still": (standing_still, 3),
}


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("turn", [1, 2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_step(benchmark, measured, dtype, turn, name):
    make, rounds = SYSTEMS[name]
    run, elements = make(dtype)
    benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
    seconds = measured.setdefault(dtype, {})
    best = benchmark.stats.stats.min / elements
    seconds[name] = min(best, seconds.get(name, best))


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_enclosure_is_near_numpy_and_far_from_mpmath(measured, dtype):
    seconds = measured.get(dtype, {})
    if seconds.keys() != SYSTEMS.keys():
        pytest.skip("it compares what the other benchmarks measure: run the whole file")
    assert seconds["enclosure"] <= 300 * seconds["NumPy"]
    assert 100 * seconds["enclosure"] <= seconds["mpmath, 50 digits"]
    assert 100 * seconds["enclosure"] <= seconds["exact, until 50 digits stand still"]
