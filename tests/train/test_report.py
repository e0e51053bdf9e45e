"""The command report: what it writes of finished, unfinished and untested runs, and what it refuses."""

import json
import os
import signal
import xml.etree.ElementTree as ElementTree

import pytest

from engine.commands.options import rounded
from engine.training import trainer as trainer_module
from engine.training.evaluation import predict_classes
from tests.support.pages import leave_out_drawing

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e '.[plots]'")


def page_of(path):
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))


def words_of(path):
    return "".join(page_of(path).itertext())


@pytest.fixture
def page(tmp_path):
    return tmp_path / "page.html"


@pytest.fixture
def without_figures(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_a_report_counts_what_predict_says(tmp_path, trained, files, run, page):
    code, out, err = run("report", trained, "--output", page, "--json")
    assert code == 0 and f"page written to {page}" in err, err
    (told,) = json.loads(out)["runs"]
    found, result = told["measured"], json.loads((trained / "result.json").read_text())
    assert told["finished"] and (found["accuracy"], found["macro_f1"]) == (
        result["test_accuracy"],
        result["test_macro_f1"],
    )
    rows = [line.split("\t") for line in files["test"].read_text().splitlines()]
    predicted = [line.split("\t") for line in run("predict", trained, *(text for _, text in rows))[1].splitlines()]
    counts = [
        [sum(true == a and label == b for (true, _), (label, _) in zip(rows, predicted)) for b in found["names"]]
        for a in found["names"]
    ]
    assert found["confusion"] == counts and found["split"] == "test" and sum(map(sum, counts)) == 15
    wrong = [(float(p), text, true, label) for (true, text), (label, p) in zip(rows, predicted) if true != label]
    assert {(round(m["probability"], 4), m["text"], m["true"], m["predicted"]) for m in found["mistakes"]} == set(wrong)
    words = words_of(page)
    assert "Texts labelled wrong" in words and page.read_text().count("<svg") == 4
    assert all(text in words and true in words and label in words for _, text, true, label in wrong)
    bins = found["calibration"]
    error = sum(one["texts"] * abs(one["accuracy"] - one["probability"]) for one in bins) / 15
    assert found["expected_calibration_error"] == pytest.approx(error) and sum(one["texts"] for one in bins) == 15


def test_texts_are_measured_in_batches_as_one_by_one(trained, run, page, monkeypatch, without_figures):
    first = json.loads(run("report", trained, "--output", page, "--json")[1])["runs"][0]["measured"]
    monkeypatch.setattr(
        "engine.report.errors.predict_classes", lambda *given, **named: predict_classes(*given, batch_size=1, **named)
    )
    second = json.loads(run("report", trained, "--output", page, "--json")[1])["runs"][0]["measured"]
    assert first["confusion"] == second["confusion"] and [m["text"] for m in first["mistakes"]] == [
        m["text"] for m in second["mistakes"]
    ]


def test_runs_side_by_side_seeds_and_a_transformer(tmp_path, arguments, files, trained, run, page):
    paths = [trained, tmp_path / "seed", tmp_path / "attention"]
    transformer = [
        "--model",
        "transformer",
        "--dimension",
        "8",
        "--epochs",
        "1",
        "--set",
        "heads=2",
        "--set",
        "hidden=8",
        "--set",
        "max_tokens=16",
    ]
    assert run(*arguments, "--seed", "1", "--output", paths[1])[0] == 0
    assert run("--train-file", files["train"], "--test-file", files["test"], *transformer, "--output", paths[2])[0] == 0
    code, out, err = run("report", *paths, "--output", page)
    assert code == 0, err
    assert all(
        name in out for name in ("trained", "seed", "attention", "transformer", "2 seeds", f"page written to {page}")
    )
    words = words_of(page)
    assert "Report of 3 runs" in words and "2 seeds as of trained" in words and "epochs" in words
    assert [section.get("id") for section in page_of(page).iter("section") if section.get("id")] == [
        "run1",
        "run2",
        "run3",
    ]


def test_an_unfinished_run_has_its_curves(tmp_path, arguments, run, page, monkeypatch, without_figures):
    step, steps = trainer_module.Trainer.train_step, []

    def pressing(self, *given):
        steps.append(0)
        if len(steps) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        step(self, *given)

    monkeypatch.setattr(trainer_module.Trainer, "train_step", pressing)
    assert run(*arguments, "--output", tmp_path / "stopped")[0] == 130
    code, out, err = run("report", tmp_path / "stopped", "--output", page, "--json")
    (told,) = json.loads(out)["runs"]
    assert code == 0 and not told["finished"] and told["measured"] is None and told["steps"] == 9, err
    assert "has not finished: its curves end at step 9, in epoch 2 of 2" in words_of(page)


def test_validation_texts_take_the_place_of_missing_test_texts(tmp_path, arguments, files, run, page, without_figures):
    without = [argument for argument in arguments if argument not in ("--test-file", str(files["test"]))]
    for name, more in (
        ("split", []),
        ("file", ["--validation-file", files["test"]]),
        ("neither", ["--set", "validation_fraction=0"]),
    ):
        path = tmp_path / name
        assert run(*without, *more, "--output", path)[0] == 0
        code, out, err = run("report", path, "--output", page, "--json")
        assert code == 0, err
        told, result = json.loads(out)["runs"][0], json.loads((path / "result.json").read_text())
        if name == "neither":
            assert told["measured"] is None and "without validation texts" in told["why"]
        else:
            assert told["measured"]["split"] == "validation" and told["measured"]["accuracy"] == rounded(
                result["validation_accuracy"]
            )
        assert "not the same any more" not in words_of(page)


def test_a_sweep_is_all_its_runs(tmp_path, files, run, page, without_figures):
    """In the order of their names, with one that has not begun told of; a sweep that has not begun is refused."""
    sweep = tmp_path / "sweep.toml"
    fields = {"train_file": str(files["train"]), "test_file": str(files["test"]), "dimension": 4, "hidden": 4}
    fields |= {"epochs": 1, "vocabulary_size": 100, "threads": 1}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    sweep.write_text("seeds = [10, 2]\n[set]\n" + "\n".join(lines) + "\n[grid]\nbatch_size = [8]\n")
    code, _, err = run("sweep", sweep, "--output", tmp_path / "folder", "--jobs", "1")
    assert code == 0, err
    metrics = tmp_path / "folder" / "runs" / "8-2" / "metrics.jsonl"
    for gone, names in ((False, ["8-2", "8-10"]), (True, ["8-10"])):
        if gone:
            metrics.unlink()
        code, out, err = run("report", tmp_path / "folder", "--output", page, "--json")
        told = json.loads(out)
        assert code == 0 and [one["name"] for one in told["runs"]] == names, err
        assert len(told["groups"]) == 1  # they differ in their seeds
        assert ("1 of 2 runs has not trained a step yet" in words_of(page)) == gone == bool(told["notes"])
    for file in (tmp_path / "folder").rglob("metrics.jsonl"):
        file.unlink()
    code, out, err = run("report", tmp_path / "folder", "--output", page)
    assert code == 2 and out == "" and "no run of this sweep has trained a step yet" in err and err.count("\n") == 1


def test_texts_that_are_gone_or_changed_are_told_of(trained, files, run, page, without_figures):
    lines = files["test"].read_text().splitlines(keepends=True)
    files["test"].write_text("".join(lines[:6]))
    assert run("report", trained, "--output", page)[0] == 0
    assert "there were 15 test texts: they have changed since" in words_of(page)
    files["test"].write_text("unknown\tword\n" + "".join(lines))
    code, out, _ = run("report", trained, "--output", page, "--json")
    assert (
        code == 0 and "line 1: label 'unknown' is not among the training classes" in json.loads(out)["runs"][0]["why"]
    )
    files["test"].unlink()
    code, _, err = run("report", trained, "--output", page)
    words = words_of(page)
    assert code == 0 and "cannot be read again" in words and str(files["test"]) in words and "sport" in words, (
        err
    )  # classes as result.json has them


def test_hostile_labels_and_texts_stay_text(tmp_path, run, page):
    labels = ["<script>alert(1)</script>", "a & b\\$x$"]
    lines = [
        json.dumps({"label": labels[row % 2], "text": f"word{row % 2} </td><script>x</script> & \x00 {row}"})
        for row in range(40)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    (tmp_path / "test.jsonl").write_text(
        "\n".join(json.dumps(json.loads(line) | {"label": labels[0]}) for line in lines[:9])
    )
    small = ["--dimension", "4", "--set", "hidden=4", "--epochs", "1", "--vocabulary-size", "100"]
    assert (
        run(
            "--train-file",
            tmp_path / "train.jsonl",
            "--test-file",
            tmp_path / "test.jsonl",
            *small,
            "--output",
            tmp_path / "run",
        )[0]
        == 0
    )
    assert run("report", tmp_path / "run", "--output", page)[0] == 0
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and "\0" not in text and all(label in words_of(page) for label in labels)
    assert not [element for element in page_of(page).iter() if element.tag.endswith("script")]


@pytest.mark.parametrize(
    "given, words",
    [
        ([], ["RUN_DIR"]),
        (["EMPTY"], ["EMPTY: not a run directory (has no config.toml)"]),
        (["NONE"], ["NONE: not a run directory (does not exist)"]),
        (["trained", "trained/"], ["is the same run as", "name each once"]),
        (["trained", "--output", "report.txt"], ["report.txt", ".html"]),
        (
            ["trained", "--output", "NONE/report.html"],
            ["NONE/report.html: cannot be written (its folder does not exist)"],
        ),
    ],
)
def test_bad_input_is_told_in_one_line_and_nothing_is_written(tmp_path, trained, run, monkeypatch, given, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    before = sorted(tmp_path.rglob("*"))
    code, out, err = run("report", *given)
    assert code == 2 and out == "" and all(word in err for word in words), err
    assert not given or err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_run_is_named(tmp_path, trained, run, page):
    metrics = trained / "metrics.jsonl"
    text = metrics.read_text()
    metrics.write_text(text.replace('{"step": 4,', '{"step": 4 ', 1))
    code, _, err = run("report", trained, "--output", page)
    assert code == 2 and err.count("\n") == 1 and f"{metrics}, line 4: is no JSON" in err
    metrics.write_text(text)
    (weights,) = (trained / "checkpoints" / "best").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1])
    code, _, err = run("report", trained, "--output", page)
    assert code == 2 and err.count("\n") == 1 and str(weights) in err and not page.exists()


def test_without_matplotlib_the_remedy_is_named(trained, run, page, monkeypatch):
    def missing(name):
        raise ImportError(f"No module named '{name}'")

    monkeypatch.setattr("engine.report.figures.importlib.import_module", missing)
    code, out, err = run("report", trained, "--output", page)
    assert code == 2 and out == "" and err.count("\n") == 1 and "pip install -e '.[plots]'" in err and not page.exists()
