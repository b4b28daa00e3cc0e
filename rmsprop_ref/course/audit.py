"""What the audit measures: tuned runs of many settings on the digits, and a two by two design.

The network, the images and their three parts are those of :mod:`.convnet`. A setting is a method
with numbers; its rate is tuned on the validation loss of three seeds, and what is reported are
nine fresh seeds and the test images. All settings have the same budget: 12 epochs, and at first
seven rates, a half-decade apart; where the best is the first or the last, the grid grows.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.course import family
from rmsprop_ref.course.convnet import BATCH, NETWORK, cross_entropy, digits
from rmsprop_ref.course.experiments import Experiment, short, stored

Array = NDArray[Any]
EPOCHS, PER_EPOCH = 12, 33
TUNING, FRESH = (11, 12, 13), tuple(range(200, 209))  # seeds; chapter 15 uses others
TARGETS = (1.0, 0.3, 0.1)  # of the training loss, in nats


def shared(
    theta: Any, g: Any, state: family.State, *, lr: Any, whole: bool, beta: Any = 0.9,
    eps: Any = 1e-8,
) -> tuple[Any, family.State]:  # fmt: skip
    """RMSProp with one v for each tensor, the average over it, or one for the ``whole`` θ."""
    square = g * g
    for place in [slice(None)] if whole else NETWORK.places.values():
        square[..., place] = square[..., place].mean(-1, keepdims=True)
    v = beta * state.get("v", 0.0) + (1 - beta) * square
    return theta - lr * g / (np.sqrt(v) + eps), {"v": v}


METHODS: dict[str, family.Step] = {
    "SGD": family.descent,
    "momentum": family.momentum,
    "RMSProp": family.rmsprop,
    "Adam": family.adam,
    "one v a tensor": partial(shared, whole=False),
    "one v": partial(shared, whole=True),
}


class Runs(NamedTuple):
    """What is left of R runs of T steps.

    Attributes
    ----------
    losses : (R, T)
        Of each batch before its step.
    validation, test : (R,)
        Mean losses after the last step.
    accuracy : (R,)
        On the test images.
    looks : (R, L)
        The validation loss after every third step of the last two epochs, where asked for.
    """

    losses: Array
    validation: Array
    test: Array
    accuracy: Array
    looks: Array


def train(
    method: str, lr: Any, seeds: Any, *, falling: bool = False, look: bool = False,
    epochs: int = EPOCHS, nudge: float = 0.0, **numbers: Any,
) -> Runs:  # fmt: skip
    """Train one network for each pair of a rate and a seed, six at once.

    ``lr`` and each of ``numbers`` are one number or one for each seed. With ``falling`` the rate
    falls linearly to zero. The start is multiplied by 1 + ``nudge``.
    """
    few = 6
    per_run = {k: np.broadcast_to(x, (len(seeds),)) for k, x in {"lr": lr, **numbers}.items()}
    parts = [
        _train(
            METHODS[method],
            seeds[i : i + few],
            {k: x[i : i + few, None] for k, x in per_run.items()},
            falling,
            look,
            epochs,
            nudge,
        )
        for i in range(0, len(seeds), few)
    ]
    return Runs(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _train(
    step: family.Step, seeds: Any, numbers: dict[str, Array], falling: bool, look: bool,
    epochs: int, nudge: float,
) -> Runs:  # fmt: skip
    images, labels = _parts()["train"]
    rngs = [np.random.default_rng(seed) for seed in seeds]
    theta: Any = np.stack([NETWORK.start(rng) for rng in rngs]) * (1 + nudge)
    state: family.State = {}
    total, lr = epochs * PER_EPOCH, numbers["lr"]
    losses, looks = [], []
    with np.errstate(all="ignore"):  # a rate that is too large ends in infinities
        for t in range(total):
            if t % PER_EPOCH == 0:
                order = np.stack([rng.permutation(len(labels)) for rng in rngs])
            at = t % PER_EPOCH * BATCH
            chosen = order[:, at : at + BATCH]
            loss, g = NETWORK.loss_and_gradient(theta, images[chosen], labels[chosen])
            now = {**numbers, "lr": lr * (1 - t / total)} if falling else numbers
            theta, state = step(theta, g, state, **now)
            losses.append(loss)
            if look and t >= total - 2 * PER_EPOCH and t % 3 == 2:
                looks.append(_evaluate(theta, "validation")[0])
        validation, _ = _evaluate(theta, "validation")
        test, accuracy = _evaluate(theta, "test")
    seen = np.array(looks).T if look else np.zeros((len(rngs), 0))
    return Runs(np.array(losses).T, validation, test, accuracy, seen)


def _parts() -> dict[str, tuple[Array, Array]]:
    if not _CUT:
        _CUT.update({name: (NETWORK.patches(x), y) for name, (x, y) in digits().items()})
    return _CUT


_CUT: dict[str, tuple[Array, Array]] = {}


def _evaluate(theta: Array, part: str) -> tuple[Array, Array]:
    """Mean loss and share recognised, of each run."""
    x, labels = _parts()[part]
    scores, _ = NETWORK.forward(theta, x[None])
    truth = np.broadcast_to(labels, scores.shape[:2])
    return cross_entropy(scores, truth)[0].mean(1), (scores.argmax(-1) == truth).mean(1)


def steps_to(losses: Array, target: float) -> Array:
    """Steps until the mean loss of an epoch's batches is below the target; inf if never, (R,)."""
    sums = np.cumsum(np.pad(losses, ((0, 0), (1, 0))), axis=1)
    below = (sums[:, PER_EPOCH:] - sums[:, :-PER_EPOCH]) / PER_EPOCH < target
    return np.where(below.any(1), below.argmax(1) + PER_EPOCH, np.inf)


# The exponents of the first rate tried; six more follow, in steps of a half.
_FIRST = {"SGD": -2.0, "momentum": -3.0, "RMSProp": -4.0, "Adam": -4.0}
_FIRST |= {"one v a tensor": -4.0, "one v": -3.5}


def setting(method: str, falling: bool, **numbers: Any) -> dict[str, Any]:
    """Tune a setting, then run it afresh.

    Returns
    -------
    dict
        "rates" tried; for each, the "tuning" validation losses of three seeds; the "best" rate; and
        of nine fresh runs with it the "test" losses, "accuracy", "train" (the mean loss of the last
        epoch's batches) and "rises" (the share of looks, three steps apart in the last two epochs,
        at which the validation loss rose) and "wobble" (the root mean square of the change of its
        logarithm). "targets": for each of TARGETS the rate at which three seeds get there first,
        in the median, and the steps that nine fresh seeds take with it (None: never).
    """
    k0 = round(2 * (_FIRST[method] + max(0.0, np.log10(numbers.get("eps", 0.0) + 1e-9) + 3)))
    k1 = k0 + 6
    found: dict[float, Runs] = {}

    def medians(value: Any) -> list[float]:
        return [float(np.median(np.nan_to_num(value(r), nan=np.inf))) for r in found.values()]

    while True:
        for k in range(k0, k1 + 1):
            lr = float(f"{10 ** (k / 2):.4g}")
            if lr not in found:
                found[lr] = train(method, lr, TUNING, falling=falling, **numbers)
        found = dict(sorted(found.items()))
        place = int(np.argmin(medians(lambda r: r.validation)))
        if 0 < place < len(found) - 1:
            break
        k0, k1 = (k0 - 1, k1) if place == 0 else (k0, k1 + 1)
    rates = list(found)

    fresh: dict[float, Runs] = {}

    def again(lr: float) -> Runs:
        if lr not in fresh:
            fresh[lr] = train(method, lr, FRESH, falling=falling, look=True, **numbers)
        return fresh[lr]

    runs = again(rates[place])
    moves = np.diff(np.log(runs.looks), axis=1)
    answer = {
        "rates": rates,
        "tuning": [short(r.validation) for r in found.values()],
        "best": rates[place],
        "test": short(runs.test),
        "accuracy": short(runs.accuracy),
        "train": short(runs.losses[:, -PER_EPOCH:].mean(1)),
        "rises": short((moves > 0).mean(1)),
        "wobble": short(np.sqrt((moves**2).mean(1))),
    }
    if not numbers and not falling and method in MAIN:
        targets = []
        for target in TARGETS:
            lr = rates[int(np.argmin(medians(lambda r, t=target: steps_to(r.losses, t))))]
            targets.append({"lr": lr, "steps": short(steps_to(again(lr).losses, target))})
        answer["targets"] = targets
    return answer


MAIN = ("SGD", "momentum", "RMSProp", "Adam")
DRAWN = 40  # settings drawn for a random search

# What a search draws, each log-uniformly: η from the four decades around a library's default.
_RATE = {"SGD": -2, "momentum": -2, "RMSProp": -3, "Adam": -3}
_MORE: dict[str, dict[str, tuple[float, float]]] = {
    "momentum": {"mu": (-2.0, 0.0)},
    "RMSProp": {"beta": (-3.0, -0.3), "eps": (-10.0, 0.0)},
    "Adam": {"beta1": (-2.0, 0.0), "beta2": (-4.0, -1.0), "eps": (-10.0, 0.0)},
}


def search(method: str, free: bool, seed: int) -> dict[str, Any]:
    """DRAWN settings drawn at random: the validation loss of each, the mean of two seeds.

    η is drawn from the four decades around a library's default; with ``free`` so are the others:
    1 - β and ε for RMSProp (1e-3 to 0.5, 1e-10 to 1), 1 - μ for momentum (0.01 to 1), and
    1 - β1, 1 - β2 and ε for Adam (0.01 to 1, 1e-4 to 0.1, 1e-10 to 1), all log-uniformly.
    """
    rng = np.random.default_rng(seed)
    lr = 10 ** (_RATE[method] + rng.uniform(-2, 2, DRAWN))
    numbers: dict[str, Any] = {}
    for name, (low, high) in (_MORE[method] if free else {}).items():
        drawn = 10 ** rng.uniform(low, high, DRAWN)
        numbers[name] = drawn if name == "eps" else 1 - drawn
    twice: dict[str, Any] = {name: np.repeat(x, 2) for name, x in numbers.items()}
    runs = train(method, np.repeat(lr, 2), TUNING[:2] * DRAWN, **twice)
    losses = runs.validation.reshape(DRAWN, 2).mean(1)
    return {"lr": short(lr), "loss": short(losses)} | {k: short(x) for k, x in numbers.items()}


DEFAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 1e-2}),
    "momentum": ("momentum", {"lr": 1e-2}),
    "RMSProp, PyTorch": ("RMSProp", {"lr": 1e-2, "beta": 0.99, "eps": 1e-8}),
    "RMSProp, Keras": ("RMSProp", {"lr": 1e-3, "beta": 0.9, "eps": 3.2e-4}),
    "Adam": ("Adam", {"lr": 1e-3}),
}


def default(name: str) -> dict[str, Any]:
    """Test losses of the fresh seeds with a library's defaults. Keras's ε is √1e-7, outside."""
    method, numbers = DEFAULTS[name]
    return {"test": short(train(method, seeds=FRESH, **numbers).test)}


# --- Convex or not, scaled well or badly ----------------------------------------------------------

HIDDEN, QUICK = 16, 300


def two_by_two(
    method: str, convex: bool, well: bool, steps: int = QUICK, nudge: float = 0.0
) -> dict[str, Any]:
    """Training losses on the digits' pixels, the rate tuned, on one of four problems.

    Convex is softmax regression, started at 0; not convex a layer of 16 tanh before it. Scaled
    well, pixels are from 0 to 1; badly, each has a unit of its own, 1/10 to 10 times that, and its
    weights start as many times larger or smaller: the start is the same function.
    Eleven rates or more, half a decade apart, three tuning seeds, nine fresh ones.
    """
    images, labels = digits()["train"]
    x = images.reshape(len(images), -1)
    unit = 10 ** np.random.default_rng(17).uniform(-1, 1, x.shape[1])
    x = x if well else x * unit

    def final(rates: list[float], seeds: tuple[int, ...]) -> Array:
        rngs = [np.random.default_rng(seed) for seed in seeds]
        theta = np.stack([_start(rng, convex) for rng in rngs])
        if not well:
            first = theta[:, : x.shape[1] * (10 if convex else HIDDEN)]
            first /= np.repeat(unit, 10 if convex else HIDDEN)
        theta = np.tile(theta * (1 + nudge), (len(rates), 1))
        lr = np.repeat(rates, len(seeds))[:, None]
        state: family.State = {}
        with np.errstate(all="ignore"):
            for _ in range(steps):
                chosen = np.stack([rng.integers(0, len(x), BATCH) for rng in rngs])
                chosen = np.tile(chosen, (len(rates), 1))
                _, g = _shallow(theta, x[chosen], labels[chosen], convex)
                theta, state = METHODS[method](theta, g, state, lr=lr)
            loss = [_shallow(row[None], x[None], labels[None], convex)[0][0] for row in theta]
        return np.array(loss).reshape(len(rates), len(seeds))

    k0, n = round(2 * (_FIRST[method] - 1)), 11
    while True:
        rates = [float(f"{10 ** (k / 2):.4g}") for k in range(k0, k0 + n)]
        tuning = np.median(np.nan_to_num(final(rates, TUNING), nan=np.inf), axis=1)
        place = int(np.argmin(tuning))
        if 0 < place < n - 1:
            break
        k0, n = (k0 - 2, n + 2) if place == 0 else (k0, n + 2)
    return {
        "rates": rates,
        "tuning": short(tuning),
        "best": rates[place],
        "train": short(final([rates[place]], FRESH)[0]),
    }


def _start(rng: np.random.Generator, convex: bool) -> Array:
    if convex:
        return np.zeros(64 * 10 + 10)
    w = rng.normal(0, 1 / 8, 64 * HIDDEN), np.zeros(HIDDEN), rng.normal(0, 0.25, HIDDEN * 10)
    return np.concatenate([*w, np.zeros(10)])


def _shallow(theta: Array, x: Array, labels: Array, convex: bool) -> tuple[Array, Array]:
    """Loss (R,) and gradient (R, n) for x (R, B, 64) and labels (R, B)."""
    runs, batch = labels.shape
    inner, w1 = x, theta[:, :0]
    if not convex:
        ends = np.cumsum([64 * HIDDEN, HIDDEN])
        w1, b1, theta = np.split(theta, ends, axis=1)
        inner = np.tanh(x @ w1.reshape(runs, 64, HIDDEN) + b1[:, None])
    width = inner.shape[-1]
    w2 = theta[:, : width * 10].reshape(runs, width, 10)
    losses, chance = cross_entropy(inner @ w2 + theta[:, None, width * 10 :], labels)
    np.put_along_axis(
        chance, labels[..., None], np.take_along_axis(chance, labels[..., None], 2) - 1, 2
    )
    out = chance / batch
    parts = [(inner.swapaxes(1, 2) @ out).reshape(runs, -1), out.sum(1)]
    if not convex:
        back = (out @ w2.swapaxes(1, 2)) * (1 - inner**2)
        parts = [(x.swapaxes(1, 2) @ back).reshape(runs, -1), back.sum(1), *parts]
    return losses.mean(1), np.concatenate(parts, axis=1)


# --- Gradients that vanish with depth, and with time ----------------------------------------------


def vanishing(task: str, cell: str, length: int, steps: int, method: str) -> dict[str, Any]:
    """Final losses of a network of :mod:`.recurrent`: nine rates, three seeds; then nine fresh.

    "tuning" is None where the median is above chance: of such runs rounding decides.
    """
    from rmsprop_ref.course import recurrent

    rates = [float(f"{10 ** (_FIRST[method] + k / 2):.4g}") for k in range(9)]
    given = task, cell, length, steps, method
    tuning = np.median(recurrent.final(recurrent.train(*given, rates, TUNING)), axis=1)
    best = rates[int(np.argmin(tuning))]
    fresh = recurrent.final(recurrent.train(*given, [best], FRESH))[0]
    learned = np.where(tuning < CHANCE[task], tuning, np.inf)
    return {"rates": rates, "tuning": short(learned), "best": best, "final": short(fresh)}


CHANCE = {"quadrants": float(np.log(2)), "recall": float(np.log(4))}  # 2 and 4 answers, in nats


def _vanishing_jobs() -> list[dict[str, Any]]:
    cases = [
        ("quadrants", "sigmoid", 2, 2000),
        ("quadrants", "sigmoid", 4, 2000),
        ("recall", "tanh", 10, 1000),
        ("recall", "tanh", 40, 1000),
    ]
    names = "task", "cell", "length", "steps", "method"
    return [dict(zip(names, (*case, m), strict=True)) for case in cases for m in MAIN]


# --- The experiment -------------------------------------------------------------------------------

BETAS, EPSILONS = (0.0, 0.5, 0.97, 0.99, 0.997, 0.999), (1e-12, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_KINDS: dict[str, Any] = {
    "setting": setting,
    "search": search,
    "default": default,
    "2 by 2": two_by_two,
}


def run(what: str, **job: Any) -> dict[str, Any]:
    """A job of the experiment."""
    answer: dict[str, Any] = _KINDS[what](**job)
    return answer


def _jobs() -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = [
        {"what": "2 by 2", "method": m, "convex": convex, "well": well}
        for convex in (True, False)
        for well in (True, False)
        for m in MAIN
    ]
    plain = {"what": "setting", "falling": False}
    jobs += [{**plain, "method": m} for m in METHODS]
    jobs += [{**plain, "method": m, "falling": True} for m in MAIN]
    jobs += [{**plain, "method": "RMSProp", "beta": b} for b in BETAS]
    jobs += [{**plain, "method": "RMSProp", "eps": e} for e in EPSILONS]
    jobs += [{"what": "default", "name": name} for name in DEFAULTS]
    jobs += [{"what": "search", "method": m, "free": False, "seed": 17} for m in MAIN]
    jobs += [{"what": "search", "method": m, "free": True, "seed": 18} for m in MAIN if m in _MORE]
    return jobs


def _sample() -> list[int]:
    return [i for i, job in enumerate(_jobs()) if job.get("name") in ("SGD", "Adam")]


def found(what: str, **wanted: Any) -> dict[str, Any]:
    """The stored result of the one job that has just these arguments.

    Raises
    ------
    KeyError
        When there is none.
    """
    for job, result in stored("audit"):
        if job == {"what": what, **wanted}:
            return result
    raise KeyError(f"no job {what!r} with {wanted}")


def result(method: str, falling: bool = False, **numbers: Any) -> dict[str, Any]:
    """The stored result of a setting."""
    return found("setting", falling=falling, method=method, **numbers)


# --- What the chapter makes of the results --------------------------------------------------------


def numbers(values: Any) -> Array:
    """Stored values as an array, a failure (None) as inf."""
    return np.array([np.inf if x is None else x for x in values], float)


def paired(ours: Any, theirs: Any) -> tuple[int, float]:
    """On how many seeds ``ours`` is the smaller, and the median of ours / theirs over seeds."""
    a, b = numbers(ours), numbers(theirs)
    return int((a < b).sum()), float(np.median(a / b))


def best_after(losses: Any, trials: Any) -> Array:
    """The median, over searches, of the lowest loss among so many settings drawn from ``losses``.

    Each trial draws one of the n losses with equal chance. All k draws lie above the i lowest with
    the probability (1 - i/n)^k, so the median is the i-th lowest with the first i at which that is
    at most a half.
    """
    ordered = np.sort(numbers(losses))
    k = np.asarray(trials)[:, None]
    above = (1 - np.arange(1, len(ordered) + 1) / len(ordered)) ** k
    return np.asarray(ordered[(above <= 0.5).argmax(1)])


def width(tried: dict[str, Any], within: float) -> float:
    """Decades of η in which the median tuning loss is at most ``within`` times the lowest.

    Between the rates that were tried the logarithm of the loss is interpolated linearly.
    """
    eta = np.log10(tried["rates"])
    losses = np.array([np.median(numbers(row)) for row in tried["tuning"]])
    fine = np.linspace(eta[0], eta[-1], 4001)
    level = np.interp(fine, eta, np.log(np.minimum(losses, 1e3)))
    return float((level <= level.min() + np.log(within)).mean() * (eta[-1] - eta[0]))


# Multiplying θ at the start by 1 + 1e-15 changes the results of the sample by 1e-14 at most, and
# test losses with the best rates as little; six digits are stored, so their last may turn. It
# changes losses with rates beyond the best by more, where runs nearly diverge by a half: there a
# machine of another kind finds other numbers, and the sample has none of those.
EXPERIMENTS = {
    "audit": Experiment(run, _jobs(), 2e-5, tuple(_sample())),
    "audit_vanishing": Experiment(vanishing, _vanishing_jobs(), 2e-5, (0,)),
}
