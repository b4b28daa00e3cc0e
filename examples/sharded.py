"""The reference on arrays that lie in pieces: over devices with JAX, in chunks with Dask.

    python examples/sharded.py

Each weight's step needs that weight's own θ, g and v and no other's, so the pieces never speak to
each other, and every number comes out as it does from one piece. (Eight devices are simulated on
the CPU.)
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import dask.array as da
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rmsprop_ref import Rule, init, step

rule = Rule(lr=0.01, beta=0.9, centered=True, eps_in=1e-6, momentum=0.9)
rng = np.random.default_rng(0)
theta0 = rng.standard_normal((64, 128), dtype=np.float32)
grads = rng.standard_normal((5, 64, 128), dtype=np.float32)


def run(to_array, take_step, xp):
    """All steps, on arrays of one library."""
    theta = to_array(theta0)
    state = init(theta, rule, xp)
    for g in grads:
        theta, state = take_step(theta, to_array(g), state)
    return theta, state


def eager(xp):
    """The reference's step in one library."""
    return lambda theta, g, state: step(theta, g, state, rule, xp)


# Over devices: rows of every array on one of eight.
rows = NamedSharding(Mesh(np.array(jax.devices()), ("devices",)), PartitionSpec("devices"))
jitted = jax.jit(eager(jnp), donate_argnums=(0, 2))
whole, _ = run(jnp.asarray, jitted, jnp)
shared, state = run(lambda x: jax.device_put(jnp.asarray(x), rows), jitted, jnp)

assert len(shared.addressable_shards) == len(jax.devices()) == 8
assert state.v.sharding.is_equivalent_to(rows, 2), "the state lies where its weights lie"
assert np.array_equal(whole, shared), "the same values, to the bit"
program = jitted.lower(shared, shared, state).compile().as_text()
assert not any(word in program for word in ("all-reduce", "all-gather", "collective-permute"))
piece = shared.addressable_shards[0].data.shape
print(f"JAX:  8 pieces of {piece}, the same bits, nothing sent between devices")

# In chunks: NumPy's bits, as the chunks are NumPy's arrays.
alone, _ = run(np.asarray, eager(np), np)
chunks, _ = run(lambda x: da.from_array(x, chunks=(16, 32)), eager(da), da)
assert np.array_equal(alone, chunks.compute())
print(f"Dask: {chunks.npartitions} chunks of {chunks.chunksize}, the same bits as NumPy")
