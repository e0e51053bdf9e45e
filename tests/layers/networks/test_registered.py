"""An operation and a readout that are registered at run time: a record each, and networks train with them at once."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.gradcheck import assert_gradients
from engine.implementation import ImplementationError
from engine.support.errors import UserError
from engine.support.implementation import using
from engine.training.adamw import AdamW
from engine.training.step import update
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig, build_network
from layers.networks.checked_wave_network import CheckedWaveNetwork
from layers.networks.costs import step_flops
from layers.networks.text_classifier import example_batch
from layers.wave import OPERATIONS, READOUTS, Operation, Readout, Wave
from tests.support.counted_arrays import Counted, counted_flops
from tests.support.small_networks import CLASSES, LENGTHS, VOCABULARY, gradient_report, stirred

KINDS = {"equations": WaveNetwork, "fast": PlannedWaveNetwork, "check": CheckedWaveNetwork}
every_implementation = pytest.mark.parametrize("implementation", KINDS)


def mean_forward(a, b):
    return Wave((a.re + b.re) * a.re.dtype.type(0.5), (a.im + b.im) * a.im.dtype.type(0.5)), None


def mean_backward(dz, cache):
    half = Wave(dz.re * dz.re.dtype.type(0.5), dz.im * dz.im.dtype.type(0.5))
    return half, half


def three_parts(z):
    """[re, im, re·im], (T, 3d)."""
    return np.concatenate([z.re, z.im, z.re * z.im], axis=1)


def three_parts_backward(dy, z, y):
    dre, dim, dproduct = np.split(dy, 3, axis=1)
    return Wave(dre + dproduct * z.im, dim + dproduct * z.re)


MEAN = Operation(
    "mean", mean_forward, mean_backward, "E0", "Z = (A + B)/2", "dA = dB = dZ/2",
    shares_magnitude=False, circle=(lambda G_a, G_b: (G_a + G_b) / 2, "(G + G′)/2"), flops=(4, 2),
)  # fmt: skip
THREE_PARTS = Readout(
    "three parts", three_parts, three_parts_backward, "y = [re, im, re im]", "dre = …", width=3, flops=(1, 4)
)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "mean", MEAN)
    monkeypatch.setitem(READOUTS, "three parts", THREE_PARTS)


def network_of(implementation="fast", dtype=np.float64, **fields):
    config = WaveNetworkConfig(dimension=4, hidden=5, operation="mean", readout="three parts").replace(**fields)
    with using(implementation):
        return stirred(build_network(config, VOCABULARY, CLASSES, dtype=dtype), np.random.default_rng(1))


@every_implementation
@pytest.mark.parametrize(
    "fields", [{}, {"operation": "modulation"}, {"readout": "magnitude", "scope": "text"}], ids=str
)
def test_it_trains_and_predicts(implementation, fields):
    """With what is known beside it, too; check mode compares each step with the readable network."""
    network = network_of(implementation, np.float32, **fields)
    assert type(network) is KINDS[implementation]
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    optimizer = AdamW(network.parameters())
    with using(implementation):
        losses = [update(network, optimizer, batch, np.random.default_rng(0), 0.02, 1.0).loss for _ in range(30)]
        p = network.probabilities(batch)
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("implementation", ["equations", "fast"])
def test_its_gradients_are_checked(implementation):
    network = network_of(implementation, blocks=2)
    batch = example_batch(VOCABULARY, CLASSES, LENGTHS)
    assert_gradients(gradient_report(network, batch, method="complex_step", tolerance=1e-11))


def test_a_wrong_backward_is_caught_by_gradcheck(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "mean", MEAN._replace(backward=lambda dz, cache: (dz, dz)))
    assert not gradient_report(network_of(), example_batch(VOCABULARY, CLASSES, LENGTHS)).ok


def test_check_mode_notices_where_the_networks_differ(monkeypatch):
    """A shared magnitude that is none: the planned network takes E17, the readable one the record's own operation."""
    monkeypatch.setitem(OPERATIONS, "mean", MEAN._replace(shares_magnitude=True))
    network = network_of("check", readout="magnitude")
    _, cache = network.loss_forward(example_batch(VOCABULARY, CLASSES, LENGTHS))
    with pytest.raises(ImplementationError, match="^network: "):
        network.loss_backward(cache)


@pytest.mark.parametrize("fields", [{}, {"blocks": 2, "wave_residual": False}], ids=str)
def test_its_operations_are_counted(monkeypatch, fields):
    monkeypatch.setenv("WAVE_C", "off")  # there they are not seen
    network = network_of(dtype=np.float32, **fields)
    batch = RaggedBatch(np.array([1, 2, 3, 5, 1, 4, 2, 6]), np.array([0, 4, 8]), np.array([0, 2]))
    for parameter in network.parameters().values():
        parameter.value = parameter.value.view(Counted)
    running = counted_flops(lambda: network.loss_forward(batch, train=True), network.loss_backward)
    assert step_flops(network, batch) == running


def test_other_names_are_still_refused(monkeypatch):
    assert WaveNetworkConfig(operation="mean").operation == "mean"
    with pytest.raises(UserError, match="^operation: expected one of interference, modulation, correlation, mean, got"):
        WaveNetworkConfig(operation="median")
    monkeypatch.delitem(READOUTS, "three parts")
    with pytest.raises(UserError, match="^readout: expected one of "):
        WaveNetworkConfig(readout="three parts")
