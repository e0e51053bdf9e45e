"""Word vectors as the start of a training: which rows change, which stay, and what a run keeps to be resumed."""

import gzip
import shutil
import threading

import numpy as np
import pytest

from engine.layer import Parameter, RowSparse
from engine.support.errors import UserError
from engine.training import start_vectors
from engine.training import trainer as trainer_module
from engine.training.checkpoint import load_checkpoint
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import Choices, layered_settings
from engine.training.session import network_for, prepare_again, resume_run, start_run
from engine.training.start_vectors import StartVectors, place_vectors
from engine.training.trained_run import open_run
from layers.networks import CONFIGS, DEFAULTS, PRESETS, build_network
from tests.engine.training.test_session import SMALL, settings  # noqa: F401 (a fixture)
from tests.support.thread_ranks import ThreadRanks

CHOICES = Choices(CONFIGS, PRESETS, DEFAULTS)
KNOWN = ["red", "green", "one", "unheard"]
VALUES = np.random.default_rng(1).standard_normal((len(KNOWN), 6)).astype(np.float32)


@pytest.fixture
def started(tmp_path, settings):  # noqa: F811
    """started(name="run", **fields) → (path of a finished run that began from word vectors, its result, lines told)."""
    path = tmp_path / "vectors.vec.gz"
    rows = (f"{word} {' '.join(map(repr, row.tolist()))}\n" for word, row in zip(KNOWN, VALUES))
    path.write_bytes(gzip.compress("".join([f"{len(KNOWN)} 6\n", *rows]).encode()))

    def start(name="run", **fields):
        files = {name: getattr(settings.data, name) for name in ("train_file", "test_file")}
        first = {"vectors": str(path), "tokens": "words", "weight_decay": 0.1}
        given = layered_settings(CHOICES, "quick", [SMALL, files, first | fields])
        lines = []
        result = start_run(given, build_network, tmp_path / name, log=lines.append)
        return tmp_path / name, result, lines

    start.file = path
    return start


def weights_of(path, folder="last"):
    return load_checkpoint(path / "checkpoints" / folder, ("weights",))[1]["weights"]


def at_the_start(path):
    """(table of a run's network before its training, table without vectors, ids of the covered rows)."""
    run, directory = open_run(path, CONFIGS, build_network), RunDirectory.open(path)
    network = network_for(run.settings, build_network, prepare_again(run.settings, directory))
    plain = network.embedding.table.value.copy()
    ids = [run.vocabulary.tokenizer.token_to_id(word) for word in KNOWN[:-1]]
    return plain, np.array(ids), run.settings.network.embedding_scale


@pytest.mark.parametrize("freeze, more", [(False, {}), (True, {}), (True, {"implementation": "check"})])
def test_frozen_rows_stay_and_all_others_learn(started, freeze, more):
    """Frozen rows have the bits of the start, also under weight decay; rows that no file covers are trained."""
    path, _, lines = started(freeze_vectors=freeze, **more)
    assert any(line.startswith("vectors: 3 of 6 words, ") for line in lines), lines
    plain, ids, scale = at_the_start(path)
    factor = scale / np.sqrt(np.mean(np.square(VALUES[:-1], dtype=np.float64)))
    expected = (VALUES[:-1] * factor).astype(np.float32)
    assert np.sqrt(np.mean(expected**2)) == pytest.approx(scale, rel=1e-6)
    table = weights_of(path)["embedding.table"]
    assert np.array_equal(table[ids], expected) == freeze
    others = np.setdiff1d(np.arange(len(table)), ids)
    assert (table[others] != plain[others]).any(axis=1).all()


def test_rows_without_a_vector_are_those_of_the_seed(started, monkeypatch):
    """Nothing else of the network changes: neither the other rows nor the other parameters."""
    seen = []
    monkeypatch.setattr(
        trainer_module.Trainer,
        "train_epoch",
        lambda self, watch: seen.append({n: p.value.copy() for n, p in self.parameters.items()}) or 1 / 0,
    )
    for vectors in ("", str(started.file)):
        with pytest.raises(ZeroDivisionError):
            started(f"run{len(seen)}", vectors=vectors)
    without, with_them = seen
    changed = {name for name in without if not np.array_equal(without[name], with_them[name])}
    assert changed == {"embedding.table"}
    rows = (without["embedding.table"] != with_them["embedding.table"]).any(axis=1)
    assert rows.sum() == 3


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("saved", [True, False])
def test_a_run_is_resumed_without_the_file(started, monkeypatch, freeze, saved):
    """Bit for bit, interrupted after or before its first checkpoint, though the file has gone."""
    path, result, _ = started(freeze_vectors=freeze)

    def stop(self, *given, train_step=trainer_module.Trainer.train_step):
        train_step(self, *given)
        if self.progress.step == 6:
            if saved:
                self.save_last()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer_module.Trainer, "train_step", stop)
        with pytest.raises(KeyboardInterrupt):
            started("stopped", freeze_vectors=freeze)
    stopped = path.with_name("stopped")
    if not saved:
        shutil.rmtree(stopped / "checkpoints")
    started.file.unlink()
    again = resume_run(stopped, CONFIGS, build_network, log=lambda line: None)
    assert again["validation_accuracy"] == result["validation_accuracy"]
    expected, found = (weights_of(each) for each in (path, stopped))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    open_run(stopped, CONFIGS, build_network)


def test_other_vectors_do_not_resume_a_run(started):
    path, _, _ = started()
    (path / "result.json").unlink()
    other, _, _ = started("other", vectors=str(started.file), learning_rate=0.01)
    good, bad = (each / "vectors.safetensors" for each in (path, other))
    content = bytearray(good.read_bytes())
    content[-1] ^= 1
    bad.write_bytes(content)
    for change, message in (
        (lambda: shutil.copy(bad, good), "the vectors differs"),
        (lambda: good.write_bytes(b"x"), "cannot be read"),
        (good.unlink, "cannot be read"),
    ):
        change()
        with pytest.raises(UserError, match=message):
            resume_run(path, CONFIGS, build_network, log=lambda line: None)


def test_all_ranks_start_from_the_vectors_of_the_root(started, monkeypatch):
    """The root alone reads the file; the weights have the bits of a run on one rank."""
    path, _, _ = started(freeze_vectors=True, shards=2)
    given, read = open_run(path, CONFIGS, build_network).settings, []
    shared = threading.Barrier(2), [None, None]
    monkeypatch.setattr(
        start_vectors, "read_vectors", lambda *given, r=start_vectors.read_vectors: read.append(1) or r(*given)
    )
    threads = [
        threading.Thread(
            target=start_run,
            args=(given, build_network, path.with_name("ranks")),
            kwargs={"log": lambda line: None, "ranks": ThreadRanks(rank, 2, shared)},
        )
        for rank in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert read == [1]
    expected, found = (weights_of(each) for each in (path, path.with_name("ranks")))
    assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.parametrize("fields, words", [
    ({"dimension": 5}, ["vectors of 6 numbers", "dimension 5", "dimension=6"]),
    ({"vectors": "", "freeze_vectors": True}, ["freeze_vectors", "--vectors"]),
    ({"freeze_vectors": True, "embedding_update": "dense"}, ["freeze_vectors", "embedding_update=lazy"]),
])  # fmt: skip
def test_settings_that_do_not_fit(started, fields, words):
    with pytest.raises(UserError) as raised:
        started(**fields)
    assert all(word in str(raised.value) for word in words), raised.value


def test_the_dimension_is_that_of_the_file(started):
    fields = {name: value for name, value in SMALL.items() if name != "dimension"}
    found = layered_settings(CHOICES, None, [fields, {"vectors": str(started.file)}])
    assert found.network.dimension == 6 and found.data.vectors == str(started.file)


def test_a_network_without_a_table_is_told():
    class Settings:
        class network:
            model = "other"

    with pytest.raises(UserError, match="the network other has no single table"):
        start_vectors.embedding_table(object(), Settings)


def test_gradients_of_frozen_rows_are_not_kept():
    """They count neither in the norm nor anywhere else; a dense gradient is refused."""
    parameter = Parameter(np.zeros((4, 2)))
    parameter.frozen = np.array([False, True, False, True])
    for _ in range(2):
        parameter.accumulate(RowSparse(np.array([0, 1, 3]), np.ones((3, 2))))
    assert parameter.grad.rows.tolist() == [0] and parameter.grad.values.tolist() == [[2, 2]]
    with pytest.raises(ValueError, match="row-sparse"):
        parameter.accumulate(np.ones((4, 2)))


@pytest.mark.parametrize("model", ["wave", "transformer"])
def test_every_network_takes_vectors(model):
    more = {"heads": 2} if model == "transformer" else {}
    network = build_network(CONFIGS[model](dimension=4, hidden=4, **more), 5, 2)
    place_vectors(network, StartVectors(np.array([1, 3]), np.ones((2, 4), np.float32)), freeze=True)
    assert network.embedding_table() is network.embedding.table
    assert network.embedding.table.value[[1, 3]].tolist() == [[1] * 4] * 2
    assert network.embedding.table.frozen.tolist() == [False, True, False, True, False]
