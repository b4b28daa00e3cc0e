"""Which libraries compute the same RMSProp when they are given the same numbers.

>>> rows = classes(centered=True, momentum=0.5)
>>> next(described(rule) for rule, names in rows if "graves" in names)
'ε inside, average from 0, η in the buffer'
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import DIALECTS, Dialect
from rmsprop_ref.dialects.translation import scheduled
from rmsprop_ref.rule import Rule

# The numbers that all are given, each by its own arguments for them.
_GIVEN = Rule(lr=1 / 128, beta=0.75, eps_in=1 / 1024, eps_floor=1 / 1024)


def classes(**asked: Any) -> list[tuple[Rule, list[str]]]:
    """The rules that dialects compute from the same η, β and ε; the most frequent first.

    Parameters
    ----------
    **asked
        More that all are given: ``momentum=0.5``, ``centered=True``. Those that cannot have it, or
        cannot do without it, are left out.

    Returns
    -------
    list of (Rule, list of str)
        The dialects that compute the same, also while the learning rate changes, with the flags
        that have to be moved for it.
    """
    wanted = replace(_GIVEN, **asked)
    found: dict[Rule, dict[str, list[str]]] = {}
    for dialect in DIALECTS.values():
        try:
            near = list(dialect.near(wanted))
        except Unsupported:
            continue
        for arguments, setting in near:
            if [setting.rule.momentum, setting.rule.centered] == [wanted.momentum, wanted.centered]:
                names = found.setdefault(scheduled(setting.rule), {})
                flags = _moved(dialect, arguments)
                if dialect.name not in names or len(flags) < len(names[dialect.name]):
                    names[dialect.name] = flags
    labels = [
        (rule, [f"{x}({', '.join(flags)})" if flags else x for x, flags in names.items()])
        for rule, names in found.items()
    ]
    return sorted(labels, key=lambda row: -len(row[1]))


def _moved(dialect: Dialect, arguments: dict[str, Any]) -> list[str]:
    defaults = {name: p.default for name, p in dialect.signature.parameters.items()}
    return [
        f"{name}={value}"
        for name, value in arguments.items()
        if isinstance(value, bool)
        and value is not defaults[name]
        and name not in ("centered", "centred")
    ]


def described(rule: Rule) -> str:
    """What tells the rule from others of the same numbers."""
    places = {"eps_in": "inside", "eps_out": "outside", "eps_floor": "as a floor"}
    said = [
        f"ε {place}" + ("" if getattr(rule, name) == _GIVEN.eps_in else f", always {size:g}")
        for name, place in places.items()
        if (size := getattr(rule, name))
    ]
    start = {_GIVEN.eps_in: "ε", "first_square": "the first g²"}.get(rule.v0) or f"{rule.v0:g}"
    said = [" and ".join(said) or "no ε", f"average from {start}"]
    if rule.beta != _GIVEN.beta:
        said.append(f"β always {rule.beta:g}")
    if rule.momentum:
        said.append(f"η {'in' if rule.lr_in_buffer else 'outside'} the buffer")
    if rule.momentum_on == "gradient":
        said.append("gradients in the buffer")
    return ", ".join(said)


def markdown() -> str:
    """The classes as tables, without and with momentum and centering."""
    parts, seen = [], set()
    for words, asked in (
        ("Neither momentum nor centered", {}),
        ("Momentum", {"momentum": 0.5}),
        ("Centered", {"centered": True}),
        ("Centered, with momentum", {"centered": True, "momentum": 0.5}),
    ):
        rows = classes(**asked)
        seen |= {name.partition("(")[0] for _, names in rows for name in names}
        lines = [
            f"| {described(rule)} | {', '.join(f'`{x}`' for x in names)} |" for rule, names in rows
        ]
        parts.append("\n".join([f"| {words} | the same rule |", "|---|---|", *lines]))
    if absent := [f"`{name}`" for name in DIALECTS if name not in seen]:
        parts.append(f"In no row, because no Rule says what they do: {', '.join(absent)}.")
    return "\n\n".join(parts)
