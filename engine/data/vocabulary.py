"""The vocabulary of a run: a tokenizer, n-grams of its tokens, affixes and character n-grams of words, sentences."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.array_file import write_arrays
from engine.arrays.mapped import DamagedFile, read_arrays
from engine.data.affixes import AffixVocabulary
from engine.data.char_ngrams import CharNGramVocabulary
from engine.data.hash_table import Keys
from engine.data.name_file import load_names, save_names
from engine.data.ngrams import NGramVocabulary, grams_of
from engine.data.tokenizer import check_sentences, load_tokenizer, save_tokenizer
from engine.support.errors import UserError
from engine.support.files import sha256_of
from engine.types import Ints1d


class Vocabulary(NamedTuple):
    """A tokenizer and, where there are some, n-grams, affixes and character n-grams, whose ids follow in this order.

    sentences: whether texts are encoded with the offsets of their sentences, in which nothing but tokens stands.
    """

    tokenizer: Tokenizer
    ngrams: NGramVocabulary | None = None
    affixes: AffixVocabulary | None = None
    sentences: bool = False
    char_ngrams: CharNGramVocabulary | None = None

    def first_affix(self) -> int:
        """The id of the first affix: how many tokens and n-grams there are."""
        return self.tokenizer.get_vocab_size() + (0 if self.ngrams is None else len(self.ngrams.hashes))

    def first_char_ngram(self) -> int:
        """The id of the first character n-gram: how many tokens, n-grams and affixes there are."""
        return self.first_affix() + (0 if self.affixes is None else len(self.affixes.known))

    def size(self) -> int:
        """Number of token ids."""
        return self.first_char_ngram() + (0 if self.char_ngrams is None else len(self.char_ngrams.known))

    def has_more_than_tokens(self) -> bool:
        """Whether there are n-grams, affixes or character n-grams."""
        return any(part is not None for part in (self.ngrams, self.affixes, self.char_ngrams))

    def unknown_share(self, ids: Ints1d) -> float:
        """The share of the tokenizer's tokens among ids that are [UNK]; 0 if there are none."""
        tokens = int(np.count_nonzero(ids < self.tokenizer.get_vocab_size()))
        return int(np.count_nonzero(ids == self.tokenizer.token_to_id("[UNK]"))) / max(tokens, 1)

    def names(self, ids: Ints1d) -> list[str]:
        """The tokens of one encoded text as strings.

        The tokens of an n-gram are joined by "_"; an affix has a "-" where its word goes on, and a character n-gram "<"
        or ">" where it begins or ends.
        """
        known = [] if self.affixes is None else self.affixes.known
        known = known if self.char_ngrams is None else known + self.char_ngrams.known
        parts = [known[i] for i in (ids[ids >= self.first_affix()] - self.first_affix()).tolist()]
        ids = ids[ids < self.tokenizer.get_vocab_size()]
        names = [self.tokenizer.id_to_token(i) or "" for i in ids.tolist()]
        joined = []
        if self.ngrams is not None:
            grams = grams_of(ids, np.array([0, len(ids)]), self.ngrams.longest)
            for length, (starts, hashes) in enumerate(grams, start=2):
                found = np.isin(hashes, self.ngrams.hashes)
                joined += ["_".join(names[start : start + length]) for start in starts[found]]
        return names + joined + parts


def save_vocabulary(
    vocabulary: Vocabulary, tokenizer_file: Path, ngrams_file: Path, affixes_file: Path, char_ngrams_file: Path
) -> None:
    """Write a `tokenizer.json` and, where there are some, the hashes of the n-grams, affixes, character n-grams.

    UserError where a file cannot be written.
    """
    save_tokenizer(vocabulary.tokenizer, tokenizer_file)
    if vocabulary.ngrams is not None:
        write_arrays(ngrams_file, {"hashes": vocabulary.ngrams.hashes})
    if vocabulary.affixes is not None:
        save_names(vocabulary.affixes.known, affixes_file)
    if vocabulary.char_ngrams is not None:
        save_names(vocabulary.char_ngrams.known, char_ngrams_file)


def load_vocabulary(
    tokenizer_file: Path,
    ngrams_file: Path,
    affixes_file: Path,
    char_ngrams_file: Path,
    longest: int,
    affixes: bool,
    char_ngrams: bool = False,
    sentences: bool = False,
) -> Vocabulary:
    """The Vocabulary that save_vocabulary wrote. longest: of its n-grams, 1 for none.

    affixes, char_ngrams: whether it has some; sentences: whether it cuts texts into sentences, which no file says.
    UserError for a damaged or missing file, and for a tokenizer that hides the ends of sentences where they are needed.
    """
    tokenizer = read_tokenizer(tokenizer_file)
    if sentences:
        check_sentences(tokenizer, tokenizer_file)
    ngrams = NGramVocabulary(read_hashes(ngrams_file), longest) if longest > 1 else None
    return Vocabulary(
        tokenizer,
        ngrams,
        AffixVocabulary(load_names(affixes_file, "affixes")) if affixes else None,
        sentences,
        CharNGramVocabulary(load_names(char_ngrams_file, "character n-grams")) if char_ngrams else None,
    )


def vocabulary_digests(files: Iterable[Path]) -> dict[str, str]:
    """{name: SHA-256} of the files of a vocabulary; an unreadable file is left to the loader, which names it."""
    digests = {}
    for file in files:
        with contextlib.suppress(OSError):
            digests[file.name] = sha256_of(file)
    return digests


def read_tokenizer(path: Path) -> Tokenizer:
    """load_tokenizer() for the file of a run, with another remedy: nobody has chosen it."""
    try:
        return load_tokenizer(path, words_in_python=True)
    except UserError as error:
        reason = str(error).removeprefix(str(path)).lstrip(":, ").rpartition("; ")[0]
        raise UserError(
            f"{path}: the tokenizer of the run cannot be read ({reason}); restore the file or train again"
        ) from None


def read_hashes(path: Path) -> Keys:
    try:
        hashes: Keys = read_arrays(path, mapped=True)["hashes"]
        return hashes
    except (OSError, KeyError, DamagedFile) as error:
        raise UserError(
            f"{path}: the n-grams of the run cannot be read ({error}); restore the file or train again"
        ) from None
