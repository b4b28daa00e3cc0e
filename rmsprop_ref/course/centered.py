"""The centered rule at work, for chapter 13: in floating point, behind guards, among noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rmsprop_ref import Rule, State, Unsupported, init, step
from rmsprop_ref.arithmetic import DELTA, Arithmetic
from rmsprop_ref.course.rounding import known_errors, with_errors
from rmsprop_ref.course.runs import Array
from rmsprop_ref.dialects import DIALECTS
from rmsprop_ref.trace import trace

# The two ways to write an average: as the reference does, and as TensorFlow's kernel does.
FORMS = {"βv + (1-β)g²": Arithmetic(), "v + (1-β)(g²-v)": Arithmetic((DELTA,))}


def states(grads: Any, beta: float, steps: int) -> list[State]:
    """The reference's centered states after each of ``steps`` steps on constant gradients ``(n,)``.

    In the dtype of ``grads``; θ does not move.
    """
    rule = Rule(lr=0.0, beta=beta, centered=True, eps_out=1.0)
    theta = np.zeros_like(grads)
    state, visited = init(theta, rule), []
    with np.errstate(invalid="ignore"):
        for _ in range(steps):
            theta, state = step(theta, grads, state, rule)
            visited.append(state)
    return visited


def first_negative(
    grads: Any, beta: float, steps: int, arithmetic: Arithmetic | None = None
) -> Any:
    """The first step at which v - m² < 0 on constant gradients ``(n,)``, and 0 where there is none.

    ``arithmetic`` is an order of evaluation; without it the order is the reference's.
    """
    rule = Rule(lr=0.0, beta=beta, centered=True, eps_out=1.0)
    first = np.zeros(len(grads), int)
    run = (arithmetic or Arithmetic()).run(rule)
    # At η = 0 the parameters stay, until the root of a negative number makes them NaN.
    for t, theta in enumerate(run(np.zeros_like(grads), [grads] * steps), 1):
        first = np.where((first == 0) & np.isnan(theta), t, first)
    return first


def left_over(grads: Any, beta: float, steps: int, form: str) -> Array:
    """What v - m² has come to after ``steps`` constant gradients, over g², exactly subtracted.

    ``form`` is a key of FORMS. In units of u/(1-β), u being the unit roundoff of the dtype.
    """
    program = FORMS[form].program(Rule(beta=beta, centered=True))
    kind = grads.dtype.type
    v, m = np.zeros_like(grads), np.zeros_like(grads)
    numbers = {"lr": kind(0), "beta": Rule(beta=beta).constants(1).beta, "eps_out": kind(1)}
    with np.errstate(invalid="ignore"):
        for _ in range(steps):
            out = program.run(np, theta=np.zeros_like(grads), grad=grads, v=v, m=m, **numbers)
            v, m = out["v"], out["m"]
    unit = np.finfo(grads.dtype).eps / 2 / (1 - beta)
    exact_v, exact_m, exact_g = (x.astype(np.longdouble) for x in (v, m, grads))
    return np.asarray((exact_v - exact_m**2) / exact_g**2 / unit, float)


def units_remembered(beta: float, dtype: str) -> float:
    """How many units of roundoff, relative to v, v - m² may err late in a constant gradient.

    e_v + 2 e_m + 1, as in chapter 6: what v and m remember, and the rounding of m².
    """
    import sympy

    symbol = sympy.Symbol("beta", positive=True)
    program = trace(Rule(centered=True), free=["lr", "beta", "eps_out"])
    new, places = with_errors(program, theta=0, grad=1, v=1, m=1, lr=1, beta=symbol, eps_out=0)
    exact = {place.delta: 0 for place in places}
    known = known_errors(Rule(centered=True, beta=beta), dtype)
    own = {"beta": known[beta], "1 - beta": known[1 - beta]}
    total = 1.0
    for slot, times in (("v", 1), ("m", 2)):
        for place in places:
            effect = new[slot].diff(place.delta).subs(exact).subs(symbol, beta)
            total += times * own.get(place.place, place.units) * abs(float(effect)) / (1 - beta)
    return total


# What stands under the root, from v, m and the recursion's a; and what is done with the root.
GUARDS: dict[str, Callable[..., Any]] = {
    "nothing": lambda v, m, a: np.sqrt(v - m * m),
    "abs(v - m²)": lambda v, m, a: np.sqrt(np.abs(v - m * m)),
    "max(v - m², 0)": lambda v, m, a: np.sqrt(np.maximum(v - m * m, 0)),
    "the recursion": lambda v, m, a: np.sqrt(a),
    "ε inside, 1e-8": lambda v, m, a: np.sqrt(v - m * m + a.dtype.type(1e-8)),
    "ε inside, 1e-4": lambda v, m, a: np.sqrt(v - m * m + a.dtype.type(1e-4)),
}


def recursion(a: Any, m: Any, g: Any, beta: float) -> Any:
    """The next v - m², from the last and the mean before it: a sum of what is never negative."""
    kind = np.asarray(g).dtype.type
    far = g - m
    return kind(beta) * (a + kind(1 - beta) * (far * far))


def guarded(grads: Any, beta: float, steps: int, eps_out: float) -> dict[str, tuple[int, float]]:
    """For each of GUARDS: how many weights become NaN, and the longest step over η of the others.

    Under constant gradients ``(n,)``, in their dtype, with ``eps_out`` added to every root.
    """
    a, m = np.zeros_like(grads), np.zeros_like(grads)
    lost = {name: np.zeros(len(grads), bool) for name in GUARDS}
    longest = {name: np.zeros(len(grads)) for name in GUARDS}
    with np.errstate(invalid="ignore", divide="ignore"):
        for state in states(grads, beta, steps):
            a, m = recursion(a, m, grads, beta), state.m
            for name, root in GUARDS.items():
                length = grads / (root(state.v, m, a) + grads.dtype.type(eps_out))
                lost[name] |= np.isnan(length)
                longest[name] = np.fmax(longest[name], length)
    return {
        name: (int(lost[name].sum()), float(np.max(longest[name], where=~lost[name], initial=0)))
        for name in GUARDS
    }


def libraries(atlas: Path) -> list[tuple[str, Any, str, str]]:
    """What real libraries did with constant gradients: (adapter, rule, float32, float64).

    From the atlas's stored answers; the rule is what the library's defaults, centered, say. (None
    where no Rule says it.)
    """
    rows = []
    answers = json.loads(atlas.read_text(encoding="utf-8"))["adapters"]
    for name, answer in answers.items():
        said = [
            answer["special"].get(kind, {}).get("centered, constant g", "")
            for kind in ("float32", "float64")
        ]
        if not said[0] or said[0].startswith("refused"):
            continue
        dialect = DIALECTS[answer["dialect"]]
        switch = next(x for x in ("centered", "centred") if x in dialect.signature.parameters)
        try:
            rule: Any = dialect(**{**dialect.required, switch: True}).rule
        except Unsupported:
            rule = None
        rows.append((name, rule, *(_lost(text) for text in said)))
    return rows


def _lost(text: str) -> str:
    return {"finite": "0", "": "-"}.get(text) or text.split()[2]


def beside_noise(
    k: float, centered: bool, rates: Any, *, steps: int, runs: int, seed: int
) -> Array:
    """The final losses, of shape ``(rates, runs)``, of one steady weight beside ten noisy ones.

    The loss is |y| + ½ Σ 100 xᵢ². The gradient of y comes with noise of standard deviation 1/k,
    that of each xᵢ with noise of 1. y starts at 1, the xᵢ at their minimum. Every rate meets the
    same noise. (In units of η every run is one with η = 1, so that one Rule does for all rates.)
    """
    eta = np.asarray(rates, float)[:, None, None]
    rule = Rule(lr=1.0, beta=0.9, eps_out=1e-12, centered=centered)
    scaled = np.zeros((len(rates), runs, 11))
    scaled[..., 10] = 1 / eta[..., 0]
    state, rng = init(scaled, rule), np.random.default_rng(seed)
    level = np.r_[np.ones(10), 1 / k]
    for _ in range(steps):
        at = eta * scaled
        grads = level * rng.standard_normal((runs, 11)) + 100 * at
        grads[..., 10] += np.sign(at[..., 10]) - 100 * at[..., 10]
        scaled, state = step(scaled, grads, state, rule)
    at = eta * scaled
    return np.asarray(50 * (at[..., :10] ** 2).sum(-1) + np.abs(at[..., 10]))


def among_equals(
    k: float, centered: bool, rates: Any, *, steps: int, runs: int, seed: int
) -> Array:
    """The final losses, of shape ``(rates, runs)``, of ten weights on ½x², with noise 1/k.

    All start at 1, so that k is the ratio of the first gradient to its noise.
    """
    eta = np.asarray(rates, float)[:, None, None]
    rule = Rule(lr=1.0, beta=0.9, eps_out=1e-12, centered=centered)
    scaled = 1 / eta + np.zeros((len(rates), runs, 10))
    state, rng = init(scaled, rule), np.random.default_rng(seed)
    for _ in range(steps):
        grads = eta * scaled + rng.standard_normal((runs, 10)) / k
        scaled, state = step(scaled, grads, state, rule)
    return np.asarray(((eta * scaled) ** 2).sum(-1) / 2)


def gain(
    problem: Callable[..., Array], k: float, grids: dict[bool, Any], *, steps: int, runs: int
) -> Array:
    """Plain loss over centered loss, each at its own best rate of equally many: a value a run.

    The rates are chosen on ``runs`` runs by the median loss; the values are those of other runs.
    """
    losses = {}
    for centered, rates in grids.items():
        tried = problem(k, centered, rates, steps=steps, runs=runs, seed=0)
        best = int(np.median(tried, axis=1).argmin())
        if best in (0, len(rates) - 1):
            raise ValueError(f"k = {k}, centered = {centered}: the best rate is at the grid's end")
        losses[centered] = problem(
            k, centered, rates[best : best + 1], steps=steps, runs=10 * runs, seed=1
        )[0]
    # Medians of ten batches of runs: their spread is that of the ratio of two medians.
    medians = [np.median(losses[c].reshape(10, -1), axis=1) for c in (False, True)]
    return np.asarray(medians[0] / medians[1])
