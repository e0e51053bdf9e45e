"""Texts as numbers of their words: each distinct word is then looked at once, however often it occurs."""

from typing import NamedTuple

import numpy as np

from engine.arrays.ragged import offsets_from
from engine.data.growing import gathered_lists
from engine.data.sentences import sentences_of
from engine.data.strings import DistinctStrings, Strings, strings_from, to_list, word_bounds
from engine.types import Ints1d, Offsets


class NumberedTexts(NamedTuple):
    """Texts as numbers of words (see strings.word_bounds).

    numbers: (W,) int32; offsets: (B + 1,) of words. With sentences: sentence_offsets: (S + 1,) of words, and
    first_sentences: (B + 1,), how many sentences there are before each text.
    """

    numbers: Ints1d
    offsets: Offsets
    sentence_offsets: Offsets | None = None
    first_sentences: Offsets | None = None

    def take(self, rows: Ints1d) -> "NumberedTexts":
        """The texts of some rows, in that order."""
        numbers, offsets = gathered_lists(self.numbers, self.offsets, rows)
        if self.sentence_offsets is None or self.first_sentences is None:
            return NumberedTexts(numbers, offsets)
        counts, first = gathered_lists(np.diff(self.sentence_offsets), self.first_sentences, rows)
        return NumberedTexts(numbers, offsets, offsets_from(counts), first)


def number_words(words: DistinctStrings, texts: Strings, sentences: bool = False) -> NumberedTexts:
    """NumberedTexts of some texts; their new words are added. sentences: whether to cut texts into sentences."""
    first = None
    if sentences:
        parts = [sentences_of(text) for text in to_list(texts)]
        texts = strings_from([part for text in parts for part in text])
        first = offsets_from([len(text) for text in parts])
    starts, ends, offsets = word_bounds(texts)
    numbers = words.number(texts.data, starts, ends)
    return NumberedTexts(numbers, offsets) if first is None else NumberedTexts(numbers, offsets[first], offsets, first)
