"""A trace as what layers/experiments/trace/page.py draws: equations, numbers, phasors.

A page of a walk through stages: formulas, numbers, gradients beside their numerical values, and pictures of phasors.

Everything shown is handed in as text and numbers. The page is one file that loads nothing and runs no script, and is
well-formed XML as well as HTML. All text is escaped here.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.report.html import document
from engine.report.phasors import Phasors, colours, phasors_svg
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.support.text import escape, sanitize
from layers.experiments.trace.equations import EQUATIONS, SEPARATOR
from layers.experiments.trace.table import class_list, network_line, norm_of, shape_text, short
from layers.experiments.trace.trace import phasor_waves, verdict_line

TOKENS_SHOWN = 200
TOKEN_CHARACTERS = 40


class Formula(NamedTuple):
    """caption: which formula this is; latex: its parts, which may stand on lines of their own."""

    caption: str
    latex: list


class Numbers(NamedTuple):
    """One array: lines of the table. Each line is (kind, name, norm, values, slope), all texts; values is a list.

    kind: the class of the line: "value", "gradient", "numeric", "difference". verdict: "ok", "rounding", "kink", "WRONG", or ""
    where nothing was checked. message: says more.
    """

    lines: list
    verdict: str = ""
    message: str = ""


class Card(NamedTuple):
    """A stage. number and equation: of what it computes, number "" for none. title: of what it makes. arrays: Numbers."""

    number: str
    equation: str
    title: str
    name: str
    formulas: list
    arrays: list

    @property
    def verdict(self):
        """The gravest of its arrays' verdicts."""
        return max((a.verdict for a in self.arrays), key=("", "ok", "rounding", "kink", "WRONG").index, default="")


class Page(NamedTuple):
    """facts: (term, text) pairs. pictures: [(heading, [Phasors])]. notes: paragraphs before the stages. columns: of values."""

    title: str
    verdict: str
    ok: bool
    facts: list
    tokens: list
    pictures: list
    picture_note: str
    cards: list
    notes: list
    columns: int


def write_page(path, page, to_mathml):
    """Write a Page as one HTML file, whole or not at all. UserError where it cannot be written."""
    if not Path(path).name:
        raise UserError(f"--html {str(path)!r}: is no file name; give one such as trace.html")
    write_text(path, page_html(page, to_mathml))


def page_html(page, to_mathml):
    """The page as text. to_mathml: LaTeX → MathML."""
    mathml = cache(to_mathml)  # a linear map occurs many times
    body = [
        f"<h1>{escape(page.title)}</h1>",
        f'<p class="verdict{"" if page.ok else " bad"}">{escape(page.verdict)}</p>',
        facts_html(page),
        *(picture_group(heading, pictures) for heading, pictures in page.pictures),
        f'<p class="quiet">{escape(page.picture_note)}</p>' if page.pictures else "",
        "<h2>Forward, and the gradients beside it</h2>",
        *(f"<p>{escape(note)}</p>" for note in page.notes),
        "<nav>"
        + "".join(
            f'<a class="{card.verdict}" href="#stage{i}">{escape(card.title)}</a>' for i, card in enumerate(page.cards)
        )
        + "</nav>",
        *(card_html(i, card, page.columns, mathml) for i, card in enumerate(page.cards)),
    ]
    return document(page.title, body)


def facts_html(page):
    """What was traced, as a list of terms, the tokens in the colours of their arrows."""
    shown = page.tokens[:TOKENS_SHOWN]
    tokens = "".join(
        f'<span class="{c}">{escape(sanitize(t, TOKEN_CHARACTERS))}</span>' for t, c in zip(shown, colours(page.tokens))
    )
    more = f" … {len(page.tokens)} in all" if len(page.tokens) > TOKENS_SHOWN else ""
    rows = [f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in page.facts]
    return f'<dl class="facts">{"".join(rows)}<dt>tokens</dt><dd class="tokens">{tokens}{more}</dd></dl>'


def picture_group(heading, pictures):
    figures = "".join(f"<figure><figcaption>{escape(p.title)}</figcaption>{phasors_svg(p)}</figure>" for p in pictures)
    return f'<h2>{escape(heading)}</h2><div class="pictures">{figures}</div>'


def card_html(number, card, columns, mathml):
    """A stage: its equation, then its arrays in one table, then what there is to say about them."""
    formulas = "".join(formula_html(f, mathml) for f in card.formulas)
    messages = "".join(f'<p class="message {a.verdict}">{escape(a.message)}</p>' for a in card.arrays if a.message)
    head = (
        '<thead><tr><th></th><th class="norm">norm</th><th class="slope">slope</th><th class="mark"></th>'
        f'<th class="values" colspan="{columns}">first values</th></tr></thead>'
    )
    bodies = "".join(
        "<tbody>" + "".join(line_html(line, columns, a.verdict) for line in a.lines) + "</tbody>" for a in card.arrays
    )
    return (
        f'<section class="stage {card.verdict}" id="stage{number}"><header><span class="number">{escape(card.number)}</span>'
        f'<h3>{escape(card.equation)} → {escape(card.title)}</h3><span class="quiet">{escape(card.name)}</span></header>'
        f'<div class="formulas">{formulas}</div><div class="numbers"><table>{head}{bodies}</table></div>{messages}</section>'
    )


def formula_html(formula, mathml):
    parts = "".join(f"<span>{mathml(part)}</span>" for part in formula.latex)
    return f'<div><span class="quiet">{escape(formula.caption)}</span><div>{parts}</div></div>'


def line_html(line, columns, verdict):
    """A line of the table; the line of differences bears the verdict."""
    kind, name, norm, values, slope = line
    cells = "".join(f"<td>{escape(value)}</td>" for value in values) + "<td></td>" * (columns - len(values))
    mark = f'<td class="mark {verdict}">{escape(verdict)}</td>' if kind == "difference" else "<td></td>"
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td>{escape(norm)}</td><td>{escape(slope)}</td>{mark}{cells}</tr>'


DIGITS = 4
NOTES = [
    "Each value X is followed by dL/dX, the gradient of the loss with respect to it, as the hand-written backward gives it, and by "
    "numerical derivatives: X is moved, all that follows is computed anew, and five-point differences are taken of the logits, and a "
    "complex step of the loss. This is done for the first entries of X, one by one, and once for a random unit direction in the space "
    "of all its entries: the slope, by hand the inner product of gradient and direction.",
    "Where a value is used more than once, its gradient is the sum over its uses.",
]
PICTURE_NOTES = {
    "first": "One arrow for each token, in its colour above; equal ones are drawn once. All tokens of a text share the global magnitude G "
    "of a wave, the dashed circle; the angle is the phase. ",
    "modulation": "The modulation multiplies the magnitudes and adds the angles, so it has a circle too.",
    "interference": "The interference adds the arrows: where the two waves are in phase, the sum comes near the circle of the summed "
    "magnitudes, elsewhere it stays within.",
}
TITLES = {"wave": "A text through a Wave Network and back", "transformer": "A text through a Transformer and back"}
ATTENTION_NOTE = (
    "Attention: j, l and i run over the tokens. A head is e = d/H neighbouring columns of q, k, v and of the result; heads do not see each other. "
    "The bias of the keys moves all scores of a token j alike, which the weights p do not see: its gradient is 0, and what is shown is rounding."
)
TEXT_SCOPE = "The magnitude is taken per text: in E1, E2 and E4 the sums over tokens run over all numbers of the text."


def as_page(trace):
    """The Page of a Trace."""
    subject, config = trace.subject, trace.subject.network.config
    label, loss = subject.classes[int(subject.batch.labels[0])], float(trace.walk.values["loss"])
    facts = [
        ("network", network_line(subject)),
        ("label", label),
        ("loss", f"{loss:.6g} nat"),
        ("probabilities", class_list(trace)),
    ]
    return Page(
        title=TITLES[config.model],
        verdict=verdict_line(trace),
        ok=trace.ok,
        facts=facts,
        tokens=subject.tokens,
        pictures=pictures(trace),
        picture_note=picture_note(config),
        cards=[card(trace, stage) for stage in trace.walk.stages],
        notes=NOTES + notes_of(config),
        columns=trace.shown,
    )


def picture_note(config):
    """What there is to say about the phasors; nothing where there are none."""
    return PICTURE_NOTES["first"] + PICTURE_NOTES[config.operation] if config.model == "wave" else ""


def notes_of(config):
    """Paragraphs on what the equations of this network leave open."""
    if config.model == "transformer":
        return [ATTENTION_NOTE] * (config.blocks > 0)
    return [TEXT_SCOPE] * (config.scope == "text")


def pictures(trace):
    """For each block the two waves and what they combine to; none of a Transformer."""
    found = []
    for i, waves in enumerate(phasor_waves(trace)):
        block = f" of block {i + 1}" if trace.subject.network.config.blocks > 1 else ""
        rows = [Phasors(title, trace.subject.tokens, z.tolist(), radius, circle) for title, z, radius, circle in waves]
        found.append((f"Phasors{block}, dimension {trace.dimension}", rows))
    return found


def card(trace, stage):
    """The Card of a stage: its own equation, and those of what is only read beside it."""
    mine = [q for q in trace.quantities if q.stage.name == stage.name]
    readings = [q for q in mine if q.kind == "reading"]
    equation = EQUATIONS[stage.equation]
    formulas = [
        Formula("forward", equation.forward.split(SEPARATOR)),
        Formula("backward", equation.backward.split(SEPARATOR)),
    ]
    formulas += [
        Formula(f"{EQUATIONS[q.equation].number}, to read", EQUATIONS[q.equation].forward.split(SEPARATOR))
        for q in readings
    ]
    made_first = sorted(mine, key=lambda q: ("intermediate", "reading", "parameter").index(q.kind))
    return Card(
        equation.number, equation.name, stage.title, stage.name, formulas, [numbers(q, trace.shown) for q in made_first]
    )


def numbers(q, shown):
    """The lines of one array: its values; then its gradient by hand, numerically, and the difference of the two."""
    name = f"{q.title}  {shape_text(q.value.shape)}"
    lines = [("value", name, short(norm_of(q.value), DIGITS), entries(q.value, shown), "")]
    if q.check is None:
        return Numbers(lines)
    check = q.check
    apart = np.abs(np.array(check.entries) - np.ravel(q.gradient)[: len(check.entries)])
    lines += [
        (
            "gradient",
            "dL/dX, by hand",
            short(norm_of(q.gradient), DIGITS),
            entries(q.gradient, shown),
            f"{check.analytic:.6e}",
        ),
        ("numeric", "numerical", "", [short(v, DIGITS) for v in check.entries], f"{check.numeric:.6e}"),
        ("difference", "difference", "", [f"{v:.0e}" for v in apart.tolist()], f"{check.difference:.0e}"),
    ]
    return Numbers(lines, check.verdict, f"{q.title}: {check.message}" if check.message else "")


def entries(array, shown):
    return [short(v, DIGITS) for v in np.ravel(array)[:shown].tolist()]
