"""The number of threads: bits are promised for equal numbers, and rounding alone may tell two numbers apart.

A matrix product that BLAS shares among threads sums in another order; the threads of this project change no bit.
"""

import pytest

from engine.arrays import backend
from engine.data import learning
from engine.training import config, prediction, trainer
from layers.networks import planned_heads
from tests.support.final_state import final_state
from tests.support.thread_runs import MOST, NETWORKS, difference_of, write_texts

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(tmp_path, run):
    """trained(name, network, threads) → the path of a run that was trained in one epoch."""
    words = write_texts(tmp_path)

    def train(name, network, threads):
        path = tmp_path / name
        code, _, err = run(*words, *NETWORKS[network], "--set", f"threads={threads}", "--output", path)
        assert code == 0, err
        return path

    return train


@pytest.mark.parametrize("network", NETWORKS)
def test_another_number_of_threads_rounds_otherwise(trained, network):
    """And one number of threads repeats every bit."""
    one, two, again = (trained(name, network, threads) for name, threads in (("one", 1), ("two", 2), ("again", 2)))
    assert final_state(two) == final_state(again)
    found = difference_of(one, two)
    assert all(found[name] <= MOST[name] for name in MOST), found


@pytest.mark.parametrize("network", NETWORKS)
def test_our_own_threads_change_no_bit(tmp_path, trained, run, monkeypatch, network):
    """Where BLAS has one: texts are encoded, batches made, heads and labels computed in one or in two."""
    states, labels = [], []
    for threads in (1, 2):
        with monkeypatch.context() as patch:
            for module in (config, planned_heads):
                patch.setattr(module, "blas_threads", lambda count: backend.blas_threads(1))
            for module in (learning, prediction, trainer, planned_heads):
                patch.setattr(module, "cores", lambda threads=threads: threads)
            path = trained(f"run {threads}", network, threads)
            assert run("predict", path, "--file", tmp_path / "test.tsv", "--output", tmp_path / "labels.jsonl")[0] == 0
        states.append(final_state(path))
        labels.append((tmp_path / "labels.jsonl").read_bytes())
        for cached in (tmp_path / "cache" / "tokens").iterdir():
            cached.rename(tmp_path / f"tokens {threads}")
    tokens = [{path.name: path.read_bytes() for path in (tmp_path / f"tokens {n}").iterdir()} for n in (1, 2)]
    assert states[0] == states[1] and labels[0] == labels[1] and tokens[0] == tokens[1]
