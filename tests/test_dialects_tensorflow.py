"""RMSProps in TensorFlow, Keras and PaddlePaddle: signatures, documentation, bits, special paths.

What needs a library runs in its environment of the atlas; elsewhere it is skipped, with the reason.
"""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from rmsprop_ref import Rule
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.arithmetic import LEFT_TO_RIGHT, Arithmetic
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.dialects.in_tensorflow import KERAS, KERNEL, keras2, keras_legacy, oneflow

HERE = {
    "tf1": ("tensorflow", "compat.v1.train.RMSPropOptimizer"),
    "keras_legacy": ("tf_keras", "optimizers.legacy.RMSprop"),
    "keras2_11": ("tf_keras", "optimizers.RMSprop"),
    "keras3": ("keras", "optimizers.RMSprop"),
    "sonnet2": ("sonnet", "optimizers.RMSProp"),
    "paddle": ("paddle", "optimizer.RMSProp"),
}
IN_KERNEL = Rule(lr=0.003, beta=0.95, eps_in=0.01, eps_out=0.0)
MOMENTUM = replace(IN_KERNEL, momentum=0.8, lr_in_buffer=True)
SETTINGS = {
    "plain": replace(IN_KERNEL, beta=0.999, eps_in=1e-7),
    "momentum": replace(MOMENTUM, lr=tuple(0.01 / (1 + t % 7) for t in range(100))),
    "centered": replace(IN_KERNEL, centered=True),
    "everything": replace(MOMENTUM, centered=True),
    "decoupled": replace(MOMENTUM, weight_decay=0.1, weight_decay_form="decoupled"),
    "outside": Rule(lr=0.003, beta=0.95, eps_out=1e-3),
    "outside-centered": Rule(lr=0.003, beta=0.95, eps_out=1e-3, centered=True),
}
# A reciprocal root where it is computed, as in float64 and in the elements that fill no pack of 8.
RECIPROCAL_ROOT = "(lr*x)/d -> (lr*x)*(1/d)"
# What XLA makes of TensorFlow's op on a processor that fuses x·y + z (AVX2 and FMA).
COMPILED = Arithmetic(
    (
        "beta*v + x*y -> fma(x, y, beta*v)",
        "momentum*b + y -> fma(momentum, b, y)",
        "x - y*y -> fma(-y, y, x)",
        RECIPROCAL_ROOT,
    ),
    "dtype",
)
ROOT_OF_KERAS = Arithmetic((*KERAS.rewrites, RECIPROCAL_ROOT), "float64")


def imported(module, function):
    library = pytest.importorskip(
        module, reason=f"{module} is not installed: an environment of the atlas has it"
    )
    for name in function.split("."):
        library = getattr(library, name)
    return library


def drawn(n, steps, dtype="float32"):
    rng = np.random.default_rng(5)
    grads = rng.normal(size=(steps, n)) * 10.0 ** rng.uniform(-4, 2, n)
    return rng.normal(size=n).astype(dtype), grads.astype(dtype)


def trajectory(adapter, rule, theta0, grads):
    assert ADAPTERS[adapter].dialect.arguments(rule)  # what cannot be said is no reason to skip
    try:
        return list(ADAPTERS[adapter].make(rule)(theta0, grads))
    except Unsupported as reason:
        return pytest.skip(str(reason))


def same(adapter, rule, arithmetic, *, n=1003, steps=100, dtype="float32", of=None):
    """Which elements have the library's bits after every step; ``of``: the rule it is asked for."""
    theta0, grads = drawn(n, steps, dtype)
    theirs = trajectory(adapter, of or rule, theta0, grads)
    ours = list(arithmetic.run(rule)(theta0, grads))
    assert len(theirs) == steps
    assert theirs[0].dtype == dtype
    return np.all(np.equal(theirs, ours), axis=0)


def in_float32(rule, *names):
    return replace(rule, **{name: float(np.float32(getattr(rule, name))) for name in names})


# The libraries' own words


@pytest.mark.parametrize("name", HERE)
def test_names_and_defaults_are_the_librarys(name):
    theirs = inspect.signature(imported(*HERE[name]).__init__).parameters
    ours = dict(DIALECTS[name].signature.parameters)
    for argument in DIALECTS[name].false_friends:  # in **kwargs
        del ours[argument]
    for argument, parameter in ours.items():
        assert parameter.default == theirs[argument].default


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tf1", "the formula used for the variable updates still matches"),
        ("keras_legacy", '"epsilon hat" in the Kingma and Ba paper (in the formula just before'),
        ("keras2_11", '"epsilon hat" in the Kingma and Ba paper (in the formula just before'),
        ("keras3", '"epsilon hat" in the Kingma and Ba paper (in the formula just before'),
        ("paddle", "In our implementation, Nesterov momentum is used"),
    ],
)
def test_the_documentation_says_what_the_claims_quote(name, words):
    assert words in DIALECTS[name].claims[0].source
    assert words in " ".join(imported(*HERE[name]).__doc__.split())


@pytest.mark.parametrize("name", ["tf1", "keras_legacy", "keras2_11", "keras3", "paddle"])
def test_the_claims_are_not_what_the_library_does(name):
    for claim in DIALECTS[name].claims:
        assert DIALECTS[name](**claim.arguments).rule != claim.rule


# What is particular


def test_legacy_keras_moves_epsilon_with_the_momentum():
    outside, inside = keras_legacy(epsilon=0.5).rule, keras_legacy(epsilon=0.5, momentum=0.1).rule
    assert (outside.eps_in, outside.eps_out) == (0.0, 0.5)
    assert (inside.eps_in, inside.eps_out) == (0.5, 0.0)
    assert keras_legacy(epsilon=0.0).rule.eps_out == 1e-7


def test_decay_is_a_schedule_and_no_average():
    assert keras2.arguments(Rule(beta=0.75)) == {"lr": 0.01, "rho": 0.75, "epsilon": 1e-8}
    for dialect in (keras2, keras_legacy):
        with pytest.raises(Unsupported, match=r"give that schedule"):
            dialect(decay=0.1)


def test_what_is_refused():
    with pytest.raises(Unsupported, match="only 0 is implemented"):
        oneflow(momentum=0.9)
    for arguments in ({"loss_scale": 1024.0}, {"epsilon": 0.0}):
        with pytest.raises(Unsupported):
            DIALECTS["mindspore"](**arguments)


def test_the_kernel_as_a_program():
    assert str(KERNEL.program(IN_KERNEL)).splitlines() == [
        "from theta, grad, v, lr, beta, eps_in",
        "x1 = grad * grad",
        "x2 = x1 - v",
        "x3 = 1.0 - beta",
        "x4 = x2 * x3",
        "x5 = v + x4",
        "x6 = lr * grad",
        "x7 = x5 + eps_in",
        "x8 = sqrt(x7)",
        "x9 = x6 / x8",
        "x10 = theta - x9",
        "to theta = x10, v = x5",
    ]


def test_keras_multiplies_the_decay_from_the_left():
    lines = str(KERAS.program(SETTINGS["decoupled"])).splitlines()
    at = next(i for i, line in enumerate(lines) if line.endswith("theta * weight_decay"))
    assert lines[at + 1].endswith("* lr")


# Bits


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["plain", "momentum", "centered", "everything"])
def test_tensorflows_kernel_to_the_bit(name, dtype):
    assert np.all(same("tf-op", replace(SETTINGS[name], v0=0.5), KERNEL, dtype=dtype))


@pytest.mark.parametrize("name", ["plain", "momentum", "centered", "everything"])
def test_tensorflow_1_to_the_bit(name):
    rule = replace(SETTINGS[name], v0=1.0)
    assert np.all(same("tf1", rule, KERNEL))


@pytest.mark.parametrize("name", ["outside", "outside-centered", "momentum", "everything"])
def test_legacy_keras_to_the_bit(name):
    rule = SETTINGS[name]
    arguments = keras_legacy.arguments(rule)
    assert np.all(same("keras-legacy", rule, keras_legacy(**arguments).arithmetic))


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
@pytest.mark.parametrize("name", ["plain", "momentum", "centered", "everything", "decoupled"])
def test_keras_3_to_the_bit(name, backend):
    assert np.all(same(f"keras-3-{backend}", SETTINGS[name], KERAS))


@pytest.mark.parametrize("name", ["plain", "momentum", "centered", "everything"])
def test_tensorflows_op_compiled_by_xla_to_the_bit_in_float64(name):
    assert np.all(same("tf-op-jit", SETTINGS[name], COMPILED, dtype="float64"))
    assert not np.all(same("tf-op-jit", SETTINGS[name], KERNEL, dtype="float64"))


def test_other_bits_are_seen():
    for other in (Arithmetic(numbers="float64"), Arithmetic(KERNEL.rewrites, "exact")):
        assert not np.all(same("tf-op", SETTINGS["plain"], other))


@pytest.mark.parametrize(
    ("adapter", "held", "arithmetic"),
    [
        ("keras-3-tensorflow", ["lr", "weight_decay"], KERAS),
        ("keras-2.11", ["lr", "weight_decay"], ROOT_OF_KERAS),
        ("keras-legacy", ["lr", "beta", "momentum"], KERNEL),
        ("tf1", ["lr", "beta", "momentum", "eps_in"], KERNEL),
        ("paddle", ["beta", "momentum", "eps_in"], Arithmetic((LEFT_TO_RIGHT,), "dtype")),
    ],
)
def test_float64_behind_numbers_of_float32(adapter, held, arithmetic):
    asked = replace(SETTINGS["everything"], v0=1.0 if adapter == "tf1" else 0.0)
    if "weight_decay" in held:
        asked = replace(asked, weight_decay=0.1, weight_decay_form="decoupled")
    done = in_float32(asked, *held)
    assert np.all(same(adapter, done, arithmetic, dtype="float64", of=asked))
    assert not np.any(same(adapter, asked, arithmetic, dtype="float64", steps=3))


@pytest.mark.parametrize(
    ("adapter", "arithmetic"),
    [
        ("keras-2.11", ROOT_OF_KERAS),
        ("sonnet-2", Arithmetic((RECIPROCAL_ROOT,), "dtype")),
        ("paddle", Arithmetic((LEFT_TO_RIGHT,), "dtype")),
    ],
)
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_the_bits_depend_on_where_an_element_stands(adapter, arithmetic, name):
    alike = same(adapter, SETTINGS[name], arithmetic, n=67)
    assert np.all(alike[64:])
    assert not np.all(alike[:64])


def test_paddle_gives_nan_for_an_average_that_overflows_in_a_pack_of_8():
    theta0, grads = np.ones(9, np.float32), np.full((1, 9), 1e30, np.float32)
    (theta,) = trajectory("paddle", IN_KERNEL, theta0, grads)
    assert np.array_equal(theta, [np.nan] * 8 + [1.0], equal_nan=True)
