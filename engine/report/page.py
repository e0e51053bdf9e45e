"""The page of a report: the runs in numbers, what differs, the curves, and for each run what it takes for what.

The page is one file that loads nothing and runs no script, and is well-formed XML as well as HTML. All text is escaped here.

The pictures of a report as texts of SVG files.
"""

from pathlib import Path

from engine.report.confusion import MOST_CLASSES, OTHERS, Measured, draw_matrix, largest_confusions
from engine.report.curves import (
    above,
    all_runs,
    draw_learning,
    draw_series,
    learning_words,
    legend,
    numbers,
    panels,
    window_in,
)
from engine.report.figures import Level, draw_levels, looks, require_matplotlib, svg_text
from engine.report.html import document, inline_svg, settings_html, table_html
from engine.report.summary import NAME_CHARACTERS, facts_of, of_epochs, percent, seeds_table
from engine.support.errors import UserError
from engine.support.files import require_writable, write_text
from engine.support.text import escape, sanitize
from engine.training.evaluation import ClassRow


def learning_svg(groups):
    """groups: of Runs (compare.py). Loss and accuracy, step by step and of validation."""
    return svg_text(lambda: draw_learning(curves_of(groups)))


def rates_svg(groups):
    """groups: of Runs (compare.py). Learning rate and norm of the gradient, step by step."""
    return svg_text(lambda: draw_rates(groups))


def matrix_svg(names, confusion):
    """As draw_matrix (matrix.py)."""
    return svg_text(lambda: draw_matrix(names, confusion))


def curves_of(groups):
    """Groups of Runs as step_curves draws them."""
    return {group.label: [run.curves for run in group.runs] for group in groups}


def draw_rates(groups):
    """Learning rates as lines, norms of the gradient on a logarithmic axis, with the norm to which all runs clip it if there is one."""
    curves = curves_of(groups)
    figure, (left, right) = panels(2, ("learning rate", "norm of the gradient, before clipping"), height=3.2)
    for (color, _, dash), runs in zip(looks(len(curves)), curves.values()):
        left.plot(
            runs[0]["step"], runs[0]["learning_rate"], color=color, linestyle=dash, linewidth=1.4, zorder=above(dash)
        )
    left.set_ylim(bottom=0)
    left.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    clips = {run.settings.training.clip_norm for group in groups for run in group.runs}
    levels = [Level(clip, f"clipped above {clip:g}") for clip in clips if len(clips) == 1 and clip > 0]
    norms = [numbers(run["gradient_norm"]) for run in all_runs(curves)]
    draw_series(
        right, curves, "gradient_norm", within=[*norms, numbers([level.y / 2 for level in levels])]
    )  # room for its words
    draw_levels(right, levels)
    legend(figure, curves, ("gradient_norm",))
    return figure


ENDINGS = (".html", ".htm")
TEXT_CHARACTERS, SETTING_CHARACTERS = 160, 60
POINT = 4 / 3  # in pixels
NO_BREAK = "\N{NO-BREAK SPACE}"


def require_page(path):
    """Raise UserError unless a page can be drawn and, as far as can be seen, written: to be asked before the work."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UserError(
            f"--output {str(path)!r}: is no name of a page; let it end in {' or '.join(ENDINGS)}, such as report.html"
        )
    require_writable(path, "--output")
    require_matplotlib(path)


def write_page(path, report):
    """Write the page of a Report as one HTML file, whole or not at all. UserError where it cannot be written."""
    write_text(path, page_html(report))


def page_html(report):
    """The page as text."""
    title = (
        f"Report of {sanitize(report.runs[0].name, NAME_CHARACTERS)}"
        if len(report.runs) == 1
        else f"Report of {len(report.runs)} runs"
    )
    return document(
        title,
        [
            f"<h1>{escape(title)}</h1>",
            *(
                f'<p class="verdict bad">{escape(unfinished_words(run))}</p>'
                for run in report.runs
                if run.result is None
            ),
            *overview_html(report),
            *curves_html(report),
            *(
                run_html(number, run, measured)
                for number, (run, measured) in enumerate(zip(report.runs, report.measured), start=1)
            ),
            *settings_of_runs(report),
        ],
    )


def overview_html(report):
    """Facts of the runs, means of seeds, and the settings in which the runs differ."""
    facts = [facts_of(run, measured) for run, measured in zip(report.runs, report.measured)]
    if len(facts) == 1:
        return [
            '<dl class="facts">'
            + "".join(f"<dt>{escape(what)}</dt><dd>{escape(text)}</dd>" for what, text in facts[0].items())
            + "</dl>"
        ]
    names = [sanitize(run.name, NAME_CHARACTERS) for run in report.runs]
    links = "".join(f'<a href="#run{number}">{escape(name)}</a>' for number, name in enumerate(names, start=1))
    parts = [
        f"<nav>{links}</nav>",
        table_html(["", *names], [[what, *(one[what] for one in facts)] for what in facts[0]]),
    ]
    headings, rows = seeds_table(report)
    if rows:
        parts += [
            "<h2>Seeds</h2>",
            table_html(headings, rows),
            '<p class="quiet">Mean ± standard deviation of the finished runs.</p>',
        ]
    if report.differing:
        rows = [
            [name, *(sanitize(text, SETTING_CHARACTERS) for text in column)]
            for name, column in report.differing.items()
        ]
        parts += ["<h2>Settings that differ</h2>", table_html(["", *names], rows)]
    return parts


def unfinished_words(run):
    return (
        f"{sanitize(run.name)} has not finished: its curves end at step {run.curves['step'][-1]}, in epoch {run.epochs}{of_epochs(run)}. "
        f"Once it is not running any more it can be continued: python train.py --resume {run.path}"
    )


def curves_html(report):
    """The figures of all runs, each with a sentence below."""
    curves = curves_of(report.groups)
    learning = learning_words(window_in(curves))
    rates = "Learning rate, and L2 norm of the gradient of all parameters before it is clipped, at every step."
    if any(len(runs) > 1 for runs in curves.values()):
        learning += " Runs that differ in nothing but their seed share a line, the mean of theirs, in a band from the lowest to the highest."
    return [
        figure_html("Loss and accuracy", learning_svg(report.groups), "learning", learning),
        figure_html("Learning rate and gradient", rates_svg(report.groups), "rates", rates),
    ]


def figure_html(heading, svg, prefix, words):
    return (
        f'<section class="report"><h2>{escape(heading)}</h2><figure class="curves">{inline_svg(svg, prefix, heading)}</figure>'
        f"<p>{escape(words)}</p></section>"
    )


def run_html(number, run, measured):
    """The section of one run: matrix, largest confusions, classes, and texts labelled wrong."""
    result = run.result or {}
    name = sanitize(run.name, NAME_CHARACTERS)
    if not isinstance(measured, Measured):
        rows = [ClassRow(**row) for row in result.get("classes", ())]
        body = [f"<p>{escape(measured.why)}</p>", classes_html("test", rows) if rows else ""]
    else:
        body = measured_html(f"run{number}", run, measured)
    return (
        f'<section class="report" id="run{number}"><h2>What {escape(name)} takes for what</h2>{"".join(body)}</section>'
    )


def measured_html(prefix, run, measured):
    split, confusion = measured.split, measured.confusion
    words = (
        f"The {confusion.sum():,} {split} texts: a row for each true class, a column for each predicted one, by the best checkpoint. "
        f"Numbers are texts, colours shares of a row. Accuracy {percent(measured.accuracy)}, macro F1 {percent(measured.macro_f1)}."
    )
    if len(measured.names) > MOST_CLASSES:
        words += f" Shown are the {MOST_CLASSES - 1} of {len(measured.names)} classes that are confused most; {OTHERS} are one row and "
        words += "one column, with right and wrong labels where these meet."
    if split == "validation":
        words += " The run was trained without test texts; these chose the best checkpoint, so that the numbers are somewhat too good."
    pairs = largest_confusions(measured.names, confusion)
    items = "".join(
        f"<li>{escape(f'{pair.true} → {pair.predicted}: {pair.texts:,} of {pair.of:,}')}</li>" for pair in pairs
    )
    return [
        matrix_html(prefix, measured),
        f"<p>{escape(words).replace(' %', NO_BREAK + '%')}</p>",
        changed_html(run.result, measured),
        f"<h3>Largest confusions</h3><ul>{items}</ul>" if pairs else f"<p>All {split} texts are labelled right.</p>",
        classes_html(split, measured.classes),
        mistakes_html(split, measured.mistakes),
    ]


def matrix_html(prefix, measured):
    """The matrix in its own size, or as much smaller as the page is narrower, but readable."""
    svg = matrix_svg(measured.names, measured.confusion)
    picture = inline_svg(svg, prefix, f"Confusion matrix of the {measured.split} texts")
    width = POINT * float(picture.partition('viewBox="')[2].split()[2])
    return f'<figure><div style="min-width: {min(width, 0.7 * width + 100):.0f}px; max-width: {width:.0f}px; margin: 0 auto">{picture}</div></figure>'


def changed_html(result, measured):
    """A warning where the texts or the accuracy are not those of the end of the training."""
    before, count = result[f"{measured.split}_accuracy"], measured.confusion.sum()
    as_many = result.get("texts", {}).get(measured.split, count) == count
    if before is None or as_many and round(before * count) == measured.confusion.diagonal().sum():
        return ""
    words = f"At the end of the training the accuracy was {percent(before)}: the texts, the program or the device are not the same any more."
    return f'<p class="verdict bad">{escape(words)}</p>'


def classes_html(split, rows):
    cells = [[row.name, f"{row.texts:,}", percent(row.precision), percent(row.recall), percent(row.f1)] for row in rows]
    return f"<h3>By class</h3>{table_html(['class', f'{split} texts', 'precision', 'recall', 'F1'], cells, 'readings narrow')}"


def mistakes_html(split, mistakes):
    if not mistakes:
        return ""
    cells = [
        [one.true, one.predicted, percent(one.probability), sanitize(one.text.strip(), TEXT_CHARACTERS)]
        for one in mistakes
    ]
    table = table_html(["true class", "predicted", "probability", "text"], cells, "readings texts")
    return f"<h3>Wrong with most certainty</h3>{table}"


def settings_of_runs(report):
    """All settings of a single run; of several, those that they share."""
    sections = report.runs[0].settings.sections()
    shared = {
        title: {name: value for name, value in part.items() if name not in report.differing}
        for title, part in sections.items()
    }
    heading = "Settings" if len(report.runs) == 1 else "Settings that are the same"
    return [f"<h2>{heading}</h2>", settings_html(shared)] if any(shared.values()) else []
