"""What a run knows of words: a tokenizer, the n-grams of its tokens, and the affixes of words."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from engine.arrays.ragged import lengths
from engine.data.affixes import AffixVocabulary, encode_affixes, load_affixes, save_affixes
from engine.data.encoding import encode_texts
from engine.data.ngrams import NGramVocabulary, add_ngrams, grams_of, places_in, side_by_side
from engine.data.tokenizer import load_tokenizer, save_tokenizer
from engine.support.errors import UserError
from engine.support.files import write_whole

CODERS = SimpleNamespace(encode=encode_texts, encode_affixes=encode_affixes)


class Vocabulary(NamedTuple):
    """tokenizer: of the `tokenizers` library.

    ngrams: NGramVocabulary or None, affixes: AffixVocabulary or None, whose ids follow in this order.
    """

    tokenizer: object
    ngrams: NGramVocabulary | None = None
    affixes: AffixVocabulary | None = None

    def first_affix(self):
        """The id of the first affix: how many tokens and n-grams there are."""
        return self.tokenizer.get_vocab_size() + (0 if self.ngrams is None else len(self.ngrams.hashes))

    def size(self):
        """Number of token ids."""
        return self.first_affix() + (0 if self.affixes is None else len(self.affixes.known))

    def encode(self, texts, max_tokens, coders=CODERS):
        """(ids, offsets) of all texts, each followed by its n-grams and affixes, which max_tokens does not count.

        coders: functions for tokens and for affixes; a TokenCache remembers what they gave.
        """
        return self.extended(*coders.encode(self.tokenizer, texts, max_tokens), texts, max_tokens, coders)

    def extended(self, ids, offsets, texts, max_tokens, coders=CODERS):
        """What encode() gives, from the ids of the tokenizer."""
        if self.ngrams is not None:
            ids, offsets = add_ngrams(ids, offsets, self.tokenizer.get_vocab_size(), self.ngrams)
        if self.affixes is not None:
            affixes, ends = coders.encode_affixes(self.affixes, self.tokenizer, texts, max_tokens)
            ids, offsets = side_by_side(
                [ids, self.first_affix() + affixes], np.array([lengths(offsets), lengths(ends)])
            )
        return ids, offsets

    def unknown_share(self, ids):
        """The share of the tokenizer's tokens among ids that are [UNK]; 0 if there are none."""
        tokens = np.count_nonzero(ids < self.tokenizer.get_vocab_size())
        return np.count_nonzero(ids == self.tokenizer.token_to_id("[UNK]")) / max(tokens, 1)

    def names(self, ids):
        """The tokens of one encoded text as strings; those of an n-gram are joined by "_", an affix has a "-" where its word goes on."""
        affixes = [self.affixes.known[i] for i in (ids[ids >= self.first_affix()] - self.first_affix()).tolist()]
        ids = ids[ids < self.tokenizer.get_vocab_size()]
        names = [self.tokenizer.id_to_token(i) for i in ids.tolist()]
        grams = () if self.ngrams is None else grams_of(ids, np.array([0, len(ids)]), self.ngrams.longest)
        joined = []
        for length, (starts, hashes) in enumerate(grams, start=2):
            _, known = places_in(self.ngrams.hashes, hashes)
            joined += ["_".join(names[start : start + length]) for start in starts[known]]
        return names + joined + affixes


def save_vocabulary(vocabulary, tokenizer_file, ngrams_file, affixes_file):
    """Write a `tokenizer.json` and, where there are some, the hashes of the n-grams and the affixes.

    UserError where a file cannot be written.
    """
    save_tokenizer(vocabulary.tokenizer, tokenizer_file)
    if vocabulary.ngrams is not None:
        hashes = {"hashes": vocabulary.ngrams.hashes}
        write_whole(
            ngrams_file,
            lambda temporary: safetensors.numpy.save_file(hashes, temporary),
            (OSError, safetensors.SafetensorError),
        )
    if vocabulary.affixes is not None:
        save_affixes(vocabulary.affixes, affixes_file)


def load_vocabulary(tokenizer_file, ngrams_file, affixes_file, longest, affixes):
    """The Vocabulary that save_vocabulary wrote. longest: of its n-grams, 1 for none; affixes: whether it has some.

    UserError for a damaged or missing file.
    """
    ngrams = NGramVocabulary(read_hashes(ngrams_file), longest) if longest > 1 else None
    return Vocabulary(read_tokenizer(tokenizer_file), ngrams, load_affixes(affixes_file) if affixes else None)


def read_tokenizer(path):
    """load_tokenizer() of a run, whose file nobody chooses: the remedy is another one."""
    try:
        return load_tokenizer(path)
    except UserError as error:
        reason = str(error).removeprefix(str(path)).lstrip(":, ").rpartition("; ")[0]
        raise UserError(
            f"{path}: the tokenizer of the run cannot be read ({reason}); restore the file or train again"
        ) from None


def read_hashes(path):
    try:
        return safetensors.numpy.load_file(path)["hashes"]
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(
            f"{path}: the n-grams of the run cannot be read ({error}); restore the file or train again"
        ) from None
