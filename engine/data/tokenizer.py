"""Tokenizers of words, or of word pieces: learned from texts, loaded, saved, and applied to texts."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from engine.arrays.checks import check_choice
from engine.data.config import TOKENS
from engine.data.sentences import sentences_of
from engine.data.tables import read_characters
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, write_text
from engine.types import Ints1d, Offsets

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]  # their positions are their ids
CONTINUATION = "##"
MINIMUM_FREQUENCY = 2  # a token that occurs once cannot be learned
FIRST = "[CLS]"  # of every text
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 1_000_000  # the library takes about 100 bytes per token while a chunk is encoded
KNOWN_WORDS = 500_000
WITHOUT_IDS = ("truncation", "padding", "post_processor", "decoder")  # parts of a tokenizer.json that decide no id
LONGEST_START = 16  # characters before each text


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, tokens: str = "wordpieces", lowercase: bool = True
) -> Tokenizer:
    """A tokenizer with at most `vocabulary_size` tokens that cuts words as BERT does. texts: strings.

    tokens: "words" knows the most frequent words and takes all others for [UNK]; "wordpieces" lets these fall into
    pieces, as BERT does. The same texts give the same tokenizer. Raises UserError when the texts hold no word, or more
    characters than the vocabulary can take in.
    """
    check_choice("tokens", tokens, TOKENS)
    texts = list(texts)
    tokenizer = (word_tokenizer if tokens == "words" else piece_tokenizer)(texts, vocabulary_size, lowercase)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def word_tokenizer(texts: list[str], vocabulary_size: int, lowercase: bool) -> Tokenizer:
    """train_tokenizer() for words."""
    if vocabulary_size <= len(SPECIAL_TOKENS):
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"it has no room for words beside {', '.join(SPECIAL_TOKENS)}; raise it (--vocabulary-size)"
        )
    tokenizer = cut_as_bert(models.WordLevel(unk_token="[UNK]"), lowercase)
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size, min_frequency=MINIMUM_FREQUENCY, special_tokens=SPECIAL_TOKENS, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    if tokenizer.get_vocab_size() == len(SPECIAL_TOKENS):
        raise UserError(
            f"the {len(texts)} training texts hold no word {MINIMUM_FREQUENCY} times, to build a vocabulary from; "
            "check which column holds the text (--text-columns), or take pieces of words (--tokens wordpieces)"
        )
    return tokenizer


def piece_tokenizer(texts: list[str], vocabulary_size: int, lowercase: bool) -> Tokenizer:
    """train_tokenizer() for word pieces."""
    # The library numbers the pieces "##x" in the order of a hash table that differs from run to run, and breaks ties
    # between merges by these numbers. Hence a first training without merges that finds them, on each word once, and a
    # second that is told them, sorted, as if they were special tokens.
    words = set()
    for text in texts:
        words.update(text.split(" "))
    alphabet = learned_vocabulary(sorted(words), 0, SPECIAL_TOKENS, lowercase)
    if len(alphabet) == len(SPECIAL_TOKENS):
        raise UserError(
            f"the {len(texts)} training texts hold no word to build a vocabulary from; "
            "check which column holds the text (--text-columns)"
        )
    if len(alphabet) > vocabulary_size:
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"the characters of the training texts alone need {len(alphabet)}; "
            "raise it to that at least (--vocabulary-size)"
        )
    pieces = sorted(piece for piece in alphabet if piece.startswith(CONTINUATION) and len(piece) > len(CONTINUATION))
    return bert_tokenizer(learned_vocabulary(texts, vocabulary_size, SPECIAL_TOKENS + pieces, lowercase), lowercase)


def learned_vocabulary(texts: list[str], size: int, special_tokens: list[str], lowercase: bool) -> dict[str, int]:
    """Token → id after one training by the library."""
    tokenizer = bert_tokenizer(None, lowercase)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=MINIMUM_FREQUENCY, special_tokens=special_tokens, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer, length=len(texts))
    return tokenizer.get_vocab()


def bert_tokenizer(vocabulary: dict[str, int] | None, lowercase: bool) -> Tokenizer:
    """A WordPiece tokenizer. vocabulary: token → id, or None for an empty one."""
    return cut_as_bert(models.WordPiece(vocabulary, unk_token="[UNK]"), lowercase)


def cut_as_bert(model: models.Model, lowercase: bool) -> Tokenizer:
    """A tokenizer of a model that normalizes texts and cuts words as BERT does."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def load_tokenizer(path: AnyPath) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` or of a BERT vocabulary, one token per line.

    Raises UserError for anything else.

    A vocabulary without upper-case letters (but in "[CLS]" and the like) is taken as lower-cased.
    """
    content = read_characters(path)
    tokenizer = (
        tokenizer_of_json(path, content) if content.lstrip().startswith("{") else tokenizer_of_vocabulary(path, content)
    )
    for token in ("[UNK]", "[CLS]"):
        if tokenizer.token_to_id(token) is None:
            raise UserError(
                f"{path}: the vocabulary has no token {token}; give a tokenizer.json or vocab.txt of the BERT family"
            )
    return tokenizer


def tokenizer_of_json(path: AnyPath, content: str) -> Tokenizer:
    try:
        saved = json.loads(content)
        require_safe(saved)
        if any(saved.get(part) for part in WITHOUT_IDS):
            content = json.dumps({**saved, **dict.fromkeys(WITHOUT_IDS)})
        tokenizer = Tokenizer.from_str(content)
        tokenizer.encode("\u2603")  # an unknown token that is missing shows only when it is needed
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(
            f"{path}: is no tokenizer.json that can be used ({shown(str(error))}); give one of the BERT family, "
            "or a vocab.txt"
        ) from None
    ids = sorted(tokenizer.get_vocab().values())
    if ids != list(range(len(ids))):
        raise UserError(
            f"{path}: the {len(ids)} token ids are not 0 to {len(ids) - 1}, some are missing or duplicates; "
            "number them without gaps"
        )
    return tokenizer


def require_safe(saved: dict[str, Any]) -> None:
    """Raise ValueError for parts of a tokenizer.json that on some texts end the process, or never end."""
    parts = [saved.get("normalizer"), saved.get("pre_tokenizer")]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        if not isinstance(part, dict):
            continue
        parts += part.values()
        # Told by their fields: the library takes parts without a "type", too.
        if "precompiled_charsmap" in part:
            raise ValueError("Precompiled is not supported")
        if "length" in part:
            raise ValueError("FixedLength is not supported")
        if "Regex" in (part.get("pattern") or ()):
            raise ValueError("a regular expression is not supported")
        if "content" in part and len(part["content"]) > len(part["pattern"]["String"]):
            raise ValueError("a replacement longer than its pattern is not supported")
        if len(part.get("prepend", "")) > LONGEST_START:
            raise ValueError(f"Prepend with {len(part['prepend'])} characters is not supported")
    for field in ("continuing_subword_prefix", "dropout"):
        if "merges" in saved["model"] and saved["model"].get(field):
            raise ValueError(f"{field} of BPE is not supported")


def tokenizer_of_vocabulary(path: AnyPath, content: str) -> Tokenizer:
    vocabulary: dict[str, int] = {}
    for line, token in enumerate(content.removesuffix("\n").split("\n"), start=1):
        token = token.removesuffix("\r")
        if token in vocabulary:
            raise UserError(
                f"{path}, line {line}: token {shown(token)} is a duplicate of line {vocabulary[token] + 1}; "
                "give a vocabulary with each token once"
            )
        vocabulary[token] = line - 1
    is_special = {token for token in vocabulary if token.startswith("[") and token.endswith("]")}
    lowercase = all(token in is_special or token == token.lower() for token in vocabulary)
    tokenizer = bert_tokenizer(vocabulary, lowercase)
    tokenizer.add_special_tokens([token for token in (*SPECIAL_TOKENS, "[MASK]") if token in vocabulary])
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, path: AnyPath) -> None:
    """Write a `tokenizer.json`; the file is replaced at once or not at all.

    Raises UserError where it cannot be written.
    """
    write_text(path, tokenizer.to_str(pretty=True))


def encode_texts(tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int) -> tuple[Ints1d, Offsets]:
    """Token ids of all texts, one after the other: (ids int32 (T,), offsets int64 (B + 1,)).

    Each text is [CLS] and its tokens, cut to `max_tokens` in total; an empty text is [CLS] alone. There is no [SEP],
    since a sample is one text, and no padding. A "[CLS]" written in a text is ordinary characters. Switches off the
    padding and truncation that the tokenizer itself may ask for.
    """
    ids, offsets, _ = encode_parts(tokenizer, texts, max_tokens, lambda text: [text])
    return ids, offsets


def encode_sentences(tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int) -> tuple[Ints1d, Offsets, Offsets]:
    """The result of encode_texts() and where sentences end: (ids, offsets, sentence_offsets int64 (S + 1,)).

    No sentence is empty, and every text has one at least: [CLS] belongs to its first. ValueError for a tokenizer that
    check_sentences() refuses.
    """
    if not cuts_at_spaces(tokenizer):
        raise ValueError("tokenizer: must cut words at spaces, else sentences have other tokens than their text")
    return encode_parts(tokenizer, texts, max_tokens, sentences_of)


def encode_parts(
    tokenizer: Tokenizer, texts: Iterable[str], max_tokens: int, cut: Callable[[str], list[str]]
) -> tuple[Ints1d, Offsets, Offsets]:
    """The ids and offsets of texts, and those of the parts into which they are cut; parts without tokens are none."""
    if max_tokens < 1:
        raise ValueError(f"max_tokens: must be at least 1, for [CLS], got {max_tokens}")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    first = tokenizer.token_to_id(FIRST)
    if first is None:
        raise ValueError(f"tokenizer: must have the token {FIRST}")
    encode = (
        WordMemory(tokenizer)
        if cuts_at_spaces(tokenizer)
        else lambda chunk: ([ids] for ids in encode_whole(tokenizer, chunk))
    )
    ids, ends, part_ends = array("i"), array("q", [0]), array("q", [0])
    for chunk in chunks(texts):
        parts = [cut(text) for text in chunk]
        encoded = iter(encode([part for text in parts for part in text]))
        for text in parts:
            ids.append(first)
            limit = ends[-1] + max_tokens
            for pieces in islice(encoded, len(text)):
                for piece in pieces:
                    ids.extend(piece)
                    if len(ids) >= limit:
                        del ids[limit:]
                        break
                if len(ids) > part_ends[-1]:
                    part_ends.append(len(ids))
            ends.append(len(ids))
    return np.array(ids, np.int32), np.array(ends, np.int64), np.array(part_ends, np.int64)


def encode_whole(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """The token ids of each text, as lists."""
    return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


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


def check_sentences(tokenizer: Tokenizer, source: AnyPath) -> None:
    """Raise UserError for a tokenizer in whose tokens the ends of sentences are lost. source: where it comes from."""
    if not cuts_at_spaces(tokenizer):
        raise UserError(
            f"{source}: this tokenizer does not cut words at spaces as BERT does, so that its tokens hide the ends of "
            "sentences; give one of the BERT family, or set levels=text"
        )


class WordMemory:
    """Encodes each word once and remembers it: 2 to 3 times faster than whole texts, with the same result."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.known: dict[str, list[int]] = {}

    def __call__(self, texts: list[str]) -> Iterator[Iterable[list[int]]]:
        """For each text an iterator over the token ids of its words."""
        if len(self.known) > KNOWN_WORDS:
            self.known.clear()
        words = [text.split(" ") for text in texts]
        new = list({word: None for line in words for word in line if word not in self.known})
        self.known.update(zip(new, encode_whole(self.tokenizer, new)))
        return (map(self.known.__getitem__, line) for line in words)


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
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
