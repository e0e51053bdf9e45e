"""Parts that the pictures of the equations share: panels of exact scale, arrows, text, and waves of one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from engine.report.figures import GREY, LOOKS
from engine.types import Array, Floats1d
from layers.wave import Wave, global_magnitude_forward, token2wave_forward

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PALE = "#222222", "#BBBBBB"
COLOURS = (*(look[0] for look in LOOKS), INK)  # of the tokens of a text
FIRST, SECOND, THIRD = LOOKS[1][0], LOOKS[0][0], LOOKS[2][0]
WIDTH = 5.7  # inches: of a picture 400 pixels wide, letters have 10 pixels
GROUND: dict[str, Any] = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}, "zorder": 5}
SIZE, TITLE = 10.5, 11.5  # of letters, in points


def waves_of(texts: ArrayLike) -> Wave:
    """Token2Wave (E4) of texts of one dimension, (B, n) or (n,): parts of the same shape."""
    w = np.asarray(texts, np.float64)
    z, _ = token2wave_forward(w.reshape(-1, 1), np.arange(0, w.size + 1, w.shape[-1]))
    return Wave(*(part.reshape(w.shape) for part in z))


def magnitude(w: Floats1d) -> float:
    """Global magnitude (E1) of a text of one dimension."""
    G, _ = global_magnitude_forward(w[:, None], np.array([0, len(w)]))
    return float(G[0, 0])


def sheet(height: float) -> Figure:
    """An empty picture, WIDTH by `height` inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH, height))


def panel(
    figure: Figure, corner: tuple[float, float], scale: float, x: tuple[float, float], y: tuple[float, float]
) -> Axes:
    """Axes without a frame that show the ranges x and y, `scale` inches a unit. corner: their lower left, in inches."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes(
        (corner[0] / width, corner[1] / height, scale * (x[1] - x[0]) / width, scale * (y[1] - y[0]) / height)
    )
    axes.set(xlim=x, ylim=y)
    axes.axis("off")
    return axes


def title(figure: Figure, x: float, y: float, text: str) -> None:
    """Write the title of a panel. x, y: its left end and baseline, in inches."""
    width, height = figure.get_size_inches()
    figure.text(x / width, y / height, text, size=TITLE, color=INK, ha="left", va="baseline")


def write(axes: Axes, place: ArrayLike, text: str, **style: Any) -> None:
    """Write text at a point (x, y), in the units of the axes; with **GROUND it hides the lines behind it."""
    x, y = np.asarray(place)
    axes.text(x, y, text, **{"size": SIZE, "color": INK, "ha": "center", "va": "center", **style})


def arrow(axes: Axes, tip: ArrayLike, start: ArrayLike = (0.0, 0.0), color: str = GREY, width: float = 1.8) -> None:
    """Draw an arrow from start to tip, which are points (x, y)."""
    head = {"arrowstyle": "-|>,head_width=0.22,head_length=0.45", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12}
    axes.annotate(
        "",
        tuple(np.asarray(tip)),
        tuple(np.asarray(start)),
        arrowprops={**head, "color": color, "linewidth": width, "zorder": 3},
    )


def line(axes: Axes, points: Sequence[ArrayLike] | Array, color: str = GREY, **style: Any) -> None:
    """Draw a line through points (x, y)."""
    axes.plot(*np.asarray(points, np.float64).T, color=color, **{"linewidth": 1.0, "clip_on": False, **style})


def arc(axes: Axes, radius: float, start: float = 0.0, end: float = np.pi, color: str = PALE, dash: Any = "--") -> None:
    """Draw a part of a circle around 0, counterclockwise from one angle to another, in radians."""
    from matplotlib.patches import Arc

    ends = {"theta1": np.degrees(start), "theta2": np.degrees(end)}
    axes.add_patch(Arc((0, 0), 2 * radius, 2 * radius, **ends, color=color, linestyle=dash, linewidth=1.0))


def dot(axes: Axes, x: float, y: float, color: str = INK, hollow: bool = False) -> None:
    """Draw a dot, or a ring."""
    filled = "white" if hollow else color
    axes.plot(x, y, "o", markersize=5, color=color, markerfacecolor=filled, clip_on=False, zorder=4)


def complex_plane(axes: Axes, bottom: float | None = None) -> None:
    """Draw the two axes through 0 with their names, as long as the panel is wide and, above `bottom`, high."""
    (left, right), (lowest, top) = axes.get_xlim(), axes.get_ylim()
    arrow(axes, (right, 0), (left, 0), PALE, 1.0)
    arrow(axes, (0, top), (0, lowest if bottom is None else bottom), PALE, 1.0)
    point = (right - left) / axes.get_position().width / WIDTH / 72  # in units of the axes
    write(axes, (right, -7 * point), "re", color=GREY, ha="right", style="italic")
    write(axes, (5 * point, top), "im", color=GREY, ha="left", va="top", style="italic")


def beyond(z: complex, distance: float) -> Floats1d:
    """The point (x, y) `distance` behind the tip of z, seen from 0."""
    further = z * (1 + distance / abs(z))
    return np.array([further.real, further.imag])
