"""A run of character n-grams: killed, resumed, opened, exported."""

import numpy as np
import pytest

from engine.data.prepare import encode_plain_texts
from engine.serving.export import export_run, save_weights
from engine.training import run_state
from engine.training.run_settings import build_settings
from engine.training.session import resume_run, start_run
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, build_network

FIELDS = {
    **{"dimension": 6, "hidden": 6, "epochs": 2, "batch_size": 8, "vocabulary_size": 200, "learning_rate": 0.02},
    **{"validation_fraction": 0.2, "checkpoint_seconds": 0, "token_dropout": 0.3, "tokens": "words"},
    **{"ngrams": 2, "affixes": True, "char_ngrams": "2-4", "threads": 1},
}
TEXTS = ["redder 🙂 reds", "", "x" * 300, "unheard blues"]


@pytest.fixture
def settings(tmp_path):
    """RunSettings of a tiny corpus of two classes."""
    rng, words = np.random.default_rng(0), {"a": "red reddish blue bluish", "b": "one ones oneself twofold"}
    rows = [(label, " ".join(rng.choice(words[label].split(), 4))) for label in "ab" * 20]
    (tmp_path / "train.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    return build_settings(CONFIGS, FIELDS, {"train_file": str(tmp_path / "train.tsv")})


def start(settings, path):
    start_run(settings, build_network, path, log=len)
    return opened(path)


def opened(path):
    """(ids of TEXTS, weights) of a run."""
    run = open_run(path, CONFIGS, build_network)
    batch = encode_plain_texts(run.settings.data, run.vocabulary, TEXTS)
    assert run.network.embedding.table.value.shape[0] == run.vocabulary.size()
    assert (batch.ids >= run.vocabulary.first_char_ngram()).sum() == 5
    return batch.ids.tolist(), {name: p.value.tobytes() for name, p in run.network.parameters().items()}


def test_a_killed_run_ends_with_the_same_bits(tmp_path, settings, monkeypatch):
    """Its ids, too, once the vocabulary has been read from its files."""

    def die(folder, *rest):
        saves.append(folder)
        if len(saves) == 2:
            raise KeyboardInterrupt
        save(folder, *rest)

    whole = start(settings, tmp_path / "whole")
    saves, save = [], run_state.save_checkpoint
    with monkeypatch.context() as patch:
        patch.setattr(run_state, "save_checkpoint", die)
        with pytest.raises(KeyboardInterrupt):
            start(settings, tmp_path / "run")
    resume_run(tmp_path / "run", CONFIGS, build_network, log=len)
    assert opened(tmp_path / "run") == whole


def test_an_export_has_them_too(tmp_path, settings):
    whole = start(settings, tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "exported", CONFIGS, build_network, save_weights("float32"))
    assert (tmp_path / "exported" / "char_ngrams.json").exists() and opened(tmp_path / "exported") == whole


def test_without_them_nothing_is_written(tmp_path, settings):
    settings = settings._replace(data=settings.data.replace(char_ngrams=""))
    start_run(settings, build_network, tmp_path / "run", log=len)
    assert not (tmp_path / "run" / "char_ngrams.json").exists()
    vocabulary = open_run(tmp_path / "run", CONFIGS, build_network).vocabulary
    assert vocabulary.char_ngrams is None and vocabulary.size() == vocabulary.first_char_ngram()
