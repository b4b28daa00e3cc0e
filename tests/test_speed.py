"""What an enclosure costs, beside the step itself and beside exact values. Ratios of CPU time."""

import time

import numpy as np
import pytest

from rmsprop_ref import Rule, enclosure, exact, init, step

PLAIN = Rule(lr=0.01, beta=0.9, eps_out=1e-8)
MANY, FEW = 10**6, 30  # elements; the exact values are found one by one


def seconds(run):
    start = time.process_time()
    run()
    return time.process_time() - start


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_enclosure_is_near_numpy_and_far_from_exact_values(dtype):
    rng = np.random.default_rng(0)
    theta = rng.standard_normal(MANY).astype(dtype)
    grads = rng.standard_normal((1, MANY)).astype(dtype)
    state = init(theta, PLAIN)
    runs = {
        "numpy": lambda: step(theta, grads[0], state, PLAIN),
        "enclosure": lambda: enclosure(PLAIN, theta, grads),
        "exact": lambda: exact(PLAIN, theta[:FEW], grads[:, :FEW]),
    }
    turns = [{name: seconds(run) for name, run in runs.items()} for _ in range(3)]
    best = {name: min(turn[name] for turn in turns) for name in runs}
    assert best["enclosure"] <= 300 * best["numpy"]
    assert 100 * best["enclosure"] / MANY <= best["exact"] / FEW
