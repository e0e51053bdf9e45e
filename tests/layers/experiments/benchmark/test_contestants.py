"""Contestants learn alike, or are left out with a note, or are a user error."""

import math
import types

import numpy as np
import pytest

from engine.support.errors import UserError
from layers.experiments.benchmark import contestants, workloads
from layers.experiments.benchmark.contestants import (
    OurTraining,
    equal_contestants,
    product_precision,
    require_finite,
    trial_batches,
    without_compiling,
)
from layers.experiments.benchmark.workloads import random_texts


@pytest.fixture
def compared(monkeypatch, Losing):
    """A function: losses of the contestants → what equal_contestants() makes of them."""

    def compare(**losses):
        monkeypatch.setattr(contestants, "contestant", lambda kind, network, device: Losing(losses[kind]))
        return equal_contestants(list(losses), None, "cpu", [None, None], "float32", "paper", "choose another")

    return compare


def test_engines_that_do_not_learn_alike_are_a_user_error(compared):
    engines, notes = compared(ours=[2.0, 1.0], peer=[2.0, 1.001])
    assert list(engines) == ["ours", "peer"] and not notes
    with pytest.raises(UserError, match="paper: the engines do not compute the same.*of peer.*; choose another"):
        compared(ours=[2.0, 1.0], peer=[2.0, 1.01])


def test_only_a_compiler_that_fails_is_left_out(compared):
    engines, notes = compared(ours=[2.0, 1.0], peer=[2.0, 1.0], compiled=[2.0, RuntimeError("no Triton\nmore")])
    assert list(engines) == ["ours", "peer"] and notes == [
        "torch.compile is left out in float32: RuntimeError: no Triton"
    ]
    with pytest.raises(RuntimeError, match="no memory"):
        compared(ours=[2.0, 1.0], peer=[RuntimeError("no memory")])


def test_trial_batches_meet_two_shapes_where_there_are_two(small):
    texts = random_texts(40, 0)
    batches = workloads.random_rows(texts, 4, 10)
    first, again, other = trial_batches(texts, batches)
    assert np.array_equal(first.ids, again.ids) and np.diff(first.offsets).max() != np.diff(other.offsets).max()
    assert len(trial_batches(texts, [batches[0], batches[0]])) == 2


def test_a_number_that_is_not_finite_is_a_user_error(small):
    ours = OurTraining(workloads.build("paper", 4), "cpu")
    engines = {"ours": ours, "peer": types.SimpleNamespace(has_stopped=lambda: False)}
    require_finite(engines, {"ours": np.float32(1)})
    with pytest.raises(UserError, match="peer: came to a number that is not finite.* the last loss is nan"):
        require_finite(engines, {"ours": np.float32(1), "peer": math.nan})
    ours.optimizer.control = np.array([1.0, 1.0, 0.0])
    require_finite(engines, {"ours": np.float32(1)})
    ours.optimizer.control[2] = 1  # as kernels leave it where they stop
    with pytest.raises(UserError, match="ours: came to a number that is not finite"):
        require_finite(engines, {"ours": np.float32(1)})


def test_an_epoch_ends_with_every_row_of_the_table_up_to_date(small):
    ours = OurTraining(workloads.build("paper", 4), "cpu")
    for seed in range(3):
        ours.train_step(random_texts(2, seed))
    last = ours.optimizer.state["embedding.table"]["last"]
    assert last.min() < 3
    ours.end_epoch()
    assert last.min() == last.max() == 3


def test_compiling_is_an_error_while_the_clock_runs(small, peer):
    training = peer.PeerTraining(workloads.build("paper", 4), compiled=True)
    batch = random_texts(2, 0)
    with without_compiling(["ours", "compiled"]), pytest.raises(RuntimeError, match="recompile"):
        training.train_step(batch)
    training.train_step(batch)
    with without_compiling(["ours", "compiled"]):
        assert peer.torch.isfinite(training.train_step(batch))


def test_only_the_compiled_contestant_is_compiled(small, peer):
    network = workloads.build("paper", 4)
    eager, compiled = (contestants.contestant(kind, network, "cpu") for kind in ("peer", "compiled"))
    assert eager.forward is eager.network and compiled.forward is not compiled.network


def test_the_precision_of_the_peer_holds_while_the_context_lasts(peer):
    before = peer.torch.get_float32_matmul_precision()
    with pytest.raises(UserError, match="tf32"), product_precision("tf32", "cpu", with_peer=True):
        pass
    with product_precision("float32", "cpu", with_peer=True):
        assert peer.torch.get_float32_matmul_precision() == "highest"
    with peer.product_precision("tf32"):
        assert peer.torch.get_float32_matmul_precision() == "high"
    assert peer.torch.get_float32_matmul_precision() == before
