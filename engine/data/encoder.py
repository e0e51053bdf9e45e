"""Encodes texts for predictions, one batch after another, and remembers the words that it has met."""

from collections.abc import Sequence
from itertools import repeat

import numpy as np

from engine.arrays.ragged import RaggedBatch, lengths, positions, spread
from engine.data.affixes import affixes_of, words_of
from engine.data.batching import gathered
from engine.data.ngrams import grams_of, places_in, side_by_side
from engine.data.tokenizer import FIRST, cuts_at_spaces, encode_whole
from engine.data.vocabulary import Vocabulary
from engine.types import Ints1d, Offsets

KNOWN_PARTS = 200_000  # of some 300 bytes each
UNKNOWN = -1


class TextEncoder:
    """Encodes texts as a Vocabulary does. What lies between two spaces, a part, is tokenized once.

    known: the number of each part; None stands for the [CLS] before each text. tokens, affixes: for each part its token
    ids, and the ids of its affixes. words: the number of its words.
    """

    def __init__(self, vocabulary: Vocabulary, max_tokens: int) -> None:
        self.vocabulary, self.max_tokens = vocabulary, max_tokens
        self.whole = vocabulary.sentences or not cuts_at_spaces(vocabulary.tokenizer)  # parts are not alone
        if self.whole:
            return
        tokenizer = vocabulary.tokenizer
        first = tokenizer.token_to_id(FIRST)
        if first is None:
            raise ValueError(f"vocabulary: its tokenizer must have the token {FIRST}")
        self.first: int = first
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        self.lowercase = words_of(tokenizer, "A") == ["a"]
        known = () if vocabulary.affixes is None else vocabulary.affixes.known
        self.affix_ids = {affix: id for id, affix in enumerate(known, start=vocabulary.first_affix())}
        self.forget()

    def forget(self) -> None:
        """Know no part but the one that stands for [CLS]."""
        self.known: dict[str | None, int] = {None: 0}
        self.tokens, self.affixes = Runs(), Runs()
        self.words = np.zeros(1, np.int64)
        self.tokens.extend([[self.first]])
        self.affixes.extend([[]])

    def __call__(self, texts: Sequence[str]) -> RaggedBatch:
        """The RaggedBatch of some texts, without labels."""
        if self.whole or not texts:
            return self.vocabulary.encode(texts, self.max_tokens)
        parts, offsets = self.parts_of(texts)
        ids, ends = cut_texts(*self.tokens.of_texts(parts, offsets), self.max_tokens)
        found, counts = [ids], [lengths(ends)]
        if self.vocabulary.ngrams is not None:
            text_of = spread(np.arange(len(texts)), ends)
            for starts, hashes in grams_of(ids, ends, self.vocabulary.ngrams.longest):
                places, known = places_in(self.vocabulary.ngrams.hashes, hashes)
                found.append(self.vocabulary.tokenizer.get_vocab_size() + places[known])
                counts.append(np.bincount(text_of[starts[known]], minlength=len(texts)))
        if self.vocabulary.affixes is not None:
            affixes, ends_of_affixes = self.affixes.of_texts(*self.first_words(parts, offsets))
            found.append(affixes)
            counts.append(lengths(ends_of_affixes))
        return RaggedBatch(*(side_by_side(found, np.array(counts)) if len(found) > 1 else (ids, ends)))

    def parts_of(self, texts: Sequence[str]) -> tuple[Ints1d, Offsets]:
        """The numbers of the parts of all texts, each text after [CLS], and where the texts begin."""
        if len(self.known) > KNOWN_PARTS:
            self.forget()
        parts: list[str | None] = []
        offsets = [0]
        for text in texts:
            parts.append(None)
            parts += text.split(" ")
            offsets.append(len(parts))
        numbers = np.fromiter(map(self.known.get, parts, repeat(UNKNOWN)), np.int64, len(parts))
        if numbers.min() == UNKNOWN:
            unknown = np.flatnonzero(numbers == UNKNOWN).tolist()
            self.learn(list(dict.fromkeys(str(parts[place]) for place in unknown)))
            numbers[unknown] = [self.known[parts[place]] for place in unknown]
        return numbers, np.array(offsets)

    def learn(self, parts: list[str]) -> None:
        """Tokenize parts that are not known yet."""
        tokenizer = self.vocabulary.tokenizer
        self.known.update(zip(parts, range(len(self.words), len(self.words) + len(parts))))
        self.tokens.extend(encode_whole(tokenizer, parts))
        if self.vocabulary.affixes is None:
            self.words = np.concatenate([self.words, np.zeros(len(parts), np.int64)])
            return
        words = [self.words_of(part) for part in parts]
        ids = self.affix_ids
        self.affixes.extend(
            [[ids[affix] for word in of_part for affix in affixes_of(word) if affix in ids] for of_part in words]
        )
        self.words = np.concatenate([self.words, np.array(list(map(len, words)), np.int64)])

    def words_of(self, part: str) -> list[str]:
        """The words of a part: itself, where it has no other characters than these letters and digits."""
        if part.isascii() and part.isalnum():
            return [part.lower() if self.lowercase else part]
        return words_of(self.vocabulary.tokenizer, part)

    def first_words(self, parts: Ints1d, offsets: Offsets) -> tuple[Ints1d, Offsets]:
        """The parts that end within the first max_tokens − 1 words of their text."""
        until = np.cumsum(self.words[parts])  # words up to the end of each part, in this and all texts before
        before = spread(until[offsets[:-1]], offsets)
        inside = until - before < self.max_tokens
        return (parts, offsets) if inside.all() else kept(parts, offsets, inside)


class Runs:
    """Lists of numbers, one after the other in one array."""

    def __init__(self) -> None:
        self.values, self.ends = np.zeros(0, np.int32), np.zeros(1, np.int64)

    def extend(self, lists: list[list[int]]) -> None:
        """Append lists."""
        new = np.array([value for values in lists for value in values], np.int32)
        ends = np.cumsum(np.array(list(map(len, lists)), np.int64)) + self.ends[-1]
        self.values, self.ends = np.concatenate([self.values, new]), np.concatenate([self.ends, ends])

    def of_texts(self, numbers: Ints1d, offsets: Offsets) -> tuple[Ints1d, Offsets]:
        """The values of the lists with these numbers, one after the other, and where the texts begin among them.

        offsets: (B + 1,), cuts the numbers into texts.
        """
        starts = self.ends[numbers]
        ends, places = gathered(starts, self.ends[numbers + 1] - starts)
        return self.values[places], ends[offsets]


def cut_texts(ids: Ints1d, offsets: Offsets, most: int) -> tuple[Ints1d, Offsets]:
    """The first `most` ids of each text."""
    if (lengths(offsets) <= most).all():
        return ids, offsets
    return kept(ids, offsets, positions(offsets, len(ids)) < most)


def kept(values: Ints1d, offsets: Offsets, inside: np.ndarray) -> tuple[Ints1d, Offsets]:
    """The values that are `inside`, and the offsets of what is left of the texts."""
    return values[inside], np.concatenate([[0], np.cumsum(inside)])[offsets]
