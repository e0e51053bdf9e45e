"""Watching a training: its lines, notices and tables, the screen of a run, and names that are nearly right."""

import json
import re

import pytest

import train
from engine.cli import DEFAULT
from engine.commands.evaluate import SHOWN_CLASSES, class_table
from engine.commands.options import rounded
from engine.support.files import read_toml
from tests.support.validations import validate_as
from tests.train.conftest import SMALL

SCREEN = 80  # columns


def test_a_training_prints_a_line_an_epoch(tmp_path, arguments, run):
    line = r"^epoch {}/2: loss \d\.\d{{4}}, validation accuracy \d+\.\d\d %, macro F1 \d+\.\d\d %, [\d,]+ texts/s"
    code, out, err = run(*arguments, "--output", tmp_path / "new")
    assert code == 0 and "epoch" not in err
    assert re.search(line.format(1) + r", \d+ s left$", out, re.M) and re.search(line.format(2) + "$", out, re.M)
    code, out, err = run(*arguments, "--output", tmp_path / "json", "--json")
    assert json.loads(out) and len(re.findall("^epoch ./2: loss", err, re.M)) == 2


@pytest.mark.parametrize("resumed", [False, True])
def test_tensorboard_has_a_folder_of_the_name_of_the_run(tmp_path, arguments, run, resumed):
    pytest.importorskip("tensorboardX")
    given = [*arguments, "--output", tmp_path / "new"]
    if resumed:
        assert run(*given)[0] == 0
        (tmp_path / "new" / "result.json").unlink()
        for state in (tmp_path / "new" / "checkpoints").glob("*/state.json"):
            state.unlink()  # so that it trains anew
        given = ["--resume", tmp_path / "new"]
    code, _, err = run(*given, "--tensorboard", tmp_path / "curves")
    assert code == 0, err
    assert [path.name for path in (tmp_path / "curves").iterdir()] == ["new"]
    (file,) = (tmp_path / "curves" / "new").iterdir()
    assert b"validation/macro_f1" in file.read_bytes()


def test_without_tensorboard_nothing_is_trained(tmp_path, arguments, run, monkeypatch):
    monkeypatch.setitem(train.sys.modules, "tensorboardX", None)
    code, out, err = run(*arguments, "--output", tmp_path / "new", "--tensorboard", tmp_path / "curves")
    assert (code, out, err.count("\n")) == (2, "", 1) and "[tensorboard]" in err
    assert not (tmp_path / "new").exists()


def test_notices_are_printed_before_the_training(tmp_path, files, run):
    files["test"].write_text(files["train"].read_text())
    code, out, _ = run(
        "--train-file", files["train"], "--test-file", files["test"], *SMALL, "--set", "max_tokens=5",
        "--output", tmp_path / "new",
    )  # fmt: skip
    heads = [line.partition(":")[0] for line in out.splitlines()]
    assert code == 0 and heads.index("duplicates") < heads.index("network")
    assert "cut after max_tokens=5" in heads and re.search(r"60 of 60 test texts \(100.0 %\) are training texts", out)


def rows(count):
    """Rows of classes; the larger the number, the larger the class, and every third class is bad."""
    return [
        {"name": f"c{i}", "texts": i, "precision": 0.5, "recall": 0.5, "f1": 0.0 if i % 3 == 0 else 0.5 + i / 1000}
        for i in range(count)
    ]


def names_in(table):
    return re.findall(r"^(c\d+) ", table, re.M)


def test_few_classes_are_all_shown_in_their_order():
    table = class_table(rows(2 * SHOWN_CLASSES))
    assert names_in(table) == [f"c{i}" for i in range(2 * SHOWN_CLASSES)] and "largest" not in table


def test_of_many_classes_the_largest_and_the_worst_are_shown():
    """Of two equally bad ones the larger first; a class without texts is not among them."""
    table = class_table(rows(30))
    largest, worst = table.split("lowest F1")
    assert names_in(largest) == [f"c{i}" for i in range(29, 19, -1)]
    assert names_in(worst) == [*(f"c{i}" for i in (27, 24, 21, 18, 15, 12, 9, 6, 3)), "c1"]
    assert "10 largest of 30 classes" in table and "--all-classes" in table
    assert names_in(class_table(rows(30), all_classes=True)) == [f"c{i}" for i in range(30)]


def test_a_table_of_long_names_fits_a_screen():
    table = class_table([{**row, "name": "long\x1b name " * 20} for row in rows(30)])
    assert max(map(len, table.splitlines())) <= SCREEN and "\x1b" not in table and "…" in table


def test_all_classes_are_shown_where_that_is_asked_for(tmp_path, run):
    path = tmp_path / "many.tsv"
    path.write_text("".join(f"class{i % 25:02d}\tword{i % 25} red green {i}\n" for i in range(200)))
    common = ["--train-file", path, "--test-file", path, *SMALL, "--epochs", "1"]
    for command, *given in (
        ["train", *common, "--output", tmp_path / "new"],
        ["evaluate", tmp_path / "new"],
    ):
        few = run(command, *given)[1]
        given = [*given[:-1], tmp_path / "all"] if command == "train" else given
        many = run(command, *given, "--all-classes")[1]
        assert "10 largest of 25 classes" in few and "largest" not in many
        assert all(f"class{i:02d} " in many for i in range(25))


def test_describe_shows_settings_and_results_of_a_run(trained, run):
    result = json.loads((trained / "result.json").read_text())
    code, out, _ = run("describe", trained)
    assert code == 0
    facts = dict(re.findall(r"^(\w[\w ]*?)  +(.*)$", out, re.M))
    assert facts["corpus"] == "train.tsv: 54 training, 6 validation, 15 test texts, 3 classes"
    assert facts["train file"].endswith("train.tsv") and facts["run directory"] == str(trained)
    assert facts["test accuracy"] == f"{100 * result['test_accuracy']:.2f} %"
    worst = min(result["classes"], key=lambda row: row["f1"])
    assert facts["worst class"].endswith("5 texts") and f"F1 {100 * worst['f1']:.2f} %" in facts["worst class"]
    assert facts["settings"] == "preset recommended, but" and "  hidden=8 (preset: 0)" in out
    assert "  dimension=8 (preset: 64)" in out and "corpus=" not in out and "embedding" in out
    told = json.loads(run("describe", trained, "--json")[1])
    assert told["result"] == rounded(result) and told["settings"]["network"]["dimension"] == 8


def test_describe_of_the_settings_of_a_preset(tmp_path, files, run):
    given = ["--preset", "quick", "--train-file", files["train"], "--output", tmp_path / "new"]
    assert run(*given)[0] == 0
    out = run("describe", tmp_path / "new")[1]
    assert re.search("^settings +preset quick$", out, re.M) and "(preset:" not in out


def test_describe_of_a_run_that_has_not_ended(tmp_path, trained, run):
    (trained / "result.json").unlink()
    code, out, _ = run("describe", trained)
    assert code == 0 and "unfinished, saved after 2 epochs and 0 steps; --resume" in out and "embedding" in out
    for state in (trained / "checkpoints").glob("*/state.json"):
        state.unlink()
    code, out, err = run("describe", trained)
    assert (code, err) == (0, "") and "unfinished, nothing saved yet" in out and "embedding" not in out
    assert json.loads(run("describe", trained, "--json")[1])["result"] is None


@pytest.mark.parametrize(
    "given, words",
    [
        (["trian"], "no command 'trian' (did you mean 'train'?); list them with: "),
        (["evalute", "run"], "no command 'evalute' (did you mean 'evaluate'?)"),
        (["sweep-jbo"], "no command 'sweep-jbo' (did you mean 'sweep'?)"),  # not the hidden one
        (["runs/x"], "no command 'runs/x'; list them with: "),
        (["--epoch", "3"], "Did you mean '--epochs'?"),
        (["evaluate", "run", "--test-fiel", "x"], "--test-file"),
        (["--set", "droput=1"], "unknown field 'droput' (did you mean 'dropout'?)"),
        (["describe", "--set", "learning-rate=1"], "(did you mean 'learning_rate'?)"),
        (["--corpus", "agnews"], "corpus 'agnews' is unknown (did you mean 'ag_news'?)"),
    ],
)
def test_the_nearest_name_is_suggested(tmp_path, run, given, words):
    code, out, err = run(*given)
    assert code == 2 and out == "" and words in err, err
    assert "Usage" in err or err.count("\n") == 1


def test_every_command_is_known_by_its_name(run):
    names = [name for name, command in train.cli.lazy.items() if not command.hidden]
    assert DEFAULT in names and all(run(name, "--help")[0] == 0 for name in names)


@pytest.mark.parametrize(
    "file, name, folder",
    [("own texts.tsv", "own texts.tsv", "own_texts"), ("a.b.tsv", "a.b.tsv", "a"), ("ö☃.tsv", "ö☃.tsv", "ö")],
)
def test_own_files_are_called_by_their_names(tmp_path, files, run, monkeypatch, file, name, folder):
    """In what is printed and in every file of the run, r8 is not named."""
    monkeypatch.chdir(tmp_path)
    files["train"].rename(tmp_path / file)
    code, out, _ = run("--train-file", file, *SMALL)
    (path,) = (tmp_path / "runs").iterdir()
    assert code == 0 and re.fullmatch(rf"\d+-\d+-{folder}-modulation", path.name)
    assert f"corpus {name}: " in out and json.loads((path / "result.json").read_text())["corpus"] == name
    assert read_toml(path / "config.toml")["data"]["corpus"] == ""
    texts = [out, run("describe", path)[1], *(p.read_text() for p in path.iterdir() if p.suffix in (".toml", ".json"))]
    assert not any(re.search(r"\br8\b", text) for text in texts)


def test_a_run_of_an_earlier_version_goes_on(tmp_path, arguments, trained, run):
    """Its settings name r8 beside the files."""
    (trained / "result.json").unlink()
    for file in (trained / "config.toml", *trained.glob("checkpoints/*/state.json")):
        text = file.read_text()
        assert re.search(r'corpus("?[:=] |" = | = )""', text)
        file.write_text(re.sub(r'("?corpus"?(?:: | = ))""', r'\1"r8"', text))
    assert run("evaluate", trained)[0] == 0
    code, out, err = run("--resume", trained)
    assert code == 0, err


def test_json_has_six_significant_digits(trained, run):
    numbers = re.findall(r"\d+\.\d+(?:e-?\d+)?", run("evaluate", trained, "--json")[1])
    assert numbers and all(f"{float(text):.6g}" in (text, text.removesuffix(".0")) for text in numbers)
    assert rounded({"a": [1 / 3, 1234567.8, 12345678, True, None, "0.123456789"], "b": (1e-9 / 3,)}) == {
        "a": [0.333333, 1234570.0, 12345678, True, None, "0.123456789"],
        "b": [3.33333e-10],
    }


def test_validations_within_epochs_stand_at_their_steps(tmp_path, arguments, run, monkeypatch):
    """In metrics, lines, results, and on a report; the best weights are the mean at the third of four validations."""
    path = tmp_path / "run"
    # after the first of the weights and of their mean by turns
    validate_as(monkeypatch, [0.5, 0.6, 0.7, 0.8, 0.95, 0.9, 0.1])
    changes = ("--set", "validations=2", "--set", "averaging=0.75", "--set", "patience=0")
    code, out, err = run(*arguments, *changes, "--output", path)
    assert code == 0, err
    best = "1.57 of 2, mean of the weights at 3 validations"
    assert re.search(rf"^validation accuracy +95.00 % \(epoch {best}\)$", out, re.M), out
    told = re.findall(r"^epoch ([\d.]+)/2: .*validation accuracy ([\d.]+) %", out, re.M)
    assert told == [
        ("0.57", "50.00"), ("1", "60.00"), ("1.57", "80.00"), ("2", "90.00"),
    ]  # fmt: skip
    assert out.count("with the mean of weights") == 3
    result = json.loads((path / "result.json").read_text())
    assert (result["best_step"], result["best_averaged"], result["epochs"]) == (11, 3, 2)
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation_loss" in line] == [4, 7, 11, 14]
    assert [line["averaged_accuracy"] for line in lines if "averaged_loss" in line] == [0.7, 0.95, 0.1]
    pytest.importorskip("matplotlib")
    out = run("report", path, "--output", tmp_path / "page.html")[1]
    assert best in out and best in (tmp_path / "page.html").read_text()
