"""A Python file as a page: its comments on the left, the code that they explain on the right.

The page is made from the file alone. In MyST::

    ```{annotated-source} ../rmsprop_ref/reference.py
    ```

A block comment stands beside the code that follows it, an end-of-line comment beside its own line.
The module's docstring opens the page, and a function's its part of the page. Text is Markdown;
numpy-style sections and doctests are translated.
"""

import ast
import io
import itertools
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOR_TOOLS = ("noqa", "type:", "fmt:", "pragma:", "mypy:", "ruff:")


@dataclass
class Row:
    """Some code, and the text beside it."""

    text: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    title: str = ""  # of a top-level function or class that starts here
    gap: bool = False  # the source has a blank line before this row


def rows(source: str) -> list[Row]:
    """Cut a Python file into rows; the module's docstring is the text of the first."""
    tree = ast.parse(source)
    docstrings = {}  # first line of a docstring -> (last line, its text, first line of its owner)
    titles = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            owner = _first_line(node)
            if text is not None:
                docstrings[node.body[0].lineno] = (node.body[0].end_lineno, text, owner)
            if node in tree.body:
                titles[owner] = node.name
    owners = {owner: text for _, text, owner in docstrings.values()}
    comments = {
        token.start[0]: (token.start[1], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.string.lstrip("# ").startswith(FOR_TOOLS)
    }

    row = Row()
    result = [Row(text=owners.get(0, "").splitlines()), row]
    blank = closed = False  # closed: the next line of code starts a row of its own
    last_of_docstring = 0
    for number, line in enumerate(source.splitlines(), start=1):
        if number in docstrings:
            last_of_docstring = docstrings[number][0]
        if number <= last_of_docstring:
            continue
        if not line.strip():
            blank = True
            continue
        column, comment = comments.get(number, (len(line), ""))
        code = line[:column].rstrip()
        if row.code and (closed or comment or number in titles or number in owners):
            row = Row(gap=blank)
            result.append(row)
        elif blank and (row.code or row.text):
            (row.code or row.text).append("")
        if comment:
            row.text.append(comment.removeprefix("#").removeprefix(" "))
        if number in owners:
            row.text += owners[number].splitlines()
        if number in titles:
            row.title = titles[number]
        if code:
            row.code.append(code)
        closed = bool(comment and code)
        blank = False
    return result


def _first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> int:
    """The line where a definition starts, decorators included; 0 for the module."""
    if isinstance(node, ast.Module):
        return 0
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def markdown(lines: list[str]) -> str:
    """Translate what docstrings have and Markdown lacks: doctests and underlined sections."""
    out: list[str] = []
    in_doctest = in_section = False
    for line, following in itertools.pairwise([*lines, ""]):
        if in_doctest and not line.strip():
            out.append("```")
            in_doctest = False
        if line.startswith(">>>") and not in_doctest:
            out += ["", "```pycon"]
            in_doctest = True
        if re.fullmatch("-{3,}", following.strip()) and line.strip():
            out += ["", "```{rubric} " + line.strip(), "```", ""]
            in_section = True
        elif re.fullmatch("-{3,}", line.strip()):
            continue
        elif in_section and not in_doctest and line and not line.startswith(" "):
            # An entry: a term when its definition is indented below it, else an item of a list.
            out += ["", line, ""] if following.startswith("    ") else ["- " + line]
        elif in_section and not in_doctest and out and line.startswith("    "):
            first = out[-1] == ""
            if first:
                out.pop()
            out.append((": " if first else "  ") + line.strip())
        else:
            out.append(line)
    return "\n".join([*out, "```"] if in_doctest else out)


class AnnotatedSource(SphinxDirective):
    """The rows of the Python file that the argument names, relative to the page's own file."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        """Return the opening text and the rows; each top-level definition is a section."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        opening, *rest = rows(Path(path).read_text(encoding="utf-8"))
        page = nodes.container(classes=["annotated"])
        page += self.opening(opening)
        for row in rest:
            if row.title:
                name = nodes.literal(text=row.title)
                page += nodes.rubric("", "", name, ids=[f"source-{row.title}"])
                page += self.opening(row)
            page += self.pair(row)
        return [page]

    def opening(self, row: Row) -> nodes.container:
        """Return the text of a docstring: wide, for it is long beside the line of a signature."""
        return nodes.container("", *self.prose(row), classes=["annotated-opening"])

    def pair(self, row: Row) -> nodes.container:
        """Return one row of the page."""
        pair = nodes.container(classes=["annotated-row", *(["annotated-gap"] if row.gap else [])])
        if row.text and not row.title:
            pair += nodes.container("", *self.prose(row), classes=["annotated-text"])
        code = "\n".join(row.code)
        pair += nodes.container(
            "", nodes.literal_block(code, code, language="python"), classes=["annotated-code"]
        )
        return pair

    def prose(self, row: Row) -> list[nodes.Node]:
        """Return the text of a row, parsed as Markdown."""
        return self.parse_text_to_nodes(markdown(row.text)) if row.text else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("annotated-source", AnnotatedSource)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
