"""What a program that fails may compute instead, and the sentence that says so.

A fault is the reference under a change: of the Rule, of what a hyper-parameter stands for, of the
gradients, of the number system, or of what a step leaves. So it can be enclosed as the right rule
is, and a program is said to have the fault when its trajectories lie in the fault's enclosures.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from rmsprop_ref.constant import FORMATS, Constant, _nearest
from rmsprop_ref.oracle import others
from rmsprop_ref.oracle.balls import Ball, Balls, Floats
from rmsprop_ref.oracle.enclosures import BINARY64, DECIMAL, Reading, needs, steps
from rmsprop_ref.oracle.inputs import LONG
from rmsprop_ref.reference import step as reference_step
from rmsprop_ref.rule import Rule

Number = Callable[[str, Fraction], Fraction]


@dataclass(frozen=True)
class Fault:
    """What a program may compute instead of the rule that it claims.

    Attributes
    ----------
    sentence : str
        The fault, as a report says it.
    axis : str
        The field of Rule in which it differs, or what else it is about.
    rule : Rule
        What it computes, as far as a Rule can say.
    verdict : str
        ``"wrong rule"``, ``"imprecise"`` or ``"broken"``.
    number, complement, slack
        What it takes the hyper-parameters for, where that is not what they are: see ``Reading``.
    grads : callable, optional
        What it takes the gradients (T, n) of one input for.
    step : callable, optional
        Makes, of the slices that belong to single inputs, what it does for ``reference.step``.
    count : callable
        What it takes the number of a step for.
    coarse : str, optional
        The dtype in which it computes, if another.
    signed_root : bool
        Whether what it takes the root of can be negative, though the rule's is not.
    """

    sentence: str
    axis: str
    rule: Rule
    verdict: str = "wrong rule"
    number: Number | None = None
    complement: Callable[[Fraction], Fraction] | None = None
    slack: float = 0.0
    grads: Callable[[Floats], Floats] | None = None
    step: Callable[[others.Segments], others.Step] | None = None
    count: Callable[[int], int] = int
    coarse: str | None = None
    signed_root: bool = False

    def steps(
        self, theta0: Floats, grads: Floats, segments: others.Segments, dtype: str
    ) -> Iterator[Any]:
        """θ and the state after each step, as balls, for inputs side by side."""
        if self.grads is not None:
            grads = np.concatenate([self.grads(grads[:, s]) for s in segments], axis=1)
        system: Balls = (_Coarse if self.coarse else Balls)(
            self.coarse or dtype, **needs(self.rule)
        )
        system.signed_root |= self.signed_root
        made = reference_step if self.step is None else self.step(segments)
        readings = [self.read(reading) for reading in (BINARY64, DECIMAL)]
        return steps(self.rule, theta0, grads, system, *readings, step=made, count=self.count)

    def read(self, reading: Reading) -> Reading:
        """The program's own idea of the hyper-parameters, under one honest reading of decimals."""
        number, complement = self.number, self.complement
        return Reading(
            reading.name,
            reading.number
            if number is None
            else lambda name, x: number(name, reading.number(name, x)),
            reading.complement if complement is None else complement,
            self.slack,
        )


class _Coarse(Balls):
    """A narrower format, to which the inputs are rounded first; or cut off, as all else."""

    def __init__(self, dtype: str, **needs: Any) -> None:
        super().__init__(dtype, **needs)
        self.u *= 2

    def exactly(self, x: Any) -> Ball:
        ball = super().exactly(x)
        return self.rounded(ball.mid, ball.rad, 1, ball, underflows=ball.center != 0)


def catalogue(rule: Rule, dtype: str) -> Iterator[Fault]:
    """What may be computed in place of ``rule``, in order: the more usual, the sooner."""
    for sentence, axis, other in neighbours(rule):
        yield Fault(sentence, axis, other)
    yield from _misread(rule)
    yield from _other_formulas(rule)
    yield from _other_gradients(rule)
    yield from _memory(rule)
    yield from imprecise(rule, dtype)


def neighbours(rule: Rule) -> Iterator[tuple[str, str, Rule]]:
    """The Rules that differ from ``rule`` on one axis."""
    eps_in, eps_out, floor = rule.eps_in, rule.eps_out, rule.eps_floor

    def change(sentence: str, axis: str, **fields: Any) -> Iterator[tuple[str, str, Rule]]:
        try:
            other = replace(rule, **{"eps_out": eps_out, **fields})
        except ValueError:  # a combination without meaning
            return
        if other != rule:
            yield sentence, axis, other

    def epsilon(sentence: str, inside: float, outside: float, least: float = 0.0) -> Any:
        return change(sentence, "eps", eps_in=inside, eps_out=outside, eps_floor=least)

    if eps_out and not eps_in:
        yield from epsilon("ε is inside the root", eps_out, 0.0, floor)
        yield from epsilon("ε is on both sides of the root", eps_out, eps_out, floor)
        yield from epsilon("ε² is inside the root", eps_out**2, 0.0, floor)
    if eps_in and not eps_out:
        yield from epsilon("ε is outside the root", 0.0, eps_in, floor)
        yield from epsilon("ε is on both sides of the root", eps_in, eps_in, floor)
        yield from epsilon("√ε is outside the root", 0.0, math.sqrt(eps_in), floor)
    if eps_in and eps_out:
        yield from epsilon("ε outside the root is missing", eps_in, 0.0, floor)
        yield from epsilon("ε inside the root is missing", 0.0, eps_out, floor)
        yield from epsilon("ε inside and ε outside are exchanged", eps_out, eps_in, floor)
    eps = eps_out or eps_in
    if eps and not floor:
        yield from epsilon("ε is a floor, max(√v, ε)", 0.0, 0.0, eps)
        yield from epsilon("ε is a floor under the root, √max(v, ε)", 0.0, 0.0, math.sqrt(eps))
    if floor:
        yield from epsilon("the floor of the denominator is missing", eps_in, eps_out)
        yield from epsilon(
            "the floor is under the root: √max(v, ε)", eps_in, eps_out, math.sqrt(floor)
        )
        yield from epsilon("ε is added outside the root, not a floor", eps_in, floor)
        yield from epsilon("ε is added inside the root, not a floor", floor, eps_out)
    if eps or floor:
        yield from epsilon("ε is missing", 0.0, 0.0)
    else:
        for value in (1e-8, 1e-7, 1e-6, 1e-10, 1e-3):
            yield from epsilon(f"ε = {value:g} is added outside the root", 0.0, value)
            yield from epsilon(f"ε = {value:g} is added inside the root", value, 0.0)

    yield from change("the average starts at one", "v0", v0=1.0)
    yield from change("the average starts at zero", "v0", v0=0.0)
    yield from change("the average starts at the first square", "v0", v0="first_square")
    if isinstance(rule.v0, float):
        yield from change("the average starts at v0²", "v0", v0=rule.v0**2)
    if eps:
        yield from change("the average starts at ε", "v0", v0=eps)

    if rule.bias_correction:
        yield from change("bias correction is missing", "bias_correction", bias_correction=False)
    else:
        yield from change("it is bias-corrected", "bias_correction", bias_correction=True)
    if rule.centered:
        yield from change("it is not centered: m² is not subtracted", "centered", centered=False)
    else:
        yield from change("it is centered: m² is subtracted", "centered", centered=True)

    if rule.momentum:
        yield from change("momentum is missing", "momentum", momentum=0.0, nesterov=False)
        if rule.lr_in_buffer:
            yield from change(
                "the learning rate multiplies what leaves the momentum buffer",
                "lr_in_buffer",
                lr_in_buffer=False,
            )
        else:
            yield from change(
                "the learning rate enters the momentum buffer", "lr_in_buffer", lr_in_buffer=True
            )
        if rule.nesterov:
            yield from change("momentum is not Nesterov's", "nesterov", nesterov=False)
        else:
            yield from change("momentum is Nesterov's", "nesterov", nesterov=True)
        if rule.momentum_on == "step":
            yield from change(
                "the momentum buffer accumulates gradients, undivided",
                "momentum_on",
                momentum_on="gradient",
            )
        else:
            yield from change(
                "the momentum buffer accumulates divided steps", "momentum_on", momentum_on="step"
            )
    for value in (0.9, 0.95, 0.99, 0.5):
        yield from change(
            f"momentum is {value:g}, not {rule.momentum:g}", "momentum", momentum=value
        )

    if rule.weight_decay:
        yield from change("weight decay is missing", "weight_decay", weight_decay=0.0)
        for form, words in (
            ("l2", "weight decay is added to the gradient (l2)"),
            ("decoupled", "weight decay is decoupled, ηλθ"),
            ("decoupled_unscaled", "weight decay is decoupled, λθ without η"),
        ):
            yield from change(words, "weight_decay_form", weight_decay_form=form)

    for value in (0.9, 0.99, 0.999, 0.95, 0.5, 0.9999, 0.0, 1.0):
        yield from change(f"β is {value:g}, not {rule.beta:g}", "beta", beta=value)

    if isinstance(rule.lr, tuple):
        rates = rule.lr
        yield from change(
            "the schedule is a step late: η of the step before is used",
            "lr",
            lr=(rates[0], *rates[:-1]),
        )
        yield from change(
            "the schedule is a step early: η of the next step is used",
            "lr",
            lr=(*rates[1:], rates[-1]),
        )
        count = len(rates)
        yield from change(
            "the schedule is ignored: η stays at its first value", "lr", lr=rates[:1] * count
        )
        yield from change(
            "the schedule is ignored: η has its last value", "lr", lr=rates[-1:] * count
        )
    else:
        for value in (1e-8, 1e-7, 1e-6, 1e-10, 1e-5, 1e-3):
            if eps_out and not eps_in:
                yield from epsilon(f"ε is {value:g}, not {eps_out:g}", 0.0, value, floor)
            if eps_in and not eps_out:
                yield from epsilon(f"ε is {value:g}, not {eps_in:g}", value, 0.0, floor)


def pairs(rule: Rule) -> Iterator[Fault]:
    """The Rules that differ from ``rule`` on two axes."""
    seen = {rule}
    for (first, axis, one), (second, other_axis, other) in itertools.permutations(
        list(neighbours(rule)), 2
    ):
        if axis == other_axis:
            continue
        both = {
            name: getattr(one, name)
            for name in one.__dataclass_fields__
            if getattr(one, name) != getattr(rule, name)
        }
        try:
            combined = replace(other, **both)
        except ValueError:
            continue
        if combined not in seen:
            seen.add(combined)
            yield Fault(f"{first}, and {second}", f"{axis}, {other_axis}", combined)


def _misread(rule: Rule) -> Iterator[Fault]:
    """Hyper-parameters that enter the formulas as something else."""

    def as_other(sentence: str, axis: str, number: Number | None = None, **fields: Any) -> Fault:
        return Fault(sentence, axis, rule, number=number, **fields)

    beta, mu = Fraction(rule.beta), Fraction(rule.momentum)

    def scaled(name: str, factor: Fraction) -> Number:
        return lambda which, x: x * factor if which == name else x

    yield as_other(
        "β and 1-β are exchanged",
        "beta",
        lambda name, x: 1 - x if name == "beta" else x,
    )
    yield as_other("1-β is missing: v ← βv + g²", "beta", complement=lambda _: Fraction(1))
    yield as_other("1-β is squared", "beta", complement=lambda beta: (1 - beta) ** 2)
    yield as_other(
        "the squares are summed, as in AdaGrad: v ← v + g²",
        "beta",
        lambda name, x: Fraction(1) if name == "beta" else x,
        complement=lambda _: Fraction(1),
    )
    if rule.momentum:
        yield as_other(
            "the momentum buffer is damped: the new step enters with 1-μ",
            "momentum",
            scaled("lr", 1 - mu),
        )
        if mu < 1:
            yield as_other("the learning rate is divided by 1-μ", "lr", scaled("lr", 1 / (1 - mu)))
    if rule.eps_in:
        yield as_other(
            "ε is subtracted under the root, not added",
            "eps",
            scaled("eps_in", Fraction(-1)),
            signed_root=True,
        )
    if rule.eps_out:
        yield as_other(
            "ε is subtracted from the root, not added", "eps", scaled("eps_out", Fraction(-1))
        )
    yield as_other("θ never moves", "lr", scaled("lr", Fraction(0)))
    yield as_other(
        "the learning rate is ignored: it is 1",
        "lr",
        lambda name, x: Fraction(1) if name == "lr" else x,
    )
    yield as_other(
        "the learning rate enters twice, as η²", "lr", lambda name, x: x * x if name == "lr" else x
    )
    for factor in (2, Fraction(1, 2), 10, Fraction(1, 10), 100, Fraction(1, 100)):
        yield as_other(
            f"the learning rate is {float(factor):g} times what it should be",
            "lr",
            scaled("lr", Fraction(factor)),
        )
    if 0 < beta < 1:
        yield as_other("the learning rate is multiplied by 1-β", "lr", scaled("lr", 1 - beta))
    if not isinstance(rule.lr, tuple):
        for words, power in (("1/√t", 0.5), ("1/t", 1.0)):
            falling = tuple(rule.lr / t**power for t in range(1, LONG + 1))
            other = replace(rule, lr=falling)
            yield Fault(f"the learning rate falls as {words}", "lr", other)
    if rule.weight_decay:
        yield as_other(
            "weight decay has the wrong sign", "weight_decay", scaled("weight_decay", Fraction(-1))
        )
        yield as_other(
            "weight decay is twice what it should be",
            "weight_decay",
            scaled("weight_decay", Fraction(2)),
        )
        yield as_other(
            "weight decay is half of what it should be",
            "weight_decay",
            scaled("weight_decay", Fraction(1, 2)),
        )


def _other_formulas(rule: Rule) -> Iterator[Fault]:
    """The same lines with one of them astray."""

    def fault(sentence: str, axis: str, step: others.Step, **fields: Any) -> Fault:
        return Fault(sentence, axis, rule, step=lambda _: step, **fields)

    def root(sentence: str, f: others.Root) -> Fault:
        return fault(sentence, "root", others.with_root(f))

    yield root("the root is missing: g is divided by v", lambda a, xp, *_: a)
    yield root("a root too many: g is divided by √√v", lambda a, xp, *_: xp.sqrt(xp.sqrt(a)))
    yield root("v is used before it is updated with the new gradient", others.stale_root)
    yield root("the cube root is taken", others.cube_root)
    if rule.centered:
        yield root("m² is added under the root, not subtracted", others.plus_root)
        yield root("m is subtracted under the root, not m²", others.unsquared_root)
        for words, step in (
            (
                "the mean is subtracted from the gradient that is divided, too",
                others.centered_numerator,
            ),
            (
                "the average is of (g-m)², a deviation from the mean, as in AdaBelief",
                others.deviation,
            ),
            ("m and v are one array: the mean overwrites the average", others.one_buffer),
        ):
            yield fault(words, "centered", step)
        yield root("the mean of the step before is subtracted under the root", others.stale_mean)
    yield fault("ε is added to the average itself, and stays in it", "eps", others.epsilon_kept)
    yield fault("it is gradient descent: nothing divides g", "optimiser", others.descent)
    yield fault("it is sign descent", "optimiser", others.sign_descent)
    if rule.beta < 1 and not rule.eps_floor:
        yield fault("it is Adam", "optimiser", others.adam(True))
        yield fault("it is Adam without bias correction", "optimiser", others.adam(False))
        for eps, scaled in itertools.product((None, Constant(1e-6)), (True, False)):
            yield fault("it is Adadelta", "optimiser", others.adadelta(eps, scaled))
        yield fault("it is AdaMax: the largest |g| of late divides", "optimiser", others.adamax)
        yield fault("it is AMSGrad: the largest v so far divides", "optimiser", others.amsgrad)
        yield fault("|g| is averaged, not g²", "average", others.mean_magnitude)
        yield fault("g is averaged and then squared", "average", others.squared_after_averaging)
        yield fault("v is the plain mean of all squares so far", "average", others.running_mean)
    yield fault("v is updated twice a step", "average", others.average_twice)
    yield fault("each step is taken twice", "step", others.twice)
    if rule.weight_decay:
        for words, step in (
            ("weight decay shrinks θ after the step, not before", others.decay_after),
            ("weight decay enters the step but not the average", others.decay_beside),
            ("weight decay enters the average but not the step", others.decay_in_average),
            ("weight decay is λ sign(θ), of the absolute value (l1)", others.absolute_decay),
        ):
            yield fault(words, "weight_decay", step)
    if rule.momentum:
        words = "the momentum buffer remembers one step only"
        yield Fault(words, "momentum", rule, step=others.one_step_back)
    if rule.bias_correction:
        yield root("bias correction divides the root by 1-β^t, not v", others.root_corrected)
        words = "bias correction is stored in the average, and applied to it again"
        yield fault(words, "bias_correction", others.correction_stored)
        if rule.centered:
            words = "bias correction is missing from the mean"
            yield root(words, others.mean_uncorrected)
        yield Fault(
            "bias correction counts from 0: its first step divides by 1-β^0 = 0",
            "bias_correction",
            rule,
            step=others.first_over_zero,
            count=lambda t: max(t - 1, 1),
        )
        late = "bias correction takes step t for step t+1"
        yield Fault(late, "bias_correction", rule, count=lambda t: t + 1)
        fixed = "bias correction uses β where it should use β^t"
        yield Fault(fixed, "bias_correction", rule, count=lambda t: 1)
        yield fault(
            "the step count wraps at 256",
            "counter",
            others.still_at(256),
            count=lambda t: t % 256 or 256,
            verdict="broken",
        )


def _other_gradients(rule: Rule) -> Iterator[Fault]:
    """The right rule for other gradients."""

    def fault(sentence: str, grads: Callable[[Floats], Floats], axis: str = "gradient") -> Fault:
        return Fault(sentence, axis, rule, grads=grads)

    yield fault("the step has the wrong sign: it climbs", lambda g: -g)
    yield Fault(
        "each row holds the parameters before the step, not after it",
        "step",
        rule,
        step=others.row_before,
        verdict="broken",
    )
    yield fault("the gradient of the step before is used", lambda g: np.vstack([g[:1] * 0, g])[:-1])
    yield fault(
        "the gradient of the step before is used, the first one twice",
        lambda g: np.vstack([g[:1], g])[:-1],
    )
    yield Fault("the step has the gradient of the step before", "gradient", rule, step=others.stale)
    yield Fault("the first step is not taken", "step", rule, step=others.first_not_taken)
    words = "in the first step θ stays, though the average does not"
    yield Fault(words, "step", rule, step=others.first_without_move)
    words = "each step starts from θ0, not from where the last one ended"
    yield Fault(words, "step", rule, step=others.from_the_start)

    def clipped(most: float) -> Fault:
        return fault(f"gradients are clipped to ±{most:g}", lambda g: np.clip(g, -most, most))

    yield from map(clipped, (1.0, 0.1, 0.5, 5.0, 10.0))
    yield fault("the sign of the gradient is lost", np.abs)
    yield fault(
        "the gradient is divided by the number of elements", lambda g: g / max(g.shape[1], 1)
    )


def _memory(rule: Rule) -> Iterator[Fault]:
    """Elements that are left out, or that share what each should have for itself."""

    def fault(
        sentence: str, step: Callable[[others.Segments], others.Step], axis: str = "memory"
    ) -> Fault:
        return Fault(sentence, axis, rule, step=step, verdict="broken")

    yield Fault(
        "elements whose gradient is zero are skipped: their average does not decay",
        "average",
        rule,
        step=lambda _: others.skipping_zeros,
    )
    for name in ("mean", "largest", "sum", "first"):
        yield fault(
            f"all elements share one second moment, the {name} of the tensor",
            others.shared(name),
            "shared",
        )
    for words, most in (
        ("the gradient is divided by its norm", None),
        ("the gradient is clipped to the norm 1", 1.0),
    ):
        yield Fault(words, "gradient", rule, step=others.normalised(most))


def reset(rule: Rule, first: int, early: bool) -> Fault:
    """Whether v starts again in step ``first``, and every so many steps: of t, or of t-1."""
    period = first if early else first - 1
    return Fault(
        f"the average v is reset every {period} steps",
        "counter",
        rule,
        "broken",
        step=lambda _: others.resetting(period, early),
    )


# What a report calls the hyper-parameters.
SPOKEN = {
    "lr": "the learning rate",
    "beta": "β",
    "eps_in": "ε inside the root",
    "eps_out": "ε outside the root",
    "momentum": "momentum",
    "weight_decay": "weight decay",
}


def imprecise(rule: Rule, dtype: str) -> Iterator[Fault]:
    """The right rule with coefficients from worse arithmetic."""
    for name in ("float32", "float16", "bfloat16"):
        if FORMATS[name][0] <= FORMATS[dtype][0]:
            yield from _coefficients_in(name, rule, dtype)


def _coefficients_in(name: str, rule: Rule, dtype: str) -> Iterator[Fault]:
    """The right rule with coefficients formed in one format, no wider than the program's."""

    def rounded(x: Fraction) -> Fraction:
        return Fraction(_nearest(x.numerator, x.denominator, name))

    def late(beta: Fraction) -> Fraction:
        return rounded(1 - rounded(beta))

    def only(*some: str) -> Number:
        return lambda which, x: rounded(x) if which in some else x

    def imprecise(sentence: str, **fields: Any) -> Fault:
        return Fault(sentence, "arithmetic", rule, "imprecise", **fields)

    slack = 2 * 2.0 ** -FORMATS[name][0] if rule.bias_correction else 0.0
    yield imprecise(f"1-β is formed in {name}", complement=late)
    if rule.bias_correction:
        yield imprecise(f"1-β^t is formed in {name}", slack=slack)
        yield imprecise(f"1-β and 1-β^t are formed in {name}", complement=late, slack=slack)
    if name != dtype:
        yield imprecise(
            f"the hyper-parameters are rounded to {name}",
            number=lambda _, x: rounded(x),
            complement=late,
            slack=slack,
        )
        # Some of them, as where a library keeps its learning rate in an array and not its β.
        present = [field for field in SPOKEN if getattr(rule, field)]
        most = len(present) if name == "float32" else 1
        for count in range(1, most + 1):
            for some in itertools.combinations(present, count):
                words = " and ".join(SPOKEN[field] for field in some)
                said = f"{words} {'is' if count == 1 else 'are'} rounded to {name}"
                yield imprecise(said, number=only(*some))
                if "beta" in some:
                    yield imprecise(f"{said}, and so is 1-β", number=only(*some), complement=late)


def coarser(rule: Rule, dtype: str) -> Iterator[Fault]:
    """Slots, or all, in a narrower format: what that encloses may be many things; asked last."""
    narrower = [
        name for name in ("float32", "float16", "bfloat16") if FORMATS[name][0] < FORMATS[dtype][0]
    ]
    for slot, words in (("v", "v, or its root,"), ("theta", "θ")):
        for name in narrower:
            yield Fault(
                f"its errors are as large as if {words} were rounded to {name}",
                "arithmetic",
                rule,
                "imprecise",
                step=others.kept_in(name, slot),
            )
    for name in narrower:
        said = f"its errors are those of {name} arithmetic"
        yield Fault(said, "arithmetic", rule, "imprecise", coarse=name)
