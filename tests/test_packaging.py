"""What is said in two places says the same, and nothing names a machine."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from rattler import MatchSpec

import rmsprop_ref

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# conda-forge's names, where they differ.
CONDA_NAMES = {
    "dask[array]": "dask-core",
    "matplotlib": "matplotlib-base",
    "ml-dtypes": "ml_dtypes",
}
# Optional for everybody, so in no environment that is made for somebody.
NOT_IN_CONDA = {"bench", "torch"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_import_needs_numpy_alone():
    assert [d.split(">")[0] for d in PROJECT["dependencies"]] == ["numpy"]
    heavy = ["IPython", "dask", "flint", "jax", "matplotlib", "mpmath", "scipy", "sympy", "torch"]
    code = f"import rmsprop_ref, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_conda_environment_matches_pyproject():
    environment = yaml.safe_load(read("environment.yml"))["dependencies"]
    conda = {
        (str(spec.name.normalized), str(spec.version))
        for spec in (MatchSpec(text, strict=True) for text in environment if isinstance(text, str))
        if spec.version is not None
    }
    extras = PROJECT["optional-dependencies"]
    wanted = set(PROJECT["dependencies"]) | {f"python{PROJECT['requires-python']}"}
    wanted |= {d for extra in extras.keys() - NOT_IN_CONDA for d in extras[extra]}
    names_and_versions = {
        (CONDA_NAMES.get(name, name), version)
        for name, version in (re.fullmatch(r"([^<>=!~]+)(.*)", d).groups() for d in wanted)
        if not name.startswith(PROJECT["name"])
    }
    assert conda == names_and_versions


def test_import_loads_little_beside_numpy():
    """Time follows what is loaded: here a dozen small modules of Python's own, beside NumPy's."""

    def loaded(module: str) -> set[str]:
        code = f"import {module}, sys; print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        return set(done.stdout.split())

    numpy_alone, ours = loaded("numpy"), loaded("rmsprop_ref")
    own = {name for name in ours if name.startswith("rmsprop_ref")}
    assert own == {"rmsprop_ref"} | {f"rmsprop_ref.{x}" for x in ("constant", "reference", "rule")}
    small = {"__future__", "copy", "dataclasses", "difflib", "fractions", "decimal", "heapq"}
    assert ours - numpy_alone - own <= small | {"_decimal", "_heapq"}
    assert len(ours) < 1.3 * len(numpy_alone)


def test_one_version():
    citation = yaml.safe_load(read("CITATION.cff"))
    newest = re.search(r"^## \[(.+?)\]", read("CHANGELOG.md"), re.MULTILINE)
    assert {PROJECT["version"], rmsprop_ref.__version__, str(citation["version"]), newest[1]} == {
        PROJECT["version"]
    }
    assert citation["license"] == PROJECT["license"]


def test_no_file_names_a_registry_or_a_machine():
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files are the project's own is not known")
    # Written so that this file does not match.
    hosts = ["pypi[.]org", "pythonhosted[.]org", "npmjs[.]org", "debian[.]org/debian"]
    folders = ["home", "root", "tmp", "Users", "work", "farm", "private", "opt"]
    pattern = re.compile(
        rf"\b(?:{'|'.join(hosts)})|(?<![\w.)}}>-])/(?:{'|'.join(folders)})/(?!\{{)"
    )
    found = []
    for name in done.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".npz", ".gz", ".woff2"}:
            match = pattern.search(path.read_text(encoding="utf-8", errors="ignore"))
            found += [f"{name}: {match[0]}"] if match else []
    assert found == []


def test_contents_list_every_notebook_in_order():
    toc = yaml.safe_load(read("book/_toc.yml"))
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    chapters = [name for name in files if name.startswith("notebooks/")]
    assert chapters == [f"notebooks/{path.stem}" for path in NOTEBOOKS]


def test_both_builders_have_the_same_settings():
    conf = read("book/conf.py")
    config = yaml.safe_load(read("book/_config.yml"))
    for name, value in config["sphinx"]["config"].items():
        match = re.search(rf"^{name} = (.+?)(?:  #.*)?$", conf, re.MULTILINE)
        assert match, f"{name} is not in conf.py"
        ours = ast.literal_eval(match[1])
        assert json.loads(json.dumps(ours).replace('"_', '"book/_')) == value, name
    assert config["title"] in conf


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_figures_have_alt_text(path):
    """The key is the one that myst-nb turns into the `alt` of the page's <img>."""
    missing = [
        cell.get("id", "?")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if any(mime.startswith("image/") for mime in output.get("data", {}))
        and len(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "").split()) < 3
    ]
    assert missing == [], "cells whose figure has no alt text of three words or more"


def test_no_equation_of_the_rule_is_typed_by_hand():
    """Pages and chapters print them from the implementation; this finds an assignment in TeX."""
    pages = {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in (ROOT / "book").glob("*.md")}
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        pages[path.name] = "\n".join(text)
    new = r"(?:v|\\theta)_\{?t\}?"
    typed = re.compile(rf"{new}\s*(?:&?=|\\gets|\\leftarrow)|\\sqrt\{{?\s*v_\{{?t")
    assert {name: typed.findall(text) for name, text in pages.items() if typed.search(text)} == {}
