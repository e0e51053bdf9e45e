"""The page of a study: the table of readings, each picture with what it shows, and the settings.

The page is one file that loads nothing and runs no script, and is well-formed XML as well as HTML. All text is escaped here.
"""

from pathlib import Path

from engine.report.html import document, inline_svg, settings_html, table_html
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.support.text import escape
from layers.experiments.study.summary import explanations, listed, readings_table

HEADINGS = {
    "convergence": "Convergence",
    "gradients": "Gradients",
    "correlations": "Correlations of the embedding's dimensions",
    "independence": "Independence, step by step",
    "waves": "Phases and magnitudes",
}


def write_page(path, study, figures):
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


def read_svg(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); let the pictures be drawn again") from error


def page_html(study, pictures):
    """The page as text. pictures: name → text of its SVG file."""
    headings, rows = readings_table(study)
    title = f"Study of {listed(study['runs'])}"
    words = explanations(study)
    return document(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            table_html(headings, rows),
            '<p class="quiet">Loss and gradient norms are medians: of the last tenth of the steps, and of the first → the last tenth. '
            "Correlation and rank are those before → after training.</p>",
            *(picture_html(name, text, words[name]) for name, text in pictures.items()),
            "<h2>Settings</h2>",
            settings_html(study["settings"]),
        ],
    )


def picture_html(name, text, sentences):
    """A picture under its heading, then the two sentences."""
    svg = inline_svg(text, name, HEADINGS[name])
    return f'<section class="study"><h2>{HEADINGS[name]}</h2><figure>{svg}</figure><p>{escape(" ".join(sentences))}</p></section>'
