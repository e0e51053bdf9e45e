"""Curves of a study, step by step, as matplotlib Figures: convergence, gradient norms, independence of the embedding's dimensions."""

from engine.analysis.pictures import looks
from engine.analysis.series import numbers
from engine.analysis.step_curves import above, draw_learning, draw_series, legend, panels
from engine.analysis.study.form import PLACES


def draw_convergence(study):
    """Loss and accuracy of single steps, their running medians, and what was measured on validation texts."""
    return draw_learning(groups_of(study))


def groups_of(study):
    """The runs as step_curves draws them: a line each."""
    return {name: [run] for name, run in study["runs"].items()}


def draw_gradients(study):
    """Norms of the loss's gradient at three places, over one logarithmic axis."""
    groups = groups_of(study)
    figure, row = panels(3, PLACES.values(), sharey=True)
    row[0].set_ylabel("L2 norm of the loss's gradient")
    norms = [numbers(run[place]) for run in study["runs"].values() for place in PLACES]
    for axes, place in zip(row, PLACES):
        draw_series(axes, groups, place, within=norms)
    legend(figure, groups, PLACES)
    return figure


def draw_independence(study):
    """Mean absolute correlation and effective rank at the steps at which they were measured."""
    figure, row = panels(2, ("mean |correlation| of two dimensions", "effective rank"))
    for axes, key in zip(row, ("mean_absolute_correlation", "effective_rank")):
        for (color, marker, dash), run in zip(looks(len(study["runs"])), study["runs"].values()):
            x, y = [entry["step"] for entry in run["independence"]], numbers([entry[key] for entry in run["independence"]])
            axes.plot(x, y, color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.4, zorder=above(dash))
        axes.margins(y=0.1)
    row[0].set_ylim(bottom=0)  # not the rank: it may stay near its largest
    legend(figure, groups_of(study))
    return figure
