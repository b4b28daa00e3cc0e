"""What an identification says: the rule, each of its fields, and how they are told."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rmsprop_ref.oracle.report import short, speakable
from rmsprop_ref.rule import Rule


class Axis(NamedTuple):
    """What a recording says of one field of Rule.

    Attributes
    ----------
    name : str
        The field.
    value : object
        What it is in the simplest rule that explains the recording.
    determined : bool
        Whether every rule that explains the recording has it: a number between ``low`` and
        ``high``, which are close together or close to 0; any other field exactly.
    low, high : float or None
        The least and the largest number that the recording allows.
    wanted : str
        If it is not determined, what data would determine it.
    """

    name: str
    value: Any
    determined: bool
    low: float | None = None
    high: float | None = None
    wanted: str = ""


class RunnerUp(NamedTuple):
    """A hypothesis that does not explain the recording, with its best numbers.

    Attributes
    ----------
    words : str
        What it is.
    distance : float
        The largest error of a recorded number, over the error that is allowed.
    step : int
        The first step in which one is outside.
    """

    words: str
    distance: float
    step: int


@dataclass(frozen=True)
class Identification:
    """The answer of :func:`identify`. It prints itself, also in Jupyter.

    Attributes
    ----------
    optimiser : str
        ``"RMSProp"``; another, such as ``"Adam"``; ``""`` for none that is known here.
    rule : Rule or None
        The simplest Rule that explains the recording; for SGD and sign descent, which a Rule can
        say as well, that one. None where no Rule can.
    numbers : dict
        The hyper-parameters by the names that Rule has for them (for Adam, β1 is ``momentum``).
    axes : tuple of Axis
        Each field of the rule: determined, or what would determine it.
    verdict : str
        ``"identified"``; ``"imprecise"``, for a rule in worse arithmetic than a legal one;
        ``"contradicted"``, where it is another than what is given allows; ``"none"``;
        ``"broken"``, for a black box that gives no trajectory.
    sentence : str
        The verdict and its reason.
    dtype : str
        The format of the recording.
    worst : float
        The largest error of a recorded number over the allowed one.
    dialects : tuple of (str, dict)
        The libraries that compute this, with their own arguments.
    also : tuple of Rule
        Other rules that explain the recording.
    others : tuple of str
        Other optimisers that do.
    runners_up : tuple of RunnerUp
        The nearest that do not.
    shape : tuple of int
        Steps and parameters of the recording.
    """

    optimiser: str
    rule: Rule | None
    numbers: dict[str, Any]
    axes: tuple[Axis, ...]
    verdict: str
    sentence: str
    dtype: str
    worst: float = math.nan
    dialects: tuple[tuple[str, dict[str, Any]], ...] = ()
    also: tuple[Rule, ...] = ()
    others: tuple[str, ...] = ()
    runners_up: tuple[RunnerUp, ...] = ()
    shape: tuple[int, int] = (0, 0)

    @property
    def ok(self) -> bool:
        """Whether it is an RMSProp that a Rule says."""
        return self.optimiser == "RMSProp" and self.verdict != "contradicted"

    @property
    def undetermined(self) -> tuple[Axis, ...]:
        """The fields that the recording leaves open."""
        return tuple(axis for axis in self.axes if not axis.determined)

    def __str__(self) -> str:
        steps, n = self.shape
        data = f"{steps} step{'s' * (steps != 1)} of {n} parameter{'s' * (n != 1)}, {self.dtype}"
        lines = [self.sentence]
        if self.rule is not None:
            lines.append(f"  rule       {short(self.rule)}")
        if self.worst == self.worst:
            lines.append(f"  data       {data}: worst {self.worst:.2f} of the allowed error")
        else:
            lines.append(f"  data       {data}")
        known = [axis for axis in self.axes if axis.determined and axis.low is not None]
        for axis in known:
            lines.append(f"  {axis.name:10} {_interval(axis)}")
        for i, axis in enumerate(self.undetermined):
            head = "open" if i == 0 else ""
            lines.append(f"  {head:10} {axis.name}{_between(axis)}; it takes {axis.wanted}")
        for i, (name, arguments) in enumerate(self.dialects[:6]):
            said = ", ".join(f"{k}={brief(v)}" for k, v in arguments.items())
            lines.append(f"  {'libraries' if i == 0 else '':10} {name}({said})")
        if len(self.dialects) > 6:
            lines.append(f"  {'':10} {', '.join(name for name, _ in self.dialects[6:])}")
        for i, rule in enumerate(self.also[:3]):
            lines.append(f"  {'or' if i == 0 else '':10} {short(rule)}")
        for i, other in enumerate(self.runners_up):
            head = "not" if i == 0 else ""
            lines.append(
                f"  {head:10} {other.words}: {other.distance:.2g} times the allowed error, "
                f"first in step {other.step}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, _, rest = str(self).partition("\n")
        return (
            f"<div><p><strong>{html.escape(head)}</strong></p><pre>{html.escape(rest)}</pre></div>"
        )

    def as_dict(self) -> dict[str, Any]:
        """The answer as nested dictionaries of plain values."""
        content = asdict(self)
        content["rule"] = None if self.rule is None else asdict(self.rule)
        content["also"] = [asdict(rule) for rule in self.also]
        content["axes"] = [axis._asdict() for axis in self.axes]
        content["runners_up"] = [other._asdict() for other in self.runners_up]
        content = speakable({"ok": self.ok} | content)
        return dict(content)

    def to_json(self, **options: Any) -> str:
        """The answer as JSON; numbers that JSON has no word for are strings."""
        return json.dumps(self.as_dict(), ensure_ascii=False, **options)


def brief(value: Any) -> str:
    """A value as short as it can be without a loss."""
    if isinstance(value, tuple) and len(value) > 3:
        return f"[{value[0]:g}, … {len(value)} values]"
    return (
        f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else repr(value)
    )


def _interval(axis: Axis) -> str:
    if axis.low is None or axis.high is None:
        return brief(axis.value)
    if axis.value == 0:
        if axis.high == 0 or math.isinf(axis.high):
            return "0"
        return f"0, at most {axis.high:.2g}"
    by = max(axis.high - axis.value, axis.value - axis.low)
    return f"{brief(axis.value)} ± {by:.1g}"


def _between(axis: Axis) -> str:
    if axis.low is None or axis.high is None:
        return ""
    if axis.low == 0:
        return "" if math.isinf(axis.high) else f" (below {axis.high:.2g})"
    return f" (between {axis.low:.3g} and {axis.high:.3g})"
