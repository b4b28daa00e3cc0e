"""Hyper-parameters from a trajectory: the reference run on many candidates at once, and corrected.

A step's increment is the learning rate times something that depends on the other hyper-parameters,
on the gradients and, with weight decay, on θ as it is recorded. So each recorded increment can be
predicted from recorded numbers alone, and the learning rate follows from the others as a quotient
of two sums (variable projection). The others are found by Levenberg and Marquardt's method, for all
candidates in lockstep: the reference runs once on arrays whose last axis holds every candidate, and
beside each its neighbours, from which derivatives are taken.

References
----------
G. H. Golub, V. Pereyra (1973). The differentiation of pseudo-inverses and nonlinear least squares
problems whose variables separate. SIAM J. Numerical Analysis 10, 413-432.
D. W. Marquardt (1963). An algorithm for least-squares estimation of nonlinear parameters. J. SIAM
11, 431-441.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.others import Step
from rmsprop_ref.reference import init
from rmsprop_ref.reference import step as reference_step
from rmsprop_ref.rule import Rule, State
from rmsprop_ref.trace import trace

Bools = NDArray[np.bool_]

# What is fitted, besides the learning rate: each in a scale in which it is well behaved.
NAMES = ("beta", "eps_in", "eps_out", "eps_floor", "v0", "momentum", "weight_decay")
_LOG = np.array([False, True, True, True, True, False, False])
_LOWEST = np.array([-36.0, -140.0, -70.0, -70.0, -140.0, 0.0, -np.inf])
_HIGHEST = np.array([0.0, 30.0, 20.0, 20.0, 60.0, 1.0, np.inf])
_LONGEST = np.array([1.0, 1.4, 0.7, 0.7, 1.4, 0.2, np.inf])  # of one correction
# How far off is a neighbour, from which a derivative is taken. An ε may have so little effect that
# a smaller change is not seen; its derivative may be a little wrong: it is taken again each time.
_AWAY = np.array([1e-7, 1e-3, 1e-3, 1e-3, 1e-3, 1e-7, 1e-7])


def _operation(f: Callable[[Any, Any], Any], *, swap: bool = False) -> Callable[..., Any]:
    def method(self: Many, other: Any) -> Many:
        x = other.x if isinstance(other, Many) else float(other)
        return Many(f(x, self.x) if swap else f(self.x, x))

    return method


class Many:
    """A number for each candidate, along the last axis: one number system of the reference."""

    __slots__ = ("x",)
    # What Rule asks of a symbol, for it may be a hyper-parameter.
    is_finite = is_nonnegative = True
    free_symbols = ("candidates",)

    def __init__(self, x: Any) -> None:
        self.x = x

    @property
    def center(self) -> Any:
        """The values."""
        return self.x

    def __gt__(self, largest: Any) -> bool:
        return False  # not provably

    def __abs__(self) -> Many:
        return Many(np.abs(self.x))

    def __pow__(self, exponent: Any) -> Many:
        return Many(self.x ** float(exponent))

    __add__, __radd__ = _operation(operator.add), _operation(operator.add, swap=True)
    __sub__, __rsub__ = _operation(operator.sub), _operation(operator.sub, swap=True)
    __mul__, __rmul__ = _operation(operator.mul), _operation(operator.mul, swap=True)
    __truediv__ = _operation(operator.truediv)
    __rtruediv__ = _operation(operator.truediv, swap=True)


def _value(x: Any) -> Any:
    return x.x if isinstance(x, Many) else float(x)


# The number system, as `xp`.
_MANY = SimpleNamespace(
    sqrt=lambda x: Many(np.sqrt(x.x)),
    Max=lambda x, floor: Many(np.maximum(x.x, _value(floor))),
    sign=lambda x: Many(np.sign(x.x)),
    where=lambda mask, a, b: Many(np.where(mask, a.x, b.x)),
)


def simulate(
    rule: Rule, step: Step, theta0: Floats, grads: Floats, before: Floats | None = None
) -> Floats:
    """θ after each step, (T, n, candidates): each step from the one before, or from ``before``."""
    theta: Any = Many(theta0[:, None])
    state, rows = init(theta, rule, _MANY), []
    if step is reference_step:
        step = _traced(rule)
    with np.errstate(all="ignore"):
        for t, grad in enumerate(grads):
            here = theta if before is None else Many(before[t, :, None])
            theta, state = step(here, Many(grad[:, None]), state, rule, _MANY)
            rows.append(theta.x)
    return np.array(np.broadcast_arrays(*rows))


def _traced(rule: Rule) -> Step:
    """``reference.step`` for this rule, from its trace: the same operations in half the time."""
    # β is free even if it is one number: its powers depend on the step.
    free = {k: _value(v) for k, v in vars(rule).items() if isinstance(v, Many) or k == "beta"}
    rates = [_value(x) for x in rule.lr] if isinstance(rule.lr, tuple) else []
    names = (*free, *["lr"] * bool(rates))
    fixed = tuple((k, 0.5 if k in names else getattr(rule, k)) for k in _FIELDS)
    first = _lines(fixed, names, 1)
    later = _lines(fixed, names, 2) if rule.v0 == "first_square" else first

    def step(theta: Any, grad: Any, state: State, _: Rule, __: Any) -> tuple[Any, State]:
        known = {"theta": theta.x, "grad": grad.x, "v": state.v.x, "t": float(state.t + 1), **free}
        if state.m is not None:
            known["m"] = state.m.x
        if state.b is not None:
            known["b"] = state.b.x
        if rates:
            known["lr"] = rates[state.t]
        lines, outputs = later if state.t else first
        for name, operation, operands in lines:
            known[name] = operation(*[known[x] if x.__class__ is str else x for x in operands])
        new = {slot: Many(known[name]) for slot, name in outputs}
        return new.pop("theta"), state._replace(t=state.t + 1, **new)

    return step


_FIELDS = tuple(Rule.__dataclass_fields__)
_CALLS: dict[str, Any] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "sqrt": np.sqrt,
    "max": np.maximum,
}


@lru_cache(maxsize=4096)
def _lines(fixed: tuple[tuple[str, Any], ...], free: tuple[str, ...], t: int) -> Any:
    """The trace of a step, with its constants as floats, but for the power in 1-β^t."""
    program = trace(Rule(**dict(fixed)), t, free)
    lines = []
    for name, op, operands in program.lines:
        values: list[Any] = [x if isinstance(x, str) else float(x) for x in operands]
        if op == "**":
            values[1] = "t"
        lines.append((name, _CALLS[op], values))
    return lines, program.outputs


@dataclass(frozen=True)
class Form:
    """The formulas of a hypothesis, without its numbers.

    Attributes
    ----------
    optimiser : str
        What it is called.
    fields : tuple of (str, value)
        The fields of Rule that are no fitted numbers.
    free : tuple of str
        The numbers that the formulas may have: names of ``NAMES``.
    step : callable
        ``reference.step``, or another of its form.
    """

    optimiser: str
    fields: tuple[tuple[str, Any], ...]
    free: tuple[str, ...]
    step: Step = reference_step

    def rule(self, lr: Any, numbers: Mapping[str, Any]) -> Rule:
        """The Rule with these numbers."""
        fields = dict(self.fields)
        if "momentum" in numbers and numbers["momentum"] == 0:
            fields.pop("nesterov", None)  # it has no meaning then
        return Rule(**{"lr": lr, "eps_out": 0.0, **fields, **numbers})


class Evidence(NamedTuple):
    """A trajectory to be explained.

    Attributes
    ----------
    theta0, grads, trajectory : array of float64, shapes (n,), (T, n) and (T, n)
        As recorded.
    weight : array of float64, shape (T, n)
        1 over the error to be expected in an increment; 0 where it says nothing.
    given : mapping
        Numbers that are not to be fitted, by name.
    rates : {"constant", "free"}, float or tuple
        The learning rate: one number, or one for each step, to be fitted; or what it is.
    """

    theta0: Floats
    grads: Floats
    trajectory: Floats
    weight: Floats
    given: Mapping[str, float]
    rates: Any

    @property
    def before(self) -> Floats:
        """θ before each step."""
        return np.vstack([self.theta0[None], self.trajectory])[:-1]


class Fits(NamedTuple):
    """Candidates of one form: see ``fit``. ``cost`` is a mean square, in units of the weights."""

    numbers: Floats
    active: Bools
    cost: Floats
    rates: Floats


def inner(numbers: Floats) -> Floats:
    """Numbers (C, 7) on the scales on which they are fitted: ln(1-β), ln ε, ln v0, μ, λ."""
    with np.errstate(divide="ignore"):
        z = np.where(_LOG, np.log(np.maximum(numbers, 1e-300)), numbers)
        z[:, 0] = np.log1p(-np.minimum(numbers[:, 0], 1 - 2.0**-52))
    return z


def outer(z: Floats, active: Bools) -> Floats:
    """The numbers; 0 for those that a candidate does not have."""
    numbers = np.where(_LOG, np.exp(np.where(_LOG, z, 0.0)), z)
    numbers[:, 0] = -np.expm1(z[:, 0])
    return np.where(active, numbers, 0.0)


def increments(form: Form, numbers: Floats, evidence: Evidence) -> Floats:
    """The predicted increments (T, n, C), of a learning rate of 1 where it is to be fitted."""
    named = {
        name: evidence.given[name] if name in evidence.given else Many(numbers[:, i])
        for i, name in enumerate(NAMES)
        if name in form.free
    }
    fitted = isinstance(evidence.rates, str)
    rule = form.rule(1.0 if fitted else evidence.rates, named)
    before = evidence.before
    after = simulate(rule, form.step, evidence.theta0, evidence.grads, before)
    return np.broadcast_to(before[:, :, None] - after, (*before.shape, len(numbers)))


def _projected(x: Floats, y: Floats, rates: Any) -> tuple[Floats, Any]:
    """The learning rates (T or 1, 1, C) that bring x nearest to y, and how to project."""
    if not isinstance(rates, str):
        return np.ones((1, 1, x.shape[2])), lambda along: 0.0 * along
    axes: Any = (0, 1) if rates == "constant" else 1

    def shares(along: Floats) -> Floats:
        power = (x * x).sum(axes, keepdims=True)
        share = (x * along).sum(axes, keepdims=True) / np.where(power > 0, power, 1.0)
        return np.asarray(share)

    return shares(y[:, :, None]), lambda along: x * shares(along)


def fit(form: Form, numbers: Floats, active: Bools, evidence: Evidence, rounds: int) -> Fits:
    """The candidates after some rounds of corrections.

    Parameters
    ----------
    form : Form
        Their formulas.
    numbers : array, shape (C, 7)
        Where each starts.
    active : array of bool, shape (C, 7)
        Which numbers each has; the others are 0 and stay so. What is given stays too.
    evidence : Evidence
        What to explain.
    rounds : int
        How many corrections; 0 only evaluates.
    """
    columns = [i for i, name in enumerate(NAMES) if name in form.free]
    columns = [i for i in columns if NAMES[i] not in evidence.given]
    y = (evidence.before - evidence.trajectory) * evidence.weight
    count, weight = max(np.count_nonzero(evidence.weight), 1), evidence.weight[:, :, None]

    def evaluated(z: Floats, derive: bool) -> tuple[Floats, Floats, Floats, Floats]:
        c, p = len(z), len(columns) if derive else 0
        many = np.tile(z, (p + 1, 1))
        for k in range(p):
            many[(k + 1) * c : (k + 2) * c, columns[k]] += away[columns[k]]
        numbers = outer(many, np.tile(active, (p + 1, 1)))
        x = np.where(weight > 0, increments(form, numbers, evidence) * weight, 0.0)
        first = x[:, :, :c]
        with np.errstate(all="ignore"):
            rates, project = _projected(first, y, evidence.rates)
            r = y[:, :, None] - rates * first
            cost = (r * r).sum((0, 1)) / count
            cost = np.where(np.isfinite(cost), cost, np.inf)
            slopes = []
            for k in range(p):
                change = rates * (x[:, :, (k + 1) * c : (k + 2) * c] - first)
                slopes.append((change - project(change)).reshape(-1, c) / away[columns[k]])
        jacobian = np.array(slopes).reshape(p, y.size, c)
        return cost, r.reshape(-1, c), jacobian, rates

    away = _AWAY.copy()
    size = np.median(np.abs(evidence.grads)) / max(float(np.median(np.abs(evidence.before))), 1e-30)
    away[NAMES.index("weight_decay")] *= min(max(size, 1e-6), 1.0)
    z = np.clip(inner(numbers), _LOWEST, _HIGHEST)
    if not rounds or not columns:
        cost, _, _, rates = evaluated(z, False)
        return Fits(outer(z, active), active, cost, rates[:, 0].T)

    damping = np.full(len(z), 1e-3)
    cost, r, jacobian, rates = evaluated(z, True)
    span, idle = np.arange(len(columns)), 0
    for _ in range(rounds):
        if idle == 2:
            break
        usable = np.isfinite(cost)
        j = np.where(np.isfinite(jacobian) & usable, jacobian, 0.0)
        right = np.where(np.isfinite(r) & usable, r, 0.0)
        a = np.einsum("pnc,qnc->cpq", j, j)
        b = np.einsum("pnc,nc->cp", j, right)
        diagonal = a[:, span, span]
        unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        a /= unit[:, :, None] * unit[:, None, :]
        a[:, span, span] = 1 + damping[:, None]
        try:
            move = np.linalg.solve(a, (b / unit)[:, :, None])[:, :, 0] / unit
        except np.linalg.LinAlgError:
            damping = damping * 10 + 1e-12
            continue
        trial = z.copy()
        trial[:, columns] += np.clip(move, -_LONGEST[columns], _LONGEST[columns])
        trial = np.clip(trial, _LOWEST, _HIGHEST)
        new = evaluated(trial, True)
        better = new[0] < cost
        idle = 0 if np.any(new[0] < 0.99 * cost) else idle + 1
        z = np.where(better[:, None], trial, z)
        cost = np.where(better, new[0], cost)
        r, jacobian = np.where(better, new[1], r), np.where(better, new[2], jacobian)
        rates = np.where(better, new[3], rates)
        damping = np.where(better, np.maximum(damping / 10, 1e-14), np.minimum(damping * 8, 1e8))
    return Fits(outer(z, active), active, cost, rates[:, 0].T)
