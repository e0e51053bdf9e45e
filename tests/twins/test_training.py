"""Training beside PyTorch: every loss of ten steps of AdamW, with clipping, schedule and dropout, and the end."""

import itertools
import math

import numpy as np
import pytest

from engine.arrays.backend import random_generator
from engine.layer import Parameter, RowSparse
from engine.training.adamw import AdamW
from engine.training.step import clip_scale, global_norm, learning_rate
from layers.networks import PlannedWaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from tests.support import torch_twins as twins
from tests.support.torch_twins import F, torch

VOCABULARY, CLASSES = 11, 3
STEPS, WARMUP_STEPS, PEAK, FINAL, DECAY = 10, 2, 0.02, 0.1, 0.1
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
TOLERANCE = 1e-8
CONFIGS = {
    "modulation": (WaveNetworkConfig(dimension=6, hidden=5, embedding_scale=0.5), 2.0),
    "interference": (
        WaveNetworkConfig(
            dimension=6, blocks=2, operation="interference", readout="magnitude", scope="text", hidden=5,
            activation="relu", pooling="max", embedding_scale=0.5, embedding_dropout=0.2, dropout=0.2,
            classifier_dropout=0.2, label_smoothing=0.1,
        ),
        1.5,
    ),
}  # fmt: skip
every_config = pytest.mark.parametrize("config, limit", CONFIGS.values(), ids=CONFIGS)


def rate_at(step):
    """Linear warm-up to the peak, then linear decay that would reach a share of it one step after the last."""
    left = (STEPS - step + 1) / (STEPS - WARMUP_STEPS)
    return PEAK * step / WARMUP_STEPS if step <= WARMUP_STEPS else PEAK * (FINAL + (1 - FINAL) * left)


def batch_of(step):
    """Another batch at each step, of which none holds all of the vocabulary."""
    return example_batch(VOCABULARY, CLASSES, [3, 1, 2], 100 + step)


def train_ours(network, limit, embedding_update):
    """Our training step, ten times: yields the loss, the norm of the gradient and the masks of the step."""
    parameters = network.parameters()
    optimizer = AdamW(parameters, BETA1, BETA2, EPSILON, DECAY, embedding_update)
    for step in range(1, STEPS + 1):
        loss, cache = network.loss_forward(batch_of(step), train=True, rng=random_generator(0, step))
        network.zero_grad()
        network.loss_backward(cache)
        norm = global_norm(parameters)
        optimizer.step(learning_rate(step, STEPS, PEAK, WARMUP_STEPS / STEPS, FINAL), clip_scale(norm, limit))
        yield loss, norm, twins.masks_of(cache.network)
    optimizer.catch_up()


def train_twin(config, tensors, limit, masks_of_steps, update):
    """The twin's: yields loss and norm. update(step): takes the step with the clipped gradients in the tensors."""
    for step, masks in enumerate(masks_of_steps, start=1):
        batch = batch_of(step)
        for tensor in tensors.values():
            tensor.grad = None
        logits, _ = twins.wave_network(config, tensors, batch.ids, batch.offsets, masks)
        loss = F.cross_entropy(logits, torch.as_tensor(batch.labels), label_smoothing=config.label_smoothing)
        loss.backward()
        # PyTorch's norm, but not its clipping: that divides by norm + 1e-6, which is not the equation.
        norm = torch.nn.utils.clip_grad_norm_(tensors.values(), math.inf)
        for tensor in tensors.values():
            tensor.grad *= min(1.0, limit / norm)
        with torch.no_grad():
            update(step)
        yield loss.item(), norm.item()


def assert_trace_agrees(network, tensors, limit, embedding_update, update):
    """Loss and norm of every step, and the parameters at the end. Returns the losses."""
    losses, norms, masks = zip(*train_ours(network, limit, embedding_update))
    twin_losses, twin_norms = zip(*train_twin(network.config, tensors, limit, masks, update))
    np.testing.assert_allclose(losses, twin_losses, rtol=TOLERANCE)
    np.testing.assert_allclose(norms, twin_norms, rtol=TOLERANCE)
    assert min(norms) < limit < max(norms), "some steps are clipped and some are not"
    return losses


def assert_ends_agree(network, tensors):
    for name, parameter in network.parameters().items():
        twins.assert_close(parameter.value, tensors[name], TOLERANCE, what=name)


def decay_of(parameters):
    """Weight decay by the name of the parameter: matrices and tables only."""
    return {name: DECAY if parameter.value.ndim == 2 else 0.0 for name, parameter in parameters.items()}


@every_config
def test_ten_steps_of_dense_adamw_follow_pytorch(config, limit):
    network = PlannedWaveNetwork(config, VOCABULARY, CLASSES, seed=3, dtype=np.float64)
    tensors = twins.tensors_of(network.parameters())
    groups = [
        {"params": [tensors[name]], "weight_decay": decay} for name, decay in decay_of(network.parameters()).items()
    ]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(BETA1, BETA2), eps=EPSILON)

    def update(step):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        optimizer.step()

    assert_trace_agrees(network, tensors, limit, "dense", update)
    assert_ends_agree(network, tensors)


class RowByRow:
    """A row of a tensor under lazy AdamW, or (row ...) all of a tensor that takes every step."""

    def __init__(self, tensor, row, decay):
        self.tensor, self.row, self.decay = tensor, row, decay
        self.m, self.v = torch.zeros_like(tensor[row]), torch.zeros_like(tensor[row])
        self.last = 0  # step

    def catch_up(self, until, rate_at):
        """The steps that the row missed, one after another, without a gradient.

        Within a gap all moves start from the m and v of the last step that touched the row: m fades by β₁ and its
        divisor sqrt(v) + ε′ by sqrt(β₂) at each. Decay shrinks the row as it was, not the moves made within the gap.
        """
        m, divisor = self.m.clone(), torch.sqrt(self.v) + EPSILON * math.sqrt(1 - BETA2 ** (self.last + 1))
        value, moves = self.tensor[self.row].clone(), torch.zeros_like(m)
        for i in range(self.last + 1, until + 1):
            m, divisor = BETA1 * m, math.sqrt(BETA2) * divisor
            moves += rate_at(i) * (m / (1 - BETA1**i)) / (divisor / math.sqrt(1 - BETA2**i))
            value *= 1 - rate_at(i) * self.decay
            self.v = BETA2 * self.v
        self.tensor[self.row] = value - moves
        self.m, self.last = m, until

    def take(self, step, gradient, rate):
        """AdamW's step on a row that has taken all before."""
        self.m = BETA1 * self.m + (1 - BETA1) * gradient
        self.v = BETA2 * self.v + (1 - BETA2) * gradient**2
        direction = self.m / (1 - BETA1**step) / (torch.sqrt(self.v / (1 - BETA2**step)) + EPSILON)
        self.tensor[self.row] = self.tensor[self.row] - rate * (direction + self.decay * self.tensor[self.row])
        self.last = step


@every_config
def test_ten_steps_of_lazy_adamw_follow_a_twin_row_by_row(config, limit):
    """A row takes the steps that it missed when a batch holds it again, after it was read, and at the end."""
    network = PlannedWaveNetwork(config, VOCABULARY, CLASSES, seed=3, dtype=np.float64)
    tensors = twins.tensors_of(network.parameters())
    decays = decay_of(network.parameters())
    table = {row: RowByRow(tensors["embedding.table"], row, decays["embedding.table"]) for row in range(VOCABULARY)}
    whole = [RowByRow(tensor, ..., decays[name]) for name, tensor in tensors.items() if name != "embedding.table"]

    def update(step):
        for part in itertools.chain(whole, (table[row] for row in set(batch_of(step).ids.tolist()))):
            part.catch_up(step - 1, rate_at)
            part.take(step, part.tensor.grad[part.row], rate_at(step))

    losses = assert_trace_agrees(network, tensors, limit, "lazy", update)
    with torch.no_grad():
        for part in table.values():
            part.catch_up(STEPS, rate_at)
    assert_ends_agree(network, tensors)

    dense = PlannedWaveNetwork(config, VOCABULARY, CLASSES, seed=3, dtype=np.float64)
    dense_losses = [loss for loss, _, _ in train_ours(dense, limit, "dense")]
    assert max(abs(a / b - 1) for a, b in zip(losses, dense_losses)) > 100 * TOLERANCE, "the two updates are told apart"


def test_rows_that_rest_for_hundreds_of_steps_follow_the_twin():
    """Row r is in a batch with probability 3^−r / 2, and the last row never; gradients as small as ε are among them."""
    rng = np.random.default_rng(0)
    rows, steps = 7, 600
    start, rates = rng.standard_normal((rows, 2)), rng.uniform(1e-3, 1e-2, steps + 1)
    parameter, tensor = Parameter(start.copy()), torch.tensor(start)
    optimizer = AdamW({"table": parameter}, BETA1, BETA2, EPSILON, DECAY, "lazy")
    twin = [RowByRow(tensor, row, DECAY) for row in range(rows)]
    for step in range(1, steps + 1):
        held = np.flatnonzero(rng.random(rows - 1) < 0.5 * 3.0 ** -np.arange(rows - 1))
        grad = rng.standard_normal((len(held), 2)) * 10.0 ** rng.integers(-8, 2, (len(held), 1))
        parameter.grad = RowSparse(held, grad)
        optimizer.step(rates[step])
        for row, gradient in zip(held, torch.tensor(grad)):
            twin[row].catch_up(step - 1, rates.__getitem__)
            twin[row].take(step, gradient, rates[step])
        if step % 50 == 0:
            twins.assert_close(parameter.value, tensor, TOLERANCE, what=f"the table after step {step}")
    optimizer.catch_up()
    for part in twin:
        part.catch_up(steps, rates.__getitem__)
    twins.assert_close(parameter.value, tensor, TOLERANCE, what="the table after catch_up()")
