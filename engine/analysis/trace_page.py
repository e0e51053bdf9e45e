"""A page of a walk through stages: formulas, numbers, gradients beside their numerical values, and pictures of phasors.

Everything shown is handed in as text and numbers. The page is one file that loads nothing and runs no script, and is
well-formed XML as well as HTML. All text is escaped here.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from engine.analysis.page_style import document
from engine.analysis.phasors import colours, phasors_svg
from engine.errors import UserError
from engine.files import write_text
from engine.visible import escape, visible

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
        "<nav>" + "".join(f'<a class="{card.verdict}" href="#stage{i}">{escape(card.title)}</a>' for i, card in enumerate(page.cards)) + "</nav>",
        *(card_html(i, card, page.columns, mathml) for i, card in enumerate(page.cards)),
    ]
    return document(page.title, body)


def facts_html(page):
    """What was traced, as a list of terms, the tokens in the colours of their arrows."""
    shown = page.tokens[:TOKENS_SHOWN]
    tokens = "".join(f'<span class="{c}">{escape(visible(t, TOKEN_CHARACTERS))}</span>' for t, c in zip(shown, colours(page.tokens)))
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
    bodies = "".join("<tbody>" + "".join(line_html(line, columns, a.verdict) for line in a.lines) + "</tbody>" for a in card.arrays)
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
