"""The family of the course: the RMSProps are the reference, the others are the libraries'."""

import numpy as np
import pytest

from rmsprop_ref import Rule, init, step
from rmsprop_ref.course import family
from rmsprop_ref.oracle import hypotheses, others
from rmsprop_ref.oracle.balls import Balls
from rmsprop_ref.oracle.enclosures import BINARY64, needs, steps

rng = np.random.default_rng(12)
# Gradients of three decades, some of them zero; two runs of three weights.
GRADS = rng.standard_normal((60, 2, 3)) * np.array([1e-2, 1.0, 10.0])
GRADS[rng.random(GRADS.shape) < 0.05] = 0.0
START = rng.standard_normal((2, 3))


def walk(method, grads=GRADS, start=START, **numbers):
    theta, state, path = start, {}, []
    for g in grads:
        theta, state = method(theta, g, state, **numbers)
        path.append(theta)
    return np.array(path)


def reference(rule):
    theta, state, path = START, init(START, rule), []
    for g in GRADS:
        theta, state = step(theta, g, state, rule)
        path.append(theta)
    return np.array(path)


numbers = {"lr": 0.01, "beta": 0.9}
buffered = {"momentum": 0.8, "lr_in_buffer": True}
RULES = {
    "rmsprop": (numbers | {"eps": 1e-3}, Rule(**numbers, eps_out=1e-3)),
    "rmsprop_inside": (numbers | {"eps": 1e-3}, Rule(**numbers, eps_in=1e-3)),
    "rmsprop_momentum": (
        numbers | {"mu": 0.8, "eps": 1e-3},
        Rule(**numbers, eps_out=1e-3, **buffered),
    ),
    "centered": (numbers | {"eps": 1e-3}, Rule(**numbers, eps_in=1e-3, centered=True)),
    "graves": (
        {},
        Rule(lr=1e-4, beta=0.95, eps_in=1e-4, centered=True, momentum=0.9, lr_in_buffer=True),
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_the_rmsprops_are_the_reference_to_the_bit(name):
    given, rule = RULES[name]
    assert np.array_equal(walk(getattr(family, name), **given), reference(rule))


def test_adam_without_a_first_moment_is_rmsprop_with_correction_to_the_bit():
    rule = Rule(lr=0.01, beta=0.99, eps_out=1e-3, bias_correction=True)
    # A power of β is rounded once in the reference, and more often in NumPy's scalars.
    path = walk(family.adam, lr=0.01, beta1=0.0, beta2=0.99, eps=1e-3)
    assert np.allclose(path, reference(rule), rtol=1e-13, atol=1e-15)


def test_averaged_is_rmsprop_with_momentum_on_the_gradient():
    rule = Rule(lr=0.01 * 0.25, beta=0.99, eps_out=1e-3, momentum=0.75, momentum_on="gradient")
    path = walk(family.averaged, lr=0.01, beta1=0.75, beta2=0.99, eps=1e-3)
    assert np.allclose(path, reference(rule), rtol=1e-13, atol=1e-15)


# The other libraries. Weights are of the order of 1 and each step rounds a few times: over 60 steps
# that is below 1e-13.
CASES = {
    "descent": {"lr": 0.01},
    "momentum": {"lr": 0.01, "mu": 0.8},
    "nesterov": {"lr": 0.01, "mu": 0.8},
    "sign": {"lr": 0.01},
    "signum": {"lr": 0.01, "mu": 0.8},
    "rprop": {"lr": 0.01},
    "adagrad": {"lr": 0.1, "eps": 1e-3},
    "rmsprop": {"lr": 0.01, "beta": 0.9, "eps": 1e-3},
    "rmsprop_inside": {"lr": 0.01, "beta": 0.9, "eps": 1e-3},
    "rmsprop_momentum": {"lr": 0.01, "beta": 0.9, "mu": 0.8, "eps": 1e-3},
    "centered": {"lr": 0.01, "beta": 0.9, "eps": 1e-3},
    "graves": {"lr": 0.01, "beta": 0.9, "mu": 0.8, "eps": 1e-3},
    "adadelta": {"lr": 1.0, "beta": 0.9, "eps": 1e-3},
    "adam": {"lr": 0.01, "eps": 1e-3},
    "adamw": {"lr": 0.01, "eps": 1e-3, "decay": 0.1},
    "amsgrad": {"lr": 0.01, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3},
}


def in_optax():
    optax = pytest.importorskip("optax")
    inside = {"decay": 0.9, "eps": 1e-3, "initial_scale": 0.0}
    outside = inside | {"eps_in_sqrt": False}
    return {
        "descent": optax.sgd(0.01),
        "momentum": optax.sgd(0.01, momentum=0.8),
        "nesterov": optax.sgd(0.01, momentum=0.8, nesterov=True),
        "sign": optax.sign_sgd(0.01),
        "signum": optax.chain(optax.trace(0.8), optax.sign_sgd(0.01)),
        "rmsprop": optax.rmsprop(0.01, **outside),
        "rmsprop_inside": optax.rmsprop(0.01, **inside),
        "rmsprop_momentum": optax.rmsprop(0.01, momentum=0.8, **outside),
        "centered": optax.rmsprop(0.01, centered=True, **inside),
        "graves": optax.rmsprop(0.01, centered=True, momentum=0.8, **inside),
        "adadelta": optax.adadelta(1.0, rho=0.9, eps=1e-3),
        "adam": optax.adam(0.01, eps=1e-3),
        "adamw": optax.adamw(0.01, eps=1e-3, weight_decay=0.1),
    }


OPTAX = sorted(set(CASES) - {"amsgrad", "rprop", "adagrad"})


def optax_walk(transform, grads=GRADS):
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    with jax.enable_x64(True):
        theta = jax.numpy.asarray(START)
        state, path = transform.init(theta), []
        for g in grads:
            updates, state = transform.update(jax.numpy.asarray(g), state, theta)
            theta = optax.apply_updates(theta, updates)
            path.append(np.asarray(theta))
    assert path[0].dtype == np.float64
    return np.array(path)


@pytest.mark.parametrize("name", OPTAX)
def test_others_against_optax(name):
    path = walk(getattr(family, name), **CASES[name])
    assert np.allclose(path, optax_walk(in_optax()[name]), rtol=1e-12, atol=1e-12)


def test_adagrad_without_epsilon_against_optax():
    """With one they differ: optax has it inside the root, the family outside, as PyTorch has it."""
    optax = pytest.importorskip("optax")
    theirs = optax_walk(optax.adagrad(0.1, initial_accumulator_value=0.0, eps=1e-3))
    assert not np.allclose(walk(family.adagrad, lr=0.1, eps=1e-3), theirs, rtol=1e-3)
    theirs = optax_walk(optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0))
    # Where no gradient has come yet, 0/0 is optax's 0.
    with np.errstate(invalid="ignore"):
        ours = walk(family.adagrad, lr=0.1, eps=0.0)
    seen = ~np.isnan(ours)
    assert seen.mean() > 0.9
    assert np.allclose(ours[seen], theirs[seen], rtol=1e-12, atol=1e-12)


def test_amsgrad_against_optax():
    """optax corrects before it takes the largest, or not at all: then by way of a schedule."""
    optax = pytest.importorskip("optax")

    def rate(count):
        return 0.01 * (1 - 0.9 ** (count + 1)) ** 0.5

    theirs = optax.amsgrad(rate, b1=0.8, b2=0.9, eps=0.0, bias_correction_nu=False)
    numbers = {"lr": 0.01, "beta1": 0.8, "beta2": 0.9}
    grads = np.where(GRADS == 0, 1.0, GRADS)
    ours = walk(family.amsgrad, grads=grads, eps=0.0, **numbers)
    assert np.allclose(ours, optax_walk(theirs, grads), rtol=1e-12, atol=1e-12)
    before = optax_walk(optax.amsgrad(0.01, b1=0.8, b2=0.9, eps=0.0), grads)
    assert not np.allclose(ours, before, rtol=1e-2)


def test_rprop_against_optax_until_a_sign_flips():
    """optax 0.2.8 hands out the step of the call before; after a flip it pauses, like PyTorch."""
    optax = pytest.importorskip("optax")
    ours = walk(family.rprop, grads=np.abs(GRADS), lr=0.01)
    theirs = optax_walk(optax.rprop(0.01), np.abs(GRADS))
    assert np.array_equal(theirs[0], START)
    assert np.allclose(ours[:-1], theirs[1:], rtol=1e-12, atol=1e-12)
    flipping = optax_walk(optax.rprop(0.01))
    assert not np.allclose(walk(family.rprop, lr=0.01)[:-1], flipping[1:], rtol=1e-2)


def test_rprop_in_words():
    x, length, before = 0.0, 0.01, 0
    path = walk(family.rprop, grads=GRADS[:, 0, 0], start=np.float64(0.0), lr=0.01)
    for g, theirs in zip(GRADS[:, 0, 0], path, strict=True):
        now = int(g > 0) - int(g < 0)
        if now * before == 1:
            length = min(length * 1.2, 50.0)
        elif now * before == -1:
            length = max(length * 0.5, 1e-6)
        before = now
        x -= now * length
        assert theirs == pytest.approx(x, rel=1e-12)


def in_torch(torch, weight):
    optim = torch.optim
    return {
        "momentum": optim.SGD([weight], lr=0.01, momentum=0.8),
        "nesterov": optim.SGD([weight], lr=0.01, momentum=0.8, nesterov=True),
        "adagrad": optim.Adagrad([weight], lr=0.1, eps=1e-3),
        "rmsprop": optim.RMSprop([weight], lr=0.01, alpha=0.9, eps=1e-3),
        "rmsprop_momentum": optim.RMSprop([weight], lr=0.01, alpha=0.9, eps=1e-3, momentum=0.8),
        "adadelta": optim.Adadelta([weight], lr=1.0, rho=0.9, eps=1e-3),
        "adam": optim.Adam([weight], lr=0.01, eps=1e-3),
        "adamw": optim.AdamW([weight], lr=0.01, eps=1e-3, weight_decay=0.1),
        "amsgrad": optim.Adam([weight], lr=0.01, betas=(0.8, 0.9), eps=1e-3, amsgrad=True),
    }


TORCH = [
    "adadelta", "adagrad", "adam", "adamw", "amsgrad", "momentum", "nesterov", "rmsprop",
    "rmsprop_momentum",
]  # fmt: skip


@pytest.mark.parametrize("name", TORCH)
def test_others_against_pytorch(name):
    torch = pytest.importorskip("torch")
    weight = torch.tensor(START.copy(), dtype=torch.float64, requires_grad=True)
    optimizer, path = in_torch(torch, weight)[name], []
    for g in GRADS:
        weight.grad = torch.tensor(g)
        optimizer.step()
        path.append(weight.detach().numpy().copy())
    ours = walk(getattr(family, name), **CASES[name])
    assert np.allclose(ours, np.array(path), rtol=1e-12, atol=1e-12)


# The oracle writes the same optimisers as rules, to recognise them. Its balls hold every legal
# evaluation in float64, the family's among them; those of a neighbour do not.
RULE = Rule(lr=0.01, beta=0.9, eps_out=1e-3, momentum=0.8)
ORACLES = {
    "descent": (others.descent, Rule(lr=0.01)),
    "momentum": (others.descent, Rule(lr=0.01, momentum=0.8)),
    "sign": (hypotheses.signs, Rule(lr=0.01)),
    "adagrad": (hypotheses.adagrad, Rule(lr=0.1, eps_out=1e-3)),
    "adadelta": (others.adadelta(None, True), Rule(lr=1.0, beta=0.9, eps_in=1e-3)),
    "averaged": (others.adam(False), RULE),
    "adam": (others.adam(True), RULE),
    "adamw": (
        hypotheses.decayed(others.adam(True)),
        Rule(
            lr=0.01, beta=0.9, eps_out=1e-3, momentum=0.8, weight_decay=0.1,
            weight_decay_form="decoupled",
        ),
    ),
    "amsgrad": (hypotheses.amsgrad(True), RULE),
}  # fmt: skip


def held(name, path):
    """Whether the oracle's balls hold the path, step for step."""
    oracle, rule = ORACLES[name]
    system = Balls("float64", **needs(rule))
    grads = GRADS.reshape(len(GRADS), -1)
    for (ball, _), theta in zip(
        steps(rule, START.ravel(), grads, system, BINARY64, step=oracle),
        path.reshape(len(GRADS), -1),
        strict=True,
    ):
        if not (np.abs(ball.center - theta) <= ball.rad + np.spacing(np.abs(theta))).all():
            return False
    return True


@pytest.mark.parametrize("name", ORACLES)
def test_the_oracle_writes_the_same_optimisers(name):
    oneself = {"lr": 0.01, "beta1": 0.8, "beta2": 0.9, "eps": 1e-3}
    given = (
        CASES[name] if name in ("descent", "momentum", "sign", "adagrad", "adadelta") else oneself
    )
    given = given | ({"decay": 0.1} if name == "adamw" else {})
    assert held(name, walk(getattr(family, name), **given))
    assert not held(name, walk(getattr(family, name), **given | {"lr": given["lr"] * (1 + 1e-9)}))


# The map.


def test_each_neighbour_is_a_line_away():
    """One more, one changed, or one and its use; Rprop keeps a length, and takes four."""
    for parent, child, says in family.KIN:
        lines = family.difference(parent, child)
        added, removed = (sum(line[0] == sign for line in lines) for sign in "+-")
        assert removed <= 1, says
        assert added <= (4 if child is family.rprop else 2), says
        assert lines


def test_the_map_is_a_tree_of_all_methods():
    children = [child for _, child, _ in family.KIN]
    seen = [family.descent]
    for parent, child, _ in family.KIN:
        assert parent in seen  # each edge starts where another ended
        seen.append(child)
    assert len(set(children)) == len(children)
    methods = {
        x for x in vars(family).values() if hasattr(x, "__wrapped__") and x is not family.wraps
    }
    assert set(seen) == methods


def test_a_step_leaves_its_state_alone():
    for edge in family.KIN:
        _, state = edge.child(START, GRADS[0], {}, lr=0.01)
        before = {name: np.copy(value) for name, value in state.items()}
        edge.child(START, GRADS[1], state, lr=0.01)
        assert state.keys() == before.keys()
        assert all(np.array_equal(state[name], value) for name, value in before.items())
        assert state["t"] == 1


def test_many_runs_at_once():
    rates = np.array([[0.01], [0.1]])
    for edge in family.KIN:
        both = walk(edge.child, lr=rates)
        for i, rate in enumerate(rates[:, 0]):
            alone = walk(edge.child, grads=GRADS[:, i], start=START[i], lr=rate)
            assert np.array_equal(both[:, i], alone), edge.says
