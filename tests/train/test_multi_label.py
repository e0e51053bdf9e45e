"""Texts with several labels, or none, from the command line: train, evaluate, predict, sweep, and what is refused."""

import csv
import json
import pickle

import numpy as np
import pytest

from engine.commands.options import rounded
from engine.data.config import DataConfig
from engine.data.reading import read_corpus
from layers.model import TextModel, make_settings
from tests.train.conftest import SMALL, TOPICS

ROWS = {"train": (160, 0), "test": (50, 1)}
SETTINGS = [*SMALL[:4], "--epochs", "6", "--batch-size", "8", "--learning-rate", "0.02", "--vocabulary-size", "200"]


def labelled_texts(count, seed):
    """(text, labels) rows: the words of a topic are in a text if and only if it has the label."""
    rng = np.random.default_rng(seed)
    common, rows = "the a of and in on with".split(), []
    for _ in range(count):
        labels = [topic for topic in TOPICS if rng.random() < 0.4]
        words = [*rng.choice(common, 4), *(word for topic in labels for word in rng.choice(TOPICS[topic].split(), 3))]
        rows.append((" ".join(rng.permutation(words)), labels))
    return rows


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same texts in three forms: labels with a bar between them, JSON lists, and columns of 0 and 1."""
    folder = tmp_path_factory.mktemp("multi")
    for split, (count, seed) in ROWS.items():
        rows = labelled_texts(count, seed)
        write_csv(folder / f"{split}.csv", ["text", "labels"], [(text, "|".join(labels)) for text, labels in rows])
        columns = [(text, *(int(topic in labels) for topic in TOPICS)) for text, labels in rows]
        write_csv(folder / f"{split}-columns.csv", ["text", *TOPICS], columns)
        lines = [json.dumps({"text": text, "labels": labels}) + "\n" for text, labels in rows]
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


FORMS = {
    "bars": ("train.csv", "test.csv", ["--label-separator", "|"]),
    "lists": ("train.jsonl", "test.jsonl", []),
    "columns": ("train-columns.csv", "test-columns.csv", ["--label-columns", ",".join(TOPICS)]),
}


def arguments(folder, form="bars"):
    train_file, test_file, options = FORMS[form]
    return [
        "--train-file",
        folder / train_file,
        "--test-file",
        folder / test_file,
        "--multi-label",
        *options,
        *SETTINGS,
    ]


@pytest.fixture
def trained(folder, run):
    """The path of a finished run, trained once."""
    path = folder / "trained"
    if not path.exists():
        code, _, err = run(*arguments(folder), "--output", path)
        assert code == 0, err
    return path


def result_of(path):
    return json.loads((path / "result.json").read_text())


def test_labels_that_can_be_learned_are_learned(trained, run, folder):
    """Evaluate, also by the files in another form, gives the figures of the training."""
    result = result_of(trained)
    assert result["test_micro_f1"] > 0.9 and result["test_macro_f1"] > 0.9 and result["test_accuracy"] > 0.7
    assert result["validation_micro_f1"] > 0.9 and len(set(result["thresholds"])) == 1
    code, out, _ = run("evaluate", trained, "--json")
    found = json.loads(out)
    assert code == 0 and found["micro_f1"] == rounded(result["test_micro_f1"])
    assert found["classes"] == rounded(result["classes"])
    code, out, _ = run("evaluate", trained, "--test-file", folder / "test.jsonl")
    figures = f"micro F1 {100 * result['test_micro_f1']:.2f} %, macro F1 {100 * result['test_macro_f1']:.2f} %"
    assert code == 0 and f"{figures}, subset accuracy {100 * result['test_accuracy']:.2f} %" in out


def test_the_table_of_a_training_names_its_figures(folder, tmp_path, run):
    code, out, _ = run(*arguments(folder), "--epochs", "1", "--output", tmp_path / "run")
    assert code == 0 and "3 classes, " in out and " labels a text" in out
    for name in ("test micro F1", "test macro F1", "test subset accuracy", "validation micro F1"):
        assert f"\n{name} " in out
    assert "test accuracy" not in out


@pytest.mark.parametrize("form", ["lists", "columns"])
def test_any_form_of_the_labels_trains_the_same_network(folder, tmp_path, run, trained, form):
    code, _, err = run(*arguments(folder, form), "--output", tmp_path / "run")
    assert code == 0, err
    names = ["test_micro_f1", "test_accuracy", "validation_micro_f1", "thresholds", "classes", "steps"]
    ours, theirs = ([result_of(path)[name] for name in names] for path in (tmp_path / "run", trained))
    weights = [next((path / "checkpoints/best").glob("weights*")).read_bytes() for path in (tmp_path / "run", trained)]
    assert ours == theirs and weights[0] == weights[1]


def test_predict_prints_every_label_above_its_threshold(trained, run):
    texts = ["the of and in bank loan rate ball goal team bread salt soup", "the of and", "a loan"]
    code, out, _ = run("predict", trained, *texts)
    lines = out.split("\n")
    assert code == 0 and len(lines) == 4 and lines[3] == ""
    cells = [line.split("\t") for line in lines[:3]]
    assert set(cells[0][::2]) == set(TOPICS) and lines[1] == "" and cells[2][0] == "money"
    assert [float(p) for p in cells[0][1::2]] == sorted(map(float, cells[0][1::2]), reverse=True)
    code, out, _ = run("predict", trained, *texts, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    thresholds = dict(zip(sorted(TOPICS), result_of(trained)["thresholds"]))
    for text, answer, line in zip(texts, answers, cells):
        assert answer["text"] == text and list(answer["probabilities"]) == sorted(TOPICS)
        assert answer["labels"] == [name for name in line[::2] if name]
        assert set(answer["labels"]) == {c for c, p in answer["probabilities"].items() if p >= thresholds[c]}


def test_an_ensemble_takes_mean_probabilities_and_thresholds(trained, folder, tmp_path, run):
    other = tmp_path / "other"
    assert run(*arguments(folder), "--seed", "1", "--set", "thresholds=each", "--output", other)[0] == 0
    code, out, _ = run("evaluate", trained, "--with", other, "--json")
    assert code == 0 and json.loads(out)["micro_f1"] > 0.9
    text = "the goal and the loan"
    rows = [
        json.loads(run("predict", *runs, text, "--json")[1])
        for runs in ((trained,), (other,), (trained, "--with", other))
    ]
    means = [np.mean([row["probabilities"][name] for row in rows[:2]]) for name in sorted(TOPICS)]
    assert list(rows[2]["probabilities"].values()) == pytest.approx(means, abs=2e-6)
    thresholds = np.mean([result_of(path)["thresholds"] for path in (trained, other)], axis=0)
    assert set(rows[2]["labels"]) == {name for name, p, t in zip(sorted(TOPICS), means, thresholds) if p >= t}


def test_a_run_of_another_kind_is_no_part_of_an_ensemble(folder, tmp_path, run, trained):
    """Though its classes are the same."""
    rows = [(text, labels[0]) for text, labels in labelled_texts(60, 2) if labels]
    path = write_csv(tmp_path / "one.csv", ["text", "label"], rows)
    assert run("--train-file", path, *SETTINGS, "--epochs", "1", "--output", tmp_path / "one")[0] == 0
    for command in (
        ["evaluate", trained, "--with", tmp_path / "one"],
        ["predict", trained, "--with", tmp_path / "one", "x"],
    ):
        code, _, err = run(*command)
        assert code == 2 and "labels=one" in err and "take runs of one kind" in err and err.count("\n") == 1


def test_without_validation_a_yes_is_a_probability_of_half(folder, tmp_path, run):
    code, _, err = run(*arguments(folder), "--set", "validation_fraction=0", "--output", tmp_path / "run")
    result = result_of(tmp_path / "run")
    assert code == 0 and result["thresholds"] is None and result["validation_micro_f1"] is None, err
    answer = json.loads(run("predict", tmp_path / "run", "a goal", "--json")[1])
    assert set(answer["labels"]) == {name for name, p in answer["probabilities"].items() if p >= 0.5}


def test_an_interrupted_training_ends_as_one_that_was_not(folder, tmp_path, run, trained, monkeypatch):
    """With the same weights and thresholds."""
    from engine.training.trainer import Trainer

    steps, plain = [], Trainer.train_step

    def stopping(self, *rest):
        steps.append(1)
        if len(steps) == 60:
            raise KeyboardInterrupt
        return plain(self, *rest)

    path = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", stopping)
        assert run(*arguments(folder), "--set", "checkpoint_seconds=0", "--output", path)[0] == 130
    assert run("--resume", path)[0] == 0
    assert result_of(path)["thresholds"] == result_of(trained)["thresholds"]
    assert result_of(path)["classes"] == result_of(trained)["classes"]


@pytest.mark.parametrize("implementation", ["equations", "check"])
def test_the_equations_train_the_same(folder, tmp_path, run, implementation):
    code, _, err = run(
        *arguments(folder), "--epochs", "2", "--set", f"implementation={implementation}", "--output", tmp_path / "run"
    )
    assert code == 0 and result_of(tmp_path / "run")["test_micro_f1"] > 0.5, err


def test_a_transformer_has_several_labels_too(folder, tmp_path, run):
    options = [
        "--model",
        "transformer",
        "--dimension",
        "12",
        "--set",
        "hidden=8",
        "--set",
        "heads=2",
        "--set",
        "positions=64",
    ]
    code, _, err = run(
        *arguments(folder)[:7], *options, "--set", "max_tokens=64", "--epochs", "1", "--output", tmp_path / "run"
    )
    assert code == 0 and result_of(tmp_path / "run")["test_micro_f1"] > 0, err


@pytest.mark.thorough
def test_a_sweep_has_a_column_of_micro_f1(folder, tmp_path, run):
    """For networks, and for the linear model, which has an SVM for each class."""
    pytest.importorskip("sklearn")
    (tmp_path / "sweep.toml").write_text(
        f'seeds = [0, 1]\n[set]\nlabels = "several"\nlabel_separator = "|"\ntrain_file = "{folder / "train.csv"}"\n'
        f'test_file = "{folder / "test.csv"}"\ndimension = 8\nhidden = 8\nepochs = 2\nlearning_rate = 0.02\n'
        '[grid]\nthresholds = ["one", "half"]\n'
    )
    code, out, err = run("sweep", tmp_path / "sweep.toml", "--output", tmp_path / "out", "--linear", "--jobs", "1")
    assert code == 0, err
    header = next(line for line in out.splitlines() if "macro F1" in line)
    assert header.index("test accuracy") < header.index("micro F1") < header.index("macro F1")
    rows = list(csv.DictReader((tmp_path / "out/table.csv").open()))
    assert len(rows) == 3 and all(0 < float(row["micro_f1"]) <= 1 for row in rows)


REFUSED = {
    "columns without the switch": (["--label-columns", "sport"], "label_columns: a text then may have several labels"),
    "no such column": (["--multi-label", "--label-columns", "sport,nowhere"], "no column is named 'nowhere'"),
    "no label at all": (["--multi-label", "--label-columns", "none"], "no training text has a label"),
    "not 0 or 1": (
        ["--multi-label", "--label-columns", "text", "--text-columns", "sport"],
        "line 2: the column 'text'",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_named_in_one_line(what, tmp_path, run):
    options, message = REFUSED[what]
    path = write_csv(tmp_path / "a.csv", ["text", "sport", "none"], [("a goal", 1, 0), ("a loan", 0, 0)])
    code, _, err = run("--train-file", path, *options, *SETTINGS, "--output", tmp_path / "run")
    assert code == 2 and message in err and err.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_text_with_an_unknown_label_counts_as_wrong(trained, tmp_path, run):
    """Strictly it is refused. The loss is that of the known classes."""
    path = write_csv(tmp_path / "a.csv", ["text", "labels"], [("goal ball team", "sport"), ("a loan", "money|weather")])
    code, _, err = run("evaluate", trained, "--test-file", path, "--strict")
    assert code == 2 and f"{path}, line 3: label 'weather' is not among the training classes" in err
    code, out, err = run("evaluate", trained, "--test-file", path, "--json")
    found = json.loads(out)
    assert code == 0 and "1 of 2 texts have a label that the training did not have ('weather')" in err
    assert found["classes"][-1] == {"name": "weather", "texts": 1, "precision": 0, "recall": 0, "f1": 0}
    assert found["accuracy"] == 0.5 and found["micro_f1"] == pytest.approx(4 / 5) and found["loss"] < 5


def test_a_file_is_labelled_with_the_separator_of_the_run(trained, tmp_path, run):
    """By the thresholds of the run, or by --threshold; --top leaves the most probable labels."""
    texts = ["a goal of the team and a loan of the bank", "the of and"]
    path = write_csv(tmp_path / "a.csv", ["text"], [(text,) for text in texts])

    def labels(*options):
        code, out, err = run("predict", trained, "--file", path, *options)
        assert code == 0, err
        return [row["predicted"] for row in csv.DictReader(out.splitlines())]

    answers = [json.loads(line)["labels"] for line in run("predict", trained, *texts, "--json")[1].splitlines()]
    assert labels() == ["|".join(answer) for answer in answers] and set(answers[0]) == {"sport", "money"}
    assert labels("--top", "1") == [answers[0][0], ""] and labels("--threshold", "1") == ["", ""]
    assert [cell.count("|") for cell in labels("--threshold", "0")] == [2, 2]
    code, _, err = run("predict", trained, "--file", path, "--output", tmp_path / "out.jsonl", "--probabilities")
    assert code == 0 and "2 rows labelled, 1 of them without a label" in err
    row = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert row["predicted"] == "|".join(answers[0]) and {f"p({topic})" for topic in TOPICS} < row.keys()
    code, _, err = run("predict", trained, "--probabilities", "x")
    assert code == 2 and "add --json, or use --file" in err and err.count("\n") == 1


@pytest.mark.parametrize("form", ["weights", "onnx"])
def test_an_exported_network_keeps_its_thresholds(form, trained, tmp_path, run):
    if form == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    code, out, err = run("export", trained, "--to", tmp_path / "out", "--format", form, "--weights", "float32")
    assert code == 0 and "labels that change: 0 of" in out, err
    state = json.loads((tmp_path / "out/state.json").read_text())
    assert state["thresholds"] == result_of(trained)["thresholds"]
    texts = ["a goal", "a loan of the bank and a goal", "the"]
    before, found = (
        [json.loads(line) for line in run("predict", path, *texts, "--json")[1].splitlines()]
        for path in (trained, tmp_path / "out")
    )
    assert [row["labels"] for row in found] == [row["labels"] for row in before]
    assert [row["probabilities"] for row in found] == [pytest.approx(row["probabilities"], abs=1e-5) for row in before]


def test_shards_train_on_sets_of_labels(folder, tmp_path, run):
    """An epoch's line tells micro F1."""
    code, out, err = run(*arguments(folder), "--set", "shards=2", "--output", tmp_path / "run")
    assert code == 0 and result_of(tmp_path / "run")["test_micro_f1"] > 0.9, err
    assert "validation micro F1" in next(line for line in out.splitlines() if line.startswith("epoch 6/6"))
    first = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])
    assert first["accuracy"] * 8 % 1 == 0


def test_a_text_model_learns_and_keeps_sets_of_labels(folder, tmp_path):
    corpus, _ = read_corpus(DataConfig(train_file=str(folder / "train.jsonl"), labels="several"))
    settings = make_settings(
        "quick", labels="several", dimension=8, hidden=8, epochs=6, batch_size=8, learning_rate=0.02, step_budget=0
    )
    model = TextModel.build(corpus, settings).train(hide_bar=True)
    texts = ["a goal of the team and a loan of the bank", "the of and"]
    assert [set(names) for names in model.label_sets(texts)] == [{"sport", "money"}, set()]
    model.save(tmp_path / "model")
    for other in (TextModel.open(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert other.label_sets(texts) == model.label_sets(texts)
        assert other.thresholds.tolist() == model.thresholds.tolist()
    with pytest.raises(ValueError, match="call label_sets"):
        model.predict(texts)


def test_trace_refuses_a_run_with_several_labels(trained, run):
    code, _, err = run("trace", trained, "a goal")
    assert code == 2 and "several labels" in err and err.count("\n") == 1


def test_a_report_shows_the_sets_that_are_wrong(trained, tmp_path, run):
    """Its figures are those of the training; its sets are those that predict gives."""
    pytest.importorskip("matplotlib")
    code, out, err = run("report", trained, "--output", tmp_path / "report.html", "--json")
    assert code == 0, err
    (found,) = json.loads(out)["runs"]
    measured, result = found["measured"], found["result"]
    assert measured["micro_f1"] == pytest.approx(result["test_micro_f1"], rel=1e-5)
    assert measured["accuracy"] == pytest.approx(1 - measured["wrong"] / measured["texts"], rel=1e-5)
    assert len(measured["mistakes"]) == min(50, measured["wrong"])
    for mistake in measured["mistakes"]:
        predicted = json.loads(run("predict", trained, "--json", "--", mistake["text"])[1])
        told = set() if mistake["predicted"] == "no label" else set(mistake["predicted"].split(", "))
        assert told == set(predicted["labels"]) and mistake["true"] != mistake["predicted"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "test micro F1" in page and "Texts labelled wrong" in page and "Confusions<" not in page
