"""The content of result.json: figures of a finished training, its texts, its machine."""

import platform
import sys
from typing import Any

import numpy as np

from engine import __version__
from engine.arrays.backend import peak_memory_bytes
from engine.compiled import c_file
from engine.implementation import worst_differences
from engine.support.implementation import current
from engine.training.decision import chosen_figures
from engine.training.evaluation import Evaluation
from engine.training.run_settings import RunSettings
from engine.training.trainer import Trainer


def result_of(trainer: Trainer, settings: RunSettings, test: Evaluation | None) -> dict[str, Any]:
    """The result of a Trainer that holds its best weights. test: measures of the test texts, None without such."""
    progress, data, network, decision = trainer.progress, trainer.data, trainer.network, trainer.decision
    splits = {"training": data.train, "validation": data.validation, "test": data.test}
    result = {
        "test_accuracy": test.accuracy if test else None,
        "test_macro_f1": test.macro_f1 if test else None,
        "validation_accuracy": progress.best_accuracy if data.validation else None,
        "train_seconds": progress.train_seconds,
        "tokens_per_second": progress.tokens / max(progress.train_seconds, 1e-9),
        "parameters": network.parameter_count(),
        "peak_memory_bytes": peak_memory_bytes(trainer.device),
        "seed": settings.training.seed,
        "device": trainer.device,
        "precision": settings.training.precision,
        "implementation": current(),
        "functions_in_c": trainer.device == "cpu" and all(file.is_usable() for file in c_file.files),
        "corpus": data.name,
        "texts": {name: len(split.offsets) - 1 for name, split in splits.items() if split},
        "epochs": progress.epochs(trainer.batches_per_epoch),
        "best_epoch": progress.best_epoch,
        "best_step": round(progress.best_epoch * trainer.batches_per_epoch),
        "steps": progress.step,
        "classes": [row._asdict() for row in test.classes] if test else [],
        "run_directory": str(trainer.run.path),
        "versions": {"program": __version__, "python": platform.python_version(), "numpy": np.__version__},
    }
    if settings.data.has_several_labels():
        result["test_micro_f1"] = test.micro_f1 if test else None
        result["validation_micro_f1"] = progress.best_micro_f1 if data.validation else None
        result["thresholds"] = None if decision.thresholds is None else decision.thresholds.tolist()
    else:
        result["test_calibration_error"] = test.calibration_error if test else None
    if settings.training.averaging:
        result["best_averaged"] = progress.best_averaged
    result.update(chosen_figures(settings.training, progress, decision, network, data.classes))
    if trainer.device == "cuda":
        result["versions"]["cupy"] = sys.modules["cupy"].__version__
    if worst_differences:  # of implementation=check, each as a share of its tolerance
        result["differences"] = {
            f"{name}, {dtype}": worst for (name, dtype), worst in sorted(worst_differences.items())
        }
    return result
