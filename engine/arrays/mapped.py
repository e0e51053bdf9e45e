"""The arrays of a safetensors file, without a copy: over a file mapped into memory, or over bytes that were read.

The file begins with the length of a header (8 bytes, little endian), then the header, JSON: dtype, shape and place of
each array behind it.
"""

import hashlib
import mmap
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from engine.arrays.array_file import TYPES
from engine.support.files import parse_json, require_no_stream
from engine.support.verified import is_verified, note_verified
from engine.types import Array

LENGTH_BYTES = 8
READ_BYTES = 1 << 23  # at a time: a thread that does this waits for others after each
DTYPES = {code: np.dtype(name).newbyteorder("<") for name, code in TYPES.items()}


class DamagedFile(ValueError):
    """A file is not the safetensors file that was asked for. The message says why."""


def read_arrays(path: Path, digest: str | None = None, mapped: bool = False) -> dict[str, Array]:
    """The arrays of a safetensors file by name, which may be written to: the file stays as it is.

    digest: its SHA-256, or None where that is not known. mapped: leave the arrays in the file, whose digest is computed
    once (verified.py); what is used of them is loaded when it is, and copied where it is written to. So they stay what
    they are where another file is renamed to this name, but not where bytes are written into this one. OSError, or
    DamagedFile.
    """
    require_no_stream(path)
    with open(path, "rb") as file:
        seen, status = time.time(), os.fstat(file.fileno())
        if mapped:
            if digest is not None and not is_verified(status, digest):
                require_digest(sha256_in_parts(file), digest)
                note_verified(status, seen, digest)
            content: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) if status.st_size else b""
        else:
            content = bytearray(status.st_size)
            del content[file.readinto(content) :]
            if digest is not None:
                require_digest(hashlib.sha256(content).hexdigest(), digest)
    return arrays_in(content)


def sha256_in_parts(file: BinaryIO) -> str:
    """The SHA-256 of a file, read in parts: the pages of a mapping would count as memory from then on."""
    found, read = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
    while size := file.readinto(read):  # type: ignore[attr-defined]
        found.update(read[:size])
    return found.hexdigest()


def require_digest(found: str, wanted: str) -> None:
    if found != wanted:
        raise DamagedFile("its SHA-256 is not the one in state.json")


def arrays_in(content: Any) -> dict[str, Array]:
    """The arrays in the bytes of a safetensors file, by name. DamagedFile where they are no such file."""
    begin = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    try:
        header = parse_json(bytes(content[LENGTH_BYTES:begin]))
        header.pop("__metadata__", None)
        return {name: array_at(content, begin, **place) for name, place in header.items()}
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DamagedFile(f"it is no safetensors file: {error}") from None


def array_at(content: Any, begin: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    """One array, which lies at these offsets behind `begin`."""
    array: Array = np.ndarray(shape, DTYPES[dtype], content, begin + data_offsets[0])
    if array.nbytes != data_offsets[1] - data_offsets[0]:
        raise ValueError(f"{array.nbytes} bytes of an array have {data_offsets[1] - data_offsets[0]} bytes of room")
    return array
