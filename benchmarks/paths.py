"""The ways to take one step of RMSProp: each a maker of a function that steps n float32 numbers.

The rule is the plain one. A library that is not installed has no maker's function here, only the
reason. Threads: each library is told by its own means; XLA has none, so the process is also bound
to as many cores.
"""

import importlib.util
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

from rmsprop_ref import Rule, State, fast, init, step
from rmsprop_ref.course.bench import BOUND

RULE = Rule(lr=0.01, beta=0.9, eps_out=1e-8)


def arrays(n: int) -> tuple[Any, Any, Any]:
    """θ, g and v of n float32: gradients of all sizes, an average that has settled."""
    g = np.resize(_gradients(), n)
    return np.ones(n, np.float32), g, g * g


@cache
def _gradients() -> Any:
    return np.random.default_rng(0).standard_normal(10**6, dtype=np.float32)


def threaded(kernel: Callable[..., None], n: int, threads: int) -> Callable[..., None]:
    """Call a kernel that runs without the GIL on as many slices as there are threads."""
    if threads == 1:
        return kernel
    pool, edges = _pool(threads), [n * i // threads for i in range(threads + 1)]
    slices = [slice(a, b) for a, b in itertools.pairwise(edges)]

    def run(*given: Any) -> None:
        for job in [pool.submit(kernel, *(x[s] for x in given)) for s in slices]:
            job.result()

    return run


_pool = cache(ThreadPoolExecutor)


@numba.njit(nogil=True, error_model="numpy")
def _five_streams(theta: Any, g: Any, v: Any) -> None:
    """What no step can do without: read θ, g and v, write θ and v. The arithmetic is two sums."""
    for i in range(theta.shape[0]):
        theta[i] = theta[i] + g[i]
        v[i] = v[i] + g[i]


def five_streams(n: int, threads: int) -> Callable[[], Any]:
    theta, g, v = arrays(n)
    run = threaded(_five_streams, n, threads)
    return lambda: run(theta, g, v)


def plain_numpy(n: int, threads: int) -> Callable[[], Any]:
    theta, g, v = arrays(n)
    state = State(1, v)
    return lambda: step(theta, g, state, RULE)


def numpy_in_place(n: int, threads: int) -> Callable[[], Any]:
    """The same operations by hand, each with ``out=``: two arrays of scratch, none allocated."""
    theta, g, v = arrays(n)
    a, b = np.empty_like(v), np.empty_like(v)
    lr, beta, rest, eps = (np.float32(x) for x in (0.01, 0.9, 0.1, 1e-8))

    def run() -> None:
        np.multiply(v, beta, out=v)
        np.multiply(g, g, out=a)
        np.multiply(a, rest, out=a)
        np.add(v, a, out=v)
        np.sqrt(v, out=a)
        np.add(a, eps, out=a)
        np.multiply(g, lr, out=b)
        np.divide(b, a, out=b)
        np.subtract(theta, b, out=theta)

    return run


def _fast(
    backend: str, rule: Rule = RULE, block: int = fast.BLOCK
) -> Callable[[int, int], Callable[[], Any]]:
    def make(n: int, threads: int) -> Callable[[], Any]:
        theta, g, v = arrays(n)
        state, mine = init(theta, rule)._replace(v=v), _copy_of_fast(backend, block)
        return lambda: mine.step_(theta, g, state, rule, threads=threads)

    return make


@cache
def _copy_of_fast(backend: str, block: int) -> Any:
    """The module once more, with caches of its own, that takes one backend whatever is there."""
    spec: Any = importlib.util.find_spec("rmsprop_ref.fast")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    vars(module)["backend"] = lambda: backend
    vars(module)["BLOCK"] = block
    return module


def jax_reference(n: int, threads: int) -> Callable[[], Any]:
    """The reference as it stands under jax.jit; θ and v are donated, so XLA writes over them."""
    import jax
    import jax.numpy as jnp

    stepped = jax.jit(lambda theta, v, g: _without_count(step(theta, g, State(1, v), RULE, jnp)),
                      donate_argnums=(0, 1))  # fmt: skip
    theta, g, v = map(jnp.asarray, arrays(n))
    kept = [theta, v]

    def run() -> None:
        kept[:] = stepped(*kept, g)
        kept[1].block_until_ready()

    return run


def _without_count(stepped: Any) -> Any:
    theta, state = stepped
    return theta, state.v


def optax_jitted(n: int, threads: int) -> Callable[[], Any]:
    """optax.rmsprop and apply_updates in one jitted function, with donation."""
    import jax
    import jax.numpy as jnp
    import optax

    rule = optax.rmsprop(0.01, decay=0.9, eps=1e-8, eps_in_sqrt=False)

    def stepped(theta: Any, state: Any, g: Any) -> Any:
        updates, state = rule.update(g, state, theta)
        return optax.apply_updates(theta, updates), state

    stepped = jax.jit(stepped, donate_argnums=(0, 1))
    theta, g, _ = map(jnp.asarray, arrays(n))
    kept = [theta, rule.init(theta)]

    def run() -> None:
        kept[:] = stepped(*kept, g)
        kept[0].block_until_ready()

    return run


def _torch(foreach: bool) -> Callable[[int, int], Callable[[], Any]]:
    def make(n: int, threads: int) -> Callable[[], Any]:
        import torch

        torch.set_num_threads(threads)
        theta, g, _ = map(torch.from_numpy, arrays(n))
        theta = torch.nn.Parameter(theta)
        theta.grad = g
        made = torch.optim.RMSprop([theta], lr=0.01, alpha=0.9, eps=1e-8, foreach=foreach)
        return made.step

    return make


def torch_compiled(n: int, threads: int) -> Callable[[], Any]:
    """torch.optim.RMSprop's step under torch.compile, as its documentation says to compile it."""
    import torch

    run = _torch(False)(n, threads)
    torch.compiler.reset()
    compiled = torch.compile(lambda: run(), fullgraph=False)

    def stepped() -> None:
        torch.set_num_threads(threads)
        compiled()

    return stepped


def torch_reference(n: int, threads: int) -> Callable[[], Any]:
    """The reference as it stands under torch.compile; new arrays each time."""
    import torch

    torch.set_num_threads(threads)
    torch.compiler.reset()
    compiled = torch.compile(
        lambda theta, g, v: _without_count(step(theta, g, State(1, v), RULE, torch))
    )
    theta, g, v = map(torch.from_numpy, arrays(n))
    kept = [theta, v]

    def run() -> None:
        torch.set_num_threads(threads)
        kept[:] = compiled(kept[0], g, kept[1])

    return run


def tensorflow_op(n: int, threads: int) -> Callable[[], Any]:
    """The kernel behind tf.compat.v1's optimiser, which has momentum and so a sixth stream."""
    import tensorflow as tf

    theta, g, v = arrays(n)
    var, ms, mom = (tf.Variable(x) for x in (theta, v, v * 0))
    g = tf.constant(g)
    numbers = {name: tf.constant(x) for name, x in
               {"lr": 0.01, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-8}.items()}  # fmt: skip

    def run() -> None:
        tf.raw_ops.ResourceApplyRMSProp(
            var=var.handle, ms=ms.handle, mom=mom.handle, grad=g, **numbers
        )

    return run


# What is measured, in the order of the tables: a maker, the module that it needs, and whether it
# can use more than one thread.
PATHS: dict[str, tuple[Callable[[int, int], Callable[[], Any]], str, bool]] = {
    BOUND: (five_streams, "numba", True),
    "fast.step_, Numba": (_fast("numba"), "numba", True),
    "fast.step_, NumPy in blocks": (_fast("numpy"), "numpy", True),
    "NumPy in place": (numpy_in_place, "numpy", False),
    "the reference on NumPy": (plain_numpy, "numpy", False),
    "the reference, jax.jit": (jax_reference, "jax", True),
    "the reference, torch.compile": (torch_reference, "torch", True),
    "optax, jitted": (optax_jitted, "optax", True),
    "PyTorch, compiled": (torch_compiled, "torch", True),
    "PyTorch": (_torch(False), "torch", True),
    "PyTorch, foreach": (_torch(True), "torch", True),
    "TensorFlow's kernel": (tensorflow_op, "tensorflow", True),
}

# Measured at one size on one thread, for the chapter: blocks of other sizes, rules of more streams.
MORE: dict[str, tuple[Callable[[int, int], Callable[[], Any]], str, bool]] = {
    f"blocks of {2**k}": (_fast("numpy", block=2**k), "numpy", False) for k in range(8, 24)
} | {
    "with momentum": (_fast("numba", Rule(momentum=0.9)), "numba", False),
    "centered": (_fast("numba", Rule(centered=True, eps_in=1e-6)), "numba", False),
    "centered, with momentum": (
        _fast("numba", Rule(centered=True, eps_in=1e-6, momentum=0.9)),
        "numba",
        False,
    ),
}


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@cache
def all_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


def bind(threads: int) -> None:
    """Bind every thread of this process to as many cores, for libraries that cannot be told."""
    cores = all_cores()[:threads]
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)
