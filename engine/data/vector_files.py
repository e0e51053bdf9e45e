"""Files of word vectors, row by row: text (fastText, word2vec, GloVe), word2vec's binary format, safetensors.

Text, any name but the two below: a line a word, the word and d numbers with a space before each. A first line
"count d" is a header, as fastText and word2vec write it; GloVe has none. A word may hold spaces, as some of GloVe's do:
the last d columns are the numbers.

NAME.bin: a line "count d"; then of each word its bytes, a space, d little-endian float32, and a line end or none.

NAME.safetensors: vector_tensors.py.

Each may be packed (gzip, zip). Only the numbers of rows that somebody asks for are looked at.
"""

import re
from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from engine.data.blocks import BYTE_ORDER_MARK
from engine.data.packed import unpacked
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.types import Floats1d

KINDS = "word vectors as text (.vec, .txt), word2vec's .bin or .safetensors, also .gz"
FETCH = "fetch the file again"
LONGEST = 1 << 24  # bytes of a line, and of a word in a binary file
READ_BYTES = 1 << 20
FASTTEXT = (793712314).to_bytes(4, "little")  # the first bytes of fastText's own models

COUNT = re.compile(rb"[0-9]{1,18}")  # of words or numbers
Row = tuple[int, str, bytes]  # number from 1 (the line of a text file), word, and its numbers as they stand there


class VectorFile:
    """A file of word vectors. dimension: d; count: of words, None where the file does not say so.

    rows() yields a Row for each word; values() reads the numbers of one. Both raise UserError, naming file and place.
    """

    unit = "word"

    def __init__(self, path: AnyPath) -> None:
        self.path = str(path)
        self.dimension, self.count = self.read_head()
        if not self.dimension:
            self.wrong(1, "the header says 0 numbers a word", f"give {KINDS}")

    def read_head(self) -> tuple[int, int | None]:
        """(d, number of words or None)."""
        raise NotImplementedError

    def rows(self) -> Iterator[Row]:
        """Every word of the file, in order."""
        raise NotImplementedError

    def numbers(self, number: int, raw: bytes) -> Floats1d:
        """The numbers of a row as they are."""
        raise NotImplementedError

    def values(self, number: int, raw: bytes) -> Floats1d:
        """(d,) float32 of a row that rows() gave; UserError for one that is not finite."""
        found = self.numbers(number, raw)
        if not np.isfinite(found).all():
            bad = found[~np.isfinite(found)][0]
            self.wrong(number, f"holds {bad}, which is no finite number", "remove the word, or fetch the file again")
        return found

    def wrong(self, number: int, what: str, remedy: str) -> NoReturn:
        """Raise the UserError about a row."""
        raise UserError(f"{self.path}, {self.unit} {number}: {what}; {remedy}")

    def text_of(self, number: int, word: bytes) -> str:
        """A word as a string."""
        try:
            return word.decode("utf-8")
        except UnicodeDecodeError as error:
            self.wrong(
                number,
                f"byte 0x{word[error.start]:02x} of the word {shown(word.decode('utf-8', 'replace'))} is not UTF-8",
                "convert the file to UTF-8",
            )

    def check_count(self, found: int) -> None:
        """Raise UserError where the header announces another number of words than was found."""
        if self.count is not None and found != self.count:
            raise UserError(
                f"{self.path}: the header announces {self.count:,} words, the file holds {found:,}; "
                f"{FETCH}, or correct its first line"
            )


class TextVectors(VectorFile):
    """A line a word, with or without a header."""

    unit = "line"

    def read_head(self) -> tuple[int, int | None]:
        with unpacked(self.path) as file:
            first = file.readline(LONGEST).removeprefix(BYTE_ORDER_MARK).rstrip(b" \r\n").split(b" ")
        self.has_header = len(first) == 2 and all(map(COUNT.fullmatch, first))
        if self.has_header:
            return int(first[1]), int(first[0])
        bad = next((field for field in first[1:] if not is_number(field)), None)
        if len(first) < 2 or bad is not None:
            found = shown((bad or first[0]).decode("utf-8", "replace"))
            self.wrong(1, f"expected a word and its numbers, with spaces between, got {found}", f"give {KINDS}")
        return len(first) - 1, None

    def rows(self) -> Iterator[Row]:
        found = 0
        with unpacked(self.path) as file:
            for number, line in enumerate(iter(lambda: file.readline(LONGEST), b""), start=1):
                if number == 1:
                    if self.has_header:
                        continue
                    line = line.removeprefix(BYTE_ORDER_MARK)
                line = line.rstrip(b" \r\n")
                if not line:
                    continue
                if line.count(b" ") == self.dimension:
                    word, _, raw = line.partition(b" ")
                else:
                    word, raw = self.spaced(number, line)
                found += 1
                yield number, self.text_of(number, word), raw
        self.check_count(found)

    def spaced(self, number: int, line: bytes) -> tuple[bytes, bytes]:
        """(word, numbers) of a line with another number of spaces than d: the word may hold some."""
        columns = line.count(b" ")
        word, *fields = line.rsplit(b" ", self.dimension)
        last = word.rpartition(b" ")[2]
        if columns < self.dimension or is_number(last) or not last:
            expected = f"where {'the header says' if self.has_header else 'line 1 has'} {self.dimension}"
            self.wrong(number, f"{columns} numbers {expected}", f"{FETCH}, or remove the line")
        return word, b" ".join(fields)

    def numbers(self, number: int, raw: bytes) -> Floats1d:
        fields = raw.split(b" ")
        try:
            with np.errstate(over="ignore"):  # values() refuses what is infinite then
                return np.array([float(field) for field in fields], np.float32)
        except ValueError:
            bad = next(field for field in fields if not is_number(field)).decode("utf-8", "replace")
            self.wrong(number, f"{shown(bad)} is no number", f"{FETCH}, or remove the line")


def is_number(field: bytes) -> bool:
    """Whether a column can be read as a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


class BinaryVectors(VectorFile):
    """word2vec's binary format."""

    def read_head(self) -> tuple[int, int | None]:
        with unpacked(self.path) as file:
            line = file.readline(LONGEST)
        first = line.split()
        if line.startswith(FASTTEXT):
            raise UserError(f"{self.path}: is a model of fastText, not word vectors; give its .vec file")
        if len(first) != 2 or not all(map(COUNT.fullmatch, first)):
            raise UserError(
                f"{self.path}: does not begin with the number of words and of dimensions, as word2vec's .bin does; "
                f"give {KINDS}"
            )
        return int(first[1]), int(first[0])

    def rows(self) -> Iterator[Row]:
        size, buffer, start = 4 * self.dimension, b"", 0
        assert self.count is not None
        with unpacked(self.path) as file:
            file.readline(LONGEST)
            for number in range(1, self.count + 1):
                while (end := buffer.find(b" ", start)) < 0 or len(buffer) <= end + size:
                    more = file.read(READ_BYTES)
                    if not more or (end < 0 and len(buffer) - start > LONGEST):
                        self.wrong(number, f"the file ends before it, of {self.count:,} words", FETCH)
                    buffer, start = buffer[start:] + more, 0
                word, start = buffer[start:end].lstrip(b"\n"), end + 1 + size
                if b"\n" in word:
                    self.wrong(number, "its word holds a line end", "is the file text? then call it .vec")
                yield number, self.text_of(number, word), buffer[end + 1 : start]
            if (buffer[start:] + file.read(READ_BYTES)).strip(b"\n"):
                raise UserError(
                    f"{self.path}: goes on behind the {self.count:,} words of {self.dimension} numbers that its first "
                    f"line announces; {FETCH}"
                )

    def numbers(self, number: int, raw: bytes) -> Floats1d:
        return np.frombuffer(raw, "<f4").astype(np.float32, copy=False)
