"""The page of errata prints what it says, and speaks of dialects that there are."""

import contextlib
import io
import re
from pathlib import Path

from rmsprop_ref.dialects import DIALECTS

PAGE = (Path(__file__).parents[1] / "book" / "errata.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_it_prints_what_it_says():
    names = {}
    shown = []
    for language, code in BLOCKS:
        if language == "text":
            shown[-1][1] = code
            continue
        assert language == "python"
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        shown.append([printed.getvalue(), ""])
    assert [said for _, said in shown] == [printed for printed, _ in shown]
    assert len([said for _, said in shown if said]) >= 7


def test_its_links_are_dialects():
    linked = re.findall(r"\]\(atlas/(\w+)\.md\)", PAGE)
    assert len(set(linked)) > 20
    assert set(linked) <= DIALECTS.keys()
