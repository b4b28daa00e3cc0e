"""RMSProps that run as programs: what their arguments mean, and how those come to them."""

import os
import shutil
import sys

import numpy as np
import pytest

from rmsprop_ref import Rule, check
from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.adapters.catalogue import ADAPTERS
from rmsprop_ref.adapters.libraries import program
from rmsprop_ref.adapters.program import Program, ProgramError
from rmsprop_ref.arithmetic import Arithmetic
from rmsprop_ref.dialects import (
    DIALECTS,
    chainer,
    chainer_graves,
    convnetjs,
    mxnet,
    mxnet2,
    mxnet_alex_update,
    mxnet_update,
    tfjs,
)
from rmsprop_ref.dialects.dialect import canonical

HERE = [tfjs, chainer, chainer_graves, mxnet, mxnet_update, mxnet_alex_update, mxnet2, convnetjs]
POSIX = pytest.mark.skipif(os.name != "posix", reason="the environment is made of symbolic links")
NODE = pytest.mark.skipif(shutil.which("node") is None, reason="there is no Node.js")


# What the arguments mean


def test_epsilon_is_where_each_library_has_it():
    inside, outside = Rule(lr=0.5, beta=0.75, eps_in=0.125), Rule(lr=0.5, beta=0.75, eps_out=0.125)
    assert canonical(tfjs(learningRate=0.5, decay=0.75, epsilon=0.125).rule) == inside
    assert mxnet(learning_rate=0.5, gamma1=0.75, epsilon=0.125).rule == inside
    assert mxnet_update(lr=0.5, gamma1=0.75, epsilon=0.125).rule == inside
    assert convnetjs(learning_rate=0.5, ro=0.75, eps=0.125).rule == inside
    assert chainer(lr=0.5, alpha=0.75, eps=0.125, eps_inside_sqrt=True).rule == inside
    assert chainer(lr=0.5, alpha=0.75, eps=0.125).rule == outside
    assert mxnet2(learning_rate=0.5, rho=0.75, epsilon=0.125).rule == outside
    assert mxnet2(epsilon=0.125, centered=True).rule.eps_in == 0.125


def test_graves():
    """Four spellings of Graves's rule with his four numbers."""
    graves = Rule(lr=1e-4, beta=0.95, eps_in=1e-4, centered=True, momentum=0.9, lr_in_buffer=True)
    assert chainer_graves().rule == graves
    assert mxnet_alex_update(lr=1e-4, epsilon=1e-4).rule == graves
    numbers = {"learning_rate": 1e-4, "epsilon": 1e-4, "centered": True}
    assert mxnet(**numbers, gamma1=0.95).rule == mxnet2(**numbers, rho=0.95).rule == graves


def test_momentum_belongs_to_the_centered_form():
    assert mxnet(gamma2=0.9).rule.momentum == mxnet2(momentum=0.9).rule.momentum == 0
    assert mxnet(centered=True).rule.momentum == mxnet2(centered=True).rule.momentum == 0.9
    assert "momentum" not in convnetjs.arguments(Rule(lr=0.5, eps_in=1e-6))


def test_centered_in_tensorflow_js():
    with pytest.raises(Unsupported, match=r"√\(v - \(m² \+ ε\)\), with ε subtracted"):
        tfjs(learningRate=0.5, centered=True)
    assert tfjs(learningRate=0.5, centered=True, epsilon=0).rule == Rule(
        lr=0.5, centered=True, eps_out=0.0, lr_in_buffer=True
    )


@pytest.mark.parametrize(
    ("dialect", "arguments"),
    [
        (mxnet, {"clip_gradient": 1.0}),
        (mxnet, {"clip_weights": 1.0}),
        (mxnet, {"rescale_grad": 0.5}),
        (mxnet2, {"clip_gradient": 0.0}),
        (mxnet_update, {"lr": 0.5, "clip_gradient": 0.0}),
        (mxnet_alex_update, {"lr": 0.5, "clip_weights": 0.0}),
        (convnetjs, {"l1_decay": 0.1}),
        (convnetjs, {"batch_size": 2}),
    ],
)
def test_what_no_rule_says_is_refused(dialect, arguments):
    with pytest.raises(Unsupported, match=next(name for name in arguments if name != "lr")):
        dialect(**arguments)


def test_no_limit():
    assert mxnet(clip_gradient=0, clip_weights=0).rule == mxnet().rule
    assert mxnet_update(lr=0.5, clip_gradient=-1).rule == mxnet_update(lr=0.5).rule


@pytest.mark.parametrize("dialect", HERE, ids=lambda dialect: dialect.name)
def test_there_and_back(dialect):
    rate = next(iter(dialect.signature.parameters))
    for lr in (0.5, (0.5, 0.25)):
        setting = dialect(**{rate: lr})
        assert dialect(**dialect.arguments(setting.rule)).rule == setting.rule


# How they come to the library


ECHO = """import json, os, sys
for line in sys.stdin:
    request = json.loads(line)
    assert "rule" not in request
    given = request["arguments"]
    if given == {"end": True}:
        sys.exit(3)
    said = {"unsupported": json.dumps(given)} if "say" in given else {
        "trajectory": [[os.getpid()] for _ in request["grads"]]}
    print(json.dumps({"id": request["id"], **said}), flush=True)
"""
GIVEN = {"say": None, "lr": [0.1, 5e-324], "centered": True, "form": "l2", "decay": 1, "eps": 1e-7}


def test_arguments_instead_of_a_rule():
    with Program([sys.executable, "-I", "-S", "-c", ECHO]) as asked:
        run = asked.with_arguments(GIVEN)
        with pytest.raises(Unsupported) as caught:
            run(np.ones(1), np.ones((2, 1)))
        assert eval(str(caught.value), {"null": None, "true": True}) == GIVEN
        assert asked.with_arguments({})(np.ones(1), np.ones((2, 1))).shape == (2, 1)


@pytest.fixture
def atlas(tmp_path, monkeypatch):
    """An atlas with one environment, whose library is ECHO."""
    (tmp_path / "echo" / "bin").mkdir(parents=True)
    (tmp_path / "echo" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "in_python.py").write_text(ECHO, encoding="utf-8")
    monkeypatch.setenv("RMSPROP_REF_ATLAS", str(tmp_path))
    monkeypatch.setattr(program, "PROGRAMS", tmp_path)
    monkeypatch.setattr(program, "_running", {})
    yield tmp_path
    for left in program._running.values():
        left.close()


def ask(optimiser="any", environment="echo", **arguments):
    return program.rmsprop(
        np.ones(1), np.ones((1, 1)), environment=environment, optimiser=optimiser, **arguments
    )


@POSIX
def test_one_process_for_all_calls(atlas):
    first = ask(lr=0.1)
    assert ask(lr=0.2) == first
    assert ask("other", lr=0.2) != first
    with pytest.raises(ProgramError, match="exited with status 3"):
        ask(end=True)
    assert ask(lr=0.1) != first


def test_no_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RMSPROP_REF_ATLAS", str(tmp_path))
    monkeypatch.setattr(program, "_running", {})
    with pytest.raises(Unsupported, match=r"there is no .*chainer.*: make atlas makes it"):
        list(ADAPTERS["chainer"].make(Rule())(np.ones(1, np.float32), np.ones((1, 1), np.float32)))


@NODE
def test_numbers_in_javascript(tmp_path, monkeypatch):
    """A trainer whose parameters become the gradients: each bit there and back, and options."""
    library = tmp_path / "tfjs" / "node_modules" / "convnetjs"
    library.mkdir(parents=True)
    (library / "index.js").write_text(
        """exports.Trainer = class {
  constructor(net, options) { Object.assign(this, { net, options }); }
  train() {
    const [{ params, grads }] = this.net.getParamsAndGrads();
    params.set(grads);
    const { method, ro, l2_decay } = this.options;
    if (method !== "windowgrad" || l2_decay !== null) throw new Error(method);
    params[0] = this.learning_rate;
    params[1] = ro;
  }
};""",
        encoding="utf-8",
    )
    monkeypatch.setenv("RMSPROP_REF_ATLAS", str(tmp_path))
    monkeypatch.setattr(program, "_running", {})
    grads = np.random.default_rng(1).normal(size=(3, 12)) * 2.0 ** np.array([[-1000], [0], [1000]])
    grads[0, 2:] = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -5e-324, 2.0**-1030, 1 / 3, 1e308]
    arguments = {"learning_rate": [0.1, 0.2, 0.3], "ro": 0.9, "l2_decay": None}
    got = np.array(list(ADAPTERS["convnetjs"].run(arguments)(np.ones(12), grads)))
    np.testing.assert_array_equal(got[:, :2], [[0.1, 0.9], [0.2, 0.9], [0.3, 0.9]])
    assert got[:, 2:].tobytes() == grads[:, 2:].tobytes()
    with pytest.raises(ProgramError, match="it reports an error: Error: windowgrad"):
        list(ADAPTERS["convnetjs"].run({})(np.ones(12), grads))


# The libraries


def installed(name):
    adapter = ADAPTERS[name]
    arguments = adapter.dialect.arguments(adapter.dialect.nearest(Rule(lr=0.5)).rule)
    dtype = adapter.dtypes[-1]
    try:
        list(adapter.run(arguments)(np.ones(1, dtype), np.ones((1, 1), dtype)))
    except Unsupported as error:
        pytest.skip(str(error))
    return adapter


BITS = [
    ("tfjs", {"learningRate": 0.01, "decay": 0.3}),
    ("tfjs", {"learningRate": 0.01, "momentum": 0.9, "epsilon": 1e-3}),
    ("tfjs", {"learningRate": 0.01, "centered": True, "epsilon": 0.0, "momentum": 0.9}),
    ("convnetjs", {"learning_rate": 0.01, "l2_decay": 0.1}),
    ("chainer", {"eps": 1e-4}),
    ("chainer", {"eps": 1e-4, "eps_inside_sqrt": True, "alpha": 0.3}),
    ("chainer-graves", {"alpha": 0.3}),
    ("mxnet", {"wd": 0.1}),
    ("mxnet", {"centered": True, "epsilon": 1e-4, "wd": 0.1}),
    ("mxnet-update", {"lr": 0.01, "gamma1": 0.99, "epsilon": 1e-4}),
    ("mxnet-alex-update", {"lr": 0.01, "gamma2": 0.5, "epsilon": 1e-4}),
]


@pytest.mark.parametrize(("name", "arguments"), BITS)
def test_to_the_bit(name, arguments):
    adapter = installed(name)
    setting = adapter.dialect(**arguments)
    rng = np.random.default_rng(5)
    for dtype in adapter.dtypes:
        theta0 = rng.normal(size=300).astype(dtype)
        grads = (rng.normal(size=(60, 300)) * 2.0 ** rng.integers(-6, 4, 300)).astype(dtype)
        theirs = np.array(list(adapter.run(setting.arguments)(theta0, grads)))
        assert theirs.dtype == dtype
        ours = np.array(list(setting.arithmetic.run(setting.rule)(theta0, grads)))
        np.testing.assert_array_equal(ours, theirs)
        other = Arithmetic(("(lr*x)/d -> x*(lr/d)",), numbers="exact").run(setting.rule)
        assert (np.array(list(other(theta0, grads))) != theirs).any()


FOUND = {
    "tfjs": {"centered": "ε is subtracted under the root, not added"},
    "mxnet-update": {"clip_gradient": "θ never moves"},
    "mxnet-alex-update": {"clip_gradient": "θ never moves"},
}


@pytest.mark.parametrize("name", FOUND)
def test_what_the_documentation_promises(name):
    """The oracle, told what the documentation says, finds what the library does instead."""
    adapter = installed(name)
    for claim in adapter.dialect.claims:
        report = check(adapter.run(claim.arguments), claim.rule, timeout=60.0)
        assert not report.ok
        for argument, found in FOUND[name].items():
            if argument in claim.arguments:
                assert (report.verdict, report.diagnosis) == ("wrong rule", found)


@pytest.mark.parametrize("name", ["mxnet-update", "mxnet-alex-update"])
def test_a_limit_of_zero_limits_the_parameters_of_mxnet(name):
    run = installed(name).run({"lr": 0.01, "clip_weights": 0.0})
    np.testing.assert_array_equal(list(run(np.ones(2, "f4"), np.ones((2, 2), "f4"))), 0.0)


def test_epsilon_that_is_zero_in_float16_is_refused_by_chainer():
    run = installed("chainer").make(Rule(eps_out=1e-8))
    with pytest.raises(Unsupported, match="too small for float16"):
        list(run(np.ones(1, np.float16), np.ones((1, 1), np.float16)))


def test_the_numbers_of_mxnet_are_float32():
    run = installed("mxnet-update").make(Rule(eps_in=1e-8))
    report = check(run, Rule(eps_in=1e-8), "float64", timeout=60.0)
    assert report.verdict == "imprecise"
    assert "float32" in report.diagnosis


def test_all_are_listed():
    assert {dialect.name for dialect in HERE} <= DIALECTS.keys()
    run = {a.dialect_name for a in ADAPTERS.values() if a.function.startswith("program:")}
    assert run == {dialect.name for dialect in HERE if dialect.status == "run"}
