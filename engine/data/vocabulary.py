"""What a run knows of words: a tokenizer, and the n-grams of its tokens."""

from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from engine.data.encoding import encode_texts
from engine.data.ngrams import NGramVocabulary, add_ngrams, grams_of, places_in
from engine.data.tokenizer import load_tokenizer, save_tokenizer
from engine.errors import UserError
from engine.files import write_whole


class Vocabulary(NamedTuple):
    """tokenizer: of the `tokenizers` library. ngrams: NGramVocabulary, or None for tokens alone."""

    tokenizer: object
    ngrams: NGramVocabulary | None = None

    def size(self):
        """Number of token ids."""
        return self.tokenizer.get_vocab_size() + (0 if self.ngrams is None else len(self.ngrams.hashes))

    def encode(self, texts, max_tokens, encode=encode_texts):
        """(ids, offsets) of all texts with their n-grams, which max_tokens does not count. encode: encode_texts, or what remembers its results."""
        return self.with_ngrams(*encode(self.tokenizer, texts, max_tokens))

    def with_ngrams(self, ids, offsets):
        """What encode() gives, from the ids of the tokenizer."""
        return (ids, offsets) if self.ngrams is None else add_ngrams(ids, offsets, self.tokenizer.get_vocab_size(), self.ngrams)

    def names(self, ids):
        """The tokens of one encoded text as strings; those of an n-gram are joined by "_"."""
        ids = ids[ids < self.tokenizer.get_vocab_size()]
        names = [self.tokenizer.id_to_token(i) for i in ids.tolist()]
        grams = () if self.ngrams is None else grams_of(ids, np.array([0, len(ids)]), self.ngrams.longest)
        joined = []
        for length, (starts, hashes) in enumerate(grams, start=2):
            _, known = places_in(self.ngrams.hashes, hashes)
            joined += ["_".join(names[start : start + length]) for start in starts[known]]
        return names + joined


def save_vocabulary(vocabulary, tokenizer_file, ngrams_file):
    """Write a `tokenizer.json` and, where there are n-grams, their hashes. UserError where a file cannot be written."""
    save_tokenizer(vocabulary.tokenizer, tokenizer_file)
    if vocabulary.ngrams is not None:
        hashes = {"hashes": vocabulary.ngrams.hashes}
        write_whole(ngrams_file, lambda temporary: safetensors.numpy.save_file(hashes, temporary), (OSError, safetensors.SafetensorError))


def load_vocabulary(tokenizer_file, ngrams_file, longest):
    """The Vocabulary that save_vocabulary wrote. longest: of its n-grams, 1 for none. UserError for a damaged or missing file."""
    tokenizer = load_tokenizer(tokenizer_file)
    if longest == 1:
        return Vocabulary(tokenizer)
    try:
        hashes = safetensors.numpy.load_file(ngrams_file)["hashes"]
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise UserError(f"{ngrams_file}: the n-grams of the run cannot be read ({error}); restore the file or train again") from None
    return Vocabulary(tokenizer, NGramVocabulary(hashes, longest))
