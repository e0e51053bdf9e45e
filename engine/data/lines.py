"""Lines of standard input as texts, as they come."""

import select
from collections.abc import Iterator
from typing import BinaryIO

from engine.support.errors import UserError

READ_BYTES = 1 << 17  # at most at a time
BLOCK_LINES = 8192


def line_blocks(stream: BinaryIO) -> Iterator[list[str]]:
    """The lines of a binary stream in lists of up to BLOCK_LINES texts: what can be had without waiting for more.

    Empty lines are texts too. UserError for bytes that are not UTF-8, after the lines before them.
    """
    source = getattr(stream, "raw", stream)  # returns what is there, and holds no lock while it waits
    begun: list[bytes] = []  # of a line whose end is yet to come
    number = 1
    while (piece := source.read(READ_BYTES)) != b"":
        if piece is None:  # the stream does not block, and has nothing now
            select.select([source], [], [])
            continue
        whole, newline, rest = piece.rpartition(b"\n")
        if newline:
            block = b"".join([*begun, whole])
            yield from texts_of(block, number)
            number += block.count(b"\n") + 1
            begun = []
        begun.append(rest)
    if last := b"".join(begun):
        yield from texts_of(last, number)


def texts_of(block: bytes, number: int) -> Iterator[list[str]]:
    """The lines of a block in lists; number: that of the first. UserError as in line_blocks()."""
    wrong = None
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        wrong = error
        before, newline, _ = block[: wrong.start].rpartition(b"\n")
        text = before.decode("utf-8")
    if wrong is None or newline:
        lines = [line.rstrip("\r") for line in text.split("\n")]
        yield from (lines[start : start + BLOCK_LINES] for start in range(0, len(lines), BLOCK_LINES))
    if wrong is not None:
        line = number + block.count(b"\n", 0, wrong.start)
        raise UserError(
            f"standard input, line {line}: byte 0x{block[wrong.start]:02x} is not UTF-8; convert the text to UTF-8"
        )
