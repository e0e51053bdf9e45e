"""Curves of a study, step by step, as matplotlib Figures: convergence, gradient norms, independence of the embedding's dimensions."""

import numpy as np

from engine.analysis.pictures import GREY, GRID, LOOKS
from engine.analysis.series import finite, numbers, running_median
from engine.analysis.study.form import PLACES
from engine.analysis.study.readings import window_of

ABOVE = 4  # zorder of runs whose dashes let a solid line below them be seen


def draw_convergence(study):
    """Loss and accuracy of single steps, their running medians, and what was measured on validation texts."""
    figure, (left, right) = panels(study, 2, ("loss [nat]", "accuracy [%]"))
    right.set_ylim(-2, 104)
    losses = [numbers([*run["loss"], *(entry["loss"] for entry in run["validation"])]) for run in study["runs"].values()]
    draw_series(left, study, "loss", within=losses)
    draw_series(right, study, "accuracy", scale=100)
    for axes, key, scale in ((left, "loss", 1), (right, "accuracy", 100)):
        for look, run in zip(LOOKS * len(study["runs"]), study["runs"].values()):
            y = scale * numbers([entry[key] for entry in run["validation"]])
            axes.plot([entry["step"] for entry in run["validation"]], y, **validation_mark(look[0], look[1]))
    extra = [validation_mark(GREY, "o") | {"label": "validation"}] if any(run["validation"] for run in study["runs"].values()) else []
    legend(figure, study, ("loss", "accuracy"), extra)
    return figure


def draw_gradients(study):
    """Norms of the loss's gradient at three places, over one logarithmic axis."""
    figure, row = panels(study, 3, PLACES.values(), sharey=True)
    row[0].set_ylabel("L2 norm of the loss's gradient")
    norms = [numbers(run[place]) for run in study["runs"].values() for place in PLACES]
    for axes, place in zip(row, PLACES):
        draw_series(axes, study, place, within=norms)
    legend(figure, study, PLACES)
    return figure


def draw_independence(study):
    """Mean absolute correlation and effective rank at the steps at which they were measured."""
    figure, row = panels(study, 2, ("mean |correlation| of two dimensions", "effective rank"))
    for axes, key in zip(row, ("mean_absolute_correlation", "effective_rank")):
        for (color, marker, dash), run in zip(LOOKS * len(study["runs"]), study["runs"].values()):
            x, y = [entry["step"] for entry in run["independence"]], numbers([entry[key] for entry in run["independence"]])
            axes.plot(x, y, color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.4, zorder=above(dash))
        axes.margins(y=0.1)
    row[0].set_ylim(bottom=0)  # not the rank: it may stay near its largest
    legend(figure, study)
    return figure


def panels(study, count, titles, sharey=False):
    """(Figure, row of axes) for so many panels by step."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, 4.0 if count == 2 else 3.8), layout="constrained")
    row = figure.subplots(1, count, sharex=True, sharey=sharey)
    for axes, title in zip(row, titles):
        axes.set_title(title, pad=10)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 2.5, 5, 10), integer=True, min_n_ticks=1))
        axes.grid(True, color=GRID, linewidth=0.6)
    return figure, row


def draw_series(axes, study, key, scale=1, within=None):
    """Every step of every run faint, and running medians strong. A step without a finite number is a cross on the upper rim.

    within: series among which the limits of a logarithmic axis are chosen; zeros lie on its lower rim. Without, it is linear.
    """
    runs, window = study["runs"].values(), window_of(study)
    values = [scale * numbers(run[key]) for run in runs]
    if within is not None:
        axes.set(yscale="log", ylim=logarithmic_limits(within))
    bottom, top = axes.get_ylim()
    colors = [LOOKS[number % len(LOOKS)][0] for number in range(len(values))]
    steps = [np.asarray(run["step"]) for run in runs]
    draw_points(axes, steps, [np.maximum(y, bottom) for y in values], colors)
    for number, (x, y) in enumerate(zip(steps, values)):
        color, marker, dash = LOOKS[number % len(LOOKS)]
        middle, stride = np.maximum(running_median(y, window), bottom), max(1, len(x) // 8)
        marks = {"marker": marker, "markersize": 4, "markevery": (stride * (number + 1) // (len(values) + 1), stride)}
        axes.plot(x, middle, color=color, linestyle=dash, linewidth=1.6, zorder=above(dash), clip_on=False, **marks)
        lost = x[~np.isfinite(y)]
        if len(lost):
            axes.plot(lost, np.full(len(lost), top), "x", color=color, markersize=4, clip_on=False, zorder=ABOVE, rasterized=True)


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
    return {"color": color, "marker": marker, "linestyle": "", "markersize": 7, "markerfacecolor": "none", "markeredgewidth": 1.5, "zorder": 5}


def legend(figure, study, keys=(), extra=()):
    """Below the panels: the runs, what points and lines are, and what lies on the rims. keys: of the series drawn step by step."""
    from matplotlib.lines import Line2D

    looks = zip(LOOKS * len(study["runs"]), study["runs"])
    handles = [Line2D([], [], color=color, marker=marker, linestyle=dash, markersize=4, label=name) for (color, marker, dash), name in looks]
    marks = list(extra)
    if keys:
        window = window_of(study)
        marks.append({"marker": ".", "markersize": 3, "alpha": 0.5, "label": "single step"})
        marks.append({"linestyle": "-", "label": f"running median of {window} steps" if window > 1 else "from step to step"})
    series = {key: [numbers(run[key]) for run in study["runs"].values()] for key in keys}
    if any(not np.isfinite(y).all() for ys in series.values() for y in ys):
        marks.append({"marker": "x", "markersize": 4, "label": "no finite number"})
    if any((y <= 0).any() for key, ys in series.items() if key != "accuracy" for y in ys):
        marks.append({"label": "zeros lie on the lower rim"})
    handles += [Line2D([], [], **{"color": GREY, "linestyle": ""} | mark) for mark in marks]
    columns = len(handles) if len(handles) <= 6 else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, columnspacing=1.5)
