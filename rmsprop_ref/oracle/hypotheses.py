"""What a trajectory may come from: the RMSProps that a Rule can say, and other optimisers."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import Constant
from rmsprop_ref.oracle import others
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.fitting import NAMES, Evidence, Fits, Form, fit
from rmsprop_ref.rule import Rule, State

_BUFFERS: tuple[dict[str, Any], ...] = (
    {},
    {"momentum_on": "step"},
    {"momentum_on": "step", "nesterov": True},
    {"momentum_on": "gradient"},
    {"momentum_on": "gradient", "nesterov": True},
)
_STARTS: tuple[dict[str, Any], ...] = ({}, {"bias_correction": True}, {"v0": "first_square"})
_DECAYS: tuple[dict[str, Any], ...] = (
    {},
    {"weight_decay_form": "l2"},
    {"weight_decay_form": "decoupled"},
)
_EPSILONS = ((), ("eps_out",), ("eps_in",), ("eps_floor",), ("eps_in", "eps_out"))


def rmsprops(late: bool) -> Iterator[Form]:
    """The RMSProps, the simplest first; ``late``: where the learning rate enters is visible."""
    found = []
    for centered, start, buffer, decay in itertools.product(
        (False, True), _STARTS, _BUFFERS, _DECAYS
    ):
        places = ({}, {"lr_in_buffer": True}) if buffer and late else ({},)
        for place in places:
            fields = start | buffer | decay | place | ({"centered": True} if centered else {})
            free = ["beta", "eps_in", "eps_out", "eps_floor"]
            free += ["v0"] * ("v0" not in start) + ["momentum"] * bool(buffer)
            free += ["weight_decay"] * bool(decay)
            form = Form("RMSProp", tuple(fields.items()), tuple(free))
            found.append((centered + bool(start) + len(buffer) + len(decay) + len(place), form))
    yield from (form for _, form in sorted(found, key=lambda item: item[0]))


def adagrad(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """The sum of all squares for their average (Duchi, Hazan & Singer 2011)."""
    h = rule.constants(state.t + 1)
    v = state.v + g * g
    u = h.lr * g / (xp.sqrt(v + h.eps_in) + h.eps_out)
    return theta - u, state._replace(t=state.t + 1, v=v)


def signs(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
    """A step of η against the sign of the gradient, which is 0 at 0 (Bernstein et al. 2018)."""
    h = rule.constants(state.t + 1)
    at_zero = g.center == 0
    unit = xp.where(at_zero, g, g / abs(xp.where(at_zero, g + Constant(1.0), g)))
    return theta - h.lr * unit, state._replace(t=state.t + 1)


def amsgrad(corrected: bool) -> others.Step:
    """Adam with the largest average so far (Reddi, Kale & Kumar 2018; PyTorch corrects both)."""

    def step(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        t = state.t + 1
        h = rule.constants(t)
        beta1 = h.momentum
        v = h.beta * state.v + (1 - h.beta) * (g * g)
        m = (1 - beta1) * g if state.t == 0 else beta1 * state.m + (1 - beta1) * g
        largest = v if state.t == 0 else xp.where(state.b.center > v.center, state.b, v)
        mean, a = (m / (1 - beta1**t), largest / (1 - h.beta**t)) if corrected else (m, largest)
        u = h.lr * mean / (xp.sqrt(a + h.eps_in) + h.eps_out)
        return theta - u, state._replace(t=t, v=v, m=m, b=largest)

    return step


def other_optimisers() -> Iterator[Form]:
    """What is no RMSProp; the simplest first."""
    yield Form("sign descent", (), (), signs)
    still = {"beta": 1.0, "v0": 1.0}  # nothing is averaged, and √1 divides
    for buffer, decay in itertools.product(_BUFFERS[:3], _DECAYS):
        name = "SGD"
        if buffer:
            name += " with Nesterov momentum" if "nesterov" in buffer else " with momentum"
        free = ["momentum"] * bool(buffer) + ["weight_decay"] * bool(decay)
        yield Form(name, tuple((still | buffer | decay).items()), tuple(free))
    yield Form("AdaGrad", (), ("eps_in", "eps_out", "v0"), adagrad)
    averaged = ("beta", "eps_in", "eps_out", "momentum")
    yield Form("Adam", (), averaged, others.adam(True))
    # Without its bias correction, Adam is an RMSProp with momentum on the gradient.
    yield Form("Adadelta", (), ("beta", "eps_in"), others.adadelta(None, True))
    yield Form("AMSGrad", (), averaged, amsgrad(True))
    yield Form("AMSGrad without bias correction", (), averaged, amsgrad(False))


class Found(NamedTuple):
    """A hypothesis with its numbers: ``cost`` is a mean square in units of the weights."""

    form: Form
    numbers: dict[str, float]
    rates: Any
    cost: float

    @property
    def size(self) -> float:
        """How much it assumes: the simpler of two that explain the same is preferred."""
        fields = 0 if self.form.optimiser.startswith("SGD") else len(self.form.fields)
        rarer = {"eps_in": 0.1, "v0": 0.3, "eps_floor": 0.4}
        return fields + sum(1 + rarer.get(name, 0.0) for name in self.numbers)


# What "nesterov" and the others are about.
ABOUT = {
    "momentum_on": "momentum",
    "nesterov": "momentum",
    "lr_in_buffer": "momentum",
    "weight_decay_form": "weight_decay",
}


def includes(form: Form, other: Form) -> bool:
    """Whether ``form`` is ``other`` with momentum or weight decay besides, or is ``other``."""
    more, less = dict(form.fields), dict(other.fields)
    if form.step is not other.step or any(more.get(k) != v for k, v in less.items()):
        return False
    return all(k in ABOUT and ABOUT[k] not in other.free for k in more.keys() - less.keys())


def _allowed(form: Form, given: Mapping[str, Any]) -> bool:
    """Whether a form agrees with what is given, as far as it has it."""
    fields, plain = dict(form.fields), Rule()
    for name, value in given.items():
        if name in ABOUT:
            if ABOUT[name] in form.free and fields.get(name, getattr(plain, name)) != value:
                return False
        elif name in ("momentum", "weight_decay") and form.optimiser.startswith(("RMSP", "SGD")):
            if (value != 0) != (name in form.free):
                return False
        elif form.optimiser == "RMSProp" and name not in ("lr", *form.free):
            if fields.get(name, getattr(plain, name)) != value:
                return False
        elif form.optimiser == "RMSProp" and name == "v0" and fields.get("v0", 0.0) != 0.0:
            return False
    return True


def search(evidence: Evidence, given: Mapping[str, Any], late: bool) -> list[Found]:
    """The best numbers of every hypothesis that may matter.

    The simple forms come first. Once one explains the recording, only those remain that differ from
    it in one respect; unless the recording is so short that quite other ones may explain it too.

    Parameters
    ----------
    evidence : Evidence
        The recording.
    given : mapping
        Fields of Rule that are known.
    late : bool
        Whether the learning rate changes, and it shows where it enters.
    """
    found: list[Found] = []
    near: list[Form] = []
    short = np.count_nonzero(evidence.weight) <= 24
    known, usual = list(other_optimisers()), list(rmsprops(late))
    simple = [form for form in usual if _apart(form, usual[0]) <= 1]
    still = [form for form in known if not form.free or "beta" not in form.free]
    # With a learning rate for each step, the usual ones are enough to look at.
    order = [*still, *simple] if evidence.rates == "free" else [*still, *simple, *known, *usual]
    for k, form in enumerate(order):
        if form in order[:k] or not _allowed(form, given):
            continue
        if near and not short and (form in known or all(_apart(form, x) > 1 for x in near)):
            continue
        found += best(form, evidence, given)
        fits = any(one.form is form and one.cost < 2.25 for one in found)
        if fits and not any(includes(form, one) for one in near):
            near.append(form)
    return found


def _apart(form: Form, other: Form) -> int:
    """In how many respects two forms differ."""
    if "RMSProp" not in (form.optimiser, other.optimiser):
        return 0
    a, b = dict(form.fields), dict(other.fields)
    if not form.optimiser == other.optimiser == "RMSProp":
        a = {k: v for k, v in a.items() if k in ABOUT}
        b = {k: v for k, v in b.items() if k in ABOUT}
    respects = (("centered",), ("bias_correction", "v0"), ("momentum_on", "nesterov"))
    respects += (("lr_in_buffer",), ("weight_decay_form",))
    return sum(any(a.get(k) != b.get(k) for k in keys) for keys in respects)


def _structures(form: Form, given: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Which of its numbers the formulas may have together."""
    always = [name for name in form.free if name in ("beta", "momentum", "weight_decay")]
    places = [place for place in _EPSILONS if set(place) <= set(form.free)]
    starts: list[tuple[str, ...]] = [(), ("v0",)] if "v0" in form.free else [()]
    if form.optimiser == "Adadelta":
        places = [("eps_in",)]
    made = [(*always, *place, *start) for place, start in itertools.product(places, starts)]
    if {"eps_in", "eps_out", "eps_floor"} <= set(form.free) and given.get("eps_floor"):
        made += [(*always, *_EPSILONS[-1], "eps_floor", *start) for start in starts]
    optional = ("eps_in", "eps_out", "eps_floor", "v0")
    return [
        names
        for names in made
        if all((given[x] != 0) == (x in names) for x in optional if x in given and x in form.free)
    ]


def _starts(evidence: Evidence) -> dict[str, list[float]]:
    """Where the search for each number begins."""
    sizes = np.abs(evidence.grads[np.isfinite(evidence.grads) & (evidence.grads != 0)])
    low, middle, high = np.quantile(sizes, (0.0, 0.5, 1.0)) if sizes.size else (1.0, 1.0, 1.0)
    eps = np.geomspace(low / 10, high, 4)
    far = max(float(np.median(np.abs(evidence.before))), 1e-30)
    return {
        "beta": [0.5, 0.9, 0.99, 0.999],
        "eps_in": (eps**2).tolist(),
        "eps_out": eps.tolist(),
        "eps_floor": eps.tolist(),
        "v0": [1.0, float(middle**2)],
        "momentum": [0.5, 0.9, 0.98],
        "weight_decay": [0.0, min(float(middle) / far, 0.3)],
    }


def best(form: Form, evidence: Evidence, given: Mapping[str, Any]) -> list[Found]:
    """The best numbers for each structure of a form."""
    grid, rows, masks, owner = _starts(evidence), [], [], []
    structures = _structures(form, given)
    if not structures:
        return []
    for k, names in enumerate(structures):
        free = [name for name in names if name not in evidence.given]
        values: list[list[float]] = [grid[name] for name in free]
        mask = np.array([name in names for name in NAMES])
        for point in itertools.product(*values):
            chosen = dict(zip(free, point, strict=True)) | dict(evidence.given)
            rows.append([chosen.get(name, 0.0) if name in names else 0.0 for name in NAMES])
            masks.append(mask)
            owner.append(k)
    numbers, active, owners = np.array(rows), np.array(masks), np.array(owner)

    def kept(cost: Floats, most: int) -> list[int]:
        order = np.argsort(cost, kind="stable")
        return [i for k in range(len(structures)) for i in order[owners[order] == k][:most]]

    # Few are worth many corrections.
    fits = Fits(numbers, active, np.zeros(len(rows)), np.zeros((len(rows), 1)))
    for most, rounds in ((0, 0), (6, 4), (2, 12)):
        if most:
            chosen_rows = kept(fits.cost, most)
            fits = Fits(*(column[chosen_rows] for column in fits))
            owners = owners[chosen_rows]
        fits = fit(form, fits.numbers, fits.active, evidence, rounds)
    found = []
    for i in kept(fits.cost, 1):
        named = {n: float(fits.numbers[i, j]) for j, n in enumerate(NAMES) if fits.active[i, j]}
        rates = fits.rates[i].tolist()
        found.append(Found(form, named, rates, float(fits.cost[i])))
    return found
