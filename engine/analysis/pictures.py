"""What all pictures share: colours, one style, and files that are the same, byte by byte, for the same numbers.

matplotlib (extra `plots`) is imported only when a picture is asked for; pyplot, windows and global state are not used.
"""

import importlib
import io
import warnings
from pathlib import Path

from engine.errors import UserError
from engine.files import require_writable, write_whole

FORMATS = (".svg", ".png")
# Colours that are told apart with any colour vision (Okabe and Ito), each with a marker and a dash of its own.
LOOKS = (("#D55E00", "s", (0, (4, 2))), ("#0072B2", "^", (0, (1, 1.5))), ("#009E73", "o", "-"), ("#CC79A7", "D", (0, (6, 2, 1, 2))))
DISTINCT = len(LOOKS) ** 2  # that looks() can tell apart
GREY = "#555555"
GRID = "#E5E5E5"
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


def looks(count):
    """So many looks (colour, marker, dash): LOOKS, then their colours with markers and dashes of others; DISTINCT of them differ."""
    size = len(LOOKS)
    return [(LOOKS[n % size][0], *LOOKS[(n + n // size) % size][1:]) for n in range(count)]


def require_plots(path):
    """Raise UserError unless a picture can be drawn and, as far as can be seen, written at `path`: to be asked before the work."""
    if Path(path).suffix.lower() not in FORMATS:
        raise UserError(f"{path}: is no name of a picture; let it end in {' or '.join(FORMATS)}")
    require_writable(path)
    require_matplotlib(path)


def require_matplotlib(path):
    """Raise UserError, which names the file that needs it, unless matplotlib can be imported."""
    try:
        importlib.import_module("matplotlib")
    except ImportError as error:
        raise UserError(f"{path}: matplotlib draws pictures and cannot be imported ({error}); run pip install -e '.[plots]'") from None


def write_picture(path, draw):
    """Write what draw() → matplotlib Figure returns as a .svg or .png file, whole or not at all, whatever style the user has set.

    Raises UserError for an unknown format, without matplotlib, and where the file cannot be written.
    """
    require_plots(path)
    from matplotlib import style

    with style.context(["default", STYLE]):
        figure = draw()
        write_whole(path, lambda temporary: save(figure, temporary, Path(path).suffix.lower()[1:]))


def svg_text(draw):
    """What draw() → matplotlib Figure returns as the text of an SVG file for a page: its letters stay letters, so that the reader's
    fonts show those that matplotlib's lack, such as the names of classes in any language.
    """
    from matplotlib import style

    file = io.BytesIO()
    with style.context(["default", STYLE, {"svg.fonttype": "none"}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .*missing from")
        save(draw(), file, "svg")
    return file.getvalue().decode("utf-8")


def save(figure, file, kind):
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]  # else no two days draw the same file
    figure.savefig(file, format=kind, dpi=150, metadata=metadata)
