"""Which rows a Wave Network computes for a batch and where they occur: decided here, once.

Without positions, equal tokens of a text have equal values, and the linear maps of the first block are the same for
equal tokens of all texts. So a batch is planned as the rows of its distinct tokens, and for each block a Bag over the
rows of its input. Where all tokens of a text come to have one value (E17), the following rows are those of texts.

Forward, backward, graphs (padding) and operation counts read the same plan.
"""

from typing import NamedTuple

from engine.arrays.bag import Bag, distinct_tokens, merge_repeats, padded
from engine.types import Ints1d, Offsets
from layers.networks.configs import WaveNetworkConfig
from layers.wave import OPERATIONS


class WavePlan(NamedTuple):
    """The plan of a batch of B texts.

    ids: (U,) ascending token ids to look up. lookup: the Bag over their rows whose entries get rows of their own before
    the first block, because each drops entries of its own; None where they do not. bags: the Bag over the rows of each
    block's input, and last the one that is pooled. spread: for each block the (P,) text of each entry, where the row of
    a text (E17) goes to its entries again; None elsewhere. labels: (B,) or None.
    """

    ids: Ints1d
    lookup: Bag | None
    bags: tuple[Bag, ...]
    spread: tuple[Ints1d | None, ...]
    labels: Ints1d | None


def shares_magnitude(config: WaveNetworkConfig) -> bool:
    """Whether the readout of a block is one row for all tokens of a text: E17."""
    alike = OPERATIONS[config.operation].shares_magnitude and config.readout == "magnitude"
    return alike and config.scope == "dimension"


def plan_batch(
    config: WaveNetworkConfig,
    ids: Ints1d,
    offsets: Offsets,
    labels: Ints1d | None,
    vocabulary: int,
    dropping: bool = False,
    indexed: bool = False,
    expand: bool = False,
) -> WavePlan:
    """The WavePlan of T ids in B texts. dropping: whether entries are dropped in this pass, as in training.

    indexed: with the inverse indices that kernels need. expand: they will ask for every single token too.
    """
    rows, bag = distinct_tokens(ids, offsets, vocabulary)
    drops_embeddings = dropping and config.embedding_dropout > 0
    drops_entries = dropping and config.dropout > 0
    # Entries that dropout sets apart stay apart, and [CLS] pooling needs the first token of a text in its place.
    if config.pooling != "cls" and not drops_embeddings and not drops_entries:
        bag = merge_repeats(bag, len(rows))
    if indexed:
        bag = bag.with_inverse_index(len(rows), expand)
    return plan_blocks(config, rows, bag, labels, drops_embeddings, drops_entries, indexed)


def plan_blocks(
    config: WaveNetworkConfig,
    rows: Ints1d,
    bag: Bag,
    labels: Ints1d | None,
    drops_embeddings: bool,
    drops_entries: bool,
    indexed: bool,
) -> WavePlan:
    """The WavePlan of the rows to look up and the Bag over them."""
    lookup, bag = (bag, bag.per_entry()) if drops_embeddings else (None, bag)
    alike, collapsed = shares_magnitude(config), False
    collapses = alike and not config.wave_residual and not drops_entries
    bags: list[Bag] = [bag]
    spread: list[Ints1d | None] = []
    for _ in range(config.blocks):
        spread.append(bag.texts() if alike and not collapses else None)
        if not collapses:
            bag = bag.per_entry()
        elif not collapsed:  # else its rows are those of texts already
            bag, collapsed = bag.collapsed(), True
            bag = bag.with_inverse_index(len(bag.offsets) - 1) if indexed else bag
        bags.append(bag)
    return WavePlan(rows, lookup, tuple(bags), tuple(spread), labels)


def pad_plan(config: WaveNetworkConfig, plan: WavePlan) -> WavePlan:
    """The plan of a batch without dropout of entries, with inverse indices, padded to one of a few sizes."""
    rows, bag = padded(plan.ids, plan.bags[0])
    return plan_blocks(config, rows, bag, plan.labels, False, False, True)
