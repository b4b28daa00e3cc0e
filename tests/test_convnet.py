"""The convolutional network of chapter 15: its gradient, its data, and what is stored of it."""

import numpy as np
import pytest

from rmsprop_ref import Rule, init, step
from rmsprop_ref.course import convnet, family
from rmsprop_ref.course.convnet import NETWORK, Network
from rmsprop_ref.course.experiments import short

SMALL = Network(side=6, kernels=(3, 2), filters=(2, 3), classes=4)


def some(net, runs=2, batch=3, seed=15):
    """Parameters with biases other than 0, so that no ReLU sits exactly on its kink."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, 0.5, (runs, net.size))
    images = rng.random((runs * batch, net.side, net.side))
    x = net.patches(images).reshape(runs, batch, -1, 4, net.kernels[0] ** 2)
    return (
        theta,
        images.reshape(runs, batch, net.side, -1),
        x,
        rng.integers(0, net.classes, x.shape[:2]),
    )


def by_definition(net, theta, image, label):
    """The loss of one image, sum by sum."""
    w, (k1, k2), n = net.views(theta), net.kernels, net.side

    def layer(x, k, kernel, bias):
        size = len(x) - k + 1
        out = np.empty((size, size, len(bias)))
        for i, j, f in np.ndindex(out.shape):
            window = x[i : i + k, j : j + k].ravel()
            out[i, j, f] = max(sum(window * kernel[:, f]) + bias[f], 0)
        return out

    first = layer(np.pad(image, k1 // 2)[..., None], k1, w["conv 1"], w["bias 1"])
    assert first.shape == (n, n, net.filters[0])
    pooled = sum(first[a::2, b::2] for a in (0, 1) for b in (0, 1)) / 4
    last = layer(pooled, k2, w["conv 2"], w["bias 2"]).ravel()
    scores = last @ w["dense"] + w["bias 3"]
    return np.log(np.sum(np.exp(scores))) - scores[label]


@pytest.mark.parametrize("net", [SMALL, NETWORK])
def test_loss_is_the_definition(net):
    theta, images, x, labels = some(net)
    losses, _ = net.loss_and_gradient(theta, x, labels)
    expected = [
        np.mean([by_definition(net, theta[r], images[r, b], labels[r, b]) for b in range(3)])
        for r in range(2)
    ]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


@pytest.mark.parametrize("net", [SMALL, NETWORK])
def test_gradient_is_the_difference_quotient(net):
    # Its error is of the order h² while no ReLU switches; rounding adds 1e-16/h.
    theta, _, x, labels = some(net)
    _, gradient = net.loss_and_gradient(theta, x, labels)
    rng, h = np.random.default_rng(1), 1e-5
    for i in rng.choice(net.size, 60, replace=False):
        e = h * (np.arange(net.size) == i)
        up, down = (net.loss_and_gradient(theta + s * e, x, labels)[0] for s in (1, -1))
        np.testing.assert_allclose(gradient[:, i], (up - down) / (2 * h), atol=1e-9)


def test_views_share_memory_and_cover_theta():
    theta = np.zeros((3, NETWORK.size))
    for tensor in NETWORK.views(theta).values():
        tensor[:] = 1
    assert theta.all()
    assert NETWORK.size == 1898


def test_runs_do_not_mix():
    theta, _, x, labels = some(NETWORK)
    together = NETWORK.loss_and_gradient(theta, x, labels)
    for r in range(2):
        alone = NETWORK.loss_and_gradient(theta[r : r + 1], x[r : r + 1], labels[r : r + 1])
        np.testing.assert_allclose(alone[0], together[0][r : r + 1], rtol=1e-13)
        np.testing.assert_allclose(alone[1], together[1][r : r + 1], rtol=1e-10, atol=1e-15)


def test_the_start_has_he_variance():
    starts = np.stack([NETWORK.start(np.random.default_rng(s)) for s in range(40)])
    for name, tensor in NETWORK.views(starts).items():
        if name.startswith("bias"):
            assert not tensor.any()
        else:  # 40 × 72 values at the least: a standard error of 2.6 % of the variance
            assert np.var(tensor) == pytest.approx(2 / tensor.shape[1], rel=0.1)


def test_the_three_parts_are_apart_and_alike():
    from sklearn.datasets import load_digits

    parts = convnet.digits()
    assert {name: len(y) for name, (_, y) in parts.items()} == {
        "train": 1087, "validation": 355, "test": 355
    }  # fmt: skip
    shares = np.array([np.bincount(y, minlength=10) / len(y) for _, y in parts.values()])
    assert np.ptp(shares, axis=0).max() < 0.005
    together = np.concatenate([x.reshape(-1, 64) for x, _ in parts.values()]) * 16
    whole = load_digits(return_X_y=True)[0]
    assert sorted(map(tuple, together)) == sorted(map(tuple, whole))  # each image once


def test_rmsprops_are_the_reference():
    rng = np.random.default_rng(15)
    grads = rng.standard_normal((30, 1, 7))
    for method, momentum in ((family.rmsprop, 0.0), (convnet.rmsprop_momentum, 0.9)):
        rule = Rule(lr=0.01, beta=0.9, momentum=momentum)
        reference = ours = rng.standard_normal((1, 7))
        state, mine = init(reference, rule), {}
        for g in grads:
            reference, state = step(reference, g, state, rule)
            ours, mine = method(ours, g, mine, lr=0.01)
            # Python forms 1 - 0.9 in binary64; the reference rounds the exact difference.
            np.testing.assert_allclose(ours, reference, rtol=1e-14)


def test_training_repeats_itself_and_learns():
    first, curves = convnet.train("RMSProp", 0.01, [1, 2], 2)
    again, _ = convnet.train("RMSProp", 0.01, [1, 2], 2)
    assert np.array_equal(first, again)
    assert (np.diff(curves["train"], axis=0) < 0).all()
    assert (convnet.evaluate(first, "test")[1].mean(1) > 0.8).all()


def test_a_divergence_is_an_outcome():
    _, curves = convnet.train("SGD", 1e6, [1], 1)
    assert short(curves["validation"][:, 0])[0] is None or curves["validation"][0] > 10


def test_a_unit_is_a_rate_for_the_first_tensor():
    for method, power in (("SGD", 2), ("RMSProp", 1), ("Adam", 1)):
        rate = np.full((1, NETWORK.size), 0.01)
        plain, _ = convnet.train(method, rate, [1], 1)
        rate[:, NETWORK.places["conv 1"]] /= 16**power
        raw, _ = convnet.train(method, rate, [1], 1, unit=16.0)
        raw[:, NETWORK.places["conv 1"]] *= 16
        # SGD: but for rounding. ε = 1e-8 is not rescaled, and the first √v are about 1e-3.
        np.testing.assert_allclose(raw, plain, rtol=0, atol=1e-12 if power == 2 else 1e-4)


def test_watch_and_clock():
    seen = convnet.watch("Adam", 0.01, 1, 5)
    assert seen["steps"] == [1, 15, 30]
    assert set(seen["gradient"]) == set(NETWORK.shapes)
    weights = sum(sum(counts) for counts in seen["histogram"].values())
    assert weights + sum(seen["below"].values()) == NETWORK.size
    assert set(convnet.clock(1e-3)) == {"gradient", *convnet.METHODS}


def test_the_best_rates_lie_inside_the_grids():
    for unit, budgets in ((1.0, convnet.BUDGETS), (convnet.RAW, (15,))):
        for method in convnet.METHODS:
            grid = convnet.rates(method, unit)
            assert len(grid) == 17
            for epochs in budgets:
                assert grid[0] < convnet.tuned(method, epochs, unit) < grid[-1]


def test_no_other_attribute():
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = convnet.nothing_here
