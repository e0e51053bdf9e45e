"""Tokenizers of words, or of word pieces: learned from texts, loaded and saved."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from engine.arrays.checks import check_choice
from engine.data.blocks import read_characters
from engine.data.config import TOKENS
from engine.data.pieces import cuts_at_spaces, pieces_of
from engine.data.strings import DistinctStrings, Strings, spans_of, strings_from, to_list, word_bounds
from engine.data.texts import shown
from engine.data.word_tokenizer import WordTokenizer, is_of_words
from engine.support.errors import UserError
from engine.support.files import AnyPath, write_text
from engine.types import Ints1d

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]  # their positions are their ids
CONTINUATION = "##"
MINIMUM_FREQUENCY = 2  # a token that occurs once cannot be learned
FIRST = "[CLS]"  # of every text
CHUNK_WORDS = 10_000
WITHOUT_IDS = ("truncation", "padding", "post_processor", "decoder")  # parts of a tokenizer.json that decide no id
LONGEST_START = 16  # characters before each text


class WordCounts(NamedTuple):
    """Distinct words, normalized and cut (pieces.py), and how often each stands in the training texts, (n,) int64."""

    words: Strings
    counts: Ints1d


def train_tokenizer(
    texts: Iterable[str], vocabulary_size: int, tokens: str = "wordpieces", lowercase: bool = True
) -> Tokenizer:
    """learn_tokenizer() from texts."""
    strings = strings_from(texts)
    words, pieces = DistinctStrings(), DistinctStrings()
    starts, ends, _ = word_bounds(strings)
    occurrences = np.bincount(words.number(strings.data, starts, ends), minlength=len(words))
    numbers, counts = pieces_of(untrained(lowercase), words.strings(), pieces)
    found = np.bincount(numbers, np.repeat(occurrences, counts), len(pieces)).astype(np.int64)
    return learn_tokenizer(WordCounts(pieces.strings(), found), vocabulary_size, tokens, lowercase)


def untrained(lowercase: bool = True) -> Tokenizer:
    """A tokenizer that normalizes texts and cuts words as those that learn_tokenizer() returns."""
    return bert_tokenizer(None, lowercase)


def learn_tokenizer(
    words: WordCounts, vocabulary_size: int, tokens: str = "wordpieces", lowercase: bool = True
) -> Tokenizer:
    """A tokenizer with at most `vocabulary_size` tokens that cuts words as BERT does. words: as untrained() cuts them.

    tokens: "words" knows the most frequent words and takes all others for [UNK]; "wordpieces" lets these fall into
    pieces, as BERT does. The same texts give the same tokenizer. Raises UserError when the texts hold no word, or more
    characters than the vocabulary can take in.
    """
    check_choice("tokens", tokens, TOKENS)
    tokenizer = (word_tokenizer if tokens == "words" else piece_tokenizer)(words, vocabulary_size, lowercase)
    tokenizer.add_special_tokens(SPECIAL_TOKENS)
    return tokenizer


def word_tokenizer(words: WordCounts, vocabulary_size: int, lowercase: bool) -> Tokenizer:
    """learn_tokenizer() for words: the most frequent ones; of equally frequent ones the first of the alphabet."""
    if vocabulary_size <= len(SPECIAL_TOKENS):
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"it has no room for words beside {', '.join(SPECIAL_TOKENS)}; raise it (--vocabulary-size)"
        )
    frequent = np.flatnonzero(words.counts >= MINIMUM_FREQUENCY)
    if not len(frequent):
        raise UserError(
            f"the training texts hold no word {MINIMUM_FREQUENCY} times, to build a vocabulary from; "
            "check which column holds the text (--text-columns), or take pieces of words (--tokens wordpieces)"
        )
    bounds = words.words.offsets
    names = to_list(spans_of(words.words.data, bounds[frequent], bounds[frequent + 1]))
    ordered = sorted(zip((-words.counts[frequent]).tolist(), names))
    known = SPECIAL_TOKENS + [name for _, name in ordered[: vocabulary_size - len(SPECIAL_TOKENS)]]
    model = models.WordLevel({name: number for number, name in enumerate(known)}, unk_token="[UNK]")
    return cut_as_bert(model, lowercase)


def piece_tokenizer(words: WordCounts, vocabulary_size: int, lowercase: bool) -> Tokenizer:
    """learn_tokenizer() for word pieces."""
    # The library numbers the pieces "##x" in the order of a hash table that differs from run to run, and breaks ties
    # between merges by these numbers. Hence a first training without merges that finds them, on each word once, and a
    # second that is told them, sorted, as if they were special tokens.
    names = to_list(words.words)
    alphabet = learned_vocabulary(names, np.ones(len(names), np.int64), 0, SPECIAL_TOKENS)
    if len(alphabet) == len(SPECIAL_TOKENS):
        raise UserError(
            "the training texts hold no word to build a vocabulary from; "
            "check which column holds the text (--text-columns)"
        )
    if len(alphabet) > vocabulary_size:
        raise UserError(
            f"a vocabulary of {vocabulary_size} tokens is too small: "
            f"the characters of the training texts alone need {len(alphabet)}; "
            "raise it to that at least (--vocabulary-size)"
        )
    pieces = sorted(piece for piece in alphabet if piece.startswith(CONTINUATION) and len(piece) > len(CONTINUATION))
    known = learned_vocabulary(names, words.counts, vocabulary_size, SPECIAL_TOKENS + pieces)
    return bert_tokenizer(known, lowercase)


def learned_vocabulary(words: list[str], counts: Ints1d, size: int, special_tokens: list[str]) -> dict[str, int]:
    """Token → id after one training by the library, which only counts words: each comes as often as it occurs."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=MINIMUM_FREQUENCY, special_tokens=special_tokens, show_progress=False
    )
    tokenizer.train_from_iterator(repeated(words, counts), trainer)
    return tokenizer.get_vocab()


def repeated(words: list[str], counts: Ints1d) -> Iterator[str]:
    """Texts of at most CHUNK_WORDS words in which each word stands as often as its count says."""
    for first in range(0, len(words), CHUNK_WORDS):
        chunk, left = words[first : first + CHUNK_WORDS], counts[first : first + CHUNK_WORDS].tolist()
        text: list[str] = []
        for word, count in zip(chunk, left):
            while len(text) + count > CHUNK_WORDS:
                yield " ".join(text + [word] * (CHUNK_WORDS - len(text)))
                count -= CHUNK_WORDS - len(text)
                text = []
            text += [word] * count
        yield " ".join(text)


def bert_tokenizer(vocabulary: dict[str, int] | None, lowercase: bool) -> Tokenizer:
    """A WordPiece tokenizer. vocabulary: token → id, or None for an empty one."""
    return cut_as_bert(models.WordPiece(vocabulary, unk_token="[UNK]"), lowercase)


def cut_as_bert(model: models.Model, lowercase: bool) -> Tokenizer:
    """A tokenizer of a model that normalizes texts and cuts words as BERT does."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def load_tokenizer(path: AnyPath, words_in_python: bool = False) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` or of a BERT vocabulary, one token per line.

    words_in_python: a WordTokenizer where it is one of whole words. Raises UserError for anything else.

    A vocabulary without upper-case letters (but in "[CLS]" and the like) is taken as lower-cased.
    """
    content = read_characters(path)
    tokenizer = (
        tokenizer_of_json(path, content, words_in_python)
        if content.lstrip().startswith("{")
        else tokenizer_of_vocabulary(path, content)
    )
    for token in ("[UNK]", "[CLS]"):
        if tokenizer.token_to_id(token) is None:
            raise UserError(
                f"{path}: the vocabulary has no token {token}; give a tokenizer.json or vocab.txt of the BERT family"
            )
    return tokenizer


def tokenizer_of_json(path: AnyPath, content: str, words_in_python: bool) -> Tokenizer:
    try:
        saved = json.loads(content)
        require_safe(saved)
        if any(saved.get(part) for part in WITHOUT_IDS):
            saved.update(dict.fromkeys(WITHOUT_IDS))
            content = json.dumps(saved)
        if words_in_python and is_of_words(saved):
            "".join(saved["model"]["vocab"]).encode()  # as the library, which keeps words in UTF-8
            tokenizer: Any = WordTokenizer(saved)
        else:
            tokenizer = Tokenizer.from_str(content)
            tokenizer.encode("\u2603")  # an unknown token that is missing shows only when it is needed
        ids = ids_of(tokenizer, saved["model"]["vocab"])
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(
            f"{path}: is no tokenizer.json that can be used ({shown(str(error))}); give one of the BERT family, "
            "or a vocab.txt"
        ) from None
    if not np.array_equal(np.sort(ids), np.arange(len(ids))):
        raise UserError(
            f"{path}: the {len(ids)} token ids are not 0 to {len(ids) - 1}, some are missing or duplicates; "
            "number them without gaps"
        )
    return tokenizer


def ids_of(tokenizer: Tokenizer, saved: Any) -> Ints1d:
    """The ids of all tokens. saved: the vocabulary of the model as it is in the file, which may lack added tokens."""
    whole = isinstance(saved, dict) and len(saved) == tokenizer.get_vocab_size()
    vocabulary = saved if whole else tokenizer.get_vocab()  # a third of the time of loading a large one
    return np.fromiter(vocabulary.values(), np.int64, len(vocabulary))


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


def check_sentences(tokenizer: Tokenizer, source: AnyPath) -> None:
    """Raise UserError for a tokenizer in whose tokens the ends of sentences are lost. source: where it comes from."""
    if not cuts_at_spaces(tokenizer):
        raise UserError(
            f"{source}: this tokenizer does not cut words at spaces as BERT does, so that its tokens hide the ends of "
            "sentences; give one of the BERT family, or set levels=text"
        )
