"""Word vectors of a file for the tokens of a vocabulary.

A token takes the vector of the word that is written as it is, else of the first word of the file that is so in the
normal form of the vocabulary (lower case, without accents), or in lower case. So "Paris" in the file serves a token
"paris" where the file has no "paris". Of equal words the first counts. Special tokens ([CLS], [UNK] …) take none, nor
do n-grams and affixes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.ragged import RaggedBatch
from engine.data.packed import content_name
from engine.data.progress import Phase
from engine.data.texts import shown
from engine.data.tokenizer import SPECIAL_TOKENS
from engine.data.vector_files import BinaryVectors, TextVectors, VectorFile
from engine.data.vector_tensors import TensorVectors
from engine.data.vocabulary import Vocabulary
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.types import Floats2d, Ints1d

ADVANCE = 8192  # words between two updates of the progress
COUNTED_IDS = 1 << 22  # at a time
FOLDED, WRITTEN = 1, 2  # how a token was matched


def open_vectors(path: AnyPath) -> VectorFile:
    """The VectorFile of a path, by its name. UserError where it cannot be read or is of no such kind."""
    name = content_name(path)
    kinds = {".bin": BinaryVectors, ".safetensors": TensorVectors}
    return kinds.get(Path(name).suffix, TextVectors)(path)


def require_dimension(path: AnyPath, found: int, wanted: int) -> None:
    """Raise UserError where the vectors of a file have another dimension than the network."""
    if found != wanted:
        raise UserError(
            f"{path}: has vectors of {found} numbers, the network has dimension {wanted}; "
            f"leave dimension out, or set dimension={found}"
        )


class WordVectors(NamedTuple):
    """The vectors that a file has for a vocabulary.

    rows: (n,) ascending token ids. values: (n, d) float32, as in the file. words: how many tokens could have one.
    duplicates: how often a word came again.
    """

    rows: Ints1d
    values: Floats2d
    words: int = 0
    duplicates: int = 0


class Words:
    """The tokens of a tokenizer that can have a vector."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = {*SPECIAL_TOKENS, *(token.content for token in tokenizer.get_added_tokens_decoder().values())}
        self.written = {token: row for token, row in tokenizer.get_vocab().items() if token not in special}
        self.folded: dict[str, list[int]] = {}
        for token, row in self.written.items():
            self.folded.setdefault(token.lower(), []).append(row)
        self.is_cased = any(token != token.lower() for token in self.written)
        normalizer = tokenizer.normalizer
        self.normalize: Callable[[str], str] = str if normalizer is None else normalizer.normalize_str

    def matches(self, word: str) -> list[tuple[int, int]]:
        """(token id, FOLDED or WRITTEN) of each token that a word of a file could serve."""
        row = self.written.get(word)
        found = [] if row is None else [(row, WRITTEN)]
        if row is None or self.is_cased:
            folded = self.folded.get(self.normalize(word).strip().lower(), ())
            found += [(other, FOLDED) for other in folded if other != row]
        return found


def read_vectors(
    path: AnyPath, tokenizer: Tokenizer, dimension: int, log: Callable[[str], object] | None = None
) -> WordVectors:
    """The WordVectors of a file for a tokenizer, read once from start to end; only the rows that match are kept.

    log: takes a line where that took long. UserError for a file that cannot be read, where d is not `dimension`, and
    where no word matches.
    """
    file, words = open_vectors(path), Words(tokenizer)
    require_dimension(path, file.dimension, dimension)
    size = max(words.written.values(), default=-1) + 1
    values = np.zeros((size, file.dimension), np.float32)  # rows that are never written take no memory
    how, duplicates, count = np.zeros(size, np.int8), 0, 0
    with Phase("vectors", f"read {path}", file.count, log, "words") as phase:
        for number, word, raw in file.rows():
            for row, matched in words.matches(word):
                if matched > how[row]:
                    values[row], how[row] = file.values(number, raw), matched
                elif matched == WRITTEN:
                    duplicates += 1
            count += 1
            if count % ADVANCE == 0:
                phase.advance(ADVANCE)
        phase.advance(count % ADVANCE)
    rows = np.flatnonzero(how)
    if not len(rows):
        some = ", ".join(shown(token) for token in sorted(words.written, key=lambda token: words.written[token])[:3])
        raise UserError(
            f"{path}: none of its {count:,} words is in the vocabulary ({some} …); give vectors of its language"
        )
    return WordVectors(rows, values[rows], len(words.written), duplicates)


def coverage(vectors: WordVectors, vocabulary: Vocabulary, texts: RaggedBatch) -> str:
    """A line that says how many words of a vocabulary, and of the tokens of the training texts, have a vector.

    [CLS], the first of each text, is none of their tokens.
    """
    size = vocabulary.tokenizer.get_vocab_size()
    counts = np.zeros(size, np.int64)
    for start in range(0, len(texts.ids), COUNTED_IDS):
        ids = texts.ids[start : start + COUNTED_IDS]
        counts += np.bincount(ids[ids < size], minlength=size)
    tokens = int(counts.sum()) - (len(texts.offsets) - 1)
    share = 100 * int(counts[vectors.rows].sum()) / max(tokens, 1)
    line = f"vectors: {len(vectors.rows):,} of {vectors.words:,} words, {share:.1f} % of the tokens"
    if vectors.duplicates:
        line += f"; {vectors.duplicates:,} duplicates, of which the first counts"
    return line
