"""From texts to a vocabulary and token ids in files, block by block.

Texts are read once and held as numbers of their words in a file. What stays in memory grows with the number of distinct
words and n-grams, not with that of the texts.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.ragged import RaggedBatch, offsets_from
from engine.data.affixes import AffixVocabulary, begins, learn_affixes
from engine.data.char_ngrams import CharNGramVocabulary, learn_char_ngrams
from engine.data.config import DataConfig
from engine.data.encoder import Encoder
from engine.data.growing import FileArray, GrowingArray, mapped
from engine.data.ngrams import GramCounts, NGramVocabulary
from engine.data.numbered import NumberedTexts, number_words
from engine.data.pieces import CutWords
from engine.data.progress import Phase
from engine.data.strings import DistinctStrings, Strings, spans_of
from engine.data.texts import TextSource, encode_label_sets, encode_labels
from engine.data.tokenizer import WordCounts, learn_tokenizer, untrained
from engine.data.vocabulary import Vocabulary
from engine.support.ahead import ahead, cores
from engine.types import Array, Bools, Ints1d

CHUNK_WORDS = 300_000  # encoded at a time, in each thread

Log = Callable[[str], object]


class ReadTexts(NamedTuple):
    """Texts that have been read. labels: (B,) positions in `names`, the labels in the order in which they came."""

    texts: NumberedTexts
    labels: Ints1d
    names: list[str]


def read_numbered(
    source: TextSource, words: DistinctStrings, sentences: bool, file: Path, log: Log | None
) -> ReadTexts:
    """Read all texts as numbers of their words, which a file holds. sentences: whether to cut texts into sentences."""
    numbers, counts = FileArray(file, np.int32), GrowingArray(np.int64)
    sentence_counts, first_sentences = GrowingArray(np.int64), GrowingArray(np.int64)
    number_of: defaultdict[str, int] = defaultdict(itertools.count().__next__)
    labels = GrowingArray(np.int64)
    with Phase("read", f"read {source.source}", None, log) as phase:
        for block in source.blocks():
            if block.labels is None:
                raise ValueError("labels: expected a label for each text, got None")
            texts = number_words(words, block.strings, sentences)
            numbers.append(texts.numbers)
            counts.append(np.diff(texts.offsets))
            if texts.sentence_offsets is not None and texts.first_sentences is not None:
                sentence_counts.append(np.diff(texts.sentence_offsets))
                first_sentences.append(np.diff(texts.first_sentences))
            labels.append(np.fromiter(map(number_of.__getitem__, block.labels), np.int64, len(block.labels)))
            phase.advance(len(block.labels))
    numbered = NumberedTexts(numbers.finish(), offsets_from(counts.array()))
    if sentences:
        numbered = numbered._replace(
            sentence_offsets=offsets_from(sentence_counts.array()),
            first_sentences=offsets_from(first_sentences.array()),
        )
    return ReadTexts(numbered, labels.array(), list(number_of))


def chunks_of(texts: NumberedTexts, rows: Ints1d) -> Iterator[Ints1d]:
    """Runs of rows whose texts have at most CHUNK_WORDS words together, or are one."""
    ends = np.cumsum(texts.offsets[1:][rows] - texts.offsets[rows])
    first = 0
    while first < len(rows):
        before = ends[first - 1] if first else 0
        stop = max(first + 1, int(np.searchsorted(ends, before + CHUNK_WORDS, side="right")))
        yield rows[first:stop]
        first = stop


def learn_vocabulary(
    config: DataConfig,
    tokenizer: Tokenizer | None,
    texts: NumberedTexts,
    rows: Ints1d,
    words: CutWords,
    log: Log | None,
) -> Vocabulary:
    """The Vocabulary without n-grams of a DataConfig from the texts of some rows. tokenizer: None to learn one.

    words: those that `texts` are numbers of.
    """
    if tokenizer is not None and not (config.affixes or config.char_ngrams):
        return Vocabulary(tokenizer)
    words.cut_new(tokenizer or untrained())
    occurrences = np.zeros(len(words.strings), np.int64)
    with Phase("learn vocabulary", "learned the vocabulary", len(rows), log) as phase:
        for some in chunks_of(texts, rows):
            occurrences += np.bincount(texts.take(some).numbers, minlength=len(occurrences))
            phase.advance(len(some))
        counts = words.piece_counts(occurrences)
        present = np.flatnonzero(counts)
        pieces = words.pieces.strings()
        pieces = spans_of(pieces.data, pieces.offsets[present], pieces.offsets[present + 1])
        if tokenizer is None:
            known = WordCounts(pieces, counts[present])
            tokenizer = learn_tokenizer(known, config.vocabulary_size, config.tokens)
        affixes = learn_affixes(pieces) if config.affixes else None
        return Vocabulary(tokenizer, affixes=affixes, char_ngrams=char_ngrams_of(config, pieces, affixes))


def char_ngrams_of(config: DataConfig, pieces: Strings, affixes: AffixVocabulary | None) -> CharNGramVocabulary | None:
    """The CharNGramVocabulary of a DataConfig, without what affixes say already; None for none."""
    if not config.char_ngrams:
        return None
    said = [] if affixes is None else affixes.known
    bordered = [f"<{name[:-1]}" if begins(name) else f"{name[1:]}>" for name in said]
    sizes = config.char_ngram_frequency, config.char_ngram_vocabulary_size
    return learn_char_ngrams(pieces, config.char_ngram_lengths(), *sizes, left_out=bordered)


def learn_ngrams(
    config: DataConfig, encoder: Encoder, texts: NumberedTexts, rows: Ints1d, log: Log | None
) -> NGramVocabulary:
    """The NGramVocabulary of a DataConfig from the texts of some rows. encoder: of tokens alone."""
    counts = GramCounts(config.ngrams)
    encoder.learn_words()
    with Phase("learn n-grams", "learned n-grams", len(rows), log) as phase:
        for _, batch in encoded(encoder, texts, rows):
            counts.add(batch.ids, batch.offsets)
            phase.advance(len(batch.offsets) - 1)
    return counts.vocabulary(config.ngram_frequency, config.ngram_vocabulary_size)


def encoded(encoder: Encoder, texts: NumberedTexts, rows: Ints1d) -> Iterator[tuple[Ints1d, RaggedBatch]]:
    """(some of the rows, their texts encoded), one chunk after the other, in as many threads as there are cores."""
    return ahead(chunks_of(texts, rows), lambda some: (some, encoder.encode_numbers(texts.take(some))), cores())


class BatchFiles:
    """The arrays of a RaggedBatch in files NAME.ids.npy and so on of a folder."""

    def __init__(self, folder: Path, name: str, sentences: bool, several_labels: bool = False) -> None:
        self.ids = FileArray(folder / f"{name}.ids.npy", np.int32)
        self.offsets = FileArray(folder / f"{name}.offsets.npy", np.int64)
        self.labels = FileArray(folder / f"{name}.labels.npy", bool if several_labels else np.int64)
        self.sentences = FileArray(folder / f"{name}.sentence_offsets.npy", np.int64) if sentences else None
        for array in (self.offsets, self.sentences):
            if array is not None:
                array.append([0])

    def append(self, batch: RaggedBatch, labels: Ints1d | Bools) -> None:
        """Put texts behind the last one."""
        before = len(self.ids)
        self.ids.append(batch.ids)
        self.offsets.append(before + batch.offsets[1:])
        self.labels.append(labels)
        if self.sentences is not None and batch.sentence_offsets is not None:
            self.sentences.append(before + batch.sentence_offsets[1:])

    def finish(self) -> RaggedBatch:
        """The whole batch, mapped."""
        sentences = None if self.sentences is None else self.sentences.finish()
        ids, offsets = self.ids.finish(), self.offsets.finish()
        return RaggedBatch(ids, offsets, as_labels(self.labels.finish(), len(offsets) - 1), sentences)


def as_labels(flat: Array, texts: int) -> Array:
    """The labels of some texts from their numbers in a file: booleans are a row of classes for each text."""
    return flat.reshape(texts, len(flat) // max(1, texts)) if flat.dtype == bool else flat


def batch_in(folder: Path, name: str) -> RaggedBatch:
    """The RaggedBatch that BatchFiles of this name hold."""
    paths = [folder / f"{name}.{part}.npy" for part in ("ids", "offsets", "labels", "sentence_offsets")]
    ids, offsets, labels = map(mapped, paths[:3])
    sentences = mapped(paths[3]) if paths[3].exists() else None
    return RaggedBatch(ids, offsets, as_labels(labels, len(offsets) - 1), sentences)


def encode_rows(
    encoder: Encoder,
    texts: NumberedTexts,
    labels: Ints1d,
    rows: Ints1d,
    files: BatchFiles,
    log: Log | None,
    sets: Bools | None = None,
) -> RaggedBatch:
    """The RaggedBatch of some texts that have been read. labels: (B,) class numbers, or rows of `sets` (S, C)."""
    encoder.learn_words()
    with Phase("encode", "encoded", len(rows), log) as phase:
        for some, batch in encoded(encoder, texts, rows):
            files.append(batch, labels[some] if sets is None else sets[labels[some]])
            phase.advance(len(some))
    return files.finish()


def encode_source(
    encoder: Encoder,
    source: TextSource,
    classes: list[str],
    files: BatchFiles,
    log: Log | None,
    several_labels: bool = False,
) -> RaggedBatch:
    """The RaggedBatch of other texts, which are read and encoded at once. UserError for a label of no class."""
    with Phase("read and encode", f"read and encoded {source.source}", None, log) as phase:
        for block in source.blocks():
            encode = encode_label_sets if several_labels else encode_labels
            files.append(encoder.encode(block.strings), encode(block.labels, classes, block))
            phase.advance(len(block.strings.offsets) - 1)
    return files.finish()
