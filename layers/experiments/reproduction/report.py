"""The tables of a reproduction: figures of the paper beside those of the jobs that have ended."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from engine.data.corpora import CORPORA
from layers.experiments.reproduction import paper
from layers.experiments.reproduction.paper import BERT, NONE, NOT_RUN, TRANSFORMER, UNKNOWN, Row, comparison
from layers.experiments.reproduction.plan import (
    OPERATIONS,
    ORIGINAL,
    Job,
    control_cell,
    one_factor,
    paper_cells,
    same_cells,
    study_cells,
)
from layers.experiments.reproduction.run import State
from layers.experiments.study.plan import PLACES

TITLES = {
    "1": "Table 1: accuracy on the test texts",
    "2": "Table 2: accuracy, time and memory",
    "controls": "One factor at a time, and controls without the wave",
    "convergence": "Convergence: test accuracy in the first 500 batches",
    "gradients": "Norms of the loss's gradient, first → last tenth of the steps",
    "independence": "Independence of the embeddings, before → after training",
    "fig7": "Fig. 7: 100 epochs",
}
FIXED = {"contradictions": "What in the paper fits together", "parameters": "Parameters beside the embedding table"}
PRETRAINED = "needs the pre-trained weights of BERT"
PERCENT = "{:.2f} %"


def tables_of(state: State) -> dict[str, list[Row]]:
    """{title: rows} of the tables asked for, and of what the paper's figures alone say."""
    makers: dict[str, Callable[[State], Iterator[Row]]] = {
        "1": table1, "2": table2, "controls": controls, "convergence": convergence, "gradients": gradients,
        "independence": independence, "fig7": figure7,
    }  # fmt: skip
    asked = {TITLES[name]: list(makers[name](state)) for name in state.tables}
    own = {FIXED["contradictions"]: paper.contradictions(), FIXED["parameters"]: paper.parameter_readings()}
    return {**asked, **own}


class Cell:
    """The jobs of one cell of a corpus, one a seed, and their results."""

    def __init__(self, state: State, kind: str, corpus: str, cell: str, purpose: str) -> None:
        self.state, self.corpus = state, corpus
        self.source = state.sources[corpus][purpose]
        self.jobs: list[Job] = [
            job for job in state.jobs
            if (job.kind, job.corpus, job.cell, job.share) == (kind, corpus, cell, self.source.share)
        ]  # fmt: skip

    def values(self, read: Callable[[dict[str, Any]], float | None]) -> list[float | None]:
        """A figure of each result; None where it is missing."""
        found = [self.state.found.get(job.name) for job in self.jobs]
        return [None if result is None else read(result) for result in found]

    def row(
        self, what: str, quantity: str, form: str, printed: float | None, read: Callable[[dict[str, Any]], float | None]
    ) -> Row:
        """The Row of a figure: read takes it from a result."""
        values = self.values(read)
        row = comparison(what, quantity, form, printed, values, difference(self))
        if row.here != NOT_RUN:
            return row
        if all(job.name in self.state.found for job in self.jobs):
            return row._replace(here=NONE, agrees=UNKNOWN)  # measured, but nothing that is a number
        failed = [self.state.failed[job.name] for job in self.jobs if job.name in self.state.failed]
        return not_run(what, row.paper, failed[0] if failed else "not yet")


def difference(cell: Cell) -> str:
    """How the data or the settings differ from the paper's, "" where they do not."""
    found = [cell.state.protocol.difference()] if cell.state.protocol.difference() else []
    known = CORPORA.get(cell.corpus)
    if known and cell.source.rows != (known.train_rows, known.test_rows):
        found.append(f"{cell.source.rows[0]:,} of {known.train_rows:,} training texts")
    return ", ".join(found)


def not_run(what: str, printed: str, reason: str) -> Row:
    return Row(what, printed, f"{NOT_RUN}: {reason}", NOT_RUN)


def corpora(state: State, printed: dict[tuple[str, str], Any]) -> list[str]:
    """The corpora of a table: those of the paper, then the others that were asked for."""
    return list(dict.fromkeys([*(corpus for corpus, _ in printed), *state.protocol.corpora]))


def shown(form: str, value: float | None) -> str:
    return NONE if value is None else form.format(value)


def table1(state: State) -> Iterator[Row]:
    for corpus in corpora(state, paper.TABLE1):
        yield from accuracies(state, corpus, paper.TABLE1)
        yield from pretrained(corpus, {"test accuracy": (0, PERCENT)})


def accuracies(state: State, corpus: str, printed: dict[tuple[str, str], float]) -> Iterator[Row]:
    """A row of test accuracy for each network of the paper that can be trained."""
    for name in paper_cells():
        what, figure = f"{corpus}, {label(name)}: test accuracy", printed.get((corpus, name))
        if corpus not in state.sources:
            yield not_run(what, shown(PERCENT, figure), why_missing(state, corpus))
            continue
        yield Cell(state, "run", corpus, name, "full").row(what, "accuracy", PERCENT, figure, accuracy)


def why_missing(state: State, corpus: str) -> str:
    """Why a corpus is not run, in a few words; the whole reason stands in state.missing."""
    if corpus in state.missing:
        return "its texts cannot be had"
    return f"no texts; give --files {corpus}=TRAIN:TEST"


def label(name: str) -> str:
    """The name of a network in a table: Transformers of the paper have BERT's embeddings."""
    return name if name in OPERATIONS else f"{name}, from random embeddings"


def accuracy(result: dict[str, Any]) -> float | None:
    return None if result["test_accuracy"] is None else 100 * result["test_accuracy"]


def pretrained(corpus: str, quantities: dict[str, tuple[int, str]]) -> Iterator[Row]:
    """Rows that need pre-trained weights. quantities: {name: (its place in paper.PRETRAINED, format)}."""
    for model in (TRANSFORMER, BERT):
        for quantity, (place, form) in quantities.items():
            if (corpus, model) in paper.PRETRAINED:
                figure = paper.PRETRAINED[corpus, model][place]
                yield not_run(f"{corpus}, {model}: {quantity}", form.format(figure), PRETRAINED)


def table2(state: State) -> Iterator[Row]:
    for corpus in corpora(state, paper.TABLE2):
        yield from accuracies(state, corpus, paper.TABLE2)
        for name in paper_cells() if corpus in state.sources else ():
            yield from resources(Cell(state, "run", corpus, name, "full"), corpus, name)
        rest = {"test accuracy": (0, PERCENT), "memory": (1, "{:.2f} GB"), "seconds an epoch": (2, "{:.2f}")}
        yield from pretrained(corpus, rest)


def resources(cell: Cell, corpus: str, name: str) -> Iterator[Row]:
    """Rows of time, memory and parameters."""
    what, key = f"{corpus}, {label(name)}", (corpus, name)
    held, peak = "memory of weights and optimizer, GB of 2³⁰ bytes", "peak memory of the process, GB of 2³⁰ bytes"
    printed = paper.MEMORY.get(key)
    seconds = paper.SECONDS.get(key)
    yield cell.row(
        f"{what}: seconds an epoch", "seconds", "{:.2f}", seconds, lambda r: r["train_seconds"] / r["epochs"]
    )
    yield cell.row(
        f"{what}: {held}", "memory", "{:.2f}", printed, lambda r: r["parameters"] * paper.ADAM_BYTES / paper.GIB
    )
    yield cell.row(f"{what}: {peak}", "peak", "{:.2f}", printed, lambda r: r["peak_memory_bytes"] / paper.GIB)
    network = cell.jobs[0].settings.network
    yield cell.row(
        f"{what}: parameters beside the embedding table",
        "parameters",
        "{:.4g} M",
        paper.PARAMETERS if name in OPERATIONS else None,
        lambda r: paper.parameters_beside_table(network, r["classes"]) / 1e6,
    )


def controls(state: State) -> Iterator[Row]:
    for corpus in state.protocol.corpora:
        if corpus not in state.sources:
            yield not_run(corpus, NONE, why_missing(state, corpus))
            continue
        for operation in OPERATIONS:
            same = same_cells(state.protocol, operation)
            for name in one_factor(operation, state.protocol.dimension):
                what = f"{corpus}, {operation}: {name}"
                printed = paper.TABLE2.get((corpus, operation)) if name == ORIGINAL else None
                if name in same:
                    yield Row(what, NONE, f'= same as "{same[name]}"', UNKNOWN)
                else:
                    cell = Cell(state, "run", corpus, control_cell(operation, name), "share")
                    yield cell.row(what, "accuracy", PERCENT, printed, accuracy)


def studied(state: State, kind: str, purpose: str, names: Any) -> Iterator[tuple[str, str, Cell | None]]:
    """(corpus, name, Cell) of every network of a study; a Cell of None for a corpus that cannot be had."""
    for corpus in state.protocol.corpora:
        if corpus not in state.sources:
            yield corpus, "", None
        else:
            yield from ((corpus, name, Cell(state, kind, corpus, name, purpose)) for name in names)


def convergence(state: State) -> Iterator[Row]:
    for corpus, name, cell in studied(state, "convergence", "convergence", paper_cells()):
        if cell is None:
            yield not_run(corpus, NONE, why_missing(state, corpus))
            continue
        for batch in (50, 100, 200, 500):
            what = f"{corpus}, {label(name)}: test accuracy after {batch} batches, or the last before"
            yield cell.row(what, "accuracy", PERCENT, None, partial(before, batch))


def before(step: int, result: dict[str, Any]) -> float | None:
    """The last value of a result's curve, in percent, at a step or before it; None where there is none."""
    values = [value for at, value in result["curve"] if at <= step]
    return 100 * values[-1] if values else None


def gradients(state: State) -> Iterator[Row]:
    yield from changes(state, {key: (f"gradient norm, {place}", "{:.3g}", (1, 2)) for key, place in PLACES.items()})


def independence(state: State) -> Iterator[Row]:
    measures = {
        "mean_absolute_correlation": ("mean |correlation| of two dimensions", "{:.3g}", (0, 1)),
        "effective_rank": ("effective rank of the embeddings", "{:.1f}", (0, 1)),
    }
    yield from changes(state, measures)


def changes(state: State, measures: dict[str, tuple[str, str, tuple[int, int]]]) -> Iterator[Row]:
    """Rows "first → last" of {key of a result: (name, format, places of both)}."""
    for corpus, name, cell in studied(state, "study", "share", study_cells()):
        for key, (measure, form, places) in measures.items():
            if cell is None:
                yield not_run(f"{corpus}: {measure}", NONE, why_missing(state, corpus))
                continue
            what = f"{corpus}, {name}: {measure}"
            first, last = (cell.row(what, "measure", form, None, partial(entry, key, place)) for place in places)
            ran = last.agrees != NOT_RUN
            yield first._replace(here=f"{first.here} → {last.here}") if ran else first


def entry(key: str, place: int, result: dict[str, Any]) -> float | None:
    """One of the numbers that a result has under a key."""
    value: float | None = result[key][place]
    return value


def figure7(state: State) -> Iterator[Row]:
    readings: dict[str, Callable[[dict[str, Any]], float]] = {
        "training accuracy, last epoch": lambda r: 100 * r["last_training_accuracy"],
        "best validation accuracy": lambda r: 100 * max(value for _, value in r["curve"]),
        "epoch of the best validation accuracy": lambda r: r["best_epoch"],
        "validation accuracy, last epoch": lambda r: 100 * r["curve"][-1][1],
    }
    for corpus, name, cell in studied(state, "fig7", "fig7", paper_cells()):
        if cell is None:
            yield not_run(corpus, NONE, why_missing(state, corpus))
            continue
        for reading, read in readings.items():
            printed = paper.FIGURE7.get((name, reading)) if corpus == "ag_news" else None
            form = "{:.1f}" if reading.startswith("epoch") else "{:.1f} %"
            yield cell.row(f"{corpus}, {label(name)}: {reading}", "accuracy", form, printed, read)
