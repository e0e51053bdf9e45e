"""The page of a trace: equations, numbers, gradients beside their numerical values, and pictures of phasors.

as_page() turns a Trace into a Page of texts and numbers, page_html() a Page into HTML.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.report.html import render
from engine.report.phasors import Phasors, colours, phasors_svg, picture_width
from engine.support.errors import UserError
from engine.support.files import write_text
from engine.support.text import sanitize
from layers.experiments.trace.stages import FORMULAS, SEPARATOR
from layers.experiments.trace.table import class_list, network_line, norm_of, shape_text, short
from layers.experiments.trace.trace import Trace, phasor_waves, verdict_line
from layers.wave import OPERATIONS

TEMPLATE = Path(__file__).parent / "templates" / "trace.html"
TOKENS_SHOWN = 200
TOKEN_CHARACTERS = 40
DIGITS = 4
NOTES = [
    "Each value X is followed by dL/dX, the gradient of the loss with respect to it, as the hand-written backward "
    "gives it, and by numerical derivatives: X is moved, all that follows is computed anew, and five-point differences "
    "are taken of the logits, and a complex step of the loss. This is done for the first entries of X, one by one, and "
    "once for a random unit direction in the space of all its entries: the slope, by hand the inner product of "
    "gradient and direction.",
    "Where a value is used more than once, its gradient is the sum over its uses.",
]
PICTURE_NOTE = (
    "One arrow for each token, in its colour above; equal ones are drawn once. All tokens of a text share the "
    "global magnitude G of a wave, the dashed circle; the angle is the phase. "
)
SENTENCES_NOTE = (
    "Where a wave is that of sentences, each of these has its own magnitude; the circle is that of the largest. "
)
TITLES = {"wave": "A text through a Wave Network and back", "transformer": "A text through a Transformer and back"}
ATTENTION_NOTE = (
    "Attention: j, l and i run over the tokens. A head is e = d/H neighbouring columns of q, k, v and of the result; "
    "heads do not see each other. The bias of the keys moves all scores of a token j alike, which the weights p do not "
    "see: its gradient is 0, and what is shown is rounding."
)
TEXT_SCOPE = "The magnitude is taken per text: in E1, E2 and E4 the sums over tokens run over all numbers of the text."


class Formula(NamedTuple):
    """caption: which formula this is; latex: its parts, which may stand on lines of their own."""

    caption: str
    latex: Sequence[str]


class Line(NamedTuple):
    """A line of the table. kind: its class, "value", "gradient", "numeric" or "difference". All others are texts."""

    kind: str
    name: str
    norm: str
    values: Sequence[str]
    slope: str


class Numbers(NamedTuple):
    """The lines of one array.

    verdict: "ok", "rounding", "kink", "WRONG", or "" where nothing was checked. message: says more.
    """

    lines: Sequence[Line]
    verdict: str = ""
    message: str = ""


class Card(NamedTuple):
    """A stage. number and equation: of the computation, number "" for none. title: of its result."""

    number: str
    equation: str
    title: str
    name: str
    formulas: Sequence[Formula]
    arrays: Sequence[Numbers]

    @property
    def verdict(self) -> str:
        """The gravest of its arrays' verdicts."""
        return max((a.verdict for a in self.arrays), key=("", "ok", "rounding", "kink", "WRONG").index, default="")


class Page(NamedTuple):
    """facts: (term, text) pairs. pictures: (heading, Phasors) pairs. notes: paragraphs before the stages.

    columns: number of values that a line shows at most.
    """

    title: str
    verdict: str
    ok: bool
    facts: Sequence[tuple[str, str]]
    tokens: Sequence[str]
    pictures: Sequence[tuple[str, Sequence[Phasors]]]
    picture_note: str
    cards: Sequence[Card]
    notes: Sequence[str]
    columns: int


def write_page(path: Path | str, page: Page, to_mathml: Callable[[str], str]) -> None:
    """Write a Page as one HTML file, whole or not at all. UserError where it cannot be written."""
    if not Path(path).name:
        raise UserError(f"--html {str(path)!r}: is no file name; give one such as trace.html")
    write_text(path, page_html(page, to_mathml))


def page_html(page: Page, to_mathml: Callable[[str], str]) -> str:
    """The page as text. to_mathml: LaTeX → MathML."""
    shown = [sanitize(token, TOKEN_CHARACTERS) for token in page.tokens[:TOKENS_SHOWN]]
    return render(
        TEMPLATE,
        title=page.title,
        page=page,
        tokens=list(zip(shown, colours(page.tokens))),  # in the colours of their arrows
        phasors=phasors_svg,
        width=picture_width,
        mathml=cache(to_mathml),  # a linear map occurs many times
    )


def as_page(trace: Trace) -> Page:
    """The Page of a Trace."""
    subject: Any = trace.subject
    config = subject.network.config
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


def picture_note(config: Any) -> str:
    """Paragraph on the phasors; nothing where there are none."""
    if config.model != "wave":
        return ""
    of_sentences = SENTENCES_NOTE if config.levels != "text" else ""
    return PICTURE_NOTE + of_sentences + OPERATIONS[config.operation].note


def notes_of(config: Any) -> list[str]:
    """Paragraphs on what the equations of this network leave open."""
    if config.model == "transformer":
        return [ATTENTION_NOTE] * (config.blocks > 0)
    return [TEXT_SCOPE] * (config.scope == "text")


def pictures(trace: Trace) -> list[tuple[str, list[Phasors]]]:
    """For each block the two waves and their combination; none of a Transformer."""
    subject: Any = trace.subject
    found = []
    for number, waves in enumerate(phasor_waves(trace), start=1):
        block = f" of block {number}" if subject.network.config.blocks > 1 else ""
        rows = [Phasors(title, subject.tokens, z.tolist(), radius, circle) for title, z, radius, circle in waves]
        found.append((f"Phasors{block}, dimension {trace.dimension}", rows))
    return found


def card(trace: Trace, stage: Any) -> Card:
    """The Card of a stage: its own equation, and those of arrays that are only read beside it."""
    mine = [q for q in trace.quantities if q.stage.name == stage.name]
    equation = FORMULAS[stage.equation]
    formulas = [
        Formula("forward", equation.forward.split(SEPARATOR)),
        Formula("backward", equation.backward.split(SEPARATOR)),
        *(
            Formula(f"{FORMULAS[q.equation].number}, to read", FORMULAS[q.equation].forward.split(SEPARATOR))
            for q in mine
            if q.kind == "reading"
        ),
    ]
    ordered = sorted(mine, key=lambda q: ("intermediate", "reading", "parameter").index(q.kind))
    arrays = [numbers(q, trace.shown) for q in ordered]
    return Card(equation.number, equation.name, stage.title, stage.name, formulas, arrays)


def numbers(q: Any, shown: int) -> Numbers:
    """The lines of a Quantity: its values; then its gradient by hand, numerically, and the difference of the two."""
    name = f"{q.title}  {shape_text(q.value.shape)}"
    value = Line("value", name, short(norm_of(q.value), DIGITS), entries(q.value, shown), "")
    if q.check is None:
        return Numbers([value])
    check, norm = q.check, short(norm_of(q.gradient), DIGITS)
    apart = np.abs(np.array(check.entries) - np.ravel(q.gradient)[: len(check.entries)])
    lines = [
        value,
        Line("gradient", "dL/dX, by hand", norm, entries(q.gradient, shown), f"{check.analytic:.6e}"),
        Line("numeric", "numerical", "", [short(v, DIGITS) for v in check.entries], f"{check.numeric:.6e}"),
        Line("difference", "difference", "", [f"{v:.0e}" for v in apart.tolist()], f"{check.difference:.0e}"),
    ]
    return Numbers(lines, check.verdict, f"{q.title}: {check.message}" if check.message else "")


def entries(array: Any, shown: int) -> list[str]:
    return [short(v, DIGITS) for v in np.ravel(array)[:shown].tolist()]
