"""Encoding in one call, for tests."""

import numpy as np

from engine.data import affixes, ngrams
from engine.data.encoder import Encoder
from engine.data.hash_table import AscendingKeys
from engine.data.pieces import pieces_of
from engine.data.strings import DistinctStrings, strings_from, word_bounds
from engine.data.vocabulary import Vocabulary


def encode(vocabulary, texts, max_tokens):
    """RaggedBatch of texts."""
    return Encoder(vocabulary, max_tokens).encode(list(texts))


def encode_texts(tokenizer, texts, max_tokens):
    """(ids, offsets) of tokens alone."""
    return encode(Vocabulary(tokenizer), texts, max_tokens)[:2]


def encode_sentences(tokenizer, texts, max_tokens):
    """(ids, offsets, sentence_offsets)."""
    batch = encode(Vocabulary(tokenizer, sentences=True), texts, max_tokens)
    return batch.ids, batch.offsets, batch.sentence_offsets


def words_in(tokenizer, texts):
    """The distinct words of texts, normalized and cut, as Strings."""
    strings, words, pieces = strings_from(texts), DistinctStrings(), DistinctStrings()
    starts, ends, _ = word_bounds(strings)
    words.number(strings.data, starts, ends)
    pieces_of(tokenizer, words.strings(), pieces)
    return pieces.strings()


def learn_affixes(tokenizer, texts):
    """The AffixVocabulary of texts."""
    return affixes.learn_affixes(words_in(tokenizer, texts))


def encode_affixes(vocabulary, tokenizer, texts, max_tokens):
    """(ids from 0, offsets) of the affixes of texts, for a tokenizer with the token [CLS]."""
    whole = Vocabulary(tokenizer, None, vocabulary)
    batch, first = encode(whole, texts, max_tokens), whole.first_affix()
    before = np.concatenate([[0], np.cumsum(batch.ids >= first)])
    return batch.ids[batch.ids >= first] - first, before[batch.offsets]


def learn_ngrams(ids, offsets, longest, frequency, most, parts=1):
    """The NGramVocabulary of texts that are counted in some parts."""
    counts = ngrams.GramCounts(longest)
    for rows in np.array_split(np.arange(len(offsets) - 1), parts):
        if len(rows):
            bounds = offsets[rows[0] : rows[-1] + 2]
            counts.add(ids[bounds[0] : bounds[-1]], bounds - bounds[0])
    return counts.vocabulary(frequency, most)


def add_ngrams(ids, offsets, tokens, vocabulary):
    """Each text followed by its known grams: (ids, offsets)."""
    parts, counts = [ids], [np.diff(offsets)]
    for found, count in ngrams.find_ngrams(ids, offsets, AscendingKeys(vocabulary.hashes), vocabulary.longest):
        parts.append(tokens + found)
        counts.append(count)
    return ngrams.side_by_side(parts, np.array(counts))
