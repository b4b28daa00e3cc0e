"""The audit's own parts: its runs are the course's, its gradient and its counts are right."""

import numpy as np
import pytest

from rmsprop_ref.course import audit, convnet, family


@pytest.fixture
def rng():
    return np.random.default_rng(17)


def test_a_run_is_the_convolutional_chapters():
    ours = audit.train("RMSProp", 0.01, (1, 2), epochs=1)
    theta, curves = convnet.train("RMSProp", 0.01, [1, 2], 1)
    assert ours.losses.mean(1) == pytest.approx(curves["train"][0], rel=1e-12)
    assert ours.test == pytest.approx(convnet.evaluate(theta, "test")[0].mean(1), rel=1e-12)


def test_runs_side_by_side_do_not_mix():
    seeds = tuple(range(7))  # more than go together
    rates = np.linspace(0.001, 0.007, 7)
    together = audit.train("Adam", rates, seeds, epochs=1)
    alone = audit.train("Adam", rates[5], seeds[5:6], epochs=1)
    assert together.test[5] == pytest.approx(alone.test[0], rel=1e-12)


@pytest.mark.parametrize("convex", [True, False])
def test_the_gradient_of_the_shallow_networks(rng, convex):
    theta = np.stack([audit._start(rng, convex) for _ in range(2)])
    theta += 0.1 * rng.standard_normal(theta.shape)
    x, labels = rng.random((2, 5, 64)), rng.integers(0, 10, (2, 5))
    direction = rng.standard_normal(theta.shape)
    _, g = audit._shallow(theta, x, labels, convex)
    h = 1e-5  # a central difference errs by h²
    up, down = (audit._shallow(theta + s * h * direction, x, labels, convex)[0] for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx((g * direction).sum(1), rel=1e-7)


def test_one_v_for_all(rng):
    theta, g = rng.standard_normal((2, 1, convnet.NETWORK.size))
    moved, state = audit.shared(theta, g, {}, lr=0.01, whole=True)
    assert np.ptp(state["v"]) == 0
    # A step of gradient descent, whose root mean square is η/√(1-β).
    assert np.corrcoef((theta - moved)[0], g[0])[0, 1] == pytest.approx(1)
    assert np.sqrt(np.mean((theta - moved) ** 2)) == pytest.approx(0.01 / np.sqrt(0.1))

    _, state = audit.shared(theta, g, {}, lr=0.01, whole=False)
    places = convnet.NETWORK.places.values()
    assert all(np.ptp(state["v"][:, place]) == 0 for place in places)
    assert len(np.unique(state["v"])) == len(places)


def test_a_falling_rate_and_numbers_for_each_run():
    steady = audit.train("RMSProp", 0.01, (1, 1), epochs=1, beta=np.array([0.9, 0.5]))
    falling = audit.train("RMSProp", 0.01, (1,), epochs=1, falling=True)
    plain = audit.train("RMSProp", 0.01, (1,), epochs=1)
    assert steady.test[0] == pytest.approx(plain.test[0], rel=1e-12)
    assert steady.test[1] != pytest.approx(plain.test[0], rel=1e-3)
    # The first step has the whole rate, so the second loss is the same; later ones are not.
    assert falling.losses[0, 1] == plain.losses[0, 1]
    assert falling.losses[0, 20] != plain.losses[0, 20]


def test_steps_to_a_target():
    n = audit.PER_EPOCH
    losses = np.stack([np.where(np.arange(3 * n) < n, 2.0, 0.0), np.full(3 * n, 2.0)])
    # The mean of the last n losses is below 1 once more than half of them are 0.
    assert audit.steps_to(losses, 1.0).tolist() == [n + n // 2 + 1, np.inf]


def test_best_after(rng):
    losses = rng.random(11)
    k = np.array([1, 2, 5, 20])
    draws = losses[rng.integers(0, 11, (20000, 20))]
    simulated = [np.median(draws[:, :n].min(1)) for n in k]
    assert audit.best_after(losses, k).tolist() == simulated


def test_a_width():
    tried = {"rates": [0.01, 0.1, 1.0], "tuning": [[np.e], [1.0], [None]]}
    # Within a factor √e: half a decade to the left; to the right ln 1000 a decade.
    assert audit.width(tried, np.exp(0.5)) == pytest.approx(0.5 + 0.5 / np.log(1e3), abs=1e-3)


def test_pairs_and_what_was_never_run():
    assert audit.paired([1.0, None, 2.0], [2.0, 1.0, 4.0]) == (2, 0.5)
    with pytest.raises(KeyError, match="no job 'setting'"):
        audit.result("RMSProp", beta=0.123)


def test_methods_are_the_familys():
    assert audit.METHODS["RMSProp"] is family.rmsprop
    assert audit.METHODS["Adam"] is family.adam
