"""Texts as flat token ids."""

from array import array

import numpy as np
from tokenizers import models, normalizers, pre_tokenizers

FIRST = "[CLS]"  # of every text
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 1_000_000  # the library takes about 100 bytes per token while a chunk is encoded
KNOWN_WORDS = 500_000


def encode_texts(tokenizer, texts, max_tokens):
    """Token ids of all texts, one after the other: (ids int32 (T,), offsets int64 (B + 1,)).

    Each text is [CLS] and its tokens, cut to `max_tokens` in total; an empty text is [CLS] alone. There is no [SEP],
    since a sample is one text, and no padding. A "[CLS]" written in a text is ordinary characters. Switches off the
    padding and truncation that the tokenizer itself may ask for.
    """
    if max_tokens < 1:
        raise ValueError(f"max_tokens: must be at least 1, for [CLS], got {max_tokens}")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    first = tokenizer.token_to_id(FIRST)
    encode = (
        WordMemory(tokenizer)
        if cuts_at_spaces(tokenizer)
        else lambda chunk: ([ids] for ids in encode_whole(tokenizer, chunk))
    )
    ids, ends = array("i"), array("q", [0])
    for chunk in chunks(texts):
        for pieces in encode(chunk):
            ids.append(first)
            limit = ends[-1] + max_tokens
            for piece in pieces:
                ids.extend(piece)
                if len(ids) >= limit:
                    del ids[limit:]
                    break
            ends.append(len(ids))
    return np.array(ids, np.int32), np.array(ends, np.int64)


def encode_whole(tokenizer, texts):
    """The token ids of each text, as lists."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def cuts_at_spaces(tokenizer):
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


class WordMemory:
    """Encodes each word once and remembers it: 2 to 3 times faster than whole texts, with the same result."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.known = {}

    def __call__(self, texts):
        """For each text an iterator over the token ids of its words."""
        if len(self.known) > KNOWN_WORDS:
            self.known.clear()
        words = [text.split(" ") for text in texts]
        new = list({word: None for line in words for word in line if word not in self.known})
        self.known.update(zip(new, encode_whole(self.tokenizer, new)))
        return (map(self.known.__getitem__, line) for line in words)


def chunks(texts):
    """Lists of consecutive texts, so large that all cores have work and so small that memory stays bounded."""
    chunk, characters = [], 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
