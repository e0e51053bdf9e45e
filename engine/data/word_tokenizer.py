"""A tokenizer whose words Python keeps: the library gets them when a method is called that is not written out here.

To take in 200,000 words the library needs as long as all the rest of labelling a sentence.
"""

import functools
import json
from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer

UNKNOWN = "[UNK]"


def is_of_words(saved: dict[str, Any]) -> bool:
    """Whether a tokenizer.json holds words that a WordTokenizer finds as the library does: BERT's parts, one [UNK]."""
    model, added = saved["model"], saved.get("added_tokens") or []
    kinds = [(saved.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")]
    if kinds != ["BertNormalizer", "BertPreTokenizer"] or model.get("type") != "WordLevel":
        return False
    words = model["vocab"]
    return (
        model.get("unk_token") == UNKNOWN
        and UNKNOWN in words
        and set(map(type, words.values())) == {int}
        and all(token["special"] and words.get(token["content"]) == token["id"] for token in added)
    )


class WordTokenizer:
    """Stands for the library's Tokenizer of a tokenizer.json that is_of_words()."""

    def __init__(self, saved: dict[str, Any]) -> None:
        self.saved, self.ids = saved, saved["model"]["vocab"]
        kept = {UNKNOWN, *(token["content"] for token in saved.get("added_tokens") or [])}
        model = {**saved["model"], "vocab": {token: self.ids[token] for token in kept}}
        self.without_words = Tokenizer.from_str(json.dumps({**saved, "model": model}))
        self.normalizer, self.pre_tokenizer = self.without_words.normalizer, self.without_words.pre_tokenizer
        self.model = self.without_words.model

    @functools.cached_property
    def whole(self) -> Tokenizer:
        """The library's."""
        tokenizer = Tokenizer.from_str(json.dumps(self.saved))
        tokenizer.encode_special_tokens = self.encode_special_tokens
        return tokenizer

    def made(self) -> list[Tokenizer]:
        """The library's tokenizers that there are by now."""
        return [self.without_words, *([self.whole] if "whole" in self.__dict__ else [])]

    @property
    def encode_special_tokens(self) -> bool:
        """Whether special tokens written in a text are ordinary characters."""
        return bool(self.without_words.encode_special_tokens)

    @encode_special_tokens.setter
    def encode_special_tokens(self, value: bool) -> None:
        for tokenizer in self.made():
            tokenizer.encode_special_tokens = value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "saved" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.whole, name)

    def no_truncation(self) -> None:
        for tokenizer in self.made():
            tokenizer.no_truncation()

    def no_padding(self) -> None:
        for tokenizer in self.made():
            tokenizer.no_padding()

    def get_added_tokens_decoder(self) -> Any:
        return self.without_words.get_added_tokens_decoder()

    def get_vocab(self) -> dict[str, int]:
        return dict(self.ids)

    def get_vocab_size(self) -> int:
        return len(self.ids)

    def token_to_id(self, token: str) -> int | None:
        return self.ids.get(token)

    def ids_of(self, words: Iterable[str]) -> list[int]:
        """The id of each word, of one that is not known that of [UNK]."""
        unknown = self.ids[UNKNOWN]
        return [self.ids.get(word, unknown) for word in words]
