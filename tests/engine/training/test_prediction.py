"""Predictions of trained runs, alone and together, from weights that stay in their files."""

import mmap
import os

import numpy as np
import pytest
import safetensors.numpy

from engine.support.errors import UserError
from engine.training import config as config_module
from engine.training import prediction as prediction_module
from engine.training.evaluation import predict_probabilities
from engine.training.prediction import Predictor
from engine.training.run_settings import build_settings
from engine.training.session import start_run
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, build_network
from tests.support.encoding import encode

SMALL = {"dimension": 6, "hidden": 6, "batch_size": 8, "learning_rate": 0.02, "validation_fraction": 0.2, "epochs": 1}
DIFFERENT = [
    {"seed": 0, "vocabulary_size": 200, "threads": 1},
    {
        "seed": 1,
        "tokens": "words",
        "ngrams": 2,
        "affixes": True,
        "hidden": 0,
        "readout": "magnitude",
        "wave_residual": False,
    },
    {"seed": 2, "vocabulary_size": 60, "model": "transformer", "heads": 2, "threads": 2},
]
TEXTS = ["red green", "", "one two three sea one", "blue", "unheard words", *["red sea one"] * 30]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of three runs of one corpus, with networks, vocabularies and threads of their own."""
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(0)
    topics = {"a": "red green blue sea".split(), "b": "one two three sea".split()}
    rows = [(label, " ".join(rng.choice(topics[label], 4))) for label in ["a", "b"] * 20]
    (folder / "train.tsv").write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    for number, fields in enumerate(DIFFERENT):
        settings = build_settings(CONFIGS, {**SMALL, **fields}, {"train_file": str(folder / "train.tsv")})
        start_run(settings, build_network, folder / str(number), log=len)
    return [folder / str(number) for number in range(len(DIFFERENT))]


def alone(path):
    """The probabilities of a run for TEXTS."""
    run = open_run(path, CONFIGS, build_network)
    return predict_probabilities(run.network, encode(run.vocabulary, TEXTS, run.settings.data.max_tokens))


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_probabilities_are_the_mean_of_those_of_each_run(runs, monkeypatch, batch):
    """However they are batched, together or text by text."""
    monkeypatch.setattr(prediction_module, "BATCH", batch)
    expected = np.mean([alone(path) for path in runs], axis=0, dtype=np.float64)
    with Predictor(runs, CONFIGS, build_network) as predictor:
        assert predictor.classes == ["a", "b"]
        assert np.allclose(predictor.probabilities(TEXTS), expected, rtol=1e-5)
        each = [predictor.probabilities([text])[0] for text in TEXTS]
        assert np.allclose(each, expected, rtol=1e-5)


@pytest.mark.parametrize("count, threads", [(1, min(2, os.cpu_count())), (2, 1), (3, 1)])
def test_blocks_come_in_order(runs, count, threads):
    """Runs of different threads cannot be computed side by side."""
    blocks = [TEXTS[:1], TEXTS[1:4], TEXTS[4:], ["red"]] * 3
    with Predictor(runs[:count], CONFIGS, build_network) as predictor:
        assert predictor.threads() == threads
        found = list(predictor.of_blocks(blocks))
        assert [texts for texts, _ in found] == blocks
        for texts, probabilities in found:
            assert np.array_equal(probabilities, predictor.probabilities(texts))


def test_each_run_keeps_to_its_threads(runs, monkeypatch, threads_of_blas):
    """Those of the first are set once, not for every text."""
    used, set_to = [], []
    predict, blas_threads = prediction_module.predict_probabilities, config_module.blas_threads
    monkeypatch.setattr(
        prediction_module, "predict_probabilities", lambda *given: used.append(threads_of_blas()) or predict(*given)
    )
    monkeypatch.setattr(config_module, "blas_threads", lambda count: set_to.append(count) or blas_threads(count))
    with Predictor([runs[0], runs[2]], CONFIGS, build_network) as predictor:
        predictor.probabilities(TEXTS)
        predictor.probabilities(TEXTS)
    assert used == [{1}, {2}] * 2 or used == [set()] * 4  # no BLAS that threadpoolctl knows
    assert set_to == [1, 2, 2]


class NoNumbers:
    def __init__(self, *_):
        raise AssertionError("a random number was asked for")


def test_a_run_is_opened_without_random_numbers(runs, monkeypatch):
    monkeypatch.setattr("layers.networks.parts.random_generator", NoNumbers)
    for path in runs:
        alone(path)
    with pytest.raises(AssertionError, match="a random number"):
        build_network(CONFIGS["wave"](), 9, 2)


def test_weights_stay_in_their_file(runs):
    """No array is a copy."""
    for path in runs:
        for name, parameter in open_run(path, CONFIGS, build_network).network.parameters().items():
            assert isinstance(parameter.value.base, mmap.mmap), name


def test_opened_weights_may_be_changed_and_the_file_stays(runs):
    """By those who go on with a network."""
    (file,) = (runs[0] / "checkpoints" / "best").glob("weights-*")
    before = file.read_bytes()
    network = open_run(runs[0], CONFIGS, build_network).network
    for parameter in network.parameters().values():
        parameter.value += 1
    assert file.read_bytes() == before
    expected = safetensors.numpy.load(before)
    assert all(np.array_equal(p.value, expected[name] + 1) for name, p in network.parameters().items())


def test_an_open_run_does_not_notice_that_its_files_are_replaced(runs, tmp_path):
    """As when it is trained once more meanwhile."""
    expected = alone(runs[0])
    with Predictor(runs[:1], CONFIGS, build_network) as predictor:
        (file,) = (runs[0] / "checkpoints" / "best").glob("weights-*")
        kept = file.read_bytes()
        zeros = {name: np.zeros_like(array) for name, array in safetensors.numpy.load(kept).items()}
        safetensors.numpy.save_file(zeros, tmp_path / "zeros")
        os.replace(tmp_path / "zeros", file)
        try:
            assert np.allclose(predictor.probabilities(TEXTS), expected, rtol=1e-5)
            with pytest.raises(UserError, match="is damaged"):
                Predictor(runs[:1], CONFIGS, build_network)
        finally:
            file.write_bytes(kept)
