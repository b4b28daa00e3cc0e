"""From one library's RMSProp to another's: the same rule, the same on a condition, or not.

>>> print(translate("optax", "pytorch", learning_rate=0.01, eps_in_sqrt=False))
optax → pytorch: same
  given      learning_rate=0.01, decay=0.9, eps=1e-08, eps_in_sqrt=False
  arguments  lr=0.01, alpha=0.9, eps=1e-08
"""

from __future__ import annotations

import contextlib
import difflib
import html
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.dialects.dialect import DIALECTS, Dialect, Setting, canonical, differences
from rmsprop_ref.dialects.distance import Apart, across, apart
from rmsprop_ref.dialects.remedies import Remedy, remedies
from rmsprop_ref.rule import Rule

SAME, SAME_IF, NOT = "same", "same if", "not convertible"


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
        What runs where the target runs and is the same rule, as ``"name: arguments"``.
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
            "then": [self.left or "the same rule"] if self.left != self.apart else [],
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
    ValueError
        For the name of no dialect, or a value that no rule can have.
    TypeError
        For arguments that the source does not have.
    Unsupported
        For arguments whose effect no Rule says: with the reason.
    """
    ours, theirs = named(source), named(target)
    given = ours(**(arguments or ours.required))
    found: Any = None
    for candidate in _candidates(given.rule, theirs):
        found = candidate if found is None or candidate[0] < found[0] else found
        if found[0] == (0,):
            break
    if found is None:
        return Translation(NOT, ours, theirs, given, {}, None, why=(_refusal(given.rule, theirs),))
    (rank, *_), chosen, nearest, done = found
    rule, has = given.rule, nearest.rule
    result = Translation((SAME, SAME_IF, NOT, NOT)[rank], ours, theirs, given, chosen, nearest)
    if rank == 0:
        return result
    result = replace(result, why=tuple(_why(result)), remedies=tuple(done))
    if rank == 1:
        return replace(result, condition=_condition(rule, has))
    return replace(
        result,
        apart=apart(rule, has),
        left=None if rank == 2 else apart(rule, _patched(has, done)),
        elsewhere=tuple(_elsewhere(rule, ours, theirs)),
    )


def named(name: str) -> Dialect:
    """The dialect of that name.

    Raises
    ------
    ValueError
        With the names that come near, when there is none.
    """
    if name in DIALECTS:
        return DIALECTS[name]
    near = difflib.get_close_matches(name, DIALECTS, 3)
    near += [x for x, d in DIALECTS.items() if name.lower() in f"{x} {d.library}".lower()]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else ", ".join(DIALECTS)
    raise ValueError(f"no dialect is called {name!r}: {hint}")


# How it is found: candidates, of which the first in order is the answer


def _candidates(rule: Rule, target: Dialect) -> Iterator[tuple[Any, Any, Setting, list[Remedy]]]:
    """Settings of the target with a rank: 0 same, 1 at a constant rate, 2 with remedies, 3 not."""
    whenever, here, at_a_constant_rate = scheduled(rule), canonical(rule), _decayed(rule)
    for arguments, setting in _asked(rule, target):
        has = setting.rule
        if scheduled(has) == whenever:
            yield (0,), arguments, setting, []
            continue
        done = list(remedies(rule, setting))
        patched = canonical(_patched(has, done))
        if canonical(has) in map(canonical, at_a_constant_rate):
            yield (1,), arguments, setting, [x for x in done if "lr_in_buffer" in x.axes]
        elif patched == here:
            yield (2, len(done), apart(rule, has).factor), arguments, setting, done
        else:
            left = apart(rule, patched).factor
            yield (3, left, apart(rule, has).factor), arguments, setting, done


def _asked(rule: Rule, target: Dialect) -> Iterator[tuple[dict[str, Any], Setting]]:
    """What the target makes of the rule; of its ε elsewhere, of its decay in another form or none.

    ε comes nearest there to three digits: see ``distance.across``.
    """
    for moved in across(rule):
        none = [replace(moved, weight_decay=0.0)] if rule.weight_decay else []
        for wanted in (*_decayed(moved), *none):
            with contextlib.suppress(Unsupported):
                yield from target.near(wanted)


def _decayed(rule: Rule) -> list[Rule]:
    """The rule, and with decoupled weight decay in the other form, rounded to binary64."""
    rules = [rule]
    constant = isinstance(rule.lr, float) and rule.lr > 0
    if rule.weight_decay and rule.weight_decay_form != "l2" and constant:
        scaled = rule.weight_decay_form == "decoupled"
        strength = rule.weight_decay * rule.lr if scaled else rule.weight_decay / rule.lr
        form: Any = "decoupled_unscaled" if scaled else "decoupled"
        rules.append(replace(rule, weight_decay=strength, weight_decay_form=form))
    return rules


@lru_cache(maxsize=4096)
def scheduled(rule: Rule) -> Rule:
    """The canonical rule, but with what matters once the learning rate changes."""
    rate = rule.lr if isinstance(rule.lr, tuple) else (rule.lr,)
    return canonical(replace(rule, lr=rate))


def _patched(rule: Rule, done: list[Remedy]) -> Rule:
    for remedy in done:
        rule = replace(rule, **remedy.axes)
    return rule


# What is said about it

_PLACES = {"eps_in": "inside the root", "eps_out": "outside", "eps_floor": "a floor"}


def _why(found: Translation) -> Iterator[str]:
    """In what the two differ, ε last."""
    assert found.nearest is not None
    ours, theirs = scheduled(found.given.rule), scheduled(found.nearest.rule)
    if ours.weight_decay and not theirs.weight_decay:
        yield f"it has no weight decay that is {ours.weight_decay_form.replace('_', ', ')}"
        ours = replace(ours, weight_decay=0.0, weight_decay_form="l2")
    here, there = ([name for name in _PLACES if getattr(x, name)] for x in (ours, theirs))
    moved = replace(ours, **{name: getattr(theirs, name) for name in _PLACES})
    crossed = here and there and here != there
    yield from differences(moved if crossed else ours, theirs)
    if crossed:
        words = [" and ".join(_PLACES[x] for x in place) for place in (there, here)]
        yield (
            f"ε is {words[0]}, not {words[1]}: no number makes the two equal"
            + (", and none comes nearer than this" if moved in across(ours) else "")
        )


def _condition(rule: Rule, has: Rule) -> str:
    shrink = {
        Fraction(x.weight_decay) * (Fraction(x.lr) if x.weight_decay_form == "decoupled" else 1)
        for x in (rule, has)
    }
    rounded = len(shrink) > 1
    return "the learning rate is constant" + ", up to one rounding of ηλ" * rounded


def _refusal(rule: Rule, target: Dialect) -> str:
    """Why the target has no arguments near ``rule``."""
    try:
        target.arguments(rule)
    except Unsupported as error:
        return str(error)
    raise AssertionError("it has some")


def _elsewhere(rule: Rule, source: Dialect, target: Dialect) -> Iterator[str]:
    """What runs where the target runs and is the same rule, also while the rate changes."""
    module = target.function.__module__
    for dialect in DIALECTS.values() if module.endswith(_TOGETHER) else ():
        if dialect.function.__module__ == module and dialect not in (source, target):
            with contextlib.suppress(Unsupported):
                yield from [
                    f"{dialect.name}: {_spoken(dialect, arguments)}"
                    for arguments, setting in dialect.near(rule)
                    if scheduled(setting.rule) == scheduled(rule)
                ][:1]


# The module whose dialects all drive the parameters of one library.
_TOGETHER = "in_pytorch"


def _spoken(dialect: Dialect, arguments: Mapping[str, Any]) -> str:
    """Arguments as one types them, without those that switch off what is off by default."""
    absent = (None, False, 0, inspect.Parameter.empty)
    defaults = {name: p.default for name, p in dialect.signature.parameters.items()}
    return ", ".join(
        f"{name}={value!r}"
        for name, value in arguments.items()
        if value not in absent or defaults[name] not in absent
    )


# The proof


def _exactly(rule: Rule, other: Rule) -> list[Rule]:
    """The two with ηλ not rounded, and without a floor that no denominator is below."""
    if rule.weight_decay and rule.weight_decay_form != other.weight_decay_form:
        from sympy import Rational

        rate = Rational(rule.lr)
        factor = rate if rule.weight_decay_form == "decoupled" else 1 / rate
        other = replace(other, weight_decay=factor * Rational(rule.weight_decay))
    return [replace(x, eps_floor=canonical(x).eps_floor) for x in (rule, other)]


def equal_when_run(rule: Rule, other: Rule) -> None:
    """Run two rules along seeded gradients in exact arithmetic, and compare 50 digits.

    Raises
    ------
    ArithmeticError
        With the first place where they differ.
    """
    from rmsprop_ref.oracle import exact

    rng = numpy.random.default_rng(0)
    steps = min(8, len(rule.lr)) if isinstance(rule.lr, tuple) else 8
    theta, grads = rng.normal(size=4), rng.normal(size=(steps, 4)) * 10.0 ** numpy.arange(-3, 1)
    runs = [exact(x, theta, grads, digits=55).theta for x in (rule, other)]
    for (t, i), x in numpy.ndenumerate(runs[0]):
        y = runs[1][t, i]
        if not (x != x and y != y) and not abs(x - y) * 10**50 <= abs(x):
            raise ArithmeticError(f"step {t + 1}, element {i}: {x} and {y}, under {rule}, {other}")
