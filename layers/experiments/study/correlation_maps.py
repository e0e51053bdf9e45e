"""Maps of the correlations of the embedding's dimensions before and after training, as a matplotlib Figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.report.curves import Curves
from engine.report.figures import LOOKS
from engine.types import Floats2d
from layers.experiments.study.measures import mean_absolute_correlation
from layers.experiments.study.schema import Matrices, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

CELLS = 160  # dimensions of a map at most: what a screen can show
COLOURS, SHADES = (LOOKS[1][0], "white", LOOKS[0][0]), 15  # so few make a file half as large, and the bar easy to read
WITHIN = 0.99  # of the correlations that are shown lie within the limits of the colours


def draw_correlation_maps(study: Record, matrices: Matrices) -> Figure:
    """Draw maps of correlations before (top) and after (bottom), one column a run, over one scale of colours.

    Where there are more than CELLS dimensions, so many, evenly spread, are shown.
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
