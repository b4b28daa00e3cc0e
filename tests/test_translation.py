"""Translation between dialects: no "same" that is not, and no bound that can be passed."""

import contextlib
import io
import itertools
import json
import math
import re
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

from rmsprop_ref import Rule, Unsupported, exact, init, step, translate
from rmsprop_ref.cli import main
from rmsprop_ref.dialects import DIALECTS, classes, distance, translation
from rmsprop_ref.dialects.dialect import canonical
from rmsprop_ref.dialects.distance import GOLDEN, Apart, across, apart, denominator
from rmsprop_ref.dialects.translation import NOT, SAME, SAME_IF, equal_when_run
from rmsprop_ref.symbolic import ProofError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "translation.md"
NAMES = sorted(DIALECTS)
RATES = (0.5, 0.25, 0.25, 1.0, 0.125)


def translated(source, target, **arguments):
    """The translation, or None where the source's arguments are no Rule."""
    try:
        return translate(source, target, **arguments)
    except Unsupported:
        return None


@pytest.fixture
def unmeasured(monkeypatch):
    """Where only the verdict counts: how far apart two rules get takes most of the time."""
    monkeypatch.setattr(translation, "apart", lambda rule, other: Apart(2.0, "", False))
    monkeypatch.setattr(translation, "_elsewhere", lambda *rule: ())


# Verdicts


def test_every_same_is_proved(unmeasured):
    """The defaults of each dialect into each other; equal pairs of rules are proved once."""
    found = [translated(source, target) for source in NAMES for target in NAMES]
    good = [x for x in found if x is not None and x.ok]
    assert {x.verdict for x in good} == {SAME, SAME_IF}
    unique = {(x.given.rule, x.nearest.rule): x for x in good}
    assert len(good) > 10 * len(NAMES)
    assert len(unique) > 20
    for x in unique.values():
        assert x.prove().proof


def test_a_dialect_is_translated_into_itself(unmeasured):
    verdicts = {name: x.verdict for name in NAMES if (x := translated(name, name))}
    assert len(verdicts) > len(NAMES) - 4
    assert set(verdicts.values()) == {SAME}


NUMBERS = {
    "lr": st.sampled_from([0.5, 0.01, 2.0**-7]),
    "beta": st.sampled_from([0.0, 0.5, 0.9]),
    "momentum": st.sampled_from([0.0, 0.0, 0.9]),
    "centered": st.booleans(),
    "weight_decay": st.sampled_from([0.0, 0.0, 0.25, 0.1]),
    "eps_in": st.sampled_from([0.0, 1e-3]),
    "v0": st.sampled_from([0.0, 0.0, 1.0]),
}
FORMS = st.sampled_from(["l2", "decoupled", "decoupled_unscaled"])


@st.composite
def cases(draw):
    """Two dialects, and arguments of the first."""
    source, target = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    wanted = Rule(**{name: draw(values) for name, values in NUMBERS.items()})
    wanted = replace(wanted, weight_decay_form=draw(FORMS))
    try:
        arguments, _ = draw(st.sampled_from(list(DIALECTS[source].near(wanted))))
    except Unsupported:
        arguments = {}
    return source, target, arguments


@settings(max_examples=150, deadline=None)
@given(cases())
def test_same_never_lies(case):
    """In exact arithmetic, at a constant rate; and "same" while the rate changes, too."""
    source, target, arguments = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "apart", lambda rule, other: Apart(2.0, "", False))
        found = translated(source, target, **arguments)
    if found is None or not found.ok:
        return
    rule, other = translation._exactly(found.given.rule, found.nearest.rule)
    equal_when_run(rule, other)
    changing = [replace(x, lr=RATES) for x in (found.given.rule, found.nearest.rule)]
    if found.verdict == SAME:
        equal_when_run(*changing)
    else:
        with pytest.raises(ArithmeticError):
            equal_when_run(*changing)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_not_convertible_never_lies(case):
    """What is left apart shows when the two run; what is not, does not."""
    found = translated(case[0], case[1], **case[2])
    if found is None or found.ok or found.nearest is None:
        return
    assert found.apart.factor != 1 or found.given.rule.weight_decay
    with pytest.raises(ArithmeticError):
        equal_when_run(found.given.rule, found.nearest.rule)
    done = translation._patched(found.nearest.rule, found.remedies)
    if found.left is None:
        equal_when_run(found.given.rule, done)
    else:
        with pytest.raises(ArithmeticError):
            equal_when_run(found.given.rule, done)


def test_a_wrong_same_is_not_proved():
    right = translate("keras3", "optax")
    wrong = replace(right, nearest=translate("tf1", "optax", learning_rate=0.001).nearest)
    with pytest.raises(ProofError):
        wrong.prove()
    with pytest.raises(ArithmeticError, match="step 1, element 0"):
        equal_when_run(wrong.given.rule, wrong.nearest.rule)
    with pytest.raises(ValueError, match="keras3 and pytorch are not the same here"):
        translate("keras3", "pytorch").prove()


@pytest.mark.parametrize(
    ("source", "target", "arguments", "verdict", "condition"),
    [
        ("keras3", "optax", {"momentum": 0.9}, SAME, ""),
        ("optax", "pytorch", {"learning_rate": 0.1, "eps_in_sqrt": False}, SAME, ""),
        (
            "optax",
            "pytorch",
            {"learning_rate": 0.1, "eps_in_sqrt": False, "momentum": 0.9},
            SAME_IF,
            "the learning rate is constant",
        ),
        (
            "keras3",
            "flashlight",
            {"learning_rate": 0.5, "weight_decay": 0.1, "epsilon": 0},
            SAME_IF,
            "the learning rate is constant",
        ),
        (
            "keras3",
            "flashlight",
            {"learning_rate": 0.1, "weight_decay": 0.1, "epsilon": 0},
            SAME_IF,
            "the learning rate is constant, up to one rounding of ηλ",
        ),
        ("tf1", "timm", {"learning_rate": 0.1, "momentum": 0.9}, SAME, ""),
        ("tf1", "pytorch", {"learning_rate": 0.1}, NOT, ""),
        ("pytorch", "keras3", {}, NOT, ""),
    ],
)
def test_verdicts(source, target, arguments, verdict, condition):
    found = translate(source, target, **arguments)
    assert (found.verdict, found.condition, found.ok) == (verdict, condition, verdict != NOT)


# What to do: each remedy as a rule that is run with it, in fifty digits


def run_with(rule, grads, start=None, before=lambda *now: now[1:]):
    """The reference from a state of one's own, with something done before each step."""
    theta, grads = mpf(1), [mpf(float(x)) for x in grads]
    state, path = init(theta, rule, mp), []
    state = state if start is None else state._replace(v=mpf(start))
    for t, grad in enumerate(grads, 1):
        theta, state = step(*before(t, theta, grad, state, rule), mp)
        path.append(theta)
    return path


@pytest.fixture
def grads():
    rng = np.random.default_rng(1)
    return rng.normal(size=5) * 10.0 ** rng.integers(-4, 2, size=5)


def agree(rule, path, grads):
    wanted = exact(rule, np.ones(1), grads[:, None]).theta[:, 0]
    return all(abs(x - y) < mpf(10) ** -40 for x, y in zip(path, wanted, strict=True))


@pytest.fixture(autouse=True)
def digits():
    with mp.workdps(60):
        yield


def remedied(source, target, **arguments):
    found = translate(source, target, **arguments)
    assert found.left is None
    (remedy,) = found.remedies
    return found.given.rule, found.nearest.rule, remedy


def test_a_start_is_loaded(grads):
    rule, has, remedy = remedied("tf1", "keras3", learning_rate=0.5, momentum=0.9, centered=True)
    assert remedy.text == "Before the first step set the average of squares to 1."
    assert agree(rule, run_with(has, grads, start=1), grads)
    assert not agree(rule, run_with(has, grads), grads)


@pytest.mark.parametrize("into", [True, False])
def test_the_rate_changes_and_the_buffer_is_multiplied(into, grads):
    names = {True: "keras3", False: "pytorch"}
    rate, eps = ("learning_rate", "epsilon") if into else ("lr", "eps")
    given = {rate: list(RATES), eps: 0, "momentum": 0.9}
    rule, has, remedy = remedied(names[into], names[not into], **given)
    assert ("old rate over the new" in remedy.text) is into

    def before(t, theta, grad, state, rule):
        old, new = RATES[max(t - 2, 0)], RATES[t - 1]
        return theta, grad, state._replace(b=state.b * (old / new if into else new / old)), rule

    assert agree(rule, run_with(has, grads, before=before), grads)
    assert not agree(rule, run_with(has, grads), grads)


@pytest.mark.parametrize(
    ("source", "target", "arguments", "text"),
    [
        ("keras3", "oneflow", {}, "Before each step multiply θ by 1 - 0.25 η."),
        ("flashlight", "pytorch", {"learningRate": 0.5}, "multiply θ by 1 - 0.25."),
        ("oneflow", "keras3", {}, "Before each step add 0.25 θ to the gradient."),
    ],
)
def test_weight_decay_by_hand(source, target, arguments, text, grads):
    name = "weightDecay" if source == "flashlight" else "weight_decay"
    rule, has, remedy = remedied(source, target, **arguments, **{name: 0.25})
    assert remedy.text.endswith(text)

    def before(t, theta, grad, state, has):
        if "gradient" in text:
            return theta, grad + theta / 4, state, has
        return theta * (1 - mpf(rule.lr if "η" in text else 1) / 4), grad, state, has

    assert agree(rule, run_with(has, grads, before=before), grads)
    assert not agree(rule, run_with(has, grads), grads)


@pytest.mark.parametrize("momentum", [None, 0.75])
@pytest.mark.parametrize("inside", [True, False])
def test_bias_correction_by_a_schedule(inside, momentum, grads):
    given = {"learning_rate": 0.5, "eps": 0.25, "bias_correction": True, "momentum": momentum}
    target = "keras3" if inside else "pytorch"
    if momentum and not inside:  # there the buffer does not take the rate of the day
        assert translate("optax", target, eps_in_sqrt=False, **given).left is not None
        return
    rule, has, remedy = remedied("optax", target, eps_in_sqrt=inside, **given)
    assert "set the learning rate to √(1-β^t) times" in remedy.text

    # The reference's numbers are binary64: here its lines with the numbers of the day.
    theta, v, b, path = mpf(1), mpf(0), mpf(0), []
    for t, grad in enumerate((mpf(float(x)) for x in grads), 1):
        w = 1 - mpf(has.beta) ** t
        v = mpf(has.beta) * v + (1 - mpf(has.beta)) * grad**2
        d = mp.sqrt(v + w * has.eps_in) + mp.sqrt(w) * has.eps_out
        b = (momentum or 0) * b + mpf(0.5) * mp.sqrt(w) * grad / d
        theta -= b
        path.append(theta)
    assert agree(rule, path, grads)


@pytest.mark.parametrize(
    ("environment", "target"), [("torch", "pytorch"), ("tensorflow", "keras3")]
)
def test_the_code_works_in_the_library(environment, target):
    python = ROOT / ".atlas" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"the environment {environment} of the atlas is not here")
    script = ROOT / "tests" / "remedies_in_libraries.py"
    done = subprocess.run([python, script, target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"(\w+ (proven|exact)\n){2,}", done.stdout)


# How far apart


ROOTS = st.floats(0, 1e6).map(lambda x: x * x)
EPSILONS = st.floats(1e-10, 10)


@settings(deadline=None)
@given(st.permutations(["eps_in", "eps_out", "eps_floor"]), EPSILONS, EPSILONS, ROOTS)
def test_a_proved_bound_is_never_passed(places, ours, theirs, root):
    rule, other = (
        replace(Rule(eps_out=0.0), **{place: x})
        for place, x in zip(places, (ours, theirs), strict=False)
    )
    bound = apart(rule, other)
    assert bound.proved
    ratio = denominator(rule)(root) / denominator(other)(root)
    assert max(ratio, 1 / ratio) <= bound.factor * (1 + 1e-15)


def test_a_proved_bound_is_reached():
    rule, other = Rule(eps_in=1e-4), Rule(eps_out=1e-2)
    bound = apart(rule, other)
    assert bound == Apart(pytest.approx(math.sqrt(2)), "at √v = 0.01", True)
    assert denominator(other)(0.01) / denominator(rule)(0.01) == pytest.approx(bound.factor)
    assert distance._measured(rule, other).factor == pytest.approx(bound.factor, rel=0.02)


@pytest.mark.parametrize("place", ["eps_in", "eps_out", "eps_floor"])
def test_no_other_epsilon_comes_nearer(place):
    """The number that is proposed, against a grid; its factor is √φ, and φ to or from a floor."""
    rule = replace(Rule(eps_out=0.0), **{place: 1e-4})
    for other in across(rule)[1:]:
        (to,) = (name for name in ("eps_in", "eps_out", "eps_floor") if getattr(other, name))
        nearest = GOLDEN if {place, to} == {"eps_out", "eps_floor"} else math.sqrt(GOLDEN)
        assert apart(rule, other).factor == pytest.approx(nearest, rel=2e-3)
        for factor in np.linspace(0.1, 3, 59):
            near = replace(other, **{to: getattr(other, to) * factor})
            assert apart(rule, near).factor > nearest * (1 - 1e-9)


def test_a_start_is_furthest_in_the_first_step():
    rule, other = Rule(eps_in=1e-10, v0=1.0), Rule(eps_in=1e-10)
    bound = apart(rule, other)
    assert bound.proved
    assert bound.factor == pytest.approx(math.sqrt((0.9 + 1e-10) / 1e-10))
    measured = distance._measured(rule, other)
    assert 0.999 * bound.factor < measured.factor <= bound.factor
    assert measured.where.endswith("step 1")


def test_measured_is_what_two_runs_show():
    rule, other = Rule(momentum=0.9), Rule(momentum=0.9, momentum_on="gradient")
    found = apart(rule, other)
    assert not found.proved
    assert found.factor == pytest.approx(
        np.exp(abs(np.log(distance._steps(rule) / distance._steps(other))).max())
    )
    assert apart(rule, rule).factor == 1


# What it says


def test_what_is_said():
    found = translate("tf1", "pytorch", learning_rate=0.016, momentum=0.9, epsilon=1e-3)
    text = str(found)
    assert text.startswith("tf1 → pytorch: not convertible\n  given      learning_rate=0.016,")
    assert "ε is outside, not inside the root: no number makes the two equal" in text
    assert "square_avg=torch.full_like(p, 1.0)" in text
    assert "then       proved: denominators differ at most by a factor of 1.273" in text
    assert "instead    timm: lr=0.016, alpha=0.9, eps=0.001, momentum=0.9" in text
    assert found._repr_html_().startswith("<div><p><strong>tf1 → pytorch")
    content = json.loads(found.to_json())
    assert content["verdict"] == NOT
    assert content["arguments"]["eps"] == 0.0249
    assert Rule(**content["nearest"]) == found.nearest.rule
    assert content["left"]["proved"] is True


def test_what_has_no_bound_says_so():
    found = translate("tf1", "keras3", learning_rate=0.1, epsilon=0)
    assert "without bound, in the first step, as the gradient goes to 0" in str(found)
    assert json.loads(found.to_json())["apart"]["factor"] == "inf"


def test_what_the_target_refuses():
    found = translate("pytorch", "cntk")
    assert (found.verdict, found.nearest) == (NOT, None)
    assert "CNTK" in found.why[0]


@pytest.mark.parametrize(
    ("names", "arguments", "error", "message"),
    [
        (("pytroch", "optax"), {}, ValueError, "called 'pytroch': did you mean pytorch"),
        (("keras3", "TensorFlow"), {}, ValueError, "did you mean .*tf1"),
        (("keras3", "xyz"), {}, ValueError, "called 'xyz': tfjs, "),
        (("keras3", "optax"), {"lr": 1}, TypeError, "keras3: got an unexpected keyword"),
        (("optax", "keras3"), {"eps": 1}, TypeError, "missing a required argument"),
        (("keras3", "optax"), {"rho": 2}, ValueError, "beta=2 is out of range"),
        (("pytorch", "optax"), {"maximize": True}, Unsupported, "maximize=True ascends"),
    ],
)
def test_questions_without_sense(names, arguments, error, message):
    with pytest.raises(error, match=message):
        translate(*names, **arguments)


def test_command(capsys):
    def ask(*arguments):
        status = main(["translate", *arguments])
        return status, *capsys.readouterr()

    status, out, _ = ask("keras3", "optax", "rho=0.95", "weight_decay=None", "centered=true")
    assert status == 0
    assert "arguments  learning_rate=0.001, decay=0.95, eps=1e-07, centered=True" in out
    assert ask("optax", "pytorch", "learning_rate=1", "eps_in_sqrt=false", "momentum=.5")[0] == 0
    status, out, _ = ask("keras3", "pytorch", "learning_rate=[0.2, 0.1]", "--json")
    assert status == 1
    assert json.loads(out)["arguments"]["lr"] == [0.2, 0.1]
    for arguments, message in {
        ("keras", "pytorch"): "did you mean keras3",
        ("keras3", "pytorch", "rho"): "'rho' is no name=value",
        ("keras3", "pytorch", "rho=1", "rho=1"): "'rho=1' is given twice",
        ("keras3", "pytorch", "rho=[1"): "Expecting",
        ("keras3", "pytorch", "alpha=1"): "unexpected keyword argument 'alpha'",
        ("pytorch", "optax", "maximize=true"): "as given, is no Rule: maximize=True ascends",
    }.items():
        status, out, err = ask(*arguments)
        assert (status, out) == (2, "")
        assert message in err


def test_command_dialects(capsys):
    assert main(["dialects"]) == 0
    assert re.findall(r"^(\w+) ", capsys.readouterr().out, re.MULTILINE)[1:] == NAMES
    assert main(["dialects", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == NAMES


# The classes, and the page


@pytest.mark.parametrize("asked", [{}, {"momentum": 0.5}, {"centered": True}])
def test_a_class_is_of_one_rule_and_two_classes_are_not(asked):
    rows = classes.classes(**asked)
    assert len(rows) >= 4
    rules = [replace(rule, lr=RATES) for rule, _ in rows]
    assert len({canonical(rule) for rule in rules}) == len(rules)
    assert len({classes.described(rule) for rule, _ in rows}) == len(rows)
    for rule, other in itertools.pairwise(rules):
        with pytest.raises(ArithmeticError):
            equal_when_run(rule, other)


def page_anew(text):
    """The page with what its commands print, and with the tables of today."""

    def run(block):
        shown = []
        for line in re.findall(r"^\$ .*", block[0], re.MULTILINE):
            with contextlib.redirect_stdout(io.StringIO()) as out:
                main(shlex.split(line)[2:])
            shown.append(f"{line}\n{out.getvalue()}")
        return "```console\n" + "\n".join(shown) + "```"

    text = re.sub(r"^```console\n.*?^```", run, text, flags=re.DOTALL | re.MULTILINE)
    tables = r"(?<=<!-- classes -->\n\n).*?(?=\n\n<!-- end of classes -->)"
    return re.sub(tables, lambda _: classes.markdown(), text, flags=re.DOTALL)


def test_the_page_shows_what_happens():
    text = PAGE.read_text("utf-8")
    assert page_anew(text).splitlines() == text.splitlines()


if __name__ == "__main__":  # write the page anew: python tests/test_translation.py
    PAGE.write_text(page_anew(PAGE.read_text("utf-8")), encoding="utf-8")
