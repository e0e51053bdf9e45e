"""The commands export and hub: folders that travel, and what opens them."""

import json
import re
import shutil
import sys

import numpy as np
import pytest

from engine.arrays.mapped import read_arrays
from engine.serving import export
from engine.serving.card import model_card
from engine.serving.export import LOCK
from engine.training.checkpoint import load_checkpoint, save_checkpoint
from engine.training.run_directory import locked
from layers import TextModel

TEXTS = ("ball and goal", "bank rate", "", "baking bread with salt")


@pytest.fixture
def exported(tmp_path, trained, run):
    """exported(*options) → the folder that export has written."""

    def export(*options, folder="exported"):
        code, out, err = run("export", trained, "--to", tmp_path / folder, *options)
        assert code == 0, err
        return tmp_path / folder

    return export


def test_an_export_holds_the_weights_alone(trained, exported):
    """In half the bytes, no moments, and no names of folders."""
    folder = exported()
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "affixes.json", "config.toml", "ngrams.safetensors", "result.json", "state.json", "tokenizer.json",
        "weights.safetensors",
    }  # fmt: skip
    _, arrays = load_checkpoint(trained / "checkpoints" / "best", ["weights"])
    saved = read_arrays(folder / "weights.safetensors")
    assert saved.keys() == arrays["weights"].keys()
    for name, value in arrays["weights"].items():
        np.testing.assert_array_equal(saved[name], value.astype(np.float16))
    for path in folder.iterdir():
        assert str(trained.parent).encode() not in path.read_bytes(), path


@pytest.mark.parametrize("options, exact", [((), False), (("--weights", "float32"), True)])
def test_an_export_is_opened_like_a_run(trained, exported, run, options, exact):
    folder = exported(*options)
    outputs = [run("predict", path, "--json", *TEXTS) for path in (trained, folder)]
    assert all(code == 0 for code, _, _ in outputs)
    of_run, of_export = ([json.loads(line)["probabilities"] for line in out.splitlines()] for _, out, _ in outputs)
    assert (of_run == of_export) == exact
    for a, b in zip(of_run, of_export):
        assert a == pytest.approx(b, abs=2e-3)
    test_file = trained.parent / "test.tsv"
    assert run("evaluate", folder, "--test-file", test_file)[0] == run("describe", folder)[0] == 0
    code, _, err = run("evaluate", folder)
    assert code == 2 and err.count("\n") == 1 and "test.tsv" in err


def test_labels_that_change_are_counted(tmp_path, trained, run):
    """On texts of which float16 changes some, since all weights are 0 but for differences below its spacing."""
    code, out, _ = run("export", trained, "--to", tmp_path / "a")
    assert code == 0
    assert re.search(
        r"\nlabels that change: 0 of 6 validation and 0 of 15 test labels\nlargest difference .*: \d\.\de-0\d\n", out
    )
    model = TextModel.open(trained)
    weight, bias = model.network.classifier.weight, model.network.classifier.bias
    weight.value, bias.value = np.zeros_like(weight.value), np.array([1, 1.0001, 1], np.float32)
    source = trained / "checkpoints" / "best"
    state = json.loads((source / "state.json").read_text())
    weights = {name: p.value for name, p in model.network.parameters().items()}
    kept = {name: value for name, value in state.items() if name not in ("step", "files", "versions")}
    save_checkpoint(source, state["step"] + 1, kept, {"weights": weights})
    code, out, _ = run("export", trained, "--to", tmp_path / "b", "--json")
    counts = json.loads(out)["labels"]
    assert code == 0 and counts.keys() == {"validation", "test"}
    assert [(row["changed"], row["texts"]) for row in counts.values()] == [(6, 6), (15, 15)]
    code, out, _ = run("export", trained, "--to", tmp_path / "c", "--weights", "float32", "--json")
    assert code == 0 and {count["changed"] for count in json.loads(out)["labels"].values()} == {0}


def test_onnx_predicts_the_same(trained, exported, run):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -e '.[onnx]'")
    folder = exported("--format", "onnx")
    assert not (folder / "weights.safetensors").exists()
    of_run, of_export = (
        [json.loads(line) for line in run("predict", path, "--json", *TEXTS)[1].splitlines()]
        for path in (trained, folder)
    )
    for a, b in zip(of_run, of_export, strict=True):
        assert (a["label"], a["probabilities"]) == (b["label"], pytest.approx(b["probabilities"], abs=1e-5))
    assert run("evaluate", folder, "--test-file", trained.parent / "test.tsv")[0] == 0
    for words, message in [
        (("describe", folder), "shows no parameters; use the run that it was exported from"),
        (("export", folder, "--to", trained.parent / "again"), "shows no parameters"),
        (("--init-from", folder, "--train-file", trained.parent / "train.tsv"), "shows no parameters"),
    ]:
        code, _, err = run(*words)
        assert code == 2 and err.count("\n") == 1 and message in err
    assert not (trained.parent / "again").exists()
    (folder / "model.onnx").write_bytes(b"x")
    code, _, err = run("predict", folder, "text")
    assert code == 2 and err.count("\n") == 1 and "model.onnx: is damaged" in err


def test_without_onnx_the_remedy_is_named(tmp_path, trained, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = run("export", trained, "--to", tmp_path / "a", "--format", "onnx")
    assert code == 2 and err.endswith("run pip install -e '.[onnx]'\n") and not (tmp_path / "a").exists()


def test_without_the_texts_nothing_is_counted(tmp_path, trained, run, files):
    files["train"].unlink()
    code, out, _ = run("export", trained, "--to", tmp_path / "a")
    assert code == 0 and "were not counted: the texts of the run are not at hand" in out
    assert run("export", tmp_path / "a", "--to", tmp_path / "b")[0] == 0  # of an export, too


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda folder: (folder / "weights.safetensors").write_bytes(b"x"), "weights.safetensors: is damaged"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "is not the one that the network was trained"),
        (lambda folder: (folder / "state.json").write_text("{}"), "state.json: its labels are no list"),
    ],
)
def test_a_damaged_export_is_named(exported, run, change, message):
    folder = exported()
    change(folder)
    code, _, err = run("predict", folder, "text")
    assert code == 2 and err.count("\n") == 1 and message in err


def test_what_cannot_be_exported_is_named(tmp_path, trained, run):
    model = TextModel.open(trained)
    bias = model.network.classifier.bias
    bias.value = np.full_like(bias.value, 1e6)
    model.save(tmp_path / "large")
    for words, message in [
        (("export", tmp_path / "large", "--to", tmp_path / "a"), "classifier.bias: holds 1e+06, beyond the range"),
        (("export", trained, "--to", trained), f"error: --to {trained}: holds something already; choose a new"),
        (("export", tmp_path, "--to", tmp_path / "b"), "not a run directory"),
        (
            ("export", trained, "--to", tmp_path / "c", "--format", "onnx", "--weights", "float16"),
            "leave --weights out",
        ),
    ]:
        code, _, err = run(*words)
        assert code == 2 and message in err, err
    assert not (tmp_path / "b").exists()


def test_texts_that_cannot_be_read_leave_no_export(tmp_path, trained, files, run):
    files["test"].write_text("weather\train\n")
    code, _, err = run("export", trained, "--to", tmp_path / "b")
    assert code == 2 and "weather" in err and not (tmp_path / "b").exists()


@pytest.mark.parametrize("form", ["weights", "hub"])
@pytest.mark.parametrize("at", range(0, 8, 2))
def test_a_killed_export_is_written_anew(tmp_path, trained, exported, run, monkeypatch, form, at):
    """With the same bytes; the lock tells it from a folder of another origin."""
    whole, cut = exported("--format", form), tmp_path / "cut"
    cut.mkdir()
    for name in sorted(path.name for path in whole.iterdir())[:at]:
        shutil.copyfile(whole / name, cut / name)
    for name in (LOCK, ".state.json.0123abcd.tmp"):
        (cut / name).touch()
    code, _, err = run("export", trained, "--to", cut, "--format", form)
    assert code == 0, err
    found = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in (whole, cut)]
    for files in found:
        del files["result.json"]  # it names the folder
    assert found[0] == found[1]


@pytest.mark.parametrize("more", [["notes.txt", LOCK], ["README.md"], ["README.md", "lock"]])
def test_a_folder_of_others_is_left_as_it_is(tmp_path, trained, run, more):
    (tmp_path / "mine").mkdir()
    for name in more:
        (tmp_path / "mine" / name).write_text("mine")
    code, _, err = run("export", trained, "--to", tmp_path / "mine")
    assert code == 2 and "holds something already" in err
    assert {path.name: path.read_text() for path in (tmp_path / "mine").iterdir()} == dict.fromkeys(more, "mine")


def test_two_exports_into_one_folder(tmp_path, trained, run):
    (tmp_path / "to").mkdir()
    with locked(tmp_path / "to" / LOCK, "taken"):
        code, _, err = run("export", trained, "--to", tmp_path / "to")
    assert code == 2 and err == f"error: {tmp_path / 'to'}: another process writes into it; wait until it has ended\n"


def test_a_folder_that_another_process_fills_in_the_meantime(tmp_path, trained, run, monkeypatch):
    """Between the look into it and the lock."""
    to, taken = tmp_path / "to", export.locked

    def filled_first(path, message):
        monkeypatch.setattr(export, "locked", taken)
        assert run("export", trained, "--to", to)[0] == 0
        return taken(path, message)

    monkeypatch.setattr(export, "locked", filled_first)
    code, _, err = run("export", trained, "--to", to)
    assert code == 2 and "another process has filled it in the meantime" in err
    assert run("predict", to, *TEXTS)[0] == 0


def test_the_card_says_what_is_known(trained, exported):
    folder = exported("--format", "hub")
    card, result = (folder / "README.md").read_text(), json.loads((folder / "result.json").read_text())
    assert card.startswith("---\nlibrary_name: wave-network\n") and "pipeline_tag: text-classification\n" in card
    assert f"| test accuracy | {100 * result['test_accuracy']:.2f} % |" in card and "| dimension | 8 |" in card
    assert "in float16;" in card and "## Classes (3)" in card and "| sport | 5 |" in card
    assert str(trained.parent) not in card and "train.tsv" not in card
    (line,) = [line for line in card.splitlines() if line.startswith("model-index: ")]
    (entry,) = json.loads(line.removeprefix("model-index: "))
    (measured,) = entry["results"]
    assert {row["name"]: row["value"] for row in measured["metrics"]} == {
        "accuracy": result["test_accuracy"],
        "macro F1": result["test_macro_f1"],
    }
    model = TextModel.open(folder)
    unmeasured = model_card(model.run.settings, ["a", "b|c"], None, "float32")
    assert "model-index" not in unmeasured and "None: its training was not finished" in unmeasured
    of_corpus = model.run.settings.data.replace(corpus="r8", train_file="")
    named = model_card(model.run.settings._replace(data=of_corpus), ["a", "b"], result, "float32")
    assert (
        "# r8: model wave, modulation\n" in named and "- terms of use of the texts: research purposes only\n" in named
    )
    none = dict.fromkeys(("test_accuracy", "test_macro_f1", "validation_accuracy"))
    assert "no texts to measure it on" in model_card(model.run.settings, ["a"], {**result, **none}, "float32")


def test_a_network_goes_to_the_hub_and_comes_back(tmp_path, exported, run, model_hub):
    """By huggingface_hub itself, and nothing but the files of the network."""
    folder = exported("--format", "hub")
    (folder / "notes.txt").write_text("mine")
    code, out, err = run("hub", "push", folder, "me/texts", "--private")
    assert code == 0 and out.startswith(f"{model_hub.url}/me/texts/commit/"), err
    stored = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "notes.txt"}
    assert model_hub.files == {"me/texts": stored} and model_hub.private == {"me/texts": True}
    model_hub.files["me/texts"]["other.bin"] = b"x"
    code, _, err = run("hub", "pull", "me/texts", "--to", tmp_path / "pulled")
    assert code == 0 and "\r" not in err, err  # a bar of huggingface_hub
    assert {path.name: path.read_bytes() for path in (tmp_path / "pulled").iterdir()} == stored
    first, second = (run("predict", path, *TEXTS) for path in (folder, tmp_path / "pulled"))
    assert first == second and first[0] == 0


def test_a_killed_pull_is_begun_anew(tmp_path, exported, run, model_hub):
    """Its lock tells it from a folder of another origin, which stays as it is."""
    folder, cut = exported("--format", "hub"), tmp_path / "cut"
    assert run("hub", "push", folder, "me/texts")[0] == 0
    (cut / ".fetched" / ".cache").mkdir(parents=True)
    (cut / ".fetched" / "weights.safetensors").write_bytes(b"half")
    (cut / "state.json").write_bytes(b"{")
    code, _, err = run("hub", "pull", "me/texts", "--to", cut)
    assert code == 2 and "holds something already" in err and (cut / "state.json").read_bytes() == b"{"
    (cut / LOCK).touch()
    code, _, err = run("hub", "pull", "me/texts", "--to", cut)
    assert code == 0, err
    files = [{path.name: path.read_bytes() for path in each.iterdir()} for each in (folder, cut)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "status, message",
    [(401, "answers with error 401; set HF_TOKEN"), (500, "error 500; try again later"), (None, "cannot be used (")],
)
def test_what_the_hub_refuses_is_told_in_a_line(tmp_path, exported, run, model_hub, status, message):
    """None: nobody answers."""
    folder, model_hub.status = exported("--format", "hub"), status
    if status is None:
        model_hub.close()
    for words in (("push", folder, "me/texts"), ("pull", "me/texts", "--to", tmp_path / "pulled")):
        code, _, err = run("hub", *words)
        assert code == 2 and err.splitlines()[-1].startswith("error: me/texts: ") and message in err, err
    assert not (tmp_path / "pulled").exists()


def test_only_whole_networks_come_and_go(tmp_path, trained, exported, run, model_hub):
    """A folder without card is not pushed, and what does not open is not kept."""
    for folder in (trained, exported()):
        code, _, err = run("hub", "push", folder, "me/texts")
        assert code == 2 and "--format hub" in err and not model_hub.files
    assert run("hub", "push", exported("--format", "hub", folder="card"), "me/texts")[0] == 0
    model_hub.files["me/texts"]["weights.safetensors"] = b"x"
    code, _, err = run("hub", "pull", "me/texts", "--to", tmp_path / "pulled")
    assert code == 2 and "is damaged" in err.splitlines()[-1] and not (tmp_path / "pulled").exists()
