"""The reference compiled by others, in pieces, and the oracle on an executor."""

import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmsprop_ref import Rule, Unsupported, check, check_suite, init, step

ROOT = Path(__file__).parents[1]
RULES = {
    "plain": Rule(lr=0.01, beta=0.9, eps_out=1e-8),
    "everything": Rule(beta=0.9, centered=True, momentum=0.9, eps_in=1e-6, weight_decay=1e-3),
    "no": Rule(nesterov=True, momentum=0.9),
}


def under_jit(rule):
    """The reference as it stands, compiled by XLA, which writes over θ and the state."""
    stepped = jax.jit(partial(step, rule=rule, xp=jnp), donate_argnums=(0, 2))

    def run(theta0, grads):
        with jax.enable_x64(True):
            theta = jnp.asarray(theta0)
            state = init(theta, rule, jnp)
            for g in grads:
                theta, state = stepped(theta, jnp.asarray(g), state)
                yield np.array(theta)

    return lambda theta0, grads: np.array(list(run(theta0, grads)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_the_reference_under_jit_is_right(name, dtype):
    """XLA flushes subnormal numbers to zero on the CPU, which it says; all else is in the ball."""
    report = check(under_jit(RULES[name]), RULES[name], dtype)
    assert report.verdict in ("exact", "proven"), report


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_reference_under_torch_compile_is_right(dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")
    rule = RULES["everything"]
    stepped = torch.compile(partial(step, rule=rule, xp=torch))

    def run(theta0, grads):
        theta = torch.from_numpy(theta0.copy())
        state, out = init(theta, rule, torch), []
        for g in grads:
            t = state.t
            theta, state = stepped(theta, torch.from_numpy(g.copy()), state)
            state = state._replace(t=t + 1)
            out.append(theta.numpy().copy())
        return np.array(out)

    assert check(run, rule, dtype).verdict in ("exact", "proven")


def test_arrays_in_pieces_have_the_same_bits():
    program = ROOT / "examples" / "sharded.py"
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("the same bits") == 2


def make(rule):
    """An adapter that other processes find by its name."""
    if rule.nesterov:
        raise Unsupported("no Nesterov here")
    return partial(_run, rule)


def _run(rule, theta0, grads):
    theta, state, out = theta0, init(theta0, rule), []
    for g in grads:
        theta, state = step(theta, g, state, rule)
        out.append(theta)
    return np.array(out)


def texts(report):
    return [(name, dtype, str(one)) for name, dtype, one in report.rows]


@pytest.fixture(scope="module")
def here():
    return texts(check_suite(make, RULES))


def test_a_campaign_on_threads_and_processes(here):
    assert [text.partition(":")[0] for _, _, text in here] == ["exact"] * 4 + [
        "no Nesterov here"
    ] * 2
    with ThreadPoolExecutor(2) as pool:
        assert texts(check_suite(make, RULES, executor=pool)) == here
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert texts(check_suite(make, RULES, executor=pool)) == here


@pytest.mark.filterwarnings("default")
def test_a_campaign_on_a_dask_cluster(here):
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(n_workers=2, processes=False, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        assert texts(check_suite(make, RULES, executor=client.get_executor())) == here
