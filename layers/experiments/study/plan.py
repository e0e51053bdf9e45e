"""The settings of a study: operations of a Wave Network and a Transformer of one block, on the same texts.

Source: Zhang & Sheng, arXiv 2411.06989. What it leaves open is chosen here: the networks are as wide as each other,
begin with embeddings of one size, and have the magnitude readout of the preset `paper` and the proportions of BERT.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from engine.data.config import DataConfig
from engine.support.errors import UserError
from engine.training.run_settings import RunSettings, build_settings
from layers.networks import CONFIGS
from layers.wave import OPERATIONS

DIMENSION = 256  # a third of the papers' 768, for a laptop
HEAD = 64  # columns of an attention's head, as in BERT
ORDER = ("seed", "epochs", "step_budget", "batch_size", "patience")  # fields of training that order the texts
SHARED: dict[str, Any] = {
    "max_tokens": 128,
    "epochs": 5,
    "batch_size": 64,
    "patience": 0,
    "threads": 1,
    "embedding_scale": 0.02,
}
WAVE: dict[str, Any] = {"model": "wave", "readout": "magnitude", "activation": "gelu", "learning_rate": 1e-3}
RUNS = ("interference", "modulation", "transformer")  # unless others are chosen: those of the papers


def known_runs() -> dict[str, dict[str, Any]]:
    """The fields of every run that can be chosen: one for each operation, and the Transformer."""
    waves = {name: {**WAVE, "operation": name} for name in OPERATIONS}
    return {**waves, "transformer": {"model": "transformer", "learning_rate": 2e-4}}


def plan(
    fields: Mapping[str, Any], assignments: Iterable[tuple[str, Any]] = (), runs: Iterable[str] = RUNS
) -> dict[str, RunSettings]:
    """Settings of each run by its name.

    fields: equal in all runs, "dimension" in all networks. assignments: (name, value) pairs that win over the rest; a
    name is a field of some run, or "run.field". runs: some of known_runs().
    Raises UserError for an unknown run or field, for a wrong value, and for the operation, which is that of the run's
    name.
    """
    runs, known = list(runs), known_runs()
    for name in runs:
        if name not in known:
            raise UserError(f"--runs {name}: is none of the runs {', '.join(known)}")
    chosen = {
        name: {**SHARED, **sizes(name, fields.get("dimension", DIMENSION)), **known[name], **fields} for name in runs
    }
    for name, value in assignments:
        run, dot, field = name.rpartition(".")
        if dot and run not in chosen:
            raise UserError(f"--set {name}: is of no run; the runs are {', '.join(chosen)}")
        if field == "operation":
            raise UserError(f"--set {name}: is what tells the runs apart; choose with --runs among {', '.join(known)}")
        if dot and field in {*DataConfig.fields(), *ORDER}:
            raise UserError(
                f"--set {name}: all runs see the same texts in the same order; leave out {run}. to set it in all of "
                "them"
            )
        fitting = [run] if dot else [run for run, of_run in chosen.items() if field in known_fields(of_run["model"])]
        for run in fitting or chosen:  # of none: then building the settings says so
            chosen[run][field] = value
    return {name: build_settings(CONFIGS, of_run) for name, of_run in chosen.items()}


def sizes(name: str, dimension: int | str) -> dict[str, Any]:
    """Fields of a run that go with the dimension.

    dimension: may be a text that is no number; it is checked later, with all other fields.
    """
    d = int(dimension) if str(dimension).isdecimal() else 0
    if known_runs()[name]["model"] == "wave":
        return {"dimension": dimension, "hidden": d}
    return {"dimension": dimension, "hidden": max(1, 4 * d), "heads": d // HEAD if d % HEAD == 0 and d else 1}


def known_fields(model: str) -> set[str]:
    return {field for part in build_settings({model: CONFIGS[model]}) for field in part.fields()}
