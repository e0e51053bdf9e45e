"""Pictures in one style: colours, numbers on axes, and files that repeat byte by byte for the same numbers.

matplotlib (extra `plots`) is imported only when a picture is asked for; pyplot, windows and global state are not used.
"""

from __future__ import annotations

import importlib
import io
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.files import require_writable, write_whole

if TYPE_CHECKING:
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


def require_module(name: str, purpose: str, extra: str = "plots") -> None:
    """Raise UserError, which begins with the purpose, unless a module of an extra can be imported."""
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{purpose} and cannot be imported ({error}); run {install_extra(extra)}") from None


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
