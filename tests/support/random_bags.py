"""Random bags of every form that a network makes."""

import numpy as np

from engine.arrays.bag import Bag, merge_repeats
from tests.support.layer_laws import offsets_of

BAGS = ("merged", "repeated rows", "rows of their own", "merged, rows of their own")


def random_bag(rng, lengths, form="merged", vocabulary=4):
    """(number of rows, Bag over them) of texts with these numbers of tokens. Some rows may stand nowhere."""
    offsets = offsets_of(lengths)
    if form == "rows of their own":
        return int(offsets[-1]), Bag(None, None, offsets)
    bag = Bag(rng.integers(0, vocabulary, offsets[-1]), None, offsets)
    if form == "repeated rows":
        return vocabulary, bag
    bag = merge_repeats(bag, vocabulary)
    return (vocabulary, bag) if form == "merged" else (len(bag.row_index), bag._replace(row_index=None))


def of_texts(bag):
    """The same entries cut more coarsely: two neighbouring segments are one text, the last one its own."""
    return bag._replace(offsets=np.append(bag.offsets[:-1:2], bag.offsets[-1]))


def tokens_of(bag):
    """[(entry, row) for every token] of each text, by loops."""
    found = []
    for start, stop in zip(bag.offsets.tolist(), bag.offsets[1:].tolist()):
        entries = [e for e in range(start, stop) for _ in range(1 if bag.counts is None else int(bag.counts[e]))]
        found.append([(e, e if bag.row_index is None else int(bag.row_index[e])) for e in entries])
    return found
