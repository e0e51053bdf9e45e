"""Which measurements are taken, in which order, and in what form they come out."""

import copy
import functools
import json

import pytest

from engine.support.errors import UserError
from layers.experiments.complexity import MODELS, report, run
from layers.experiments.complexity.report import exponents
from layers.experiments.complexity.run import Complexity, checked_kinds


def measured(*kinds, **options):
    complexity = Complexity(
        **{
            "models": ["interference", "bert-base"],
            "lengths": [3, 5, 9, 17],
            "texts": 2,
            "length": 4,
            "repeats": 2,
            **options,
        }
    )
    told = [line for kind in kinds for line in complexity.measure(kind)]
    assert len(told) == sum(map(complexity.count, kinds))
    return complexity


@functools.cache
def cached():
    """Growth and savings, measured once; to be called where `small` is in place, and copied before it is changed."""
    return measured("growth", "savings")


def test_growth_takes_every_length_of_every_model_with_one_text(small):
    rows = measured("growth", lengths=["9", 3, "3"]).growth
    assert list(rows) == ["interference", "bert-base"]
    assert [[(row.length, row.texts) for row in of_model] for of_model in rows.values()] == [[(3, 1), (9, 1)]] * 2


def test_the_models_take_turns_at_the_batch_of_the_savings(small, monkeypatch):
    taken, in_this_process = [], run.measurements
    monkeypatch.setattr(run, "measurements", lambda *args: taken.append(args[:3]) or in_this_process(*args))
    batch = measured("savings").batch
    assert taken == [("interference", 2, [4]), ("bert-base", 2, [4])] * 2
    assert {name: len(rows) for name, rows in batch.items()} == {"interference": 2, "bert-base": 2}


def test_settings_reach_the_measurements(small):
    complexity = Complexity(lengths=[7], budget=7.0, threads=1, tokens="words")
    assert complexity.setup == ("cpu", 1e9, 7.0, 1, "words") and complexity.models == list(MODELS)


@pytest.mark.parametrize("options, words", [
    ({"models": ["wave"]}, "--models wave: is none of the models interference, modulation, transformer-1, bert-base"),
    ({"lengths": ["16", "x"]}, "--lengths x: expected whole numbers from 1 to 100 separated by commas"),
    ({"lengths": ["0"]}, "--lengths 0: expected"),
    ({"lengths": ["101"]}, "--lengths 101: expected whole numbers from 1 to 100"),
    ({"lengths": ["-3"]}, "--lengths -3: expected"),
    ({"lengths": [""]}, "--lengths : expected"),
    ({"device": "cuda"}, "--device cuda: there is no driver; use --device cpu"),
])  # fmt: skip
def test_wrong_options_are_named_with_a_remedy(small, monkeypatch, options, words):
    monkeypatch.setattr("engine.arrays.backend.why_no_cuda", lambda: "there is no driver")
    with pytest.raises(UserError) as caught:
        Complexity(**{"lengths": [3], **options})
    assert words in str(caught.value)


def test_kinds_must_fit_the_models_and_the_figure():
    both = ["modulation", "bert-base"]
    assert checked_kinds(None, both) == checked_kinds(None, both, "a.svg") == ("growth", "savings")
    assert checked_kinds("growth", ["modulation"], "a.svg") == ("growth",) and checked_kinds("savings", both) == (
        "savings",
    )
    assert checked_kinds("reductions", both) == ("savings",), "a former name"
    with pytest.raises(
        UserError,
        match="--models modulation,interference: savings compare a wave network with a Transformer; .*--only growth",
    ):
        checked_kinds(None, ["modulation", "interference"])
    with pytest.raises(UserError, match="--figure a.svg: draws the growth; leave out --only savings"):
        checked_kinds("savings", both, "a.svg")


def test_the_table_has_all_rows_and_says_what_was_not_measured(small):
    complexity = copy.deepcopy(cached())
    last = complexity.growth["bert-base"][-1]
    complexity.growth["bert-base"][-1] = last._replace(
        seconds=None, peak_bytes=None, mixing_seconds=None, why_not="about 80 s an update"
    )
    lines = report.as_table(complexity).splitlines()
    assert lines[0].split("  ")[0] == "model" and [line.split()[:2] for line in lines[2:6]] == [
        ["interference", str(n)] for n in (3, 5, 9, 17)
    ]
    assert lines[9].startswith("bert-base") and lines[9].endswith("not measured: about 80 s an update")
    assert (
        f"{last.parameters:,}" in lines[9]
        and f"{last.kept_bytes / 2**20:,.1f}" in lines[9]
        and lines[9].split()[6:8] == ["-", "-"]
    )
    exponent = lines.index(next(line for line in lines if line.startswith("exponent of")))
    found = exponents(complexity.growth["interference"])
    assert lines[exponent + 2].split()[1:] == [f"{value:.2f}" for value in found[2:]] and lines[
        exponent + 4
    ].startswith("least squares over 9 to 17 tokens")
    assert any(line.startswith("2 texts of 4 tokens") for line in lines) and any(
        line.startswith("bert-base  interference") for line in lines
    )
    assert "1 GFLOP/s" in lines[-4] and complexity.machine["processor"] in lines[-4]
    assert max(map(len, lines)) <= 180


def test_cells_are_in_their_units():
    assert (
        report.gigas(2_500_000_000),
        report.mebibytes(3 * 2**19),
        report.mebibytes(2000 * 2**20),
        report.mebibytes(None),
    ) == ("2.50", "1.5", "2,000", "-")
    assert (
        report.percentage(0.7734) == "−77.34 %"
        and report.percentage(0.9, (0.85, 0.95)) == "−90.00 % (−85.00 … −95.00)"
        and report.percentage(None) == "-"
    )


def test_the_json_is_plain_and_has_the_promised_form(small):
    found = json.loads(json.dumps(report.as_json_object(cached()), allow_nan=False))
    assert [(row["model"], row["length"]) for row in found["growth"]] == [
        (m, n) for m in ("interference", "bert-base") for n in (3, 5, 9, 17)
    ]
    assert [row["model"] for row in found["exponents"]] == ["interference", "bert-base"] and found["exponents"][0][
        "operations"
    ] == pytest.approx(1, abs=0.01)
    assert [row["model"] for row in found["batch"]] == ["interference"] * 2 + ["bert-base"] * 2
    assert (found["savings"][0]["model"], found["savings"][0]["against"]) == ("interference", "bert-base")
    settings = found["settings"]
    assert (
        settings["device"],
        settings["texts"],
        settings["length"],
        settings["repeats"],
        settings["growth_texts"],
    ) == ("cpu", 2, 4, 2, 1)
    assert found["machine"]["cores"] >= 1


def test_the_picture_has_a_line_for_each_model(small, monkeypatch):
    complexity = copy.deepcopy(cached())
    rows = complexity.growth["bert-base"]
    rows[-1] = rows[-1]._replace(seconds=None, peak_bytes=None)
    calls = []
    monkeypatch.setattr(report, "write_line_plot", lambda *args, **more: calls.append((args, more)))
    report.write_figure("a.svg", complexity)
    (path, x, drawn, *_), more = calls[0]
    assert (path, x, more) == ("a.svg", [3, 5, 9, 17], {"x_ticks": [3, 9]})
    assert [panel.y_label for panel in drawn] == ["operations", "bytes", "bytes", "seconds"]
    assert [[len(line) for line in panel.lines.values()] for panel in drawn] == [[4, 4], [4, 4], [4, 3], [4, 3]]
    assert drawn[3].lines["bert-base"] == [row.update_seconds for row in rows[:3]]
    assert drawn[0].lines["interference"] == [row.operations for row in complexity.growth["interference"]]
