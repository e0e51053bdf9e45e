"""The runs of a study are three networks, and differ in nothing that concerns the data or its order."""

import pytest

from engine.support.errors import UserError
from layers.experiments.study.plan import RUNS, plan
from layers.networks import TransformerConfig, WaveNetworkConfig


def test_the_runs_share_data_order_and_width():
    runs = plan({})
    assert list(runs) == list(RUNS) == ["interference", "modulation", "transformer"]
    assert len({settings.data for settings in runs.values()}) == 1
    assert len({settings.training.replace(learning_rate=0.0) for settings in runs.values()}) == 1
    assert len({(s.network.dimension, s.network.embedding_scale) for s in runs.values()}) == 1
    assert [s.network.label() for s in runs.values()] == list(RUNS)
    assert all(s.training.patience == 0 for s in runs.values())  # else one of them might stop early


@pytest.mark.parametrize("dimension, heads", [(128, 2), ("768", 12), (48, 1), (1, 1)])
def test_everything_goes_with_the_dimension(dimension, heads):
    runs, d = plan({"dimension": dimension}), int(dimension)
    wave = {"dimension": d, "hidden": d, "readout": "magnitude", "embedding_scale": 0.02}
    for name in ("interference", "modulation"):
        assert runs[name].network == WaveNetworkConfig(operation=name, **wave)
    assert runs["transformer"].network == TransformerConfig(dimension=d, hidden=4 * d, heads=heads, blocks=1)


def test_a_field_is_set_in_all_runs_that_have_it_or_in_one():
    runs = plan(
        {"epochs": "2"},
        [("batch_size", "8"), ("readout", "both"), ("transformer.learning_rate", "0.5"), ("hidden", "7")],
    )
    assert {(s.training.epochs, s.training.batch_size, s.network.hidden) for s in runs.values()} == {(2, 8, 7)}
    assert [s.training.learning_rate for s in runs.values()] == [1e-3, 1e-3, 0.5]
    assert runs["modulation"].network.readout == "both"
    assert list(plan({}, runs=["transformer"])) == ["transformer"]


ORDER = "^--set modulation.batch_size: all runs see the same texts in the same order; leave out modulation"
APART = "is what tells the runs apart; choose with --runs among interference,"


@pytest.mark.parametrize("fields, assignments, runs, words", [
    ({}, [], ["wave"], "^--runs wave: is none of the runs interference, modulation, correlation, transformer$"),
    ({}, [("tree.epochs", "1")], RUNS, "^--set tree.epochs: is of no run"),
    ({}, [("interference.epochs", "1")], ["modulation"],
     "^--set interference.epochs: is of no run; the runs are modulation"),
    ({}, [("modulation.batch_size", "1")], RUNS, ORDER),
    ({}, [("modulation.max_tokens", "9")], RUNS, "^--set modulation.max_tokens: all runs see"),
    ({}, [("operation", "modulation")], RUNS, f"^--set operation: {APART}"),
    ({}, [("interference.operation", "modulation")], RUNS, f"^--set interference.operation: {APART}"),
    ({}, [("epoch", "1")], RUNS, "^unknown field 'epoch'"),
    ({}, [("modulation.norm_epsilon", "1")], RUNS,
     "^norm_epsilon: is a field of model transformer|^unknown field 'norm_epsilon'"),
    ({"dimension": "wide"}, [], RUNS, "^dimension: expected a whole number from 1 to 1000000, got 'wide'"),
    ({"dimension": "-3"}, [], RUNS, "^dimension: expected a whole number from 1 to 1000000, got '-3'"),
    ({"dimension": "0"}, [], RUNS, "^dimension: expected a whole number from 1 to 1000000, got '0'"),
])  # fmt: skip
def test_bad_input_is_named(fields, assignments, runs, words):
    with pytest.raises(UserError, match=words):
        plan(fields, assignments, runs)
