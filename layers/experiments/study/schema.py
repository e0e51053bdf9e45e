"""The schema of study.json: what a comparison of trainings records, checked before anything is made of it."""

from collections.abc import Collection, Sequence
from typing import Any, TypeAlias

from engine.report.curves import Curves, Groups, is_number
from engine.support.errors import UserError
from engine.types import Floats2d

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
REMEDY = "restore the file or run python train.py study again"


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
        raise UserError(f"study.json: {message}; {REMEDY}")
