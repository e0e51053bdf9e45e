"""A step in shards is that of the whole batch; trainings on ranks that are threads have the same bits for any number.

What only processes of MPI can show stands in test_mpi.py.
"""

import json
import signal

import numpy as np
import pytest

from engine.arrays.backend import random_generator
from engine.layer import RowSparse
from engine.support.errors import UserError
from engine.training import shards as shards_module
from engine.training.adamw import AdamW
from engine.training.interrupt import Interrupted
from engine.training.reduce import ALONE, RankFailed
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import build_settings, check_ranks, for_ranks, pinned
from engine.training.shards import ShardGenerator, bounds_of, own_shards, prepared_shards, update_in_shards
from engine.training.step import NotFinite, update
from engine.training.trainer import Trainer
from layers.networks import CONFIGS, PlannedWaveNetwork, TransformerConfig, WaveNetworkConfig, build_network
from tests.engine.training.test_trainer import CLASSES, DATA, NETWORK, TRAINING, VOCABULARY, texts
from tests.support.thread_ranks import ThreadRanks, on_ranks

KEY = (0, 103, 1)


@pytest.mark.parametrize("before", [0, 1, 2, 7, 64])
def test_a_token_is_dropped_in_a_shard_as_in_the_whole_batch(before):
    whole = np.random.default_rng(KEY).random(100, dtype=np.float32)
    assert np.array_equal(ShardGenerator(KEY, 3, before).random(20), whole[before : before + 20])


def test_other_dropout_differs_between_shards():
    one, other = (ShardGenerator(KEY, number, 5).random((4, 3)) for number in (0, 1))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, ShardGenerator(KEY, 0, 9).random((4, 3)))


@pytest.mark.parametrize("texts, bounds", [(8, [0, 2, 4, 6, 8]), (9, [0, 2, 4, 6, 9]), (1, [0, 0, 0, 0, 1])])
def test_texts_are_dealt_out_evenly(texts, bounds):
    assert bounds_of(texts, 4) == bounds


NETWORKS = {
    "magnitude": WaveNetworkConfig(dimension=4, hidden=0, readout="magnitude", wave_residual=False, token_dropout=0.5),
    "heads": WaveNetworkConfig(
        dimension=4, hidden=0, readout="magnitude", wave_residual=False, token_dropout=0.5, heads=2
    ),
    "positions": WaveNetworkConfig(dimension=4, hidden=3, position_encoding="learned", token_dropout=0.5),
    "shortcut": WaveNetworkConfig(dimension=4, hidden=0, shortcut="naive-bayes", token_dropout=0.5),
    "transformer": TransformerConfig(dimension=4, heads=2, hidden=3, positions=16, dropout=0.0),
}


@pytest.mark.parametrize("weights", [None, np.array([0.25, 1.0, 4.0])], ids=["plain", "weighted"])
@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_in_shards_is_that_of_the_whole_batch(name, count, weights):
    """Loss, norm, gradient and hits, the same tokens dropped; of six texts, so that some of eight shards are empty."""
    data = texts(6, 3)
    whole, cut = (build_network(NETWORKS[name], VOCABULARY, len(CLASSES), 1) for _ in range(2))
    for network in (whole, cut):
        network.class_weights = weights
        for parameter in network.parameters().values():
            parameter.value = parameter.value.astype(np.float64)
        if hasattr(network, "learn_counts"):
            network.learn_counts(data)
    expected = update(whole, AdamW(whole.parameters()), data, random_generator(*KEY), 0.0, 0.0)
    batch = prepared_shards(cut, data, np.arange(6), KEY, count, ALONE, "cpu")
    assert len(batch.shards) == min(6, count) and (batch.texts, batch.tokens) == (6, len(data.ids))
    done = update_in_shards(cut, AdamW(cut.parameters()), batch, 0.0, 0.0, ALONE)
    assert done.loss == pytest.approx(float(expected.loss), rel=1e-13)
    assert done.norm == pytest.approx(expected.norm, rel=1e-12)
    assert done.hits == (expected.cache.logits.argmax(axis=1) == data.labels).sum()
    for (name, one), other in zip(whole.parameters().items(), cut.parameters().values()):
        assert type(one.grad) is type(other.grad)
        if isinstance(one.grad, RowSparse):
            assert np.array_equal(one.grad.rows, other.grad.rows)
        assert np.allclose(one.dense_grad(), other.dense_grad(), rtol=0, atol=1e-13), name


def test_only_the_texts_of_a_rank_are_read(monkeypatch):
    taken = []
    take = shards_module.take
    monkeypatch.setattr(shards_module, "take", lambda data, rows: taken.append(rows.tolist()) or take(data, rows))
    ranks = ThreadRanks(1, 2, None)
    network = PlannedWaveNetwork(NETWORK, VOCABULARY, len(CLASSES))
    batch = prepared_shards(network, texts(8, 3), np.array([7, 0, 3, 5, 1, 2]), KEY, 4, ranks, "cpu")
    assert list(batch.shards) == list(own_shards(ranks, 4)) == [2, 3]
    assert taken == [[5], [1, 2]]


@pytest.mark.parametrize("bad", [0, 3])
def test_a_number_that_is_not_finite_stops_all_ranks(bad):
    """And nothing is updated, whichever rank has it."""

    class Broken(PlannedWaveNetwork):
        shard = 0

        def loss_forward(self, batch, train=False, rng=None):
            loss, cache = super().loss_forward(batch, train, rng)
            return (loss * np.nan if rng is not None and self.broken(rng) else loss), cache

        def broken(self, rng):
            return np.array_equal(rng.of_shard.bit_generator.seed_seq.entropy, [*KEY, bad])

    def run(ranks):
        network = Broken(NETWORKS["magnitude"], VOCABULARY, len(CLASSES))
        before = {name: p.value.copy() for name, p in network.parameters().items()}
        optimizer = AdamW(network.parameters())
        batch = prepared_shards(network, texts(8, 3), np.arange(8), KEY, 4, ranks, "cpu")
        try:
            update_in_shards(network, optimizer, batch, 0.1, 1.0, ranks)
        except NotFinite as error:
            assert not optimizer.state
            assert all(np.array_equal(before[name], p.value) for name, p in network.parameters().items())
            return error.what
        return "nothing was raised"

    assert on_ranks(2, run) == ["the loss is nan"] * 2


def trained(folder, ranks=ALONE, embedding_update="lazy", hook=None, resume=False, config=NETWORK, **changes):
    """What a training with four shards leaves in its folder, and its best weights."""
    run = RunDirectory(folder)
    run.path.mkdir(exist_ok=True)
    network = PlannedWaveNetwork(config, VOCABULARY, len(CLASSES), TRAINING.seed)
    network.class_weights = np.array([0.5, 1.0, 2.0], np.float32)
    network.loss_forward = hooked(network.loss_forward, hook)
    training = TRAINING.replace(shards=4, epochs=2, embedding_update=embedding_update, **changes)
    trainer = Trainer(network, training, DATA, run, ranks=ranks)
    if resume:
        trainer.resume()
    trainer.train()
    trainer.load_best()
    return left_in(folder), {name: p.value.tobytes() for name, p in trainer.parameters.items()}


def hooked(loss_forward, hook):
    calls = []

    def run(batch, train=False, rng=None):
        calls.append(batch)
        if hook:
            hook(len(calls))
        return loss_forward(batch, train, rng)

    return run


def left_in(folder):
    """Checkpoints as bytes, and the metrics but for the clock's."""
    files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.safetensors")}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return files, [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in lines]


@pytest.mark.parametrize("shortcut", ["none", "naive-bayes"])
@pytest.mark.parametrize("embedding_update", ["lazy", "dense"])
def test_a_training_has_the_same_bits_on_any_number_of_ranks(tmp_path, embedding_update, shortcut):
    """Checkpoints, metrics and best weights, with all kinds of dropout; the last batch of an epoch has three texts."""
    chosen = {"embedding_update": embedding_update, "config": NETWORK.replace(shortcut=shortcut)}
    expected = trained(tmp_path / "alone", ALONE, **chosen)
    for size in (2, 4):
        found = on_ranks(size, lambda ranks: trained(tmp_path / str(ranks.size), ranks, **chosen))
        assert all(weights == expected[1] for _, weights in found)
        assert left_in(tmp_path / str(size)) == expected[0]


class Caught(ThreadRanks):
    """A rank, of which the last one catches a signal after some forward passes."""

    def __init__(self, ranks, passes):
        super().__init__(ranks.rank, ranks.size, ranks.shared)
        self.passes = passes

    def caught(self, number):
        return super().caught(signal.SIGTERM if self.rank == self.size - 1 and len(self.passes) > 4 else number)


@pytest.mark.parametrize("sizes", [(2, 4), (4, 1), (1, 2)])
def test_a_stopped_training_continues_on_other_ranks(tmp_path, sizes):
    """A signal that one rank catches stops all at one step; the bits are those of a training that went through."""
    expected = trained(tmp_path / "whole")[0]
    folder = tmp_path / "cut"

    def stopped(ranks):
        passes = []
        try:
            trained(folder, Caught(ranks, passes), hook=passes.append)
        except Interrupted as stop:
            return stop.exit_code
        return None

    first = on_ranks(sizes[0], stopped)
    assert first == [143] * sizes[0]
    state = json.loads((folder / "checkpoints" / "last" / "state.json").read_text())
    assert 0 < state["step"] < 10
    if sizes[1] == 1:
        trained(folder, resume=True)
    else:
        on_ranks(sizes[1], lambda ranks: trained(folder, ranks, resume=True))
    assert left_in(folder) == expected


def test_an_error_of_one_rank_ends_all_and_is_saved_before(tmp_path):
    folder = tmp_path / "run"

    def run(ranks):
        def hook(calls):
            if calls == 12 and ranks.rank == 1:
                raise MemoryError("no more")

        return trained(folder, ranks, hook=hook)

    root, other = on_ranks(2, run)
    assert isinstance(root, RankFailed) and isinstance(other, MemoryError)
    assert json.loads((folder / "checkpoints" / "last" / "state.json").read_text())["step"] == 5
    trained(folder, resume=True)
    assert left_in(folder) == trained(tmp_path / "whole")[0]


@pytest.mark.parametrize("shards, size, expected", [(0, 1, 0), (0, 2, 2), (4, 2, 4), (4, 1, 4)])
def test_the_number_of_shards_belongs_to_the_run(shards, size, expected):
    """It is that of the ranks unless it is given; shards are computed with one thread."""
    settings = build_settings(CONFIGS, {"shards": shards})
    found = pinned(for_ranks(settings, size)).training
    assert (found.shards, found.threads) == (expected, 1 if expected else 0)


@pytest.mark.parametrize("shards, size", [(3, 2), (1, 2), (2, 4)])
def test_ranks_must_divide_the_shards(shards, size):
    settings = build_settings(CONFIGS, {"shards": shards})
    message = f"expected a multiple of the number of ranks, {size}, got {shards}; start a number of ranks"
    with pytest.raises(UserError, match=message):
        for_ranks(settings, size)
    with pytest.raises(UserError, match=f"^runs/a: shards: {message}"):
        check_ranks(settings, size, "runs/a")


def test_a_run_of_one_process_has_one_shard():
    with pytest.raises(UserError, match="a multiple of the number of ranks, 2, got 1"):
        check_ranks(build_settings(CONFIGS, {}), 2, "runs/a")
