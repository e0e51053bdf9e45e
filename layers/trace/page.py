"""A trace as what engine/analysis/trace_page.py draws: equations, numbers, phasors."""

import numpy as np

from engine.analysis.phasors import Phasors
from engine.analysis.trace_page import Card, Formula, Numbers, Page
from layers.trace.equations import EQUATIONS, SEPARATOR
from layers.trace.report import phasor_waves, verdict_line
from layers.trace.table import class_list, network_line, norm_of, shape_text, short

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
    formulas = [Formula("forward", equation.forward.split(SEPARATOR)), Formula("backward", equation.backward.split(SEPARATOR))]
    formulas += [Formula(f"{EQUATIONS[q.equation].number}, to read", EQUATIONS[q.equation].forward.split(SEPARATOR)) for q in readings]
    made_first = sorted(mine, key=lambda q: ("intermediate", "reading", "parameter").index(q.kind))
    return Card(equation.number, equation.name, stage.title, stage.name, formulas, [numbers(q, trace.shown) for q in made_first])


def numbers(q, shown):
    """The lines of one array: its values; then its gradient by hand, numerically, and the difference of the two."""
    name = f"{q.title}  {shape_text(q.value.shape)}"
    lines = [("value", name, short(norm_of(q.value), DIGITS), entries(q.value, shown), "")]
    if q.check is None:
        return Numbers(lines)
    check = q.check
    apart = np.abs(np.array(check.entries) - np.ravel(q.gradient)[: len(check.entries)])
    lines += [
        ("gradient", "dL/dX, by hand", short(norm_of(q.gradient), DIGITS), entries(q.gradient, shown), f"{check.analytic:.6e}"),
        ("numeric", "numerical", "", [short(v, DIGITS) for v in check.entries], f"{check.numeric:.6e}"),
        ("difference", "difference", "", [f"{v:.0e}" for v in apart.tolist()], f"{check.difference:.0e}"),
    ]
    return Numbers(lines, check.verdict, f"{q.title}: {check.message}" if check.message else "")


def entries(array, shown):
    return [short(v, DIGITS) for v in np.ravel(array)[:shown].tolist()]
