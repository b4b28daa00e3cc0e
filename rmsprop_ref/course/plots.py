"""The house style: one question a figure, lines labelled where they end, no message in hue alone.

The colours are Okabe and Ito's (2008), told apart by readers with any common colour deficiency;
each optimiser keeps its colour and its dash through the whole book.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler

BLACK, ORANGE, SKY, GREEN = "#1a1a1a", "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE, GREY = "#0072b2", "#d55e00", "#cc79a7", "#767676"

# The colour and dash of each method, wherever it appears.
RMSPROP: dict[str, Any] = {"color": BLUE, "ls": "-"}
DESCENT: dict[str, Any] = {"color": VERMILION, "ls": (0, (5, 2))}
SIGN: dict[str, Any] = {"color": GREEN, "ls": (0, (1, 1.2))}
RPROP: dict[str, Any] = {"color": PURPLE, "ls": (0, (5, 1.5, 1, 1.5))}
THEORY: dict[str, Any] = {"color": BLACK, "ls": (0, (1, 2)), "lw": 1.4}

CMAP = "cividis"  # even in lightness, and the same to readers who see no red or no green


def use_house_style() -> None:
    """Set Matplotlib's defaults; once, at the top of a chapter."""
    mpl.rcParams.update(
        {
            "figure.figsize": (7.2, 3.4),
            "figure.dpi": 130,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": GREY,
            "axes.labelcolor": BLACK,
            "axes.titlesize": "medium",
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlepad": 10,
            "xtick.color": GREY,
            "ytick.color": GREY,
            "xtick.labelcolor": BLACK,
            "ytick.labelcolor": BLACK,
            "font.size": 10.5,
            "lines.linewidth": 2,
            "legend.frameon": False,
            "axes.prop_cycle": cycler(color=[BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY]),
            "image.cmap": CMAP,
        }
    )


def label_line(
    line: Any, text: str, *, at: float | None = None, dx: float = 6, dy: float = 0
) -> None:
    """Write ``text`` beside a line in its colour: at its right end, or at the abscissa ``at``."""
    x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
    shown = np.isfinite(y)
    i = np.flatnonzero(shown)[-1] if at is None else int(np.argmin(np.abs(x - at)))
    line.axes.annotate(
        text,
        (x[i], y[i]),
        xytext=(dx, dy),
        textcoords="offset points",
        color=line.get_color(),
        va="center",
        ha="left" if dx >= 0 else "right",
        annotation_clip=False,
    )


def contours(ax: Any, loss: Any, x: Any, y: Any, levels: Any) -> None:
    """Thin grey level lines of ``loss(x, y)``, as the ground of a trajectory."""
    ax.contour(
        x, y, loss(*np.meshgrid(x, y)), levels=levels, colors=GREY, linewidths=0.6, alpha=0.7
    )


def path(ax: Any, positions: Any, **style: Any) -> Any:
    """A trajectory in the plane, a dot for each step and a ring at the start."""
    positions = np.asarray(positions)
    (line,) = ax.plot(*positions.T, marker=".", ms=4, lw=1.2, **style)
    ax.plot(*positions[0], "o", ms=7, mfc="white", mec=line.get_color(), zorder=3)
    return line
