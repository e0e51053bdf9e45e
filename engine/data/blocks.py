"""Files as blocks of bytes: UTF-8, unpacked if gzip, cut behind line ends, so that no file need fit into memory."""

import gzip
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast

from engine.support.errors import UserError
from engine.support.files import AnyPath

BLOCK_BYTES = 1 << 21
LONGEST_ROW = 1 << 26  # bytes
GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Block(NamedTuple):
    """Consecutive whole lines of a file. line: the number of the first, from 1; last: whether the file ends with it."""

    data: bytes
    line: int
    last: bool


class Blocks:
    """The lines of a file, block by block; what take_back() gets comes again, in front of the next block."""

    def __init__(self, path: AnyPath) -> None:
        self.path, self.rest, self.line = path, b"", 1

    def take_back(self, data: bytes) -> None:
        """Lines at the end of the last block that are to come again: a row that goes on in the next."""
        self.rest = data + self.rest
        self.line -= data.count(b"\n")

    def __iter__(self) -> Iterator[Block]:
        line_end_seen, last = False, False
        unpacked = unpacked_chunks(self.path)
        chunk = next(unpacked, b"").removeprefix(BYTE_ORDER_MARK)
        while not last:
            following = next(unpacked, b"")
            last = not following
            data = self.rest + chunk.replace(b"\0", "\ufffd".encode())
            chunk, end = following, len(data) if last else data.rfind(b"\n") + 1
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


def unpacked_chunks(path: AnyPath) -> Iterator[bytes]:
    """The bytes of a file, unpacked if it is gzip, in chunks of BLOCK_BYTES. UserError where it cannot be read."""
    try:
        with open(path, "rb") as raw:
            packed = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            file = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
            while chunk := file.read(BLOCK_BYTES):
                yield chunk
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file in it") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: the gzip data is damaged or cut short ({error}); fetch or pack the file again"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions"
        ) from None


def require_utf8_lines(path: AnyPath, data: bytes, line: int) -> None:
    """Raise UserError for a byte that is not UTF-8. line: the number of the first line."""
    try:
        data.isascii() or data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data.count(b"\n", 0, error.start)
        raise UserError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def read_characters(path: AnyPath) -> str:
    """The characters of a whole file, without byte order mark; NUL becomes U+FFFD.

    The csv module of Python 3.10 refuses NUL; tokenizers drop either character alike.
    """
    return b"".join(block.data for block in Blocks(path)).decode("utf-8")
