"""What a trajectory may come from: the RMSProps that a Rule can say, and other optimisers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from rmsprop_ref.constant import Constant
from rmsprop_ref.oracle import others
from rmsprop_ref.oracle.balls import Floats
from rmsprop_ref.oracle.fitting import NAMES, Evidence, Form, fit
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


def decayed(step: others.Step) -> others.Step:
    """Another optimiser after decoupled weight decay, as the reference has it."""

    def both(theta: Any, g: Any, state: State, rule: Rule, xp: Any) -> tuple[Any, State]:
        h = rule.constants(state.t + 1)
        return step(theta - (h.lr * h.weight_decay) * theta, g, state, rule, xp)

    return both


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
    yield Form("AdaGrad", (), ("eps_out", "v0"), adagrad)  # v0 is as an ε inside
    averaged = ("beta", "eps_in", "eps_out", "momentum")
    yield Form("Adam", (), averaged, others.adam(True))
    decoupled = (("weight_decay_form", "decoupled"),)
    yield Form("AdamW", decoupled, (*averaged, "weight_decay"), decayed(others.adam(True)))
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
        name = self.form.optimiser
        fields = 0 if name.startswith("SGD") else len(self.form.fields)
        fields += not name.startswith(("RMSProp", "SGD", "sign"))
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


def search(
    evidence: Evidence, given: Mapping[str, Any], late: bool, everything: bool = False
) -> list[Found]:
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
    everything : bool
        Whether to look at all forms, whatever the simple ones explain.
    """
    found: list[Found] = []
    near: list[Form] = []
    everything = everything or bool(np.count_nonzero(evidence.weight) <= 24)
    known, usual = list(other_optimisers()), list(rmsprops(late))
    simple = [form for form in usual if _apart(form, usual[0]) <= 1]
    still = [form for form in known if not form.free or "beta" not in form.free]
    # With a learning rate for each step, the usual ones are enough to look at.
    order = [*still, *simple] if evidence.rates == "free" else [*still, *simple, *known, *usual]
    for k, form in enumerate(order):
        if form in order[:k] or not _allowed(form, given):
            continue
        if near and not everything and (form in known or all(_apart(form, x) > 1 for x in near)):
            continue
        if near and not everything and near[0].optimiser != "RMSProp" and form not in known:
            continue  # an RMSProp comes as near as one likes to it
        found += best(form, evidence, given)
        # Where a difference cancels, legal errors are larger than is usual.
        most = 1e4 if form.optimiser == "RMSProp" else 2.25
        fits = any(one.form is form and one.cost < most for one in found)
        if fits and not any(includes(form, one) for one in near):
            near.append(form)
    for _ in range(2):  # the best may need more corrections, or one number more
        found.sort(key=lambda one: one.cost)
        if not found or found[0].cost < 9:
            break
        nearest = sorted(found, key=lambda one: math.log10(one.cost) + one.size / 2)[:6]
        more = [x for one in nearest for x in _extended(one, evidence)]
        if min(x.cost for x in more) > 0.1 * found[0].cost:
            break
        found = more + found
    return found


def _extended(one: Found, evidence: Evidence) -> list[Found]:
    """The hypothesis after many more corrections, and with each number that it lacks."""
    grid, rows, names = _starts(evidence), [], []
    optional = ("eps_in", "eps_out", "eps_floor", "v0")
    for name in (None, *(x for x in optional if x in one.form.free)):
        if name is not None and (name in one.numbers or name in evidence.given):
            continue
        for start in [0.0] if name is None else grid[name]:
            added = one.numbers | ({} if name is None else {name: start})
            rows.append([added.get(x, 0.0) for x in NAMES])
            names.append(tuple(added))
    active = np.array([[x in held for x in NAMES] for held in names])
    fits = fit(one.form, np.array(rows), active, evidence, 40)
    found: dict[tuple[str, ...], Found] = {}
    for i in np.argsort(-fits.cost, kind="stable"):
        named = {x: float(fits.numbers[i, NAMES.index(x)]) for x in names[i]}
        if np.isfinite(fits.cost[i]):
            found[names[i]] = Found(one.form, named, fits.rates[i].tolist(), float(fits.cost[i]))
    return list(found.values())


def _apart(form: Form, other: Form) -> int:
    """In how many respects two forms differ."""
    if "RMSProp" not in (form.optimiser, other.optimiser):
        return 0
    a, b = dict(form.fields), dict(other.fields)
    if not form.optimiser == other.optimiser == "RMSProp":
        a = {k: v for k, v in a.items() if k in ABOUT}
        b = {k: v for k, v in b.items() if k in ABOUT}
    respects: list[tuple[str, ...]] = [
        ("centered",),
        ("bias_correction", "v0"),
        ("momentum_on", "nesterov"),
    ]
    respects += [("lr_in_buffer",), ("weight_decay_form",)]
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
    grid, rows, masks = _starts(evidence), [], []
    owner: list[int] = []
    structures = _structures(form, given)
    if not structures:
        return []
    for k, names in enumerate(structures):
        values = [[evidence.given[x]] if x in evidence.given else grid[x] for x in names]
        points = np.array(list(itertools.product(*values)), float)
        mask = np.array([name in names for name in NAMES])
        some = np.zeros((len(points), len(NAMES)))
        some[:, [NAMES.index(name) for name in names]] = points
        rows.append(some)
        masks.append(np.tile(mask, (len(points), 1)))
        owner += [k] * len(points)
    numbers, active, owners = np.concatenate(rows), np.concatenate(masks), np.array(owner)

    def kept(cost: Floats, most: int) -> list[int]:
        order = np.argsort(cost, kind="stable")
        return [i for k in range(len(structures)) for i in order[owners[order] == k][:most]]

    # Few are worth many corrections.
    fits = fit(form, numbers, active, evidence, 0)
    for most, rounds in ((6, 4), (2, 12)):
        picked = kept(fits.cost, most)
        owners = owners[picked]
        fits = fit(form, fits.numbers[picked], fits.active[picked], evidence, rounds)
    found = []
    for i in kept(fits.cost, 1):
        named = {n: float(fits.numbers[i, j]) for j, n in enumerate(NAMES) if fits.active[i, j]}
        rates = fits.rates[i].tolist()
        if np.isfinite(fits.cost[i]) and np.isfinite(rates).all():
            found.append(Found(form, named, rates, float(fits.cost[i])))
    return found
