"""The page of a study: the table of its summary, each picture with its caption, and the settings."""

from collections.abc import Mapping
from pathlib import Path

from engine.report.html import Picture, inline_svg, render, settings_groups
from engine.support.errors import UserError
from engine.support.files import write_text
from layers.experiments.study.captions import captions, listed
from layers.experiments.study.schema import Record
from layers.experiments.study.summary import summary_table

TEMPLATE = Path(__file__).parent / "templates" / "study.html"
HEADINGS = {
    "convergence": "Convergence",
    "gradients": "Gradients",
    "correlations": "Correlations of the embedding's dimensions",
    "independence": "Independence, step by step",
    "waves": "Phases and magnitudes",
}


def write_page(path: Path | str, study: Record, figures: Mapping[str, Path]) -> None:
    """Write the page as one HTML file, whole or not at all.

    figures: name of a file → its path, as write_figures returns them; those that are SVG are shown, in that order.
    Raises UserError for a damaged study, and where a picture cannot be read or the page not be written.
    """
    if not Path(path).name:
        raise UserError(f"{str(path)!r}: is no name of a page; give one such as study.html")
    shown = {
        Path(picture).stem: read_svg(picture) for picture in figures.values() if Path(picture).suffix.lower() == ".svg"
    }
    unknown = [name for name in shown if name not in HEADINGS]
    if unknown:
        raise ValueError(f"figures: {unknown[0]!r} is no picture of a study; those are {', '.join(HEADINGS)}")
    write_text(path, page_html(study, shown))


def read_svg(path: Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); let the pictures be drawn again") from error


def page_html(study: Record, pictures: Mapping[str, str]) -> str:
    """The page as text. pictures: name → text of its SVG file."""
    headings, rows = summary_table(study)
    sentences = captions(study)
    return render(
        TEMPLATE,
        title=f"Study of {listed(study['runs'])}",
        headings=headings,
        rows=rows,
        pictures=[
            Picture(HEADINGS[name], inline_svg(text, name, HEADINGS[name]), " ".join(sentences[name]))
            for name, text in pictures.items()
        ],
        settings_shown=list(settings_groups(study["settings"])),
    )
