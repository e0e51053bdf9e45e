"""A run from files to result, opened again, and continued from wherever it was killed."""

import json
import re
import shutil
from contextlib import nullcontext

import numpy as np
import pytest

from engine.data.prepare import encode_labelled
from engine.data.reading import read_test_texts
from engine.support.errors import UserError
from engine.training import config as config_module
from engine.training import run_state as run_state_module
from engine.training import session as session_module
from engine.training import trainer as trainer_module
from engine.training.checkpoint import load_checkpoint
from engine.training.config import computing
from engine.training.decision import evaluate_and_decide
from engine.training.evaluation import evaluate
from engine.training.run_settings import build_settings
from engine.training.session import resume_run, start_run
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, build_network
from tests.support.encoding import encode

SMALL = {
    "dimension": 6,
    "hidden": 6,
    "epochs": 2,
    "batch_size": 8,
    "vocabulary_size": 200,
    "learning_rate": 0.02,
    "validation_fraction": 0.2,
    "checkpoint_seconds": 0,
}


@pytest.fixture
def settings(tmp_path):
    """RunSettings of a tiny corpus of two classes."""
    rng = np.random.default_rng(0)
    for name, count in (("train", 40), ("test", 10)):
        rows = (
            (label, " ".join(rng.choice(words.split(), 4)))
            for label, words in [("a", "red green blue"), ("b", "one two three")] * (count // 2)
        )
        (tmp_path / f"{name}.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return build_settings(CONFIGS, SMALL, {f"{name}_file": str(tmp_path / f"{name}.tsv") for name in ("train", "test")})


def start(settings, path):
    return start_run(settings, build_network, path, log=lambda line: None)


def resume(path):
    return resume_run(path, CONFIGS, build_network, log=lambda line: None)


def timeless(result):
    return {
        key: value
        for key, value in result.items()
        if key not in ("train_seconds", "tokens_per_second", "peak_memory_bytes", "run_directory")
    }


@pytest.mark.parametrize("resumed", [False, True])
def test_a_run_keeps_to_its_number_of_threads(tmp_path, settings, monkeypatch, threads_of_blas, resumed):
    """Also when it is resumed: other threads sum in another order, which would change the last bits."""
    used = []
    train = trainer_module.Trainer.train
    monkeypatch.setattr(trainer_module.Trainer, "train", lambda self: used.append(threads_of_blas()) or train(self))
    settings = settings._replace(training=settings.training.replace(threads=1))
    start(settings, tmp_path / "run")
    if resumed:
        (tmp_path / "run" / "result.json").unlink()
        resume(tmp_path / "run")
    assert used == [{1}] * (1 + resumed) or used[0] == set()  # no BLAS that threadpoolctl knows


def test_a_trained_run_keeps_its_threads_and_precision(tmp_path, settings, monkeypatch, threads_of_blas):
    """Computations with a trained run use its threads and precision."""
    start(settings._replace(training=settings.training.replace(threads=1)), tmp_path / "run")
    run, asked = open_run(tmp_path / "run", CONFIGS, build_network), []
    with computing(run.settings.training, "cpu"):
        assert threads_of_blas() in ({1}, set())
    monkeypatch.setattr(config_module, "product_precision", lambda *given: asked.append(given) or nullcontext())
    on_a_gpu = run._replace(settings=run.settings._replace(training=run.settings.training.replace(precision="tf32")))
    for device in ("cpu", "cuda"):
        with computing(on_a_gpu.settings.training, device):
            assert asked.pop() == ("float32" if device == "cpu" else "tf32", device)


def test_a_run_ends_with_a_result_and_can_be_opened_to_predict(tmp_path, settings):
    result = start(settings, tmp_path / "run")
    assert result == json.loads((tmp_path / "run" / "result.json").read_text()) == resume(tmp_path / "run")
    assert result["steps"] == 8 and result["epochs"] == 2 and result["peak_memory_bytes"] > 0
    assert result["texts"] == {"training": 32, "validation": 8, "test": 10}
    opened = open_run(tmp_path / "run", CONFIGS, build_network)
    assert (
        opened.classes == ["a", "b"]
        and opened.settings.network == settings.network
        and opened.settings.training == settings.training
    )
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best", ("weights",))[1]["weights"]
    assert all(np.array_equal(p.value, best[name]) for name, p in opened.network.parameters().items())


def test_a_run_of_sentences_is_opened_as_one(tmp_path, settings):
    levelled = settings._replace(network=settings.network.replace(levels="sentence"))
    for name, run in (("levelled", levelled), ("plain", settings)):
        start(run, tmp_path / name)
        vocabulary = open_run(tmp_path / name, CONFIGS, build_network).vocabulary
        assert (encode(vocabulary, ["Red. Blue."], 9).sentence_offsets is not None) == (name == "levelled")


def test_a_start_that_fails_late_leaves_no_folder(tmp_path, settings, monkeypatch):
    """A start that fails after the vocabulary leaves no folder."""
    settings = settings._replace(data=settings.data.replace(ngrams=2, affixes=True, char_ngrams="2-4"))
    written = []

    def fail(directory, _):
        written.extend(file.name for file in directory.path.iterdir())
        raise OSError("full")

    monkeypatch.setattr("engine.training.run_directory.RunDirectory.write_config", fail)
    with pytest.raises(OSError, match="full"):
        start(settings, tmp_path / "run")
    files = {"tokenizer.json", "ngrams.safetensors", "affixes.json", "char_ngrams.json"}
    assert files <= set(written) and not (tmp_path / "run").exists()


def test_the_best_weights_are_measured_and_not_the_last_ones(tmp_path, settings, monkeypatch):
    def falling(*arguments):
        result, decision = evaluate_and_decide(*arguments)
        return result._replace(accuracy=next(accuracies)), decision

    def look(network, *rest, **named):
        measured.update({name: p.value.copy() for name, p in network.parameters().items()})
        return evaluate(network, *rest, **named)

    accuracies, measured = iter([0.9, 0.8]), {}
    monkeypatch.setattr(trainer_module, "evaluate_and_decide", falling)
    monkeypatch.setattr(session_module, "evaluate", look)
    result = start(settings, tmp_path / "run")
    best = load_checkpoint(tmp_path / "run" / "checkpoints" / "best", ("weights",))
    assert result["best_epoch"] == 1 and result["validation_accuracy"] == 0.9 and best[0]["step"] == 4
    assert all(np.array_equal(array, measured[name]) for name, array in best[1]["weights"].items())


@pytest.mark.parametrize("keep", [True, False])
def test_a_finished_run_may_do_without_its_moments(tmp_path, settings, keep):
    settings = settings._replace(training=settings.training.replace(keep_optimizer=keep))
    result = start(settings, tmp_path / "run")
    files = {path.name.partition("-")[0] for path in (tmp_path / "run" / "checkpoints" / "last").iterdir()}
    assert files == {"state.json", "weights"} | ({"optimizer"} if keep else set())
    assert resume(tmp_path / "run") == result
    open_run(tmp_path / "run", CONFIGS, build_network)


@pytest.mark.parametrize("fatal_save", [1, 2, 3, 4])
@pytest.mark.parametrize("leaves_folder", [False, True])
def test_a_run_killed_within_any_save_can_be_resumed(tmp_path, settings, monkeypatch, fatal_save, leaves_folder):
    def die(folder, *rest):
        saves.append(folder)
        if len(saves) == fatal_save:
            if leaves_folder:
                folder.mkdir(parents=True, exist_ok=True)
            raise KeyboardInterrupt
        save_checkpoint(folder, *rest)

    saves, save_checkpoint = [], run_state_module.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(run_state_module, "save_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            start(settings, tmp_path / "run")
    assert timeless(resume(tmp_path / "run")) == timeless(start(settings, tmp_path / "whole"))
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 8


def test_a_run_killed_while_its_texts_were_read_is_begun_anew(tmp_path, settings):
    directory = session_module.RunDirectory.create(tmp_path / "run")
    for name in ("lock", "tokenizer.json", ".tmpAb3dEf", ".ngrams.safetensors.0123abcd.tmp"):
        (tmp_path / "run" / name).touch()
    with pytest.raises(UserError, match="run: was stopped before anything was trained; begin it anew"):
        resume(tmp_path / "run")
    with directory.held(), pytest.raises(UserError, match="run: another process is training this run"):
        resume(tmp_path / "run")
    assert start(settings, tmp_path / "run")["epochs"] == 2


@pytest.mark.parametrize("named", [True, False])
def test_a_run_killed_after_its_result_is_tidied_up(tmp_path, settings, monkeypatch, named):
    """Its lock goes and arrays that were not to be kept, still named by the state or not, and nothing is trained."""
    settings = settings._replace(training=settings.training.replace(keep_optimizer=False))
    with monkeypatch.context() as patch:
        patch.setattr(session_module, "drop_unkept", lambda *_: None)  # as if the process had been killed before
        start(settings, tmp_path / "run")
    (tmp_path / "run" / "lock").touch()
    last = tmp_path / "run" / "checkpoints" / "last"
    if not named:
        state = json.loads((last / "state.json").read_text())
        del state["files"]["optimizer"]
        (last / "state.json").write_text(json.dumps(state))
    assert list(last.glob("optimizer-*"))
    resume(tmp_path / "run")
    assert not list(last.glob("optimizer-*")) and list(last.glob("weights-*"))
    assert not (tmp_path / "run" / "lock").exists()


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path, settings, monkeypatch):
    def look(directory, lines):
        if not looked:
            looked.append(directory.path)
            with pytest.raises(UserError, match="run: another process is training this run"):
                resume(tmp_path / "run")
        append(directory, lines)

    append, looked = session_module.RunDirectory.append_metrics, []
    monkeypatch.setattr(session_module.RunDirectory, "append_metrics", look)
    result = start(settings, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    assert timeless(resume(tmp_path / "run")) == timeless(result) and looked
    assert not (tmp_path / "run" / "lock").exists()


def test_changed_training_texts_are_refused_on_resume(tmp_path, settings):
    """Changed training texts are refused when a run is resumed."""
    start(settings, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    file = tmp_path / "train.tsv"
    file.write_text(file.read_text().replace("red", "blue", 1))
    with pytest.raises(
        UserError, match="the data fingerprint differs from that of this run; resume with the same files"
    ):
        resume(tmp_path / "run")


def test_a_run_that_has_saved_nothing_cannot_be_opened(tmp_path, settings):
    start(settings, tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "best" / "state.json").unlink()
    with pytest.raises(
        UserError, match="best/state.json: not found; is this a run directory whose training has saved something"
    ):
        open_run(tmp_path / "run", CONFIGS, build_network)


def test_a_bad_value_in_a_runs_config_is_refused_with_its_file(tmp_path, settings):
    start(settings, tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("dimension = 6", "dimension = 0"))
    with pytest.raises(UserError, match="config.toml: dimension: expected a whole number from 1 to 1000000, got 0"):
        open_run(tmp_path / "run", CONFIGS, build_network)


def test_the_measured_accuracy_is_that_of_the_opened_run(tmp_path, settings):
    result = start(settings, tmp_path / "run")
    opened = open_run(tmp_path / "run", CONFIGS, build_network)
    texts, _ = read_test_texts(opened.settings.data)
    found = evaluate(
        opened.network, encode_labelled(opened.settings.data, opened.vocabulary, opened.classes, texts), opened.classes
    )
    assert (found.accuracy, found.macro_f1) == (result["test_accuracy"], result["test_macro_f1"])


def test_another_vocabulary_than_that_of_the_training_is_named(tmp_path, settings):
    """Whether it is damaged, of another run, or its tokens have other ids, which shows nowhere else."""
    settings = settings._replace(data=settings.data.replace(ngrams=2, affixes=True, tokens="words", char_ngrams="2-4"))
    start(settings, tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "run")
    open_run(tmp_path / "run", CONFIGS, build_network)
    for file in session_module.RunDirectory(tmp_path / "run").vocabulary_files:
        content = file.read_bytes()
        exchanged = re.sub(rb'"(one|two)": ', lambda found: {b"one": b'"two": ', b"two": b'"one": '}[found[1]], content)
        file.write_bytes(exchanged if file.name == "tokenizer.json" else content[:-1])
        assert file.read_bytes() != content
        (tmp_path / "run" / "result.json").unlink(missing_ok=True)
        for use in (lambda: open_run(tmp_path / "run", CONFIGS, build_network), lambda: resume(tmp_path / "run")):
            with pytest.raises(
                UserError, match=f"run/{file.name}: is not the one that the .*; restore the file or train"
            ):
                use()
        file.write_bytes(content)
    assert resume(tmp_path / "run")["epochs"] == 2


def test_a_run_without_digests_is_opened_and_resumed(tmp_path, settings):
    """A run of a version that did not know its vocabulary is opened and resumed."""
    start(settings, tmp_path / "run")
    for kind in ("last", "best"):
        file = tmp_path / "run" / "checkpoints" / kind / "state.json"
        state = json.loads(file.read_text())
        assert set(state.pop("vocabulary")) == {"tokenizer.json"}
        file.write_text(json.dumps(state))
    open_run(tmp_path / "run", CONFIGS, build_network)
    (tmp_path / "run" / "result.json").unlink()
    assert resume(tmp_path / "run")["epochs"] == 2


def test_a_run_with_fewer_settings_is_opened_and_resumed(tmp_path, settings):
    """What it lacks has its default: those are the values it was trained with."""
    start(settings, tmp_path / "run")
    without_field(tmp_path / "run", "precision")
    assert open_run(tmp_path / "run", CONFIGS, build_network).settings.training.precision == "float32"
    (tmp_path / "run" / "result.json").unlink()
    assert resume(tmp_path / "run")["epochs"] == 2
    without_field(tmp_path / "run", "seed", of=("best",))  # whose default 0 is not the seed that config.toml names
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace("seed = 0", "seed = 1"))
    with pytest.raises(UserError, match="config.toml: differs from the settings in .*state.json that were trained"):
        open_run(tmp_path / "run", CONFIGS, build_network)


def without_field(run, name, of=("last", "best")):
    """Take a training setting out of the checkpoints and, of all of them, out of config.toml."""
    for kind in of:
        file = run / "checkpoints" / kind / "state.json"
        state = json.loads(file.read_text())
        del state["config"]["training"][name]
        file.write_text(json.dumps(state))
    if len(of) == 2:
        lines = (run / "config.toml").read_text().splitlines(keepends=True)
        (run / "config.toml").write_text("".join(line for line in lines if not line.startswith(f"{name} =")))
