"""Series recorded step by step, of which some numbers may be missing, and curves of trainings as matplotlib Figures.

`groups` is everywhere {name: runs that share a line}: a single one, or several that differ in nothing but their seed,
whose line is the mean of their running medians and lies in a band from the lowest to the highest of them. A run is a
dict of lists: "step", series with a number or None for each of them, and "validation": [{"step", "accuracy", "loss"}].
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from engine.report.figures import (
    GREY,
    GRID,
    PANEL_HEIGHT,
    WIDTH,
    Look,
    columns_of,
    looks,
    plain_logarithmic_ticks,
)
from engine.types import Array, Floats1d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curves: TypeAlias = Mapping[str, Any]  # a run
Groups: TypeAlias = Mapping[str, Sequence[Curves]]

BAND = 0.2  # opacity of the band between the lowest and the highest of the seeds
POINT_SIZE = 2.0  # diameter of the point of a single step
MARKS = 3  # that an entry of a legend shows beside each other
ABOVE = 4  # zorder of dashed lines, which let a solid line below them be seen


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(values: Iterable[float | None]) -> Floats1d:
    """A list of numbers and None → float64, None as NaN."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def finite(values: Floats1d) -> Floats1d:
    return values[np.isfinite(values)]


def median(values: Floats1d) -> float:
    """Median of the finite numbers; NaN where there is none."""
    values = finite(values)
    return float(np.median(values)) if len(values) else math.nan


def largest(values: Floats1d) -> float:
    """Largest finite number; NaN where there is none."""
    values = finite(values)
    return float(values.max()) if len(values) else math.nan


def tenth(values: Floats1d, last: bool = False) -> Floats1d:
    """The first or last tenth of the steps, at least one."""
    count = max(1, len(values) // 10)
    return values[-count:] if last else values[:count]


def window_for(steps: int) -> int:
    """Width of the running median over so many steps: about a twelfth of them, at least 7 of 30 or more; odd.

    Batches hold texts of about one length, and short texts may be easy ones: fewer steps would show their clusters.
    """
    return 2 * max(steps // 24, min(3, steps // 10)) + 1


def running_median(values: Floats1d, window: int) -> Floats1d:
    """values: (n,) → (n,), the median of the finite numbers among the `window` (odd) values around each; NaN for none.

    Towards the ends the window holds only the values that there are.
    """
    rim = np.full(window // 2, math.nan)
    around = np.concatenate([rim, np.where(np.isfinite(values), values, math.nan), rim])
    around = np.sort(np.lib.stride_tricks.sliding_window_view(around, window), axis=1)  # NaN last
    count = np.isfinite(around).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    row = np.arange(len(values))
    return np.where(count > 0, (around[row, low] + around[row, np.minimum(high, window - 1)]) / 2, math.nan)


def all_runs(groups: Groups) -> list[Curves]:
    return [run for runs in groups.values() for run in runs]


def window_in(groups: Groups) -> int:
    """Width of the running median: for all runs as for the longest."""
    return window_for(max(len(run["step"]) for run in all_runs(groups)))


def median_caption(window: int) -> str:
    """Describe the lines, for the caption of a figure."""
    return f"their running medians over {window} steps (lines)" if window > 1 else "lines from step to step"


def learning_caption(window: int) -> str:
    """Caption of draw_learning's figure."""
    return (
        f"Training loss and accuracy at every step (points), {median_caption(window)}, and the same measured on "
        "validation texts (large hollow marks)."
    )


def draw_learning(groups: Groups) -> Figure:
    """Draw loss and accuracy of single steps, their running medians, and both as measured on validation texts."""
    figure, (upper, lower) = panels(("loss [nat]", "accuracy [%]"))
    lower.set_ylim(-2, 104)
    losses = [numbers([*run["loss"], *(entry["loss"] for entry in run["validation"])]) for run in all_runs(groups)]
    draw_series(upper, groups, "loss", within=losses)
    draw_series(lower, groups, "accuracy", scale=100)
    for axes, key, scale in ((upper, "loss", 1), (lower, "accuracy", 100)):
        for look, runs in zip(looks(len(groups)), groups.values()):
            draw_validation(axes, runs, key, scale, look)
    checked = [look for look, runs in zip(looks(len(groups)), groups.values()) if any(r["validation"] for r in runs)]
    extra = [Entry("validation", [validation_mark(color, marker) for color, marker, _ in checked])] if checked else []
    legend(figure, groups, ("loss", "accuracy"), extra)
    return figure


def panels(titles: Sequence[str], sharey: bool = False) -> tuple[Figure, Array]:
    """(Figure, axes) of panels by step, one below the other, each with its title."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(WIDTH, PANEL_HEIGHT * len(titles) + 1), layout="constrained")
    column = figure.subplots(len(titles), sharex=True, sharey=sharey)
    for axes, title in zip(column, titles):
        axes.set_title(title, pad=10)
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True, min_n_ticks=1))
        axes.grid(True, color=GRID, linewidth=0.6)
    column[-1].set_xlabel("step")
    return figure, column


def draw_series(
    axes: Axes, groups: Groups, key: str, scale: float = 1, within: Sequence[Floats1d] | None = None
) -> None:
    """Draw every step of every run faint, and running medians strong.

    A step without a finite number is a cross on the upper rim. within: series among which the limits of a logarithmic
    axis are chosen; zeros lie on its lower rim. Without, the axis is linear.
    """
    window = window_in(groups)
    if within is not None:
        axes.set(yscale="log", ylim=logarithmic_limits(within))
        plain_logarithmic_ticks(axes.yaxis)
    bottom, top = axes.get_ylim()
    shown = [
        (color, np.asarray(run["step"]), scale * numbers(run[key]))
        for (color, _, _), runs in zip(looks(len(groups)), groups.values())
        for run in runs
    ]
    draw_points(axes, [x for _, x, _ in shown], [np.maximum(y, bottom) for *_, y in shown], [c for c, *_ in shown])
    for number, (look, runs) in enumerate(zip(looks(len(groups)), groups.values())):
        medians = [np.maximum(running_median(scale * numbers(run[key]), window), bottom) for run in runs]
        x, middle, low, high = shared_line(runs, medians)
        draw_marked_line(axes, x, middle, look, number, len(groups))
        if len(runs) > 1:
            axes.fill_between(x, low, high, color=look[0], alpha=BAND, linewidth=0, zorder=2.5)
    for color, x, y in shown:
        lost = x[~np.isfinite(y)]
        if len(lost):
            cross = cross_mark(color) | {"clip_on": False, "zorder": ABOVE, "rasterized": True}
            axes.plot(lost, np.full(len(lost), top), **cross)


def draw_marked_line(axes: Axes, x: Array, y: Floats1d, look: Look, number: int, count: int) -> None:
    """Draw the line of group `number` of `count` with about eight of its marks, apart from those of other groups."""
    stride = max(1, len(x) // 8)
    every = (stride * (number + 1) // (count + 1), stride)
    axes.plot(x, y, **line_mark(look), markevery=every, zorder=above(look[2]), clip_on=False)


def shared_line(runs: Sequence[Curves], values: Sequence[Floats1d]) -> tuple[Array, Floats1d, Floats1d, Floats1d]:
    """(steps, mean, lowest, highest) of the runs' values, as far as the shortest of them goes."""
    count = min(map(len, values))
    rows = np.array([y[:count] for y in values])
    return np.asarray(runs[0]["step"][:count]), rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0)


def draw_validation(axes: Axes, runs: Sequence[Curves], key: str, scale: float, look: Look) -> None:
    """Draw what was measured on validation texts as large hollow marks.

    The marks of several runs are their mean, each with a line from the lowest to the highest.
    """
    x, middle, low, high = shared_line(
        [{"step": [entry["step"] for entry in run["validation"]]} for run in runs],
        [scale * numbers([entry[key] for entry in run["validation"]]) for run in runs],
    )
    axes.plot(x, middle, **validation_mark(look[0], look[1]))
    if len(runs) > 1:
        axes.vlines(x, low, high, color=look[0], linewidth=1.5, zorder=5)


def draw_points(axes: Axes, steps: Sequence[Array], values: Sequence[Floats1d], colors: Sequence[str]) -> None:
    """Draw faint points in the order of their steps, so that no run lies above another.

    They become an image: there may be thousands.
    """
    x, y = np.concatenate(steps), np.concatenate(values)
    color = np.repeat(colors, [len(x) for x in steps])
    order = np.argsort(x, kind="stable")
    faint = min(0.3, 300 / max(map(len, steps)))  # so that a crowd of points does not bury the lines
    size = POINT_SIZE**2
    axes.scatter(x[order], y[order], s=size, c=color[order], alpha=faint, linewidths=0, zorder=2, rasterized=True)


def logarithmic_limits(values: Iterable[Floats1d]) -> tuple[float, float]:
    """(lowest, highest) around all positive finite numbers, with some room."""
    positive = np.concatenate([finite(y)[finite(y) > 0] for y in values])
    return (positive.min() / 1.5, positive.max() * 1.5) if len(positive) else (0.1, 1)


def above(dash: Any) -> int:
    """zorder of a line: dashed ones lie above solid ones."""
    return 3 if dash == "-" else ABOVE


def line_mark(look: Look) -> dict[str, Any]:
    """Properties of the line of a group, as it is drawn and as the legend shows it."""
    color, marker, dash = look
    return {"color": color, "marker": marker, "linestyle": dash, "markersize": 4, "linewidth": 1.6}


def cross_mark(color: str) -> dict[str, Any]:
    """Properties of a step without a finite number."""
    return {"color": color, "marker": "x", "linestyle": "", "markersize": 4}


def validation_mark(color: str, marker: str) -> dict[str, Any]:
    """Properties of what was measured on validation texts."""
    return {
        "color": color,
        "marker": marker,
        "linestyle": "",
        "markersize": 7,
        "markerfacecolor": "none",
        "markeredgewidth": 1.5,
        "zorder": 5,
    }


class Entry(NamedTuple):
    """A line of a legend. marks: properties of lines, side by side; of many only the first are shown."""

    label: str
    marks: Sequence[dict[str, Any]]


def legend(figure: Figure, groups: Groups, keys: Collection[str] = (), extra: Iterable[Entry] = ()) -> None:
    """Draw a legend below the panels: the groups, then points, lines and rims, in the colours of the groups.

    keys: of the series drawn step by step. extra: further entries. A single group has no entry of its own, where an
    entry explains its line.
    """
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.lines import Line2D

    own = [Entry(name, [line_mark(look)]) for look, name in zip(looks(len(groups)), groups)]
    entries = [*own[: len(own) if len(own) > 1 or not keys else 0], *extra, *entries_of(groups, keys)]
    handles: list[Any] = [tuple(Line2D([], [], **mark) for mark in entry.marks[:MARKS]) for entry in entries]
    drawn = figure.legend(
        [handle if len(handle) > 1 else handle[0] for handle in handles],
        ["x"] * len(entries),
        loc="outside lower center",
        ncols=columns_of([entry.label for entry in entries]),
        frameon=False,
        columnspacing=1.5,
        handlelength=3,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0.6)},
    )
    for text, entry in zip(drawn.get_texts(), entries):
        # Set afterwards: matplotlib gives a meaning to a name that begins with _ or holds $.
        text.set(text=entry.label, parse_math=False)


def entries_of(groups: Groups, keys: Collection[str]) -> list[Entry]:
    """Entries of a legend that explain what is drawn of the series `keys`."""
    entries: list[Entry] = []
    look = dict(zip(groups, looks(len(groups))))
    if keys:
        window = window_in(groups)
        lines = f"running median of {window} steps" if window > 1 else "from step to step"
        point = {"marker": "o", "linestyle": "", "markersize": POINT_SIZE, "markeredgewidth": 0, "alpha": 0.8}
        entries.append(Entry("single step", [point | {"color": color} for color, _, _ in look.values()]))
        entries.append(Entry(lines, [line_mark(one) for one in look.values()]))
    several = [look[name][0] for name, runs in groups.items() if len(runs) > 1]
    if several:
        band = {"linestyle": "-", "linewidth": 6, "alpha": BAND, "solid_capstyle": "butt"}
        entries.append(Entry("lowest to highest of the seeds", [band | {"color": color} for color in several]))
    series = {name: {key: [numbers(run[key]) for run in runs] for key in keys} for name, runs in groups.items()}
    lost = [name for name, own in series.items() if any(not np.isfinite(y).all() for ys in own.values() for y in ys)]
    if lost:
        entries.append(Entry("no finite number", [cross_mark(look[name][0]) for name in lost]))
    positive = [ys for own in series.values() for key, ys in own.items() if key != "accuracy"]
    if any((y <= 0).any() for ys in positive for y in ys):
        entries.append(Entry("zeros lie on the lower rim", [{"color": GREY, "linestyle": ""}]))
    return entries
