"""Files as streams of bytes, unpacked if they are gzip or a zip archive of one file.

ARCHIVE.zip/NAME is the member NAME of an archive that holds several.
"""

import contextlib
import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from engine.data.signatures import OFFICE, SAVE_AS_TABLE, UNPACK
from engine.support.errors import UserError
from engine.support.files import AnyPath, require_no_stream

GZIP_MAGIC, ZIP_MAGIC, PARQUET_MAGIC = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
SHOWN_MEMBERS = 5


class Packed(NamedTuple):
    """A file on disk, and the member of a zip archive that is meant (None: the only one, or no archive)."""

    file: str
    member: str | None


def split_member(path: AnyPath) -> Packed:
    """Packed of a path: ARCHIVE.zip/NAME where that is no file, but ARCHIVE.zip is one."""
    name = os.fspath(path)
    if not os.path.lexists(name):
        for parent in Path(name).parents:
            if parent.suffix.lower() == ".zip" and os.path.isfile(parent):
                return Packed(str(parent), Path(name).relative_to(parent).as_posix())
    return Packed(name, None)


def first_bytes(path: AnyPath) -> bytes:
    """The first four bytes of a file. UserError where it cannot be read."""
    with opened(path) as raw:
        return raw.read(4)


def content_name(path: AnyPath) -> str:
    """The name that tells the format of a file, in lower case: of the member of an archive, without .gz."""
    packed = split_member(path)
    name = packed.member or packed.file
    if packed.member is None and first_bytes(path) == ZIP_MAGIC:
        with opened(path) as raw, read_errors(path):
            name = chosen_member(path, zipfile.ZipFile(raw), None).filename
    return name.lower().removesuffix(".gz")


@contextlib.contextmanager
def opened(path: AnyPath) -> Iterator[BinaryIO]:
    """A file on disk, as it is, open to be read; errors as read_errors()."""
    with read_errors(path):
        file = split_member(path).file
        require_no_stream(file)
        with open(file, "rb") as raw:
            yield raw


@contextlib.contextmanager
def unpacked(path: AnyPath) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if it is gzip or a zip archive; errors as read_errors()."""
    with opened(path) as raw:
        magic = raw.read(len(ZIP_MAGIC))
        raw.seek(0)
        if magic == ZIP_MAGIC:
            archive = zipfile.ZipFile(raw)
            member = chosen_member(path, archive, split_member(path).member)
            if member.flag_bits & 1:
                raise UserError(f"{path}: the zip archive is encrypted; {UNPACK}")
            with archive.open(member) as file:
                yield cast(BinaryIO, file)
        elif magic.startswith(GZIP_MAGIC):
            yield cast(BinaryIO, gzip.GzipFile(fileobj=raw))
        else:
            yield raw


def chosen_member(path: AnyPath, archive: zipfile.ZipFile, name: str | None) -> zipfile.ZipInfo:
    """The member of an archive that is asked for by name, or the only one. UserError where there is none or a choice.

    Folders, and what macOS adds (__MACOSX, hidden files), are no members.
    """
    names = [info.filename for info in archive.infolist()]
    for start, what in OFFICE.items():
        if any(member.startswith(start) for member in names):
            raise UserError(f"{path}: is {what}; {SAVE_AS_TABLE}")
    members = {
        info.filename: info
        for info in archive.infolist()
        if info.filename
        and not info.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in info.filename.split("/"))
    }
    shown = ", ".join(list(members)[:SHOWN_MEMBERS])
    if len(members) > SHOWN_MEMBERS:
        shown += f" and {len(members) - SHOWN_MEMBERS} more"
    file = split_member(path).file
    if not members:
        raise UserError(f"{file}: the zip archive holds no file; pack it again")
    if name is not None and name not in members:
        raise UserError(f"{path}: the zip archive holds no file {name!r}, but {shown}; name one of these")
    if name is None and len(members) > 1:
        example = f"{file}/{next(iter(members))}"
        raise UserError(
            f"{file}: the zip archive holds {len(members)} files ({shown}); name one, such as {example}, or unpack it"
        )
    return members[name] if name is not None else next(iter(members.values()))


@contextlib.contextmanager
def read_errors(path: AnyPath) -> Iterator[None]:
    """Turn errors of files and archives into UserErrors that name the path."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file in it") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{path}: the zip archive is damaged or cut short ({error}); fetch or pack it again") from None
    except NotImplementedError as error:  # a method of compression that Python lacks
        raise UserError(f"{path}: the zip archive cannot be read ({error}); {UNPACK}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path}: the gzip data is damaged or cut short ({error}); fetch or pack the file again"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions"
        ) from None
