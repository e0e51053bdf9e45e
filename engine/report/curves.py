"""Curves of trainings, step by step, as matplotlib Figures.

The line of a group of several runs (series.py) is the mean of their running medians, and lies in a band from the lowest
to the highest of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report.curve_legend import BAND, POINT_SIZE, Entry, cross_mark, legend, line_mark, validation_mark
from engine.report.figures import GRID, PANEL_HEIGHT, WIDTH, Look, looks, plain_logarithmic_ticks
from engine.report.series import Curves, Groups, all_runs, finite, numbers, running_median, window_in
from engine.types import Array, Floats1d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ABOVE = 4  # zorder of dashed lines, which let a solid line below them be seen


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
