"""Notices on texts that may learn or measure less than one thinks, each of one line with counts and shares.

They are on texts that max_tokens cuts, on tokens that the vocabulary does not know, on classes with few texts, and on
held-out texts that are training texts, too.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.data.config import DataConfig
from engine.data.growing import GrowingArray
from engine.data.hash_table import Keys
from engine.data.strings import hashes_of
from engine.data.texts import TextBlock, TextSource, shown
from engine.data.vocabulary import Vocabulary
from engine.types import Array, Ints1d

FEW_TEXTS = 10  # a class with fewer training texts is told of
NAMED_CLASSES = 3
MUCH_UNKNOWN = 0.2  # share of unknown tokens above which a vocabulary hardly fits
NAMES = {"train": "training", "validation": "validation", "test": "test"}


class CutCount:
    """The number of texts that an Encoder has cut, and of the tokens that they lost. Threads may add at once."""

    def __init__(self) -> None:
        self.lock, self.texts, self.tokens = threading.Lock(), 0, 0

    def add(self, lengths: Ints1d, most: int) -> None:
        """Count the texts of more than `most` tokens. lengths: (B,) of all texts before the cut."""
        lost = np.maximum(lengths - most, 0)
        with self.lock:
            self.texts += int(np.count_nonzero(lost))
            self.tokens += int(lost.sum())

    def take(self) -> tuple[int, int]:
        """(texts, tokens) since the last time."""
        with self.lock:
            counts, self.texts, self.tokens = (self.texts, self.tokens), 0, 0
        return counts


class HashedSource:
    """A TextSource that keeps the hash of each text that passes, 8 bytes each."""

    def __init__(self, inner: TextSource) -> None:
        self.inner, self.passed = inner, GrowingArray(np.uint64)

    @property
    def source(self) -> str:
        return self.inner.source

    def digest(self) -> str:
        return self.inner.digest()

    def blocks(self) -> Iterator[TextBlock]:
        self.passed = GrowingArray(np.uint64)
        for block in self.inner.blocks():
            offsets = block.strings.offsets
            self.passed.append(hashes_of(block.strings.data, offsets[:-1], offsets[1:]))
            yield block

    def hashes(self) -> Keys:
        """(B,) uint64: the hashes of the texts of the last blocks()."""
        hashes: Keys = self.passed.array()
        return hashes


def notices(
    config: DataConfig,
    vocabulary: Vocabulary,
    classes: Sequence[str],
    splits: Mapping[str, RaggedBatch],
    cut: Mapping[str, tuple[int, int]],
    hashes: Mapping[str, Keys],
    whole: Keys,
) -> list[str]:
    """The notices on splits of texts.

    cut: {split: (texts, tokens)} as of CutCount; hashes: {split: (B,) of its texts}; whole: those of all texts to learn
    from, before some are split off for validation.
    """
    labels = splits["train"].labels
    assert labels is not None
    found = [
        cut_notice(config, vocabulary, splits, cut),
        unknown_notice(config, vocabulary, splits),
        few_notice(classes, labels),
        duplicates_notice(hashes, whole),
    ]
    return [line for line in found if line is not None]


def cut_notice(
    config: DataConfig,
    vocabulary: Vocabulary,
    splits: Mapping[str, RaggedBatch],
    cut: Mapping[str, tuple[int, int]],
) -> str | None:
    """The line on texts that were cut."""
    size, parts = vocabulary.tokenizer.get_vocab_size(), []
    for split, (texts, tokens) in cut.items():
        if texts:
            kept = int(np.count_nonzero(splits[split].ids < size))
            count = len(splits[split].offsets) - 1
            shares = f"{percent(texts, count)}; {percent(tokens, kept + tokens)} of all tokens lost"
            parts.append(f"{texts:,} of {count:,} {NAMES[split]} texts ({shares})")
    return f"cut after max_tokens={config.max_tokens}: {', '.join(parts)}" if parts else None


def unknown_notice(config: DataConfig, vocabulary: Vocabulary, splits: Mapping[str, RaggedBatch]) -> str | None:
    """The line on tokens that the vocabulary does not know (of a language without spaces, say)."""
    shares = {split: vocabulary.unknown_share(batch.ids) for split, batch in splits.items()}
    if max(shares.values()) <= MUCH_UNKNOWN:
        return None
    listed = ", ".join(f"{100 * share:.1f} % of the {NAMES[split]} tokens" for split, share in shares.items())
    if config.tokenizer:
        remedy = "without --tokenizer a vocabulary is learned from the training texts"
    elif config.tokens == "words":
        remedy = "with tokens=wordpieces they fall into pieces that are known"
    else:
        remedy = "they hold characters that the training texts lack"
    return f"unknown words: {listed}; {remedy}"


def few_notice(classes: Sequence[str], labels: Array) -> str | None:
    """The line on classes with fewer than FEW_TEXTS training texts. labels: (B,), or (B, C) booleans."""
    several = labels.ndim == 2
    counts: Ints1d = labels.sum(axis=0) if several else np.bincount(labels, minlength=len(classes))
    few = sorted(np.flatnonzero(counts < FEW_TEXTS).tolist(), key=lambda number: counts[number])
    if not few:
        return None
    named = ", ".join(f"{shown(classes[number])} {counts[number]}" for number in few[:NAMED_CLASSES])
    more = f" and {len(few) - NAMED_CLASSES:,} more" if len(few) > NAMED_CLASSES else ""
    texts, of_all = int(labels[:, few].any(axis=1).sum() if several else counts[few].sum()), len(labels)
    have = f"{len(few):,} of {len(classes):,} classes have fewer than {FEW_TEXTS} training texts"
    return f"few texts: {have} ({texts:,} together, {percent(texts, of_all)} of all): {named}{more}"


def duplicates_notice(hashes: Mapping[str, Keys], whole: Keys) -> str | None:
    """The line on validation texts that equal one trained on, and on test texts that equal one of the whole."""
    parts = []
    for split, known in (("validation", hashes["train"]), ("test", whole)):
        some = hashes.get(split, whole[:0])
        equal = int(np.isin(some, known).sum())
        if equal:
            parts.append(f"{equal:,} of {len(some):,} {NAMES[split]} texts ({percent(equal, len(some))})")
    return f"duplicates: {' and '.join(parts)} are training texts, too" if parts else None


def percent(part: int, whole: int) -> str:
    """A share of a count in percent; "<0.1 %" where it would round to nothing."""
    share = 100 * part / max(whole, 1)
    return "<0.1 %" if 0 < share < 0.05 else f"{share:.1f} %"
