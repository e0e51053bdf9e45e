"""Affixes: how words begin and end, as further tokens.

A network thus knows something of words that it has never seen. A word of more than 5 characters gives its first 5, one
of more than 3 its last 3. Those that at least two different words of the training texts have are an AffixVocabulary;
others are left out. fastText (Bojanowski et al., arXiv 1607.04606) takes all sequences of 3 to 6 characters instead,
some ten tokens a word. The tokenizer determines the words: it cuts the parts that lie between spaces.
"""

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.ragged import RaggedBatch, lengths, spread
from engine.data.batching import take
from engine.data.tokenizer import chunks
from engine.support.errors import UserError
from engine.support.files import AnyPath, write_text
from engine.types import Ints1d, Offsets

# A change of these makes other tokens of the same texts: raise FORMAT in token_cache.py.
BEGINNING, ENDING = 5, 3  # characters
SHARED_BY = 2  # words: what only one has says no more than the word
KNOWN_PARTS = 500_000


class AffixVocabulary(NamedTuple):
    """Known affixes as affixes_of() writes them, ascending; known[i] has the id i behind those of the other tokens."""

    known: list[str]


def affixes_of(word: str) -> list[str]:
    """The affixes of a word: ["profi-", "-its"] of "profits"."""
    return [word[:BEGINNING] + "-"] * (len(word) > BEGINNING) + ["-" + word[-ENDING:]] * (len(word) > ENDING)


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of a text, normalized, as the tokenizer cuts them before it looks them up."""
    text = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
    return (
        text.split()
        if tokenizer.pre_tokenizer is None
        else [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    )


def learn_affixes(tokenizer: Tokenizer, texts: Iterable[str]) -> AffixVocabulary:
    """The AffixVocabulary of training texts."""
    parts = {part for text in texts for part in text.split(" ")}
    words = {word for part in parts for word in words_of(tokenizer, part)}
    counts = Counter(affix for word in words for affix in affixes_of(word))
    return AffixVocabulary(sorted(affix for affix, count in counts.items() if count >= SHARED_BY))


def encode_affixes(
    vocabulary: AffixVocabulary, tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int
) -> tuple[Ints1d, Offsets]:
    """The known affixes of all texts, one text after the other: (ids from 0, int32 (T,), offsets int64 (B + 1,)).

    A text's affixes come from those of its parts that end within its first max_tokens − 1 words.
    """
    places = {affix: place for place, affix in enumerate(vocabulary.known)}
    parts = Parts(tokenizer, places)
    ids: list[Ints1d] = [np.zeros(0, np.int32)]
    counts: list[Ints1d] = [np.zeros(1, np.int64)]
    for chunk in chunks(texts):
        if len(parts) > KNOWN_PARTS:
            parts = Parts(tokenizer, places)
        found, number = parts.affixes_in(chunk, max_tokens - 1)
        ids.append(found)
        counts.append(number)
    return np.concatenate(ids), np.cumsum(np.concatenate(counts), dtype=np.int64)


def save_affixes(vocabulary: AffixVocabulary, path: AnyPath) -> None:
    """Write an AffixVocabulary; the file is replaced at once or not at all. UserError where it cannot be written."""
    write_text(path, json.dumps(vocabulary.known, ensure_ascii=False, indent=0))


def load_affixes(path: AnyPath) -> AffixVocabulary:
    """The AffixVocabulary that save_affixes wrote. UserError for anything else."""
    try:
        known = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: the affixes of the run cannot be read ({error}); restore the file or train again"
        ) from None
    if not isinstance(known, list) or not all(isinstance(affix, str) for affix in known):
        raise UserError(
            f"{path}: the affixes of the run cannot be read (it is no list of texts); restore the file or train again"
        )
    return AffixVocabulary(known)


class Parts(dict[str, int]):
    """Numbers of the parts of texts, in the order in which they are met.

    words: the number of words of each part. affixes: places of known affixes; those of part p lie from ends[p] to
    ends[p + 1].
    """

    def __init__(self, tokenizer: Tokenizer, places: dict[str, int]) -> None:
        self.tokenizer, self.places = tokenizer, places
        self.words, self.affixes, self.ends = array("q"), array("i"), array("q", [0])

    def __missing__(self, part: str) -> int:
        words = words_of(self.tokenizer, part)
        self.words.append(len(words))
        self.affixes.extend(self.places[affix] for word in words for affix in affixes_of(word) if affix in self.places)
        self.ends.append(len(self.affixes))
        return self.setdefault(part, len(self))

    def affixes_in(self, texts: list[str], most_words: int) -> tuple[Ints1d, Ints1d]:
        """The places of the affixes in each text's parts up to the word most_words, and how many each text has."""
        met, ends = array("q"), array("q", [0])
        for text in texts:
            met.extend(map(self.__getitem__, text.split(" ")))
            ends.append(len(met))
        numbers, offsets = np.array(met), np.array(ends)
        until = np.cumsum(
            np.array(self.words)[numbers]
        )  # words up to the end of each part, in this and all texts before
        before = np.concatenate([[0], until])[offsets[:-1]]
        text_of = spread(np.arange(len(texts)), offsets)
        inside = until - before[text_of] <= most_words
        found = take(RaggedBatch(np.array(self.affixes, np.int32), np.array(self.ends), None), numbers[inside])
        return found.ids, np.bincount(text_of[inside], weights=lengths(found.offsets), minlength=len(texts)).astype(
            np.int64
        )
