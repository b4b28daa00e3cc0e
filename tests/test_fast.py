"""The fast path: in place, compiled or blocked, and the bits of the reference throughout."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from rmsprop_ref import Rule, fast, init, step
from rmsprop_ref.fast import BLOCK, init_, step_
from rmsprop_ref.oracle.suite import RULES

SOME = ("plain", "everything", "nesterov", "start-at-first-square", "epsilon-floor")


@pytest.fixture(params=["numba", "numpy"])
def backend(request, monkeypatch):
    """Each of the two ways, from empty caches."""
    monkeypatch.setattr(fast, "backend", lambda: request.param)
    fast._plan.cache_clear()
    fast._kernel.cache_clear()
    yield request.param
    fast._plan.cache_clear()
    fast._kernel.cache_clear()


def drawn(shape, dtype, seed=0):
    """Parameters and five gradients, with zeros, a NaN, an infinity, and squares that overflow."""
    rng = np.random.default_rng(seed)
    theta = rng.standard_normal(shape).astype(dtype)
    grads = rng.standard_normal((5, *shape)).astype(dtype)
    flat = grads.reshape(5, -1)
    flat[:, ::5] = 0
    if flat.shape[1] > 8:
        flat[1:, 1], flat[2:, 2], flat[:, 3] = np.nan, np.inf, np.sqrt(np.finfo(dtype).max) * 2
        flat[:, 4] = np.finfo(dtype).smallest_subnormal
    return theta, grads


def same_bits(a, b):
    return (a is None and b is None) or a.tobytes() == np.ascontiguousarray(b).tobytes()


def held_against_the_reference(rule, theta, grads, mine, state, **options):
    """Run both; the arrays of ``mine`` and ``state`` may have any strides."""
    ours = init(theta, rule)
    slots = (state.v, state.m, state.b)
    for grad in grads:
        with np.errstate(all="ignore"):
            theta, ours = step(theta, grad, ours, rule)
        before = grad.copy()
        state = step_(mine, grad, state, rule, **options)
        assert state.t == ours.t
        assert same_bits(grad, before)
        assert all(x is y for x, y in zip(slots, state[1:], strict=True)), "not in place"
        for a, b in zip((theta, *ours[1:]), (mine, *state[1:]), strict=True):
            assert same_bits(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_the_bits_of_the_reference_in_blocks(monkeypatch, name, dtype):
    monkeypatch.setattr(fast, "backend", lambda: "numpy")
    fast._plan.cache_clear()
    fast._kernel.cache_clear()
    rule = RULES[name]
    theta, grads = drawn((BLOCK + 77,), dtype)
    mine = theta.copy()
    held_against_the_reference(rule, theta, grads, mine, init(mine, rule))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_the_bits_of_the_reference_compiled(name, dtype):
    if fast.backend() != "numba":
        pytest.skip("numba is not installed")
    fast._plan.cache_clear()
    rule = RULES[name]
    theta, grads = drawn((1003,), dtype)
    mine = theta.copy()
    held_against_the_reference(rule, theta, grads, mine, init(mine, rule))


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3, 5), (BLOCK * 2 + 5,)])
def test_any_shape_and_any_number_of_threads(backend, shape, threads):
    rule = RULES["everything"]
    theta, grads = drawn(shape, "float32")
    mine = theta.copy()
    held_against_the_reference(rule, theta, grads, mine, init(mine, rule), threads=threads)


@pytest.mark.parametrize("name", SOME)
def test_views_of_any_strides(backend, name):
    rule = RULES[name]
    theta, grads = drawn((30, 40), "float64")
    backing = np.zeros((60, 80))
    mine = backing[::-2, 1::2]
    mine[:] = theta
    state = init(mine, rule)
    fortran = state._replace(v=np.asfortranarray(state.v))
    held_against_the_reference(rule, theta, grads, mine, fortran)
    assert not backing[1::2].any() or not backing[::2].any()  # what lies between is untouched


def test_lists_and_dicts_of_parameters(backend):
    rule = RULES["l2-momentum-centered"]
    shapes = {"weights": (7, 3), "bias": (3,), "scale": ()}
    data = {name: drawn(shape, "float32", i) for i, (name, shape) in enumerate(shapes.items())}
    mine = {name: theta.copy() for name, (theta, _) in data.items()}
    nested = {"layer": mine, "more": [np.ones(2, "float32")]}
    state = init_(nested, rule)
    for t in range(5):
        grads = {name: grads[t] for name, (_, grads) in data.items()}
        state = step_(nested, {"layer": grads, "more": [np.ones(2, "float32")]}, state, rule)
    for name, (theta, grads) in data.items():
        ours = init(theta, rule)
        for grad in grads:
            with np.errstate(all="ignore"):
                theta, ours = step(theta, grad, ours, rule)
        assert same_bits(theta, mine[name])
        assert same_bits(ours.v, state["layer"][name].v)


def test_nothing_is_allocated_after_the_first_call(backend):
    rule = RULES["l2-momentum-centered"]
    theta, grads = drawn((300_000,), "float32")
    state = step_(theta, grads[0], init(theta, rule), rule)
    tracemalloc.start()
    try:
        for grad in grads:
            state = step_(theta, grad, state, rule)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000, f"{peak} bytes for an array of {theta.nbytes}"


def test_steps_of_a_schedule_share_a_kernel(backend):
    rule = RULES["schedule"]
    theta = np.ones(4)
    state = init(theta, rule)
    for _ in rule.lr:
        state = step_(theta, np.ones(4), state, rule)
    assert fast._kernel.cache_info().currsize == 1
    with pytest.raises(ValueError, match="step 13 has no learning rate"):
        step_(theta, np.ones(4), state, rule)


MEMORY = """
import sys, numpy as np
from pathlib import Path
from rmsprop_ref import Rule, State, fast
folder, n = Path(sys.argv[1]), int(sys.argv[2])
fast.backend = lambda: sys.argv[3]
rule = Rule()
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
small = np.ones(5, "float32")
fast.step_(small, small.copy(), State(0, np.zeros(5, "float32")), rule)
theta, grad, v = (np.memmap(folder / name, "float32", "w+", shape=(n,)) for name in "tgv")
grad[:] = 1
before = anonymous()
state = fast.step_(theta, grad, State(0, v), rule)
print(state.t, float(theta[-1]), anonymous() - before, 3 * theta.nbytes // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
@pytest.mark.parametrize("how", ["numba", "numpy"])
def test_memory_mapped_arrays_stream(tmp_path, how):
    """Arrays on disk take no memory of their own: the kernel may drop their pages at any time."""
    command = [sys.executable, "-c", MEMORY, str(tmp_path), "50000000", how]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    t, last, grown, size = done.stdout.split()
    print(f"{how}: {int(size) >> 10} MiB of arrays, {int(grown) >> 10} MiB of memory more")
    assert (t, float(last)) == ("1", pytest.approx(-0.01 / np.sqrt(0.1), rel=1e-6))
    assert int(size) > 500_000
    assert int(grown) < 8_000


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"threads": 0}, ValueError, "threads=0"),
        ({"threads": 1.5}, ValueError, "threads=1.5"),
        ({"theta": np.ones(3, "float16")}, (TypeError, ValueError), "float16"),
        ({"theta": [np.ones(3)], "grad": [np.ones(3)], "state": []}, ValueError, "state"),
        ({"theta": {"a": np.ones(3)}, "grad": {"b": np.ones(3)}, "state": {}}, ValueError, "a"),
        ({"grad": np.ones(4)}, ValueError, r"\(4,\)"),
        ({"grad": np.ones(3, "float32")}, ValueError, "float32"),
    ],
)
def test_errors_name_what_is_wrong(changed, error, message):
    theta = np.ones(3)
    given = {"theta": theta, "grad": np.ones(3), "state": init(theta, Rule()), "rule": Rule()}
    given |= changed
    threads = given.pop("threads", 1)
    with pytest.raises(error, match=message):
        step_(*given.values(), threads=threads)


def test_what_is_changed_must_be_writeable_and_have_its_own_memory():
    rule = RULES["momentum"]
    theta = np.ones(6)
    state = init(theta, rule)
    with pytest.raises(ValueError, match=r"state\.v and state\.b share memory"):
        step_(theta, np.ones(6), state._replace(b=state.v), rule)
    with pytest.raises(ValueError, match="theta and grad share memory"):
        step_(theta, theta[::-1], state, rule)
    interleaved = np.ones(12)
    step_(interleaved[::2], interleaved[1::2], state, rule)
    theta.flags.writeable = False
    with pytest.raises(ValueError, match="theta is read-only"):
        step_(theta, np.ones(6), state, rule)
    half = np.ones(3, "float16")
    with pytest.raises(TypeError, match="float16: expected a NumPy array of float32 or float64"):
        step_(half, half, init(half, rule), rule)


def test_numba_is_not_needed_to_import_or_to_run():
    code = (
        "import sys; sys.modules['numba'] = None; import numpy as np\n"
        "from rmsprop_ref import Rule, init, fast\n"
        "theta = np.ones(3); s = fast.step_(theta, np.ones(3), init(theta, Rule()), Rule())\n"
        "print(fast.backend(), s.t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["numpy", "1"]
