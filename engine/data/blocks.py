"""Files as blocks of bytes: UTF-8, unpacked if packed, cut behind line ends, so that no file need fit into memory."""

import codecs
import select
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

from engine.data.packed import unpacked
from engine.data.signatures import HEAD_BYTES, require_table
from engine.support.errors import UserError
from engine.support.files import AnyPath

BLOCK_BYTES = 1 << 21
LONGEST_ROW = 1 << 26  # bytes
STREAM_BYTES = 1 << 17
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive whole lines of a file. line: the number of the first, from 1; last: whether the file ends with it."""

    data: bytes
    line: int
    last: bool


class Blocks:
    """The lines of a file, block by block; what take_back() gets comes again, in front of the next block.

    encoding: of the file, UTF-8 where empty. stream: chunks of UTF-8 that are read instead of the file, as they come.
    """

    def __init__(self, path: AnyPath, encoding: str = "", stream: Iterable[bytes] | None = None) -> None:
        self.path, self.encoding, self.stream = path, encoding, stream
        self.rest, self.line = b"", 1

    def take_back(self, data: bytes) -> None:
        """Lines at the end of the last block that are to come again: a row that goes on in the next."""
        self.rest = data + self.rest
        self.line -= data.count(b"\n")

    def chunks(self) -> Iterator[tuple[bytes, bool]]:
        """(bytes, whether they are the last) of the file; of a stream the last are empty, and come at its end."""
        if self.stream is not None:
            yield from ((chunk, False) for chunk in self.stream)
            yield b"", True
            return
        chunks = unpacked_chunks(self.path, self.encoding)
        chunk, last = next(chunks, b""), False
        while not last:
            following = next(chunks, b"")
            last = not following
            yield chunk, last
            chunk = following

    def __iter__(self) -> Iterator[Block]:
        line_end_seen, begun = False, False
        for chunk, last in self.chunks():
            if not begun:
                chunk, begun = chunk.removeprefix(BYTE_ORDER_MARK), True
            data = self.rest + chunk.replace(b"\0", "\ufffd".encode())
            end = len(data) if last else data.rfind(b"\n") + 1
            if len(data) - end > LONGEST_ROW or len(self.rest) > LONGEST_ROW:
                raise UserError(
                    f"{self.path}, line {self.line}: what begins here is longer than {LONGEST_ROW >> 20} MiB; is it "
                    "text, one row a line, and is each quote closed?"
                )
            if last and not line_end_seen and b"\n" not in data and b"\r" in data.rstrip(b"\r"):
                raise UserError(f"{self.path}: the lines end in CR alone; save the file with LF or CRLF line ends")
            data, self.rest = data[:end], data[end:]
            require_utf8_lines(self.path, data, self.line)
            if data or last:
                block = Block(data, self.line, last)
                line_end_seen = True
                self.line += data.count(b"\n")
                yield block


def unpacked_chunks(path: AnyPath, encoding: str = "") -> Iterator[bytes]:
    """The bytes of a file in chunks of BLOCK_BYTES, unpacked, as UTF-8 where its encoding is given.

    UserError where it cannot be read, or is no text by its first bytes.
    """
    with unpacked(path) as file:
        yield from sane_chunks(path, iter(lambda: file.read(BLOCK_BYTES), b""), encoding)


def stream_chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The bytes of a stream as they come."""
    source = getattr(stream, "raw", stream)  # returns what is there
    while (piece := source.read(STREAM_BYTES)) != b"":
        if piece is None:  # the stream does not block, and has nothing now
            select.select([source], [], [])
            continue
        yield piece


def sane_chunks(path: AnyPath, chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Chunks of bytes as UTF-8. UserError for bytes that are not in the encoding, and for a file that is no text."""
    decoder = codecs.getincrementaldecoder(encoding)() if encoding else None
    begun, line = False, 1
    for chunk in chunks:
        if not begun:
            require_table(path, chunk[:HEAD_BYTES], bool(encoding))
            begun = True
        if decoder is None:
            yield chunk
            continue
        text = decoded(path, decoder, chunk, encoding, line, False)
        line += text.count("\n")
        yield text.encode()
    if decoder is not None and (text := decoded(path, decoder, b"", encoding, line, True)):
        yield text.encode()


def decoded(
    path: AnyPath, decoder: codecs.IncrementalDecoder, chunk: bytes, encoding: str, line: int, last: bool
) -> str:
    """The characters of a chunk. UserError for bytes that are not in the encoding. line: the one it begins in."""
    try:
        return decoder.decode(chunk, last)
    except UnicodeError as error:
        place, wrong = (error.start, error.object) if isinstance(error, UnicodeDecodeError) else (0, b"")
        line += wrong[:place].decode(encoding, "replace").count("\n")
        found = f"byte 0x{wrong[place]:02x}" if wrong else "what stands there"
        raise UserError(f"{path}, line {line}: {found} is not {encoding}; name another encoding (--encoding)") from None


def check_encoding(encoding: str) -> str:
    """The name of an encoding of text; "" for UTF-8. UserError for an unknown one."""
    try:
        name = codecs.lookup(encoding).name if encoding else ""
        b"aa".decode(name or "utf-8", "replace")  # LookupError for what is no encoding of text
    except (LookupError, ValueError):
        raise UserError(
            f"encoding {encoding!r}: is unknown; name one such as utf-8, utf-16, cp1252, latin-1, gb18030 or shift_jis"
        ) from None
    return "" if name in ("utf-8", "utf-8-sig", "ascii") else name


def require_utf8_lines(path: AnyPath, data: bytes, line: int) -> None:
    """Raise UserError for a byte that is not UTF-8. line: the number of the first line."""
    try:
        data.isascii() or data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise UserError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8, or "
            "name its encoding (--encoding cp1252)"
        ) from None


def read_characters(path: AnyPath, encoding: str = "") -> str:
    """The characters of a whole file, without byte order mark; NUL becomes U+FFFD.

    The csv module of Python 3.10 refuses NUL; tokenizers drop either character alike.
    """
    return b"".join(block.data for block in Blocks(path, encoding)).decode("utf-8")
