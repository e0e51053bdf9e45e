"""Safetensors files, written whole or not at all, with their SHA-256 taken on the way.

The format: the size of a header as 8 bytes, the header in JSON with the type, the
shape and the place of each array, and the arrays one after the other, little-endian and in C order. The library's own
writer leaves temporary files of a killed process under names that nobody can tell, and makes files readable by their
owner alone. Reading is left to it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.arrays.backend import to_host
from engine.support.files import AnyPath, write_whole
from engine.types import Array

TYPES = {
    "bool": "BOOL", "int8": "I8", "uint8": "U8", "int16": "I16", "uint16": "U16", "float16": "F16", "int32": "I32",
    "uint32": "U32", "float32": "F32", "int64": "I64", "uint64": "U64", "float64": "F64",
}  # fmt: skip
ALIGNMENT = 8  # bytes of the largest item


class Written(NamedTuple):
    """Size and hexadecimal SHA-256 of a file."""

    bytes: int
    sha256: str


def write_arrays(path: AnyPath, arrays: Mapping[str, Array]) -> Written:
    """Write {name: array of NumPy or CuPy} as a safetensors file; no copy of a contiguous array of NumPy is made.

    Raises UserError where the file cannot be written, which leaves the old one, and ValueError for other types.
    """
    # Large items first: as the header fills whole multiples of the largest, all are aligned and can be read in place.
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    header, end = {}, 0
    for name, array in ordered:
        if array.dtype.name not in TYPES:
            raise ValueError(f"{name}: arrays of {array.dtype.name} cannot be written")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": TYPES[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    digest = hashlib.sha256()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            for part in (len(text).to_bytes(8, "little"), text):
                file.write(part)
                digest.update(part)
            for _, array in ordered:
                host = to_host(array)
                content = np.ascontiguousarray(host, host.dtype.newbyteorder("<")).data
                file.write(content)
                digest.update(content)

    write_whole(path, write)
    return Written(8 + len(text) + end, digest.hexdigest())
