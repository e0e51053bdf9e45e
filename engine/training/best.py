"""What a validation decides: whether its weights are the best so far."""

from typing import Any

from engine.training.checkpoint import Progress
from engine.training.evaluation import Evaluation


def score_of(found: Evaluation) -> float:
    """The figure that is compared first: the accuracy, or micro F1 where a text may have several labels."""
    return found.accuracy if found.micro_f1 is None else found.micro_f1


def is_better(found: Evaluation, progress: Progress) -> bool:
    """Whether a validation is better than the best so far: by its score, or of equal ones by the loss."""
    best = progress.best_accuracy if found.micro_f1 is None else progress.best_micro_f1
    return (score_of(found), -found.loss) > (best, -progress.best_loss)


def keep_figures(found: Evaluation, progress: Progress) -> None:
    """Make a validation the best so far."""
    progress.best_accuracy, progress.best_loss = found.accuracy, found.loss
    if found.micro_f1 is not None:
        progress.best_micro_f1 = found.micro_f1


def fields_of(found: Evaluation, prefix: str = "validation") -> dict[str, Any]:
    """The fields of a validation in the line of metrics of its step. prefix: "averaged" for the mean of weights."""
    fields = {f"{prefix}_accuracy": found.accuracy, f"{prefix}_loss": found.loss}
    return fields if found.micro_f1 is None else {**fields, f"{prefix}_micro_f1": found.micro_f1}
