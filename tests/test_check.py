"""The verdicts: what is right passes in every honest form, what is wrong is named."""

import contextlib
import json
import time

import dask
import dask.array as da
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rmsprop_ref
from rmsprop_ref import Rule, Unsupported, check, check_suite, init, step
from rmsprop_ref.course.mutants import MUTANTS
from rmsprop_ref.course.orders import evaluate
from rmsprop_ref.oracle import FLAGS, RULES, cases
from rmsprop_ref.oracle.inputs import FAMILIES
from rmsprop_ref.oracle.suite import published

PLAIN = Rule(lr=0.01, beta=0.9, eps_out=1e-8)


def reference(rule, xp=np, number=np.asarray):
    def run(theta, grads):
        theta = number(theta)
        state = init(theta, rule, xp)
        for grad in grads:
            theta, state = step(theta, number(grad), state, rule, xp)
            yield theta

    return run


def mine(theta0, grads, root=np.sqrt, after=lambda theta: theta):
    theta, v, out = theta0.copy(), np.zeros_like(theta0), []
    for g in grads:
        v = 0.9 * v + 0.1 * g * g
        theta = after(theta - 0.01 * g / (root(v) + 1e-8))
        out.append(theta)
    return np.array(out)


# Right in every form.


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("name", RULES)
def test_the_reference_is_exact(name, dtype):
    report = check(reference(RULES[name]), RULES[name], dtype)
    assert report.verdict == "exact", str(report)
    assert report.ok


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_loop_by_hand_is_proven(dtype):
    report = check(mine, PLAIN, dtype)
    assert report.verdict == "proven", str(report)
    ratio = report.worst.error / report.worst.allowed
    assert 1 / 4 < ratio <= 1


@pytest.mark.parametrize("name", ["plain", "graves", "everything"])
@pytest.mark.parametrize("seed", range(2))
def test_an_honest_order_passes(name, seed):
    rule = RULES[name]
    for dtype in ("float16", "bfloat16", "float32", "float64"):

        def run(theta0, grads, dtype=dtype):
            rng = np.random.default_rng(seed)  # the same order in each call
            rows = evaluate(rule, theta0, grads, dtype, rng, decimal=seed % 2 == 1)
            return rows.astype(theta0.dtype)

        report = check(run, rule, dtype)
        assert report.ok, str(report)


@pytest.mark.parametrize("name", ["plain", "bias-correction", "everything"])
def test_the_reference_passes_under_jax(name):
    rule = RULES[name]
    with jax.enable_x64(True):
        for dtype in ("float32", "float64"):
            report = check(reference(rule, jnp, jnp.asarray), rule, dtype, timeout=60)
            assert report.ok, str(report)


def test_the_reference_passes_under_dask():
    rule = RULES["everything"]  # its schedule keeps it short

    def in_dask(theta, grads):
        theta = da.from_array(theta)
        state = init(theta, rule, da)
        for grad in grads:
            theta, state = dask.persist(*step(theta, da.from_array(grad), state, rule, da))
            yield theta

    report = check(in_dask, rule, "float32", timeout=60)
    assert report.verdict == "exact", str(report)


def test_torch_passes():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch")
    for name in ("plain", "centered", "momentum", "l2"):
        rule = RULES[name]
        for dtype in ("float32", "float64"):
            report = check(reference(rule, torch, torch.as_tensor), rule, dtype)
            assert report.ok, str(report)


def test_the_reading_is_said():
    rule = Rule(beta=0.9999)

    def decimal(theta0, grads):
        theta, v = theta0, np.zeros_like(theta0)
        for g in grads:
            v = 0.9999 * v + 0.0001 * g * g
            theta = theta - 0.01 * g / (np.sqrt(v) + 1e-8)
            yield theta

    report = check(decimal, rule, "float64")
    assert report.verdict == "proven", str(report)
    assert report.reading == "β and 1-β each written in decimal"


def test_flushed_subnormal_numbers_pass_and_are_said():
    def flushed(x):
        return np.where(np.abs(x) < np.finfo(x.dtype).tiny, 0, x).astype(x.dtype)

    def run(theta0, grads):
        theta, v = flushed(theta0), np.zeros_like(theta0)
        for g in map(flushed, grads):
            v = flushed(np.float32(0.9) * v + flushed(np.float32(0.1) * flushed(g * g)))
            theta = flushed(theta - flushed(np.float32(0.01) * g) / (np.sqrt(v) + np.float32(1e-8)))
            yield theta

    report = check(run, PLAIN)
    assert report.ok, str(report)
    assert report.reading.endswith("; subnormal numbers flushed to zero")


# Wrong, and named.


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_killed_and_its_fault_named(mutant):
    dtype = "float64" if mutant.name == "precision-computed-in-float32" else "float32"
    report = check(mutant.run, mutant.rule, dtype)
    assert not report.ok
    assert any(word in report.diagnosis.lower() for word in mutant.keywords), report.diagnosis


def test_a_failure_says_where_and_what():
    def inside(theta0, grads):
        theta, v, out = theta0.copy(), np.zeros_like(theta0), []
        for g in grads:
            v = 0.9 * v + 0.1 * g * g
            theta = theta - 0.01 * g / np.sqrt(v + 1e-8)
            out.append(theta)
        return out

    for dtype in ("float32", "float64"):
        report = check(inside, PLAIN, dtype)
        assert (report.verdict, report.axis) == ("wrong rule", "eps")
        assert report.diagnosis == "ε is inside the root"
        assert report.computes == Rule(lr=0.01, beta=0.9, eps_in=1e-8)
        assert report.first.step == 1
        assert report.worst.error > report.worst.allowed
        with pytest.raises(AssertionError, match="ε is inside the root"):
            report.raise_for_failure()


def test_two_axes_at_once():
    rule, other = Rule(eps_out=1e-10), Rule(eps_in=1e-10, v0=1.0)  # TensorFlow 1's
    for dtype in ("float32", "float64"):
        report = check(reference(other), rule, dtype)
        assert report.computes == other, str(report)


@pytest.mark.parametrize(
    ("dtype", "number", "words"),
    [
        ("float64", np.float32, "the hyper-parameters are rounded to float32"),
        ("float32", np.float16, "the hyper-parameters are rounded to float16"),
    ],
)
def test_hyper_parameters_in_a_narrower_format(dtype, number, words):
    lr, beta = (float(number(x)) for x in (0.01, 0.99))
    rule = Rule(lr=0.01, beta=0.99, eps_out=0.0)
    report = check(reference(Rule(lr=lr, beta=beta, eps_out=0.0)), rule, dtype)
    assert (report.verdict, report.diagnosis) == ("imprecise", words)


@pytest.mark.parametrize(
    ("other", "claimed", "words"),
    [
        (Rule(beta=0.97), PLAIN, "β is 0.97, not 0.9"),
        (Rule(lr=0.0123), PLAIN, "the learning rate is 0.0123, not 0.01"),
        (Rule(eps_out=3e-7), PLAIN, "ε outside the root is 3e-07, not 1e-08"),
        (Rule(eps_in=2e-5), Rule(eps_in=1e-7), "ε inside the root is 2e-05, not 1e-07"),
        (Rule(momentum=0.8), Rule(momentum=0.9), "momentum is 0.8, not 0.9"),
        (Rule(weight_decay=0.03), Rule(weight_decay=0.01), "weight decay is 0.03, not 0.01"),
        (
            Rule(momentum=0.8, nesterov=True),
            Rule(momentum=0.9, nesterov=True),
            "momentum is 0.8, not 0.9",
        ),
    ],
)
def test_any_value_of_a_hyper_parameter_is_found(other, claimed, words):
    for dtype in ("float32", "float64"):
        report = check(reference(other), claimed, dtype)
        assert (report.verdict, report.diagnosis) == ("wrong rule", words)
        assert report.computes == other


def test_one_hyper_parameter_in_float32_is_named():
    other = Rule(lr=float(np.float32(0.01)))
    report = check(reference(other), PLAIN, "float64")
    assert (report.verdict, report.diagnosis) == (
        "imprecise",
        "the learning rate is rounded to float32",
    )


def test_what_hardly_anything_is_known_of_explains_nothing():
    """A cap on v shows itself only where float16 overflows: no reason to say float16."""

    def capped(theta0, grads):
        theta, v = theta0, np.zeros_like(theta0)
        for g in grads:
            v = np.minimum(0.9 * v + 0.1 * g * g, theta0.dtype.type(1e6))
            theta = theta - 0.01 * g / (np.sqrt(v) + 1e-8)
            yield theta

    report = check(capped, PLAIN)
    assert (report.verdict, report.axis) == ("wrong rule", "unknown")
    assert "the nearest is the claimed one, with 9" in report.diagnosis


def test_one_array_for_all_rows_is_seen_beside_another_fault():
    def run(theta0, grads):
        theta, v, out = theta0.copy(), np.zeros_like(theta0), []
        for g in grads:
            v = 0.9 * v + 0.1 * g * g
            theta -= 0.01 * g / np.sqrt(v + 1e-8)
            out.append(theta)
        return out

    assert check(run, PLAIN).diagnosis.startswith("every row is the last one")


def test_an_unknown_rule_is_compared_with_the_nearest():
    report = check(lambda x, g: mine(x, g, after=lambda theta: np.sin(theta)), PLAIN)
    assert report.verdict == "wrong rule"
    assert report.diagnosis.startswith("another rule than any known here; the nearest is ")


# Bad input of every kind.


def returns(value):
    return lambda theta0, grads: value


def loops(theta0, grads):
    while True:
        pass


def swallows_and_loops(theta0, grads):
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def endless(theta0, grads):
    while True:
        yield theta0 + 1


def stops_early(theta0, grads):
    yield from mine(theta0, grads)[:1]


def breaks_off(theta0, grads):
    yield theta0
    raise ZeroDivisionError("on the second step")


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raises(error):
    def run(theta0, grads):
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (returns(None), "it returned None: expected the parameters after each step"),
        (returns("theta"), "it returned 'theta'"),
        (returns(0.5), "it returned 0.5"),
        (returns({"theta": 1}), "it returned {'theta': 1}"),
        (returns([]), "it returned 0 rows"),
        (returns(np.float32(1)), r"it returned an array of shape \(\)"),
        (returns([[None] * 24] * 12), "dtype object: expected float32"),
        (returns(np.zeros((12, 24), complex)), "dtype complex128: expected float32"),
        (returns(np.zeros((12, 24), int)), "dtype int64: expected float32"),
        (returns(np.zeros((12, 24))), "it returned float64 for float32 input"),
        (returns([[0.1] * 24] * 12), "it returned 0.1, which is no float32"),
        (returns(np.zeros((24, 12), "float32")), "the transpose"),
        (returns([[1.0], [2.0, 3.0]]), "rows of shape"),
        (lambda x, g: np.vstack([x[None], mine(x, g)]), "a row for theta0"),
        (lambda x, g: mine(x, g)[-1], "rows of shape"),
        (stops_early, "it returned 1 rows"),
        (endless, "it returned more than 12 rows"),
        (breaks_off, "it raised ZeroDivisionError: on the second step"),
        (raises(ValueError("no\n good")), "it raised ValueError: no good"),
        (raises(SystemExit(3)), r"it called sys.exit\(3\)"),
        (raises(UnprintableError()), "it raised UnprintableError"),
        (raises(MemoryError()), "it raised MemoryError"),
        (lambda x: x, "it raised TypeError"),
        (loops, "it did not return within 0.2 s"),
        (swallows_and_loops, "it did not return within 0.2 s"),
        (lambda x, g: np.full((len(g), len(x)), np.nan, x.dtype), "NaN where the rule is finite"),
    ],
)
def test_bad_runs_are_broken_and_told(run, words):
    start = time.monotonic()
    report = check(run, PLAIN, timeout=0.2)
    assert time.monotonic() - start < 20
    assert report.verdict == "broken", str(report)
    with pytest.raises(AssertionError, match=words):
        report.raise_for_failure()
    json.loads(report.to_json())


def test_a_hanging_run_in_another_thread_is_told():
    import threading

    found = []
    worker = threading.Thread(target=lambda: found.append(check(_sleeps, PLAIN, timeout=0.2)))
    worker.start()
    worker.join(20)
    assert found[0].diagnosis.startswith("it did not return within 0.2 s")


def _sleeps(theta0, grads):
    time.sleep(2)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((None, PLAIN), TypeError, "run is None: expected a callable"),
        ((mine, None), TypeError, "rule is None: expected a Rule"),
        ((mine, PLAIN, "float8"), TypeError, "dtype='float8' is not possible"),
        ((mine, PLAIN, int), TypeError, "dtype=<class 'int'> is not possible"),
    ],
)
def test_misuse_is_told(arguments, error, words):
    with pytest.raises(error, match=words):
        check(*arguments)
    with pytest.raises(ValueError, match="timeout=0 is not possible"):
        check(mine, PLAIN, timeout=0)


def test_keyboard_interrupt_is_the_users():
    with pytest.raises(KeyboardInterrupt):
        check(raises(KeyboardInterrupt()), PLAIN)


# What is accepted as a trajectory.


@pytest.mark.parametrize(
    "form",
    [
        lambda rows: rows,
        list,
        tuple,
        iter,
        lambda rows: rows.tolist(),
        lambda rows: [jnp.asarray(row) for row in rows],
        jnp.asarray,
    ],
)
def test_a_trajectory_may_have_any_form(form):
    report = check(lambda x, g: form(mine(x, g)), PLAIN)
    assert report.verdict == "proven", str(report)


def test_a_generator_may_yield_one_array_again_and_again():
    def in_place(theta0, grads):
        theta, v = theta0.copy(), np.zeros_like(theta0)
        for g in grads:
            v = 0.9 * v + 0.1 * g * g
            theta -= 0.01 * g / (np.sqrt(v) + 1e-8)
            yield theta

    assert check(in_place, PLAIN).ok
    report = check(lambda x, g: list(in_place(x, g)), PLAIN)
    assert report.verdict == "broken"
    assert report.diagnosis.startswith("every row is the last one")


# Reports and suites.


def test_a_report_is_text_html_and_json():
    report = check(reference(Rule(eps_in=1e-8)), PLAIN)
    text = str(report)
    assert "\x1b" not in text
    assert all(len(line) < 120 for line in text.splitlines())
    assert "ε is inside the root" in report._repr_html_()
    content = json.loads(report.to_json(indent=1))
    assert (content["ok"], content["verdict"]) == (False, "wrong rule")
    assert content["computes"]["eps_in"] == 1e-8
    assert len(content["cases"]) == len(cases(PLAIN, "float32"))


def test_a_suite_is_a_table():
    def make(rule):
        if rule.centered:
            raise Unsupported("no centered form")
        if rule.nesterov:
            raise RuntimeError("no such thing")
        return reference(rule if not rule.momentum else Rule())

    names = ("plain", "centered", "momentum", "nesterov")
    suite = check_suite(make, {name: RULES[name] for name in names}, ["float32", "float64"])
    assert not suite.ok
    lines = str(suite).splitlines()
    assert lines[1].split() == ["plain", "exact", "exact"]
    assert lines[2].split()[1:3] == ["unsupported"] * 2
    assert "momentum is missing" in lines[3]
    assert "make raised RuntimeError: no such thing" in lines[4]
    assert lines[-1] == "2 of 6 pass, 2 are not supported"
    assert json.loads(suite.to_json())["rows"][2] == {
        "rule": "centered",
        "dtype": "float32",
        "unsupported": "no centered form",
    }
    assert suite._repr_html_().count("<tr>") == 5
    with pytest.raises(AssertionError, match="2 of 6 pass"):
        suite.raise_for_failure()


def test_the_whole_suite_passes_on_the_reference():
    assert len(RULES) >= 30
    assert check_suite(reference, dtypes=["float32"]).ok


# The inputs.


def test_the_inputs_are_flagged_and_deterministic():
    assert len(list(published())) >= 60
    used = set()
    for case in published():
        assert set(case.flags) <= FLAGS.keys()
        used |= set(case.flags)
    assert used == FLAGS.keys()
    assert len({case.id for case in published()}) == len(list(published()))
    for name in FAMILIES:
        (one,) = (case for case in cases(PLAIN, "float64") if case.id == name)
        assert not one.grads.flags.writeable


def test_a_check_takes_less_than_a_second():
    slowest = 0.0
    for dtype in ("float32", "float64"):
        start = time.process_time()
        check(mine, PLAIN, dtype)
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 1


def test_the_oracle_loads_when_it_is_asked_for():
    assert "check" in dir(rmsprop_ref)
    with pytest.raises(AttributeError, match="has no attribute 'chek'"):
        _ = rmsprop_ref.chek
