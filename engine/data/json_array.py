"""A JSON array of objects as a table of rows, object by object, so that the array need not fit into memory."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from engine.data.blocks import BYTE_ORDER_MARK, LONGEST_ROW
from engine.data.tables import Table
from engine.data.texts import shown
from engine.support.errors import UserError
from engine.support.files import AnyPath, beyond_python

TABLE_CHARACTERS = 1 << 21  # of the objects of a table
LONGEST_SIGN = 16  # of JSON: -Infinity, an escape
WHITE = re.compile(r"[ \t\r\n]*")
EXAMPLE = 'give an array of objects, such as [{"label": "1", "text": "…"}]'


class Characters:
    """The characters of a file, of which a part is in memory. place: of the next one in `text`; line: its line."""

    def __init__(self, path: AnyPath, chunks: Iterable[bytes]) -> None:
        self.path, self.chunks = path, iter(chunks)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.text, self.place, self.line, self.begun, self.ended = "", 0, 1, False, False

    def more(self) -> bool:
        """Read on behind what is in memory, and drop what stands before `place`; False at the end of the file."""
        if self.ended:
            return False
        chunk = next(self.chunks, b"")
        self.ended = not chunk
        if not self.begun:
            chunk, self.begun = chunk.removeprefix(BYTE_ORDER_MARK), True
        self.text, self.place = self.text[self.place :], 0
        if len(self.text) > LONGEST_ROW:
            raise self.error(f"what begins here is longer than {LONGEST_ROW >> 20} MiB; is each bracket closed?")
        try:
            self.text += self.decoder.decode(chunk.replace(b"\0", "\ufffd".encode()), self.ended)
        except UnicodeDecodeError as error:
            self.line += self.text.count("\n") + error.object.count(b"\n", 0, error.start)
            raise self.error(
                f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8, or name its encoding "
                "(--encoding cp1252)"
            ) from None
        return True

    def go_to(self, place: int) -> None:
        """Make a later character the next."""
        self.line += self.text.count("\n", self.place, place)
        self.place = place

    def following(self) -> str:
        """The next character that is not white space, which stays; "" at the end of the file."""
        while True:
            match = WHITE.match(self.text, self.place)
            assert match is not None
            self.go_to(match.end())
            if self.place < len(self.text):
                return self.text[self.place]
            if not self.more():
                return ""

    def found(self) -> str:
        """The next characters in a message."""
        return shown(self.text[self.place : self.place + 20]) if self.following() else "the end of the file"

    def error(self, message: str) -> UserError:
        """The error about what stands at the next character."""
        return UserError(f"{self.path}, line {self.line}: {message}")


def array_tables(path: AnyPath, chunks: Iterable[bytes]) -> Iterator[Table]:
    """The objects of a JSON array, in Tables with the lines on which they begin. chunks: the bytes of the file.

    UserError, naming the line, for anything else.
    """
    characters, decoder = Characters(path, chunks), json.JSONDecoder()
    rows: list[Any] = []
    lines: list[int] = []
    size = 0
    before = "["  # the sign that stands before the next object
    while characters.following() == before:
        characters.go_to(characters.place + 1)
        if before == "[" and characters.following() == "]":
            break
        value, line, length = next_object(characters, decoder)
        rows.append(value)
        lines.append(line)
        size += length
        before = ","
        if size >= TABLE_CHARACTERS:
            yield Table(rows, lines)
            rows, lines, size = [], [], 0
    if characters.following() != "]":
        expected = "[" if before == "[" else "a comma or ]"
        raise characters.error(f"bad JSON, expected {expected}, got {characters.found()}; {EXAMPLE}")
    characters.go_to(characters.place + 1)
    if characters.following():
        raise characters.error(f"{characters.found()} stands behind the array; remove it")
    yield Table(rows, lines)


def next_object(characters: Characters, decoder: json.JSONDecoder) -> tuple[Any, int, int]:
    """(object, line on which it begins, number of its characters)."""
    if characters.following() != "{":
        raise characters.error(f"expected a JSON object, got {characters.found()}; {EXAMPLE}")
    line = characters.line
    while True:
        try:
            value, end = decoder.raw_decode(characters.text, characters.place)
            break
        except (ValueError, RecursionError) as error:
            if may_go_on(error, len(characters.text)) and characters.more():
                continue
            if isinstance(error, json.JSONDecodeError):
                characters.go_to(error.pos)
                reason = f"{error.msg} at {characters.found()}"
            else:
                reason = beyond_python(error)
            raise characters.error(f"bad JSON ({reason}); {EXAMPLE}") from None
    length = end - characters.place
    characters.go_to(end)
    return value, line, length


def may_go_on(error: Exception, size: int) -> bool:
    """Whether an object that cannot be read may end in what has not been read yet. size: of the text, in characters."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated") or error.pos > size - LONGEST_SIGN
