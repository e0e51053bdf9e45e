"""Which weights are the best: the field `select` names the validation figure that decides, ties go to the lower loss.

accuracy    the share of texts with the right label; micro F1 where a text may have several
macro_f1    the mean of the F1 of the classes, a rare one counting as much as a frequent one
loss        the mean cross-entropy, without weights of classes
"""

from typing import Any

from engine.support.text import epochs_text
from engine.training.checkpoint import Progress
from engine.training.evaluation import Evaluation


def score_of(result: Evaluation, select: str) -> float:
    """The figure that decides, as a number that is better the larger it is."""
    if select == "loss":
        return -result.loss
    if select == "macro_f1":
        return result.macro_f1
    return result.accuracy if result.micro_f1 is None else result.micro_f1


def best_score(progress: Progress, select: str, several: bool) -> float:
    """score_of() the best epoch so far. several: whether a text may have several labels."""
    if select == "loss":
        return -progress.best_loss
    if select == "macro_f1":
        return progress.best_macro_f1
    return progress.best_micro_f1 if several else progress.best_accuracy


def take_if_better(result: Evaluation, progress: Progress, select: str) -> bool:
    """Whether a validation is better than the best so far, whose figures in `progress` its own then replace."""
    best = best_score(progress, select, result.micro_f1 is not None)
    better = (score_of(result, select), -result.loss) > (best, -progress.best_loss)
    if better:
        progress.best_accuracy, progress.best_loss = result.accuracy, result.loss
        progress.best_macro_f1 = result.macro_f1
        if result.micro_f1 is not None:
            progress.best_micro_f1 = result.micro_f1
    return better


def validation_figures(result: Evaluation, select: str, prefix: str = "validation") -> dict[str, float]:
    """The fields of a validation in the line of metrics of its step. prefix: "averaged" for the mean of weights."""
    figures = {f"{prefix}_accuracy": result.accuracy, f"{prefix}_loss": result.loss}
    if result.micro_f1 is not None:
        figures[f"{prefix}_micro_f1"] = result.micro_f1
    if select == "macro_f1":
        figures[f"{prefix}_macro_f1"] = result.macro_f1
    return figures


def best_text(result: dict[str, Any]) -> str:
    """The place of the best weights in a training, by its result.json: "1.5 of 6"."""
    mean = f", mean of the weights at {result['best_averaged']} validations" if result.get("best_averaged") else ""
    return f"{epochs_text(result['best_epoch'])} of {epochs_text(result['epochs'])}{mean}"
