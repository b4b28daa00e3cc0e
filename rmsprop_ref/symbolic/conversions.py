"""What makes two RMSProps the same, proved; and how far apart two can get that are not.

The theorems are about the numbers by which libraries differ: where the learning rate stands, where
the average starts, on which side of the root ε is. :func:`same` proves it of two given Rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy
from sympy import Eq, Integer, Limit, Rational, Subs, Symbol, oo, sqrt, symbols

from rmsprop_ref.reference import init, step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.symbolic.theorems import Theorem
from rmsprop_ref.symbolic.update import (
    b,
    beta,
    eta,
    g,
    lambda_,
    m,
    mu,
    symbolized,
    t,
    theta,
    theta_t,
    v,
    v0,
)

_average, _gap, _s, _a, _e = symbols("v w s a e", positive=True)  # w: 1-β^t
_in, _out = symbols("epsilon_in epsilon_out", positive=True)
_GOLDEN = (1 + sqrt(5)) / 2


def same(rule: Rule, other: Rule) -> Theorem:
    """That two Rules move θ alike, by induction over the steps, with symbols for their numbers.

    Numbers of a field that is in use in both must be equal, except that of a weight decay in two
    forms (ηλ and λ). A learning rate in the buffer and one outside it are compared at a constant
    rate.

    Raises
    ------
    ProofError
        When they do not, or SymPy cannot see it.
    """
    rules = [symbolized(rule), symbolized(other)]
    if rule.weight_decay_form != other.weight_decay_form and rule.weight_decay != 0:
        scaled = other.weight_decay_form == "decoupled_unscaled"
        rules[1] = replace(rules[1], weight_decay=eta * lambda_ if scaled else lambda_ / eta)
    # What the buffer of the other holds, where ours holds b.
    factor = eta ** (int(other.lr_in_buffer) - int(rule.lr_in_buffer)) if rule.momentum else 1
    positions, states = zip(
        *(step(theta, g, init(theta, x, sympy), x, sympy) for x in rules), strict=True
    )
    proof = [("After the first step θ is the same", *positions)]
    proof += _corresponding("And the states correspond", states, factor)
    before = State(t, v, m if rule.centered else None, b if rule.momentum else None)
    befores = [before, before._replace(b=factor * b if rule.momentum else None)]
    positions, states = zip(
        *(step(theta, g, s, x, sympy) for s, x in zip(befores, rules, strict=True)), strict=True
    )
    proof += [("If they correspond before a later step, θ is the same after it", *positions)]
    proof += _corresponding("And they correspond again", states, factor)
    return Theorem(
        "The same rule",
        (Eq(theta_t, positions[0], evaluate=False),),
        "By induction: from corresponding states the two move θ alike, along any gradients. The "
        f"momentum buffer of the second is that of the first times {factor}:",
        tuple(proof),
    )


def _corresponding(words: str, states: Any, factor: Any) -> list[Any]:
    ours, theirs = states
    pairs = [("v", ours.v, theirs.v)]
    pairs += [("m", ours.m, theirs.m)] if ours.m is not None else []
    pairs += [("b", factor * ours.b, theirs.b)] if ours.b is not None else []
    return [(f"{words}: {name}", left, right) for name, left, right in pairs]


def _denominator(average: Any, **eps: Any) -> Any:
    """What the reference divides by when the average after the step is ``average``."""
    moved, after = step(
        theta, g, State(t, v), Rule(lr=eta, beta=beta, **{"eps_out": 0.0, **eps}), sympy
    )
    return (eta * g / (theta - moved)).subs(after.v, average)


def learning_rate_in_the_buffer() -> Theorem:
    """TensorFlow's momentum buffer is PyTorch's times η, and how to keep it so when η changes."""
    old = Symbol("eta_old", positive=True)
    proof = []
    for words, fields in (
        ("heavy ball", {}),
        ("Nesterov's form", {"nesterov": True}),
        ("gradients in the buffer", {"momentum_on": "gradient"}),
    ):
        rule = Rule(lr=eta, beta=beta, eps_out=0.0, momentum=mu, **fields)
        outside, after = step(theta, g, State(t, _average, None, b * old / eta), rule, sympy)
        inside, filled = step(
            theta, g, State(t, _average, None, old * b), replace(rule, lr_in_buffer=True), sympy
        )
        proof += [
            (f"θ after the step is the same ({words})", outside, inside),
            (f"And η times the one buffer is the other again ({words})", eta * after.b, filled.b),
        ]
    return Theorem(
        "The learning rate in the momentum buffer",
        (Eq(Symbol("b_in"), eta * Symbol("b_out")),),
        "Let η enter the buffer in one rule (b_in) and multiply what leaves it in the other "
        "(b_out). If this holds before a step at the old rate, and b_out is multiplied by the old "
        "rate over the new one, then the two move θ alike, and it holds after it at the new rate. "
        "While η is constant there is nothing to multiply:",
        tuple(proof),
    )


def loaded_start() -> Theorem:
    """A start of the average elsewhere is an ε inside the root that fades."""
    rule = Rule(lr=eta, beta=beta, eps_in=_in, eps_out=_out)
    shifted, after = step(theta, g, State(t - 1, _average + v0 * beta ** (t - 1)), rule, sympy)
    faded, plain = step(
        theta, g, State(t - 1, _average), replace(rule, eps_in=_in + v0 * beta**t), sympy
    )
    near, far = (_denominator(x, eps_in=_in, eps_out=_out) for x in (_s, _s + _a))
    excess = _a / ((sqrt(_s + _a + _in) + sqrt(_s + _in)) * (sqrt(_s + _in) + _out))
    return Theorem(
        "A start at c is an ε inside the root that fades",
        (Eq(Symbol("epsilon_t"), _in + v0 * beta**t),),
        "A rule whose average starts at c (here $v_0$) is the one from 0 with this ε inside the "
        "root. So no constant ε replaces the start, and a state that is loaded does:",
        (
            ("Before the first step the averages differ by c",
             Subs(v0 * beta ** (t - 1), t, 1), v0),
            ("If by that times β^(t-1) before step t, then by that times β^t after it",
             after.v, plain.v + v0 * beta**t),
            ("And the step is that of the rule from 0 with the fading ε", shifted, faded),
            ("The ratio of the denominators at averages s+a and s, less 1, falls as s grows",
             far / near - 1, excess),
            ("So they are furthest apart where s → 0, which is where g → 0, by the factor",
             Limit(far / near, _s, 0), (sqrt(_a + _in) + _out) / (sqrt(_in) + _out)),
        ),
    )  # fmt: skip


def correction_as_schedule() -> Theorem:
    """Bias correction as a schedule of η and ε; without ε, of η alone."""
    plain = {"lr": eta * sqrt(_gap), "eps_in": _in * _gap, "eps_out": _out * sqrt(_gap)}

    def moved(numbers: dict[str, Any], **fields: Any) -> list[Any]:
        rule = Rule(beta=beta, **numbers, **fields)
        before = State(t - 1, _s, None, b if rule.momentum else None)
        position, after = step(theta, g, before, rule, sympy)
        # 1-β^t and v become symbols of positive numbers, so that SymPy may move them through roots.
        return [
            x.subs(beta**t, 1 - _gap).subs(beta * _s + g**2 * (1 - beta), _average)
            for x in (position, after.b)
            if x is not None
        ]

    numbers = {"lr": eta, "eps_in": _in, "eps_out": _out}
    buffer = {"momentum": mu, "lr_in_buffer": True}
    return Theorem(
        "Bias correction as a schedule",
        (
            Eq(Symbol("eta_t"), eta * sqrt(1 - beta**t)),
            Eq(Symbol("epsilon_in_t"), _in * (1 - beta**t)),
            Eq(Symbol("epsilon_out_t"), _out * sqrt(1 - beta**t)),
        ),
        "A rule with bias correction is the one without it at these numbers, unless it is centered "
        "(there the mean would need another factor) or has momentum whose buffer the learning rate "
        "does not enter. With ε = 0 a schedule of the learning rate does it. With w = 1-β^t, and v "
        "the average after the step:",
        tuple(
            (words, left, right)
            for fields, said in (
                ({}, ["Without momentum"]),
                (buffer, ["With η in the buffer", "Whose content is the same, too"]),
            )
            for words, left, right in zip(
                said, moved(numbers, bias_correction=True, **fields), moved(plain, **fields),
                strict=True,
            )
        ),
    )  # fmt: skip


def decay_in_units() -> Theorem:
    """Decoupled weight decay with and without η: the same at a constant rate."""
    scaled, unscaled = (
        step(theta, g, State(t, _average), Rule(lr=eta, beta=beta, eps_out=0.0, **decay), sympy)[0]
        for decay in (
            {"weight_decay": lambda_, "weight_decay_form": "decoupled"},
            {"weight_decay": _a, "weight_decay_form": "decoupled_unscaled"},
        )
    )
    return Theorem(
        "Decoupled weight decay, by ηλ or by λ",
        (Eq(_a, eta * lambda_, evaluate=False),),
        "While η is constant. The one library shrinks θ by ηλ, the other by a:",
        (("The steps are equal", Subs(unscaled, _a, eta * lambda_), scaled),),
    )


def epsilon_across_the_root() -> Theorem:
    """No ε outside the root equals one inside; which comes nearest, and how near."""
    ratio = _denominator(_s**2, eps_in=_a) / _denominator(_s**2, eps_out=_e)
    lowest = _a / (_a + _e**2)
    return Theorem(
        "ε across the root",
        (
            Eq(Symbol("d_in") / Symbol("d_out"), ratio),
            Eq(_e, sqrt(_a) / sqrt(_GOLDEN), evaluate=False),
        ),
        "The ratio of the denominators with a inside the root and e outside it, at √v = s. With "
        "e = √a they agree as v → 0, and differ by at most √2. With this smaller e, φ being the "
        "golden ratio, they differ by at most √φ = 1.272…. No e does better: as it grows the ratio "
        "at s = 0 falls, and so does the one at s = a/e, which is below 1 already:",
        (
            ("It falls up to s = a/e and rises from there", sympy.diff(ratio, _s),
             (_e * _s - _a) / ((_s + _e) ** 2 * sqrt(_s**2 + _a))),
            ("At s = 0", Subs(ratio, _s, 0), sqrt(_a) / _e),
            ("At s = a/e, its square", Subs(ratio**2, _s, _a / _e), lowest),
            ("As s → ∞", Limit(ratio, _s, oo), Integer(1)),
            ("With e = √a it is 1 at s = 0", Subs(sqrt(_a) / _e, _e, sqrt(_a)), Integer(1)),
            ("And at s = a/e its square is", Subs(lowest, _e, sqrt(_a)), Rational(1, 2)),
            ("With e = √(a/φ), at s = 0, its square is",
             Subs(_a / _e**2, _e, sqrt(_a / _GOLDEN)), _GOLDEN),
            ("And at s = a/e", Subs(lowest, _e, sqrt(_a / _GOLDEN)), 1 / _GOLDEN),
        ),
        "Derived for this project.",
    )  # fmt: skip


CONVERSIONS: tuple[Callable[[], Theorem], ...] = (
    learning_rate_in_the_buffer,
    loaded_start,
    correction_as_schedule,
    decay_in_units,
    epsilon_across_the_root,
)
