"""The network and the text of a state: a small random network, or a trained one cut to the text's tokens."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from engine.support.errors import UserError
from engine.support.text import sanitize
from engine.types import Floats2d
from layers.experiments.explore.state import MOST_TOKENS, WIDEST, State
from layers.experiments.trace.subject import CLASSES, WORD, Subject, one_text, random_subject, require_one_label
from layers.networks import build_network

if TYPE_CHECKING:
    from engine.training.trained_run import OpenRun


class Scene(NamedTuple):
    """What is on the page.

    subject: its network's embedding table has a row for each distinct token, in order of appearance. values: (rows, d)
    of that table, before any was moved. tokens: how many are shown, the first ones. dimensions: those shown. note: what
    was left out, "" for nothing. state: without moves that change nothing, and with a dimension and token that exist.
    """

    state: State
    subject: Subject
    values: Floats2d
    tokens: int
    dimensions: list[int]
    note: str

    @property
    def k(self) -> int:
        """The dimension in the middle."""
        return self.dimensions[self.state.dimension]


class Source(Protocol):
    """Where networks come from; can be hashed. fixed: whether its settings cannot be chosen."""

    fixed: bool
    origin: str

    def __hash__(self) -> int: ...

    def subject(self, state: State) -> tuple[Subject, list[int], str]:
        """The Subject of a state before tokens are moved, the dimensions shown, and what was left out.

        Raises UserError for a text without words and an unknown class.
        """
        ...


class RandomNetworks:
    """Networks as `trace` makes them for a text."""

    fixed, origin = False, "random network"

    def subject(self, state: State) -> tuple[Subject, list[int], str]:
        words = len(WORD.findall(state.text))
        if not words:
            raise UserError("text: has no word; type one to five")
        require_class(state.label, CLASSES)
        fields: dict[str, Any] = {
            "dimension": state.width,
            "position_encoding": state.positions,
            "block_form": state.block,
        }
        subject = random_subject(
            state.text, state.seed, state.label or None, longest=MOST_TOKENS,
            operation=state.operation, readout=state.readout, scope=state.scope, **fields,
        )  # fmt: skip
        left_out = words + 1 - MOST_TOKENS
        note = f"Of the text the first {MOST_TOKENS - 1} words are taken, {left_out} left out." if left_out > 0 else ""
        return subject, list(range(state.width)), note


class TrainedNetwork:
    """The network of a run, for any text. Raises UserError where it cannot be shown."""

    fixed = True

    def __init__(self, run: "OpenRun", origin: str):
        config = run.network.config
        require_one_label(run, origin)
        if config.model != "wave" or config.blocks < 1:
            raise UserError(
                f"{origin}: is no network with waves, which this page shows; take the run of a Wave Network"
            )
        self.run, self.origin = run, origin

    def subject(self, state: State) -> tuple[Subject, list[int], str]:
        from engine.data.prepare import encode_plain_texts

        run = self.run
        batch = encode_plain_texts(run.settings.data, run.vocabulary, [state.text])
        if not len(batch.ids):
            raise UserError("text: has no token that the run knows; type other words")
        tokens = run.vocabulary.names(batch.ids)
        rows = list(dict.fromkeys(batch.ids.tolist()))  # in order of appearance
        network = cut_to_rows(run.network, np.array(rows))
        place = {row: i for i, row in enumerate(rows)}
        ids = np.array([place[i] for i in batch.ids.tolist()], np.int64)
        unlabelled = one_text(ids, 0)._replace(sentence_offsets=batch.sentence_offsets)
        require_class(state.label, run.classes)
        predicted = int(network.forward(unlabelled)[0].argmax())
        number = run.classes.index(state.label) if state.label else predicted
        batch = unlabelled._replace(labels=np.array([number], np.int64))
        subject = Subject(network, batch, tokens, run.classes, self.origin)
        d, left_out = run.settings.network.dimension, []
        sizes = abs(network.embedding.table.value).mean(axis=0)
        dimensions = sorted(np.argsort(-sizes, kind="stable")[:WIDEST].tolist())
        if len(ids) > MOST_TOKENS:
            left_out.append(f"of {len(ids)} tokens the first {MOST_TOKENS}")
        if d > WIDEST:
            left_out.append(f"of {d} dimensions the {WIDEST} in which these tokens have the largest values")
        note = f"Shown are {' and '.join(left_out)}; all of them are computed and checked." if left_out else ""
        return subject, dimensions, note


def require_class(label: str, classes: list[str]) -> None:
    """Raise UserError for a label that is no class; "" is the usual one."""
    if label and label not in classes:
        known = ", ".join(classes[:20]) + (", …" if len(classes) > 20 else "")
        raise UserError(f"label: there is no class {sanitize(label, 40)!r}; the classes are {known}")


def cut_to_rows(network: Any, rows: Any) -> Any:
    """The same network in float64, with these rows of its vocabulary alone."""
    vocabulary = len(network.embedding.table.value)
    cut = build_network(network.config, len(rows), len(network.classifier.bias.value), None, np.float64)
    state = network.state()
    for name, array in cut.state().items():
        value = state[name].value
        value = value[rows] if len(value) == vocabulary and name in ("embedding.table", "shortcut.counts") else value
        array.value = value.astype(np.float64) if value.dtype.kind == "f" else value
    return cut


def is_same(value: float, drawn: float) -> bool:
    """Whether a value that a slider sends is the one it was given: browsers round it to fifteen digits."""
    return abs(value - drawn) <= 1e-13 * max(abs(drawn), 1.0)


def scene_of(source: Source, state: State) -> Scene:
    """The Scene of a state. Raises UserError where there is none."""
    subject, dimensions, note = source.subject(state)
    table = subject.network.embedding.table
    values, shown = table.value.copy(), min(len(subject.tokens), MOST_TOKENS)
    rows = set(subject.batch.ids[:shown].tolist())
    moved = [
        (row, i, value)
        for row, i, value in state.moved
        if row in rows and i < len(dimensions) and not is_same(value, float(values[row, dimensions[i]]))
    ]
    state = state.moved_to(moved).replace(
        dimension=min(state.dimension, len(dimensions) - 1), token=min(state.token, shown - 1)
    )
    table.value = values.copy()
    for row, i, value in moved:
        table.value[row, dimensions[i]] = value
    return Scene(state, subject, values, shown, dimensions, note)
