"""The command rmsprop-ref, and the page that shows what it prints."""

import importlib
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import rmsprop_ref
from rmsprop_ref import Rule
from rmsprop_ref.cli import main
from rmsprop_ref.oracle import FLAGS, RULES, cases

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "book" / "testing.md"
PROGRAM = f"{sys.executable} {ROOT / 'examples' / 'rmsprop.py'}"
POSIX = pytest.mark.skipif(os.name != "posix", reason="a matter of POSIX")

MINE = """
import numpy as np
from rmsprop_ref import Rule, Unsupported, init, step

print("printed at import")

def make(rule):
    if rule.momentum:
        raise Unsupported("no momentum")
    def run(theta, grads):
        print("printed by run")
        state = init(theta, rule)
        for grad in grads:
            with np.errstate(all="ignore"):
                theta, state = step(theta, grad, state, rule)
            yield theta
    return run

class Box:
    plain = staticmethod(make(Rule()))

run, number = Box.plain, 7

def interrupted(theta, grads):
    raise KeyboardInterrupt

def unsupported(theta, grads):
    raise Unsupported("not in\\nthis dtype")

def stuck(theta, grads):
    while True:
        pass
"""


@pytest.fixture
def ask(tmp_path, monkeypatch, capfd):
    """``ask(*arguments) -> status, stdout, stderr``, where mine.py is."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def forget():
        for name in ("mine", "other"):
            sys.modules.pop(name, None)

    def asked(*arguments):
        forget()
        importlib.invalidate_caches()
        status = main(arguments)
        return status, *capfd.readouterr()

    yield asked
    forget()


def process(*arguments, cwd=ROOT, **options):
    """The command as a process."""
    command = [sys.executable, "-m", "rmsprop_ref", *arguments]
    return subprocess.run(command, capture_output=True, cwd=cwd, **options)


# Verdicts


def test_a_pass(ask):
    status, out, err = ask("check", "mine:run")
    assert status == 0
    assert out.startswith("No --rule is given: this is the plain one.\n\nexact: ")
    assert "printed at import\nprinted by run\n" in err


def test_a_failure(ask):
    status, out, _ = ask("check", "mine:Box.plain", "--rule", "eps_in=1e-8")
    assert status == 1
    assert out.startswith("wrong rule: ε is outside the root\n")


def test_several_dtypes(ask):
    dtypes = ("--dtype", "float16,bfloat16", "--dtype=float64")
    status, out, _ = ask("check", "mine:run", "--json", *dtypes)
    reports = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [report["dtype"] for report in reports] == ["float16", "bfloat16", "float64"]
    assert all(report["ok"] for report in reports)
    status, out, _ = ask("check", "mine:run", "--rule", "plain", "--dtype", "float32,float64")
    assert re.findall(r"^.*exact", out, re.MULTILINE) == ["exact", "exact"]
    assert "\n\nexact" in out


def test_one_failure_among_several_fails(ask):
    # In float16 the square of 1e-8 is zero, and one rule is as good as the other.
    status, out, _ = ask("check", "mine:run", "--rule=lr=0.02", "--dtype=float32,float16", "--json")
    assert status == 1
    assert len(out.splitlines()) == 2


def test_a_suite(ask, monkeypatch):
    rules = {name: RULES[name] for name in ("plain", "momentum", "graves")}
    monkeypatch.setattr("rmsprop_ref.oracle.verdicts.RULES", rules)
    status, out, _ = ask("check", "mine:make", "--suite", "--dtype", "float32")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == list(rules)
    assert re.search("^momentum +unsupported +no momentum$", out, re.MULTILINE)


def test_a_suite_that_fails(ask, monkeypatch):
    monkeypatch.setattr("rmsprop_ref.oracle.verdicts.RULES", {"slow": Rule(lr=1e-5)})
    Path("other.py").write_text("def make(rule):\n    return lambda theta, grads: 0 * grads\n")
    status, out, _ = ask("check", "--suite", "other:make", "--json")
    assert status == 1
    rows = json.loads(out)["rows"]
    assert [(row["rule"], row["dtype"]) for row in rows] == [
        ("slow", "float32"),
        ("slow", "float64"),
    ]


def test_a_stuck_run(ask):
    status, out, _ = ask("check", "mine:stuck", "--timeout", "0.05")
    assert status == 1
    assert "broken: it did not return within 0.05 s" in out


# Programs


def test_a_program(ask):
    status, out, _ = ask("check", "--cmd", PROGRAM, "--rule", "beta=0.99", "--json")
    assert status == 0
    assert json.loads(out)["verdict"] == "exact"


def test_a_wrong_program(ask):
    status, out, _ = ask("check", "--cmd", f"{sys.executable} -S -c print(1)")
    assert status == 1
    assert "broken: program " in out


def test_a_slow_program_is_stopped_by_its_own_clock(ask):
    command = f"{sys.executable} -S -c input();input()"
    status, out, _ = ask("check", "--cmd", command, "--timeout", "0.3")
    assert status == 1
    assert "it gave no answer in 0.3 s" in out


def test_a_program_that_crashes_spoils_no_other_rule(ask, monkeypatch):
    rules = {"mu": Rule(momentum=0.9), "plain": Rule(lr=0.5), "floor": Rule(eps_floor=0.1)}
    monkeypatch.setattr("rmsprop_ref.oracle.verdicts.RULES", rules)
    code = (ROOT / "examples/rmsprop.py").read_text("utf-8")
    Path("mine.py").write_text(
        code.replace("if used ", 'assert "momentum" not in used\n    if used ')
    )
    status, out, _ = ask(
        "check", "--suite", "--cmd", f"{sys.executable} mine.py", "--dtype=float32"
    )
    assert status == 1
    assert re.findall(r"^([a-z]+) +(\w+)", out, re.MULTILINE)[1:] == [
        ("mu", "broken"),
        ("plain", "exact"),
        ("floor", "unsupported"),
    ]


# Misuse

MISUSES = {
    "rmsprop-ref: the following arguments are required: COMMAND (see rmsprop-ref --help)": [],
    "invalid choice: 'chek'": ["chek"],
    "name what to check: either module:run, or a program with --cmd": ["check"],
    "or a program": ["check", "mine:run", "--cmd", "x"],
    "'mine' names no run: expected module:run": ["check", "mine"],
    "'mine.py:run' names no run": ["check", "mine.py:run"],
    "no module 'nowhere' in the current directory": ["check", "nowhere.here:run"],
    "mine:Box.plane: there is no 'plane': did you mean plain?": ["check", "mine:Box.plane"],
    "mine:number is 7: expected a callable": ["check", "mine:number"],
    "leave out one of --suite and --rule": ["check", "--suite", "mine:make", "--rule", "plain"],
    "in float32 is not supported: not in this dtype": ["check", "mine:unsupported"],
    "no momentum": ["check", "--cmd", PROGRAM, "--rule", "momentum=0.5"],
    "cannot be started: no executable 'no-such'": ["check", "--cmd", "no-such program"],
    "has no end": ["check", "--cmd", "'mine"],
    "the command is empty": ["check", "--cmd", " "],
    "Rule has no field 'rho': here it is called beta": ["check", "mine:run", "--rule", "rho=0.9"],
    "beta=1.5 is out of range": ["check", "mine:run", "--rule", "beta=1.5"],
    "lr='fast' is not a real number": ["cases", "--rule", "lr=fast"],
    "'0.1' is no name=value (a schedule needs JSON)": ["cases", "--rule", "lr=0.2,0.1"],
    "lr is given twice": ["cases", "--rule", "lr=1,lr=2"],
    "called 'plian': did you mean plain?": ["cases", "--rule", "plian"],
    "or give its fields, as lr=0.01,beta=0.9": ["cases", "--rule", "7"],
    "this is no JSON: Expecting": ["cases", "--rule", "{lr}"],
    "nan is not": ["cases", "--rule", '{"centered": NaN}'],
    "No such file": ["cases", "--rule", "@nowhere.json"],
    "expected an object": ["cases", "--rule", "@list.json"],
    "dtype='float8' is not possible": ["check", "mine:run", "--dtype", "float32,float8"],
    "'soon' is no number of seconds": ["check", "mine:run", "--timeout", "soon"],
    "'nan' is no number of seconds": ["check", "mine:run", "--timeout", "nan"],
    "'-1' is no number of seconds": ["check", "mine:run", "--timeout=-1"],
    "full is not empty: --force": ["vectors", "export", "full"],
    "cannot write to mine.py": ["vectors", "export", "mine.py"],
}


@pytest.mark.parametrize(("message", "arguments"), MISUSES.items())
def test_misuse(ask, message, arguments, vectors):
    Path("list.json").write_text("[0.1]")
    Path("full").mkdir()
    Path("full/file").touch()
    status, out, err = ask(*arguments)
    assert status == 2
    assert out in ("", "No --rule is given: this is the plain one.\n\n")
    said = [line for line in err.splitlines() if not line.startswith("printed ")]
    assert len(said) == 1
    assert said[0].startswith("rmsprop-ref: ")
    assert message in said[0]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "\n1 / 0",
            "importing other raised ZeroDivisionError: division by zero (other.py, line 2)",
        ),
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere' (other.py, line 1)"),
        ("def", "importing other raised SyntaxError: invalid syntax (other.py, line 1)"),
        ("raise SystemExit(3)", "importing other raised SystemExit: 3 (other.py, line 1)"),
    ],
)
def test_a_module_that_raises(ask, code, message):
    Path("other.py").write_text(code)
    status, out, err = ask("check", "other:run")
    assert (status, out) == (2, "")
    assert re.fullmatch("rmsprop-ref: .*\n", err)
    assert message in err


# Rules


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("lr=0.5, centered=True,v0=first_square", Rule(lr=0.5, centered=True, v0="first_square")),
        ("momentum_on=gradient,momentum=.5", Rule(momentum=0.5, momentum_on="gradient")),
        ('{"lr": [0.5, 0.25], "nesterov": false}', Rule(lr=(0.5, 0.25))),
        ("@rule.json", Rule(eps_in=1e-7)),
        ("graves", RULES["graves"]),
    ],
)
def test_ways_to_say_a_rule(ask, text, rule):
    Path("rule.json").write_text('{"eps_in": 1e-7}')
    status, out, _ = ask("cases", "--json", "--rule", text)
    assert status == 0
    assert Rule(**json.loads(out)["rule"]) == rule


def test_the_rule_of_a_report_can_be_asked_again(ask):
    _, out, _ = ask("check", "mine:run", "--rule=lr=0.5,eps_in=1e-3", "--json")
    Path("rule.json").write_text(json.dumps(json.loads(out)["rule"]))
    _, out, _ = ask("cases", "--rule", "@rule.json", "--json")
    assert Rule(**json.loads(out)["rule"]) == Rule(lr=0.5, eps_in=1e-3)


# Inputs, vectors


def test_cases(ask):
    status, out, _ = ask("cases", "--dtype", "float16,float64")
    assert status == 0
    assert len(re.findall("^usual +12 × 24 ", out, re.MULTILINE)) == 2
    _, out, _ = ask("cases", "--json")
    rows = json.loads(out)["cases"]
    assert [row["id"] for row in rows] == [case.id for case in cases(Rule())]
    assert rows[0]["shape"] == [12, 24]
    assert set(rows[0]["flags"]) <= FLAGS.keys()


def test_flags(ask):
    _, out, _ = ask("cases", "--flags")
    assert re.findall(r"^(\w+) \(", out, re.MULTILINE) == list(FLAGS)
    _, out, _ = ask("cases", "--flags", "--json")
    assert json.loads(out)["Zero"]["links"] == list(FLAGS["Zero"].links)


@pytest.fixture
def vectors(monkeypatch):
    """A stand-in for the module that writes them."""

    def export(directory):
        directory.mkdir(exist_ok=True)
        (directory / "plain.json").touch()
        return 1

    monkeypatch.setitem(sys.modules, "rmsprop_ref.vectors", types.SimpleNamespace(export=export))


def test_export(ask, vectors):
    assert ask("vectors", "export", "there") == (0, "1 file in there\n", "")
    assert ask("vectors", "export", "there")[0] == 2
    assert ask("vectors", "export", "there", "--force")[0] == 0


# The process


def test_interrupted(ask):
    assert ask("check", "mine:interrupted")[0] == 130


def test_version_and_help(capsys):
    for argument in ("--version", "--help"):
        with pytest.raises(SystemExit) as caught:
            main([argument])
        assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"rmsprop-ref {rmsprop_ref.__version__}\nusage: ")


def test_an_ascii_terminal_gets_utf_8():
    done = process("cases", env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=True)
    assert "θ ← θ - η g / d" in done.stdout.decode("utf-8")


@POSIX
def test_what_c_prints_is_not_in_the_json(tmp_path):
    code = "import ctypes\nC = ctypes.CDLL(None)\ndef run(theta, grads):\n    C.puts(b'from C')\n"
    (tmp_path / "other.py").write_text(code)
    done = process("check", "other:run", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["verdict"] == "broken"
    assert b"from C" in done.stderr


@POSIX
def test_a_reader_that_leaves():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "rmsprop_ref", "cases", "--flags"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_entry_points_lead_somewhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert pkgutil.resolve_name(project["scripts"]["rmsprop-ref"]) is main
    plugin = project["entry-points"]["pytest11"]["rmsprop_ref"]
    assert pkgutil.resolve_name(plugin).rmsprop_check


# The page


CI_VARIABLES = {"CI", "BUILD_NUMBER"}


def page_with_real_outputs(directory):
    """The page, each of its commands run in ``directory`` with the files that it shows."""
    page = PAGE.read_text("utf-8")
    for name, code in re.findall(r"^```python\n# (\S+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        (directory / name).write_text(code, encoding="utf-8")
    shutil.copytree(ROOT / "examples", directory / "examples")
    command = directory / "bin" / "rmsprop-ref"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rmsprop_ref "$@"\n')
    command.chmod(0o755)
    # pytest prints more where these are set, as they are in continuous integration.
    plain = {name: value for name, value in os.environ.items() if name not in CI_VARIABLES}
    environment = plain | {
        "PATH": os.pathsep.join(
            [str(command.parent), str(Path(sys.executable).parent), "/bin:/usr/bin"]
        ),
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": "-p rmsprop_ref.pytest_plugin -p no:cacheprovider",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

    def run(block):
        shown = []
        for line in re.findall(r"^\$ .*", block[0], re.MULTILINE):
            done = subprocess.run(
                line[2:],
                shell=True,
                cwd=directory,
                env=environment,
                text=True,
                encoding="utf-8",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            shown.append(f"{line}\n{re.sub(r'in [0-9.]+s', 'in 0.5s', done.stdout)}")
        return "```console\n" + "\n".join(shown) + "```"

    return re.sub(r"^```console\n.*?^```", run, page, flags=re.DOTALL | re.MULTILINE)


@POSIX
def test_the_page_shows_what_happens(tmp_path):
    assert page_with_real_outputs(tmp_path).splitlines() == PAGE.read_text("utf-8").splitlines()


if __name__ == "__main__":  # write the page anew: python tests/test_cli.py
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        PAGE.write_text(page_with_real_outputs(Path(directory)), encoding="utf-8")
