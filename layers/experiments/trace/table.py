"""A trace as aligned tables for a terminal: the values forward, the gradients backward."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from engine.support.text import format_table, sanitize
from layers.experiments.trace.stages import FORMULAS
from layers.experiments.trace.trace import Trace, backwards, probabilities, verdict_line

LINE_WIDTH = 100
TOKEN_WIDTH = 20
TOKEN_LINES = 6
CLASSES_SHOWN = 6


def as_text(trace: Trace) -> str:
    """The whole trace as text."""
    forward = [
        (
            FORMULAS[q.equation].number,
            q.title,
            shape_text(q.value.shape),
            short(norm_of(q.value)),
            first_values(q.value, trace.shown),
        )
        for q in trace.quantities
        if q.kind != "parameter"
    ]
    backward = [gradient_row(q, trace.shown) for q in backwards(trace.quantities)]
    notes = [f"{q.title}: {q.check.message}" for q in backwards(trace.quantities) if q.check and q.check.message]
    lines = [
        *heading(trace),
        "\nforward\n",
        format_table(["", "value", "shape", "norm", "first values"], align_values(forward), align="<<<><"),
        "\nbackward: dL/dX of each value and parameter X, and the loss's slope along a random unit direction,",
        "from that gradient (analytic) and from five-point differences of all that follows X (numeric)\n",
        format_table(
            ["gradient of", "norm", "first values", "numeric", "analytic", "difference", ""],
            align_values(backward, 2),
            align="<><>>><",
        ),
        "",
        *(line for note in [*notes, verdict_line(trace)] for line in textwrap.wrap(sanitize(note), LINE_WIDTH)),
    ]
    return "\n".join(lines)


def heading(trace: Trace) -> list[str]:
    """Lines that name the network, the text and its tokens, and the network's loss and probabilities."""
    subject: Any = trace.subject
    loss, label = float(trace.walk.values["loss"]), subject.classes[int(subject.batch.labels[0])]
    lines = [network_line(subject)]
    shown = textwrap.wrap(
        "tokens: " + " ".join(sanitize(t, TOKEN_WIDTH) for t in subject.tokens), LINE_WIDTH, subsequent_indent="  "
    )
    lines += shown[:TOKEN_LINES] + [f"  … {len(subject.tokens)} tokens in all"] * (len(shown) > TOKEN_LINES)
    lines.append(f"loss {loss:.6g} nat of label {sanitize(label, TOKEN_WIDTH)}; probabilities {class_list(trace)}")
    return [sanitize(line) for line in lines]


def network_line(subject: Any) -> str:
    """Say where the network of a Subject comes from, and its settings."""
    config = subject.network.config
    blocks = f"{config.blocks} block" + "s" * (config.blocks != 1)
    if config.model == "transformer":
        heads = f"{config.heads} head" + "s" * (config.heads != 1)
        return f"{subject.origin}: Transformer, d = {config.dimension}, {blocks}, {heads}, float64"
    parts = f"{config.operation}, {config.readout} readout, {config.pooling} pooling"
    return f"{subject.origin}: d = {config.dimension}, {blocks}, {parts}, float64"


def class_list(trace: Trace) -> str:
    """The likeliest classes with their probabilities."""
    found = probabilities(trace)
    order = np.argsort(-found, kind="stable")[:CLASSES_SHOWN]
    more = ", …" if len(found) > CLASSES_SHOWN else ""
    return ", ".join(f"{sanitize(trace.subject.classes[i], TOKEN_WIDTH)}: {found[i]:.4f}" for i in order) + more


def gradient_row(q: Any, shown: int) -> tuple[Any, ...]:
    """Cells of the table of gradients for a Quantity."""
    check, values = q.check, first_values(q.gradient, shown)
    slopes = f"{check.numeric:.3e}", f"{check.analytic:.3e}", f"{check.difference:.1e}"
    return (q.title, short(norm_of(q.gradient)), values, *slopes, check.verdict or "ok")


def norm_of(array: Any) -> float:
    return float(np.linalg.norm(np.ravel(array)))


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def first_values(array: Any, shown: int) -> list[str]:
    """The first entries as short texts; "…" as the last where there are more."""
    flat = np.ravel(array)
    return [short(v) for v in flat[:shown].tolist()] + ["…"] * (flat.size > shown)


def align_values(rows: Sequence[tuple[Any, ...]], column: int = 4) -> list[tuple[Any, ...]]:
    """Rows whose lists of values in one column become texts of equal width, so that entries stand below one another."""
    lists = [row[column] for row in rows]
    width = max((len(v) for values in lists for v in values), default=0)
    texts = [" ".join(v if v == "…" else v.rjust(width) for v in values) for values in lists]
    return [(*row[:column], text, *row[column + 1 :]) for row, text in zip(rows, texts)]


def short(value: float, digits: int = 3) -> str:
    """A number in few characters: 0.123, -12.3, 1.2e-05."""
    if value == 0.0 or not math.isfinite(value):
        return f"{abs(value) if value == 0.0 else value:g}"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.{digits - 2}e}"
