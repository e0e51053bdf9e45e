"""The figures of a sweep against numbers worked out by hand, and how they are shown."""

import csv
import io
import json
import math

import pytest

from engine.sweep.baselines import Group, groups_of, linear_peers, with_ensembles, with_linear_rows
from engine.sweep.description import Description, PlannedRun
from engine.sweep.results import QUANTILES, as_csv, as_markdown, as_text, mean_interval, quantile, sweep_results
from engine.training.run_settings import build_settings


def result(accuracy, f1=0.5, validation=None, seconds=2.0, memory=2**20):
    """What a result.json says of a run."""
    return {
        "test_accuracy": accuracy,
        "test_macro_f1": f1,
        "validation_accuracy": validation,
        "train_seconds": seconds,
        "peak_memory_bytes": memory,
        "best_epoch": 1,
    }


def planned(choices, labels, seed, **fields):
    name = "-".join([*labels, str(seed)])
    return PlannedRun(name, labels, build_settings(choices.classes, {**fields, "seed": seed}))


@pytest.fixture
def results(choices):
    """Two combinations of three seeds: one whole, one with a single run finished, without validation."""
    runs = [planned(choices, (label,), seed) for label in ("a|b", "c") for seed in (2, 0, 1)]
    found = {
        "a|b-2": result(0.90, 0.1, 0.8, 1.0, 3 * 2**20),
        "a|b-0": result(0.93, 0.2, 0.9, 2.0, 5 * 2**20),
        "a|b-1": result(0.96, 0.3, 1.0, 6.0, 4 * 2**20),
        "c-0": result(0.5),
    }  # fmt: skip
    return sweep_results(["change"], [2, 0, 1], runs, found, {"c-1": "diverged"})


def test_means_spreads_and_intervals_agree_with_hand(results):
    row = results["rows"][0]
    # 90, 93, 96: deviations −3, 0, 3, so s² = 18 / 2 = 9; t with 2 degrees 4.303; 4.303 · 3 / √3 = 7.453
    assert row["mean"] == pytest.approx(0.93) and row["mean_spread"] == pytest.approx(0.03)
    assert row["interval"] == pytest.approx([0.93 - 0.07453, 1.0], abs=1e-5)  # an accuracy is no more than 1
    assert (row["macro_f1"], row["macro_f1_spread"], row["validation"], row["validation_spread"]) == pytest.approx(
        (0.2, 0.1, 0.9, 0.1)
    )
    assert (row["seconds"], row["peak_memory_bytes"]) == (3.0, 5 * 2**20)
    assert (row["change"], row["seeds"], row["planned"]) == ("a|b", 3, 3)
    assert [(run["seed"], run["run"], run["test_accuracy"]) for run in row["runs"]] == [
        (2, "a|b-2", 0.90),
        (0, "a|b-0", 0.93),
        (1, "a|b-1", 0.96),
    ]
    assert (
        results["axes"] == ["change"]
        and results["seeds"] == [0, 1, 2]
        and results["failed"] == [{"run": "c-1", "reason": "diverged"}]
    )


def test_a_single_run_has_neither_spread_nor_interval(results):
    row = results["rows"][1]
    assert (row["seeds"], row["planned"], row["mean"], row["mean_spread"], row["interval"], row["validation"]) == (
        1,
        3,
        0.5,
        None,
        None,
        None,
    )


def test_the_interval_of_values_in_the_middle_is_symmetric():
    low, high = mean_interval([0.4, 0.6])  # s = √0.02, √2 values: t · 0.1
    assert (low, high) == pytest.approx((0.0, 1.0)) and mean_interval([0.5]) is None
    low, high = mean_interval([0.49, 0.51])
    assert (low, high) == pytest.approx((0.5 - 0.12706, 0.5 + 0.12706))


def test_quantiles_are_those_of_students_t():
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    assert [QUANTILES[n] for n in QUANTILES] == pytest.approx([stats.t.ppf(0.975, n) for n in QUANTILES], abs=5.1e-4)
    assert quantile(31) == quantile(39) == QUANTILES[30] and quantile(10_000) == QUANTILES[120]


def test_the_table_shows_what_there_is(results):
    lines = as_text(results).splitlines()
    assert [line.split("  ")[0] for line in lines[:1]] == ["change"]
    for words in ("3", "93.00 ± 3.00 %", "85.55 to 100.00 %", "20.00 ± 10.00 %", "90.00 ± 10.00 %", "3.0 s", "5 MiB"):
        assert words in lines[2], words
    assert lines[3].split() == ["c", "1", "of", "3", "50.00", "%", "-", "50.00", "%", "-", "2.0", "s", "1", "MiB"]
    assert "seeds 0, 1, 2" in lines[-1]


def test_a_combination_without_a_result_is_a_row_of_dashes(choices):
    results = sweep_results([], [0], [planned(choices, (), 0)], {}, {})
    assert as_text(results).splitlines()[2].split() == ["0", "of", "1", "-", "-", "-", "-", "-", "-"]
    assert as_csv(results).splitlines()[1] == "0,1" + "," * 10


def test_markdown_has_all_columns_and_names_what_failed(results):
    lines = as_markdown(results).splitlines()
    assert lines[0] == "| change | seeds | test accuracy | 95 % interval | macro F1 | validation | training | memory |"
    assert lines[1] == "| --- |" + " ---: |" * 7
    assert (
        lines[2]
        == r"| a\|b | 3 | 93.00 ± 3.00 % | 85.55 to 100.00 % | 20.00 ± 10.00 % | 90.00 ± 10.00 % | 3.0 s | 5 MiB |"
    )
    assert lines[-1] == "- c-1: diverged"


def test_csv_holds_plain_numbers(results):
    first, second = csv.DictReader(io.StringIO(as_csv(results)))
    assert (
        first["change"] == "a|b"
        and float(first["mean_spread"]) == pytest.approx(0.03)
        and float(first["interval_low"]) == pytest.approx(0.85547, abs=1e-5)
    )
    assert (second["seeds"], second["planned"], second["mean"], second["interval_low"], second["validation"]) == (
        "1",
        "3",
        "0.5",
        "",
        "",
    )


def test_groups_are_of_neighbouring_seeds_of_one_combination(choices):
    runs = [planned(choices, (label,), seed) for label in "ab" for seed in (7, 3, 0, 1, 2)]
    assert groups_of(runs, 2)[("b",)] == [Group(["b-7", "b-3"]), Group(["b-0", "b-1"])]
    assert list(groups_of(runs, 2)) == [("a",), ("b",)] and groups_of(runs, 6) == {("a",): [], ("b",): []}
    (group,) = groups_of(runs, 5)[("a",)]
    found = {run.name: result(0.9) for run in runs}
    assert group.runs == ["a-7", "a-3", "a-0", "a-1", "a-2"] and group.is_ready(found)
    assert not group.is_ready({**found, "a-1": result(None)})
    del found["a-2"]
    assert not group.is_ready(found)


def test_ensembles_are_a_column(choices):
    """Its cell is empty where an ensemble is not known."""
    runs = [planned(choices, (label,), seed) for label in "abc" for seed in (0, 1, 2, 3)]
    found = {run.name: result(0.9) for run in runs}
    plain = sweep_results(["x"], [0, 1, 2, 3], runs, found, {})
    for name, accuracy in {"a-0": 0.95, "a-2": 0.97, "b-2": 0.75}.items():
        found[f"ensemble@{name}"] = {"test_accuracy": accuracy, "test_macro_f1": accuracy / 2, "test_loss": 0.5}
    results = with_ensembles(plain, runs, found, 2)
    spread = 0.02 / math.sqrt(2)
    both = {
        "groups": 2,
        "planned": 2,
        "accuracy": pytest.approx(0.96),
        "accuracy_spread": pytest.approx(spread),
        "macro_f1": pytest.approx(0.48),
        "macro_f1_spread": pytest.approx(spread / 2),
    }
    one = {
        "groups": 1,
        "planned": 2,
        "accuracy": 0.75,
        "accuracy_spread": None,
        "macro_f1": 0.375,
        "macro_f1_spread": None,
    }
    none = {
        "groups": 0,
        "planned": 2,
        "accuracy": None,
        "accuracy_spread": None,
        "macro_f1": None,
        "macro_f1_spread": None,
    }
    assert [row["ensemble"] for row in results["rows"]] == [both, one, none] and results["ensemble"] == 2
    lines = [line.split() for line in as_text(results).splitlines()]
    assert lines[0][:7] == [
        "x",
        "seeds",
        "test",
        "accuracy",
        "ensemble",
        "of",
        "2",
    ] and "ensemble of 2: test accuracy of the mean of 2 seeds' class" in as_text(results)
    assert [line[6:11] for line in lines[2:5]] == [
        ["96.00", "±", "1.41", "%", "90.00"],
        ["75.00", "%", "(1", "of", "2)"],
        ["-", "90.00", "to", "90.00", "%"],
    ]
    rows = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert [row["ensemble_groups"] for row in rows] == ["2", "1", "0"] and (
        rows[2]["ensemble"],
        rows[1]["ensemble_macro_f1_spread"],
    ) == ("", "")
    assert [
        float(rows[0][name])
        for name in ("ensemble", "ensemble_spread", "ensemble_macro_f1", "ensemble_macro_f1_spread")
    ] == pytest.approx([0.96, spread, 0.48, spread / 2])
    assert "ensemble" not in as_text(plain) + as_markdown(plain) + as_csv(plain)


def test_damaged_and_other_files_of_an_ensemble_are_ignored(tmp_path):
    group, path = Group(["a-0", "a-1"]), tmp_path / "ensemble" / "ensemble@a-0.json"
    path.parent.mkdir()
    figures = {
        "test_accuracy": 0.95,
        "test_macro_f1": 0.75,
        "test_loss": 0.5,
        "runs": ["a-0", "a-1"],
        "train_seconds": 2.0,
    }
    assert group.known_figures(tmp_path) is None
    for changed, known in [
        ({}, True),
        ({"runs": ["a-0"]}, False),
        ({"runs": ["a-1", "a-0"]}, False),
        ({"test_macro_f1": "x"}, False),
        ({"train_seconds": None}, False),
    ]:
        path.write_text(json.dumps({**figures, **changed}))
        assert group.known_figures(tmp_path) == (figures if known else None)
    for text in ("{}", "[]", '{"test_acc', ""):
        path.write_text(text)
        assert group.known_figures(tmp_path) is None


def test_the_linear_peer_has_no_ensemble(choices):
    axes = {"corpus": {"r8": {"corpus": "r8"}}, "network": {"modulation": {}}}
    runs = [planned(choices, ("r8", "modulation"), seed) for seed in (0, 1)]
    found = {"ensemble@r8-modulation-0": {"test_accuracy": 0.95, "test_macro_f1": 0.75}}
    results = with_ensembles(sweep_results(list(axes), [0, 1], runs, {}, {}), runs, found, 2)
    results = with_linear_rows(results, describing(axes), runs, {"linear-r8": result(0.97)})
    network, linear = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert (network["ensemble"], linear["ensemble"], linear["mean"]) == (
        "0.95",
        "",
        "0.97",
    ) and "ensemble" not in results["rows"][1]
    assert [line.split()[2:6] for line in as_text(results).splitlines()[2:4]] == [
        ["0", "of", "2", "-"],
        ["+", "linear", "SVM", "-"],
    ]


def describing(axes):
    return Description("x", None, [0], {}, axes)


def test_the_linear_peer_stands_behind_its_networks(choices):
    """Those of its corpus."""
    axes = {
        "corpus": {"r8": {"corpus": "r8"}, "r52": {"corpus": "r52"}},
        "network": {"modulation": {}, "interference": {}},
    }
    runs = [
        planned(choices, (corpus, network), 0, corpus=corpus, operation=network)
        for corpus in axes["corpus"]
        for network in axes["network"]
    ]
    assert [(peer.name, peer.after) for peer in linear_peers(runs)] == [
        ("linear-r8", ("r8", "interference")),
        ("linear-r52", ("r52", "interference")),
    ]
    results = sweep_results(list(axes), [0], runs, {}, {})
    results = with_linear_rows(results, describing(axes), runs, {"linear-r8": result(0.97)})
    assert [(row["corpus"], row["network"], row["mean"]) for row in results["rows"]] == [
        ("r8", "modulation", None), ("r8", "interference", None), ("r8", "TF-IDF + linear SVM", 0.97),
        ("r52", "modulation", None), ("r52", "interference", None), ("r52", "TF-IDF + linear SVM", None),
    ]  # fmt: skip
    assert as_text(results).splitlines()[4].split() == [
        "r8",
        "TF-IDF",
        "+",
        "linear",
        "SVM",
        "-",
        "97.00",
        "%",
        "-",
        "50.00",
        "%",
        "-",
        "2.0",
        "s",
        "1",
        "MiB",
    ]


@pytest.mark.parametrize("axes", [{"corpus": {"r8": {"corpus": "r8"}}}, {}], ids=["corpus only", "none"])
def test_a_column_of_classifiers_where_no_axis_is_free(choices, axes):
    labels = ("r8",) if axes else ()
    runs = [planned(choices, labels, 0)]
    results = with_linear_rows(sweep_results(list(axes), [0], runs, {}, {}), describing(axes), runs, {})
    assert results["axes"] == [*axes, "classifier"]
    assert [row["classifier"] for row in results["rows"]] == ["modulation", "TF-IDF + linear SVM"]


def test_the_linear_peer_has_no_label_on_the_other_axes(choices):
    axes = {"corpus": {"r8": {"corpus": "r8"}}, "operation": {"modulation": {}}, "epochs": {"4": {"epochs": 4}}}
    runs = [planned(choices, ("r8", "modulation", "4"), 0)]
    results = with_linear_rows(sweep_results(list(axes), [0], runs, {}, {}), describing(axes), runs, {})
    assert [results["rows"][1][name] for name in axes] == ["r8", "TF-IDF + linear SVM", "-"]


def test_equal_texts_have_one_linear_peer(choices):
    """Whatever is done with them."""
    files = {"train_file": "/a.csv", "test_file": "/b.csv"}
    runs = [
        planned(choices, ("a",), 0, **files), planned(choices, ("b",), 0, **files, max_tokens=9, corpus="r52"),
        planned(choices, ("c",), 0, **{**files, "test_file": "/c.csv"}),
        planned(choices, ("d",), 0, **files, text_columns="2"),
    ]  # fmt: skip
    assert [peer.after for peer in linear_peers(runs)] == [("b",), ("c",), ("d",)]


def test_runs_with_several_labels_have_a_column_of_micro_f1(choices):
    """Which rows of other runs leave empty."""
    runs = [planned(choices, (label,), seed) for label in ("several", "one") for seed in (0, 1)]
    found = {f"several-{seed}": {**result(0.5), "test_micro_f1": 0.8 + 0.1 * seed} for seed in (0, 1)}
    found |= {"one-0": result(0.5), "one-1": result(0.6)}
    shown = sweep_results(["labels"], [0, 1], runs, found, {})
    row, other = shown["rows"]
    assert row["micro_f1"] == pytest.approx(0.85) and row["runs"][1]["test_micro_f1"] == pytest.approx(0.9)
    assert "micro_f1" not in other
    lines = as_text(shown).splitlines()
    assert lines[0].index("test accuracy") < lines[0].index("micro F1") < lines[0].index("macro F1")
    assert "85.00 ± 7.07 %" in lines[2] and lines[3].split("  ")[0] == "one"
    table = list(csv.DictReader(io.StringIO(as_csv(shown))))
    assert float(table[0]["micro_f1"]) == pytest.approx(0.85) and table[1]["micro_f1"] == ""
    plain = sweep_results(["labels"], [0, 1], runs[2:], found, {})
    assert "micro" not in as_text(plain) + as_csv(plain)
