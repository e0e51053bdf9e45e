"""Curves of trainings, step by step, as matplotlib Figures: single steps, running medians, and what was measured on validation texts.

`groups` is everywhere {name: runs that share a line}: a single one, or several that differ in nothing but their seed, whose line is the mean
of their running medians and lies in a band from the lowest to the highest of them. A run is a dict of lists: "step", series with a
number or None for each of them, and "validation": [{"step", "accuracy", "loss"}].

Series of numbers recorded step by step, of which some may be missing: medians of what there is.
"""

import math

import numpy as np

from engine.report.figures import GREY, GRID, looks


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def numbers(values):
    """A list of numbers and None → float64, None as NaN."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def finite(values):
    return values[np.isfinite(values)]


def median(values):
    """Of what is finite; NaN where nothing is."""
    values = finite(values)
    return float(np.median(values)) if len(values) else math.nan


def largest(values):
    values = finite(values)
    return float(values.max()) if len(values) else math.nan


def tenth(values, last=False):
    """The first or last tenth of the steps, at least one."""
    count = max(1, len(values) // 10)
    return values[-count:] if last else values[:count]


def window_for(steps):
    """Steps over which running medians of so many are taken: about a twelfth of them, at least 7 of 30 or more; odd.

    Batches hold texts of about one length, and short texts may be easy ones: fewer steps would show their clusters.
    """
    return 2 * max(steps // 24, min(3, steps // 10)) + 1


def running_median(values, window):
    """values: (n,) → (n,), the median of what is finite among the `window` (odd) values around each; NaN where nothing is.

    Towards the ends the window holds only the values that there are.
    """
    rim = np.full(window // 2, math.nan)
    around = np.concatenate([rim, np.where(np.isfinite(values), values, math.nan), rim])
    around = np.sort(np.lib.stride_tricks.sliding_window_view(around, window), axis=1)  # NaN last
    count = np.isfinite(around).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    row = np.arange(len(values))
    return np.where(count > 0, (around[row, low] + around[row, np.minimum(high, window - 1)]) / 2, math.nan)


ABOVE = 4  # zorder of runs whose dashes let a solid line below them be seen
LEGEND_CHARACTERS, MARK_CHARACTERS = (
    130,
    6,
)  # in a row of the legend, and those of which the mark beside a name takes the place


def draw_learning(groups):
    """Loss and accuracy of single steps, their running medians, and what was measured on validation texts."""
    figure, (left, right) = panels(2, ("loss [nat]", "accuracy [%]"))
    right.set_ylim(-2, 104)
    losses = [numbers([*run["loss"], *(entry["loss"] for entry in run["validation"])]) for run in all_runs(groups)]
    draw_series(left, groups, "loss", within=losses)
    draw_series(right, groups, "accuracy", scale=100)
    for axes, key, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        for look, runs in zip(looks(len(groups)), groups.values()):
            draw_validation(axes, runs, key, scale, look)
    extra = (
        [validation_mark(GREY, "o") | {"label": "validation"}]
        if any(run["validation"] for run in all_runs(groups))
        else []
    )
    legend(figure, groups, ("loss", "accuracy"), extra)
    return figure


def all_runs(groups):
    return [run for runs in groups.values() for run in runs]


def window_in(groups):
    """Steps over which running medians are taken, for all runs as for the longest."""
    return window_for(max(len(run["step"]) for run in all_runs(groups)))


def medians_words(window):
    """What the lines are, for the words below a figure."""
    return f"their running medians over {window} steps (lines)" if window > 1 else "lines from step to step"


def learning_words(window):
    """What draw_learning draws."""
    return (
        f"Training loss and accuracy at every step (points), {medians_words(window)}, and the same measured on validation texts "
        "(large hollow marks)."
    )


def panels(count, titles, sharey=False, height=None):
    """(Figure, row of axes) for so many panels by step. height: in inches."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, height or (4.0 if count == 2 else 3.8)), layout="constrained")
    row = figure.subplots(1, count, sharex=True, sharey=sharey)
    for axes, title in zip(row, titles):
        axes.set_title(title, pad=10)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True, min_n_ticks=1))
        axes.grid(True, color=GRID, linewidth=0.6)
    return figure, row


def draw_series(axes, groups, key, scale=1, within=None):
    """Every step of every run faint, and running medians strong. A step without a finite number is a cross on the upper rim.

    within: series among which the limits of a logarithmic axis are chosen; zeros lie on its lower rim. Without, it is linear.
    """
    window = window_in(groups)
    if within is not None:
        axes.set(yscale="log", ylim=logarithmic_limits(within))
    bottom, top = axes.get_ylim()
    shown = [
        (look, np.asarray(run["step"]), scale * numbers(run[key]))
        for look, runs in zip(looks(len(groups)), groups.values())
        for run in runs
    ]
    draw_points(
        axes, [x for _, x, _ in shown], [np.maximum(y, bottom) for _, _, y in shown], [look[0] for look, _, _ in shown]
    )
    for number, ((color, marker, dash), runs) in enumerate(zip(looks(len(groups)), groups.values())):
        x, middle, low, high = shared_line(
            runs, [np.maximum(running_median(scale * numbers(run[key]), window), bottom) for run in runs]
        )
        stride = max(1, len(x) // 8)
        marks = {"marker": marker, "markersize": 4, "markevery": (stride * (number + 1) // (len(groups) + 1), stride)}
        axes.plot(x, middle, color=color, linestyle=dash, linewidth=1.6, zorder=above(dash), clip_on=False, **marks)
        if len(runs) > 1:
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0, zorder=2.5)
    for (color, _, _), x, y in shown:
        lost = x[~np.isfinite(y)]
        if len(lost):
            axes.plot(
                lost,
                np.full(len(lost), top),
                "x",
                color=color,
                markersize=4,
                clip_on=False,
                zorder=ABOVE,
                rasterized=True,
            )


def shared_line(runs, values):
    """(steps, mean, lowest, highest) of the runs' values, as far as the shortest of them goes."""
    count = min(map(len, values))
    values = np.array([y[:count] for y in values])
    return np.asarray(runs[0]["step"][:count]), values.mean(axis=0), values.min(axis=0), values.max(axis=0)


def draw_validation(axes, runs, key, scale, look):
    """What was measured on validation texts: large hollow marks, of several runs at their mean and with a line from lowest to highest."""
    x, middle, low, high = shared_line(
        [{"step": [entry["step"] for entry in run["validation"]]} for run in runs],
        [scale * numbers([entry[key] for entry in run["validation"]]) for run in runs],
    )
    axes.plot(x, middle, **validation_mark(look[0], look[1]))
    if len(runs) > 1:
        axes.vlines(x, low, high, color=look[0], linewidth=1.5, zorder=5)


def draw_points(axes, steps, values, colors):
    """Faint points in the order of their steps, so that no run lies above another. As an image: there may be thousands."""
    x, y = np.concatenate(steps), np.concatenate(values)
    color = np.repeat(colors, [len(x) for x in steps])
    order = np.argsort(x, kind="stable")
    faint = min(0.3, 300 / max(map(len, steps)))  # so that a crowd of points does not bury the lines
    axes.scatter(x[order], y[order], s=4, c=color[order], alpha=faint, linewidths=0, zorder=2, rasterized=True)


def logarithmic_limits(values):
    """(lowest, highest) around all positive finite numbers, with some room."""
    positive = np.concatenate([finite(y)[finite(y) > 0] for y in values])
    return (positive.min() / 1.5, positive.max() * 1.5) if len(positive) else (0.1, 1)


def above(dash):
    return 3 if dash == "-" else ABOVE


def validation_mark(color, marker):
    return {
        "color": color,
        "marker": marker,
        "linestyle": "",
        "markersize": 7,
        "markerfacecolor": "none",
        "markeredgewidth": 1.5,
        "zorder": 5,
    }


def legend(figure, groups, keys=(), extra=()):
    """Below the panels: the groups, what points and lines are, and what lies on the rims. keys: of the series drawn step by step."""
    from matplotlib.lines import Line2D

    named = zip(looks(len(groups)), groups)
    handles = [
        {"color": color, "marker": marker, "linestyle": dash, "markersize": 4, "label": name}
        for (color, marker, dash), name in named
    ]
    marks = list(extra)
    if keys:
        window = window_in(groups)
        marks.append({"marker": ".", "markersize": 3, "alpha": 0.5, "label": "single step"})
        marks.append(
            {"linestyle": "-", "label": f"running median of {window} steps" if window > 1 else "from step to step"}
        )
    if any(len(runs) > 1 for runs in groups.values()):
        marks.append({"linestyle": "-", "linewidth": 6, "alpha": 0.2, "label": "lowest to highest of the seeds"})
    series = {key: [numbers(run[key]) for run in all_runs(groups)] for key in keys}
    if any(not np.isfinite(y).all() for ys in series.values() for y in ys):
        marks.append({"marker": "x", "markersize": 4, "label": "no finite number"})
    if any((y <= 0).any() for key, ys in series.items() if key != "accuracy" for y in ys):
        marks.append({"label": "zeros lie on the lower rim"})
    handles += [{"color": GREY, "linestyle": ""} | mark for mark in marks]
    names = [handle.pop("label") for handle in handles]
    look = {"loc": "outside lower center", "ncols": columns_of(names), "frameon": False, "columnspacing": 1.5}
    drawn = figure.legend([Line2D([], [], **handle) for handle in handles], ["x"] * len(names), **look)
    for text, name in zip(drawn.get_texts(), names):
        text.set(
            text=name, parse_math=False
        )  # afterwards: a name may begin with _ or hold $, to which the library gives a meaning


def columns_of(names):
    """How many columns a legend has: at most 6, as many as fit beside each other, in rows of about one length."""
    for most in range(min(6, len(names)), 1, -1):
        rows = -(-len(names) // most)
        columns = [
            names[start : start + rows] for start in range(0, len(names), rows)
        ]  # a legend is filled column by column
        if sum(max(map(len, column)) + MARK_CHARACTERS for column in columns) <= LEGEND_CHARACTERS:
            return len(columns)
    return 1
