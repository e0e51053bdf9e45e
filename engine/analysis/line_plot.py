"""Lines over logarithmic axes as a picture, for numbers that range over many powers of ten and may be NaN or infinite.

matplotlib (extra `plots`) is imported only when a picture is asked for. The same numbers give the same file, byte by byte.
"""

from typing import NamedTuple

import numpy as np

from engine.analysis.pictures import GREY, GRID, LOOKS, write_picture


class Panel(NamedTuple):
    """title; lines: name → y for every x, or for the first of them; x: its own, if not that of the picture.

    y_label: of a panel with a scale of its own. Panels share what they have no own of, and names and looks.
    """

    title: str
    lines: dict
    x: object = None
    y_label: str | None = None


class Level(NamedTuple):
    """A horizontal line: its height and the words beside it."""

    y: float
    label: str


def write_line_plot(path, x, panels, x_label, y_label, levels=(), x_ticks=None):
    """Draw panels side by side, four in two rows, both axes logarithmic, into a .svg or .png file.

    x: positive numbers, None where every panel has its own; x_ticks: those that are written out, by default powers of ten. Values that are NaN or infinite are crosses on the upper rim, zeros lie on the lower rim.
    Raises UserError for an unknown format, without matplotlib, and where the file cannot be written.
    """
    write_picture(path, lambda: draw(x, panels, x_label, y_label, levels, x_ticks))


def draw(x, panels, x_label, y_label, levels, x_ticks=None):
    """The picture as a matplotlib Figure. No window and no global state: pyplot is not used."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    rows = 2 if len(panels) == 4 else 1
    columns = len(panels) // rows
    figure = Figure(figsize=(4.4 * columns, 4.0 if rows == 1 else 6.4), layout="constrained")
    panels = [panel._replace(x=np.asarray(x if panel.x is None else panel.x, float)) for panel in panels]
    shared = not any(panel.y_label for panel in panels)
    row = figure.subplots(rows, columns, sharex=x is not None, sharey=shared, squeeze=False).ravel()
    for number, (axes, panel) in enumerate(zip(row, panels)):
        lowest, highest = scale_of(panel, panels, levels)
        below = x_label if number >= len(panels) - columns else ""
        axes.set(xscale="log", yscale="log", ylim=(10.0**lowest, 10.0**highest), xlabel=below, ylabel=panel.y_label or "")
        axes.set_xticks(ticks(*decades([panel.x])) if x_ticks is None else x_ticks, None if x_ticks is None else [f"{x:,}" for x in x_ticks])
        axes.set_yticks(ticks(lowest, highest))
        axes.minorticks_off()
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.set_title(panel.title, pad=10)  # above the crosses on the rim
        draw_levels(axes, levels)
        draw_lines(axes, panel.x, panel.lines)
    if panels[0].y_label is None:
        row[0].set_ylabel(y_label)
    handles, names = row[0].get_legend_handles_labels()
    if not all(np.isfinite(y).all() for panel in panels for y in panel.lines.values()):
        handles, names = [*handles, Line2D([], [], color=GREY, marker="x", linestyle="")], [*names, "NaN or infinite"]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, columnspacing=1.5)
    return figure


def scale_of(panel, panels, levels):
    """(lowest, highest) power of ten of a panel: its own, or one for all that have none, with room for levels' words and for the rim."""
    if panel.y_label is not None:
        lowest, highest = decades(panel.lines.values())
        return lowest, max(highest, lowest + 1)
    lowest, highest = decades([y for one in panels if one.y_label is None for y in one.lines.values()] + [[level.y] for level in levels])
    return lowest - 1, highest + 1


def draw_levels(axes, levels):
    """Horizontal lines, each with its words just below its right end."""
    for level in levels:
        axes.axhline(level.y, color=GREY, linewidth=0.8)
        place = {"xycoords": axes.get_yaxis_transform(), "xytext": (-2, -4), "textcoords": "offset points", "ha": "right", "va": "top"}
        axes.annotate(level.label, (1, level.y), **place, color=GREY, size=8).set_in_layout(False)


def draw_lines(axes, x, lines):
    """Every line in its own look; what cannot be shown on a logarithmic axis on the rims."""
    bottom, top = axes.get_ylim()
    for number, (name, y) in enumerate(lines.items()):
        color, marker, dash = LOOKS[number % len(LOOKS)]
        y = np.asarray(y, float)
        lost = ~np.isfinite(y)
        shown = np.where(lost, np.nan, np.maximum(y, bottom))
        axes.plot(x[: len(y)], shown, color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.4, label=name, clip_on=False, zorder=3)
        if lost.any():
            axes.plot(x[: len(y)][lost], np.full(lost.sum(), top), "x", color=color, markersize=5, clip_on=False, zorder=3)


def decades(lines):
    """(lowest, highest) power of ten around all positive finite numbers; (0, 1) where there is none."""
    numbers = np.concatenate([np.ravel(line) for line in lines])
    numbers = np.log10(numbers[np.isfinite(numbers) & (numbers > 0)])
    return (int(np.floor(numbers.min())), int(np.ceil(numbers.max()))) if len(numbers) else (0, 1)


def ticks(lowest, highest):
    """At most nine powers of ten, at exponents that are multiples of one step."""
    step = -(-(highest - lowest) // 8) or 1
    return [10.0**exponent for exponent in range(-(-lowest // step) * step, highest + 1, step)]
