"""Two recurrent networks, written out with their gradients, and the sequences that they learn.

All parameters lie in one vector θ; :meth:`Network.views` names its parts. A leading axis of θ is
the run: one call computes as many networks side by side as θ has rows, each on its own batch.

Shapes, throughout: R runs, T steps of time, B sequences a batch, I inputs, H hidden units, O
outputs. An input x is (R, T, B, I), a target y is (R, B, O), or (R, T, B, O) where the network
answers at every step. R may be 1 in x and y: then all runs see the same batch.

References
----------
S. Hochreiter, J. Schmidhuber (1997). Long short-term memory. Neural Computation 9(8): the LSTM and
the adding problem. F. Gers, J. Schmidhuber, F. Cummins (2000). Learning to forget. Neural
Computation 12(10): the forget gate.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop_ref.course import family, plots
from rmsprop_ref.course.experiments import Experiment, stored
from rmsprop_ref.course.runs import Array


class Through(NamedTuple):
    """One pass forward and back.

    Attributes
    ----------
    loss : (R,)
        The mean over the batch.
    slope : (R, n)
        The gradient of the loss, in θ's order.
    seen : (R, T, B, H)
        The hidden state before each step of time, h at t-1.
    dz : (R, T, B, G)
        The derivatives of the loss by the pre-activations of each step; G is H, or 4H in the LSTM.
    dh : (R, T, B, H)
        The derivatives of the loss by the hidden state after each step.
    """

    loss: Array
    slope: Array
    seen: Array
    dz: Array
    dh: Array


@dataclass(frozen=True)
class Network:
    """A recurrent layer and a linear one that answers.

    Attributes
    ----------
    cell : "tanh" or "lstm"
        h ← tanh(hW + xU + b), or the LSTM, whose gates stand in the order i, f, o, g.
    inputs, hidden, outputs : int
        I, H and O.
    classes : bool
        Whether the outputs are logits: the loss is the cross-entropy in nats, y is one-hot.
        Otherwise it is the mean squared error.
    always : bool
        Whether the network answers after every step of time, or only after the last.
    """

    cell: str
    inputs: int
    hidden: int
    outputs: int
    classes: bool = False
    always: bool = False

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """The parts of θ in their order: recurrent, input, bias; and the answer's two."""
        gates = self.hidden * (4 if self.cell == "lstm" else 1)
        return {
            "W": (self.hidden, gates),
            "U": (self.inputs, gates),
            "b": (1, gates),
            "V": (self.hidden, self.outputs),
            "c": (1, self.outputs),
        }

    @property
    def size(self) -> int:
        """How many parameters there are: n."""
        return sum(a * b for a, b in self.shapes.values())

    def views(self, theta: Array) -> dict[str, Array]:
        """The parts of θ (R, n) under their names, each (R, rows, columns): views, not copies."""
        parts, at = {}, 0
        for name, (rows, columns) in self.shapes.items():
            part = theta[..., at : at + rows * columns]
            parts[name] = part.reshape(*theta.shape[:-1], rows, columns)
            at += rows * columns
        return parts

    def start(self, seeds: Sequence[int], scale: float = 1.0) -> NDArray[np.float64]:
        """One random start per seed, (len(seeds), n).

        Weights are normal with variance 1/(their number of inputs), those of W times ``scale``²;
        biases are 0, that of the forget gate 1 (Gers et al. 2000).
        """
        theta = np.zeros((len(seeds), self.size))
        for row, seed in zip(theta, seeds, strict=True):
            rng, part = np.random.default_rng(seed), self.views(row)
            for name, factor in (("W", scale), ("U", 1.0), ("V", 1.0)):
                shape = self.shapes[name]
                part[name][:] = factor / math.sqrt(shape[0]) * rng.standard_normal(shape)
            if self.cell == "lstm":
                part["b"][:, self.hidden : 2 * self.hidden] = 1.0
        return theta

    def loss_and_gradient(self, theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        """The loss (R,) and its gradient (R, n)."""
        back = self.through(theta, x, y)
        return back.loss, back.slope

    def through(self, theta: Array, x: Array, y: Array) -> Through:
        """Forward through time and back (Werbos 1990)."""
        p = self.views(theta)
        runs, (steps, batch) = len(theta), x.shape[1:3]
        x = np.broadcast_to(x, (runs, *x.shape[1:]))
        inputs = x.reshape(runs, steps * batch, self.inputs)
        z = (inputs @ p["U"] + p["b"]).reshape(runs, steps, batch, -1)
        cell = _lstm if self.cell == "lstm" else _tanh
        h, backward = cell(z, p["W"])

        answered = h if self.always else h[:, -1:]
        rows = answered.reshape(runs, -1, self.hidden)
        out = rows @ p["V"] + p["c"]
        target = np.broadcast_to(y, (runs, *y.shape[1:])).reshape(out.shape)
        loss, d_out = (_cross_entropy if self.classes else _squared)(out, target)

        direct = np.zeros_like(h)
        d_rows = (d_out @ p["V"].swapaxes(-1, -2)).reshape(answered.shape)
        direct[:, -answered.shape[1] :] = d_rows
        dz, dh = backward(direct)

        seen = np.zeros_like(h)
        seen[:, 1:] = h[:, :-1]
        flat = dz.reshape(runs, steps * batch, -1)
        slopes = (
            seen.reshape(runs, steps * batch, -1).swapaxes(-1, -2) @ flat,
            inputs.swapaxes(-1, -2) @ flat,
            flat.sum(1),
            rows.swapaxes(-1, -2) @ d_out,
            d_out.sum(1),
        )
        slope = np.concatenate([s.reshape(runs, -1) for s in slopes], axis=-1)
        return Through(loss, slope, seen, dz, dh)


def _tanh(z: Array, w: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """The states h (R, T, B, H) from what the inputs bring, z; and the way back."""
    h = np.empty_like(z)
    for t in range(z.shape[1]):
        h[:, t] = np.tanh(z[:, t] + h[:, t - 1] @ w if t else z[:, t])

    def backward(direct: Array) -> tuple[Array, Array]:
        dz, dh, back = np.empty_like(h), direct, w.swapaxes(-1, -2)
        for t in reversed(range(h.shape[1])):
            dz[:, t] = dh[:, t] * (1 - h[:, t] ** 2)
            if t:
                dh[:, t - 1] += dz[:, t] @ back
        return dz, dh

    return h, backward


def _lstm(z: Array, w: Array) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """The same for the LSTM: c ← f c + i g, h ← o tanh(c); z holds i, f, o and g."""
    runs, steps, batch, gates = z.shape
    n = gates // 4
    h, c, squashed = (np.empty((runs, steps, batch, n)) for _ in range(3))
    gate = np.empty_like(z)
    nothing = np.zeros((runs, batch, n))
    for t in range(steps):
        now = gate[:, t]
        now[:] = z[:, t] + h[:, t - 1] @ w if t else z[:, t]
        now[..., : 3 * n] *= 0.5  # σ(z) = (1 + tanh(z/2))/2, which cannot overflow
        np.tanh(now, out=now)
        now[..., : 3 * n] = 0.5 + 0.5 * now[..., : 3 * n]
        i, f, o, g = (now[..., k * n : (k + 1) * n] for k in range(4))
        c[:, t] = f * (c[:, t - 1] if t else nothing) + i * g
        squashed[:, t] = np.tanh(c[:, t])
        h[:, t] = o * squashed[:, t]

    def backward(direct: Array) -> tuple[Array, Array]:
        dz, dh, back = np.empty_like(z), direct, w.swapaxes(-1, -2)
        dc = nothing
        for t in reversed(range(steps)):
            i, f, o, g = (gate[:, t, :, k * n : (k + 1) * n] for k in range(4))
            before = c[:, t - 1] if t else nothing
            dc = dc + dh[:, t] * o * (1 - squashed[:, t] ** 2)
            dz[:, t, :, :n] = dc * g * i * (1 - i)
            dz[:, t, :, n : 2 * n] = dc * before * f * (1 - f)
            dz[:, t, :, 2 * n : 3 * n] = dh[:, t] * squashed[:, t] * o * (1 - o)
            dz[:, t, :, 3 * n :] = dc * i * (1 - g * g)
            dc = dc * f
            if t:
                dh[:, t - 1] += dz[:, t] @ back
        return dz, dh

    return h, backward


def _squared(out: Array, y: Array) -> tuple[Array, Array]:
    """The mean squared error (R,) and its derivatives by the outputs (R, rows, O)."""
    error = out - y
    return (error**2).mean((1, 2)), 2 * error / (error.shape[1] * error.shape[2])


def _cross_entropy(out: Array, y: Array) -> tuple[Array, Array]:
    """The mean cross-entropy in nats (R,) and its derivatives by the logits (R, rows, O)."""
    out = out - out.max(-1, keepdims=True)
    odds = np.exp(out)
    total = odds.sum(-1, keepdims=True)
    loss = (np.log(total[..., 0]) - (out * y).sum(-1)).mean(1)
    return loss, (odds / total - y) / out.shape[1]


# --- The sequences ------------------------------------------------------------------------------


def adding(rng: np.random.Generator, batch: int, length: int) -> tuple[Array, Array]:
    """The adding problem: x (T, B, 2) and y (B, 1).

    At each step a number, uniform in [0, 1], and a mark. One number in the first half is marked and
    one in the second; y is their sum. (Hochreiter & Schmidhuber 1997 have numbers in [-1, 1], marks
    of another code and a target scaled to fit; this form is the one that later work uses.)
    """
    x = np.zeros((length, batch, 2))
    x[..., 0] = rng.random((length, batch))
    rows, half = np.arange(batch), length // 2
    first, second = rng.integers(0, half, batch), rng.integers(half, length, batch)
    x[first, rows, 1] = x[second, rows, 1] = 1.0
    return x, (x[first, rows, 0] + x[second, rows, 0])[:, None]


def recall(rng: np.random.Generator, batch: int, length: int) -> tuple[Array, Array]:
    """Delayed recall: x (T, B, 5) and y (B, 4), one-hot.

    The first step shows one of four symbols; on a fifth channel there is noise of variance 1 at
    every step. The answer, after the last step, is the symbol.
    """
    x = np.zeros((length, batch, 5))
    y = np.eye(4)[rng.integers(0, 4, batch)]
    x[0, :, :4] = y
    x[..., 4] = rng.standard_normal((length, batch))
    return x, y


def zen() -> str:
    """The Zen of Python (Tim Peters, PEP 20, in the public domain): what ``import this`` prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    table = {c: this.d.get(c, c) for c in this.s}
    return "".join(table[c] for c in this.s)


def text(rng: np.random.Generator, batch: int, length: int) -> tuple[Array, Array]:
    """Windows of the Zen: x (T, B, K) one-hot characters, y (T, B, K) those that follow them."""
    whole = zen()
    letters = sorted(set(whole))
    codes = np.array([letters.index(c) for c in whole])
    starts = rng.integers(0, len(codes) - length, batch)
    window = codes[starts + np.arange(length + 1)[:, None]]
    one_hot = np.eye(len(letters))[window]
    return one_hot[:-1], one_hot[1:]


TASKS: dict[str, Callable[[np.random.Generator, int, int], tuple[Array, Array]]] = {
    "adding": adding,
    "recall": recall,
    "text": text,
}


def network(task: str, cell: str, hidden: int) -> Network:
    """The network that fits a task."""
    if task == "adding":
        return Network(cell, 2, hidden, 1)
    if task == "recall":
        return Network(cell, 5, hidden, 4, classes=True)
    letters = len(set(zen()))
    return Network(cell, letters, hidden, letters, classes=True, always=True)


# --- The other way to be deep -------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """``depth`` layers of sigmoids, one above the other, and a linear one that answers.

    Each layer has weights of its own: nothing is summed over layers as an RNN's gradient is over
    time. The input is x (R, B, 2), the target y (R, B, 2) one-hot.
    """

    depth: int
    hidden: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Weights and bias of each layer, from the input up."""
        widths = [2] + [self.hidden] * self.depth + [2]
        pairs = itertools.pairwise(widths)
        return [shape for below, above in pairs for shape in ((below, above), (1, above))]

    @property
    def size(self) -> int:
        """How many parameters there are: n."""
        return sum(a * b for a, b in self.shapes)

    def views(self, theta: Array) -> list[Array]:
        """The parts of θ (R, n) in the order of ``shapes``: views, not copies."""
        ends = np.cumsum([a * b for a, b in self.shapes])
        parts = np.split(theta, ends[:-1], axis=-1)
        return [p.reshape(*theta.shape[:-1], *s) for p, s in zip(parts, self.shapes, strict=True)]

    def start(self, seeds: Sequence[int]) -> NDArray[np.float64]:
        """One random start per seed: weights of variance 1/(number of inputs), biases 0."""
        theta = np.zeros((len(seeds), self.size))
        for row, seed in zip(theta, seeds, strict=True):
            rng = np.random.default_rng(seed)
            for part in self.views(row)[::2]:
                part[:] = rng.standard_normal(part.shape) / math.sqrt(part.shape[0])
        return theta

    def loss_and_gradient(self, theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        """The cross-entropy (R,) and its gradient (R, n)."""
        parts = self.views(theta)
        layers = list(zip(parts[::2], parts[1::2], strict=True))
        a = [np.broadcast_to(x, (len(theta), *x.shape[1:]))]
        for w, b in layers[:-1]:
            a.append(0.5 + 0.5 * np.tanh((a[-1] @ w + b) / 2))
        w, b = layers[-1]
        loss, dz = _cross_entropy(a[-1] @ w + b, y)
        slopes = []
        for (w, _), below in zip(reversed(layers), reversed(a), strict=True):
            slopes += [dz.sum(1), (below.swapaxes(-1, -2) @ dz).reshape(len(theta), -1)]
            dz = (dz @ w.swapaxes(-1, -2)) * (below * (1 - below))
        return loss, np.concatenate(slopes[::-1], axis=-1)


def quadrants(rng: np.random.Generator, batch: int, length: int) -> tuple[Array, Array]:
    """Points of the square [-1, 1]² and the sign of x₁x₂, one-hot; ``length`` has no effect."""
    x = rng.uniform(-1, 1, (batch, 2))
    return x, np.eye(2)[(x[:, 0] * x[:, 1] > 0).astype(int)]


# --- What to expect, and what to look at ---------------------------------------------------------


def factor_backwards(scale: float) -> float:
    """By what factor the derivatives by h change in one step back through a wide tanh layer.

    The recurrent weights have the variance scale²/H, the input is that of :func:`recall` after its
    first step: noise ξ of variance 1 through weights of variance 1/5. A unit's pre-activation is
    then normal with variance q + ξ²/5, where q = scale² E tanh²; what goes back is multiplied by W
    and by tanh', so its mean square by scale² E tanh'². Exact for H → ∞ if what goes back is
    independent of the weights; both expectations are Gauss-Hermite sums.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()

    def mean(function: Callable[[Array], Array], q: float) -> float:
        z = np.sqrt(q + nodes[:, None] ** 2 / 5) * nodes  # (noise, units)
        return float(weights @ function(z) @ weights)

    q = 0.2
    for _ in range(200):
        q = scale**2 * mean(lambda z: np.tanh(z) ** 2, q)
    return scale * math.sqrt(mean(lambda z: (1 - np.tanh(z) ** 2) ** 2, q))


def by_lag(back: Through) -> Array:
    """What each step of time adds to the gradient of W: (R, T, H, G), lag 0, the last step, first.

    For a network that answers once, after the last step.
    """
    return (back.seen.swapaxes(-1, -2) @ back.dz)[:, ::-1]


# --- The experiment -----------------------------------------------------------------------------


def clipped(theta: Any, g: Any, state: family.State, *, lr: Any) -> tuple[Any, family.State]:
    """SGD whose gradient, of one run, is scaled down to the norm 1 where it is longer."""
    norm = np.sqrt((g * g).sum(-1, keepdims=True))
    return theta - lr * g / np.maximum(norm, 1.0), state


# Six learning rates each, a factor √10 apart, of which this is the lowest.
METHODS: dict[str, tuple[family.Step, float]] = {
    "SGD": (family.descent, 3e-3),
    "SGD, clipped": (clipped, 1e-2),
    "momentum": (family.momentum, 1e-3),
    "AdaGrad": (family.adagrad, 3e-3),
    "RMSProp": (family.rmsprop, 1e-4),
    "Adam": (family.adam, 3e-4),
}
# RMSProp, whose rate is tuned, for a part of the weights, those of the symbol or all but these; SGD
# for the others, at the rate that its own tuning gives on recall after 20 steps.
SGD_RATE = 3e-3 * math.sqrt(10)


def _by_part(theta: Any, g: Any, state: family.State, *, lr: Any, cue: bool) -> Any:
    part = np.zeros((1, theta.shape[-1]), dtype=bool)
    network("recall", "tanh", HIDDEN).views(part)["U"][:, :4] = True
    moved, state = family.rmsprop(theta, g, state, lr=lr)
    return np.where(part == cue, moved, theta - SGD_RATE * g), state


PARTS: dict[str, tuple[family.Step, float]] = {
    "RMSProp for the symbol": (partial(_by_part, cue=True), 1e-4),
    "RMSProp for the rest": (partial(_by_part, cue=False), 1e-4),
}
# The ladders start higher where trials showed the best rate at their upper end.
RAISED = {
    "quadrants": {"SGD": 30, "SGD, clipped": 10, "momentum": 10, "AdaGrad": 3, "RMSProp": 3},
    "text": {"SGD": 30, "SGD, clipped": 10, "momentum": 30, "AdaGrad": 1, "RMSProp": 3},
}
TUNING, FRESH = range(3), range(100, 109)  # seeds
BATCH, HIDDEN = 16, 16


def ladder(method: str, task: str) -> NDArray[np.float64]:
    """The six learning rates that are tried for a method."""
    lowest = (METHODS | PARTS)[method][1] * RAISED.get(task, {}).get(method, 1)
    return np.asarray(lowest * 10 ** (np.arange(6) / 2))


def train(
    task: str,
    cell: str,
    length: int,
    steps: int,
    method: str,
    rates: Any,
    seeds: Sequence[int],
    nudge: float = 0.0,
) -> Array:
    """Train one network per rate and seed, (rates, seeds, steps): the loss before each step.

    A seed gives the same start and the same batches to every method and rate. ``nudge`` multiplies
    the start by 1 + nudge: what changes, rounding may change too.
    """
    rates = np.asarray(rates, float)
    if cell == "sigmoid":
        net: Any = Stack(length, HIDDEN)
        draw: Any = quadrants
    else:
        net, draw = network(task, cell, HIDDEN), TASKS[task]
    theta = np.tile(net.start(seeds) * (1 + nudge), (len(rates), 1))
    lr = np.repeat(rates, len(seeds))[:, None]
    step = (METHODS | PARTS)[method][0]
    state: family.State = {}
    rngs = [np.random.default_rng([seed, length]) for seed in seeds]
    losses = np.empty((len(theta), steps))
    with np.errstate(all="ignore"):  # some rates diverge, and may
        for t in range(steps):
            drawn = [draw(rng, BATCH, length) for rng in rngs]
            x, y = (np.stack([d[i] for d in drawn]) for i in (0, 1))
            x, y = (np.concatenate([a] * len(rates)) for a in (x, y))
            losses[:, t], slope = net.loss_and_gradient(theta, x, y)
            theta, state = step(theta, slope, state, lr=lr)
    return losses.reshape(len(rates), len(seeds), steps)


def final(losses: Array) -> Array:
    """The mean loss of the last twentieth of the steps; infinite where it is not finite."""
    last = losses[..., -(losses.shape[-1] // 20) :].mean(-1)
    return np.where(np.isfinite(last), last, np.inf)


def tune_and_run(task: str, cell: str, length: int, steps: int, method: str) -> dict[str, Any]:
    """Choose a learning rate on three seeds, and train with it on nine others.

    Returns
    -------
    dict
        ``rates`` tried, their ``tuning`` losses (the mean of three seeds' final losses; None where
        one diverged), the ``best`` rate, the ``final`` losses of the nine runs (None likewise), and
        the ``curve``: the median loss over the runs in each of 20 equal stretches.
    """
    rates = ladder(method, task)
    tuning = final(train(task, cell, length, steps, method, rates, TUNING)).mean(-1)
    best = float(rates[tuning.argmin()])
    losses = train(task, cell, length, steps, method, [best], FRESH)[0]
    curve = np.median(losses.reshape(len(FRESH), 20, -1).mean(-1), axis=0)

    def numbers(values: Array) -> list[float | None]:
        return [float(f"{v:.6g}") if np.isfinite(v) else None for v in values]

    return {
        "rates": numbers(rates),
        "tuning": numbers(tuning),
        "best": float(f"{best:.6g}"),
        "final": numbers(final(losses)),
        "curve": numbers(curve),
    }


def _jobs() -> list[dict[str, Any]]:
    settings = [
        *(("adding", "tanh", length, 2000) for length in (10, 20, 40)),
        ("adding", "lstm", 40, 1000),
        *(("recall", "tanh", length, 1000) for length in (10, 20, 40)),
        *(("quadrants", "sigmoid", depth, 2000) for depth in (1, 2, 4, 6)),
        ("text", "lstm", 20, 600),
    ]
    names = ("task", "cell", "length", "steps", "method")
    rows = [(*setting, method) for setting in settings for method in METHODS]
    rows += [("recall", "tanh", 20, 1000, method) for method in PARTS]
    return [dict(zip(names, row, strict=True)) for row in rows]


# One part in 10¹⁵ more in the start changes the results of the sampled jobs by less than 3e-15, and
# they are stored with six digits. Elsewhere training amplifies rounding: where a rate is near
# divergence the same nudge changes a loss by up to 60 %, so those jobs are no sample.
EXPERIMENTS = {
    "sequences": Experiment(
        tune_and_run,
        _jobs(),
        within=1e-5,
        sample=tuple(
            i
            for i, job in enumerate(_jobs())
            if (job["cell"], job["length"]) == ("sigmoid", 1)
            and job["method"] in {"AdaGrad", "RMSProp"}
        ),
    )
}


def results(task: str, cell: str, length: int) -> dict[str, Array]:
    """The final losses of the nine fresh runs by method, from the stored experiment."""
    setting = {"task": task, "cell": cell, "length": length}
    return {
        job["method"]: np.array([np.inf if f is None else f for f in result["final"]])
        for job, result in stored("sequences")
        if setting.items() <= job.items()
    }


def draw_runs(ax: Any, losses: dict[str, Array], solved: float) -> None:
    """One row a method: a ring for each run, a bar at the median; a line where a task is solved."""
    for row, (method, final_losses) in enumerate(reversed(losses.items())):
        colour = plots.BLUE if method == "RMSProp" else plots.GREY
        at = row + np.linspace(-0.2, 0.2, len(final_losses))
        ax.semilogx(final_losses, at, "o", ms=5, mfc="none", mec=colour)
        ax.plot([np.median(final_losses)] * 2, [row - 0.35, row + 0.35], color=colour, lw=3)
    ax.axvline(solved, **plots.THEORY)
    ax.set_yticks(range(len(losses)), list(losses)[::-1])
    ax.tick_params(axis="y", length=0)
