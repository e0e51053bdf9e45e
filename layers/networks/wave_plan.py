"""Which rows a Wave Network computes for a batch and where they occur: decided here, once.

Without positions, equal tokens of a text have equal values, and the linear maps of the first block are the same for
equal tokens of all texts. So a batch is planned as the rows of its distinct tokens, and for each block a Bag over the
rows of its input. Where all tokens of a text come to have one value (E17), the following rows are those of texts.

With positions every token has a row of its own, but the linear maps do not: (w + p)·A = w·A + p·A, so that the first
block maps each distinct token and each distinct position once. Sentences cut the same rows more finely.

Forward, backward, graphs (padding) and operation counts read the same plan.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.backend import array_module
from engine.arrays.bag import Bag, distinct_merged_tokens, distinct_tokens, one_text
from engine.arrays.bag_sums import bag_sums
from engine.arrays.padding import filled_up, padded, padded_length
from engine.arrays.ragged import RaggedBatch, cut_in_segments, places_of
from engine.types import Array, Ints1d, Offsets
from layers.fast import bag_magnitude_c
from layers.networks.configs import LEVELS, WaveNetworkConfig
from layers.networks.shortcut import DistinctTokens


class BlockPlan(NamedTuple):
    """The Bag over the rows of a block's input.

    first: cut as the magnitudes of the first branch are taken, into sentences or texts; second: likewise for the second
    branch, None where that is the same. spread: the (P,) segment of `first` of each entry, where the row of a segment
    (E17) goes to its entries again; None elsewhere.
    """

    first: Bag
    second: Bag | None
    spread: Ints1d | None


class WavePlan(NamedTuple):
    """The plan of a batch of B texts.

    ids: (U,) ascending token ids to look up. lookup: the Bag over their rows whose entries get rows of their own before
    or within the first block, because they have places, or because each drops entries of its own; None where they do
    not. positions: (M,) the places to look up, and places: the Bag over them, entries as in lookup; None without
    positions. segments: (B + 1,), how many sentences there are before each text, where there are some. pooled: the Bag
    that is pooled. labels: those of the batch. distinct: the tokens of the shortcut (E25); None without one.
    """

    ids: Ints1d
    lookup: Bag | None
    positions: Ints1d | None
    places: Bag | None
    segments: Offsets | None
    blocks: tuple[BlockPlan, ...]
    pooled: Bag
    labels: Array | None
    distinct: DistinctTokens | None


def shares_magnitude(config: WaveNetworkConfig) -> bool:
    """Whether the readout of a planned block is one row for all tokens of a sentence or text: E17."""
    return config.shares_magnitude() and config.scope == "dimension" and not runs_token_by_token(config)


def runs_token_by_token(config: WaveNetworkConfig) -> bool:
    """Whether blocks are computed as in wave_network.py, because nothing faster knows their form."""
    return config.variants == "wave" or config.wave != "full" or config.block_form == "fig6b"


def maps_distinct_rows(config: WaveNetworkConfig, drops_embeddings: bool) -> bool:
    """Whether the first block maps distinct tokens and distinct positions, and adds them for each token."""
    has_maps = config.variants == "embeddings" and config.blocks > 0 and not runs_token_by_token(config)
    return config.position_encoding != "none" and has_maps and not drops_embeddings


def plan_batch(
    config: WaveNetworkConfig,
    batch: RaggedBatch,
    vocabulary: int,
    dropping: bool = False,
    indexed: bool = False,
    expand: bool = False,
    distinct: DistinctTokens | None = None,
) -> WavePlan:
    """The WavePlan of the T ids of B texts. dropping: whether entries are dropped in this pass, as in training.

    indexed: with the inverse indices that kernels need. expand: they will ask for every single token too. distinct:
    the tokens of the shortcut.
    """
    finest = batch.offsets if config.levels == "text" else batch.sentence_offsets
    assert finest is not None
    segments = None if config.levels == "text" else cut_in_segments(finest, batch.offsets)
    drops_embeddings = dropping and config.embedding_dropout > 0
    drops_entries = dropping and config.dropout > 0
    has_places = config.position_encoding != "none"
    alone = drops_embeddings or drops_entries or has_places or runs_token_by_token(config)
    # Entries that dropout or places set apart stay apart; [CLS] pooling needs the first token of a text in its place.
    merges = config.pooling != "cls" and not alone
    if merges and not indexed and len(finest) == 2:
        rows, bag = one_text(batch.ids)
    else:
        rows, bag = (distinct_merged_tokens if merges else distinct_tokens)(batch.ids, finest, vocabulary)
    if indexed:
        bag = bag.with_inverse_index(len(rows), expand)
    positions = places = None
    if has_places:
        of_tokens = places_of(batch)
        positions = array_module(finest).arange(int(of_tokens.max(initial=-1)) + 1)
        places = Bag(of_tokens, None, finest)
        places = places.with_inverse_index(len(positions)) if indexed else places
    looked_up = drops_embeddings or has_places or runs_token_by_token(config)
    lookup, bag = (bag, bag.per_entry()) if looked_up else (None, bag)
    in_c = bag_magnitude_c.FUNCTIONS.is_usable()  # then nothing reads these sums
    on_host = isinstance(finest, np.ndarray) and not indexed
    if dropping and shares_magnitude(config) and lookup is None and on_host and not in_c:
        bag = bag._replace(sums=bag_sums(bag, len(rows), config.dimension))
    blocks, pooled = plan_blocks(config, bag, segments, drops_entries)
    return WavePlan(rows, lookup, positions, places, segments, blocks, pooled, batch.labels, distinct)


def plan_blocks(
    config: WaveNetworkConfig, bag: Bag, segments: Offsets | None, drops_entries: bool, keep_empty: bool = False
) -> tuple[tuple[BlockPlan, ...], Bag]:
    """(the BlockPlan of each block, the Bag that is pooled) of the Bag over the rows of the first block's input.

    segments: (B + 1,), how many of the bag's segments there are before each text; None where they are the texts.
    keep_empty: segments without tokens have rows, too, where rows are those of segments.
    """
    alike, collapsed = shares_magnitude(config), False
    collapses = alike and not config.adds_input() and not drops_entries
    blocks: list[BlockPlan] = []
    for _ in range(config.blocks):
        second = recut(bag, segments) if LEVELS[config.levels][1] != LEVELS[config.levels][0] else None
        blocks.append(BlockPlan(bag, second, bag.texts() if alike and not collapses else None))
        if not collapses:
            bag = bag.per_entry()
        elif not collapsed:  # else its rows are those of segments already
            indexed, bag, collapsed = bag.inverse is not None, bag.collapsed(keep_empty), True
            bag = bag.with_inverse_index(len(bag.offsets) - 1) if indexed else bag
    return tuple(blocks), bag if segments is None else recut(bag, segments)


def recut(bag: Bag, segments: Offsets | None) -> Bag:
    """The same bag cut into texts of whole segments."""
    assert segments is not None
    recut_bag = bag._replace(offsets=bag.offsets[segments], inverse=None, sums=None)
    if bag.inverse is None:
        return recut_bag
    tokens = bag.inverse.tokens
    if tokens is not None:
        tokens = (*tokens[:2], tokens[2][segments])
    texts = filled_up(recut_bag.texts(), bag.entry_count(), 0)  # entries of no text may follow
    return recut_bag._replace(inverse=bag.inverse._replace(texts=texts, tokens=tokens))


def pad_plan(config: WaveNetworkConfig, plan: WavePlan) -> WavePlan:
    """The plan of a batch without dropout of entries, with inverse indices, padded to one of a few sizes."""
    bag, segments = plan.blocks[0].first if plan.blocks else plan.pooled, plan.segments
    lookup = positions = places = None
    rows, padded_bag = padded(plan.ids, bag if plan.lookup is None else plan.lookup)
    if segments is not None:
        cut = filled_up(padded_bag.offsets, padded_length(len(padded_bag.offsets)), padded_bag.offsets[-1])
        padded_bag, segments = padded_bag._replace(offsets=cut), np.append(segments[:-1], len(cut) - 1)
    if plan.places is not None and plan.positions is not None:
        positions, places = padded(plan.positions, plan.places)
        positions, places = (
            np.arange(min(len(positions), config.positions)),
            places._replace(offsets=padded_bag.offsets),
        )
    if plan.lookup is not None:
        lookup, padded_bag = padded_bag, padded_bag.per_entry()
    blocks, pooled = plan_blocks(config, padded_bag, segments, False, keep_empty=segments is not None)
    return WavePlan(rows, lookup, positions, places, segments, blocks, pooled, plan.labels, plan.distinct)
