"""RMSProps on PyTorch: what is particular; the libraries themselves, where they are installed."""

import importlib
import inspect

import numpy as np
import pytest

from rmsprop_ref import Rule, check
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.arithmetic import fma
from rmsprop_ref.constant import Constant
from rmsprop_ref.dialects import (
    bitsandbytes,
    d2l,
    fastai,
    fastai_course,
    pytorch,
    stable_baselines3,
    timm,
    timm_factory,
    torchopt,
)

# Those are of libraries that are loaded, not of ours.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# What the libraries have beside what our dialects take: it changes no formula.
NO_FORMULA = {"params", "capturable", "foreach", "differentiable"}
NO_FORMULA |= {"optim_bits", "args", "min_8bit_size", "self"}
BY_MODULE = {
    "pytorch": ("torch.optim", "RMSprop"),
    "timm": ("rmsprop_ref.adapters.libraries.timm", "RMSpropTF"),
    "stable-baselines3": (
        "rmsprop_ref.adapters.libraries.stable_baselines3",
        "RMSpropTFLike",
    ),
    "fastai": ("fastai.optimizer", "RMSProp"),
    "bitsandbytes": ("bitsandbytes.optim", "RMSprop"),
    "torchopt": ("torchopt", "rmsprop"),
}
ON_TORCH = [*BY_MODULE, "pytorch-foreach"]
SETTINGS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "centered": {"centered": True, "weight_decay": 0.1},
    "decoupled": {"weight_decay": 0.1, "weight_decay_form": "decoupled", "momentum": 0.5},
}


def test_where_they_differ_with_the_same_numbers():
    rules = {
        "pytorch": pytorch(lr=0.01).rule,
        "timm": timm(lr=0.01).rule,
        "sb3": stable_baselines3(lr=0.01).rule,
        "course": fastai_course(lr=0.01).rule,
        "d2l": d2l(lr=0.01, gamma=0.9).rule,
    }
    assert {name: (r.beta, r.eps_in, r.eps_out, r.v0) for name, r in rules.items()} == {
        "pytorch": (0.99, 0.0, 1e-8, 0.0),
        "timm": (0.9, 1e-10, 0.0, 1.0),
        "sb3": (0.99, 1e-8, 0.0, 1.0),
        "course": (0.99, 0.0, 1e-5, "first_square"),
        "d2l": (0.9, 1e-6, 0.0, 0.0),
    }


def test_arguments_without_an_effect():
    assert fastai(lr=0.01, eps=1e-3).rule == fastai(lr=0.01).rule
    assert bitsandbytes(momentum=0.9).rule == bitsandbytes().rule
    assert timm(caution=True).rule == timm().rule
    assert timm(corrected_weight_decay=True, weight_decay=0.1).rule == timm(weight_decay=0.1).rule
    with pytest.raises(Unsupported, match=r"momentum is 0, not 0\.9"):
        bitsandbytes.arguments(Rule(momentum=0.9))
    with pytest.raises(Unsupported, match=r"outside the root is 1e-08, not 0\.001"):
        fastai.arguments(Rule(eps_out=1e-3))


@pytest.mark.parametrize(
    ("dialect", "arguments"),
    [
        (pytorch, {"maximize": True}),
        (timm, {"caution": True, "momentum": 0.9}),
        (
            timm,
            {
                "lr": (0.2, 0.1),
                "weight_decay": 0.1,
                "decoupled_decay": True,
                "corrected_weight_decay": True,
            },
        ),
        (bitsandbytes, {"centered": True}),
        (bitsandbytes, {"alpha": 0}),
        (torchopt, {"alpha": 1.0}),
    ],
)
def test_what_no_rule_says_is_refused(dialect, arguments):
    with pytest.raises(Unsupported):
        dialect(**arguments)


def test_the_learning_rate_and_the_momentum_buffer():
    assert timm(momentum=0.9).rule.lr_in_buffer
    assert not timm(momentum=0.9, lr_in_momentum=False).rule.lr_in_buffer
    assert not stable_baselines3(momentum=0.9).rule.lr_in_buffer
    assert fastai(lr=0.01, mom=0.9).rule.momentum_on == "gradient"


def test_timms_factory_has_defaults_of_its_own():
    assert timm_factory().rule == pytorch(alpha=0.9, momentum=0.9).rule


def test_the_arithmetic_is_known_but_for_an_average_that_forgets_half():
    assert pytorch(centered=True).arithmetic is not None
    assert pytorch(centered=True, alpha=0.5).arithmetic is None
    assert pytorch(alpha=0.5).arithmetic is not None


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_number_rounds_when_fma_brings_it_to_an_array(dtype):
    kind = np.dtype(dtype).type
    x, y = np.array([3.0], dtype), np.array([0.5], dtype)
    rounded = fma(np.array([0.1], dtype), x, y)
    for number in (0.1, Constant(0.1)):
        assert fma(number, x, y).dtype == dtype
        assert fma(number, x, y) == fma(x, number, y) == rounded
    assert fma(x, y, 0.1) == fma(x, y, kind(0.1))


@pytest.mark.parametrize("adapter", BY_MODULE)
def test_names_and_defaults_are_the_librarys_own(adapter):
    module, name = BY_MODULE[adapter]
    pytest.importorskip("torch")
    theirs = inspect.signature(getattr(_module(module), name)).parameters
    ours = ADAPTERS[adapter].dialect.signature.parameters
    assert set(ours) <= set(theirs)
    assert set(theirs) - set(ours) <= NO_FORMULA
    assert {n: p.default for n, p in ours.items()} == {n: theirs[n].default for n in ours}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", ON_TORCH)
def test_with_their_root_it_is_their_bits(name, setting, dtype):
    """Also at lengths that fill no vector of eight."""
    torch = pytest.importorskip("torch")
    adapter = ADAPTERS[name]
    if dtype not in adapter.dtypes:
        pytest.skip(f"{name} does not compute in {dtype}")
    if name == "bitsandbytes" and setting == "centered":
        pytest.skip("bitsandbytes has no centered form")
    made = adapter.dialect.nearest(Rule(beta=0.97, eps_out=1e-4, **SETTINGS[setting]))
    rng = np.random.default_rng(8)
    theta0 = rng.standard_normal(1003).astype(dtype)
    grads = (rng.standard_normal((100, 1003)) * np.exp2(rng.integers(-6, 4, 1003))).astype(dtype)

    def root(x):
        return torch.from_numpy(x).sqrt().numpy()

    ours = made.arithmetic.run(made.rule, sqrt=root)(theta0, grads)
    try:
        theirs = list(adapter.run(made.arguments)(theta0, grads))
    except Unsupported as error:
        pytest.skip(str(error))
    np.testing.assert_array_equal(list(ours), theirs)


@pytest.mark.parametrize("name", ["fastai", "bitsandbytes", "stable-baselines3"])
def test_what_they_say_and_do_not_do(name):
    pytest.importorskip("torch")
    adapter = ADAPTERS[name]
    (claim,) = adapter.dialect.claims
    try:
        report = check(adapter.run(claim.arguments), claim.rule)
    except Unsupported as error:
        pytest.skip(str(error))
    assert report.verdict == "wrong rule"
    assert check(adapter.run(claim.arguments), adapter.dialect(**claim.arguments).rule).ok


def _module(name):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"not installed: {error}")
