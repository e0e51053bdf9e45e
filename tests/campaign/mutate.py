"""Random changes of bytes, of JSON values and of words of a command line."""

import json
from random import Random
from typing import Any

PIECES = [
    b"", b"\0", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\n", b"\r", b"\r\n", b'"', b"'", b",", b";", b"\t", b"|", b"{",
    b"}", b"[", b"]", b"\\", b"\\ud800", b"\\u0000", b"null", b"NaN", b"1e999", b"9" * 5000, b"[" * 3000, b"__label__",
    "\u202e\u2028\u0085".encode(), b"\x1b[31m", b"=", b"#", b"-1", b"true", b"PK\x03\x04", b"\x1f\x8b", b"PAR1",
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 1e308, float("nan"), float("inf"), 10**30, 2**63, "", "x", "1", "\0",
    "\ud800", "a\x1b[31m", "\u202e", "../../x", "/etc/passwd", "x" * 5000, [], {}, [[]], [1, "a"], {"a": 1}, ["a", "a"],
]  # fmt: skip
WORDS = [
    "", " ", "0", "1", "-1", "2", "1e9", "1e400", "nan", "inf", "9" * 30, "9" * 5000, "x", "none", "true", "../..", "/",
    "/dev/null", "~", "a,b", "*", "[", "a=b", "=", "--", "-", "\udcff", "\x1b[31m", "\n", "\u202e", "é", "١", "0x10",
    "1_000", "3-5", "5-3", "utf-16", "rot13", "base64", "idna", "cuda", "r8,r9", "x" * 300, "1.5", ".", "a/b",
]  # fmt: skip


def bytes_changed(rng: Random, data: bytes) -> bytes:
    """Bytes with one to four random changes."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.choice((0, 1, 1, 2, 8, 64, 1000)))
        kind = rng.randrange(6)
        if kind == 0:
            data = data[:at] + rng.choice(PIECES) + data[to:]
        elif kind == 1:
            data = data[:at] + rng.randbytes(to - at) + data[to:]
        elif kind == 2:
            data = data[:at] + data[at:to] * rng.randint(2, 9) + data[to:]
        elif kind == 3:
            data = data[:at]
        elif kind == 4 and data:
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        else:
            data = data[:at] + data[to:]
    return data


def value_changed(rng: Random, value: Any) -> Any:
    """A JSON value in which one value, at any depth, is another, is missing or stands twice."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key, copy = rng.choice(keys), value.copy()
        kind = rng.random()
        if kind < 0.1:
            del copy[key]
        elif kind < 0.2 and isinstance(copy, list):
            copy.append(copy[key])
        elif kind < 0.2:
            copy[str(rng.choice(WORDS))] = copy[key]
        else:
            copy[key] = value_changed(rng, copy[key])
        return copy
    return rng.choice(VALUES)


def json_changed(rng: Random, data: bytes) -> bytes:
    """JSON with another value somewhere."""
    return json.dumps(value_changed(rng, json.loads(data))).encode()
