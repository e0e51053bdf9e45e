"""The confusion matrix of a run as a matplotlib Figure, readable for two classes and for fifty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.report.figures import LETTER, LOOKS, width_of
from engine.report.html import readable
from engine.types import Array, Floats2d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST_CLASSES = 52  # that a matrix shows: of more, those that are confused most, and the rest as one
OTHERS = "all others"
LABEL_CHARACTERS = 28
SMALLEST_CELL, LARGEST_CELL, SIDE = 13.0, 54.0, 540.0  # in points: of a cell, and of the matrix between these limits
SMALLEST_NUMBER, LARGEST_NUMBER = 4.5, 10.0  # sizes of the letters in cells
DARK = 0.42  # of the colours' scale: numbers on what lies above are white
TICKS = (0, 1, 10, 30, 60, 100)  # of the colour bar, in percent


def draw_matrix(names: Sequence[str], confusion: Array) -> Figure:
    """Draw a confusion matrix.

    names: of C classes; confusion: (C, C) counts, a row for each true class, a column for each predicted one.
    Colours are shares of a row, numbers the counts; zeros are left blank, and so are numbers for which a cell is too
    small.
    """
    from matplotlib.figure import Figure

    names, confusion = shown_classes(names, confusion)
    labels = [readable(name, LABEL_CHARACTERS) for name in names]
    cell = min(LARGEST_CELL, max(SMALLEST_CELL, SIDE / len(labels)))
    side, size = cell * len(labels), min(9.0, max(6.5, 0.6 * cell))
    beside = max(width_of(label, size) for label in labels) + 24  # ticks and the label of the axis
    level = all(width_of(label, size) < cell for label in labels)
    below = 2.4 * size + 12 if level else beside + 4
    width, height = beside + side + 70, below + max(side, 120) + 8
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((beside / width, below / height, side / width, side / height))
    image = draw_cells(axes, confusion)
    # An anchor holds whatever font the reader has.
    upright: dict[str, Any] = {"rotation": 90, "rotation_mode": "anchor", "ha": "right", "va": "center"}
    for axis, turned in ((axes.xaxis, {} if level else upright), (axes.yaxis, {})):
        axis.set_ticks(range(len(labels)), labels, size=size, parse_math=False, **turned)
        axis.set_tick_params(length=0, pad=3)
    axes.set_xlabel("predicted class", size=9)
    axes.set_ylabel("true class", size=9)
    write_numbers(axes, confusion, cell)
    draw_bar(figure, image, ((beside + side + 14) / width, below / height, 9 / width, min(side, 180) / height))
    return figure


def shown_classes(names: Sequence[str], confusion: Array) -> tuple[list[str], Array]:
    """(names, confusion) of all classes; of too many, of those confused most, in their own order, and OTHERS."""
    if len(names) <= MOST_CLASSES:
        return list(names), confusion
    wrong = confusion - np.diag(confusion.diagonal())
    kept = np.sort(np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[: MOST_CLASSES - 1])
    row_index = np.full(len(names), len(kept))
    row_index[kept] = np.arange(len(kept))
    merged = np.zeros((MOST_CLASSES, MOST_CLASSES), confusion.dtype)
    np.add.at(merged, (row_index[:, None], row_index[None, :]), confusion)
    return [*(names[number] for number in kept), OTHERS], merged


def shares_of(confusion: Array) -> Floats2d:
    """Counts → shares of their rows, 0 in a row without texts."""
    shares: Floats2d = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    return shares


def draw_cells(axes: Axes, confusion: Array) -> AxesImage:
    """Draw one pixel a cell, and thin lines between cells."""
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colors = LinearSegmentedColormap.from_list("shares", ("white", LOOKS[1][0], "#00304D"))
    scale = PowerNorm(0.5, 0, 1)
    image = axes.imshow(shares_of(confusion), cmap=colors, norm=scale, interpolation="none", aspect="auto")
    inner = np.arange(1, len(confusion)) - 0.5
    axes.hlines(inner, -0.5, len(confusion) - 0.5, color="#E5E5E5", linewidth=0.4)
    axes.vlines(inner, -0.5, len(confusion) - 0.5, color="#E5E5E5", linewidth=0.4)
    axes.spines[:].set(visible=True, color="#999999", linewidth=0.6)
    return image


def write_numbers(axes: Axes, confusion: Array, cell: float) -> None:
    """Write the count into each cell that is not zero, in letters so small that it fits.

    Counts whose letters would be too small to be read are left out. cell: its side in points.
    """
    shares = shares_of(confusion)
    for row, column in np.argwhere(confusion):
        text = str(confusion[row, column])
        size = min(LARGEST_NUMBER, 0.5 * cell, 0.92 * cell / (LETTER * len(text)))
        if size >= SMALLEST_NUMBER:
            color = "white" if shares[row, column] ** 0.5 > DARK else "#222222"
            axes.text(column, row, text, size=size, color=color, ha="center", va="center_baseline")


def draw_bar(figure: Figure, image: AxesImage, place: tuple[float, float, float, float]) -> None:
    """Draw the bar that explains the colours. place: left, bottom, width and height in shares of the figure."""
    bar = figure.colorbar(image, cax=figure.add_axes(place))
    bar.set_ticks([tick / 100 for tick in TICKS], labels=[f"{tick} %" for tick in TICKS])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.4)
