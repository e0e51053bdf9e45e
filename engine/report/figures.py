"""Pictures in one style: colours, files that repeat byte by byte for the same numbers, and lines over logarithmic axes.

matplotlib (extra `plots`) is imported only when a picture is asked for; pyplot, windows and global state are not used.
"""

from __future__ import annotations

import importlib
import io
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.files import require_writable, write_whole
from engine.types import Floats1d

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Look: TypeAlias = tuple[str, str, Any]  # colour, marker, dash

FORMATS = (".svg", ".png")
# Colours that are told apart with any colour vision (Okabe and Ito), each with a marker and a dash of its own.
LOOKS: tuple[Look, ...] = (
    ("#D55E00", "s", (0, (4, 2))),
    ("#0072B2", "^", (0, (1, 1.5))),
    ("#009E73", "o", "-"),
    ("#CC79A7", "D", (0, (6, 2, 1, 2))),
)
DISTINCT = len(LOOKS) ** 2  # number of looks that differ
WIDTH, PANEL_HEIGHT = 5.2, 2.6  # inches: panels stand one below the other, to be read on a telephone as well
LEGEND_CHARACTERS = 68  # in a row of the legend
MARK_CHARACTERS = 6  # width of the mark beside a name in the legend
LETTER, WIDE_LETTER = 0.6, 1.05  # widths in shares of the size; wide letters are Chinese, Japanese and Korean
GREY = "#555555"
GRID = "#E5E5E5"
MINUS = "\N{MINUS SIGN}"
STYLE = {
    "svg.hashsalt": "line_plot",  # ids in the file are else drawn at random
    "svg.fonttype": "path",  # the same letters on every machine
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",  # readable on a dark page
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
}


def looks(count: int) -> list[Look]:
    """`count` looks: LOOKS, then their colours with markers and dashes of others; the first DISTINCT of them differ."""
    size = len(LOOKS)
    return [(LOOKS[n % size][0], *LOOKS[(n + n // size) % size][1:]) for n in range(count)]


def require_plots(path: Path | str) -> None:
    """Raise UserError unless a picture can be drawn and, as far as can be seen, written at `path`.

    To be called before the work.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"{path}: is no name of a picture; let it end in {' or '.join(FORMATS)}")
    require_writable(path)
    require_matplotlib(path)


def require_matplotlib(path: Path | str) -> None:
    """Raise UserError, which names the file that needs it, unless matplotlib can be imported."""
    require_module("matplotlib", f"{path}: matplotlib draws pictures")


def require_module(name: str, purpose: str) -> None:
    """Raise UserError, which begins with the purpose, unless a module of the extra `plots` can be imported."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{purpose} and cannot be imported ({error}); run {install_extra('plots')}") from None


def write_picture(path: Path | str, draw: Callable[[], Figure]) -> None:
    """Write the Figure that draw() returns as a .svg or .png file, whole or not at all, whatever the user's style.

    Raises UserError for an unknown format, without matplotlib, and where the file cannot be written.
    """
    require_plots(path)
    from matplotlib import style

    with style.context(["default", STYLE]):
        figure = draw()
        write_whole(path, lambda temporary: save(figure, temporary, Path(path).suffix.lower()[1:]))


def svg_text(draw: Callable[[], Figure], letters: str = "none") -> str:
    """Text of an SVG file of the Figure that draw() returns.

    letters: "none", for a page, keeps them letters, so that the reader's fonts show those that matplotlib's lack, such
    as the names of classes in any language; "path" draws the same outlines on every machine.
    """
    from matplotlib import style

    file = io.BytesIO()
    with style.context(["default", STYLE, {"svg.fonttype": letters}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        save(draw(), file, "svg")
    return file.getvalue().decode("utf-8")


def save(figure: Figure, file: Any, kind: str) -> None:
    # With the date and the version of matplotlib, no two days would write the same file.
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    figure.savefig(file, format=kind, dpi=150, metadata=metadata)


class Panel(NamedTuple):
    """Axes of a picture. lines: name → y for every x, or for the first of them. x: if not that of the picture.

    y_label: given for a panel with a scale of its own; x_label: of an x of its own. Panels share names and looks, and x
    and scale unless given.
    """

    title: str
    lines: Mapping[str, ArrayLike]
    x: Any = None
    y_label: str | None = None
    x_label: str | None = None


class Level(NamedTuple):
    """A horizontal line: its height and the text beside it."""

    y: float
    label: str


def write_line_plot(
    path: Path | str,
    x: ArrayLike | None,
    panels: Sequence[Panel],
    x_label: str,
    y_label: str,
    levels: Sequence[Level] = (),
    x_ticks: Sequence[float] | None = None,
) -> None:
    """Draw panels one below the other, both axes logarithmic, into a .svg or .png file.

    x: positive numbers, None where every panel has its own. x_ticks: numbers that are written out, by default powers of
    ten. Values that are NaN or infinite are crosses on the upper rim, zeros lie on the lower rim.
    Raises UserError for an unknown format, without matplotlib, and where the file cannot be written.
    """
    write_picture(path, lambda: draw_line_plot(x, panels, x_label, y_label, levels, x_ticks))


def draw_line_plot(
    x: ArrayLike | None,
    panels: Sequence[Panel],
    x_label: str,
    y_label: str,
    levels: Sequence[Level],
    x_ticks: Sequence[float] | None = None,
) -> Figure:
    """Draw the picture of write_line_plot."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(WIDTH, PANEL_HEIGHT * len(panels) + 1), layout="constrained")
    panels = [panel._replace(x=np.asarray(x if panel.x is None else panel.x, np.float64)) for panel in panels]
    shared = not any(panel.y_label for panel in panels)
    column = figure.subplots(len(panels), sharex=x is not None, sharey=shared, squeeze=False).ravel()
    for axes, panel in zip(column, panels):
        lowest, highest = scale_of(panel, panels, levels)
        axes.set(xscale="log", yscale="log", ylim=(10.0**lowest, 10.0**highest), ylabel=panel.y_label or "")
        axes.set_xlabel(panel.x_label or "")
        axes.set_xticks(
            ticks(*decades([panel.x])) if x_ticks is None else x_ticks,
            None if x_ticks is None else [f"{x:,}" for x in x_ticks],
        )
        axes.set_yticks(ticks(lowest, highest))
        axes.minorticks_off()
        axes.grid(True, color=GRID, linewidth=0.6)
        axes.set_title(panel.title, pad=10)  # above the crosses on the rim
        draw_levels(axes, levels)
        draw_lines(axes, panel.x, panel.lines)
    if x_label:
        column[-1].set_xlabel(x_label)
    if y_label:
        figure.supylabel(y_label, fontsize="medium")
    handles, names = column[0].get_legend_handles_labels()
    if not all(np.isfinite(y).all() for panel in panels for y in panel.lines.values()):
        handles.append(Line2D([], [], color=GREY, marker="x", linestyle=""))
        names.append("NaN or infinite")
    figure.legend(handles, names, loc="outside lower center", ncols=columns_of(names), frameon=False, columnspacing=1.5)
    return figure


def plain(value: float) -> str:
    """A number on an axis: 0.6, 20 or 1,000; only very small and very large ones with an exponent."""
    if value and not 1e-6 <= abs(value) < 1e9:
        return f"{value:.3g}"
    digits = f"{value:,.9f}".rstrip("0").rstrip(".")
    return digits.replace("-", MINUS)


def plain_logarithmic_ticks(axis: Any) -> None:
    """Write the ticks of a logarithmic axis as plain(); those between powers of ten where there are few of these."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return plain(x) if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain())


def width_of(label: str, size: float) -> float:
    """Approximate width of a text in the unit of `size`, that of its letters."""
    return size * sum(WIDE_LETTER if unicodedata.east_asian_width(letter) in "WF" else LETTER for letter in label)


def columns_of(names: Sequence[str]) -> int:
    """Number of columns of a legend: at most 6, as many as fit beside each other, in rows of about one length."""
    for most in range(min(6, len(names)), 1, -1):
        rows = -(-len(names) // most)
        columns = [names[start : start + rows] for start in range(0, len(names), rows)]  # filled column by column
        if sum(max(map(len, column)) + MARK_CHARACTERS for column in columns) <= LEGEND_CHARACTERS:
            return len(columns)
    return 1


def scale_of(panel: Panel, panels: Sequence[Panel], levels: Sequence[Level]) -> tuple[int, int]:
    """(lowest, highest) power of ten of a panel: its own, or one for all that have none.

    A shared scale has room for the text of levels, and for rims where numbers lie that the axis cannot show.
    """
    if panel.y_label is not None:
        lowest, highest = decades(panel.lines.values())
        return lowest, max(highest, lowest + 1)
    shared = [np.asarray(y, np.float64) for one in panels if one.y_label is None for y in one.lines.values()]
    lowest, highest = decades([*shared, *([level.y] for level in levels)])
    rims = any(not np.isfinite(y).all() or (y <= 0).any() for y in shared)
    return (lowest - 1, highest + 1) if levels or rims else (lowest, max(highest, lowest + 1))


def draw_levels(axes: Axes, levels: Iterable[Level]) -> None:
    """Draw horizontal lines, each with its text just below its right end."""
    for level in levels:
        axes.axhline(level.y, color=GREY, linewidth=0.8)
        place: dict[str, Any] = {
            "xycoords": axes.get_yaxis_transform(),
            "xytext": (-2, -4),
            "textcoords": "offset points",
            "ha": "right",
            "va": "top",
        }
        axes.annotate(level.label, (1, level.y), **place, color=GREY, size=8).set_in_layout(False)


def draw_lines(axes: Axes, x: Floats1d, lines: Mapping[str, ArrayLike]) -> None:
    """Draw every line in its own look; numbers that a logarithmic axis cannot show lie on the rims."""
    bottom, top = axes.get_ylim()
    for number, (name, line) in enumerate(lines.items()):
        color, marker, dash = LOOKS[number % len(LOOKS)]
        y = np.asarray(line, np.float64)
        lost = ~np.isfinite(y)
        shown = np.where(lost, np.nan, np.maximum(y, bottom))
        axes.plot(
            x[: len(y)],
            shown,
            color=color,
            marker=marker,
            linestyle=dash,
            markersize=4,
            linewidth=1.4,
            label=name,
            clip_on=False,
            zorder=3,
        )
        if lost.any():
            axes.plot(
                x[: len(y)][lost], np.full(lost.sum(), top), "x", color=color, markersize=5, clip_on=False, zorder=3
            )


def decades(lines: Iterable[ArrayLike]) -> tuple[int, int]:
    """(lowest, highest) power of ten around all positive finite numbers; (0, 1) where there is none."""
    numbers = np.concatenate([np.ravel(line) for line in lines])
    numbers = np.log10(numbers[np.isfinite(numbers) & (numbers > 0)])
    return (int(np.floor(numbers.min())), int(np.ceil(numbers.max()))) if len(numbers) else (0, 1)


def ticks(lowest: int, highest: int) -> list[float]:
    """At most nine powers of ten, at exponents that are multiples of one step."""
    step = -(-(highest - lowest) // 8) or 1
    return [10.0**exponent for exponent in range(-(-lowest // step) * step, highest + 1, step)]
