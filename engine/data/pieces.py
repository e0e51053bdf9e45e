"""Words as a tokenizer cuts them before it looks them up: "said," is "said" and ",".

Words of printable ASCII are cut here, as tokenizers of the BERT family do (a run of letters and digits, or one
punctuation mark), a hundred times faster than by the library, which cuts all others.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from tokenizers import PreTokenizedString, Tokenizer, models, normalizers, pre_tokenizers

from engine.arrays.ragged import offsets_from
from engine.data.growing import GrowingLists, gathered
from engine.data.strings import DistinctStrings, Strings, spans_of, strings_from, to_list
from engine.types import Ints1d

ALNUM, UPPER, PRINTABLE = (np.zeros(256, bool) for _ in range(3))
for kind, first, last in (
    (ALNUM, "0", "9"),
    (ALNUM, "A", "Z"),
    (ALNUM, "a", "z"),
    (UPPER, "A", "Z"),
    (PRINTABLE, "!", "~"),
):
    kind[ord(first) : ord(last) + 1] = True
LOWER = np.arange(256, dtype=np.uint8) + 32 * UPPER.astype(np.uint8)
CHUNK_CHARACTERS = 100_000


def cuts_at_spaces(tokenizer: Tokenizer) -> bool:
    """Whether the tokens of a text are those of its space-separated words, one after the other.

    So it is with BERT's parts: normalization looks at characters one by one (and at the accents that follow one), and
    words end at spaces. Added tokens could span spaces, unless they are special, which here means ordinary characters.
    """
    return (
        isinstance(tokenizer.model, (models.WordPiece, models.WordLevel))
        and isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
        and isinstance(tokenizer.pre_tokenizer, pre_tokenizers.BertPreTokenizer)
        and all(token.special for token in tokenizer.get_added_tokens_decoder().values())
    )


class CutWords:
    """Distinct words and their pieces, each numbered as it comes: cut once, for a vocabulary and for token ids."""

    def __init__(self) -> None:
        self.strings, self.pieces, self.of_word = DistinctStrings(), DistinctStrings(), GrowingLists()

    def cut_new(self, tokenizer: Tokenizer) -> None:
        """Cut the words that have come since the last time, by the same tokenizer or one that cuts alike."""
        if len(self.strings) > len(self.of_word):
            self.of_word.append(*pieces_of(tokenizer, self.strings.strings(len(self.of_word)), self.pieces))

    def piece_counts(self, occurrences: Ints1d) -> Ints1d:
        """(P,) how often each piece occurs where the words do so often, (W,)."""
        counts = np.repeat(occurrences, np.diff(self.of_word.offsets.array()))
        return np.bincount(self.of_word.values.array(), counts, len(self.pieces)).astype(np.int64)  # exact below 2⁵³


def pieces_of(tokenizer: Tokenizer, words: Strings, distinct: DistinctStrings) -> tuple[npt.NDArray[np.int32], Ints1d]:
    """(numbers (P,) in `distinct` of the pieces of all words, counts (W,) of each word). New pieces are added."""
    bounds = words.offsets
    plain = np.zeros(len(bounds) - 1, bool)
    if cuts_at_spaces(tokenizer):
        odd = offsets_from(~PRINTABLE[words.data])
        plain = odd[bounds[1:]] == odd[bounds[:-1]]
    counts = np.zeros(len(plain), np.int64)
    parts = []
    for chosen, cut in ((plain, plain_pieces), (~plain, library_pieces)):
        rows = np.flatnonzero(chosen)
        if len(rows):
            pieces, counts[rows] = cut(tokenizer, spans_of(words.data, bounds[rows], bounds[rows + 1]))
            parts.append((rows, distinct.number(pieces.data, pieces.offsets[:-1], pieces.offsets[1:])))
    offsets = offsets_from(counts)
    numbers = np.empty(offsets[-1], np.int32)
    for rows, found in parts:
        numbers[gathered(offsets[rows], counts[rows])[1]] = found
    return numbers, counts


def plain_pieces(tokenizer: Tokenizer, words: Strings) -> tuple[Strings, Ints1d]:
    """(pieces, number of pieces of each word) of words of printable ASCII."""
    data = LOWER[words.data] if tokenizer.normalizer.lowercase else words.data
    alone = ~ALNUM[data]
    begins = alone.copy()
    begins[1:] |= alone[:-1]
    begins[words.offsets[:-1][words.offsets[:-1] < len(data)]] = True  # an empty word begins where the next does
    starts = np.flatnonzero(begins)
    counts = np.diff(np.searchsorted(starts, words.offsets))
    return Strings(data, np.append(starts, len(data))), counts


def library_pieces(tokenizer: Tokenizer, words: Strings) -> tuple[Strings, Ints1d]:
    """(pieces, number of pieces of each word) of any words."""
    strings = to_list(words)
    if not cuts_at_spaces(tokenizer):  # what a word consists of may depend on its being alone
        cut = [words_of(tokenizer, word) for word in strings]
        return strings_from(piece for pieces in cut for piece in pieces), np.array([len(pieces) for pieces in cut])
    pieces: list[str] = []
    counts = [np.zeros(0, np.int64)]
    for chunk in chunks(strings):
        text = PreTokenizedString(" ".join(chunk))
        text.normalize(tokenizer.normalizer.normalize)
        tokenizer.pre_tokenizer.pre_tokenize(text)
        splits = text.get_splits("original", "char")
        starts = offsets_from([len(word) + 1 for word in chunk])  # of the words, among the characters
        words_of_pieces = np.searchsorted(starts, [start for _, (start, _), _ in splits], side="right") - 1
        pieces += [piece for piece, _, _ in splits]
        counts.append(np.bincount(words_of_pieces.astype(np.int64), minlength=len(chunk)))
    return strings_from(pieces), np.concatenate(counts)


def words_of(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words of a text, normalized, as the tokenizer cuts them before it looks them up."""
    text = text if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(text)
    return (
        text.split()
        if tokenizer.pre_tokenizer is None
        else [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    )


def chunks(strings: list[str]) -> Iterator[list[str]]:
    """Lists of consecutive strings of about CHUNK_CHARACTERS together."""
    first, characters = 0, 0
    for place, string in enumerate(strings):
        characters += len(string) + 1
        if characters >= CHUNK_CHARACTERS:
            yield strings[first : place + 1]
            first, characters = place + 1, 0
    if first < len(strings):
        yield strings[first:]
