"""The variants against formulas typed by hand, as each library's source has them.

Every other test of a variant compares step() with itself in another number system. Here each axis
meets somebody else's arithmetic, in float64, under a learning rate that changes.
"""

import numpy as np
import pytest

from rmsprop_ref import Rule, init, step

STEPS, N = 40, 60
rng = np.random.default_rng(7)
THETA = rng.normal(size=N)
GRADS = rng.normal(size=(STEPS, N)) * np.logspace(-3, 2, N)
RATES = [0.05 / (1 + i % 7) for i in range(STEPS)]


def tensorflow_1(th, v, m, b, g, lr, t):
    v = v + (g * g - v) * (1 - 0.9)
    b = 0.8 * b + (g * lr) / np.sqrt(v + 1e-3)
    return th - b, v, m, b


def tensorflow_1_centered(th, v, m, b, g, lr, t):
    v = v + (g * g - v) * (1 - 0.9)
    m = m + (g - m) * (1 - 0.9)
    b = 0.8 * b + (g * lr) / np.sqrt(v - m * m + 1e-3)
    return th - b, v, m, b


def keras_3(th, v, m, b, g, lr, t):
    th = th - th * 0.1 * lr
    v = 0.9 * v + (1 - 0.9) * g**2
    b = 0.8 * b + lr * g / np.sqrt(v + 1e-3)
    return th - b, v, m, b


def timm(th, v, m, b, g, lr, t):
    g = g + 0.1 * th
    v = v + (1 - 0.9) * (g * g - v)
    b = 0.8 * b + lr * g / np.sqrt(v + 1e-3)
    return th - b, v, m, b


def pytorch(th, v, m, b, g, lr, t):
    g = g + 0.1 * th
    v = 0.99 * v + 0.01 * g * g
    m = m + (1 - 0.99) * (g - m)
    b = 0.8 * b + g / (np.sqrt(v - m * m) + 1e-2)
    return th - lr * b, v, m, b


def fastai(th, v, m, b, g, lr, t):
    th = th * (1 - lr * 0.1)
    b = 0.8 * b + g
    v = 0.9 * v + (1 - 0.9) * g * g
    return th - lr * b / (np.sqrt(v) + 1e-3), v, m, b


def graves(th, v, m, b, g, lr, t):
    v = 0.95 * v + 0.05 * g * g
    m = 0.95 * m + 0.05 * g
    b = 0.9 * b - lr * g / np.sqrt(v - m * m + 1e-4)
    return th + b, v, m, b


def optax_with_every_switch(th, v, m, b, g, lr, t):
    v = (1 - 0.9) * g * g + 0.9 * v
    m = (1 - 0.9) * g + 0.9 * m
    u = -lr * g / np.sqrt(v / (1 - 0.9**t) - (m / (1 - 0.9**t)) ** 2 + 1.0)
    b = u + 0.8 * b
    return th + (u + 0.8 * b), v, m, b


def flashlight(th, v, m, b, g, lr, t):
    th = th - 0.1 * th
    v = 0.9 * v + 0.1 * g * g
    return th - lr * g / (np.sqrt(v) + 1e-3), v, m, b


def blocks(th, v, m, b, g, lr, t):
    v = 0.9 * v + 0.1 * g * g
    return th - lr * g / np.maximum(np.sqrt(v), 0.5), v, m, b


def fastai_course(th, v, m, b, g, lr, t):
    if t == 1:
        v = g * g
    v = 0.9 * v + 0.1 * g * g
    return th - lr * g / (np.sqrt(v) + 1e-3), v, m, b


def all_that_no_library_combines(th, v, m, b, g, lr, t):
    """l2 into the first square; a floor under the centered form; Nesterov on gradients."""
    g = g + 0.1 * th
    if t == 1:
        v = g * g
    v = 0.9 * v + 0.1 * g * g
    m = 0.9 * m + 0.1 * g
    d = np.maximum(np.sqrt(v - m * m + 1e-2) + 1e-3, 0.5)
    b = 0.8 * b + lr * g
    return th - (0.8 * b + lr * g) / d, v, m, b


INSIDE = {"eps_in": 1e-3, "beta": 0.9}
FOLDED = {**INSIDE, "momentum": 0.8, "lr_in_buffer": True}
RULES = {
    tensorflow_1: {**FOLDED, "v0": 1.0},
    tensorflow_1_centered: {**FOLDED, "v0": 1.0, "centered": True},
    keras_3: {**FOLDED, "weight_decay": 0.1, "weight_decay_form": "decoupled"},
    timm: {**FOLDED, "v0": 1.0, "weight_decay": 0.1},
    pytorch: {"beta": 0.99, "eps_out": 1e-2, "momentum": 0.8, "centered": True,
              "weight_decay": 0.1},
    fastai: {"eps_out": 1e-3, "momentum": 0.8, "momentum_on": "gradient", "weight_decay": 0.1,
             "weight_decay_form": "decoupled"},
    graves: {"beta": 0.95, "eps_in": 1e-4, "centered": True, "momentum": 0.9, "lr_in_buffer": True},
    optax_with_every_switch: {**FOLDED, "eps_in": 1.0, "centered": True, "bias_correction": True,
                              "nesterov": True},
    flashlight: {"eps_out": 1e-3, "weight_decay": 0.1, "weight_decay_form": "decoupled_unscaled"},
    blocks: {"eps_floor": 0.5},
    fastai_course: {"eps_out": 1e-3, "v0": "first_square"},
    all_that_no_library_combines: {
        "eps_in": 1e-2, "eps_out": 1e-3, "eps_floor": 0.5, "v0": "first_square", "centered": True,
        "momentum": 0.8, "momentum_on": "gradient", "nesterov": True, "lr_in_buffer": True,
        "weight_decay": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("theirs", RULES, ids=lambda f: f.__name__)
def test_as_the_library_writes_it(theirs):
    rule = Rule(lr=RATES, **RULES[theirs])
    ours, state = THETA, init(THETA, rule)
    th, v, m, b = THETA, np.full(N, 1.0 if rule.v0 == 1 else 0.0), np.zeros(N), np.zeros(N)
    for t, (g, lr) in enumerate(zip(GRADS, RATES, strict=True), 1):
        ours, state = step(ours, g, state, rule)
        th, v, m, b = theirs(th, v, m, b, g, lr, t)
        # Sixty operations' worth of rounding, and cancellation where the form is centered.
        np.testing.assert_allclose(ours, th, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(state.v, v, rtol=1e-12)
        if rule.centered:  # its sign does not show in θ
            np.testing.assert_allclose(state.m, m, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_pytorch_itself(momentum, centered, weight_decay):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    options = {"momentum": momentum, "centered": centered, "weight_decay": weight_decay}
    parameter = torch.tensor(THETA.copy(), requires_grad=True)
    optimizer = torch.optim.RMSprop([parameter], lr=0.01, alpha=0.9, eps=1e-2, **options)
    rule = Rule(lr=0.01, beta=0.9, eps_out=1e-2, **options)
    theta, state = THETA, init(THETA, rule)
    for g in GRADS:
        parameter.grad = torch.tensor(g)
        optimizer.step()
        theta, state = step(theta, g, state, rule)
        np.testing.assert_allclose(parameter.detach().numpy(), theta, rtol=1e-9, atol=1e-11)
