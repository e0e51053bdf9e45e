"""The pictures of a page that show, step by step, how runs were trained: loss and accuracy, learning rate, gradient."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.report.curve_legend import legend
from engine.report.curves import draw_learning, draw_marked_line, draw_series, learning_caption, panels
from engine.report.figures import DISTINCT, looks, plain, svg_text
from engine.report.html import Picture, inline_svg
from engine.report.line_plot import Level, draw_levels
from engine.report.runs import Group
from engine.report.series import Groups, all_runs, numbers, window_in

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves_pictures(groups: Sequence[Group]) -> list[Picture]:
    """The pictures that show all runs, or of too many groups of them those that validation finds best."""
    count = len(groups)
    groups = best_groups(groups)
    curves = curves_of(groups)
    learning = learning_caption(window_in(curves))
    rates = "Learning rate, and L2 norm of the gradient of all parameters before it is clipped, at every step."
    if any(len(runs) > 1 for runs in curves.values()):
        learning += " Runs that differ in nothing but their seed share a line, the mean of theirs, in a band from the "
        learning += "lowest to the highest."
    if count > len(groups):
        learning += (
            f" Drawn are the {len(groups)} of {count} groups of runs with the highest validation accuracy at the end."
        )
    pictures = {
        "learning": ("Loss and accuracy", svg_text(lambda: draw_learning(curves)), learning),
        "rates": ("Learning rate and gradient", svg_text(lambda: draw_rates(groups)), rates),
    }
    return [
        Picture(heading, inline_svg(svg, prefix, heading), caption)
        for prefix, (heading, svg, caption) in pictures.items()
    ]


def best_groups(groups: Sequence[Group]) -> list[Group]:
    """As many groups as have looks of their own, in order: those with the highest mean of the last accuracies."""

    def accuracy(group: Group) -> float:
        last = [run.curves["validation"][-1]["accuracy"] for run in group.runs if run.curves["validation"]]
        return statistics.mean(last) if last else 0.0

    best = sorted(range(len(groups)), key=lambda number: -accuracy(groups[number]))[:DISTINCT]
    return [groups[number] for number in sorted(best)]


def curves_of(groups: Sequence[Group]) -> Groups:
    """Groups of Runs as engine/report/curves.py draws them."""
    return {group.label: [run.curves for run in group.runs] for group in groups}


def draw_rates(groups: Sequence[Group]) -> Figure:
    """Draw learning rates as lines, and norms of the gradient on a logarithmic axis.

    Where all runs clip the gradient to one norm, a line shows it.
    """
    curves = curves_of(groups)
    figure, (upper, lower) = panels(("learning rate", "norm of the gradient, before clipping"))
    for number, (look, runs) in enumerate(zip(looks(len(curves)), curves.values())):
        draw_marked_line(upper, runs[0]["step"], numbers(runs[0]["learning_rate"]), look, number, len(curves))
    upper.set_ylim(bottom=0)
    upper.yaxis.set_major_formatter(lambda value, _: plain(value))
    clips = {run.settings.training.clip_norm for group in groups for run in group.runs}
    levels = [Level(clip, f"clipped above {clip:g}") for clip in clips if len(clips) == 1 and clip > 0]
    norms = [numbers(run["gradient_norm"]) for run in all_runs(curves)]
    room = numbers([level.y / 2 for level in levels])  # for the text below a level
    draw_series(lower, curves, "gradient_norm", within=[*norms, room])
    draw_levels(lower, levels)
    legend(figure, curves, ("gradient_norm",))
    return figure
