"""What the oracle says: a verdict, and why."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from rmsprop_ref.rule import Rule

PASSING = ("exact", "proven")


@dataclass(frozen=True)
class Point:
    """One number of one trajectory, beside what it should be.

    Attributes
    ----------
    case : str
        The id of the input.
    step, element : int
        Which step, from 1, and which element, from 0.
    got, expected : float
        The number, and the exact value rounded to binary64.
    error, allowed : float
        The distance from the exact value, and the largest of a legal evaluation.
    """

    case: str
    step: int
    element: int
    got: float
    expected: float
    error: float
    allowed: float

    def __str__(self) -> str:
        return (
            f"input {self.case}, step {self.step}, element {self.element}: got {self.got!r}, "
            f"expected {self.expected!r}, error {self.error:.3g}, allowed {self.allowed:.3g}"
        )


@dataclass(frozen=True)
class CaseResult:
    """How one input went.

    Attributes
    ----------
    case : str
        The id of the input.
    verdict : str
        ``"exact"``, ``"proven"``, ``"outside"`` or ``"broken"``.
    ratio : float
        The largest error over the allowed error; NaN where nothing was determined.
    note : str
        What was seen where nothing is determined, or what broke.
    """

    case: str
    verdict: str
    ratio: float
    note: str = ""


@dataclass(frozen=True)
class Report:
    """The outcome of :func:`check`. It prints itself, also in Jupyter.

    Attributes
    ----------
    verdict : str
        ``"exact"``: the reference's own bits. ``"proven"``: inside the enclosure. ``"imprecise"``:
        the right rule in worse arithmetic. ``"wrong rule"``: another rule. ``"broken"``: no
        trajectory, or none that any rule would give.
    diagnosis : str
        Why, in a sentence.
    rule : Rule
        What was claimed.
    dtype : str
        In which format.
    axis : str
        For a failure, the field of Rule, or else what, it is about; otherwise empty.
    computes : Rule or None
        For a wrong rule, the Rule that it does compute, where a Rule can say it.
    reading : str
        For a pass, what the implementation takes the hyper-parameters for.
    worst : Point or None
        Where error over allowed error is largest.
    first : Point or None
        For a failure, the first step that shows it.
    cases : tuple of CaseResult
        Every input.
    """

    verdict: str
    diagnosis: str
    rule: Rule
    dtype: str
    axis: str = ""
    computes: Rule | None = None
    reading: str = ""
    worst: Point | None = None
    first: Point | None = None
    cases: tuple[CaseResult, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the implementation passes."""
        return self.verdict in PASSING

    def __str__(self) -> str:
        lines = [
            f"{self.verdict}: {self.diagnosis}",
            f"  claimed   {short(self.rule)}, {self.dtype}",
        ]
        if self.computes is not None:
            lines.append(f"  computes  {short(self.computes)}")
        if self.ok:
            lines.append(f"  inputs    {len(self.cases)}, all inside the enclosure")
            lines.append(f"  reading   {self.reading}")
            if self.worst is not None:
                worst = self.worst
                ratio = worst.error / worst.allowed if worst.allowed else 0.0
                lines.append(
                    f"  worst     {ratio:.2f} of the allowed error: input {worst.case}, "
                    f"step {worst.step}, element {worst.element}"
                )
        else:
            bad = [result.case for result in self.cases if result.verdict not in PASSING]
            if bad:
                named = ", ".join(bad[:5]) + (", …" if len(bad) > 5 else "")
                lines.append(f"  inputs    {len(bad)} of {len(self.cases)} fail: {named}")
            places = {"first": self.first, "worst": self.worst}
            if self.first == self.worst:
                places = {"worst": self.worst}
            for name, point in places.items():
                if point is not None:
                    where = f"step {point.step}, element {point.element}"
                    lines += [
                        f"  {name:9} input {point.case}, {where}",
                        f"            got      {point.got!r}",
                        f"            expected {point.expected!r}",
                        f"            error    {point.error:.3g}, allowed {point.allowed:.3g}",
                    ]
        notes = [f"{r.case}: {r.note}" for r in self.cases if r.note and self.ok]
        lines += [f"  {'special' if i == 0 else '':9} {note}" for i, note in enumerate(notes)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        mark = "✓" if self.ok else "✗"
        head, _, rest = str(self).partition("\n")
        return (
            f"<div><p><strong>{mark} {html.escape(head)}</strong></p>"
            f"<pre>{html.escape(rest)}</pre></div>"
        )

    def to_json(self, **options: Any) -> str:
        """The report as JSON; numbers that JSON has no word for are strings."""
        content = asdict(self)
        for name in ("rule", "computes"):
            rule = getattr(self, name)
            content[name] = None if rule is None else asdict(rule)
        return json.dumps({"ok": self.ok} | speakable(content), ensure_ascii=False, **options)

    def raise_for_failure(self) -> None:
        """Raise AssertionError, with the words of the report, unless it passes."""
        if not self.ok:
            raise AssertionError(str(self))


@dataclass(frozen=True)
class SuiteReport:
    """The outcome of :func:`check_suite`: one Report for each rule and dtype, or why there is none.

    Attributes
    ----------
    rows : tuple of (str, str, Report or str)
        The rule's name, the dtype, and the Report; or the reason why the rule is not supported.
    """

    rows: tuple[tuple[str, str, Report | str], ...]

    @property
    def ok(self) -> bool:
        """Whether all that is supported passes, and something is."""
        reports = self.reports
        return bool(reports) and all(report.ok for report in reports)

    @property
    def reports(self) -> tuple[Report, ...]:
        """Those that there are."""
        return tuple(x for _, _, x in self.rows if isinstance(x, Report))

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A heading and rows: a row for each rule, a column for each dtype."""
        dtypes = list(dict.fromkeys(dtype for _, dtype, _ in self.rows))
        cells = {(name, dtype): x for name, dtype, x in self.rows}
        rows = []
        for name in dict.fromkeys(name for name, _, _ in self.rows):
            found = [cells.get((name, dtype)) for dtype in dtypes]
            shown = ["" if x is None else getattr(x, "verdict", "unsupported") for x in found]
            why = dict.fromkeys(
                x if isinstance(x, str) else x.diagnosis
                for x in found
                if x is not None and not getattr(x, "ok", False)
            )
            rows.append([name, *shown, "; ".join(why)])
        return ["rule", *dtypes, ""], rows

    def __str__(self) -> str:
        heading, rows = self.table()
        widths = [max(len(row[i]) for row in [heading, *rows]) for i in range(len(heading))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [heading, *rows]
        ]
        passed = sum(report.ok for report in self.reports)
        unsupported = len(self.rows) - len(self.reports)
        lines.append(f"{passed} of {len(self.reports)} pass, {unsupported} are not supported")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        heading, rows = self.table()

        def line(row: list[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(x)}</{tag}>" for x in row) + "</tr>"

        body = "".join(line(row, "td") for row in rows)
        return f"<table>{line(heading, 'th')}{body}</table>"

    def to_json(self, **options: Any) -> str:
        """The reports as JSON."""
        rows = [
            {"rule": name, "dtype": dtype}
            | ({"unsupported": x} if isinstance(x, str) else {"report": json.loads(x.to_json())})
            for name, dtype, x in self.rows
        ]
        return json.dumps({"ok": self.ok, "rows": rows}, ensure_ascii=False, **options)

    def raise_for_failure(self) -> None:
        """Raise AssertionError with the table, unless all pass."""
        if not self.ok:
            raise AssertionError(str(self))


def short(rule: Rule) -> str:
    """A Rule without the fields that are as in the plain rule."""
    plain = Rule()
    named = {name: getattr(rule, name) for name in plain.__dataclass_fields__}
    shown = {k: v for k, v in named.items() if v != getattr(plain, k) or k in ("lr", "beta")}
    if rule.eps_in == 0 and rule.eps_floor == 0:
        shown["eps_out"] = rule.eps_out
    elif rule.eps_out == 0:
        shown.pop("eps_out", None)  # naming another ε leaves it out
    if isinstance(rule.lr, tuple) and len(rule.lr) > 3:
        first = ", ".join(f"{x:g}" for x in rule.lr[:2])
        shown["lr"] = f"[{first}, … {len(rule.lr)} values]"
    return (
        "Rule("
        + ", ".join(f"{k}={v}" if k == "lr" else f"{k}={v!r}" for k, v in shown.items())
        + ")"
    )


def speakable(x: Any) -> Any:
    """Nested plain values; numbers that JSON has no word for as strings."""
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    if isinstance(x, dict):
        return {k: speakable(v) for k, v in x.items()}
    return [speakable(v) for v in x] if isinstance(x, (list, tuple)) else x
