"""Lines over logarithmic axes, in panels one below the other, as a picture.

matplotlib (extra `plots`) is imported only when a picture is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from engine.report.figures import GREY, GRID, LOOKS, PANEL_HEIGHT, WIDTH, columns_of, write_picture
from engine.types import Floats1d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Panel(NamedTuple):
    """Axes of a picture. lines: name → y for every x, or for the first of them. x: if not that of the picture.

    y_label: given for a panel with a scale of its own; x_label: of an x of its own. Panels share names and looks, and x
    and scale unless given.
    """

    title: str
    lines: Mapping[str, ArrayLike]
    x: Any = None
    y_label: str | None = None
    x_label: str | None = None


class Level(NamedTuple):
    """A horizontal line: its height and the text beside it."""

    y: float
    label: str


def write_line_plot(
    path: Path | str,
    x: ArrayLike | None,
    panels: Sequence[Panel],
    x_label: str,
    y_label: str,
    levels: Sequence[Level] = (),
    x_ticks: Sequence[float] | None = None,
) -> None:
    """Draw panels one below the other, both axes logarithmic, into a .svg or .png file.

    x: positive numbers, None where every panel has its own. x_ticks: numbers that are written out, by default powers of
    ten. Values that are NaN or infinite are crosses on the upper rim, zeros lie on the lower rim.
    Raises UserError for an unknown format, without matplotlib, and where the file cannot be written.
    """
    write_picture(path, lambda: draw_line_plot(x, panels, x_label, y_label, levels, x_ticks))


def draw_line_plot(
    x: ArrayLike | None,
    panels: Sequence[Panel],
    x_label: str,
    y_label: str,
    levels: Sequence[Level],
    x_ticks: Sequence[float] | None = None,
) -> Figure:
    """Draw the picture of write_line_plot."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(WIDTH, PANEL_HEIGHT * len(panels) + 1), layout="constrained")
    panels = [panel._replace(x=np.asarray(x if panel.x is None else panel.x, np.float64)) for panel in panels]
    shared = not any(panel.y_label for panel in panels)
    column = figure.subplots(len(panels), sharex=x is not None, sharey=shared, squeeze=False).ravel()
    for axes, panel in zip(column, panels):
        lowest, highest = scale_of(panel, panels, levels)
        axes.set(xscale="log", yscale="log", ylim=(10.0**lowest, 10.0**highest), ylabel=panel.y_label or "")
        axes.set_xlabel(panel.x_label or "")
        axes.set_xticks(
            ticks(*decades([panel.x])) if x_ticks is None else x_ticks,
            None if x_ticks is None else [f"{x:,}" for x in x_ticks],
        )
        axes.set_yticks(ticks(lowest, highest))
        axes.minorticks_off()
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.set_title(panel.title, pad=10)  # above the crosses on the rim
        draw_levels(axes, levels)
        draw_lines(axes, panel.x, panel.lines)
    if x_label:
        column[-1].set_xlabel(x_label)
    if y_label:
        figure.supylabel(y_label, fontsize="medium")
    handles, names = column[0].get_legend_handles_labels()
    if not all(np.isfinite(y).all() for panel in panels for y in panel.lines.values()):
        handles.append(Line2D([], [], color=GREY, marker="x", linestyle=""))
        names.append("NaN or infinite")
    figure.legend(handles, names, loc="outside lower center", ncols=columns_of(names), frameon=False, columnspacing=1.5)
    return figure


def scale_of(panel: Panel, panels: Sequence[Panel], levels: Sequence[Level]) -> tuple[int, int]:
    """(lowest, highest) power of ten of a panel: its own, or one for all that have none.

    A shared scale has room for the text of levels, and for rims where numbers lie that the axis cannot show.
    """
    if panel.y_label is not None:
        lowest, highest = decades(panel.lines.values())
        return lowest, max(highest, lowest + 1)
    shared = [np.asarray(y, np.float64) for one in panels if one.y_label is None for y in one.lines.values()]
    lowest, highest = decades([*shared, *([level.y] for level in levels)])
    rims = any(not np.isfinite(y).all() or (y <= 0).any() for y in shared)
    return (lowest - 1, highest + 1) if levels or rims else (lowest, max(highest, lowest + 1))


def draw_levels(axes: Axes, levels: Iterable[Level]) -> None:
    """Draw horizontal lines, each with its text just below its right end."""
    for level in levels:
        axes.axhline(level.y, color=GREY, linewidth=0.8)
        place: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "xytext": (-2, -4),
            "textcoords": "offset points",
            "ha": "right",
            "va": "top",
        }
        axes.annotate(level.label, (1, level.y), **place, color=GREY, size=8).set_in_layout(False)


def draw_lines(axes: Axes, x: Floats1d, lines: Mapping[str, ArrayLike]) -> None:
    """Draw every line in its own look; numbers that a logarithmic axis cannot show lie on the rims."""
    bottom, top = axes.get_ylim()
    for number, (name, line) in enumerate(lines.items()):
        color, marker, dash = LOOKS[number % len(LOOKS)]
        y = np.asarray(line, np.float64)
        lost = ~np.isfinite(y)
        shown = np.where(lost, np.nan, np.maximum(y, bottom))
        axes.plot(
            x[: len(y)],
            shown,
            color=color,
            marker=marker,
            linestyle=dash,
            markersize=4,
            linewidth=1.4,
            label=name,
            clip_on=False,
            zorder=3,
        )
        if lost.any():
            axes.plot(
                x[: len(y)][lost], np.full(lost.sum(), top), "x", color=color, markersize=5, clip_on=False, zorder=3
            )


def decades(lines: Iterable[ArrayLike]) -> tuple[int, int]:
    """(lowest, highest) power of ten around all positive finite numbers; (0, 1) where there is none."""
    numbers = np.concatenate([np.ravel(line) for line in lines])
    numbers = np.log10(numbers[np.isfinite(numbers) & (numbers > 0)])
    return (int(np.floor(numbers.min())), int(np.ceil(numbers.max()))) if len(numbers) else (0, 1)


def ticks(lowest: int, highest: int) -> list[float]:
    """At most nine powers of ten, at exponents that are multiples of one step."""
    step = -(-(highest - lowest) // 8) or 1
    return [10.0**exponent for exponent in range(-(-lowest // step) * step, highest + 1, step)]
