"""Whole networks beside PyTorch's autograd: logits, loss and every gradient, in float64 to 1e-10 of each norm."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.arrays.backend import random_generator
from engine.arrays.ragged import RaggedBatch
from engine.support.errors import UserError
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig
from layers.networks.configs import ACTIVATIONS
from layers.networks.text_classifier import example_batch
from layers.standard.pooling import POOLINGS
from layers.wave import OPERATIONS, READOUTS, SCOPES
from tests.support import torch_twins as twins
from tests.support.examples import examples
from tests.support.small_networks import stirred
from tests.support.torch_twins import F, torch

VOCABULARY, CLASSES = 11, 3
FEED_FORWARDS = [(0, "gelu"), *((4, activation) for activation in ACTIVATIONS)]
RATES = {
    name: st.sampled_from([0.0, 0.3])
    for name in ("token_dropout", "embedding_dropout", "dropout", "classifier_dropout")
}
KINDS = (PlannedWaveNetwork, WaveNetwork)


def config_of(**fields):
    """The config, or None for a network that cannot see its text."""
    try:
        return WaveNetworkConfig(**fields)
    except UserError:
        return None


CONFIGS = st.builds(
    config_of,
    dimension=st.sampled_from([3, 6]),
    blocks=st.integers(0, 2),
    operation=st.sampled_from(list(OPERATIONS)),
    readout=st.sampled_from(list(READOUTS)),
    scope=st.sampled_from(SCOPES),
    wave_residual=st.booleans(),
    hidden=st.sampled_from([0, 4]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    pooling=st.sampled_from(POOLINGS),
    label_smoothing=st.sampled_from([0.0, 0.1]),
    spared_tokens=st.sampled_from([0, 3]),
    **RATES,
).filter(lambda config: config is not None)
LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)
SEEDS = st.integers(0, 2**32 - 1)


def network_of(config, seed, kind=PlannedWaveNetwork):
    """A network whose norms and biases are not at their initial values, so that every term counts."""
    network = kind(config, VOCABULARY, CLASSES, seed, np.float64)
    return stirred(network, np.random.default_rng([seed, 2]))


def run_ours(network, batch, train, seed):
    """Logits, loss and every gradient by name, and the cache."""
    loss, cache = network.loss_forward(batch, train=train, rng=random_generator(seed))
    network.zero_grad()
    network.loss_backward(cache)
    gradients = {name: parameter.dense_grad() for name, parameter in network.parameters().items()}
    return {"logits": cache.logits, "loss": loss, **gradients}, cache.network


def run_twin(config, tensors, ids, offsets, labels, masks, smoothing):
    """The same of the twin. None where the batch lies at the jump of the phase."""
    logits, waves = twins.wave_network(config, tensors, ids, offsets, masks)
    if config.readout == "phase" and any(twins.is_near_the_jump(z, offsets) for z in waves):
        return None
    if config.labels == "several":
        soft = torch.as_tensor((1 - smoothing) * labels + smoothing / 2)
        loss = F.binary_cross_entropy_with_logits(logits, soft, reduction="sum") / len(labels)
    else:
        loss = F.cross_entropy(logits, torch.as_tensor(labels), label_smoothing=smoothing)
    loss.backward()
    gradients = {name: twins.gradient_of(tensor) for name, tensor in tensors.items()}
    return {"logits": logits.detach().numpy(), "loss": loss.detach().numpy(), **gradients}


def assert_agrees(config, lengths, seed, train, kind=PlannedWaveNetwork):
    """Ours and the twin's: logits, loss and every gradient.

    A batch at the jump of the phase is left out, and False returned. Each to 1e-10 of its norm. Some networks magnify
    rounding: layer norm of a nearly constant row divides by as little as sqrt(ε), and a gradient may be 0 but for
    rounding. So what rounding of its parameters does to the twin itself is no fault of ours: a hundred times as much is
    granted, and 1e-13 of the norm of all gradients.
    """
    network = network_of(config, seed % 1000, kind)
    batch = example_batch(VOCABULARY, CLASSES, lengths, seed, network.has_several_labels())
    found, cache = run_ours(network, batch, train, seed)
    ids, offsets, masks, smoothing = batch.ids, batch.offsets, None, 0.0
    if train:
        masks, smoothing = twins.masks_of(cache), config.label_smoothing
        if config.token_dropout:  # the first that a training step draws
            ids, offsets = twins.kept_tokens(
                ids, offsets, config.token_dropout, random_generator(seed), config.spared_tokens
            )

    tensors = twins.tensors_of(network.parameters())
    expected = run_twin(config, tensors, ids, offsets, batch.labels, masks, smoothing)
    if expected is None:
        return False
    total = twins.total_norm(tensors)
    noise = {name: 0.0 if name in ("logits", "loss") else 1e-13 * total for name in expected}
    if not all(
        twins.distance(found[name], expected[name]) <= 1e-10 * np.linalg.norm(expected[name]) + noise[name]
        for name in expected
    ):
        for repeat in range(3):
            rounded = twins.rounded(tensors, seed=repeat)
            moved = run_twin(config, rounded, ids, offsets, batch.labels, masks, smoothing)
            noise = {name: max(noise[name], 100 * twins.distance(moved[name], expected[name])) for name in expected}
    for name in expected:
        twins.assert_close(found[name], expected[name], noise=noise[name], what=f"{name} of {config}")
    return True


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("scope", SCOPES)
def test_every_network_without_dropout_agrees_with_autograd(operation, readout, scope):
    """One and two blocks, every feed-forward part and pooling, with and without residual, on a ragged batch each."""
    choices = itertools.product([1, 2], FEED_FORWARDS, POOLINGS, [False, True])
    for seed, (blocks, (hidden, activation), pooling, wave_residual) in enumerate(choices):
        config = config_of(
            dimension=5, blocks=blocks, operation=operation, readout=readout, scope=scope, wave_residual=wave_residual,
            hidden=hidden, activation=activation, pooling=pooling,
        )  # fmt: skip
        if config is None:
            continue
        lengths = np.random.default_rng(seed).permutation([4, 1, 0, 7, 3])
        # A text of one repeated token lies at the jump of a modulation's phase: then another batch is taken.
        assert any(assert_agrees(config, lengths, attempt, train=False) for attempt in (seed, seed + 100))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_network_without_blocks_agrees_with_autograd(pooling):
    assert assert_agrees(WaveNetworkConfig(dimension=5, blocks=0, pooling=pooling), [4, 1, 0, 7], 0, train=False)


@pytest.mark.parametrize("kind", KINDS)
@given(CONFIGS, LENGTHS, SEEDS, st.booleans())
@examples(100)
def test_any_network_agrees_with_autograd_on_any_batch(kind, config, lengths, seed, train):
    """In training under all kinds of dropout, with the masks of our forward pass, and smoothing; in prediction."""
    assume(assert_agrees(config, lengths, seed, train, kind))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("train", [False, True])
def test_several_labels_agree_with_autograd(kind, train):
    """By the loss of independent decisions; probabilities are the sigmoid."""
    fields = {"labels": "several", "label_smoothing": 0.2, "dropout": 0.1, "token_dropout": 0.2}
    config = WaveNetworkConfig(dimension=5, hidden=4, **fields)
    assert assert_agrees(config, [4, 1, 0, 7], 0, train, kind)
    network, batch = network_of(config, 0, kind), example_batch(VOCABULARY, CLASSES, [4, 1, 0, 7])
    logits, _ = twins.wave_network(config, twins.tensors_of(network.parameters()), batch.ids, batch.offsets)
    twins.assert_close(network.probabilities(batch), torch.sigmoid(logits))


def test_probabilities_are_pytorchs_softmax():
    network = network_of(WaveNetworkConfig(dimension=5, hidden=4), 0)
    batch = example_batch(VOCABULARY, CLASSES, [4, 1, 0, 7])
    logits, _ = twins.wave_network(network.config, twins.tensors_of(network.parameters()), batch.ids, batch.offsets)
    twins.assert_close(network.probabilities(batch), torch.softmax(logits, dim=1))


def test_two_batches_accumulate_the_gradient_as_autograd_does():
    """The second loss counts half; its tokens overlap with those of the first."""
    network = network_of(WaveNetworkConfig(dimension=5, hidden=4), 0)
    tensors = twins.tensors_of(network.parameters())
    for ids, share in (([0, 3, 3, 1], 1.0), ([5, 1, 0], 0.5)):
        batch = RaggedBatch(np.array(ids), np.array([0, 2, len(ids)]), np.array([2, 0]))
        network.loss_backward(network.loss_forward(batch)[1], share)
        logits, _ = twins.wave_network(network.config, tensors, batch.ids, batch.offsets)
        (share * F.cross_entropy(logits, torch.as_tensor(batch.labels))).backward()
    for name, parameter in network.parameters().items():
        twins.assert_close(parameter.dense_grad(), twins.gradient_of(tensors[name]), what=name)
