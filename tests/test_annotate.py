"""The annotated page shows the whole file, and puts each comment beside its code."""

import ast
import io
import sys
import tokenize
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the site's packages (the extra `book`) are not installed")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book"))
import annotate  # noqa: E402

SOURCE = '''\
"""Title.

Text.
"""

import math

# About f.


@property
def f(x):
    """Say what f does.

    Parameters
    ----------
    x : float
        A number.
    """
    y = x  # an alias
    z = "# no comment"

    # One.

    # Two.
    return y, z  # noqa: X
'''


def test_rows():
    found = [(row.title, row.text, row.code) for row in annotate.rows(SOURCE)]
    docstring = ["Say what f does.", "", "Parameters", "----------", "x : float", "    A number."]
    assert found == [
        ("", ["Title.", "", "Text."], []),
        ("", [], ["import math"]),
        ("f", ["About f.", "", *docstring], ["@property", "def f(x):"]),
        ("", ["an alias"], ["    y = x"]),
        ("", [], ['    z = "# no comment"']),
        ("", ["One.", "", "Two."], ["    return y, z  # noqa: X"]),
    ]


def test_markdown():
    lines = [
        "See",
        "",
        ">>> 1",
        "1",
        "",
        "Parameters",
        "----------",
        "x : float",
        "    A",
        "    B",
        "y",
    ]
    assert annotate.markdown(lines).split("\n") == [
        *["See", "", "", "```pycon", ">>> 1", "1", "```", ""],
        *["", "```{rubric} Parameters", "```", ""],
        *["", "x : float", ": A", "  B", "- y"],
    ]


def test_no_code_and_no_comment_is_lost():
    source = (ROOT / "rmsprop_ref" / "reference.py").read_text(encoding="utf-8")
    rows = annotate.rows(source)

    def code_tokens(text):
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        return [token.string for token in tokens if token.type not in layout]

    tree = ast.parse(source)
    documented = [
        n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.FunctionDef | ast.ClassDef)
    ]
    docstrings = [ast.get_docstring(n) for n in documented if ast.get_docstring(n)]
    literals = {
        ast.get_source_segment(source, n.body[0]) for n in documented if ast.get_docstring(n)
    }
    shown = code_tokens("\n".join(line for row in rows for line in row.code))
    assert shown == [token for token in code_tokens(source) if token not in literals]

    prose = "\n".join("\n".join(row.text) for row in rows)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT]
    for text in docstrings + [c for c in comments if not c.startswith(annotate.FOR_TOOLS)]:
        assert text in prose
