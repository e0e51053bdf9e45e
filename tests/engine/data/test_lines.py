"""Lines of a stream: whatever comes in one piece, they are its lines, and none waits for the next."""

import io
import os

import pytest

from engine.data import lines as lines_module
from engine.data.lines import line_blocks
from engine.support.errors import UserError

CASES = [
    (b"", []),
    (b"one", ["one"]),
    (b"one\n", ["one"]),
    (b"\n", [""]),
    (b"\n\nx", ["", "", "x"]),
    (b"a\r\nb\r\r\n\rc\r", ["a", "b", "\rc"]),
    ("h\u00e4 \u4e2d\u6587\n\u2028x\x0by\n".encode(), ["h\u00e4 \u4e2d\u6587", "\u2028x\x0by"]),
    (b"a longer line than a piece\nb\n", ["a longer line than a piece", "b"]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("content, expected", CASES)
def test_lines_of_any_pieces(monkeypatch, content, expected, size):
    monkeypatch.setattr(lines_module, "READ_BYTES", size)
    monkeypatch.setattr(lines_module, "BLOCK_LINES", 2)
    blocks = list(line_blocks(io.BytesIO(content)))
    assert [line for block in blocks for line in block] == expected
    assert all(1 <= len(block) <= 2 for block in blocks)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize(
    "content, before, message",
    [
        (b"b\xffd\nfine\n", [], "line 1: byte 0xff is not UTF-8"),
        (b"fine\n\nb\xe4d\nfine\n", ["fine", ""], "line 3: byte 0xe4 is not UTF-8"),
        (b"fine\ncut \xe4\xb8", ["fine"], "line 2: byte 0xe4 is not UTF-8"),
    ],
)
def test_a_wrong_byte_comes_after_the_lines_before_it(monkeypatch, content, before, message, size):
    monkeypatch.setattr(lines_module, "READ_BYTES", size)
    found = []
    with pytest.raises(UserError, match=f"^standard input, {message}; convert the text to UTF-8$"):
        for block in line_blocks(io.BytesIO(content)):
            found += block
    assert found == before


@pytest.mark.parametrize("blocking", [True, False])
def test_a_line_does_not_wait_for_the_next(blocking):
    reading, writing = os.pipe()
    os.set_blocking(reading, blocking)
    with open(reading, "rb") as stream:
        blocks = line_blocks(stream)
        for text in (b"first\n", b"second\nthird\nfo"):
            os.write(writing, text)
            assert next(blocks) == text.decode().split("\n")[:-1]
        os.write(writing, b"urth")
        os.close(writing)
        assert list(blocks) == [["fourth"]]
