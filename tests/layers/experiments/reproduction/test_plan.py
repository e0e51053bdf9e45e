"""Which networks are trained: each function once, of each corpus the part that its table asks for."""

import itertools

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.support.errors import UserError
from layers.experiments.reproduction.plan import OPERATIONS, TABLES, one_factor, plan_jobs, same_cells
from layers.experiments.reproduction.protocol import Protocol, Source, parse_files, settings_for, shares
from layers.networks import build_network

PROTOCOL = Protocol(["toy"], {}, seeds=2, share=0.5, fig7_share=0.1, dimension=8)
BATCH = RaggedBatch(
    np.array([1, 5, 6, 7, 5, 1, 8, 9, 3]), np.array([0, 5, 9]), np.array([0, 1]), np.array([0, 3, 5, 7, 9])
)


def logits(changes):
    """Logits (2, 2) of a new network for BATCH."""
    network = build_network(settings_for(PROTOCOL, {}, changes).network, 10, 2, seed=3)
    return network.loss_forward(BATCH, train=False, rng=None)[1].logits


@pytest.mark.parametrize("operation", OPERATIONS)
def test_same_cells_are_one_function(operation):
    """But for the dead half of a projection no others are, to the digits of float32."""
    cells, same = one_factor(operation, 8), same_cells(PROTOCOL, operation)
    outputs = {label: logits(changes) for label, changes in cells.items()}
    equal = {
        (a, b) for a, b in itertools.combinations(cells, 2) if np.allclose(outputs[a], outputs[b], rtol=1e-4, atol=1e-5)
    }
    first = {label: same.get(label, label) for label in cells}
    assert equal == {(a, b) for a, b in itertools.combinations(cells, 2) if first[a] == first[b]}
    assert same


def parts(share=0.5):
    return {
        "toy": {purpose: Source(s, {}, (1, 1)) for purpose, s in {**shares(PROTOCOL, 10**6), "share": share}.items()}
    }


def test_identical_cells_are_not_trained():
    jobs = plan_jobs(PROTOCOL, ["controls"], parts())
    distinct = sum(len(one_factor(name, 8)) - len(same_cells(PROTOCOL, name)) for name in OPERATIONS)
    assert len(jobs) == 2 * distinct and len({job.name for job in jobs}) == len(jobs)
    assert {job.share for job in jobs} == {0.5}


def test_tables_share_trainings():
    """Table 2 adds none to Table 1; with all rows the controls begin from the same two."""
    assert plan_jobs(PROTOCOL, ["1"], parts()) == plan_jobs(PROTOCOL, ["1", "2"], parts())
    both = len(plan_jobs(PROTOCOL, ["1", "controls"], parts(1.0)))
    assert both == len(plan_jobs(PROTOCOL, ["1", "controls"], parts())) - 4


def test_settings_follow_the_protocol():
    jobs = plan_jobs(PROTOCOL, TABLES, parts())
    assert all(job.settings.data.validation_fraction == 0.2 and job.settings.training.patience == 0 for job in jobs)
    found = {(job.kind, job.settings.training.batch_size, job.settings.training.epochs) for job in jobs}
    assert found == {("run", 64, 4), ("convergence", 64, 500), ("study", 32, 4), ("fig7", 64, 100)}
    rates = {(job.settings.network.model, job.settings.training.learning_rate) for job in jobs}
    assert rates == {("wave", 1e-3), ("transformer", 1e-3), ("transformer", 2e-4)}


@pytest.mark.parametrize("rows, share", [(1000, 1.0), (40_000, 1.0), (80_000, 0.5)])
def test_convergence_takes_rows_for_500_batches(rows, share):
    assert shares(PROTOCOL, rows)["convergence"] == pytest.approx(share)


def test_files_of_a_corpus(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text("1\tx\n")
    a, b, c = (str(tmp_path / name) for name in "abc")
    assert parse_files([f"x={a},{b}:{c}", f"y={a}:{c}"]) == {"x": [a, b, c], "y": [a, c]}


@pytest.mark.parametrize("text", ["", "x", "x=", "x=a", "=a:b", "x=a:", "x=a,:b", "a/b=a:b", "x=missing:missing"])
def test_bad_files(text):
    with pytest.raises(UserError, match="--files"):
        parse_files([text])
