"""The readable network and the planned one compute the same: loss and every gradient, of every shape of network."""

import itertools

import numpy as np
import pytest

from engine.arrays.backend import same_stream
from layers.fast import FUNCTIONS
from layers.networks import PlannedWaveNetwork, WaveNetwork
from layers.networks.parts import twin
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES
from tests.support.small_networks import (
    CLASSES,
    DROPOUTS,
    VOCABULARY,
    assert_gradients_agree,
    covering,
    loss_and_gradients,
    network_of,
)

TOLERANCE = 1e-10
NAMES = ("operation", "readout", "scope", "pooling", "wave_residual", "hidden", "blocks")
CHOICES = [list(OPERATIONS), list(READOUTS), list(SCOPES), list(POOLINGS), [True, False], [0, 5], [0, 1, 2]]


def can_be(row):
    """Whether there is such a network: one that cannot see its text is refused."""
    fields = dict(zip(NAMES, row))
    shared = OPERATIONS[fields["operation"]].shares_magnitude and fields["readout"] == "magnitude"
    return not (shared and fields["scope"] == "text" and not fields["wave_residual"] and fields["blocks"])


EVERY = [row for row in itertools.product(*CHOICES) if can_be(row)]
GROUPS = [list(rows) for _, rows in itertools.groupby(EVERY, key=lambda row: row[:3])]
SOME = covering(CHOICES, 3, can_be)
IN_PAIRS = covering(CHOICES, 2, lambda row: can_be(row) and row[-1])
LENGTHS = [3, 1, 5, 8, 0]  # with repeated tokens, one token, and none
every_group = pytest.mark.parametrize("rows", GROUPS, ids=lambda rows: ", ".join(rows[0][:3]))
every_drop = pytest.mark.parametrize("dropout", [*({name: rate} for name, rate in DROPOUTS.items()), DROPOUTS], ids=str)


def both_networks(row, seed=0, **fields):
    """(planned, readable) networks of the same parameters."""
    planned = network_of(seed=seed, **dict(zip(NAMES, row)), **fields)
    return planned, twin(planned, WaveNetwork.functions, WaveNetwork)


def assert_agree(row, seed=0, lengths=LENGTHS, rng=None, **fields):
    """Loss and gradients of both networks in float64, with the same random numbers."""
    planned, readable = both_networks(row, seed, **fields)
    batch = example_batch(VOCABULARY, CLASSES, lengths, seed)
    expected_loss, expected = loss_and_gradients(readable, batch, same_stream(rng))
    loss, gradients = loss_and_gradients(planned, batch, same_stream(rng))
    assert abs(loss - expected_loss) <= TOLERANCE * abs(expected_loss)
    assert_gradients_agree(gradients, expected, TOLERANCE)


def test_the_subset_of_networks_covers_every_choice_of_three():
    for at in itertools.combinations(range(len(NAMES)), 3):
        assert {tuple(row[k] for k in at) for row in SOME} == {tuple(row[k] for k in at) for row in EVERY}
    assert len(SOME) < len(EVERY) / 4


@pytest.mark.parametrize("row", SOME, ids=str)
def test_both_networks_agree(row):
    assert_agree(row, seed=SOME.index(row))


@pytest.mark.thorough
@every_group
def test_both_networks_agree_on_every_shape(rows):
    for row in rows:
        for seed in range(2):
            assert_agree(row, seed)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0], [1, 1], [9]], ids=str)
@pytest.mark.parametrize("row", IN_PAIRS, ids=str)
def test_both_networks_agree_on_other_batches(row, lengths):
    assert_agree(row, lengths=lengths)


@every_drop
@pytest.mark.parametrize("row", IN_PAIRS, ids=str)
def test_both_networks_agree_under_dropout(row, dropout):
    assert_agree(row, lengths=[1, 8, 5, 0, 7], rng=np.random.default_rng(3), label_smoothing=0.1, **dropout)


@every_drop
@pytest.mark.parametrize("wave_residual", [True, False])
@pytest.mark.parametrize("hidden", [0, 5])
@pytest.mark.parametrize("operation", [name for name, record in OPERATIONS.items() if record.shares_magnitude])
def test_a_shared_magnitude_agrees_under_dropout(operation, hidden, wave_residual, dropout):
    """Where a text is one row until entries are dropped."""
    row = (operation, "magnitude", "dimension", "mean", wave_residual, hidden, 2)
    assert_agree(row, lengths=[1, 8, 5, 0, 7], rng=np.random.default_rng(3), **dropout)


@pytest.mark.thorough
@every_drop
@every_group
def test_both_networks_agree_under_dropout_on_every_shape(rows, dropout):
    for row in rows:
        assert_agree(row, lengths=[1, 8, 5, 0, 7], rng=np.random.default_rng(3), **dropout)


def assert_float32_agrees(row, seed):
    """Either network in float32 with the readable one in float64 of the same numbers, each gradient by its norm.

    In scope text the entries of a row differ little, and layer norm magnifies their rounding: up to some per cent of
    the gradient are lost, in both networks alike.
    """
    fields = dict(zip(NAMES, row))
    tolerance = 2e-5 if fields["scope"] == "dimension" else 0.05
    planned = network_of(seed=seed, dtype=np.float32, **fields)
    readable = twin(planned, WaveNetwork.functions, WaveNetwork)
    double = network_of(WaveNetwork, **fields)
    for name, parameter in planned.parameters().items():
        double.parameters()[name].value = parameter.value.astype(np.float64)
    batch = example_batch(VOCABULARY, CLASSES, [2, 9, 0, 4, 30], seed)
    expected_loss, expected = loss_and_gradients(double, batch)
    for network in (planned, readable):
        loss, gradients = loss_and_gradients(network, batch)
        assert loss.dtype == np.float32 and {g.dtype for g in gradients.values()} == {np.dtype(np.float32)}
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        assert_gradients_agree(gradients, expected, tolerance)


@pytest.mark.parametrize("row", SOME, ids=str)
def test_float32_agrees_with_float64(row):
    assert_float32_agrees(row, seed=0)


@pytest.mark.thorough
@every_group
def test_float32_agrees_with_float64_on_every_shape(rows):
    for row in rows:
        assert_float32_agrees(row, seed=1)


def test_a_twin_of_the_other_kind_has_its_functions():
    planned, readable = both_networks(EVERY[0])
    assert type(planned) is PlannedWaveNetwork and planned.functions is FUNCTIONS["fast"]
    assert type(readable) is WaveNetwork and readable.functions is WaveNetwork.functions
