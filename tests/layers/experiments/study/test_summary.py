"""The summary of a study, by hand; damaged studies are named."""

import copy
import math

import numpy as np
import pytest

from engine.report.series import running_median, tenth, window_in
from engine.support.errors import UserError
from layers.experiments.study.plan import groups_of
from layers.experiments.study.summary import summarize, summary_table


def one_run(**changes):
    """A study of one run of 40 steps: losses 40, 39, … 1; the accuracy is 1 from step 21 on."""
    steps = list(range(1, 41))
    run = {
        "step": steps,
        "loss": [float(41 - s) for s in steps],
        "accuracy": [0.5] * 20 + [1.0] * 20,
        "gradient_cls": [4.0] * 4 + [2.0] * 32 + [1.0] * 4,
        "gradient_input": [None] * 4 + [3.0] * 36,
        "gradient_classifier": [0] * 40,
        "independence": [
            {"step": s, "mean_absolute_correlation": s / 100, "effective_rank": 8.0 - s / 10} for s in (0, 20, 40)
        ],
        "waves": [],
        "validation": [{"step": 20, "accuracy": 0.75, "loss": 1.0}, {"step": 40, "accuracy": 0.5, "loss": 2.0}],
        "test_accuracy": 0.625,
        "parameters": 12345,
        "train_seconds": 1.25,
    }
    return {"settings": {}, "bins": {}, "runs": {"one": {**run, **changes}}}


def test_summary_of_known_numbers():
    run = summarize(one_run())["one"]
    assert (run.parameters, run.train_seconds) == (12345, 1.25)
    assert (run.test_accuracy, run.best_validation_accuracy) == (0.625, 0.75)
    assert run.training_loss == 2.5  # of 4, 3, 2, 1
    assert run.gradients["gradient_cls"] == (2, 4, 1)
    assert run.gradients["gradient_input"][::2] == (3, 3) and math.isnan(run.gradients["gradient_input"].first)
    assert run.gradients["gradient_classifier"] == (0, 0, 0)
    assert run.mean_absolute_correlation == (0, 0.4) and run.effective_rank == (8, 4)
    assert run.steps_to_threshold == 21  # 4 of the 7 steps around it have accuracy 1


@pytest.mark.parametrize(
    "accuracy, step",
    [([0.5] * 40, None), ([None] * 40, None), ([0.9] * 40, 1), ([0.8] * 30 + [0.95] + [0.8] * 9, None)],
)
def test_the_threshold_is_that_of_the_running_median(accuracy, step):
    assert summarize(one_run(accuracy=accuracy))["one"].steps_to_threshold == step


def test_missing_numbers_are_nan_and_shown_as_a_dash():
    study = one_run(loss=[None] * 40, test_accuracy=None, validation=[], independence=[])
    run = summarize(study)["one"]
    accuracies = run.test_accuracy, run.best_validation_accuracy
    assert all(map(math.isnan, (run.training_loss, *accuracies, *run.effective_rank)))
    table = dict(summary_table(study)[1])
    assert table["test accuracy"] == "–" and table["effective rank of the embeddings"] == "– → –"


def test_the_table_has_a_column_for_every_run():
    study = one_run()
    study["runs"]["two"] = copy.deepcopy(study["runs"]["one"]) | {"parameters": 7, "accuracy": [0.5] * 40}
    headings, rows = summary_table(study)
    assert headings == ["reading", "one", "two"] and all(len(row) == 3 for row in rows)
    table = {label: cells for label, *cells in rows}
    assert table["parameters"] == ["12,345", "7"] and table["steps until training accuracy is 90 %"] == ["21", "–"]
    assert table["test accuracy"][0] == "62.50 %" and table["best validation accuracy"][0] == "75.00 %"
    assert table["gradient norm, [CLS] token's embedding"][0] == "4 → 1"
    assert table["mean |correlation| of dimensions"][0] == "0 → 0.4" and table["training seconds"][0] == "1.2"


@pytest.mark.parametrize(
    "count, first, last", [(1, [0], [0]), (9, [0], [8]), (20, [0, 1], [18, 19]), (29, [0, 1], [27, 28])]
)
def test_tenths_hold_at_least_one_step(count, first, last):
    values = np.arange(count)
    assert (tenth(values).tolist(), tenth(values, last=True).tolist()) == (first, last)


@pytest.mark.parametrize("window", [1, 3, 7, 21])
def test_running_median_is_that_of_each_window(window):
    values = np.random.default_rng(0).standard_normal(12)
    values[[2, 3, 4, 9]] = np.nan, np.inf, np.nan, -np.inf
    half, expected = window // 2, []
    for i in range(12):
        around = values[max(0, i - half) : i + half + 1]
        around = around[np.isfinite(around)]
        expected.append(np.median(around) if len(around) else np.nan)
    np.testing.assert_array_equal(running_median(values, window), expected)


@pytest.mark.parametrize("steps, window", [(1, 1), (9, 1), (10, 3), (30, 7), (95, 7), (96, 9), (8000, 667)])
def test_windows_are_odd_and_grow_with_the_longest_run(steps, window):
    study = {"runs": {"a": {"step": range(1)}, "b": {"step": range(steps)}}}
    assert window_in(groups_of(study)) == window


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"loss": [1.0]}, r"runs\.one\.loss has 1 entries for 40 steps"),
        ({"loss": ["x"] * 40}, r"runs\.one\.loss holds \['x'\]"),
        ({"step": [None] * 40}, r"runs\.one\.step holds"),
        ({"accuracy": None}, r"runs\.one\.accuracy is missing"),
        ({"step": []}, r"runs\.one\.step is empty"),
        ({"parameters": None}, r"runs\.one\.parameters holds"),
        ({"validation": [{"step": 1}]}, r"validation\[0\] lacks accuracy, loss"),
        ({"independence": [3]}, r"independence\[0\] lacks"),
        (
            {"independence": [{"step": 0, "mean_absolute_correlation": "x", "effective_rank": 1}]},
            r"independence\[0\]\.mean_absolute_correlation holds",
        ),
        ({"waves": [{"step": 0, "phase": [1], "log10_magnitude": [1]}]}, r"bins\.phase is missing"),
    ],
)
def test_damaged_studies_are_named(changes, message):
    with pytest.raises(UserError, match=rf"^study\.json: .*{message}.*; restore"):
        summarize(one_run(**changes))


def test_histograms_must_fit_their_bins():
    study = one_run(waves=[{"step": 0, "phase": [1, 2], "log10_magnitude": [1]}])
    study["bins"] = {"phase": [0, 1, 2], "log10_magnitude": [0, 1, 2]}
    with pytest.raises(UserError, match=r"runs\.one\.waves\[0\]\.log10_magnitude has 1 counts for 3 edges"):
        summarize(study)


@pytest.mark.parametrize(
    "study", [{}, [], {"settings": {}, "bins": {}, "runs": {}}, {"settings": {}, "bins": {}, "runs": {"one": {}}}]
)
def test_what_is_no_study_is_refused(study):
    with pytest.raises(UserError, match=r"^study\.json: "):
        summarize(study)
