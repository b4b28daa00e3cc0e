"""Two figures of chapter 12: the family as a tree, and the loss of classes by their frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from rmsprop_ref.course import family, imbalance, plots

# How a method is called, and the line that makes it of its parent.
NAMES = {
    "descent": ("gradient descent", r"$u = \eta g$"),
    "momentum": ("momentum", r"$g \leftarrow b = \mu b + g$"),
    "nesterov": ("Nesterov", r"$g \leftarrow \mu b + g$"),
    "sign": ("sign descent", r"$u = \eta\,\mathrm{sign}\,g$"),
    "signum": ("Signum", r"$g \leftarrow b = \mu b + g$"),
    "rprop": ("Rprop", r"$\eta \leftarrow 1.2\,\eta$ or $\eta/2$"),
    "adagrad": ("AdaGrad", r"$u = \eta g/\sqrt{v},\;\; v = v + g^2$"),
    "rmsprop": ("RMSProp", r"$v = \beta v + (1-\beta)g^2$"),
    "rmsprop_inside": ("ε inside", r"$\sqrt{v+\varepsilon}$ for $\sqrt{v}+\varepsilon$"),
    "adadelta": ("Adadelta", r"$\eta \leftarrow \eta\sqrt{x},\;\; x$: mean of $u^2$"),
    "centered": ("centered", r"$v \leftarrow v - m^2$"),
    "graves": ("Graves's", r"$u \leftarrow b = \mu b + u$"),
    "rmsprop_momentum": ("with momentum", r"$u \leftarrow b = \mu b + u$"),
    "averaged": ("averaged", r"$g \leftarrow m = \beta_1 m + (1-\beta_1)g$"),
    "adam": ("Adam", r"$m/(1-\beta_1^t),\;\; v/(1-\beta_2^t)$"),
    "adamw": ("AdamW", r"$u \leftarrow u + \eta\lambda\theta$"),
    "amsgrad": ("AMSGrad", r"$v \leftarrow \max(v, v_{\mathrm{before}})$"),
}


def _rows(parent: family.Step, depth: int = 0) -> list[tuple[int, str]]:
    """The tree below a method, row by row: how deep, and whose name."""
    rows = [(depth, parent.__name__)]
    for edge in family.KIN:
        if edge.parent is parent:
            rows += _rows(edge.child, depth + 1)
    return rows


def draw_map() -> None:
    """The tree of ``family.KIN``: a row a method, with the line in which it differs."""
    rows = _rows(family.descent)
    _, ax = plt.subplots(figsize=(5.4, 6.4))
    last: dict[int, int] = {}  # the row of the last method that was so deep
    for i, (depth, name) in enumerate(rows):
        label, line = NAMES[name]
        ours = name in ("rmsprop", "rmsprop_inside", "rmsprop_momentum", "centered", "graves")
        x = 0.42 * depth
        if depth:
            up = last[depth - 1]
            ax.plot([x - 0.32, x - 0.32, x - 0.06], [up + 0.32, i, i], color=plots.GREY, lw=1)
        style: dict[str, Any] = {"color": plots.BLACK}
        if ours:
            style = {"color": plots.BLUE, "weight": "bold"}
        ax.text(x, i, label, va="center", **style)
        ax.text(4.05, i, line, va="center", color=plots.BLACK)
        last[depth] = i
    ax.set(xlim=(-0.1, 7.6), ylim=(len(rows) - 0.4, -0.6))
    ax.axis("off")
    ax.set_title("One line each (RMSProps bold)")


def draw_groups(styles: Mapping[str, Any]) -> None:
    """The loss by the rank of a class, at each method's best rate: median of the seeds, and all."""
    _, ax = plt.subplots(figsize=(5.8, 4.0))
    # Three lines end together: these have their names where they start.
    beside = {"sign descent": 8, "Adam": -1, "RMSProp": -9}
    middle = [np.sqrt(low * (high - 1)) for low, high in imbalance.GROUPS]
    for method, (_, _, groups) in imbalance.at_best_rate("1/k").items():
        (line,) = ax.semilogx(middle, np.median(groups, axis=0), marker="o", ms=4, **styles[method])
        ax.fill_between(
            middle, groups.min(axis=0), groups.max(axis=0), color=line.get_color(), alpha=0.12, lw=0
        )
        if method in beside:
            plots.label_line(line, method, at=1, dx=-8, dy=beside[method])
        else:
            plots.label_line(line, method)
    ax.set_xticks([1, 2, 5, 10, 20, 40], ["1", "2", "5", "10", "20", "40"])
    ax.minorticks_off()
    ax.set(
        xlabel="rank k of the class, by frequency",
        ylabel="loss after 200 steps (nats)",
        xlim=(0.2, 50),
    )
