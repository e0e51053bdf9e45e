"""The figures of a study, as matplotlib Figures and as files: learning, gradients, correlation maps, wave histograms.

matplotlib (extra `plots`) is imported only when a picture is asked for. The same numbers give the same files, byte by
byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report.curve_legend import legend
from engine.report.curves import above, draw_learning, draw_series, panels
from engine.report.figures import GRID, LOOKS, WIDTH, Look, columns_of, looks, require_plots, write_picture
from engine.report.series import Curves, numbers
from engine.types import Floats1d, Floats2d
from layers.experiments.study.measures import mean_absolute_correlation
from layers.experiments.study.plan import PLACES, WAVES, Matrices, Record, check_study, groups_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

CELLS = 160  # dimensions of a map at most: what a screen can show
COLOURS, SHADES = (LOOKS[1][0], "white", LOOKS[0][0]), 15  # so few make a file half as large, and the bar easy to read
WITHIN = 0.99  # of the correlations that are shown lie within the limits of the colours


def draw_correlation_maps(study: Record, matrices: Matrices) -> Figure:
    """Draw maps of correlations before (left) and after (right), one row a run, over one scale of colours.

    Where there are more than CELLS dimensions, so many, evenly spread, are shown.
    """
    from matplotlib.figure import Figure

    names = [name for name in study["runs"] if name in matrices]
    limit = color_limit([thinned(matrix) for name in names for matrix in matrices[name]])
    figure = Figure(figsize=(1.2 * WIDTH, 3.2 * len(names) + 1), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False)
    for axes, name in zip(grid, names):
        for end, (ax, when) in enumerate(zip(axes, ("before", "after"))):
            matrix = matrices[name][end]
            image = draw_map(ax, thinned(matrix), limit)
            ax.set_title(f"{name}, {when} training\n{map_title(study['runs'][name], matrix, -end)}")
    bar = figure.colorbar(
        image, ax=grid, location="bottom", extend="both" if limit < 1 else "neither", shrink=0.5, aspect=40
    )
    bar.set_label(bar_label(limit, [len(matrix) for name in names for matrix in matrices[name]]))
    return figure


def map_title(run: Curves, matrix: Floats2d, end: int) -> str:
    """Mean of the absolute correlations of a map, and the effective rank where it was measured.

    end: index of the measurement, 0 before training and −1 after it.
    """
    rank = run["independence"][end]["effective_rank"] if run["independence"] else None
    title = f"mean |r| = {mean_absolute_correlation(np.asarray(matrix, float)):.3g}"
    return title if rank is None else f"{title}, effective rank {rank:.1f}"


def thinned(matrix: Floats2d) -> Floats2d:
    """At most CELLS rows and columns, evenly spread, each as it is; (d, d) float64 with the diagonal as NaN."""
    count = min(CELLS, len(matrix))
    chosen = np.arange(count) * len(matrix) // count
    shown = np.array(matrix[np.ix_(chosen, chosen)], float)
    np.fill_diagonal(shown, np.nan)
    return shown


def color_limit(maps: Sequence[Floats2d]) -> float:
    """The end of the colours: two digits, just above WITHIN of all |correlations| in the maps."""
    sizes = np.concatenate([abs(m[np.isfinite(m)]) for m in maps])
    wanted = np.quantile(sizes, WITHIN) if len(sizes) else 0.0
    if wanted < 1e-6:
        return 1.0  # nothing correlates: no noise shall look like something
    unit = 10.0 ** (np.floor(np.log10(wanted)) - 1)
    return float(min(1.0, np.ceil(wanted / unit) * unit))


def draw_map(axes: Axes, matrix: Floats2d, limit: float) -> AxesImage:
    """Draw one map, a pixel of the file a cell, with colours from −limit to limit."""
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("signs", COLOURS, SHADES).with_extremes(bad="#999999")
    image = axes.imshow(matrix, cmap=colors, vmin=-limit, vmax=limit, interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return image


def bar_label(limit: float, sizes: Sequence[int]) -> str:
    """Text at the bar that explains the colours. sizes: numbers of dimensions of all matrices."""
    d = max(sizes)
    if d <= CELLS:
        which = "all dimensions"
    else:
        which = f"{CELLS} of {d} dimensions" if len(set(sizes)) == 1 else f"at most {CELLS} dimensions of each"
    return f"correlation r of two dimensions; colours end at ±{limit:g}\n({which}; grey: of one with itself)"


def check_matrices(study: Record, matrices: Matrices) -> None:
    """Raise ValueError unless each run has two square, finite matrices, and each is of a run of the study."""
    for name, pair in matrices.items():
        if name not in study["runs"]:
            raise ValueError(f"matrices: {name!r} is no run of the study; it has {', '.join(study['runs'])}")
        if len(pair) != 2:
            raise ValueError(f"matrices[{name!r}]: expected (before, after), got {len(pair)} of them")
        for matrix in pair:
            square = matrix.ndim == 2 and len(matrix) == matrix.shape[1] > 0
            if not square or not np.isfinite(matrix).all():
                raise ValueError(
                    f"matrices[{name!r}]: expected square matrices of finite numbers, got shape {matrix.shape}"
                )


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE = "#C4C4C4"  # colour of histograms before training


def write_figures(
    folder: Path | str, study: Record, matrices: Matrices, kinds: Sequence[str] = ("svg",)
) -> dict[str, Path]:
    """Write every picture for which the study has numbers → {name of the file: its path}, in the order of the page.

    study: content of study.json. matrices: run → (before, after), the (d, d) correlations of the embedding's
    dimensions. kinds: "svg", "png". Raises UserError for a damaged study, an unknown kind, without matplotlib, and
    where a file cannot be written; ValueError for matrices that are no correlations of the study's runs.
    """
    check_study(study)
    check_matrices(study, matrices)
    draws = {"convergence": draw_convergence, "gradients": draw_gradients}
    if matrices:
        draws["correlations"] = lambda study: draw_correlation_maps(study, matrices)
    if any(run["independence"] for run in study["runs"].values()):
        draws["independence"] = draw_independence
    if any(run["waves"] for run in study["runs"].values()):
        draws["waves"] = draw_waves
    paths = {f"{name}.{kind}": Path(folder) / f"{name}.{kind}" for name in draws for kind in kinds}
    for path in paths.values():
        require_plots(path)
    for name, draw in draws.items():
        for kind in kinds:
            write_picture(paths[f"{name}.{kind}"], partial(draw, study))
    return paths


def draw_convergence(study: Record) -> Figure:
    """Draw loss and accuracy of single steps, their running medians, and both as measured on validation texts."""
    return draw_learning(groups_of(study))


def draw_gradients(study: Record) -> Figure:
    """Draw norms of the loss's gradient at three places, over one logarithmic axis."""
    groups = groups_of(study)
    figure, column = panels(list(PLACES.values()), sharey=True)
    figure.supylabel("L2 norm of the loss's gradient", fontsize="medium")
    norms = [numbers(run[place]) for run in study["runs"].values() for place in PLACES]
    for axes, place in zip(column, PLACES):
        draw_series(axes, groups, place, within=norms)
    legend(figure, groups, PLACES)
    return figure


def draw_independence(study: Record) -> Figure:
    """Draw mean absolute correlation and effective rank at the steps at which they were measured."""
    figure, column = panels(("mean |correlation| of two dimensions", "effective rank"))
    for axes, key in zip(column, ("mean_absolute_correlation", "effective_rank")):
        for (color, marker, dash), run in zip(looks(len(study["runs"])), study["runs"].values()):
            x = [entry["step"] for entry in run["independence"]]
            y = numbers([entry[key] for entry in run["independence"]])
            axes.plot(x, y, color=color, marker=marker, linestyle=dash, markersize=4, linewidth=1.4, zorder=above(dash))
        axes.margins(y=0.1)
    column[0].set_ylim(bottom=0)  # not the rank: it may stay near its largest
    legend(figure, groups_of(study))
    return figure


def draw_waves(study: Record) -> Figure:
    """Draw one row of histograms a run that has waves; before as a grey area, after as a line.

    Raises ValueError where no run has any.
    """
    from matplotlib.figure import Figure

    chosen = {
        name: look for (name, run), look in zip(study["runs"].items(), LOOKS * len(study["runs"])) if run["waves"]
    }
    if not chosen:
        raise ValueError("study: expected a run with waves, got none")
    figure = Figure(figsize=(1.2 * WIDTH, 2.2 * len(chosen) + 1.2), layout="constrained")
    grid = figure.subplots(len(chosen), 2, sharex="col", sharey="col", squeeze=False)
    for row, (name, (color, _, dash)) in zip(grid, chosen.items()):
        for axes, (key, label) in zip(row, WAVES.items()):
            counts = [entry[key] for entry in study["runs"][name]["waves"]]
            draw_histograms(axes, np.asarray(study["bins"][key], np.float64), counts, color, dash)
            axes.set_title(f"{name}: {label}")
            axes.grid(True, color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)
        row[0].set_ylabel("numbers in a bin [%]")
    phase, magnitude = grid[-1]
    label_axes(phase, magnitude, study, chosen)
    wave_legend(figure, study, chosen)
    return figure


def draw_histograms(axes: Axes, edges: Floats1d, counts: Sequence[Sequence[int]], color: str, dash: Any) -> None:
    """Draw the first histogram as an area, the last one, if it is another, as a line, both in percent of all counts."""
    axes.stairs(shares(counts[0]), edges, fill=True, color=BEFORE)
    if len(counts) > 1:
        axes.stairs(shares(counts[-1]), edges, color=color, linestyle=dash, linewidth=1.6)


def shares(counts: Sequence[int]) -> Floats1d:
    """Counts → percent of their sum; zeros where that is 0."""
    array = np.asarray(counts, np.float64)
    return 100 * array / (array.sum() or 1)


def label_axes(phase: Axes, magnitude: Axes, study: Record, names: Iterable[str]) -> None:
    """Label the axes; that of magnitudes shows no empty ends."""
    phase.set_xlabel("phase [rad]")
    phase.set_xticks(np.pi * np.arange(-2, 3) / 2, ["−π", "−π/2", "0", "π/2", "π"])
    magnitude.set_xlabel("log₁₀ of magnitude")
    edges = study["bins"]["log10_magnitude"]
    ends = [entry["log10_magnitude"] for name in names for entry in study["runs"][name]["waves"]]
    filled = np.flatnonzero(np.sum([ends[0], *ends[1:]], axis=0))
    if len(filled):
        magnitude.set_xlim(edges[max(0, filled[0] - 1)], edges[min(len(edges) - 1, filled[-1] + 2)])


def wave_legend(figure: Figure, study: Record, chosen: dict[str, Look]) -> None:
    """Draw a legend below the histograms: the grey areas, and a line for each run."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    first = {study["runs"][name]["waves"][0]["step"] for name in chosen}
    handles: list[Patch | Line2D] = [Patch(color=BEFORE, label=f"at step {', '.join(map(str, sorted(first)))}")]
    for name, (color, _, dash) in chosen.items():
        waves = study["runs"][name]["waves"]
        if len(waves) > 1:
            handles.append(Line2D([], [], color=color, linestyle=dash, label=f"{name}, at step {waves[-1]['step']}"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns_of([str(handle.get_label()) for handle in handles]),
        frameon=False,
        columnspacing=1.5,
    )
