"""Non-convex losses of two weights, and what becomes of a whole grid of starts on each.

A surface is a SymPy expression; its gradient is derived from it and turned into NumPy, written with
products alone where powers are, so that polynomials round alike on every machine. Every run is a
run of :mod:`.family`: its steps act on each element, so one call moves all starts at once.

The protocol, the same for every surface and method: 50 × 50 starts in the middles of the cells of a
box, 1000 steps, and 25 learning rates, four to a decade from 1e-4 to 100. A start has arrived at
the step from which on it stays within 0.05 of a global minimum until the end. The best rate is the
one with the smallest mean number of steps, where a start that never arrives counts 1000.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import sympy
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray
from sympy.printing.numpy import NumPyPrinter

from rmsprop_ref.course import family, plots
from rmsprop_ref.course.experiments import Experiment, stored

Array = NDArray[Any]

X, Y = sympy.symbols("x y", real=True)

STEPS, NEAR, SIDE = 1000, 0.05, 50
RATES = tuple(float(f"{10 ** (k / 4):.3g}") for k in range(-16, 9))

METHODS: dict[str, family.Step] = {
    "gradient descent": family.descent,
    "momentum": family.momentum,
    "AdaGrad": family.adagrad,
    "RMSProp": family.rmsprop,
    "Adam": family.adam,
    "RMSProp, β = 0.99": partial(family.rmsprop, beta=0.99),
}
TUNED = tuple(METHODS)[:5]  # those of the protocol


@dataclass(frozen=True, eq=False)
class Surface:
    """A loss of two weights.

    Attributes
    ----------
    name : str
        What it is called.
    formula : sympy expression
        The loss, in :data:`X` and :data:`Y`.
    box : (float, float, float, float)
        Where runs start: x from, x to, y from, y to.
    about : sequence of (float, float)
        All global minima, to a few digits.
    """

    name: str
    formula: Any
    box: tuple[float, float, float, float]
    about: tuple[tuple[float, float], ...]

    @cached_property
    def loss(self) -> Callable[[Any, Any], Any]:
        """The loss as a function of two arrays."""
        return numeric([self.formula])

    @cached_property
    def slopes(self) -> tuple[Any, Any]:
        """The two partial derivatives, as expressions."""
        return sympy.diff(self.formula, X), sympy.diff(self.formula, Y)

    @cached_property
    def _slopes(self) -> Callable[[Any, Any], Any]:
        return numeric(self.slopes)

    def gradient(self, theta: Array) -> Array:
        """The gradient at each position: both of shape (…, 2)."""
        return np.stack(self._slopes(theta[..., 0], theta[..., 1]), axis=-1)

    @cached_property
    def minima(self) -> Array:
        """The global minima, shape (k, 2), by Newton's method to the last digits."""
        hessian = numeric([sympy.diff(s, z) for s in self.slopes for z in (X, Y)])
        found = np.array(self.about, dtype=float)
        for _ in range(6):
            h = np.stack([np.broadcast_to(e, len(found)) for e in hessian(*found.T)], -1)
            step = np.linalg.solve(h.reshape(-1, 2, 2), self.gradient(found)[..., None])
            found = found - step[..., 0]
        return found

    def starts(self, side: int = SIDE) -> Array:
        """The middles of ``side`` × ``side`` cells of the box, row by row: shape (side², 2)."""
        x0, x1, y0, y1 = self.box
        middles = (np.arange(side) + 0.5) / side
        x, y = np.meshgrid(x0 + (x1 - x0) * middles, y0 + (y1 - y0) * middles)
        return np.stack([x.ravel(), y.ravel()], axis=-1)

    def rotated(self, degrees: float, name: str = "") -> Surface:
        """The same loss turned about its first minimum, counter-clockwise; the box stays."""
        (cx, cy), turn = self.about[0], sympy.rad(sympy.nsimplify(degrees))
        c, s = sympy.cos(turn).evalf(17), sympy.sin(turn).evalf(17)
        u, v = c * (X - cx) + s * (Y - cy), -s * (X - cx) + c * (Y - cy)
        turned = self.formula.subs({X: u + cx, Y: v + cy}, simultaneous=True)
        return Surface(name or f"{self.name}, {degrees:g}°", turned, self.box, self.about[:1])

    def turn(self, theta: Array, degrees: float) -> Array:
        """Positions turned about the first minimum as :meth:`rotated` turns the loss."""
        a = np.deg2rad(degrees)
        rotation = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
        centre = np.array(self.about[0])
        return np.asarray((theta - centre) @ rotation + centre)


class _Products(NumPyPrinter):  # type: ignore[misc]
    """Prints x**3 as x*x*x, which rounds alike everywhere; the power of a library need not."""

    def _print_Pow(self, expr: Any, rational: bool = False) -> str:
        base, power = expr.as_base_exp()
        if not (base.is_Symbol and power.is_Integer and 2 <= power <= 6):
            return str(super()._print_Pow(expr, rational))
        return "(" + "*".join([self._print(base)] * int(power)) + ")"


def numeric(expressions: Any) -> Callable[[Any, Any], Any]:
    """Expressions in X and Y as one NumPy function; a single one gives an array, more a list."""
    flat = [sympy.sympify(e) for e in expressions]
    printer = _Products({"fully_qualified_modules": False, "allow_unknown_functions": True})
    shared = flat if len(flat) > 1 else flat[0]
    made: Callable[[Any, Any], Any] = sympy.lambdify(
        (X, Y), shared, "numpy", cse=True, printer=printer
    )
    return made


def _network() -> Any:
    """Half the mean squared error of y tanh(x z) on three z, where the target is x = y = 1.5."""
    inputs = [sympy.Rational(1, 2), sympy.Integer(1), sympy.Integer(2)]
    wanted = [1.5 * sympy.tanh(1.5 * float(z)) for z in inputs]
    errors = [Y * sympy.tanh(X * z) - t for z, t in zip(inputs, wanted, strict=True)]
    return sum(e**2 for e in errors) / 6


_R2 = X**2 + Y**2
_THIRD = float(np.sqrt(3) / 2)
SURFACES: dict[str, Surface] = {
    s.name: s
    for s in (
        Surface("Rosenbrock", (1 - X) ** 2 + 100 * (Y - X**2) ** 2, (-2, 2, -1, 3), ((1, 1),)),
        Surface(
            "Beale",
            (1.5 - X + X * Y) ** 2 + (2.25 - X + X * Y**2) ** 2 + (2.625 - X + X * Y**3) ** 2,
            (-4.5, 4.5, -4.5, 4.5),
            ((3, 0.5),),
        ),
        Surface(
            "Himmelblau",
            (X**2 + Y - 11) ** 2 + (X + Y**2 - 7) ** 2,
            (-5, 5, -5, 5),
            ((3, 2), (-2.805, 3.131), (-3.779, -3.283), (3.584, -1.848)),
        ),
        Surface(
            "six-hump camel",
            4 * X**2 - 2.1 * X**4 + X**6 / 3 + X * Y - 4 * Y**2 + 4 * Y**4,
            (-2, 2, -1, 1),
            ((0.0898, -0.7127), (-0.0898, 0.7127)),
        ),
        Surface("saddle", X**2 / 2 - Y**2 / 2 + Y**4 / 4, (-2, 2, -2, 2), ((0, 1), (0, -1))),
        Surface(
            "monkey saddle",
            X**3 / 3 - X * Y**2 + _R2**2 / 4,
            (-1.5, 1.5, -1.5, 1.5),
            ((-1, 0), (0.5, _THIRD), (0.5, -_THIRD)),
        ),
        Surface("plateau", 1 - sympy.exp(-_R2 / 2), (-4, 4, -4, 4), ((0, 0),)),
        Surface("network", _network(), (-3, 3, -3, 3), ((1.5, 1.5), (-1.5, -1.5))),
    )
}


def positions(
    surface: Surface,
    method: str,
    lr: Any,
    starts: Array,
    steps: int = STEPS,
    *,
    falling: bool = False,
    **numbers: Any,
) -> Iterator[Array]:
    """Yield the positions after each step, shape of ``starts``; the start itself first.

    ``falling`` lets the rate fall linearly, from ``lr`` at the first step to 0 after the last.
    ``numbers`` are the method's other hyper-parameters. Runs that overflow go on as nan.
    """
    move = partial(METHODS[method], **numbers)
    theta: Any = np.asarray(starts, float)
    state: family.State = {}
    yield theta
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(steps):
            rate = lr * (1 - t / steps) if falling else lr
            theta, state = move(theta, surface.gradient(theta), state, lr=rate)
            yield theta


def arrivals(surface: Surface, runs: Any, near: float = NEAR) -> Array:
    """From which step on each start stays within ``near`` of a global minimum; inf if never.

    ``runs`` is what :func:`positions` yields; the answer has one number for each start.
    """
    after: Any = None
    t = 0
    for t, theta in enumerate(runs):
        after = np.zeros(theta.shape[:-1]) if after is None else after
        close = np.zeros(theta.shape[:-1], dtype=bool)
        for mx, my in surface.minima:
            close |= (theta[..., 0] - mx) ** 2 + (theta[..., 1] - my) ** 2 <= near**2
        after[~close] = t + 1
    after[after == t + 1] = np.inf
    return np.asarray(after)


def try_rates(surface: str, method: str, falling: bool) -> dict[str, Any]:
    """One job of the experiment: a method on a surface, at each rate.

    Returns
    -------
    dict
        For each of :data:`RATES` the mean number of steps, a failure counted as :data:`STEPS`;
        how many of the starts arrive; and the median number of steps of those that do (else 0).
    """
    which = ROTATED[surface] if surface in ROTATED else SURFACES[surface]
    starts = which.starts()
    if surface in ROTATED:
        starts = SURFACES["Rosenbrock"].turn(starts, ANGLES[surface])
    means, arrived, medians = [], [], []
    for lr in RATES:
        after = arrivals(which, positions(which, method, lr, starts, falling=falling))
        done = np.isfinite(after)
        means.append(round(float(np.where(done, after, STEPS).mean()), 4))
        arrived.append(int(done.sum()))
        medians.append(float(np.median(after[done])) if done.any() else 0.0)
    return {"mean": means, "arrived": arrived, "median": medians}


# Rosenbrock's valley, turned about its end. At the end it runs in the direction (1, 2).
ANGLES = {f"Rosenbrock, {a}°": float(a) for a in (15, 30, 45, 60, 75)}
ROTATED = {name: SURFACES["Rosenbrock"].rotated(a, name) for name, a in ANGLES.items()}

EXPERIMENTS = {
    "surfaces": Experiment(
        run=try_rates,
        jobs=[
            {"surface": surface, "method": method, "falling": falling}
            for surface in SURFACES
            for method in TUNED
            for falling in (False, True)
        ]
        + [
            {"surface": surface, "method": "RMSProp, β = 0.99", "falling": False}
            for surface in SURFACES
        ]
        + [
            {"surface": surface, "method": method, "falling": False}
            for surface in ROTATED
            for method in ("gradient descent", "RMSProp", "Adam")
        ],
        # Moving each start by one part in 1e15 changes nothing in the results of the sample, and
        # its surfaces need only operations that IEEE 754 rounds exactly. Elsewhere it changes a
        # mean by up to 3 %, where η/2 is near the edge of NEAR; by 0.7 % at most at a best rate.
        within=1e-9,
        sample=(0, 20),
    )
}


@dataclass(frozen=True)
class Best:
    """How a method did on a surface at its best rate.

    Attributes
    ----------
    lr : float
        That rate.
    mean : float
        The mean number of steps over all starts; one that never arrives counts :data:`STEPS`.
    arrived : int
        How many of the SIDE² starts arrive.
    median : float
        The median number of steps of those.
    """

    lr: float
    mean: float
    arrived: int
    median: float


def tuned(*, falling: bool = False) -> dict[tuple[str, str], Best]:
    """The stored results at the rate with the smallest mean, by (surface, method)."""
    best = {}
    for job, result in stored("surfaces"):
        if job["falling"] == falling:
            i = int(np.argmin(result["mean"]))
            best[job["surface"], job["method"]] = Best(
                RATES[i], result["mean"][i], result["arrived"][i], result["median"][i]
            )
    return best


# Where a figure shows all methods: a letter for each, so that no message is in the hue alone.
LETTERS: dict[str, tuple[str, str]] = {
    "gradient descent": ("G", plots.VERMILION),
    "momentum": ("M", plots.BLACK),
    "AdaGrad": ("S", plots.GREEN),
    "RMSProp": ("R", plots.BLUE),
    "Adam": ("A", plots.PURPLE),
}


def draw_surfaces(starts: dict[str, tuple[float, float]], best: dict[tuple[str, str], Best]) -> Any:
    """Level lines of each surface, its global minima, and a path of RMSProp from a start."""
    fig, axes = plt.subplots(4, 2, figsize=(7.2, 12.4), dpi=100)
    for ax, surface in zip(axes.flat, SURFACES.values(), strict=True):
        x0, x1, y0, y1 = surface.box
        x, y = np.meshgrid(np.linspace(x0, x1, 161), np.linspace(y0, y1, 161))
        height = surface.loss(x, y)
        levels = np.quantile(height, np.linspace(0, 1, 10)[1:])
        ax.contour(x, y, height, levels=levels, colors=plots.GREY, linewidths=0.6, alpha=0.7)
        lr = best[surface.name, "RMSProp"].lr
        run = np.stack(list(positions(surface, "RMSProp", lr, np.array(starts[surface.name]))))
        ax.plot(*run.T, lw=1.6, **plots.RMSPROP)
        ax.plot(*run[0], "o", ms=7, mfc="white", mec=plots.BLUE, zorder=3)
        ax.plot(*surface.minima.T, "k+", ms=11, mew=2, zorder=4)
        ax.set(title=surface.name, xlim=(x0, x1), ylim=(y0, y1))
        ax.locator_params(nbins=4)
    return fig


def draw_standing(best: dict[tuple[str, str], Best], surfaces: Sequence[str]) -> Any:
    """The mean number of steps of each method on each surface: one row of letters a surface."""
    _, ax = plt.subplots(figsize=(7.2, 5.2))
    for row, surface in enumerate(surfaces):
        ax.axhline(row, color=plots.GREY, lw=0.5, alpha=0.5)
        order = sorted(LETTERS, key=lambda m: best[surface, m].mean)
        last, up = 0.0, 0
        for method in order:
            letter, colour = LETTERS[method]
            x = best[surface, method].mean
            up = up + 1 if x < 1.13 * last else 0  # too near to read: one above the other
            last = x
            ax.annotate(
                letter,
                (x, row),
                xytext=(0, (0, 11, -11)[up % 3]),
                textcoords="offset points",
                color=colour,
                weight="bold",
                ha="center",
                va="center",
                fontsize=13,
            )
    ax.set(xscale="log", xlim=(4, 1300), ylim=(len(surfaces) - 0.4, -0.6))
    ax.set_yticks(range(len(surfaces)), surfaces)
    ax.tick_params(axis="y", length=0)
    ax.set_xticks([5, 10, 30, 100, 300, 1000], ["5", "10", "30", "100", "300", "1000"])
    ax.minorticks_off()
    ax.set_xlabel("mean steps at the best rate (further left is better)")
    return ax


def draw_basins(ends: dict[str, Array], side: int, surface: Surface) -> Any:
    """For each method a map: in which minimum a start ends, by a shade and a letter."""
    fig, axes = plt.subplots(2, 2, figsize=(7.2, 7.4), sharex=True, sharey=True)
    shades = ListedColormap(["white", "#0b3c5d", "#56b4e9", "#e69f00", "#f7e3b0"])
    for ax, (name, end) in zip(axes.flat, ends.items(), strict=True):
        image = end.reshape(side, side)
        ax.imshow(image, origin="lower", extent=surface.box, cmap=shades, vmin=-1, vmax=3)
        for letter, (x, y) in zip("ABCD", surface.minima, strict=True):
            colour = "white" if letter == "A" else "black"
            ax.annotate(letter, (x, y), color=colour, ha="center", va="center", weight="bold")
        ax.set_title(name)
    return fig


def ends_in(surface: Surface, runs: Any, radius: float = 0.5) -> Array:
    """The index of the minimum within ``radius`` of which each run ends; -1 if there is none."""
    for theta in runs:
        last = theta
    apart = np.linalg.norm(last[:, None] - surface.minima, axis=-1)
    return np.where(apart.min(axis=1) < radius, apart.argmin(axis=1), -1)
