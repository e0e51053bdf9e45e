"""The pictures of a report as texts of SVG files."""

from engine.analysis.line_plot import Level, draw_levels
from engine.analysis.pictures import looks, svg_text
from engine.analysis.report.matrix import draw_matrix
from engine.analysis.series import numbers
from engine.analysis.step_curves import above, all_runs, draw_learning, draw_series, legend, panels


def learning_svg(groups):
    """groups: of Runs (compare.py). Loss and accuracy, step by step and of validation."""
    return svg_text(lambda: draw_learning(curves_of(groups)))


def rates_svg(groups):
    """groups: of Runs (compare.py). Learning rate and norm of the gradient, step by step."""
    return svg_text(lambda: draw_rates(groups))


def matrix_svg(names, confusion):
    """As draw_matrix (matrix.py)."""
    return svg_text(lambda: draw_matrix(names, confusion))


def curves_of(groups):
    """Groups of Runs as step_curves draws them."""
    return {group.label: [run.curves for run in group.runs] for group in groups}


def draw_rates(groups):
    """Learning rates as lines, norms of the gradient on a logarithmic axis, with the norm to which all runs clip it if there is one."""
    curves = curves_of(groups)
    figure, (left, right) = panels(2, ("learning rate", "norm of the gradient, before clipping"), height=3.2)
    for (color, _, dash), runs in zip(looks(len(curves)), curves.values()):
        left.plot(runs[0]["step"], runs[0]["learning_rate"], color=color, linestyle=dash, linewidth=1.4, zorder=above(dash))
    left.set_ylim(bottom=0)
    left.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    clips = {run.settings.training.clip_norm for group in groups for run in group.runs}
    levels = [Level(clip, f"clipped above {clip:g}") for clip in clips if len(clips) == 1 and clip > 0]
    norms = [numbers(run["gradient_norm"]) for run in all_runs(curves)]
    draw_series(right, curves, "gradient_norm", within=[*norms, numbers([level.y / 2 for level in levels])])  # room for its words
    draw_levels(right, levels)
    legend(figure, curves, ("gradient_norm",))
    return figure
