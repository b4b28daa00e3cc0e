"""From the hypotheses that explain a recording to statements on each field of the rule."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from rmsprop_ref.adapters import Unsupported
from rmsprop_ref.oracle.answers import Axis, Identification, RunnerUp
from rmsprop_ref.oracle.examining import Examined, named
from rmsprop_ref.oracle.explaining import Explanation
from rmsprop_ref.oracle.fitting import Evidence, Form
from rmsprop_ref.oracle.hypotheses import ABOUT, includes
from rmsprop_ref.oracle.recording import Recording
from rmsprop_ref.rule import Rule

# What would show a field of Rule that a recording leaves open.
_WANTED = {
    "lr": "more steps, with gradients of different sizes",
    "beta": "gradients whose size changes from step to step",
    "eps": "gradients about as small as ε, or zero",
    "v0": "the first steps of a run, with gradients about as small as √v0",
    "bias_correction": "the first steps of a run, several of them",
    "centered": "gradients of one sign for some steps",
    "momentum": "a gradient of zero, or a much smaller one, after others",
    "lr_in_buffer": "a learning rate that changes between steps, given as lr=[…]",
    "weight_decay": "large parameters with small gradients",
    "weight_decay_form": "large parameters with gradients of many sizes",
    "unscaled": "a learning rate that changes between steps, given as lr=[…]",
}
_LITTLE = 1e-3  # of momentum or weight decay: as good as none


def answer(
    recording: Recording,
    known: Mapping[str, Any],
    evidence: Evidence,
    examined: Examined,
    common: dict[str, Any],
) -> Identification:
    """The answer, where the first of the hypotheses explains the recording."""
    best = examined.fitting[0]
    rule = _as_rule(best, evidence)
    optimiser = best.form.optimiser
    if optimiser == "RMSProp":
        axes = tuple(_axes(examined.fitting, evidence, known))
    else:
        axes = tuple(_own_axes(best))
    numbers = dict(best.numbers) | dict(evidence.given)
    also = [_as_rule(one, evidence) for one in examined.fitting[1:]]
    rules = [x for x in dict.fromkeys(also) if x is not None and x != rule]
    kinds = [one.form.optimiser for one in examined.fitting if not _without_momentum(one)]
    others = tuple(x for x in dict.fromkeys(kinds) if x != optimiser)
    said = title(best, evidence)
    if others:
        said = said.replace(", no RMSProp", "")
        said += f"; or {', '.join(others)}: the recording does not tell"
    return Identification(
        optimiser,
        rule,
        numbers,
        axes,
        "identified",
        said,
        worst=best.worst,
        dialects=tuple(_dialects([rule, *rules])) if optimiser == "RMSProp" and rule else (),
        also=tuple(rules),
        others=others,
        runners_up=runners(examined, evidence),
        **common,
    )


def title(one: Explanation, evidence: Evidence) -> str:
    """What it is, in words."""
    name = one.form.optimiser
    if name == "RMSProp":
        return f"RMSProp, {words(one.form, one.numbers)}"
    numbers = one.numbers | {k: v for k, v in evidence.given.items() if k in one.form.free}
    said = ", ".join(f"{_SPOKEN[k]}={v:g}" for k, v in numbers.items() if k in _SPOKEN)
    return f"{name}, no RMSProp" + (f": {said}" if said else "")


_SPOKEN = {
    "lr": "η",
    "beta": "β",
    "eps_in": "ε (inside the root)",
    "eps_out": "ε (outside)",
    "momentum": "μ",
    "weight_decay": "λ",
    "v0": "v0",
}


def words(form: Form, numbers: Mapping[str, float]) -> str:
    """The formulas in words."""
    fields = dict(form.fields)
    if form.optimiser != "RMSProp":
        name = form.optimiser
    else:
        parts = ["centered" if fields.get("centered") else "plain"]
        places = {"eps_in": "inside", "eps_out": "outside", "eps_floor": "as a floor of"}
        found = [words for name, words in places.items() if name in numbers]
        parts.append(f"ε {' and '.join(found)} the root" if found else "no ε that shows")
        if "v0" in numbers:
            parts.append("its average started elsewhere than at 0")
        if fields.get("v0") == "first_square":
            parts.append("its average started at the first square")
        if fields.get("bias_correction"):
            parts.append("bias-corrected")
        if "momentum" in form.free:
            kind = "Nesterov momentum" if fields.get("nesterov") else "momentum"
            parts.append(f"{kind} on the {fields.get('momentum_on', 'step')}")
        if len(parts) > 2 and parts[0] == "plain":
            parts = parts[1:]
        name = ", ".join(parts)
    if "weight_decay" in form.free:
        name += f", weight decay ({fields.get('weight_decay_form', 'l2')})"
    if "lr[0]" in numbers:
        name += ", with a learning rate that changes"
    return name


def _as_rule(one: Explanation, evidence: Evidence) -> Rule | None:
    """The Rule that says the same; None where no Rule can."""
    name = one.form.optimiser
    if name == "sign descent":
        return Rule(lr=one.rule(evidence).lr, beta=0.0, eps_out=0.0)
    return one.rule(evidence) if name == "RMSProp" or name.startswith("SGD") else None


def _without_momentum(one: Explanation) -> bool:
    """Whether it is Adam without momentum, which is an RMSProp."""
    return one.form.optimiser[:4] == "Adam" and one.ranges.get("momentum", (1.0,))[0] == 0


def runners(examined: Examined, evidence: Evidence) -> tuple[RunnerUp, ...]:
    """The nearest that do not explain it, of each kind one."""
    fits = {words(one.form, one.numbers) for one in examined.fitting if one.worst <= 1}
    nearest: dict[str, RunnerUp] = {}
    for one, distance, step in sorted(examined.rest, key=lambda item: item[1]):
        if distance <= 1 or any(
            includes(one.form, x.form) and set(x.numbers) <= set(named(one, evidence))
            for x in examined.fitting
        ):
            continue
        said = words(one.form, one.numbers)
        if said not in fits:
            nearest.setdefault(said, RunnerUp(said, distance, step))
    return tuple(list(nearest.values())[:3])


def _axes(
    fitting: Sequence[Explanation], evidence: Evidence, known: Mapping[str, Any]
) -> Iterator[Axis]:
    """What all that explains the recording says of each field."""
    best = fitting[0]
    rule = _as_rule(best, evidence)
    assert rule is not None
    pairs = [(x, one.ranges) for one in fitting if (x := _as_rule(one, evidence)) is not None]
    rules, spans = [x for x, _ in pairs], [span for _, span in pairs]
    for field in fields(Rule):
        name, value = field.name, getattr(rule, field.name)
        if name in known:
            yield Axis(name, value, True)
        elif name in ABOUT:
            yield _manner(name, rule, rules, best, evidence)
        elif isinstance(value, (bool, str)):
            same = all(getattr(x, name) == value for x in rules)
            yield Axis(name, value, same, wanted="" if same else _WANTED[name])
        elif name == "lr" and isinstance(value, tuple):
            same = all(np.allclose(x.lr, value, rtol=1e-3, atol=0) for x in rules)
            yield Axis(name, value, same, wanted="" if same else _WANTED[name])
        else:
            yield _number(name, value, rules, spans, best)


def _own_axes(best: Explanation) -> Iterator[Axis]:
    """The numbers of another optimiser."""
    for name, value in best.numbers.items():
        low, high = best.ranges[name]
        known = high - low <= 0.2 * value
        key = "eps" if name.startswith("eps") else name.partition("[")[0]
        yield Axis(name, value, known, low, high, "" if known else _WANTED[key])


def _manner(
    name: str, rule: Rule, rules: Sequence[Rule], best: Explanation, evidence: Evidence
) -> Axis:
    """A field that is about momentum or weight decay."""
    value = getattr(rule, name)
    having = [x for x in rules if getattr(x, ABOUT[name]) > _LITTLE]
    if not getattr(rule, ABOUT[name]):
        return Axis(name, value, not having, wanted=_WANTED[ABOUT[name]] if having else "")
    same = len(having) == len(rules) and all(getattr(x, name) == value for x in having)
    if not isinstance(evidence.rates, tuple):
        if name == "lr_in_buffer":
            return Axis(name, value, False, wanted=_WANTED["lr_in_buffer"])
        if name == "weight_decay_form" and same and value == "decoupled":
            return Axis(name, value, False, wanted=_WANTED["unscaled"])
    wanted = _WANTED.get(name, _WANTED["momentum"])
    return Axis(name, value, same, wanted="" if same else wanted)


def _number(
    name: str,
    value: float,
    rules: Sequence[Rule],
    spans: Sequence[Mapping[str, tuple[float, float]]],
    best: Explanation,
) -> Axis:
    """A field that is a number."""
    low, high = math.inf, 0.0
    for rule, span in zip(rules, spans, strict=True):
        held = getattr(rule, name)
        if isinstance(held, str):
            return Axis(name, value, False, wanted=_WANTED[name])
        if held != 0 or name in span:
            a, b = span.get(name, (held, held))
        elif name == "eps_floor":
            a, b = 0.0, math.inf
        else:
            a, b = 0.0, 0.0
        low, high = min(low, a), max(high, b)
    key = "eps" if name.startswith("eps") else name
    if value == 0:
        quiet = low == 0 and high < (math.inf if key == "eps" else _LITTLE)
        shown = key == "eps" and any(best.ranges.get(x, (0.0, 0.0))[0] > 0 for x in _EPS)
        if name == "eps_floor":
            determined = shown and len(rules) == sum(x.eps_floor == 0 for x in rules)
        else:
            determined = quiet and (key != "eps" or shown)
    else:
        determined = low > 0 and high - low <= 0.2 * value
    return Axis(name, value, determined, low, high, "" if determined else _WANTED[key])


_EPS = ("eps_in", "eps_out", "eps_floor")


def _dialects(rules: Sequence[Rule]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The libraries that can say one of the rules, or one that differs invisibly."""
    from rmsprop_ref.dialects import DIALECTS

    known = sorted(DIALECTS.items(), key=lambda item: item[1].status != "run")
    named: set[str] = set()
    for rule in rules:  # the simplest first: its numbers are short
        twins = [rule]
        if rule.momentum and not isinstance(rule.lr, tuple):
            twins.append(replace(rule, lr_in_buffer=not rule.lr_in_buffer))
        for name, dialect in known:
            for twin in twins if name not in named else ():
                with contextlib.suppress(Unsupported):
                    yield name, dialect.arguments(twin)
                    named.add(name)
                    break
