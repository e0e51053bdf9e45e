"""The benchmark's PyTorch network computes what ours does: else the race would be between different things."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from layers.experiments.benchmark import workloads
from layers.experiments.benchmark.contestants import contestant
from layers.experiments.benchmark.processes import peak_memory_of_training
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from tests.support import torch_twins as twins
from tests.support.torch_twins import F, torch

peer = pytest.importorskip("layers.experiments.benchmark.torch_peer", reason="PyTorch is not installed")
LENGTHS = [4, 9, 2, 7]
SENTENCES = np.array([0, 2, 4, 9, 13, 15, 22])  # of two tokens and more


@pytest.fixture
def exact(monkeypatch):
    """Without the ε that autograd needs at singular points, of which these batches have none."""
    monkeypatch.setattr(peer, "EPSILON", 0.0)


@pytest.mark.parametrize("real_pairs", [False, True], ids=["complex", "pairs"])
@pytest.mark.parametrize("name", workloads.NETWORKS)
def test_logits_and_every_gradient_agree(name, real_pairs, exact):
    fields = {**workloads.NETWORKS[name], "dimension": 6, "hidden": 5 if workloads.NETWORKS[name]["hidden"] else 0}
    network = WaveNetwork(WaveNetworkConfig(**fields), 50, 3, dtype=np.float64)
    batch = example_batch(50, 3, LENGTHS)._replace(sentence_offsets=SENTENCES)
    loss, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    twin = peer.PeerNetwork(network, real_pairs)
    ids, mask, *numbers = peer.padded(batch, any(twin.by_sentence))
    logits = twin(ids, mask.double(), *numbers)
    F.cross_entropy(logits, torch.from_numpy(batch.labels)).backward()
    twins.assert_close(logits, cache.logits, 1e-10)
    block = network.blocks[0]
    pairs = [
        (network.embedding.table, twin.embedding.weight),
        (block.first_variant.weight, twin.first.weight.T),
        (block.second_variant.bias, twin.second.bias),
    ]
    pairs += [(network.classifier.weight, twin.classifier.weight.T), (block.wave_norm.gain, twin.wave_norm.weight)]
    gradients = dict(zip(map(id, twin.parameters()), (p.grad for p in twin.parameters())))
    for ours, theirs in pairs:
        base = theirs if theirs.is_leaf else theirs._base
        grad = gradients[id(base)]
        twins.assert_close(ours.dense_grad(), grad if theirs.is_leaf else grad.T, 1e-9)


def test_padding_changes_nothing(exact):
    network = WaveNetwork(
        WaveNetworkConfig(**{**workloads.NETWORKS["paper"], "dimension": 6, "hidden": 5}), 50, 3, dtype=np.float64
    )
    twin, batch = peer.PeerNetwork(network), example_batch(50, 3, LENGTHS)
    ids, mask = peer.padded(batch)
    assert ids.shape == (4, 9) and mask.sum(dim=1).tolist() == LENGTHS
    together = twin(ids, mask.double())
    for t, (a, b) in enumerate(zip(batch.offsets, batch.offsets[1:])):
        alone = RaggedBatch(batch.ids[a:b], np.array([0, b - a]), batch.labels[t : t + 1])
        ids, mask = peer.padded(alone)
        twins.assert_close(twin(ids, mask.double())[0], together[t], 1e-12)


def test_both_learn_alike_with_their_own_optimizers():
    network = WaveNetwork(WaveNetworkConfig(**{**workloads.NETWORKS["d128"], "dimension": 8}), 50, 3)
    engines = {kind: contestant(kind, network, "cpu") for kind in ("peer", "ours")}  # ours changes the network's arrays
    batch = example_batch(50, 3, LENGTHS)
    losses = {kind: [float(engine.train_step(batch)) for _ in range(5)] for kind, engine in engines.items()}
    np.testing.assert_allclose(losses["ours"], losses["peer"], rtol=2e-3)
    assert losses["ours"][-1] < losses["ours"][0]
    np.testing.assert_allclose(*(engine.probabilities(batch) for engine in engines.values()), atol=2e-3)


def test_a_compiled_peer_learns_as_an_eager_one_does(monkeypatch):
    made = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: made.append("reset"))
    monkeypatch.setattr(torch, "compile", lambda network, **options: made.append(options) or network)
    network = WaveNetwork(WaveNetworkConfig(**{**workloads.NETWORKS["paper"], "dimension": 8, "hidden": 5}), 50, 3)
    eager, compiled = peer.PeerTraining(network), peer.PeerTraining(network, compiled=True)
    assert made == ["reset", {"backend": "inductor"}]
    assert not eager.optimizer.defaults["fused"] and compiled.optimizer.defaults["fused"]
    batch = example_batch(50, 3, LENGTHS)
    losses = [compiled.train_step(batch) for _ in range(3)]
    assert all(isinstance(loss, torch.Tensor) and loss.shape == () and not loss.requires_grad for loss in losses)
    np.testing.assert_allclose(
        [loss.item() for loss in losses], [eager.train_step(batch).item() for _ in range(3)], rtol=1e-5
    )


def test_parameters_and_batches_go_to_the_device_of_the_peer():
    network = WaveNetwork(WaveNetworkConfig(**{**workloads.NETWORKS["paper"], "dimension": 4, "hidden": 4}), 9, 3)
    training = peer.PeerTraining(network, device="meta")  # has shapes, but no numbers
    assert {parameter.device.type for parameter in training.network.parameters()} == {"meta"}
    assert {tensor.device.type for tensor in training.on_device(*peer.padded(example_batch(9, 3, LENGTHS)))} == {"meta"}


def test_a_network_that_the_peer_cannot_be_is_refused():
    with pytest.raises(ValueError, match="magnitude readout"):
        peer.PeerNetwork(WaveNetwork(WaveNetworkConfig(dimension=4, readout="both"), 9, 3))


@pytest.mark.parametrize("engine", ["ours", "peer"])
def test_the_memory_of_a_process_is_measured_there(engine):
    """The table of 30,522 rows and its two moments take 46 MiB at d = 128, whatever else there is."""
    batch = example_batch(1000, 3, np.random.default_rng(0).integers(1, 9, 600))
    texts = workloads.Texts(batch, batch, 3, None)
    bytes_ = peak_memory_of_training(engine, "d128", texts)
    assert 15 * 2**20 < bytes_ < 4 * 2**30
