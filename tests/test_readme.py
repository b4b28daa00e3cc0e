"""What the front page shows is what happens."""

import base64
import doctest
import json
import re
from pathlib import Path

from rmsprop_ref.course.mutants import MUTANTS
from rmsprop_ref.oracle.suite import published

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_its_example_prints_what_it_says():
    failed, tried = doctest.testfile(str(README), module_relative=False)
    assert tried > 5
    assert failed == 0


def test_its_picture_is_the_one_in_the_notebook():
    notebook = json.loads((ROOT / "notebooks/01_rmsprop_in_ten_minutes.ipynb").read_text("utf-8"))
    pictures = [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert (ROOT / "book/_static/lockstep.png").read_bytes() in pictures


def test_its_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_its_numbers_are_those_of_the_package():
    text = README.read_text("utf-8")
    assert f"{len(MUTANTS)} faulty" in text
    assert f"# {len(list(published()))} cases" in text
