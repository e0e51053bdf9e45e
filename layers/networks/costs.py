"""Numbers of floating-point operations of a training step of a network: the formulas of layers/costs.py, added up."""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.arrays.bag import Bag
from engine.arrays.ragged import RaggedBatch, cut_in_segments, lengths
from layers import costs
from layers.costs import Flops, feed_forward, layer_norm, linear, total
from layers.fast.bag_pooling_cpu import each_is_alone
from layers.networks.heads import HeadsWaveNetwork
from layers.networks.linear_heads import LinearClassifier
from layers.networks.planned_wave_network import PlannedWaveNetwork
from layers.networks.transformer import Transformer
from layers.networks.two_networks import TwoNetworks
from layers.networks.wave_plan import WavePlan, maps_distinct_rows, plan_batch, runs_token_by_token, shares_magnitude
from layers.wave import READOUTS


def step_flops(network: Any, batch: RaggedBatch) -> Flops:
    """Flops of loss_forward and loss_backward of a training step without dropout. batch: on the host.

    Of several heads: those of one of them, times their number; with character heads, those of both halves.
    """
    if isinstance(network, TwoNetworks):
        return total([step_flops(half, view) for half, view in network.halves(batch)])
    if isinstance(network, LinearClassifier):
        return linear_classifier(network, batch)
    if isinstance(network, HeadsWaveNetwork):
        return total([step_flops(network.single(), batch)] * network.config.heads)
    classifier = linear(len(batch.offsets) - 1, *network.classifier.weight.value.shape)
    loss = loss_flops(network, batch, len(network.classifier.bias.value))
    return total(ENCODERS[network.config.model](network, batch)) + classifier + loss


def loss_flops(network: Any, batch: RaggedBatch, classes: int) -> Flops:
    loss_of = costs.sigmoid_cross_entropy if network.has_several_labels() else costs.softmax_cross_entropy
    smoothing = network.config.label_smoothing
    return loss_of(len(batch.offsets) - 1, classes, smoothing, network.class_weights is not None)


def linear_classifier(network: LinearClassifier, batch: RaggedBatch) -> Flops:
    """E26 of texts whose tokens all have counts; the gradients of equal tokens are added."""
    entries, classes = len(network.prepared(batch, None).tokens.ids), len(network.ratios.bias.value)
    parts = [costs.log_count_ratios(entries, classes), costs.weighted_ratios(entries, len(batch.offsets) - 1, classes)]
    return total([*parts, Flops(0, entries * classes)]) + loss_flops(network, batch, classes)


def mixing_flops(network: Any, batch: RaggedBatch) -> Flops:
    """Flops of the part in which tokens see one another: the waves, or the attention, of all blocks."""
    if isinstance(network, TwoNetworks):
        return total([mixing_flops(half, view) for half, view in network.halves(batch)])
    if isinstance(network, LinearClassifier):
        return Flops(0, 0)
    if isinstance(network, HeadsWaveNetwork):
        return total([mixing_flops(network.single(), batch)] * network.config.heads)
    return total(MIXING[network.config.model](network, batch))


def plan_of(network: PlannedWaveNetwork, batch: RaggedBatch) -> WavePlan:
    """The plan of a batch without dropout."""
    vocabulary = len(network.embedding.table.value)
    tokens = network.kept_tokens(batch, None)
    return plan_batch(network.config, tokens, vocabulary, distinct=network.shortcut_tokens(batch))


def rows_between(plan: WavePlan) -> list[int]:
    """The number of rows of each block's input, and last of what is pooled."""
    counts = [len(plan.ids) if plan.lookup is None else plan.lookup.entry_count()]
    for bag in [*(block.first for block in plan.blocks[1:]), plan.pooled][: len(plan.blocks)]:
        counts.append(bag.entry_count() if bag.row_index is None else len(plan.blocks[0].first.offsets) - 1)
    return counts


def wave_mixing(network: PlannedWaveNetwork, batch: RaggedBatch) -> list[Flops]:
    plan, config, parts = plan_of(network, batch), network.config, []
    d, tokens = config.dimension, len(batch.ids)
    for block, rows in zip(plan.blocks, rows_between(plan)):
        bag, second = block.first, block.second
        segments, identity = len(bag.offsets) - 1, bag.row_index is None
        texts = segments if second is None else len(second.offsets) - 1
        if runs_token_by_token(config):
            waves = [costs.wave(tokens, cut, d, config.wave, config.scope) for cut in (segments, texts)]
            parts += [*waves, costs.operation(tokens, d, config.operation), costs.readout(tokens, d, config.readout)]
        elif shares_magnitude(config):
            parts.append(costs.bag_magnitude(rows, d, bag, second))
        else:
            cells = 0 if second is None else cells_of(bag, second)
            shape = (config.operation, config.readout, config.scope, identity)
            parts.append(costs.wave_pair(bag.entry_count(), tokens, texts, d, *shape, cells))
    return parts


def cells_of(first: Bag, second: Bag) -> int:
    """Σ entries·sentences of each text."""
    sentences = lengths(cut_in_segments(first.offsets, second.offsets))
    return int((lengths(second.offsets) * sentences).sum())


def wave_maps(network: PlannedWaveNetwork, plan: WavePlan) -> list[Flops]:
    """The linear maps of both branches of all blocks, and the rows that they act on."""
    config, parts, counts = network.config, [], rows_between(plan)
    d, rows = config.dimension, counts[0]
    apart = maps_distinct_rows(config, False)
    if plan.positions is not None and not apart:  # E22, and back to the rows of tokens and of positions
        parts.append(Flops(rows * d, 2 * rows * d))
    elif plan.lookup is not None and not apart:
        parts.append(Flops(0, rows * d))
    for number, rows in enumerate(counts[:-1]):
        if config.variants == "none":
            parts.append(Flops(0, rows * d))  # two gradients of x added
        elif config.variants == "wave":
            both = linear(rows, d, d) + linear(rows, d, d, bias=False) + Flops(0, d * d)
            parts += [both, both, Flops(0, rows * d)]
        elif number == 0 and apart and plan.positions is not None:
            distinct = len(plan.ids) + len(plan.positions)
            fused = shares_magnitude(config)  # else the biases are added for each token
            one = linear(len(plan.ids), d, d, bias=False) + linear(len(plan.positions), d, d, bias=False)
            one += Flops((1 if fused else 2) * rows * d + (rows * d if fused else 0), 2 * rows * d)
            parts += [one, one, Flops(0, distinct * d + d * d * 2)]
            if config.adds_input():  # E22, and back to the rows of tokens and of positions
                parts.append(Flops(rows * d, (rows + distinct) * d))
        else:
            parts += [linear(rows, d, d), linear(rows, d, d), Flops(0, rows * d)]
    return parts


def wave_encoder(network: PlannedWaveNetwork, batch: RaggedBatch) -> list[Flops]:
    plan, config, texts = plan_of(network, batch), network.config, len(batch.offsets) - 1
    d, counts = config.dimension, rows_between(plan)
    parts = wave_mixing(network, batch) + wave_maps(network, plan)
    for block, block_plan, rows, out in zip(network.blocks, plan.blocks, counts, counts[1:]):
        bag, identity = block_plan.first, block_plan.first.row_index is None
        entries = bag.entry_count()
        if block_plan.spread is not None:
            parts.append(Flops(0, entries * d))  # summed over the entries of each text
        if block.projection:
            parts.append(linear(out, READOUTS[config.readout].width * d, d))
        if config.block_form == "fig6b":
            parts.append(costs.residual(out, d) + Flops(0, rows * d))
        elif config.adds_input():  # summed over the entries of each row, and added
            parts.append(costs.residual(out, d) + Flops(0, (rows if identity else rows + entries) * d))
        if block.wave_norm:
            parts.append(layer_norm(out, d))
        if block.feed_forward:
            hidden = block.feed_forward.expand.weight.value.shape[1]
            parts.append(feed_forward(out, d, hidden, block.feed_forward.activation))
            parts += [layer_norm(out, d, residual=True), Flops(0, out * d)]
    entries = plan.pooled.entry_count()
    alone = bool((np.diff(plan.pooled.offsets) <= 1).all())
    if config.pooling != "mean" or not each_is_alone(plan.pooled, entries):  # else the mean of a row is that row
        parts.append(costs.pooling(entries, texts, d, config.pooling, plan.pooled.counts is not None, alone))
    if not network.blocks and plan.lookup is None:
        parts.append(Flops(0, entries * d))  # summed over the entries of each row
    return parts + shortcut(network, plan)


def shortcut(network: PlannedWaveNetwork, plan: WavePlan) -> list[Flops]:
    """E25 of texts whose tokens all have counts, added to the logits."""
    if plan.distinct is None:
        return []
    entries, texts = len(plan.distinct.ids), len(plan.distinct.offsets) - 1
    classes = network.classifier.weight.value.shape[1]
    parts = [costs.log_count_ratios(entries, classes), costs.naive_bayes(entries, texts, classes)]
    return [*parts, Flops(texts * classes, 0)]


def transformer_mixing(network: Transformer, batch: RaggedBatch) -> list[Flops]:
    config = network.config
    return [costs.attention(lengths(batch.offsets), config.dimension, config.heads) for _ in network.blocks]


def transformer_encoder(network: Transformer, batch: RaggedBatch) -> list[Flops]:
    tokens, texts, d = len(batch.ids), len(batch.offsets) - 1, network.config.dimension
    parts = [costs.embedding(tokens, d), costs.embedding(tokens, d), layer_norm(tokens, d, residual=True)]
    parts += transformer_mixing(network, batch)
    for block in network.blocks:
        parts += [linear(tokens, d, d)] * 4 + [
            feed_forward(tokens, d, block.feed_forward.expand.weight.value.shape[1], "gelu")
        ]
        parts += [layer_norm(tokens, d, residual=True)] * 2
        parts.append(Flops(0, 4 * tokens * d))  # the gradients of x are added: one path more here, three there
    return [*parts, costs.pooling(tokens, texts, d, "cls"), linear(texts, d, d), costs.tanh(texts, d)]


Count = Callable[[Any, RaggedBatch], list[Flops]]
ENCODERS: dict[str, Count] = {"wave": wave_encoder, "transformer": transformer_encoder}
MIXING: dict[str, Count] = {"wave": wave_mixing, "transformer": transformer_mixing}
