"""Learned vocabularies, token ids, sentences and affixes, kept between runs: the same texts are tokenized once.

(A validation split makes others of a corpus.)

Files are named by a digest of all that decides what they hold (the texts, the tokenizer, the limits, the library's
version), so that nothing in the folder can be out of date, and by one of what they hold. A file that is missing,
damaged or of another user, in a folder that several share, is not used: it costs time, never a run.
"""

import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import platformdirs
import safetensors
import safetensors.numpy
import tokenizers
from tokenizers import Tokenizer

from engine.arrays.array_file import write_arrays
from engine.data.affixes import AffixVocabulary, encode_affixes, learn_affixes, load_affixes, save_affixes
from engine.data.tokenizer import encode_sentences, encode_texts, load_tokenizer, save_tokenizer, train_tokenizer
from engine.support.errors import UserError
from engine.support.files import AnyPath, sha256_of
from engine.types import Ints1d, Offsets

KEPT_FILES = 128
DIGITS = 32  # of the digest of what a file holds
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
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
        return self.kept(
            key, ".json", lambda: train_tokenizer(texts, vocabulary_size, tokens), load_tokenizer, save_tokenizer
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
        return self.kept(key, ".json", lambda: learn_affixes(tokenizer, texts), load_affixes, save_affixes)

    def encode_affixes(
        self, vocabulary: AffixVocabulary, tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int
    ) -> tuple[Ints1d, Offsets]:
        """encode_affixes(vocabulary, tokenizer, texts, max_tokens), from the folder where it has been done before."""
        key = digest("affix ids", max_tokens, tokenizer.to_str(), len(vocabulary.known), *vocabulary.known, *texts)
        names = ("ids", "offsets")
        return self.arrays(key, names, lambda: encode_affixes(vocabulary, tokenizer, texts, max_tokens))

    def arrays(self, key: str, names: Sequence[str], make: Callable[[], Arrays]) -> Arrays:
        """The arrays of these names kept under a key; where there are none, those of make(), which are then kept."""

        def load(path: Path) -> Arrays:
            found = safetensors.numpy.load_file(path)
            return cast(Arrays, tuple(found[name] for name in names))

        return self.kept(key, ".safetensors", make, load, lambda made, path: write_arrays(path, dict(zip(names, made))))

    def kept(
        self,
        key: str,
        ending: str,
        make: Callable[[], Kept],
        load: Callable[[Path], Kept],
        save: Callable[[Kept, Path], object],
    ) -> Kept:
        """What is kept under a key; where nothing whole is, the result of make(), which is then kept."""
        with contextlib.suppress(OSError, UserError, KeyError, safetensors.SafetensorError):
            for path in self.folder.glob(f"{key}-*{ending}"):
                if is_own(path) and path.name == name_of(path, key, ending):
                    found = load(path)
                    with contextlib.suppress(OSError):
                        os.utime(path)  # used: not the next to be removed
                    return found
        made = make()
        with contextlib.suppress(OSError, UserError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.keep(key, ending, lambda path: save(made, path))
        return made

    def keep(self, key: str, ending: str, write: Callable[[Path], object]) -> None:
        """Write a file, and remove the oldest of more than KEPT_FILES. Raises UserError or OSError."""
        temporary = self.folder / f".{key}.{secrets.token_hex(4)}.tmp"
        try:
            write(temporary)
            temporary.chmod(temporary.stat().st_mode & ~OTHERS_WRITE)
            os.replace(temporary, self.folder / name_of(temporary, key, ending))
        finally:
            temporary.unlink(missing_ok=True)
        for file in sorted(self.folder.iterdir(), key=lambda file: file.stat().st_mtime)[:-KEPT_FILES]:
            file.unlink()


def name_of(path: Path, key: str, ending: str) -> str:
    """The name of a file to be kept under a key: with a digest of the key and of what the file holds."""
    return f"{key}-{digest(key, sha256_of(path))[:DIGITS]}{ending}"


def is_own(path: Path) -> bool:
    """Whether none but this user and root can have written a file: what it holds decides the weights of a run."""
    status = path.lstat()
    if not hasattr(os, "geteuid"):  # Windows
        return True
    return stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()) and not status.st_mode & OTHERS_WRITE


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
