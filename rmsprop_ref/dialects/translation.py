"""From one library's RMSProp to another's: the same rule, the same on a condition, or not.

>>> print(translate("optax", "pytorch", learning_rate=0.01, eps_in_sqrt=False))
optax → pytorch: same
  given      learning_rate=0.01, decay=0.9, eps=1e-08, eps_in_sqrt=False
  arguments  lr=0.01, alpha=0.9, eps=1e-08
"""

from __future__ import annotations

import difflib
import html
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import DIALECTS, Dialect, Setting, canonical, differences
from rmsprop_ref.dialects.distance import Apart, across, apart
from rmsprop_ref.dialects.remedies import Remedy, remedies
from rmsprop_ref.rule import Rule

SAME, SAME_IF, NOT = "same", "same if", "not convertible"
_CONSTANT = "the learning rate is constant"


@dataclass(frozen=True)
class Translation:
    """What :func:`translate` found. It prints itself, also in Jupyter.

    Attributes
    ----------
    verdict : str
        ``"same"``: in real numbers the two compute the same, also while the learning rate changes.
        ``"same if"``: on the condition below. ``"not convertible"``: no arguments of the target
        make it the same rule.
    source, target : Dialect
        From which library, to which.
    given : Setting
        The source with the arguments that were given.
    arguments : dict
        The target's arguments: the same rule, or the nearest, to be used with the remedies.
    nearest : Setting or None
        What the target computes with them; None where it takes no arguments that are near.
    condition : str
        On which the two are the same.
    why : tuple of str
        In what they differ.
    apart : Apart or None
        How far the target with these arguments gets from the source; None where it does not.
    remedies : tuple of Remedy
        What to do beyond giving arguments.
    left : Apart or None
        How far apart they still get when that is done; None: they are the same then.
    elsewhere : tuple of str
        Dialects next to the target that are the same rule, or the same on the condition that the
        learning rate is constant, as ``"name(arguments)"``.
    """

    verdict: str
    source: Dialect
    target: Dialect
    given: Setting
    arguments: dict[str, Any]
    nearest: Setting | None
    condition: str = ""
    why: tuple[str, ...] = ()
    apart: Apart | None = None
    remedies: tuple[Remedy, ...] = ()
    left: Apart | None = None
    elsewhere: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether arguments alone do it, if on a condition."""
        return self.verdict != NOT

    def __str__(self) -> str:
        blocks = {
            "given": [_spoken(self.source, self.given.arguments)],
            "arguments" if self.ok else "nearest": [_spoken(self.target, self.arguments)],
            "why": self.why,
            "apart": [self.apart] if self.apart else [],
            "do": [line for x in self.remedies for line in (x.text, *x.code.splitlines())],
            "then": [self.left or "the same rule"] if self.apart and self.remedies else [],
            "instead": self.elsewhere,
        }
        condition = f" {self.condition}" if self.condition else ""
        lines = [f"{self.source.name} → {self.target.name}: {self.verdict}{condition}"]
        for name, block in blocks.items():
            names = [name, *[""] * len(block)]
            lines += [f"  {x:9}  {line}" for x, line in zip(names, block, strict=False) if line]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, _, rest = map(html.escape, str(self).partition("\n"))
        return f"<div><p><strong>{head}</strong></p><pre>{rest}</pre></div>"

    def to_json(self, **options: Any) -> str:
        """The translation as JSON; numbers that JSON has no word for are strings."""
        from rmsprop_ref.oracle.report import speakable

        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content |= {"source": self.source.name, "target": self.target.name}
        content["given"] = self.given.arguments
        for name, setting in (("rule", self.given), ("nearest", self.nearest)):
            content[name] = setting and asdict(setting.rule)
        for name in ("apart", "left"):
            content[name] = content[name] and content[name]._asdict()
        content["remedies"] = [{"text": x.text, "code": x.code} for x in self.remedies]
        return json.dumps(speakable(content), ensure_ascii=False, **options)

    def prove(self) -> Any:
        """Prove the verdict "same" or "same if": in symbols, and by running both in many digits.

        Returns
        -------
        Theorem
            The equalities that SymPy found.

        Raises
        ------
        ValueError
            When the verdict is another.
        ProofError
            When the proof fails.
        """
        from rmsprop_ref.symbolic import same

        if self.nearest is None or not self.ok:
            raise ValueError(f"{self.source.name} and {self.target.name} are not the same here")
        rule, other = _exactly(self.given.rule, self.nearest.rule)
        theorem = same(rule, other)
        equal_when_run(rule, other)
        return theorem


def translate(source: str, target: str, /, **arguments: Any) -> Translation:
    """From one library's arguments to another's.

    Parameters
    ----------
    source, target : str
        Names of dialects: ``rmsprop_ref.dialects.DIALECTS`` has them all.
    **arguments
        The source's, by its own names. With none at all, its defaults are translated (and where it
        has none, η = 0.01, β = 0.9).

    Returns
    -------
    Translation
        The target's arguments, and whether the two are then the same.

    Raises
    ------
    KeyError
        For the name of no dialect.
    TypeError, ValueError
        For arguments that the source does not have, or values that it cannot have.
    Unsupported
        For arguments whose effect no Rule says: with the reason.
    """
    ours, theirs = named(source), named(target)
    given = ours(**(arguments or ours.required))
    found = min(_candidates(given.rule, theirs), key=lambda candidate: candidate[0], default=None)
    if found is None:
        try:
            theirs.arguments(given.rule)
        except Unsupported as error:
            return Translation(NOT, ours, theirs, given, {}, None, why=(str(error),))
    (rank, *_), chosen, nearest, done = found
    strictly = differences(_scheduled(given.rule), _scheduled(nearest.rule))
    if rank == 0:
        return Translation(SAME, ours, theirs, given, chosen, nearest)
    if rank == 1:
        condition = "the learning rate is constant"
        return Translation(
            SAME_IF, ours, theirs, given, chosen, nearest, condition, tuple(strictly),
            remedies=tuple(done),
        )  # fmt: skip
    patched = _patched(nearest.rule, done)
    return Translation(
        NOT, ours, theirs, given, chosen, nearest,
        why=tuple(_why(given.rule, nearest.rule, ours.name, theirs.name)),
        apart=apart(given.rule, nearest.rule),
        remedies=tuple(done),
        left=None if rank == 2 else apart(given.rule, patched),
        elsewhere=tuple(_elsewhere(given.rule, theirs)),
    )  # fmt: skip


def named(name: str) -> Dialect:
    """The dialect of that name.

    Raises
    ------
    KeyError
        With the names that come near, when there is none.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    near = difflib.get_close_matches(name, DIALECTS, 3, 0.5)
    near += [x for x, d in DIALECTS.items() if name.lower() in f"{x} {d.library}".lower()]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else ", ".join(DIALECTS)
    raise KeyError(f"no dialect is called {name!r}: {hint}")


# How it is found: candidates, of which the first in order is the answer


def _candidates(rule: Rule, target: Dialect) -> Iterator[tuple[Any, Any, Setting, list[Remedy]]]:
    """Settings of the target with a rank: 0 same, 1 at a constant rate, 2 with remedies, 3 not."""
    for wanted in _variants(rule):
        try:
            near = list(target._near(wanted))
        except Unsupported:
            continue
        for arguments, setting in near:
            has, done = setting.rule, list(remedies(rule, setting))
            patched = _patched(has, done)
            if _scheduled(has) == _scheduled(rule):
                yield (0,), arguments, setting, []
            elif has in _at_a_constant_rate(rule):
                yield (1,), arguments, setting, [x for x in done if "lr_in_buffer" in x.axes]
            elif canonical(patched) == canonical(rule):
                yield (2, len(done), apart(rule, has).factor), arguments, setting, done
            else:
                left = apart(rule, patched).factor
                yield (3, left, apart(rule, has).factor), arguments, setting, done


def _variants(rule: Rule) -> Iterator[Rule]:
    """What to ask of the target: the rule, its ε elsewhere, its decay in another form or left out.

    ε comes nearest there to three digits: see ``distance.across``.
    """
    for moved in across(rule):
        yield from _decayed(moved)
        if rule.weight_decay:
            yield replace(moved, weight_decay=0.0)


def _decayed(rule: Rule) -> list[Rule]:
    """The rule, and with decoupled weight decay in the other form, rounded to binary64."""
    rules = [rule]
    if rule.weight_decay and rule.weight_decay_form != "l2" and isinstance(rule.lr, float):
        scaled = rule.weight_decay_form == "decoupled"
        strength = rule.weight_decay * rule.lr if scaled else rule.weight_decay / (rule.lr or 1.0)
        form = "decoupled_unscaled" if scaled else "decoupled"
        rules.append(replace(rule, weight_decay=strength, weight_decay_form=form))
    return rules


def _at_a_constant_rate(rule: Rule) -> Any:
    ...


def _scheduled(rule: Rule) -> Rule:
    """The canonical rule, but with what matters once the learning rate changes."""
    rate = rule.lr if isinstance(rule.lr, tuple) else (rule.lr,)
    return canonical(replace(rule, lr=rate))


def _patched(rule: Rule, done: list[Remedy]) -> Rule:
    for remedy in done:
        rule = replace(rule, **remedy.axes)
    return rule
