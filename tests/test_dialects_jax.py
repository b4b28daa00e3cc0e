"""RMSProps in JAX and in other array libraries: their signatures, their bits, their paths."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.example_libraries import optimizers

from rmsprop_ref import Rule, check
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.arithmetic import RECIPROCAL, Arithmetic
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.dialects.in_jax import OPTAX_COMPILED, OPTAX_EAGER

EVERYTHING = {"bias_correction": True, "centered": True, "momentum": 0.9, "nesterov": True}
SWITCHES = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"centered": True},
    {"centered": True, "momentum": 0.9, "initial_scale": 0.5},
]
LIBRARIES = {
    "jax_examples": ("jax.example_libraries.optimizers", "rmsprop"),
    "jax_examples_momentum": ("jax.example_libraries.optimizers", "rmsprop_momentum"),
    "optax": ("optax", "rmsprop"),
    "mlx": ("mlx.optimizers", "RMSprop"),
    "autograd": ("autograd.misc.optimizers", "rmsprop"),
}


def imported(module):
    return pytest.importorskip(
        module, reason=f"{module} is not installed: the environment jax of the atlas has it"
    )


def drawn(dtype, steps=60, n=2000):
    rng = np.random.default_rng(3)
    scale = 10.0 ** rng.uniform(-3, 2, n)
    grads = (rng.normal(size=(steps, n)) * scale).astype(dtype)
    return rng.normal(size=n).astype(dtype), grads


def same_bits(adapter, dtype, arithmetic=None, **arguments):
    """The share of the steps after which all bits are the library's."""
    theta0, grads = drawn(dtype)
    setting = adapter.dialect(**arguments)
    ours = (arithmetic or setting.arithmetic).run(setting.rule)(theta0, grads)
    theirs = adapter.run(arguments)(theta0, grads)
    pairs = zip(ours, theirs, strict=True)
    return np.mean([np.array_equal(a, b, equal_nan=True) for a, b in pairs])


@pytest.mark.parametrize("name", LIBRARIES)
def test_names_and_defaults_are_the_librarys(name):
    module, function = LIBRARIES[name]
    made = getattr(imported(module), function)
    # Autograd's is wrapped in a function that names none of them.
    made = inspect.getclosurevars(made).nonlocals["optimize"] if name == "autograd" else made
    theirs = inspect.signature(made).parameters
    ours = DIALECTS[name].signature.parameters
    for parameter in ours.values():
        assert theirs[parameter.name].default == parameter.default
    # What a loop of its own needs is no argument of the rule.
    assert theirs.keys() - ours.keys() <= {"grad", "x", "callback", "num_iters"}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("gamma", [0.3, 0.9, 0.999])
def test_jax_examples_to_the_bit(dtype, gamma):
    arguments = {"step_size": 0.01, "gamma": gamma}
    assert same_bits(ADAPTERS["jax-examples"], dtype, **arguments) == 1
    assert same_bits(ADAPTERS["jax-examples-momentum"], dtype, **arguments, momentum=0.8) == 1


def test_other_bits_are_seen():
    arguments = {"step_size": 0.01, "gamma": 0.999}
    for other in (Arithmetic((RECIPROCAL,), "float64"), Arithmetic(numbers="float32")):
        assert same_bits(ADAPTERS["jax-examples"], "float32", other, **arguments) < 1


@pytest.mark.parametrize("name", ["jax-examples", "jax-examples-momentum"])
def test_jax_examples_compute_their_rules(name):
    adapter = ADAPTERS[name]
    arguments = {"step_size": (0.01, 0.02, 0.005) * 4, "gamma": 0.99, "eps": 1e-5}
    report = check(adapter.run(arguments), adapter.dialect(**arguments).rule, timeout=120)
    assert report.ok, report


def test_a_schedule_of_jax_examples_widens_float16():
    init, update, get = optimizers.rmsprop(optimizers.piecewise_constant([5], [0.1, 0.01]))
    theta = jnp.ones(3, jnp.float16)
    assert get(update(0, theta, init(theta))).dtype == jnp.float32


def test_the_precision_of_jax_is_left_as_it_was():
    steps = ADAPTERS["jax-examples"].make(Rule(eps_in=1e-3))(*drawn("float64", 3, 2))
    for theta in steps:
        assert theta.dtype == np.float64
        assert not jax.config.jax_enable_x64


# Optax


@pytest.mark.parametrize("switches", SWITCHES, ids=lambda x: "-".join(x) or "plain")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_optax_to_the_bit_where_epsilon_is_outside(dtype, switches):
    imported("optax")
    arguments = {"learning_rate": 0.01, "eps": 1e-3, "eps_in_sqrt": False} | switches
    assert same_bits(ADAPTERS["optax"], dtype, OPTAX_EAGER, **arguments) == 1
    assert same_bits(ADAPTERS["optax-jit"], dtype, OPTAX_COMPILED, **arguments) == 1


@pytest.mark.parametrize("switches", [*SWITCHES, {"bias_correction": True}, EVERYTHING])
@pytest.mark.parametrize("inside", [False, True])
def test_optax_to_the_bit_in_float64(inside, switches):
    imported("optax")
    arguments = {"learning_rate": 0.01, "eps": 1e-3, "eps_in_sqrt": inside} | switches
    assert same_bits(ADAPTERS["optax"], "float64", OPTAX_EAGER, **arguments) == 1
    assert same_bits(ADAPTERS["optax-jit"], "float64", OPTAX_COMPILED, **arguments) == 1


def test_optax_in_float32_with_epsilon_inside_has_other_bits_but_the_rule():
    imported("optax")
    arguments = {"learning_rate": 0.01}
    assert same_bits(ADAPTERS["optax"], "float32", **arguments) < 1
    rule = DIALECTS["optax"](**arguments).rule
    assert check(ADAPTERS["optax"].run(arguments), rule, "float32", timeout=120).ok


def test_optax_forms_the_correction_in_float32():
    imported("optax")
    arguments = {"learning_rate": 0.01, "decay": 0.99, "bias_correction": True}
    rule = DIALECTS["optax"](**arguments).rule
    report = check(ADAPTERS["optax"].run(arguments), rule, "float32", timeout=120)
    assert (report.verdict, report.diagnosis) == ("imprecise", "1-β^t is formed in float32")


def test_injected_hyperparameters_are_rounded_to_the_parameters_dtype():
    imported("optax")
    arguments = {"learning_rate": 0.001, "decay": 0.999, "eps_in_sqrt": False, "eps": 1e-3}
    run, rule = ADAPTERS["optax-injected"].run(arguments), DIALECTS["optax"](**arguments).rule
    said = {dtype: check(run, rule, dtype, timeout=120) for dtype in ("float32", "bfloat16")}
    assert said["float32"].diagnosis == "1-β is formed in float32"
    assert said["bfloat16"].diagnosis == "β is 1, not 0.999"


def test_optax_without_a_learning_rate_ascends():
    optax = imported("optax")
    theta = jnp.ones(1)
    made = optax.rmsprop(None)
    assert made.update(theta, made.init(theta))[0] > 0
    with pytest.raises(Unsupported, match="ascends"):
        DIALECTS["optax"](learning_rate=None)


@pytest.mark.parametrize("momentum", [None, 0.0])
def test_optax_ignores_nesterov_without_momentum(momentum):
    plain = DIALECTS["optax"](learning_rate=0.1).rule
    assert DIALECTS["optax"](learning_rate=0.1, momentum=momentum, nesterov=True).rule == plain
    imported("optax")
    theta0, grads = drawn("float32", 5, 10)
    rows = [
        list(ADAPTERS["optax"].run({"learning_rate": 0.1, **more})(theta0, grads))
        for more in ({}, {"momentum": momentum, "nesterov": True})
    ]
    np.testing.assert_array_equal(*rows)


def test_what_optax_says_of_pytorch_fails_under_momentum_and_a_schedule():
    (claim,) = DIALECTS["optax"].claims
    imported("optax")
    report = check(ADAPTERS["optax"].run(claim.arguments), claim.rule, timeout=120)
    assert (report.verdict, report.axis) == ("wrong rule", "lr_in_buffer")


# MLX, Autograd, and what was only read


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_mlx_to_the_bit(dtype):
    imported("mlx.optimizers")
    assert same_bits(ADAPTERS["mlx"], dtype, learning_rate=0.01, alpha=0.3) == 1
    assert same_bits(ADAPTERS["mlx"], dtype, learning_rate=0.01) == 1


def test_mlx_keeps_the_learning_rate_in_float32():
    imported("mlx.optimizers")
    assert same_bits(ADAPTERS["mlx"], "float64", learning_rate=0.01) < 1
    assert same_bits(ADAPTERS["mlx"], "float64", learning_rate=float(np.float32(0.01))) == 1
    report = check(ADAPTERS["mlx"].make(Rule()), Rule(), "float64")
    assert "learning rate is rounded to float32" in report.diagnosis


def test_mlx_refuses_no_epsilon():
    with pytest.raises(Unsupported, match=r"MLX refuses eps=0\.0"):
        DIALECTS["mlx"](learning_rate=0.01, eps=0.0)
    optimisers = imported("mlx.optimizers")
    with pytest.raises(ValueError, match="epsilon should be >0"):
        optimisers.RMSprop(0.01, eps=0.0)


def test_autograd_to_the_bit_in_float64_whatever_comes():
    imported("autograd")
    assert same_bits(ADAPTERS["autograd"], "float64", step_size=0.01) == 1
    from rmsprop_ref.adapters.libraries import autograd

    rows = list(autograd.rmsprop(*drawn("float32", 2, 3), 0.1))
    assert [row.dtype for row in rows] == [np.float64] * 2
    assert list(autograd.rmsprop(*drawn("float64", 0, 3), 0.1)) == []
    with pytest.raises(Unsupported, match="schedule"):
        DIALECTS["autograd"](step_size=(0.1, 0.2))


def test_numpyro_is_jax_examples():
    for name in ("", "_momentum"):
        numpyro, jax_examples = DIALECTS[f"numpyro{name}"], DIALECTS[f"jax_examples{name}"]
        assert numpyro.signature == jax_examples.signature
        assert numpyro(step_size=0.1).rule == jax_examples(step_size=0.1).rule
