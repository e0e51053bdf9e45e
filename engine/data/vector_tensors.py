"""Word vectors in a safetensors file: a matrix (count, d), a row a word.

It is called `embeddings` or `embedding.weight`, or is the only one. The words of its rows stand in a file in the same
folder: a tokenizer.json or a vocab.txt, one word a line. Rows behind the last word are not used.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.mapped import DTYPES, LENGTH_BYTES
from engine.data.blocks import read_characters
from engine.data.packed import split_member, unpacked
from engine.data.texts import shown
from engine.data.vector_files import FETCH, READ_BYTES, Row, VectorFile
from engine.support.errors import UserError, first_line
from engine.support.files import parse_json
from engine.types import Floats1d

TENSORS = ("embeddings", "embedding.weight")
WORD_FILES = ("tokenizer.json", "vocab.txt")
LARGEST_HEADER = 1 << 28


class TensorVectors(VectorFile):
    """A matrix of a safetensors file, with the words of its rows in a file beside it."""

    unit = "row"

    def read_head(self) -> tuple[int, int | None]:
        with unpacked(self.path) as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
            header = file.read(length) if length < LARGEST_HEADER else b""
        try:
            tensors: dict[str, Any] = parse_json(header)
            tensors.pop("__metadata__", None)
            matrices = [name for name, entry in tensors.items() if len(entry["shape"]) == 2]
            named = [name for name in TENSORS if name in matrices] or matrices
            self.name = named[0] if named else ""
            if not self.name or (len(named) > 1 and self.name not in TENSORS):
                raise UserError(
                    f"{self.path}: expected one matrix or one called {TENSORS[0]}, got {len(matrices)} "
                    f"({shown(', '.join(matrices))}); give a file with one"
                )
            entry = tensors[self.name]
            self.kind = entry["dtype"]
            (count, dimension), (begin, end) = entry["shape"], entry["data_offsets"]
            self.begin = LENGTH_BYTES + length + begin
            whole = self.kind not in DTYPES or end - begin == count * dimension * DTYPES[self.kind].itemsize
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
            raise UserError(f"{self.path}: is no safetensors file ({first_line(error)}); {FETCH}") from None
        if not self.kind.startswith("F") or self.kind not in DTYPES:
            raise UserError(f"{self.path}: {self.name} is of type {self.kind}; save it as F16, F32 or F64")
        if not whole:
            raise UserError(f"{self.path}: {self.name} has other bytes than its shape needs; {FETCH}")
        return dimension, count

    def words(self) -> dict[int, str]:
        """{row: word} by the file beside this one."""
        folder = Path(split_member(self.path).file).parent
        for name in WORD_FILES:
            path = folder / name
            if path.is_file():
                content = read_characters(path)
                if name == "vocab.txt":
                    found = dict(enumerate(content.removesuffix("\n").replace("\r", "").split("\n")))
                else:
                    found = {row: word for word, row in vocabulary_in(path, content).items()}
                if max(found, default=-1) >= (self.count or 0):
                    raise UserError(
                        f"{path}: has {max(found) + 1:,} words, {self.path} only {self.count:,} rows; "
                        "give the words of these vectors"
                    )
                return found
        raise UserError(
            f"{self.path}: the words of its rows are missing; put a {' or a '.join(WORD_FILES)} into {folder}"
        )

    def rows(self) -> Iterator[Row]:
        words, size = self.words(), self.dimension * DTYPES[self.kind].itemsize
        with unpacked(self.path) as file:
            left = self.begin
            while left and (skipped := len(file.read(min(left, READ_BYTES)))):
                left -= skipped
            for row in range(self.count or 0):
                raw = file.read(size)
                if len(raw) < size:
                    self.wrong(row + 1, f"the file ends before it, of {self.count:,} rows", FETCH)
                yield row + 1, words.get(row, ""), raw

    def numbers(self, number: int, raw: bytes) -> Floats1d:
        return np.frombuffer(raw, DTYPES[self.kind]).astype(np.float32)


def vocabulary_in(path: Path, content: str) -> dict[str, int]:
    """{token: id} of a tokenizer.json."""
    try:
        vocabulary: dict[str, int] = Tokenizer.from_str(content).get_vocab()
        return vocabulary
    except Exception as error:  # the library raises bare Exceptions
        raise UserError(f"{path}: is no tokenizer.json ({shown(str(error))}); give that of the vectors") from None
