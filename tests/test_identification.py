"""Identification: from recordings, from black boxes, from the command line; and its page."""

import contextlib
import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rmsprop_ref import Recording, Rule, identify, init, step
from rmsprop_ref.course.orders import evaluate
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.dialects.dialect import canonical
from rmsprop_ref.oracle.suite import RULES

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "identification.md"
SIZES = np.array([1.0, 0.1, 0.01, 0.001])


def recorded(rule, dtype="float32", seed=0, steps=20, sizes=SIZES):
    """What the reference gives, from random parameters and gradients of four sizes."""
    steps = min(steps, len(rule.lr)) if isinstance(rule.lr, tuple) else steps
    rng = np.random.default_rng(seed)
    theta0 = rng.standard_normal(len(sizes)).astype(dtype)
    grads = (rng.standard_normal((steps, len(sizes))) * sizes).astype(dtype)
    theta, state, rows = theta0, init(theta0, rule), []
    for grad in grads:
        theta, state = step(theta, grad, state, rule)
        rows.append(theta)
    return Recording(theta0, grads, np.array(rows))


def false_statements(answer, rule):
    """The axes that are said to be determined, and are not as they are said to be."""
    wrong = []
    for axis in answer.axes:
        true = getattr(rule, axis.name)
        between = axis.low is not None and not isinstance(true, str)
        if (
            axis.determined
            and true != axis.value
            and not (between and axis.low <= true <= axis.high)
        ):
            wrong.append(axis.name)
    return wrong


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "epsilon-inside",
        "start-at-one",
        "bias-correction",
        "centered-epsilon-inside",
        "momentum-schedule",
        "momentum-on-gradient",
        "nesterov",
        "l2",
        "graves",
    ],
)
def test_nothing_false_is_said_and_the_rule_is_found(name, dtype):
    rule = RULES[name]
    given = {"lr": rule.lr} if isinstance(rule.lr, tuple) else {}
    answer = identify(recorded(rule, dtype), **given)
    assert answer.optimiser == "RMSProp"
    assert answer.ok
    assert false_statements(answer, rule) == []
    assert sum(axis.determined for axis in answer.axes) >= 9
    found = answer.rule
    assert found.beta == pytest.approx(rule.beta, abs=1e-3)
    assert found.momentum == pytest.approx(rule.momentum, abs=1e-3)
    assert (found.centered, found.bias_correction) == (rule.centered, rule.bias_correction)
    if dtype == "float64":
        assert canonical(found) == canonical(rule)


@pytest.mark.parametrize("seed", range(3))
def test_any_legal_order_of_evaluation_will_do(seed):
    rule = Rule(lr=0.003, beta=0.95, eps_in=1e-6, momentum=0.8)
    data = recorded(rule)
    theta0, grads = data.theta0.astype("float32"), data.grads.astype("float32")
    rows = evaluate(rule, theta0, grads, "float32", np.random.default_rng(seed))
    answer = identify(Recording(theta0, grads, rows.astype("float32")))
    assert answer.verdict == "identified"
    assert false_statements(answer, rule) == []


def sgd(g, s):
    return 0.05 * g


def heavy_ball(g, s):
    s["b"] = 0.9 * s.get("b", 0) + g
    return 0.05 * s["b"]


def sign(g, s):
    return 0.01 * np.sign(g)


def adam(g, s):
    t = s["t"] = s.get("t", 0) + 1
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    return 0.002 * (s["m"] / (1 - 0.9**t)) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)


def amsgrad(g, s):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    s["max"] = np.maximum(s.get("max", 0), s["v"])
    return 0.002 * s["m"] / (np.sqrt(s["max"]) + 1e-8)


def adagrad(g, s):
    s["v"] = s.get("v", 0) + g * g
    return 0.1 * g / (np.sqrt(s["v"]) + 1e-10)


def adadelta(g, s):
    s["v"] = 0.95 * s.get("v", 0) + 0.05 * g * g
    u = np.sqrt(s.get("d", 0) + 1e-6) * g / np.sqrt(s["v"] + 1e-6)
    s["d"] = 0.95 * s.get("d", 0) + 0.05 * u * u
    return u


def lion(g, s):
    u = np.sign(0.9 * s.get("m", 0) + 0.1 * g)
    s["m"] = 0.99 * s.get("m", 0) + 0.01 * g
    return 0.01 * u


def by_steps(optimiser):
    """An optimiser as an implementation under test."""

    def run(theta0, grads):
        theta, state = theta0.copy(), {}
        for g in grads:
            theta = theta - optimiser(g, state)
            yield theta

    return run


@pytest.mark.parametrize(
    ("optimiser", "name"),
    [
        (sgd, "SGD"),
        (heavy_ball, "SGD with"),
        (sign, "sign descent"),
        (adam, "Adam"),
        (amsgrad, "AMSGrad"),
        (adagrad, "AdaGrad"),
        (adadelta, "Adadelta"),
        (lion, ""),
    ],
)
def test_other_optimisers_are_named(optimiser, name):
    data = recorded(Rule(), "float64")
    rows = list(by_steps(optimiser)(data.theta0, data.grads))
    answer = identify(Recording(data.theta0, data.grads, rows))
    assert not answer.ok
    assert answer.optimiser.startswith(name) if name else answer.verdict == "none"
    assert answer.dialects == ()
    if name == "Adam":
        assert answer.numbers["lr"] == pytest.approx(0.002)
        assert answer.numbers["beta"] == pytest.approx(0.999)


def test_what_is_open_is_listed_with_what_would_show_it():
    answer = identify(recorded(Rule(lr=0.01, momentum=0.9), sizes=np.ones(4)))
    wanted = {axis.name: axis.wanted for axis in answer.undetermined}
    assert "learning rate that changes" in wanted["lr_in_buffer"]
    assert "as small as ε" in wanted["eps_out"]
    assert "lr_in_buffer" in str(answer)


def test_a_given_number_is_used_and_a_wrong_one_contradicted():
    data = recorded(Rule(lr=0.02, beta=0.95, eps_in=1e-4))
    assert identify(data, lr=0.02, beta=0.95).rule.eps_in == pytest.approx(1e-4, rel=0.01)
    answer = identify(data, beta=0.9)
    assert "beta=0.9 contradicts the recording" in answer.sentence
    assert "0.95" in answer.sentence
    with pytest.raises(TypeError, match="rho"):
        identify(data, rho=0.9)
    with pytest.raises(ValueError, match="out of range"):
        identify(data, beta=2)


def test_worse_arithmetic_is_told_from_another_rule():
    rule = Rule(lr=0.01, beta=0.999, eps_in=1e-7)
    data = recorded(rule)
    one = np.float32
    theta, v, rows = data.theta0.astype(one), np.zeros(4, one), []
    for g in data.grads.astype(one):
        v = v * one(0.999) + (one(1) - one(0.999)) * (g * g)
        theta = theta - one(0.01) * g / np.sqrt(v + one(1e-7))
        rows.append(theta)
    answer = identify(Recording(data.theta0.astype(one), data.grads.astype(one), rows))
    assert answer.verdict == "imprecise"
    assert "1-β is formed in float32" in answer.sentence


def test_the_libraries_that_fit_speak_their_own_language():
    answer = identify(recorded(DIALECTS["timm"](lr=0.01, eps=1e-3).rule, "float64"))
    arguments = dict(answer.dialects)
    assert arguments["timm"]["eps"] == pytest.approx(1e-3)
    assert {"timm", "tf1", "stable_baselines3", "optax"} <= set(arguments)
    assert not {"pytorch", "keras3"} & set(arguments)


def test_a_black_box_is_probed():
    rule = Rule(lr=0.005, beta=0.98, eps_out=1e-5, centered=True)

    def run(theta0, grads):
        theta, v, m = theta0.copy(), np.zeros_like(theta0), np.zeros_like(theta0)
        for g in grads:
            v, m = 0.98 * v + 0.02 * g * g, 0.98 * m + 0.02 * g
            theta = theta - 0.005 * g / (np.sqrt(v - m * m) + 1e-5)
            yield theta

    answer = identify(run)
    assert false_statements(answer, rule) == []
    assert canonical(answer.rule) == canonical(rule)
    assert identify(lambda theta0, grads: 3).verdict == "broken"
    with pytest.raises(TypeError, match="Recording or a callable"):
        identify(3)


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [(1, [1.0]), (3, [1.0]), (3, [1.0, 1e-9]), (20, [0.0, 0.0]), (5, [1e18] * 4)],
)
def test_little_data_says_little_and_nothing_false(steps, sizes):
    for rule in (Rule(), Rule(eps_in=1e-3, momentum=0.9, lr_in_buffer=True)):
        answer = identify(recorded(rule, "float64", steps=steps, sizes=np.array(sizes)))
        if answer.optimiser == "RMSProp":
            assert false_statements(answer, rule) == []
        else:
            assert "RMSProp" in answer.others or not any(sizes)


def test_a_recording_comes_back_from_its_file(tmp_path):
    for dtype in ("float16", "float32", "float64"):
        data = recorded(Rule(eps_out=1e-3), dtype)
        data.write(tmp_path / "data.json")
        again = Recording.read(tmp_path / "data.json")
        assert again.dtype == dtype
        for name in ("theta0", "grads", "trajectory"):
            np.testing.assert_array_equal(getattr(again, name), getattr(data, name))


def test_digits_say_the_format_that_a_file_leaves_out(tmp_path):
    path = tmp_path / "data.json"
    written = {"float32": lambda x: str(np.float32(x)), "float64": repr}
    for dtype, text in written.items():
        data = recorded(Rule(), dtype)
        rows = {
            name: [[text(x) for x in row] for row in np.atleast_2d(getattr(data, name)).tolist()]
            for name in ("theta0", "grads", "trajectory")
        }
        rows["theta0"] = rows["theta0"][0]
        path.write_text(json.dumps(rows))
        assert Recording.read(path).dtype == dtype


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no object"),
        ("{", "no JSON"),
        ('{"theta0": [1], "grads": [[1]]}', "no trajectory"),
        ('{"theta0": [1], "grads": [[1]], "trajectory": [[1, 2]]}', "trajectory"),
        ('{"theta0": [1], "grads": [[1]], "trajectory": [["x"]]}', "'x' is no number"),
        ('{"theta0": ["nan"], "grads": [[1]], "trajectory": [[1]]}', r"theta0\[0\]"),
        ('{"theta0": [1], "grads": [], "trajectory": []}', "empty|grads"),
        ('{"theta0": [1], "grads": [[1]], "trajectory": [[1]], "dtype": "int8"}', "int8"),
    ],
)
def test_errors_say_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / "data.json"
    path.write_text(content)
    with pytest.raises((ValueError, TypeError), match=message):
        Recording.read(path)
    done = command("identify", str(path))
    assert done.returncode == 2
    assert done.stderr.startswith("rmsprop-ref: ")
    assert "Traceback" not in done.stderr


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "rmsprop_ref", *arguments], capture_output=True, text=True
    )


def test_the_command(tmp_path):
    rule = DIALECTS["keras3"](learning_rate=0.003, epsilon=1e-5).rule
    recorded(rule).write(tmp_path / "rms.json")
    done = command("identify", str(tmp_path / "rms.json"))
    assert done.returncode == 0, done.stderr
    assert "ε inside the root" in done.stdout
    assert "keras3" in done.stdout
    found = json.loads(command("identify", str(tmp_path / "rms.json"), "--json").stdout)
    assert found["ok"] is True
    assert found["rule"]["eps_in"] == pytest.approx(1e-5, rel=0.01)
    data = recorded(Rule(), "float64")
    rows = list(by_steps(sgd)(data.theta0, data.grads))
    Recording(data.theta0, data.grads, rows).write(tmp_path / "sgd.json")
    done = command("identify", str(tmp_path / "sgd.json"))
    assert done.returncode == 1
    assert done.stdout.startswith("SGD")
    program = f"{sys.executable} {ROOT / 'examples' / 'rmsprop.py'}"
    done = command("identify", "--cmd", program, "--rule", "lr=0.01,beta=0.9,eps_out=1e-6")
    assert done.returncode == 0, done.stderr
    assert "ε outside the root" in done.stdout
    assert command("identify").returncode == 2
    assert command("identify", str(tmp_path / "nothing.json")).returncode == 2


def test_twenty_steps_of_four_parameters_take_less_than_five_seconds():
    data = recorded(RULES["graves"])
    start = time.process_time()
    identify(data)
    assert time.process_time() - start < 5


def page_with_real_outputs():
    """The page, each text block replaced by what the code above it prints."""
    names, printed = {}, ""

    def run(block):
        nonlocal printed
        language, code = block.groups()
        if language == "text":
            return f"```text\n{printed}```"
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, names)
        printed = out.getvalue()
        return block[0]

    pattern = r"^```(python|text)\n(.*?)^```"
    return re.sub(pattern, run, PAGE.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def test_the_page_prints_what_it_says():
    assert page_with_real_outputs() == PAGE.read_text("utf-8")


if __name__ == "__main__":  # write the page anew: python tests/test_identification.py
    PAGE.write_text(page_with_real_outputs(), "utf-8")
