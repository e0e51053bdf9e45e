"""Finished runs go on (--resume RUN --epochs N), and new ones start from their weights (--init-from RUN)."""

import json
import os
import re
import signal

import numpy as np
import pytest

from engine.training.run_directory import RunDirectory
from engine.training.trainer import Trainer
from engine.training.transfer import matching_rows
from layers import TextModel, make_settings
from tests.layers.test_model import corpus_of
from tests.support.final_state import final_state
from tests.train.conftest import SMALL

# A constant learning rate, so that a schedule of two epochs is the beginning of one of four.
CONSTANT = ["--set", "warmup=0", "--set", "final_learning_rate=1", "--set", "patience=0"]
STILL = ["--set", "learning_rate=0"]
TEXTS = ("ball and goal", "bank rate", "", "baking bread with salt")


def probabilities(run, path):
    code, out, err = run("predict", path, "--json", *TEXTS)
    assert code == 0, err
    return [json.loads(line)["probabilities"] for line in out.splitlines()]


def test_a_prolonged_run_ends_as_a_longer_one(tmp_path, arguments, run):
    assert run(*arguments, *CONSTANT, "--epochs", "4", "--output", tmp_path / "long")[0] == 0
    assert run(*arguments, *CONSTANT, "--output", tmp_path / "short")[0] == 0
    code, out, err = run("--resume", tmp_path / "short", "--epochs", "4", "--json")
    assert code == 0, err
    assert json.loads(out)["epochs"] == 4
    assert final_state(tmp_path / "short") == final_state(tmp_path / "long")
    assert RunDirectory(tmp_path / "short").read_config()["training"]["epochs"] == 4
    assert "finished already" in run("--resume", tmp_path / "short")[1]


def test_a_run_that_lost_patience_goes_on(tmp_path, arguments, run):
    """And what it has kept as best before is opened with the new settings."""
    still = [*arguments, *STILL, "--set", "patience=1", "--epochs", "8", "--output", tmp_path / "run"]
    assert run(*still)[0] == 0 and RunDirectory(tmp_path / "run").result()["epochs"] == 2
    assert run("--resume", tmp_path / "run", "--epochs", "9")[0] == 0
    result = RunDirectory(tmp_path / "run").result()
    assert (result["epochs"], result["best_epoch"]) == (3, 1)
    assert len(probabilities(run, tmp_path / "run")) == len(TEXTS)


def test_a_prolonged_run_can_be_stopped_and_resumed(tmp_path, arguments, run, monkeypatch):
    for name in ("whole", "cut"):
        assert run(*arguments, *CONSTANT, "--output", tmp_path / name)[0] == 0
    assert run("--resume", tmp_path / "whole", "--epochs", "4")[0] == 0
    step = Trainer.train_step

    def pressing(self, *given):
        os.kill(os.getpid(), signal.SIGINT)
        step(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "train_step", pressing)
        assert run("--resume", tmp_path / "cut", "--epochs", "4")[0] == 130
    assert not (tmp_path / "cut" / "result.json").exists()
    assert run("--resume", tmp_path / "cut")[0] == 0
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")


def test_what_cannot_go_on_is_told_in_a_line(tmp_path, trained, arguments, run):
    assert run(*arguments, "--no-keep-optimizer", "--output", tmp_path / "without")[0] == 0
    assert run("export", trained, "--to", tmp_path / "exported")[0] == 0
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.toml").write_bytes((trained / "config.toml").read_bytes())
    for path, epochs, message in [
        ("trained", 2, "--epochs 2: the run has trained 2 already; give a larger number"),
        ("trained", 0, "epochs: expected a whole number from 1 to 1000000000, got '0'"),
        ("without", 4, "was kept without the state of its optimizer, and cannot be continued"),
        ("without", 4, f"--init-from {tmp_path / 'without'}\n"),
        ("exported", 4, "is an exported network, and cannot be continued; start a new run from its weights"),
        ("begun", 4, "holds no state to go on from; resume it without --epochs"),
    ]:
        before = final_state(trained)
        code, _, err = run("--resume", tmp_path / path, "--epochs", epochs)
        assert code == 2 and err.count("\n") == 1 and message in err, err
        assert final_state(trained) == before and RunDirectory(trained).result() is not None


@pytest.mark.parametrize("export", [False, True])
def test_a_run_starts_from_the_weights_of_another(tmp_path, trained, run, export):
    """At a learning rate of 0 it predicts as that does, on the same texts, with its settings."""
    source = trained
    more = ["--train-file", tmp_path / "train.tsv"]
    if export:
        assert run("export", trained, "--to", tmp_path / "exported", "--weights", "float32")[0] == 0
        source = tmp_path / "exported"
    code, out, err = run("--init-from", source, *more, *STILL, "--output", tmp_path / "new")
    assert code == 0, err
    size = len(TextModel.open(trained).network.embedding.table.value)
    assert f"{source}: {size:,} of {size:,} rows of the embedding and all other parameters\n" in out
    assert probabilities(run, tmp_path / "new") == probabilities(run, trained)
    config = RunDirectory(tmp_path / "new").read_config()
    assert config["network"]["dimension"] == 8 and config["run"]["init_from"] == str(source)
    assert config["data"]["test_file"] == ""


def test_other_texts_and_classes_keep_what_they_share(tmp_path, trained, run):
    """Equal tokens keep their rows, the others and the classifier are new."""
    rows = [("pet", "the cat and the ball"), ("tool", "a hammer of the bank"), ("pet", "a dog"), ("tool", "a saw")] * 10
    (tmp_path / "other.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    more = ["--init-from", trained, "--train-file", tmp_path / "other.tsv", *STILL, "--output", tmp_path / "new"]
    code, out, err = run(*more)
    assert code == 0 and "but the classifier, whose classes are others" in out, err
    old, new = TextModel.open(trained), TextModel.open(tmp_path / "new")
    fresh = TextModel.build(corpus_of(), make_settings(dimension=8)).network  # of no use but for its scale
    assert new.classes == ["pet", "tool"]
    tables = [each.network.embedding.table.value for each in (new, old)]
    ids = [each.run.vocabulary.tokenizer.get_vocab() for each in (new, old)]
    assert {"ball", "bank", "the"} <= set(ids[0]) & set(ids[1]) and "hammer" not in ids[1]
    for name in set(ids[0]) & set(ids[1]):
        np.testing.assert_array_equal(tables[0][ids[0][name]], tables[1][ids[1][name]])
    assert np.abs(tables[0][ids[0]["hammer"]]).max() < 10 * np.abs(fresh.embedding.table.value).std()
    old_norm, new_norm = (each.network.blocks[0].wave_norm.gain.value for each in (old, new))
    np.testing.assert_array_equal(old_norm, new_norm)


SIDE_BY_SIDE = ["heads=2", "char_heads=1", "other_heads=1", "linear_heads=2", "shortcut=naive-bayes", "char_ngrams=3"]


def test_networks_side_by_side_start_from_those_of_another_run(tmp_path, arguments, run):
    """All of their tables, on the same texts, and on fewer, where the rows have other numbers."""
    fields = [word for field in SIDE_BY_SIDE for word in ("--set", field)]
    assert run(*arguments, *fields, "--output", tmp_path / "old")[0] == 0
    lines = (tmp_path / "train.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "fewer.tsv").write_text("".join(lines[::2]))
    models = {}
    for name in ("train", "fewer"):
        more = ["--train-file", tmp_path / f"{name}.tsv", *STILL, "--output", tmp_path / name]
        code, _, err = run("--init-from", tmp_path / "old", *more)
        assert code == 0, err
        models[name] = TextModel.open(tmp_path / name)
    assert probabilities(run, tmp_path / "train") == probabilities(run, tmp_path / "old")
    old, new = (model.network.words.linear.ratios for model in (TextModel.open(tmp_path / "old"), models["fewer"]))
    ids = [model.run.vocabulary.tokenizer.get_vocab() for model in (TextModel.open(tmp_path / "old"), models["fewer"])]
    both = sorted(set(ids[0]) & set(ids[1]))
    rows = [ratios.weights.value[[known[name] for name in both]] for ratios, known in zip((old, new), ids)]
    assert ids[0] != ids[1] and rows[0].any() and np.array_equal(*rows)
    assert old.bias.value.any() and np.array_equal(old.bias.value, new.bias.value)


def test_classes_in_another_order_keep_their_columns(tmp_path, trained, run, monkeypatch):
    from engine.training import transfer

    run_of = transfer.Source("run", TextModel.open(trained).run)
    turned = run_of.run._replace(classes=run_of.run.classes[::-1])
    for source in (run_of, run_of._replace(run=turned)):
        model = TextModel.build(corpus_of(), make_settings("recommended", **settings_of_small()))
        transfer.take_weights(model.network, model.data, source)
        weight = run_of.run.network.classifier.weight.value
        expected = weight if source is run_of else weight[:, ::-1]
        np.testing.assert_array_equal(model.network.classifier.weight.value, expected)


def settings_of_small():
    """The network of SMALL."""
    return {"dimension": int(SMALL[SMALL.index("--dimension") + 1]), "hidden": 8}


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["--dimension", "4"],
            r"parameter embedding.table is \(\d+, 8\) there and \(\d+, 4\) in the new network; leave out",
        ),
        (["--set", "hidden=0"], r"parameter blocks.0.feed_forward.\S+ is \(8, 8\) there and absent in the new network"),
        (["--blocks", "2"], r"parameter blocks.1.\S+ is absent there and \(8, 8\) in the new network"),
    ],
)
def test_other_networks_are_refused(tmp_path, trained, run, words, message):
    code, _, err = run("--init-from", trained, *words, "--output", tmp_path / "new")
    assert code == 2 and err.count("\n") == 1 and not (tmp_path / "new").exists()
    assert re.search(f"--init-from {trained}: {message}", err), err


def test_rows_are_matched_by_what_they_stand_for():
    """Exactly the tokens of each kind that both vocabularies have; of three lengths of n-grams."""
    settings = make_settings(ngrams=3, char_ngrams="3-4", validation_fraction=0.0, dimension=4)
    models = [TextModel.build(corpus_of(count), settings) for count in (60, 24)]

    def ids_by_name(model):
        vocabulary, found = model.run.vocabulary, {}
        batch = model.data.train
        for start, end in zip(batch.offsets, batch.offsets[1:]):
            ids = batch.ids[start:end]
            found |= {name: int(number) for name, number in zip(vocabulary.names(ids), ids)}
        return found

    new, old = map(ids_by_name, models)
    for first, second in ((0, 1), (1, 0)):
        here, there = (new, old) if first == 0 else (old, new)
        pairs = zip(*matching_rows(*(models[i].run.vocabulary for i in (first, second)), models[first].data.train))
        expected = {(here[name], there[name]) for name in here.keys() & there.keys()}
        found = {(int(a), int(b)) for a, b in pairs}
        special = {(a, b) for a, b in found - expected if a < 5 and b < 5}  # tokens that stand in no text
        assert found - special == expected
    kinds = [any("_" in name for name in new), any(name.startswith("-") or name.endswith("-") for name in new)]
    assert all([*kinds, any(name.startswith("<") for name in new)])


def test_a_prolonged_run_takes_its_mean_anew(tmp_path, arguments, run):
    """Over the last share of all its steps: none of the weights that were the last before is in it."""
    mean = ["--set", "averaging=0.5", "--set", "validations=2"]
    assert run(*arguments, *CONSTANT, *mean, "--epochs", "4", "--output", tmp_path / "long")[0] == 0
    assert run(*arguments, *CONSTANT, *mean, "--output", tmp_path / "short")[0] == 0
    assert list((tmp_path / "short" / "checkpoints" / "last").glob("average-*"))
    assert run("--resume", tmp_path / "short", "--epochs", "4")[0] == 0
    names = [f"average-{RunDirectory(tmp_path / 'long').result()['steps']}.safetensors"] * 2
    files = [next((tmp_path / run / "checkpoints" / "last").glob("average-*")) for run in ("long", "short")]
    assert [file.name for file in files] == names and files[0].read_bytes() == files[1].read_bytes()
