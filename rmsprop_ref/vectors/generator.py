"""How the test vectors are computed and written.

A number is printed as its exact value, rounded once to the dtype. Beside it stands its bound: how
far a legal result may lie from the printed number, under either honest reading of the
hyper-parameters. If the enclosure of a reading has the midpoint x and the radius r, a legal result
lies within |x - printed| + r of what is printed; the bound is the larger of the two, rounded up.
Rounding is monotone, so a comparison in binary64 refuses nothing that lies within the bound.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction
from itertools import groupby
from typing import Any

import numpy as np

import rmsprop_ref
from rmsprop_ref.oracle.balls import Ball
from rmsprop_ref.oracle.double_double import DoubleDouble
from rmsprop_ref.oracle.enclosures import BINARY64, DECIMAL, enclosure
from rmsprop_ref.oracle.inputs import _FAMILIES, FLAGS, Case
from rmsprop_ref.oracle.suite import RULES, published
from rmsprop_ref.oracle.values import exact, rounded, unrolled
from rmsprop_ref.rule import Rule
from rmsprop_ref.vectors import _PACKAGED

VERSION = 1  # of the format
DIGITS = 40  # to which the two ways to the exact values agree
_SMALLEST = Fraction(2) ** -1074  # float64
COMMAND = "python -m rmsprop_ref.vectors"

ABOUT = "Test vectors for RMSProp: inputs, exact values after every step, and how far off is legal."
NOTES = [
    "A number passes if bound is 'any', or exact and got are NaN, or |got - exact| ≤ bound.",
    "exact stands twice: hex is C99's notation, decimal the same number for binary64.",
    "got is a number of the dtype; subtract in binary64, or wider.",
    "theta: the parameters. v: the average of squares, before a bias correction.",
    "m: the mean gradient. b: the momentum buffer. Compare what your program shows.",
    "The numbers of the rule are binary64, whatever the dtype.",
]

# Families that say nothing of themselves.
_COMMENTS = {
    "usual": "Gradients of either sign, within a few powers of two of 1.",
    "one-step": "One step.",
    "no-step": "No step: nothing is to be given.",
    "constant": "The same gradient at every step.",
    "late-impulse": "Zero gradients, one that is not, and zeros again.",
    "alternating": "A gradient whose sign changes at every step.",
    "rising": "Each gradient about √2 times the one before.",
    "large-parameters": "Parameters so large that their decay is no small part of a step.",
    "long": "Hundreds of steps.",
    "zeros": "Every gradient is zero.",
    "signed-zeros": "Parameters and every other gradient are zeros of either sign.",
    "infinite": "Infinite gradients in some elements, at one step.",
}

_ANY = (
    ["nan", "infinite", "unchanged", "finite"],
    "What comes out depends on the order of evaluation.",
)
# Where a case leaves results undetermined: by a flag of it, what honest programs give there.
_OUTCOMES = {
    "Overflow": (
        ["nan", "infinite", "unchanged", "finite"],
        "Past the largest number v is infinite or NaN, and θ stays or is NaN; or it goes on.",
    ),
    "NotFinite": (
        ["nan", "infinite"],
        "After an infinite gradient v is infinite, or NaN from v + (1-β)(g²-v).",
    ),
    "Underflow": (
        ["nan", "infinite", "unchanged", "finite"],
        "The divisor may be zero where g² underflows: ε is 0, or is in this dtype.",
    ),
    "Zero": (
        ["nan", "unchanged", "finite"],
        "The average may be zero: without ε that is 0/0; with it the step is small or none.",
    ),
}


def contents(cases: Iterable[Case] | None = None) -> dict[str, str]:
    """The text of each file, by its name.

    Parameters
    ----------
    cases : iterable of Case, optional
        Those of a rule together. If None, all that are published.
    """
    made: dict[str, str] = {}
    counts: dict[str, int] = {}
    for name, group in groupby(_by_rule(cases), _name):
        members = list(group)
        made[f"{name}.json"] = text(_document(name, members))
        counts[f"{name}.json"] = len(members)
    made["flags.json"] = text(
        {name: {**flag._asdict(), "links": list(flag.links)} for name, flag in FLAGS.items()}
    )
    made["schema.json"] = (_PACKAGED / "schema.json").read_text("utf-8")  # written by hand
    listed = {
        name: {
            "sha256": hashlib.sha256(content.encode()).hexdigest(),
            "size": len(content.encode()),
            "cases": counts.get(name, 0),
        }
        for name, content in made.items()
    }
    made["manifest.json"] = text(
        {
            "schema_version": VERSION,
            "package_version": rmsprop_ref.__version__,
            "generator": COMMAND,
            "cases": sum(counts.values()),
            "files": listed,
        }
    )
    return made


def _name(case: Case) -> str:
    return case.id.split("/")[0]


def _by_rule(cases: Iterable[Case] | None) -> list[Case]:
    order = list(RULES)
    return sorted(
        published() if cases is None else cases, key=lambda case: order.index(_name(case))
    )


def _document(name: str, cases: list[Case]) -> dict[str, Any]:
    return {
        "schema_version": VERSION,
        "about": ABOUT,
        "generator": COMMAND,
        "notes": NOTES,
        "rule": {"name": name, **_rule(cases[0].rule)},
        "cases": [entry(case) for case in cases],
    }


def entry(case: Case) -> dict[str, Any]:
    """A case as the files have it.

    Raises
    ------
    ArithmeticError
        When the two ways to its exact values disagree, or its enclosure does not hold them.
    """
    slots = dict(_slots(case))
    family = case.id.split("/")[1]
    comment = " ".join((_FAMILIES[family][0].__doc__ or "").split()) or _COMMENTS.get(family)
    made = {
        "id": case.id,
        "comment": comment or f"Length {len(case.theta0)}.",
        "flags": list(case.flags),
        "line": case.line,
        "dtype": case.dtype,
        "ordinary": case.ordinary,
        "theta0": _numbers(case.theta0),
        "grads": [_numbers(row) for row in case.grads],
        "steps": [
            {
                slot: {**_numbers(values[t]), "bound": bounds[t]}
                for slot, (values, bounds) in slots.items()
            }
            for t in range(len(case.grads))
        ],
    }
    if any(bound == "any" for _, rows in slots.values() for row in rows for bound in row):
        known = [said for flag, said in _OUTCOMES.items() if flag in case.flags]
        made["outcomes"], made["notes"] = known[0] if known else _ANY
    return made


def fingerprint(case: Case) -> str:
    """A hash of everything that an id stands for: the rule, the dtype and the inputs."""
    inputs = [_rule(case.rule), case.dtype, _numbers(case.theta0), [*map(_numbers, case.grads)]]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _slots(case: Case) -> Iterator[tuple[str, tuple[Any, list[list[str]]]]]:
    """For each slot that the rule has: the printed numbers (T, n), and their bounds."""
    arguments = case.rule, case.theta0, case.grads
    values, others = exact(*arguments), unrolled(*arguments)
    balls = [enclosure(*arguments, case.dtype, reading=r) for r in (BINARY64, DECIMAL)]
    # What an infinite gradient leaves in the state depends on the order of evaluation.
    infinite = np.logical_or.accumulate(np.isinf(case.grads), axis=0)
    for slot in values._fields:
        ours, check = getattr(values, slot), getattr(others, slot)
        if ours is None:
            continue
        printed = rounded(ours, case.dtype)
        enclosing = [getattr(each, slot) for each in balls]
        bounds = [[""] * printed.shape[1] for _ in printed]
        for t, j in np.ndindex(printed.shape):
            where = f"{case.id}: {slot} of element {j} after step {t + 1}"
            x, shown = ours[t, j], float(printed[t, j])
            if not _agree(x, check[t, j]):
                raise ArithmeticError(f"{where} is {x} or {check[t, j]}: the two ways disagree")
            if slot != "theta" and infinite[t, j]:
                bounds[t][j] = "any"
            else:
                bounds[t][j] = _bound(x, shown, [ball[t, j] for ball in enclosing], where)
        yield slot, (printed, bounds)


def _agree(x: Any, y: Any) -> bool:
    if x != x or y != y:
        return bool(x != x and y != y)
    a, b = _fraction(x), _fraction(y)
    return bool(abs(a - b) * 10**DIGITS <= abs(a))


def _bound(x: Any, shown: float, balls: list[Ball], where: str) -> str:
    """The bound of the exact value x, shown rounded, from the ball of each reading."""
    if any(math.isinf(ball.rad) for ball in balls):
        return "any"
    must = {bool(np.isnan(ball.center)) for ball in balls}
    if must != {bool(x != x)} or math.isinf(shown):
        raise ArithmeticError(f"{where} is {x}: in the enclosures it is {balls}")
    if math.isnan(shown):
        return "0"
    middles, radii = map(_middle, balls), [Fraction(float(ball.rad)) for ball in balls]
    errors = [(abs(_fraction(x) - y), abs(Fraction(shown) - y)) for y in middles]
    if x != 0 and all(ball.center == 0 == ball.rad for ball in balls):
        # Where g² is less than half of the smallest float64, its enclosure knows of 0 alone.
        radii = [_SMALLEST] * len(balls)
    if errors[0][0] > radii[0]:
        raise ArithmeticError(f"{where} is {x}: not within {balls[0].rad} of {balls[0].center}")
    return _up(max(error + rad for (_, error), rad in zip(errors, radii, strict=True)))


def _middle(ball: Ball) -> Fraction:
    if isinstance(ball.mid, DoubleDouble):
        return Fraction(float(ball.mid.hi)) + Fraction(float(ball.mid.lo))
    return Fraction(float(ball.mid))


def _fraction(x: Any) -> Fraction:
    significand, exponent = x.man_exp
    sign = -1 if x < 0 else 1
    return sign * Fraction(abs(int(significand))) * Fraction(2) ** int(exponent)


def _up(x: Fraction) -> str:
    """Rounded up to three significant digits."""
    context = Context(prec=3, rounding=ROUND_CEILING)
    if x == 0:
        return "0"
    return f"{context.divide(Decimal(x.numerator), Decimal(x.denominator)):.2e}"


def _hex(x: float) -> str:
    """C99's notation, as ``%a`` prints it."""
    return re.sub(r"\.?0*p", "p", x.hex())


def _decimal(x: float) -> str:
    """The shortest that binary64 reads back, with words that C, JavaScript and Java read."""
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(repr(x), repr(x))


def _numbers(xs: Any) -> dict[str, Any]:
    """One number or several, in both notations."""
    if isinstance(xs, float):
        return {"hex": _hex(xs), "decimal": _decimal(xs)}
    listed = [float(x) for x in xs]
    return {"hex": [*map(_hex, listed)], "decimal": [*map(_decimal, listed)]}


def _rule(rule: Rule) -> dict[str, Any]:
    values = {field.name: getattr(rule, field.name) for field in fields(rule)}
    return {k: _numbers(x) if isinstance(x, (float, tuple)) else x for k, x in values.items()}


def text(value: Any) -> str:
    """JSON as the files have it: a line for each step."""
    return _lines(value, 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    """What is short, or deep enough, on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or not value or depth == 4 or len(line) <= 80:
        return line
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(part, depth + 1)}" for key, part in value.items()]
    else:
        parts = [_lines(part, depth + 1) for part in value]
    first, last = line[0], line[-1]
    inside = ",\n".join("  " * (depth + 1) + part for part in parts)
    return f"{first}\n{inside}\n{'  ' * depth}{last}"
