"""The linter of the published vectors, and what they catch. No test here needs the network."""

import copy
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from jsonschema import Draft202012Validator

import rmsprop_ref.reference
from rmsprop_ref import Rule, init, step, vectors
from rmsprop_ref.constant import FORMATS, _nearest
from rmsprop_ref.course.mutants import MUTANTS, RMSProp
from rmsprop_ref.course.orders import evaluate
from rmsprop_ref.oracle.balls import Ball, Balls
from rmsprop_ref.oracle.enclosures import numpy_dtype
from rmsprop_ref.oracle.inputs import FAMILIES, FLAGS
from rmsprop_ref.oracle.suite import RULES, published
from rmsprop_ref.vectors import __main__ as command
from rmsprop_ref.vectors import generator

ROOT = Path(__file__).parents[1]
HERE = ROOT / "rmsprop_ref" / "vectors"
PAGE = (ROOT / "book" / "vectors.md").read_text(encoding="utf-8")
RAW = {path.name: path.read_bytes() for path in sorted((HERE / "v1").iterdir())}
JSON = {name: json.loads(raw) for name, raw in RAW.items()}
FILES = [f"{name}.json" for name in RULES]
CASES = {case["id"]: case for case in vectors.load()}
SOURCES = {case.id: case for case in published()}
IDS = [line.split(" ") for line in (HERE / "ids.txt").read_text("utf-8").splitlines()]
SCHEMA = JSON["schema.json"]
MUTANT = {mutant.name: mutant for mutant in MUTANTS}


# What a reader of the page writes. From here to the next line of dashes nothing of ours is used.


def numbers(row):
    return [float.fromhex(x) for x in row["hex"]]


def passes(got, exact, bound):
    both_nan = got != got and exact != exact
    return bound == "any" or both_nan or abs(got - exact) <= float(bound)


def failures(case, trajectory, slot="theta"):
    """Steps (from 1) and elements that are wrong, of the rows that a program gave for a slot."""
    return [
        (t, j)
        for t, (row, right) in enumerate(zip(trajectory, case["steps"], strict=True), 1)
        for j, (got, exact, bound) in enumerate(
            zip(row, numbers(right[slot]), right[slot]["bound"], strict=True)
        )
        if not passes(got, exact, bound)
    ]


# ------------------------------------------------------------------------------------------------


def arrays(case):
    """θ0 and the gradients of a case, of the dtype, from its JSON alone."""
    dtype = numpy_dtype(case["dtype"])
    theta0 = np.array(numbers(case["theta0"]))
    rows = [numbers(row) for row in case["grads"]]
    grads = np.array(rows).reshape(len(rows), len(theta0))
    return theta0.astype(dtype), grads.astype(dtype)


def rule_of(case):
    """The rule of a case, from its JSON alone."""

    def value(x):
        if not isinstance(x, dict):
            return x
        return numbers(x) if isinstance(x["hex"], list) else float.fromhex(x["hex"])

    return Rule(**{name: value(x) for name, x in case["rule"].items() if name != "name"})


def reference(case, rule=None):
    """All slots of the NumPy reference, as lists of rows."""
    theta, grads = arrays(case)
    rule = rule or rule_of(case)
    state = init(theta, rule)
    rows = {"theta": [], "v": [], "m": [], "b": []}
    with np.errstate(all="ignore"):
        for grad in grads:
            theta, state = step(theta, grad, state, rule)
            for slot, x in zip(rows, (theta, *state[1:]), strict=True):
                rows[slot].append(None if x is None else x.astype(float).tolist())
    return rows


def caught(run, case):
    """Whether a program fails a case, by what it gives or because it gives nothing right."""
    theta0, grads = arrays(case)
    try:
        got = np.asarray(run(theta0.copy(), grads.copy()))
    except Exception:
        return True
    if got.shape != grads.shape or got.dtype != theta0.dtype:
        return True
    return bool(failures(case, got.astype(float).tolist()))


def rows_of(case):
    """All numbers of a case, as it prints them."""
    yield case["theta0"]
    yield from case["grads"]
    for one in case["steps"]:
        yield from one.values()


# The files


def test_schema_is_one():
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", FILES)
def test_rule_files_fit_the_schema(name):
    Draft202012Validator(SCHEMA).validate(JSON[name])
    assert JSON[name]["rule"]["name"] == name.removesuffix(".json")


@pytest.mark.parametrize("name", ["flags", "manifest"])
def test_other_files_fit_the_schema(name):
    part = {**SCHEMA["$defs"][name], "$defs": SCHEMA["$defs"]}
    Draft202012Validator(part).validate(JSON[f"{name}.json"])


def test_schema_admits_nothing_that_it_does_not_name():
    def objects(schema):
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for part in schema.values():
                yield from objects(part)
        elif isinstance(schema, list):
            for part in schema:
                yield from objects(part)

    found = list(objects(SCHEMA))
    assert len(found) >= 10
    for schema in found:
        strict = schema["additionalProperties"]
        assert strict is False or (schema["propertyNames"] and objects(strict))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.update(more=1),
        lambda file: file["rule"].pop("beta"),
        lambda file: file["rule"].update(rho="0.9"),
        lambda file: file["rule"]["lr"].update(unit="θ"),
        lambda file: file["cases"][0].update(dtype="float8"),
        lambda file: file["cases"][0].update(id="Plain"),
        lambda file: file["cases"][0].update(notes="without outcomes"),
        lambda file: file["cases"][0]["steps"][0].update(w={}),
        lambda file: file["cases"][0]["steps"][0].pop("v"),
        lambda file: file["cases"][0]["steps"][0]["theta"].update(more=[]),
        lambda file: file["cases"][0]["steps"][0]["theta"]["hex"].append("0X1P+0"),
        lambda file: file["cases"][0]["steps"][0]["theta"]["hex"].append(1.0),
        lambda file: file["cases"][0]["steps"][0]["theta"]["bound"].append("-1.00e-8"),
        lambda file: file["cases"][0]["steps"][0]["theta"]["decimal"].append("1/3"),
    ],
)
def test_schema_refuses(spoil):
    file = copy.deepcopy(JSON["beta-1.json"])
    assert Draft202012Validator(SCHEMA).is_valid(file)
    spoil(file)
    assert not Draft202012Validator(SCHEMA).is_valid(file)


@pytest.mark.parametrize("name", [*FILES, "flags.json", "manifest.json"])
def test_layout(name):
    """Nothing before, after or between: the text is what its content is written as."""
    assert generator.text(JSON[name]).encode() == RAW[name]


def test_manifest():
    manifest = JSON["manifest.json"]
    assert sorted([*manifest["files"], "manifest.json"]) == sorted(RAW)
    assert sorted(RAW) == sorted([*FILES, "flags.json", "manifest.json", "schema.json"])
    for name, entry in manifest["files"].items():
        assert entry["size"] == len(RAW[name])
        assert entry["sha256"] == hashlib.sha256(RAW[name]).hexdigest()
        assert entry["cases"] == len(JSON[name].get("cases", ()))
    assert manifest["cases"] == len(CASES)
    assert manifest["package_version"] == rmsprop_ref.__version__
    assert sum(map(len, RAW.values())) < 3_000_000


# Ids


def test_ids_are_unique():
    ids = [case["id"] for case in vectors.load()]
    assert len(ids) == len(set(ids))
    assert len({name for name, _ in IDS}) == len(IDS)


def test_ids_are_those_of_the_suite():
    assert sorted(CASES) == sorted(SOURCES)


def test_an_id_stands_for_the_same_inputs_for_ever():
    known = dict(IDS)
    for name, case in CASES.items():
        rule = {key: value for key, value in case["rule"].items() if key != "name"}
        inputs = json.dumps([rule, case["dtype"], case["theta0"], case["grads"]])
        assert known[name] == hashlib.sha256(inputs.encode()).hexdigest(), name
        assert known[name] == generator.fingerprint(SOURCES[name])


def test_ids_are_added_and_never_removed():
    """Of each release: how many ids there were, and a hash of their lines. Add one, change none."""
    releases = {"0.1.0": (141, "be564f5673920d161f861ed3ea54451da8318622c13c280baee89720fb9fa061")}
    for count, digest in releases.values():
        lines = "".join(f"{name} {inputs}\n" for name, inputs in IDS[:count])
        assert hashlib.sha256(lines.encode()).hexdigest() == digest


# Content


@pytest.mark.parametrize("name", FILES)
def test_cases_are_whole(name):
    lines = Path(rmsprop_ref.reference.__file__).read_text("utf-8")
    rule = RULES[name.removesuffix(".json")]
    slots = ["theta", "v"] + ["m"] * rule.centered + ["b"] * (rule.momentum != 0)
    for case in JSON[name]["cases"]:
        source = SOURCES[case["id"]]
        where, family, dtype = case["id"].split("/")
        assert (f"{where}.json", dtype) == (name, case["dtype"])
        assert family in FAMILIES
        assert case["line"] in lines
        assert len(case["comment"]) > 5
        assert case["ordinary"] is source.ordinary
        assert len(case["grads"]) == len(case["steps"]) == len(source.grads)
        assert all(list(one) == slots for one in case["steps"])
        for row in rows_of(case):
            assert {len(part) for part in row.values()} == {len(source.theta0)}
        got = arrays(case)
        for ours, theirs in zip(got, source.arrays(), strict=True):
            assert ours.tobytes() == theirs.tobytes()
        assert rule_of({**case, "rule": JSON[name]["rule"]}) == rule


@pytest.mark.parametrize("name", FILES)
def test_both_notations_agree(name):
    def same(row):
        for x, y in zip(row["hex"], row["decimal"], strict=True):
            number = float.fromhex(x)
            assert float(y) == number or (x, y) == ("nan", "NaN")
            assert str(number) == y.lower().replace("infinity", "inf")
            assert np.signbit(float(y)) == np.signbit(number)
            yield number

    for value in JSON[name]["rule"].values():
        if isinstance(value, dict):
            list(same({k: x if isinstance(x, list) else [x] for k, x in value.items()}))
    for case in JSON[name]["cases"]:
        printed = [x for row in rows_of(case) for x in same(row)]
        for x in printed:
            if np.isfinite(x):
                assert _nearest(*x.as_integer_ratio(), case["dtype"]) == x


def test_flags_are_defined_and_used():
    flags = JSON["flags.json"]
    assert list(flags) == list(FLAGS)
    assert {flag for case in CASES.values() for flag in case["flags"]} == set(flags)
    for name, flag in FLAGS.items():
        assert flags[name] == {**flag._asdict(), "links": list(flag.links)}


@pytest.mark.parametrize("name", FILES)
def test_outcomes(name):
    """Where nothing is determined, the case lists what the reference gives there, and more."""
    for case in JSON[name]["cases"]:
        got, seen = reference({**case, "rule": JSON[name]["rule"]}), set()
        before = {"theta": numbers(case["theta0"])}
        for t, one in enumerate(case["steps"]):
            for slot, right in one.items():
                for j, bound in enumerate(right["bound"]):
                    x, old = got[slot][t][j], before.get(slot, [None] * (j + 1))[j]
                    if bound == "any":
                        unchanged = "unchanged" if x == old else "finite"
                        word = "infinite" if abs(x) == np.inf else unchanged
                        seen.add("nan" if x != x else word)
                before[slot] = got[slot][t]
        assert bool(seen) == ("outcomes" in case) == ("notes" in case)
        assert seen <= set(case.get("outcomes", ())), case["id"]


def test_most_is_determined():
    bounds = [
        bound
        for case in CASES.values()
        for one in case["steps"]
        for right in one.values()
        for bound in right["bound"]
    ]
    assert len(bounds) > 30_000
    assert bounds.count("any") < 0.04 * len(bounds)


@pytest.mark.parametrize("dtype", FORMATS)
def test_bounds_are_tight(dtype):
    """On usual inputs a bound is some units in the last place of the largest number around."""
    case = CASES[f"plain/usual/{dtype}"]
    size = np.max(np.abs([numbers(one["theta"]) for one in case["steps"]]), axis=0)
    bounds = np.array([[float(x) for x in one["theta"]["bound"]] for one in case["steps"]])
    assert np.all(bounds > 0)
    assert np.all(bounds < 20 * size * 2.0 ** -FORMATS[dtype][0] * len(case["steps"]))


# Computed anew


@pytest.mark.parametrize(
    "name", [f for f in FILES if not any("/long/" in case["id"] for case in JSON[f]["cases"])]
)
def test_the_same_bytes_again(name):
    """All files without a long case; ``python -m rmsprop_ref.vectors --check`` does all."""
    cases = [case for case in published() if case.id.split("/")[0] == name.removesuffix(".json")]
    assert generator.contents(cases)[name].encode() == RAW[name]


@pytest.mark.parametrize("dtype", FORMATS)
def test_the_same_cases_again(dtype):
    for family in ("usual", "nan", "square-overflow"):
        name = f"plain/{family}/{dtype}"
        right = {key: value for key, value in CASES[name].items() if key != "rule"}
        assert generator.entry(SOURCES[name]) == right


def test_bounds_are_rounded_up():
    rng = np.random.default_rng(0)
    for x in np.ldexp(rng.random(300), rng.integers(-1074, 1023, 300)).tolist():
        text = generator._up(Fraction(x))
        assert 0 <= Fraction(text) - Fraction(x) <= Fraction(x) / 100
        assert float(text) >= x
        assert re.fullmatch(SCHEMA["$defs"]["bound"]["pattern"], text)
    assert generator._up(Fraction(0)) == "0"
    assert generator._up(Fraction(5e-324)) == "4.95e-324"
    assert generator._up(Fraction(9995, 10)) == "1.00e+3"


def ball(mid, rad):
    return Ball(np.asarray(mid), np.asarray(rad), Balls("float32"))


@pytest.mark.parametrize(
    ("x", "shown", "balls", "bound"),
    [
        (1, 1.0, [ball(1.0, 0.25)], "2.50e-1"),
        (1, 1.125, [ball(1.0, 0.25)], "3.75e-1"),  # measured from what is printed
        (1, 1.0, [ball(1.0, 0.25), ball(1.5, 0.25)], "7.50e-1"),  # the larger of two readings
        (1, 1.0, [ball(1.0, 0.25), ball(1.0, np.inf)], "any"),
        ("nan", np.nan, [ball(np.nan, 0.0)], "0"),
        ("nan", np.nan, [ball(np.nan, np.inf)], "any"),
        ("1e-400", 0.0, [ball(0.0, 0.0)], "4.95e-324"),
    ],
)
def test_bound(x, shown, balls, bound):
    assert generator._bound(mpmath.mpf(x), shown, balls, "here") == bound


@pytest.mark.parametrize(
    ("x", "shown", "balls"),
    [
        (1, 1.0, [ball(1.5, 0.25)]),
        ("nan", np.nan, [ball(1.0, 0.25)]),
        (1, 1.0, [ball(np.nan, 0.0)]),
        (1, 1.0, [ball(1.0, 0.0), ball(np.nan, 0.0)]),
        ("1e99", np.inf, [ball(1e99, 1.0)]),
    ],
)
def test_contradictions_are_errors(x, shown, balls):
    with pytest.raises(ArithmeticError, match="here is"):
        generator._bound(mpmath.mpf(x), shown, balls, "here")


def test_the_two_ways_have_to_agree(monkeypatch):
    case = SOURCES["beta-1/usual/float32"]
    theirs = generator.unrolled(case.rule, case.theta0, case.grads)
    theirs.theta[3, 2] *= 1 + mpmath.mpf(2) ** -50
    monkeypatch.setattr(generator, "unrolled", lambda *arguments: theirs)
    with pytest.raises(ArithmeticError, match=r"theta of element 2 after step 4 .* disagree"):
        generator.entry(case)
    assert not generator._agree(mpmath.mpf("nan"), mpmath.mpf(1))


# What they catch


@pytest.mark.parametrize("name", FILES)
def test_the_reference_passes(name):
    for case in JSON[name]["cases"]:
        got = reference({**case, "rule": JSON[name]["rule"]})
        for slot in case["steps"][0] if case["steps"] else ():
            assert failures(case, got[slot], slot) == [], (case["id"], slot)


@pytest.mark.parametrize("decimal", [False, True])
def test_honest_orders_pass(decimal):
    rng = np.random.default_rng(7)
    for name, case in CASES.items():
        source = SOURCES[name]
        inputs = source.rule, source.theta0, source.grads, source.dtype
        got = evaluate(*inputs, rng, decimal=decimal)
        assert failures(case, got.tolist()) == [], name


@pytest.mark.parametrize(
    ("wrong", "least"),
    [
        (Rule(eps_in=1e-8), 10),
        (Rule(eps_in=1e-16), 5),
        (Rule(v0=1.0), 30),
        (Rule(beta=0.9001), 30),
        (Rule(lr=0.010001), 30),
        (Rule(bias_correction=True), 30),
        (Rule(momentum=0.9), 30),
        (Rule(weight_decay=1e-4), 20),
    ],
)
def test_another_rule_fails(wrong, least):
    plain = [case for name, case in CASES.items() if name.startswith("plain/")]
    failed = [c["id"] for c in plain if failures(c, reference(c, wrong)["theta"])]
    assert len(failed) >= least


@pytest.mark.parametrize(
    ("flag", "fault"),
    {
        "Average": "average-swapped",
        "EpsilonPlace": "epsilon-inside",
        "Start": "start-at-one",
        "Momentum": "momentum-lr-inside",
        "WeightDecay": "decay-decoupled",
        "Schedule": "schedule-early",
        "Cancellation": "centered-deviation-averaged",
        "Precision": "precision-complement",
        "Counter": "state-counter-wraps",
        "Scale": "average-shared",
        "Underflow": "epsilon-missing",
        "Overflow": "average-largest",
        "Zero": "special-values-zero-skipped",
        "NotFinite": "special-values-nan-swallowed",
        "Length": "shape-tail-of-eight",
        "Interface": "shape-raises-on-one-step",
    }.items(),
)
def test_every_flag_catches_its_mistake(flag, fault):
    cases = [case for case in CASES.values() if flag in case["flags"]]
    assert any(caught(MUTANT[fault].make(rule_of(case)), case) for case in cases)
    assert not any(caught(RMSProp(rule_of(case)), case) for case in cases)


def test_every_flag_is_tested():
    (mark,) = test_every_flag_catches_its_mistake.pytestmark
    assert [flag for flag, _ in mark.args[1]] == list(FLAGS)


def test_faults_of_the_course():
    """The page says how many are caught, and why the others are not."""
    short_first = sorted(CASES.values(), key=lambda case: len(case["steps"]))

    def found(mutant):
        return any(caught(mutant.make(rule_of(case)), case) for case in short_first)

    missed = {mutant.name for mutant in MUTANTS if not found(mutant)}
    assert missed == {"state-cached", "memory-start-overwritten", "shape-memory-order"}
    assert f"Of the {len(MUTANTS)} faulty implementations of the course all but three" in PAGE


# The module


def test_load():
    first = next(vectors.load())
    assert first["id"] == "plain/usual/float32"
    assert first["rule"]["name"] == "plain"
    counts = Counter(case["dtype"] for case in CASES.values())
    assert len(CASES) >= 60
    assert counts == {"float32": 120, "float64": 7, "float16": 7, "bfloat16": 7}


def test_export(tmp_path):
    there = tmp_path / "new" / "folder"
    assert vectors.export(there) == len(RAW)
    assert {path.name: path.read_bytes() for path in there.iterdir()} == RAW
    assert vectors.export(there) == len(RAW)


def test_generate(tmp_path, monkeypatch):
    monkeypatch.setattr(generator, "contents", lambda: {"x.json": "β\n"})
    vectors.generate(tmp_path / "new")
    assert (tmp_path / "new" / "x.json").read_bytes() == "β\n".encode()


def test_import_is_light():
    heavy = ["mpmath", "rmsprop_ref.oracle", "rmsprop_ref.vectors.generator"]
    code = f"import rmsprop_ref.vectors, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """The command, on a folder with one file."""
    case = SOURCES["beta-1/scales/float32"]
    made = {"beta-1.json": "{}\n"}
    monkeypatch.setattr(command, "_HERE", tmp_path)
    monkeypatch.setattr(command, "published", lambda: [case])
    monkeypatch.setattr(command, "contents", lambda: dict(made))
    (tmp_path / "v1").mkdir()
    assert command.main([]) == 0
    return tmp_path, made


def test_command_writes_and_checks(small, capsys):
    folder, made = small
    assert (folder / "v1" / "beta-1.json").read_text() == "{}\n"
    assert re.fullmatch(r"beta-1/scales/float32 \w{64}\n", (folder / "ids.txt").read_text())
    assert command.main(["--check"]) == 0
    made["beta-1.json"] = "{ }\n"
    (folder / "v1" / "stray.json").touch()
    capsys.readouterr()
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[:2] == [
        "differs: beta-1.json",
        "differs: stray.json",
    ]
    assert (folder / "v1" / "stray.json").exists()
    assert command.main([]) == 0
    assert [path.name for path in (folder / "v1").iterdir()] == ["beta-1.json"]
    assert command.main(["--check"]) == 0


def test_command_refuses_other_inputs_under_an_old_id(small, capsys):
    folder, made = small
    (folder / "ids.txt").write_text(f"beta-1/scales/float32 {'0' * 64}\n")
    made["beta-1.json"] = "{ }\n"
    assert command.main([]) == 1
    assert "other inputs: beta-1/scales/float32" in capsys.readouterr().out
    assert (folder / "v1" / "beta-1.json").read_text() == "{}\n"


def test_command_keeps_ids_that_are_withdrawn(small):
    folder, _ = small
    old = (folder / "ids.txt").read_text()
    (folder / "ids.txt").write_text(f"plain/gone/float32 {'0' * 64}\n{old}")
    assert command.main([]) == 0
    assert "plain/gone/float32" in (folder / "ids.txt").read_text()
