"""The trainings of a reproduction: the networks of its tables, which of them are one, and the jobs."""

import re
from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from engine.support.errors import UserError
from engine.training.run_settings import RunSettings
from layers.experiments.reproduction.protocol import BATCHES, Protocol, Sources, settings_for
from layers.networks import WaveNetworkConfig

TABLES = ("1", "2", "controls", "convergence", "gradients", "independence", "fig7")
OPERATIONS = ("interference", "modulation")
LEARNING_RATES = {"Transformer": 1e-3, "Transformer, rate 2e-4": 2e-4}  # of the paper, and of the preset transformer-1
ORIGINAL = "as in the paper"
STUDY_BATCH, FIG7_EPOCHS = 32, 100


class Job(NamedTuple):
    """One training. kind: "run", "convergence", "fig7" or "study"; cell: name of its network; share: of the rows."""

    kind: str
    corpus: str
    cell: str
    share: float
    settings: RunSettings

    @property
    def name(self) -> str:
        """Its name among all jobs, and that of its folder."""
        cell = re.sub("[^a-z0-9.]+", "_", self.cell.lower())
        return f"{self.kind}-{self.corpus}-{self.share:.6g}-{cell}-s{self.settings.training.seed}"


def plan_jobs(protocol: Protocol, tables: Collection[str], sources: Sources) -> list[Job]:
    """The trainings of some tables, each once, those of the first seed of all before those of the second."""
    jobs: dict[str, Job] = {}
    for seed in range(protocol.seeds):
        for corpus, parts in sources.items():
            for kind, purpose, cell, changes in cells_of(protocol, tables):
                part = parts[purpose]
                job = Job(kind, corpus, cell, part.share, settings_for(protocol, part.data, changes, {"seed": seed}))
                jobs.setdefault(job.name, job)
    return list(jobs.values())


def chosen_jobs(jobs: list[Job], patterns: Collection[str]) -> list[Job]:
    """The Jobs whose names match one of some patterns, all where there is none; UserError for one without a job."""
    for pattern in patterns if jobs else ():
        if not any(fnmatchcase(job.name, pattern) for job in jobs):
            names = ", ".join([job.name for job in jobs[:3]])
            raise UserError(f"--only {pattern}: matches none of {len(jobs)} trainings; they have names such as {names}")
    return [job for job in jobs if not patterns or any(fnmatchcase(job.name, pattern) for pattern in patterns)]


def cells_of(protocol: Protocol, tables: Collection[str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(kind of job, purpose of the corpus, name of the cell, changes) of all networks of some tables."""
    papers = paper_cells()
    if {"1", "2"} & set(tables):
        yield from (("run", "full", cell, changes) for cell, changes in papers.items())
    for operation in OPERATIONS if "controls" in tables else ():
        same = same_cells(protocol, operation)
        for label, changes in one_factor(operation, protocol.dimension).items():
            if label not in same:
                yield "run", "share", control_cell(operation, label), changes
    if "convergence" in tables:
        for cell, changes in papers.items():
            yield "convergence", "convergence", cell, {"step_budget": BATCHES, "epochs": BATCHES, **changes}
    for cell, changes in study_cells().items() if {"gradients", "independence"} & set(tables) else ():
        yield "study", "share", cell, {"batch_size": STUDY_BATCH, **changes}
    if "fig7" in tables:
        for cell, changes in papers.items():
            yield "fig7", "fig7", cell, {"epochs": FIG7_EPOCHS, **changes}


def paper_cells() -> dict[str, dict[str, Any]]:
    """{model: changes} of the networks of the paper, with a Transformer from random embeddings."""
    waves = {name: {"operation": name} for name in OPERATIONS}
    return {**waves, **transformer_cells()}


def transformer_cells() -> dict[str, dict[str, Any]]:
    """{name: changes} of a Transformer of one block from random embeddings, by learning rate."""
    return {name: {"model": "transformer", "learning_rate": rate} for name, rate in LEARNING_RATES.items()}


def study_cells() -> dict[str, dict[str, Any]]:
    """{name: changes} of the networks whose gradients and embeddings are studied; names are those of folders."""
    cells = {name: {"operation": name} for name in OPERATIONS}
    cells |= {f"{name}-real": {"operation": name, "wave": "real"} for name in OPERATIONS}
    cells |= {"interference-phase-free": {"operation": "interference", "wave": "phase-free"}}
    return {**cells, "transformer": transformer_cells()["Transformer"]}


def control_cell(operation: str, label: str) -> str:
    """The name of a cell of one_factor(): for the network of the paper that which Table 1 gives it."""
    return operation if label == ORIGINAL else f"{operation}: {label}"


def one_factor(operation: str, hidden: int) -> dict[str, dict[str, Any]]:
    """{label: changes} of the network of the paper, one factor at a time. hidden: width of its feed-forward layer."""
    cells: dict[str, dict[str, Any]] = {ORIGINAL: {}}
    cells |= {f"g = {readout}": {"readout": readout} for readout in ("real", "both")}
    cells |= {f"positions {kind}": {"position_encoding": kind} for kind in ("none", "learned")}
    cells |= {f"levels {levels}": {"levels": levels} for levels in ("text", "sentence")}
    cells |= {f"no maps, hidden {2 * hidden:,}": {"variants": "none", "hidden": 2 * hidden}}
    cells |= {"maps of the wave": {"variants": "wave"}}
    for form in ("normed", "eq8", "fig6b"):
        cells |= {f"block {form}, depth {n}": {"block_form": form, "blocks": n} for n in (1, 2, 3)}
    for wave in ("real", "phase-free"):
        for readout in ("magnitude", "real", "both"):
            cells |= {f"wave {wave}, g = {readout}": {"wave": wave, "readout": readout}}
    return {label: {"operation": operation, **changes} for label, changes in cells.items()}


def identity(config: WaveNetworkConfig) -> tuple[Any, ...]:
    """A key that two networks share which compute one function with the same parameters (layers/wave/controls.md)."""
    varied = ("operation", "readout", "wave", "levels")
    rest = tuple((name, value) for name, value in config.to_dict().items() if name not in varied)
    asked = tuple(getattr(config, name) for name in varied)
    if config.variants == "wave" or config.block_form == "fig6b":  # other formulas than those of controls.md
        return (*rest, asked)
    return (*rest, formula(*asked) or asked)


def formula(operation: str, readout: str, wave: str, levels: str) -> tuple[str, ...] | None:
    """The formula of interference or modulation in the table of controls.md, with the level if it has one.

    None for a formula that stands in one cell only.
    """
    adds = operation == "interference"
    if wave == "phase-free" and readout in ("real", "magnitude"):
        return ("G + G" if adds else "G·G", levels)
    if wave == "full" and readout == "magnitude" and not adds:
        return ("G·G", levels)
    if readout == "real" and (wave == "real" or (wave == "full" and adds)):
        return ("a + b" if adds else "a·b",)
    if wave == "real" and readout in ("magnitude", "both"):
        return (operation, readout, wave)
    return None


def same_cells(protocol: Protocol, operation: str) -> dict[str, str]:
    """{label: label of an earlier cell that is the same function} among the cells of one_factor()."""
    first: dict[Any, str] = {}
    found = {}
    for label, changes in one_factor(operation, protocol.dimension).items():
        network = settings_for(protocol, {}, changes).network
        earlier = first.setdefault(identity(network), label)
        if earlier != label:
            found[label] = earlier
    return found
