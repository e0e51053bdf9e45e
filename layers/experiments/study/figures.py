"""The pictures of a study: three networks trained on the same texts in the same order, compared.

matplotlib (extra `plots`) is imported only when a picture is asked for. The same numbers give the same files, byte by byte.

Curves of a study, step by step, as matplotlib Figures: convergence, gradient norms, independence of the embedding's dimensions.

Maps of the correlations of the embedding's dimensions before and after training, as a matplotlib Figure.

Histograms of phases and magnitudes of a study's waves before and after training, as a matplotlib Figure.
"""

from pathlib import Path

import numpy as np

from engine.report.curves import above, draw_learning, draw_series, legend, numbers, panels
from engine.report.figures import GRID, LOOKS, looks, require_plots, write_picture
from layers.experiments.study.measures import mean_absolute_correlation
from layers.experiments.study.schema import PLACES, WAVES, check_study


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
            x, y = (
                [entry["step"] for entry in run["independence"]],
                numbers([entry[key] for entry in run["independence"]]),
            )
            axes.plot(x, y, color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.4, zorder=above(dash))
        axes.margins(y=0.1)
    row[0].set_ylim(bottom=0)  # not the rank: it may stay near its largest
    legend(figure, groups_of(study))
    return figure


CELLS = 160  # dimensions of a map at most: what a screen can show
COLOURS, SHADES = (LOOKS[1][0], "white", LOOKS[0][0]), 15  # so few make a file half as large, and the bar easy to read
WITHIN = 0.99  # of the correlations that are shown lie within the limits of the colours


def draw_correlations(study, matrices):
    """Maps of correlations before (top) and after (bottom), one column a run, over one scale of colours.

    matrices: run → (before, after), each (d, d). Of more than CELLS dimensions so many, evenly spread, are shown.
    """
    from matplotlib.figure import Figure

    names = [name for name in study["runs"] if name in matrices]
    limit = color_limit([thinned(matrix) for name in names for matrix in matrices[name]])
    figure = Figure(figsize=(max(5.0, 3.0 * len(names) + 0.8), 6.6), layout="constrained")
    grid = figure.subplots(2, len(names), squeeze=False)
    for axes, name in zip(grid.T, names):
        for end, (ax, when) in enumerate(zip(axes, ("before", "after"))):
            matrix = matrices[name][end]
            image = draw_map(ax, thinned(matrix), limit)
            ax.set_title(f"{name}, {when} training\n{map_numbers(study['runs'][name], matrix, -end)}")
    bar = figure.colorbar(
        image, ax=grid, location="bottom", extend="both" if limit < 1 else "neither", shrink=0.5, aspect=40
    )
    bar.set_label(bar_words(limit, [len(matrix) for name in names for matrix in matrices[name]]))
    return figure


def map_numbers(run, matrix, end):
    """What stands above a map: the mean of the absolute correlations, and the effective rank where it was measured."""
    rank = run["independence"][end]["effective_rank"] if run["independence"] else None
    words = f"mean |r| = {mean_absolute_correlation(np.asarray(matrix, float)):.3g}"
    return words if rank is None else f"{words}, effective rank {rank:.1f}"


def thinned(matrix):
    """At most CELLS rows and columns, evenly spread, each as it is; (d, d) float64 with the diagonal as NaN."""
    count = min(CELLS, len(matrix))
    chosen = np.arange(count) * len(matrix) // count
    matrix = np.array(matrix[np.ix_(chosen, chosen)], float)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def color_limit(maps):
    """The end of the colours: two digits, just above WITHIN of all |correlations| in the maps."""
    sizes = np.concatenate([abs(m[np.isfinite(m)]) for m in maps])
    wanted = np.quantile(sizes, WITHIN) if len(sizes) else 0.0
    if wanted < 1e-6:
        return 1.0  # nothing correlates: no noise shall look like something
    unit = 10.0 ** (np.floor(np.log10(wanted)) - 1)
    return float(min(1.0, np.ceil(wanted / unit) * unit))


def draw_map(axes, matrix, limit):
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("signs", COLOURS, SHADES).with_extremes(bad="#999999")
    image = axes.imshow(
        matrix, cmap=colors, vmin=-limit, vmax=limit, interpolation="none"
    )  # a pixel of the file a cell
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return image


def bar_words(limit, sizes):
    """sizes: of all matrices."""
    d = max(sizes)
    if d <= CELLS:
        which = "all dimensions"
    else:
        which = f"{CELLS} of {d} dimensions" if len(set(sizes)) == 1 else f"at most {CELLS} dimensions of each"
    return f"correlation r of two dimensions; colours end at ±{limit:g}\n({which}; grey: of one with itself)"


def check_matrices(study, matrices):
    """Raise ValueError unless each run has two square, finite matrices, and each is of a run of the study."""
    for name, pair in matrices.items():
        if name not in study["runs"]:
            raise ValueError(f"matrices: {name!r} is no run of the study; it has {', '.join(study['runs'])}")
        if len(pair) != 2:
            raise ValueError(f"matrices[{name!r}]: expected (before, after), got {len(pair)} of them")
        for matrix in pair:
            if (
                matrix.ndim != 2
                or matrix.shape[0] != matrix.shape[1]
                or not len(matrix)
                or not np.isfinite(matrix).all()
            ):
                raise ValueError(
                    f"matrices[{name!r}]: expected square matrices of finite numbers, got shape {matrix.shape}"
                )


BEFORE = "#C4C4C4"


def draw_waves(study):
    """One row a run that has waves; before as a grey area, after as a line. Raises ValueError where no run has any."""
    from matplotlib.figure import Figure

    looks = {name: look for (name, run), look in zip(study["runs"].items(), LOOKS * len(study["runs"])) if run["waves"]}
    if not looks:
        raise ValueError("study: expected a run with waves, got none")
    figure = Figure(figsize=(9.6, 2.2 * len(looks) + 1.0), layout="constrained")
    grid = figure.subplots(len(looks), 2, sharex="col", sharey="col", squeeze=False)
    for row, (name, (color, _, dash)) in zip(grid, looks.items()):
        for axes, (key, words) in zip(row, WAVES.items()):
            draw_histograms(
                axes, np.asarray(study["bins"][key], float), [e[key] for e in study["runs"][name]["waves"]], color, dash
            )
            axes.set_title(f"{name}: {words}")
            axes.grid(True, color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
        row[0].set_ylabel("numbers in a bin [%]")
    label_axes(*grid[-1], study, looks)
    legend_above(figure, study, looks)
    return figure


def draw_histograms(axes, edges, counts, color, dash):
    """The first histogram as an area, the last one, if it is another, as a line, both in percent of all counts."""
    axes.stairs(shares(counts[0]), edges, fill=True, color=BEFORE)
    if len(counts) > 1:
        axes.stairs(shares(counts[-1]), edges, color=color, linestyle=dash, linewidth=1.6)


def shares(counts):
    """Counts → percent of their sum; zeros where that is 0."""
    counts = np.asarray(counts, float)
    return 100 * counts / (counts.sum() or 1)


def label_axes(phase, magnitude, study, names):
    """What lies along the axes; that of magnitudes shows no empty ends."""
    phase.set_xlabel("phase [rad]")
    phase.set_xticks(np.pi * np.arange(-2, 3) / 2, ["−π", "−π/2", "0", "π/2", "π"])
    magnitude.set_xlabel("log₁₀ of magnitude")
    edges = study["bins"]["log10_magnitude"]
    ends = [entry["log10_magnitude"] for name in names for entry in study["runs"][name]["waves"]]
    filled = np.flatnonzero(np.sum([ends[0], *ends[1:]], axis=0))
    if len(filled):
        magnitude.set_xlim(edges[max(0, filled[0] - 1)], edges[min(len(edges) - 1, filled[-1] + 2)])


def legend_above(figure, study, looks):
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first = {study["runs"][name]["waves"][0]["step"] for name in looks}
    handles = [Patch(color=BEFORE, label=f"at step {', '.join(map(str, sorted(first)))}")]
    for name, (color, _, dash) in looks.items():
        waves = study["runs"][name]["waves"]
        if len(waves) > 1:
            handles.append(Line2D([], [], color=color, linestyle=dash, label=f"{name}, at step {waves[-1]['step']}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, columnspacing=1.5)


def write_figures(folder, study, matrices, kinds=("svg",)):
    """Write every picture for which the study has numbers → {name of the file: its path}, in the order of the page.

    study: what study.json holds. matrices: run → (before, after), the (d, d) correlations of the embedding's dimensions.
    kinds: "svg", "png". Raises UserError for a damaged study, an unknown kind, without matplotlib, and where a file cannot be
    written; ValueError for matrices that are none.
    """
    check_study(study)
    check_matrices(study, matrices)
    draws = {"convergence": draw_convergence, "gradients": draw_gradients}
    if matrices:
        draws["correlations"] = lambda study: draw_correlations(study, matrices)
    if any(run["independence"] for run in study["runs"].values()):
        draws["independence"] = draw_independence
    if any(run["waves"] for run in study["runs"].values()):
        draws["waves"] = draw_waves
    paths = {f"{name}.{kind}": Path(folder) / f"{name}.{kind}" for name in draws for kind in kinds}
    for path in paths.values():
        require_plots(path)
    for name, draw in draws.items():
        for kind in kinds:
            write_picture(paths[f"{name}.{kind}"], lambda draw=draw: draw(study))
    return paths
