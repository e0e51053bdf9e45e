"""Learned vocabularies, token ids, sentences and affixes, kept between runs: the same texts are tokenized once.

(A validation split makes others of a corpus.)

Files are named by a digest of all that decides what they hold (the texts, the tokenizer, the limits, the library's
version), so that nothing in the folder can be out of date. A file that is missing, cannot be read or written, or ids
that do not fit their checksum cost time, never a run.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import platformdirs
import safetensors
import safetensors.numpy
import tokenizers
from tokenizers import Tokenizer

from engine.arrays.array_file import write_arrays
from engine.data.affixes import AffixVocabulary, encode_affixes, learn_affixes, load_affixes, save_affixes
from engine.data.tokenizer import encode_sentences, encode_texts, load_tokenizer, save_tokenizer, train_tokenizer
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.types import Ints1d, Offsets

KEPT_FILES = 128
FORMAT = 1  # raise it when the same inputs give other tokens

Kept = TypeVar("Kept")
Arrays = TypeVar("Arrays", bound=tuple[Ints1d, ...])


class TokenCache:
    """The folder "tokens" of a cache folder; by default that of the user."""

    def __init__(self, cache_dir: AnyPath | None = None) -> None:
        self.folder = Path(cache_dir or user_folder()) / "tokens"

    def tokenizer(self, texts: Sequence[str], vocabulary_size: int, tokens: str = "wordpieces") -> Tokenizer:
        """train_tokenizer(texts, vocabulary_size, tokens), from the folder where it has been trained before."""
        key = digest("vocabulary", tokens, vocabulary_size, *texts)
        return self.learned(
            key, lambda: train_tokenizer(texts, vocabulary_size, tokens), load_tokenizer, save_tokenizer
        )

    def encode(self, tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> tuple[Ints1d, Offsets]:
        """encode_texts(tokenizer, texts, max_tokens), from the folder where it has been done before."""
        key = digest("ids", max_tokens, tokenizer.to_str(), *texts)
        return self.arrays(key, ("ids", "offsets"), lambda: encode_texts(tokenizer, texts, max_tokens))

    def encode_sentences(
        self, tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int
    ) -> tuple[Ints1d, Offsets, Offsets]:
        """encode_sentences(tokenizer, texts, max_tokens), from the folder where it has been done before."""
        key = digest("sentence ids", max_tokens, tokenizer.to_str(), *texts)
        names = ("ids", "offsets", "sentence_offsets")
        return self.arrays(key, names, lambda: encode_sentences(tokenizer, texts, max_tokens))

    def learn_affixes(self, tokenizer: Tokenizer, texts: Sequence[str]) -> AffixVocabulary:
        """learn_affixes(tokenizer, texts), from the folder where it has been done before."""
        key = digest("affix vocabulary", tokenizer.to_str(), *texts)
        return self.learned(key, lambda: learn_affixes(tokenizer, texts), load_affixes, save_affixes)

    def encode_affixes(
        self, vocabulary: AffixVocabulary, tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int
    ) -> tuple[Ints1d, Offsets]:
        """encode_affixes(vocabulary, tokenizer, texts, max_tokens), from the folder where it has been done before."""
        key = digest("affix ids", max_tokens, tokenizer.to_str(), len(vocabulary.known), *vocabulary.known, *texts)
        names = ("ids", "offsets")
        return self.arrays(key, names, lambda: encode_affixes(vocabulary, tokenizer, texts, max_tokens))

    def learned(
        self, key: str, make: Callable[[], Kept], load: Callable[[Path], Kept], save: Callable[[Kept, Path], None]
    ) -> Kept:
        """The vocabulary kept under a key; where there is none, that of make(), which is then kept."""
        path = self.folder / f"{key}.json"
        with contextlib.suppress(UserError):
            return self.used(path, load(path))
        vocabulary = make()
        self.keep(lambda: save(vocabulary, path))
        return vocabulary

    def arrays(self, key: str, names: Sequence[str], make: Callable[[], Arrays]) -> Arrays:
        """The arrays of these names kept under a key; where there are none, those of make(), which are then kept."""
        path = self.folder / f"{key}.safetensors"
        with contextlib.suppress(OSError, KeyError, safetensors.SafetensorError):
            kept = safetensors.numpy.load_file(path)
            found = tuple(kept[name] for name in names)
            if kept["sum"].tobytes() == checksum(*found).tobytes():
                return self.used(path, cast(Arrays, found))
        made = make()
        content = {**dict(zip(names, made)), "sum": checksum(*made)}
        self.keep(lambda: write_arrays(path, content))
        return made

    def used(self, path: Path, value: Kept) -> Kept:
        """Return the value; its file counts as new, so that it is not the next to be removed."""
        with contextlib.suppress(OSError):
            os.utime(path)
        return value

    def keep(self, write: Callable[[], object]) -> None:
        """Write a file if the folder allows it, and remove the oldest of more than KEPT_FILES."""
        with contextlib.suppress(OSError, UserError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write()
            files = sorted(
                (file for file in self.folder.iterdir() if not file.name.startswith(".")),
                key=lambda file: file.stat().st_mtime,
            )
            for file in files[:-KEPT_FILES]:
                file.unlink()


def user_folder() -> str:
    return platformdirs.user_cache_dir("wave-network")


def digest(*parts: object) -> str:
    """Hexadecimal SHA-256 of texts and numbers, of their boundaries, and of the version of the tokenizer library."""
    sha = hashlib.sha256()
    for part in (FORMAT, tokenizers.__version__, *parts):
        data = str(part).encode("utf-8", "surrogatepass")
        sha.update(b"%d:" % len(data))
        sha.update(data)
    return sha.hexdigest()


def checksum(*arrays: Ints1d) -> npt.NDArray[np.uint8]:
    """(32,) bytes: SHA-256 of all arrays."""
    return np.frombuffer(hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest(), np.uint8)
