"""The atlas: what is measured of an adapter, how it is compared, and that its pages are current."""

import json
import subprocess
import sys
import types
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from rmsprop_ref import Rule, Unsupported, check_suite
from rmsprop_ref.adapters import environments
from rmsprop_ref.adapters.catalogue import ADAPTERS, Adapter, rate
from rmsprop_ref.adapters.survey import bits_of, drawn, expressible, survey
from rmsprop_ref.arithmetic import DELTA, Arithmetic
from rmsprop_ref.dialects import DIALECTS, Claim, Dialect
from rmsprop_ref.dialects.dialect import canonical

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import atlas  # noqa: E402
import atlas_pages  # noqa: E402


def fake_rmsprop(theta0, grads, lr, alpha=0.9, eps=1e-7, misread=False):
    """A library with ε inside the root, the average in TensorFlow's form, 1-β in the dtype."""
    one = theta0.dtype.type
    alpha, eps = one(alpha), one(eps)
    theta, v = theta0.copy(), np.zeros_like(theta0)
    for t, g in enumerate(grads):
        v = v + (g * g - v) * (one(1) - alpha)
        d = np.sqrt(v) + eps if misread else np.sqrt(v + eps)
        theta = theta - one(rate(lr, t)) * g / d
        yield theta


def fake(lr, alpha=0.9, eps=1e-7, misread=False):
    """The dialect of that library."""
    return Rule(lr=lr, beta=alpha, **{"eps_out" if misread else "eps_in": eps})


@pytest.fixture
def library(monkeypatch):
    """An adapter of that library, with a documentation that is wrong."""
    module = types.ModuleType("rmsprop_ref.adapters.libraries.fake")
    module.rmsprop = fake_rmsprop
    monkeypatch.setitem(sys.modules, module.__name__, module)
    claims = (
        Claim({"lr": 0.01, "misread": True}, Rule(eps_in=1e-7), "its documentation"),
        Claim({"lr": 0.01}, Rule(eps_in=1e-7), "its documentation"),
    )
    arithmetic = Arithmetic((DELTA,), numbers="dtype")
    monkeypatch.setitem(
        DIALECTS,
        "fake",
        Dialect("fake", "Fake", "1", "nowhere", fake, arithmetic, claims=claims),
    )
    return Adapter("fake", "fake", "fake:rmsprop", "none", "pip install fake==1", ("float32",))


def test_a_survey_says_what_is_so(library):
    found = json.loads(json.dumps(survey(library)))
    verdicts = Counter(row["verdicts"]["float32"]["verdict"] for row in found["rules"])
    assert verdicts["wrong rule"] == 0
    assert verdicts["imprecise"] > 0  # 1-β in float32
    assert verdicts["exact"] + verdicts["proven"] > 0
    for row in found["rules"]:
        if row["verdicts"]["float32"]["verdict"] == "imprecise":
            assert "1-β" in row["verdicts"]["float32"]["diagnosis"]
        assert row["bits"]["float32"]["differs"] is None, row
    wrong, right = found["claims"]
    assert wrong["verdict"] == "wrong rule"
    assert wrong["diagnosis"] == "ε is outside the root"
    assert right["verdict"] == "proven"
    special = found["special"]["float32"]
    assert special["g = 0"] == "θ stays"
    assert special["g = 0, ε = 0"] == "NaN"
    assert special["g is NaN"] == "NaN"
    assert special["g² overflows"] == "θ stays"


def test_other_bits_are_seen(library):
    setting = DIALECTS["fake"](lr=0.01)._replace(arithmetic=Arithmetic())
    bits = bits_of(library, setting, "float32", 50, 200)
    assert bits["differs"] is not None
    assert bits["share"] < 1


def test_the_suite_is_asked_in_the_librarys_own_terms(library):
    rules = [canonical(setting.rule) for setting in expressible(library).values()]
    assert len(set(rules)) == len(rules) > 10
    assert {rule.momentum for rule in rules} == {0.0}
    assert any(rule.eps_in for rule in rules)
    assert any(rule.eps_out for rule in rules)


def test_a_library_that_is_not_here_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rmsprop_ref.adapters.libraries.torch", None)
    with pytest.raises(Unsupported, match=r"PyTorch.*is not here.*pip install torch==2\.13\.0"):
        ADAPTERS["pytorch"].make(Rule())
    suite = check_suite(ADAPTERS["pytorch"].make, [Rule()], dtypes=["float32"])
    assert not suite.ok
    assert "pip install" in str(suite)


def test_a_dtype_that_a_library_has_not_is_unsupported(library):
    with pytest.raises(Unsupported, match="float32, not in float64"):
        next(library.make(Rule(eps_in=1e-7))(np.zeros(1), np.zeros((1, 1))))


def test_drawn_gradients_come_again():
    theta0, grads = drawn("float32", 3, 5)
    assert theta0.dtype == np.float32
    rows = np.array(list(grads()))
    assert rows.shape == (3, 5)
    np.testing.assert_array_equal(rows[:2], list(islice(grads(), 2)))


def test_what_cannot_be_installed_is_reported_and_left_out(monkeypatch, tmp_path, capsys):
    broken = environments.Environment(("rmsprop-ref-no-such-distribution==0 --no-index",))
    monkeypatch.setitem(environments.ENVIRONMENTS, "torch", broken)
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setattr(atlas, "FOLDER", tmp_path)
    found = dict(atlas.measured(["pytorch"], {}))
    assert "not installed" in found["pytorch"]["failed"]
    assert "no-such-distribution" in found["pytorch"]["failed"]
    assert "making" in capsys.readouterr().out
    assert environments.missing("torch")


def test_a_check_of_the_atlas_finds_what_changed(library):
    found = {"fake": json.loads(json.dumps(survey(library)))}
    assert atlas.compared(found, found) == []
    changed = json.loads(json.dumps(found))
    row = changed["fake"]["rules"][0]
    row["verdicts"]["float32"] = {"verdict": "wrong rule", "diagnosis": "the root is missing"}
    assert atlas.compared(found, changed) == [
        f"fake, {row['suite']}, float32: wrong rule: the root is missing; was passes"
    ] or atlas.compared(found, changed)[0].startswith(f"fake, {row['suite']}, float32: wrong rule")
    changed = json.loads(json.dumps(found))
    changed["fake"]["claims"][0]["verdict"] = "proven"
    assert len(atlas.compared(found, changed)) == 1
    assert atlas.compared({}, found) == ["fake: not in the stored atlas"]
    gone = {"fake": {"failed": "no library"}}
    assert atlas.compared(found, gone) == ["fake: no library"]


def test_every_environment_and_dialect_of_the_catalogue_exists():
    for adapter in ADAPTERS.values():
        assert adapter.environment in environments.ENVIRONMENTS, adapter.name
        assert adapter.dialect.status == "run", adapter.name
    used = {adapter.environment for adapter in ADAPTERS.values()}
    assert used == set(environments.ENVIRONMENTS)
    run = {adapter.dialect_name for adapter in ADAPTERS.values()}
    claimed = {dialect.name for dialect in DIALECTS.values() if dialect.status == "run"}
    assert run == claimed


def test_the_pages_are_what_the_measurements_say():
    stored = atlas.read()
    pages = dict(atlas_pages.all_pages(stored))
    assert (ROOT / "book" / "atlas.md").read_text("utf-8") == pages.pop("")
    there = {path.stem: path.read_text("utf-8") for path in (ROOT / "book/atlas").glob("*.md")}
    assert there == pages


def test_what_is_in_the_atlas_ran_and_what_is_not_is_named():
    stored = atlas.read()
    assert list(stored) == [name for name in ADAPTERS if name in stored]
    for name, answer in stored.items():
        assert "failed" not in answer, (name, answer["failed"])
    page = (ROOT / "book" / "atlas.md").read_text("utf-8")
    for name in ADAPTERS:
        assert (f"| {name} | not yet asked |" in page) == (name not in stored)


def test_the_command_prints_json():
    done = subprocess.run(
        [sys.executable, "-m", "rmsprop_ref.adapters", "no-such-library"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no-such-library" in done.stderr
    assert "pytorch" in done.stderr
