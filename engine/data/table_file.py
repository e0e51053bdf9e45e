"""A file in one of the FORMATS as tables of rows, and its first rows, by which columns are chosen."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from engine.data.blocks import BYTE_ORDER_MARK, Block, Blocks, check_encoding, sane_chunks, unpacked_chunks
from engine.data.formats import checked_delimiter, checked_quote, format_of, kind_of, require_quotable, suffix_format
from engine.data.packed import PARQUET_MAGIC, content_name, first_bytes
from engine.data.tables import Format, Table
from engine.support.files import AnyPath

HEAD_BYTES = 1 << 20  # by which format and columns are chosen


class TableFile:
    """A file of rows. format: its Format; kind: that record; head: its first rows; whole: whether these are all.

    plain_lines: whether a file of no known suffix may be one text per line. encoding: UTF-8 where empty. delimiter,
    quotechar: of a table, told by its content where empty; quotechar "none": quotes are ordinary characters.
    stream: chunks of bytes that are read instead of the file, as they come, once.
    UserError, naming file and line, for anything that cannot be read.
    """

    def __init__(
        self,
        path: AnyPath,
        plain_lines: bool = False,
        encoding: str = "",
        delimiter: str = "",
        quotechar: str = "",
        stream: Iterable[bytes] | None = None,
    ) -> None:
        self.source, self.encoding = os.fspath(path), check_encoding(encoding)
        self.asked = checked_delimiter(delimiter), checked_quote(quotechar)
        self.stream: Iterator[bytes] | None = (
            None if stream is None else sane_chunks(self.source, stream, self.encoding)
        )
        self.name = "" if self.stream is not None else content_name(self.source)
        self.whole = False
        form = self.format_by_bytes()
        if form is None:
            self.read_head(plain_lines)
            return
        require_quotable(self.source, form, *self.asked)
        self.format, self.kind = Format(form), kind_of(Format(form))
        tables = self.tables()
        self.head = next(tables, Table([], []))
        if self.stream is not None:
            self.rest = itertools.chain([self.head], tables)

    def format_by_bytes(self) -> str | None:
        """The name of a format whose rows are not lines, told by the first bytes; None for others."""
        if self.stream is None and first_bytes(self.source) == PARQUET_MAGIC or suffix_format(self.name) == "parquet":
            return "parquet"
        if suffix_format(self.name) not in (None, "JSON lines"):
            return None
        chunks = self.stream or unpacked_chunks(self.source, self.encoding)
        first = next(chunks, b"")
        while (begin := first.removeprefix(BYTE_ORDER_MARK).strip()) in (b"", b"[") and (more := next(chunks, b"")):
            first += more
        if self.stream is not None:
            self.stream = itertools.chain([first], self.stream)
        named = suffix_format(self.name) == "JSON lines"
        is_array = begin.startswith(b"[") and (named or begin[1:].lstrip().startswith(b"{"))
        return "JSON array" if is_array else None

    def read_head(self, plain_lines: bool) -> None:
        """Read the first lines; sets the format, and the rows of these lines."""
        blocks = Blocks(self.source, self.encoding, self.stream)
        iterator = iter(blocks)
        block = next(iterator)
        cut = block.data.rfind(b"\n", 0, HEAD_BYTES) + 1 if len(block.data) > HEAD_BYTES else len(block.data)
        cut = cut or len(block.data)
        self.whole = block.last and cut == len(block.data)
        text = block.data[:cut].decode("utf-8")
        self.format = format_of(self.source, self.name, text, self.whole, plain_lines, *self.asked)
        self.kind = kind_of(self.format)
        self.head = self.rows_of(block._replace(data=block.data[:cut], last=self.whole))
        while self.stream is not None and not self.head.rows and not block.last:  # the first row goes on
            following = next(iterator)
            block = Block(block.data + following.data, block.line, following.last)
            self.head = self.rows_of(block)
        if self.stream is not None:
            self.streamed = blocks, itertools.chain([block], iterator)

    def rows_of(self, block: Block) -> Table:
        """The rows of a block of lines."""
        assert self.kind.rows is not None
        return self.kind.rows(self.source, self.format, block.data.decode("utf-8"), block.line, block.last)

    def blocks(self) -> tuple[Blocks, Iterator[Block]]:
        """The file as Blocks of lines, and these blocks; of a stream, once."""
        if self.stream is not None:
            return self.streamed
        blocks = Blocks(self.source, self.encoding)
        return blocks, iter(blocks)

    def table_of(self, block: Block, blocks: Blocks) -> Table:
        """The whole rows of one of blocks(); what follows them comes again with the next block."""
        table = self.rows_of(block)
        if table.open_line is not None:
            line_ends = np.flatnonzero(np.frombuffer(block.data, np.uint8) == ord("\n"))
            skipped = table.open_line - block.line
            blocks.take_back(block.data[line_ends[skipped - 1] + 1 if skipped else 0 :])
        return table

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Table]:
        """All rows, in Tables of consecutive ones; of a stream, once. columns: those that are needed, None for all."""
        if self.kind.tables is None:
            blocks, each = self.blocks()
            return (self.table_of(block, blocks) for block in each)
        if self.stream is None:
            return self.kind.tables(self.source, unpacked_chunks(self.source, self.encoding), columns)
        return getattr(self, "rest", None) or self.kind.tables(self.source, self.stream, columns)
