"""From the probabilities of a network to labels: its temperature, and thresholds or factors of its classes.

All are chosen on the validation texts of the best epoch, with these in its checkpoint, and in this order: a temperature
(calibration.py), by which probabilities are then told and measured; for texts of several labels thresholds
(thresholds.py), for those of one factors (class_factors.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import to_host
from engine.arrays.ragged import RaggedBatch
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.training.calibration import fit_temperature, tempered
from engine.training.checkpoint import Progress
from engine.training.class_factors import choose_factors
from engine.training.config import TrainingConfig
from engine.training.evaluation import Evaluation, evaluate_probabilities, predict_probabilities
from engine.training.reduce import ALONE, Alone
from engine.training.thresholds import HALF, choose_thresholds
from engine.types import Floats1d


class Decision(NamedTuple):
    """temperature: T of the probabilities. thresholds: (C,), where a text may have several labels. factors: (C,) or
    None for the largest probability, where it has one.
    """

    temperature: float = 1.0
    thresholds: Floats1d | None = None
    factors: Floats1d | None = None

    def state(self) -> dict[str, Any]:
        """The entries of state.json: those that are not as by default."""
        entries: dict[str, Any] = {} if self.temperature == 1 else {"temperature": self.temperature}
        arrays = {"thresholds": self.thresholds, "factors": self.factors}
        return {**entries, **{name: array.tolist() for name, array in arrays.items() if array is not None}}


def decision_in(state: dict[str, Any], classes: int, several: bool, where: AnyPath) -> Decision:
    """The Decision in the state of a best checkpoint; several labels have thresholds of 0.5 where none were chosen.

    UserError, which names the file `where`, for damaged ones.
    """
    try:
        thresholds = np.array(state.get("thresholds", [HALF] * classes)) if several else None
        factors = np.array(state["factors"]) if "factors" in state else None
    except ValueError:  # lists of different lengths
        raise UserError(f"{where}: its thresholds or factors are damaged; restore the file or train again") from None
    temperature = state.get("temperature", 1.0)
    for name, array in (("thresholds", thresholds), ("factors", factors)):
        if array is not None and (array.shape != (classes,) or array.dtype.kind != "f"):
            raise UserError(f"{where}: its {name} are damaged; restore the file or train again")
    if not isinstance(temperature, float) or not 0 < temperature < float("inf"):
        raise UserError(f"{where}: its temperature is damaged; restore the file or train again")
    return Decision(temperature, thresholds, factors)


def evaluate_and_decide(
    network: Any, texts: RaggedBatch, names: Sequence[str], config: TrainingConfig, ranks: Alone = ALONE
) -> tuple[Evaluation, Decision]:
    """(Evaluation on labelled texts by the Decision that is chosen on them, that Decision). ranks: share the batches.

    The network has temperature 1.
    """
    labels = texts.labels
    assert labels is not None
    several = labels.ndim == 2
    probabilities = predict_probabilities(network, texts, ranks=ranks)
    temperature, thresholds, factors = 1.0, None, None
    if config.calibration == "temperature":
        temperature = fit_temperature(labels, probabilities)
        probabilities = tempered(probabilities, temperature, several)
    if several:
        thresholds = choose_thresholds(labels, probabilities, config.thresholds)
    elif config.decision == "thresholds":
        factors = choose_factors(labels, probabilities)
    result = evaluate_probabilities(labels, probabilities, names, thresholds, factors)
    return result, Decision(temperature, thresholds, factors)


def chosen_figures(
    config: TrainingConfig, progress: Progress, decision: Decision, network: Any, classes: Sequence[str]
) -> dict[str, Any]:
    """The entries of result.json about weights, selection and decisions that are not as by default."""
    found: dict[str, Any] = {}
    if config.select == "macro_f1" and progress.best_macro_f1 >= 0:
        found["validation_macro_f1"] = progress.best_macro_f1
    if decision.temperature != 1:
        found["temperature"] = decision.temperature
    if decision.factors is not None:
        found["factors"] = dict(zip(classes, decision.factors.tolist()))
    if config.class_weights != "none":  # of a yes, where a text may have several labels
        found["class_weights"] = dict(zip(classes, np.atleast_2d(to_host(network.class_weights))[-1].tolist()))
    return found
