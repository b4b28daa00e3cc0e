"""The tests that others make with parametrize_conformance and the pytest plugin."""

import os
import re
import subprocess
import sys

import pytest

from rmsprop_ref import Rule
from rmsprop_ref.oracle import RULES, cases
from rmsprop_ref.testing import parametrize_conformance

PREAMBLE = """
import numpy as np
import pytest
from rmsprop_ref import Rule, Unsupported, init, step
from rmsprop_ref.testing import parametrize_conformance

def make(rule):
    if rule.momentum:
        raise Unsupported("no momentum")
    def run(theta, grads):
        state = init(theta, rule)
        for grad in grads:
            with np.errstate(all="ignore"):
                theta, state = step(theta, grad, state, rule)
            yield theta
    return run
"""
CHECKS = "def test_it(case):\n    case.check()\n"


@pytest.fixture
def outcome(tmp_path):
    """``outcome(code, *options)``: what pytest prints of a test file of its own."""

    def of(code, *options):
        path = tmp_path / "test_mine.py"
        path.write_text(PREAMBLE + code, encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "rmsprop_ref.pytest_plugin"]
        environment = os.environ | {
            "COLUMNS": "250",
            "PYTEST_ADDOPTS": "--strict-config --strict-markers -W error -p no:cacheprovider",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }
        done = subprocess.run(
            [*command, *options, str(path)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        return done.stdout + done.stderr

    return of


def arguments(decorator):
    """The objects that a test function would get."""
    return decorator.args[1]


def last(output):
    """The counts in pytest's last line."""
    return re.sub(r" in [\d.]+s.*", "", output.splitlines()[-1])


# What is made


def test_ids_and_inputs():
    decorator = parametrize_conformance(repr, {"mine": Rule()}, ["float32", "float64"])
    made = arguments(decorator)
    assert [case.id for case in made] == [
        f"mine-{dtype}-{name}"
        for dtype in ("float32", "float64")
        for name in [*(case.id for case in cases(Rule(), dtype)), "repeated-calls"]
    ]
    assert made[0].inputs == cases(Rule(), "float32")[:1]
    assert repr(made[0]) == "mine-float32-usual"


def test_rules_in_every_form():
    def first(rules):
        return arguments(parametrize_conformance(repr, rules))[0].id

    assert first(None) == f"{next(iter(RULES))}-float32-usual"
    assert first([Rule(lr=1), Rule(lr=2)]) == "0-float32-usual"
    assert first(Rule(lr=1)) == "float32-usual"


def test_nothing_runs_before_a_test_does():
    def make(rule):
        raise AssertionError

    assert len(arguments(parametrize_conformance(make))) > 32 * len(RULES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"make": 7}, "make is 7: expected a callable"),
        ({"rules": {"mine": 0.1}}, "rule is 0.1: expected a Rule"),
        ({"dtypes": ["float8"]}, "dtype='float8' is not possible"),
        ({"dtypes": "float32"}, "dtype='f' is not possible"),
        ({"timeout": 0}, "timeout=0 is not possible"),
    ],
)
def test_misuse(wrong, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        parametrize_conformance(**{"make": repr, "rules": {"mine": Rule()}} | wrong)


# What happens


def test_right_and_unsupported(outcome):
    output = outcome(
        "@parametrize_conformance(make, rules={'mine': Rule(), 'mu': Rule(momentum=0.9)})\n"
        + CHECKS,
        "-rs",
    )
    inputs = len(cases(Rule()))
    assert f"rmsprop_ref: {inputs} inputs: {inputs} exact, 0 proven, 0 failed\n" in output
    assert "no momentum" in output
    assert last(output) == f"{inputs + 1} passed, {inputs + 1} skipped"


def test_wrong(outcome):
    code = """
calls = []

def wrong(rule):
    calls.append(rule)
    return make(Rule(lr=rule.lr, eps_in=1e-8))

@parametrize_conformance(wrong, rules={"mine": Rule(lr=0.5)})
def test_it(case):
    case.check()

def test_the_diagnosis_is_made_once():
    assert len(calls) == len(test_it.pytestmark[0].args[1]) + 1
"""
    output = outcome(code)
    assert re.search(
        "AssertionError: input usual, step 1, element [0-9]+: got .*, expected .*, "
        "error .*, allowed .*\nE +all inputs together: wrong rule: ε is inside the root\n",
        output,
    )
    assert "testing.py" not in output
    failed = int(re.search(r"(\d+) failed, ", last(output))[1])
    total = len(cases(Rule(lr=0.5)))
    assert 10 < failed < total
    assert re.search(f"rmsprop_ref: {total} inputs: .* proven, {failed} failed\n", output)


def test_broken(outcome):
    code = """
kept = []

def raises(theta, grads):
    return [theta[7] for _ in grads]

def stuck(theta, grads):
    while True:
        pass

def remembers(theta, grads):
    kept.append(1)
    return [theta * len(kept) for _ in grads]

@parametrize_conformance(raises, Rule())
def test_raises(case):
    case.check()

@parametrize_conformance(stuck, Rule(), timeout=0.05)
def test_stuck(case):
    case.check()

@parametrize_conformance(remembers, Rule())
def test_remembers(case):
    case.check()
"""
    chosen = "(raises and length-7) or (stuck and usual) or (remembers and repeated)"
    output = outcome(code, "-k", chosen)
    assert "return [theta[7] for _ in grads]" in output  # the line that raised
    assert "AssertionError: input length-7: it raised IndexError: index 7" in output
    assert "all inputs together: broken: " in output
    assert "AssertionError: input usual: it did not return within 0.05 s" in output
    assert "AssertionError: asked again, it gives another result" in output
    assert "rmsprop_ref: 3 inputs: 0 exact, 0 proven, 3 failed\n" in output


EACH = """
@parametrize_conformance(make, [Rule()])
def test_each(case):
    case.check()

def test_right(rmsprop_check):
    assert rmsprop_check(make(Rule()), Rule(), "float64").verdict == "exact"

def test_proven(rmsprop_check):
    def run(theta, grads):
        v = np.zeros_like(theta)
        for g in grads:
            v = v + np.float32(0.1) * (g * g - v)
            theta = theta - np.float32(0.01) * (g / (np.sqrt(v) + np.float32(1e-8)))
            yield theta
    rmsprop_check(run, Rule())

def test_wrong(rmsprop_check):
    rmsprop_check(make(Rule(lr=0.5)), Rule())

def test_unsupported(rmsprop_check):
    def run(theta, grads):
        raise Unsupported("not today")
    rmsprop_check(run, Rule())
"""


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "2")], ids=["one", "xdist"])
def test_counts(outcome, options):
    """In one process, and in two that are not the one that prints."""
    output = outcome(EACH, "-rs", *options)
    assert "AssertionError: wrong rule: " in output
    assert "not today" in output
    inputs = len(cases(Rule()))
    assert last(output) == f"1 failed, {inputs + 3} passed, 1 skipped"
    counts = re.search(
        r"rmsprop_ref: (\d+) inputs: (\d+) exact, (\d+) proven, (\d+) failed", output
    )
    given, exact, proven, failed = map(int, counts.groups())
    assert given == 4 * inputs == exact + proven + failed
    assert min(exact, proven, failed) > 10


def test_no_line_where_nothing_was_checked(outcome):
    output = outcome("def test_it():\n    pass\n")
    assert last(output) == "1 passed"
    assert "inputs" not in output
