"""Maps of the correlations of the embedding's dimensions before and after training, as a matplotlib Figure."""

import numpy as np

from engine.analysis.independence import mean_absolute_correlation
from engine.analysis.pictures import LOOKS

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
    bar = figure.colorbar(image, ax=grid, location="bottom", extend="both" if limit < 1 else "neither", shrink=0.5, aspect=40)
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
    image = axes.imshow(matrix, cmap=colors, vmin=-limit, vmax=limit, interpolation="none")  # a pixel of the file a cell
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
            if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix) or not np.isfinite(matrix).all():
                raise ValueError(f"matrices[{name!r}]: expected square matrices of finite numbers, got shape {matrix.shape}")
