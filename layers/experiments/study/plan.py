"""The settings of a study: operations of a Wave Network and a Transformer of one block, on the same texts.

Source: Zhang & Sheng, arXiv 2411.06989. What it leaves open is chosen here: the networks are as wide as each other,
begin with embeddings of one size, and have the magnitude readout of the preset `paper` and the proportions of BERT.
Also here: the schema of study.json, checked before anything is made of it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from engine.data.config import DataConfig
from engine.report.series import Curves, Groups, is_number
from engine.support.command import command_name
from engine.support.errors import UserError
from engine.training.run_settings import RunSettings, build_settings
from engine.types import Floats2d
from layers.networks import CONFIGS
from layers.wave import OPERATIONS

DIMENSION = 256  # a third of the papers' 768, for a laptop
HEAD = 64  # columns of an attention's head, as in BERT
ORDER = (
    "seed",
    "epochs",
    "step_budget",
    "many_classes_epochs",
    "batch_size",
    "patience",
)  # fields of training that order the texts
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


Record: TypeAlias = dict[str, Any]  # content of study.json
Matrices: TypeAlias = dict[str, tuple[Floats2d, Floats2d]]  # run → correlations (before, after), each (d, d)

PLACES = {  # where the norm of the loss's gradient is taken
    "gradient_cls": "[CLS] token's embedding",
    "gradient_input": "all input token embeddings",
    "gradient_classifier": "classifier's weight",
}
PER_STEP = ("loss", "accuracy", *PLACES)
WAVES = {"phase": "phase", "log10_magnitude": "magnitude"}
LISTS = {  # measured now and then
    "independence": ("step", "mean_absolute_correlation", "effective_rank"),
    "validation": ("step", "accuracy", "loss"),
    "waves": ("step", *WAVES),
}
SINGLE = ("test_accuracy", "parameters", "train_seconds")


def groups_of(study: Record) -> Groups:
    """The runs as engine/report/curves.py draws them: a line each."""
    return {name: [run] for name, run in study["runs"].items()}


def check_study(study: Record) -> None:
    """Raise UserError unless the dict follows the schema, with at least one run of at least one step."""
    for key in ("settings", "bins", "runs"):
        require(isinstance(study, dict) and isinstance(study.get(key), dict), f"{key} is no table of names and values")
    require(study["runs"], "runs holds none")
    for name, run in study["runs"].items():
        require(isinstance(run, dict), f"runs.{name} is no table of names and values")
        check_steps(f"runs.{name}", run)
        check_entries(f"runs.{name}", run, study["bins"])


def check_steps(where: str, run: Curves) -> None:
    """Raise UserError unless a run has its single numbers, and one of each series for every step."""
    for key in SINGLE:
        require(key in run, f"{where}.{key} is missing")
        check_numbers(f"{where}.{key}", [run[key]], missing=key == "test_accuracy")
    for key in ("step", *PER_STEP, *LISTS):
        require(isinstance(run.get(key), list), f"{where}.{key} is missing or no list")
    steps = len(run["step"])
    require(steps > 0, f"{where}.step is empty")
    for key in ("step", *PER_STEP):
        require(len(run[key]) == steps, f"{where}.{key} has {len(run[key])} entries for {steps} steps")
        check_numbers(f"{where}.{key}", run[key], missing=key != "step")


def check_entries(where: str, run: Curves, bins: dict[str, Any]) -> None:
    """Raise UserError unless all that was measured now and then is complete, and every histogram fits its bins."""
    for key, fields in LISTS.items():
        for number, entry in enumerate(run[key]):
            lacks: Collection[str] = fields
            if isinstance(entry, dict):
                lacks = [field for field in fields if field not in entry]
            require(not lacks, f"{where}.{key}[{number}] lacks {', '.join(lacks)}")
            check_numbers(f"{where}.{key}[{number}].step", [entry["step"]], missing=False)
            for field in set(fields) - {"step", *WAVES}:
                check_numbers(f"{where}.{key}[{number}].{field}", [entry[field]])
    for number, entry in enumerate(run["waves"]):
        for key in WAVES:
            edges: Any = bins.get(key)
            counts, path = entry[key], f"{where}.waves[{number}].{key}"
            require(isinstance(edges, list) and len(edges) > 1, f"bins.{key} is missing or holds no edges")
            require(isinstance(counts, list), f"{path} is no list")
            require(len(counts) == len(edges) - 1, f"{path} has {len(counts)} counts for {len(edges)} edges")
            check_numbers(f"bins.{key}", edges, missing=False)
            check_numbers(path, counts, missing=False)


def check_numbers(where: str, values: Sequence[object], missing: bool = True) -> None:
    """Raise UserError unless all are numbers, or None where they may be missing."""
    strange = [value for value in values if not is_number(value) and not (missing and value is None)]
    require(not strange, f"{where} holds {strange[:1]}, expected a number")


def require(condition: object, message: str) -> None:
    if not condition:
        raise UserError(f"study.json: {message}; restore the file or run {command_name()} study again")
