"""Many workers, simulated: sums, bits and bytes."""

import numpy as np
import pytest
from rules import RULES

from rmsprop_ref import init, step
from rmsprop_ref.course.workers import STAGES, Ring, ledger, pieces, sharded_init, sharded_step


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_a_ring_sums_whole_numbers_exactly(workers):
    held = np.random.default_rng(0).integers(-99, 99, (workers, 29)).astype(float)
    total, ring = held.sum(axis=0), Ring(held.copy())
    for w, own in enumerate(ring.reduce_scatter()):
        assert (ring.held[w, own] == total[own]).all()
    ring.all_gather()
    assert (ring.held == total).all()


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("name", ["plain", "centered", "momentum", "bias correction"])
def test_state_in_pieces_gives_the_bits_of_one_machine(name, workers):
    rule = RULES[name]
    rng = np.random.default_rng(1)
    theta = np.tile(rng.standard_normal(31, dtype=np.float32), (workers, 1))
    states, whole = sharded_init(theta, rule), theta[0]
    state = init(whole, rule)
    for _ in range(4):
        grads = rng.standard_normal((workers, 31), dtype=np.float32)
        ring = Ring(grads.copy())
        total = [ring.held[w, own] for w, own in enumerate(ring.reduce_scatter())]
        whole, state = step(whole, np.concatenate(total), state, rule)
        theta, states, sent = sharded_step(theta, grads, states, rule)
        assert all(copy.tobytes() == whole.tobytes() for copy in theta)
        assert sent.max() == ledger(31, workers, 1, state=4, number=4)[1]
    assert sum(one.v.size for one in states) == 31


def test_pieces_are_even():
    sizes = [own.stop - own.start for own in pieces(100, 7)]
    assert sum(sizes) == 100
    assert max(sizes) - min(sizes) <= 1


def test_a_ledger_of_one_worker_sends_nothing():
    assert [ledger(10, 1, stage, state=8) for stage in range(4)] == [(120, 0)] * 4
    with pytest.raises(ValueError, match="stage=4: 0 to 3, for nothing, state"):
        ledger(10, 2, len(STAGES), state=8)
