"""The validation figure that chooses the best epoch."""

import pytest

from engine.training.checkpoint import Progress
from engine.training.evaluation import Evaluation
from engine.training.selection import score_of, take_if_better, validation_figures


def evaluation(accuracy, macro_f1, loss, micro_f1=None):
    return Evaluation(accuracy, macro_f1, loss, [], micro_f1)


EPOCHS = [evaluation(0.8, 0.3, 0.9), evaluation(0.7, 0.5, 0.8), evaluation(0.8, 0.4, 0.7), evaluation(0.6, 0.5, 0.6)]
SETS = [one._replace(micro_f1=micro) for one, micro in zip(EPOCHS, (0.2, 0.9, 0.1, 0.9))]


@pytest.mark.parametrize("select, best", [("accuracy", 2), ("macro_f1", 3), ("loss", 3)])
@pytest.mark.parametrize("epochs, of_sets", [(EPOCHS, {}), (SETS, {"accuracy": 3})])
def test_the_best_epoch_is_that_of_the_figure(select, best, epochs, of_sets):
    """Of equal figures that of the lower loss."""
    progress, taken = Progress(), -1
    for number, result in enumerate(epochs):
        if take_if_better(result, progress, select):
            taken = number
    best = of_sets.get(select, best)
    assert taken == best
    assert (progress.best_accuracy, progress.best_macro_f1, progress.best_loss) == epochs[best][:3]
    assert progress.best_micro_f1 == (-1.0 if epochs is EPOCHS else epochs[best].micro_f1)


def test_the_first_epoch_is_better_than_none():
    for select in ("accuracy", "macro_f1", "loss"):
        assert take_if_better(evaluation(0.0, 0.0, 1e300), Progress(), select)


def test_an_equal_epoch_is_not_better():
    for select in ("accuracy", "macro_f1", "loss"):
        progress = Progress()
        assert take_if_better(EPOCHS[0], progress, select) and not take_if_better(EPOCHS[0], progress, select)


def test_metrics_tell_macro_f1_where_it_decides():
    assert set(validation_figures(EPOCHS[0], "accuracy")) == {"validation_accuracy", "validation_loss"}
    assert validation_figures(SETS[0], "macro_f1")["validation_macro_f1"] == 0.3
    assert score_of(SETS[0], "accuracy") == 0.2
