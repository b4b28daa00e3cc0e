"""What an enclosure costs, beside the step itself and beside exact values. Ratios of CPU time."""

import importlib
import json
import time
from pathlib import Path

import numpy as np
import pytest

from rmsprop_ref import Rule, enclosure, exact, init, step
from rmsprop_ref.course import bench

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


def test_the_page_on_speed_says_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "book"))
    speed = importlib.import_module("speed")
    found = json.loads(speed.STORED.read_text("utf-8"))
    text = speed.PAGE.read_text("utf-8")
    assert speed.page(found, text) == text
    with pytest.raises(ValueError, match="one thread"):
        speed.page(found, "no marks")


def test_a_measurement_is_found_by_its_name():
    assert bench.measured(bench.BOUND, what="ratio") == 1
    assert bench.measured("fast.step_, Numba") > 0
    with pytest.raises(KeyError, match="with n=10000000, threads=1 was not measured"):
        bench.measured("fast.step_")
