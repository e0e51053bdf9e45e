"""Whole networks beside PyTorch: logits, loss and the gradient of every parameter, and ten steps of AdamW."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[bench]'")

import torch.nn.functional as F  # noqa: E402
import torch_twins as twins  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from engine.backend import random_generator  # noqa: E402
from engine.training.adamw import AdamW  # noqa: E402
from engine.training.clipping import clip_scale, global_norm  # noqa: E402
from engine.training.schedule import learning_rate  # noqa: E402
from layers.networks import WaveNetwork, WaveNetworkConfig  # noqa: E402
from layers.networks.feed_forward import ACTIVATIONS  # noqa: E402
from layers.networks.wave_network import example_batch  # noqa: E402
from layers.standard.pooling import POOLINGS  # noqa: E402
from layers.wave import READOUTS, SCOPES  # noqa: E402

VOCABULARY, CLASSES = 11, 3
CONFIGS = st.builds(
    WaveNetworkConfig,
    dimension=st.just(5), blocks=st.integers(0, 2), operation=st.sampled_from(["interference", "modulation"]),
    readout=st.sampled_from(READOUTS), scope=st.sampled_from(SCOPES), wave_residual=st.booleans(), hidden=st.sampled_from([0, 4]),
    activation=st.sampled_from(list(ACTIVATIONS)), pooling=st.sampled_from(POOLINGS), token_dropout=st.sampled_from([0.0, 0.3]),
    embedding_dropout=st.sampled_from([0.0, 0.2]), dropout=st.sampled_from([0.0, 0.2]), classifier_dropout=st.sampled_from([0.0, 0.2]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
)  # fmt: skip


def run_both(network, batch, seed):
    """(loss, logits) of ours, with gradients in its parameters, and (loss, logits, tensors) of the twin, with theirs."""
    loss, cache = network.loss_forward(batch, train=True, rng=random_generator(seed))
    network.zero_grad()
    network.loss_backward(cache)
    tensors = twins.tensors_of(network.parameters())
    inner = cache.network
    logits = twins.wave_network(network.config, tensors, inner.embedding.ids, inner.pooling.offsets, twins.masks_of(inner))
    twin_loss = F.cross_entropy(logits, torch.as_tensor(batch.labels), label_smoothing=network.config.label_smoothing)
    twin_loss.backward()
    return (loss, cache.logits), (twin_loss, logits, tensors)


@given(CONFIGS, st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_logits_loss_and_every_gradient_agree_with_autograd(config, seed):
    """To 1e-10 of the norm of each tensor. What is 0 by cancellation is held against numbers that are not: logits against 1
    (a modulation's magnitude can be the same everywhere, of which layer norm leaves nothing), gradients against all together.
    """
    network = WaveNetwork(config, VOCABULARY, CLASSES, seed % 1000, np.float64)
    batch = example_batch(VOCABULARY, CLASSES, [4, 1, 7, 2], seed % 997)
    (loss, logits), (twin_loss, twin_logits, tensors) = run_both(network, batch, seed)
    twins.assert_close(logits, twin_logits, floor=1.0)
    twins.assert_close(loss, twin_loss)
    total = math.sqrt(sum(float((t.grad**2).sum()) for t in tensors.values() if t.grad is not None))
    for name, parameter in network.parameters().items():
        theirs = tensors[name].grad
        twins.assert_close(parameter.dense_grad(), np.zeros(parameter.value.shape) if theirs is None else theirs, floor=1e-3 * total)


def small_network(embedding_seed=3):
    config = WaveNetworkConfig(dimension=6, hidden=5, readout="both", embedding_scale=0.5)
    return WaveNetwork(config, VOCABULARY, CLASSES, embedding_seed, np.float64)


STEPS, PEAK, DECAY, CLIP = 10, 0.02, 0.1, 0.5


def trace_of_ours(network, update):
    """Losses of ten steps; the parameters end where training leaves them."""
    optimizer = AdamW(network.parameters(), weight_decay=DECAY, embedding_update=update)
    losses = []
    for step in range(1, STEPS + 1):
        loss, cache = network.loss_forward(batch_of(step))
        network.zero_grad()
        network.loss_backward(cache)
        scale = clip_scale(global_norm(network.parameters()), CLIP)
        optimizer.step(learning_rate(step, STEPS, PEAK, warmup=0.2), scale)
        losses.append(float(loss))
    optimizer.settle()
    return losses


def batch_of(step):
    """Another batch at each step, of which none holds all of the vocabulary."""
    return example_batch(VOCABULARY, CLASSES, [3, 1, 2], 100 + step)


def twin_gradients(network, tensors, step):
    """The loss of the twin at `step`; gradients are in the tensors, clipped."""
    batch = batch_of(step)
    for tensor in tensors.values():
        tensor.grad = None
    masks = twins.masks_of(network.forward(batch)[1])  # none is drawn here
    loss = F.cross_entropy(twins.wave_network(network.config, tensors, batch.ids, batch.offsets, masks), torch.as_tensor(batch.labels))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(tensors.values(), CLIP, error_if_nonfinite=True)
    return float(loss.detach())


def rate_at(step):
    """Two steps of linear warm-up to the peak, then linear decay that would reach 0 one step after the last."""
    return PEAK * step / 2 if step <= 2 else PEAK * (STEPS - step + 1) / (STEPS - 2)


def test_ten_steps_of_dense_adamw_follow_pytorch():
    network, twin_of = small_network(), small_network()
    tensors = twins.tensors_of(twin_of.parameters())
    decays = {name: p.decay for name, p in twin_of.parameters().items()}
    groups = [{"params": [t for name, t in tensors.items() if decays[name] is flag], "weight_decay": DECAY * flag} for flag in (True, False)]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.999), eps=1e-8)
    expected = []
    for step in range(1, STEPS + 1):
        expected.append(twin_gradients(twin_of, tensors, step))
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        optimizer.step()
    found = trace_of_ours(network, "dense")
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert expected[0] != expected[-1]
    for name, parameter in network.parameters().items():
        # Adam divides by the size of the gradient: where that is 0 but for rounding, so is what the parameter has become.
        twins.assert_close(parameter.value, tensors[name], 1e-8, floor=1.0)


def test_ten_steps_of_lazy_adamw_follow_a_twin_that_updates_row_by_row():
    """A row takes the steps that it missed when a batch holds it again, and at the end: the sums of adamw.py, term by term."""
    network, twin_of = small_network(), small_network()
    tensors = twins.tensors_of(twin_of.parameters())
    decays = {name: p.decay for name, p in twin_of.parameters().items()}
    rows = {"embedding.table": range(VOCABULARY)}
    state = {(name, row): (*torch.zeros(2, *tensors[name][row].shape, dtype=torch.float64), 0) for name in tensors for row in rows.get(name, [...])}

    def miss(name, row, until):
        """The steps after the row's last and up to `until`, without a gradient."""
        value, (m, v, last) = tensors[name][row], state[name, row]
        missed = range(last + 1, until + 1)
        shrunk = math.prod(1 - rate_at(i) * DECAY * decays[name] for i in missed)
        ratio = 0.9 / math.sqrt(0.999)
        moved = sum(rate_at(i) * math.sqrt(1 - 0.999**i) / (1 - 0.9**i) * ratio ** (i - last) for i in missed)
        tensors[name][row] = value * shrunk - moved * m / (torch.sqrt(v) + 1e-8 * math.sqrt(1 - 0.999 ** (last + 1)))
        state[name, row] = 0.9 ** len(missed) * m, 0.999 ** len(missed) * v, until

    def advance(name, row, gradient, step):
        """AdamW's step on a row that has taken all before."""
        value, (m, v, _) = tensors[name][row], state[name, row]
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        direction = (m / (1 - 0.9**step)) / (torch.sqrt(v / (1 - 0.999**step)) + 1e-8)
        tensors[name][row] = value - rate_at(step) * (direction + DECAY * decays[name] * value)
        state[name, row] = m, v, step

    expected = []
    for step in range(1, STEPS + 1):
        expected.append(twin_gradients(twin_of, tensors, step))
        held = set(batch_of(step).ids.tolist())
        with torch.no_grad():
            for name, row in [place for place in state if place[1] is ... or place[1] in held]:
                miss(name, row, step - 1)
                advance(name, row, tensors[name].grad[row], step)
    with torch.no_grad():
        for row in range(VOCABULARY):
            miss("embedding.table", row, STEPS)
    found = trace_of_ours(network, "lazy")
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    for name, parameter in network.parameters().items():
        twins.assert_close(parameter.value, tensors[name], 1e-8, floor=1.0)
