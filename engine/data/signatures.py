"""What a file is, told by its first bytes: for messages about files that are no table of texts."""

from typing import NamedTuple

from engine.support.errors import UserError

UNPACK = "unpack it and give the file that holds the texts"
SAVE_AS_TABLE = "save its texts as CSV, TSV or JSON lines"
HEAD_BYTES = 512  # the last place at which a signature stands, and its length


class Signature(NamedTuple):
    """The bytes that files of one kind have at a place. what: with its article; remedy: what the user can do."""

    magic: bytes
    what: str
    remedy: str
    place: int = 0


SIGNATURES = (
    Signature(b"%PDF-", "a PDF document", SAVE_AS_TABLE),
    Signature(b"BZh", "bzip2 data", UNPACK),
    Signature(b"\xfd7zXZ\0", "xz data", UNPACK),
    Signature(b"\x28\xb5\x2f\xfd", "Zstandard data", UNPACK),
    Signature(b"\x04\x22\x4d\x18", "LZ4 data", UNPACK),
    Signature(b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    Signature(b"Rar!\x1a\x07", "a RAR archive", UNPACK),
    Signature(b"ustar", "a tar archive", UNPACK, 257),
    Signature(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document (xls, doc)", SAVE_AS_TABLE),
    Signature(b"{\\rtf", "a document in rich text format (RTF)", SAVE_AS_TABLE),
    Signature(b"<!DOCTYPE html", "a web page (HTML)", SAVE_AS_TABLE),
    Signature(b"<!doctype html", "a web page (HTML)", SAVE_AS_TABLE),
    Signature(b"<html", "a web page (HTML)", SAVE_AS_TABLE),
    Signature(b"<?xml", "XML", SAVE_AS_TABLE),
    Signature(b"ARROW1", "an Arrow or Feather file", "save it as parquet, CSV or JSON lines"),
    Signature(b"Obj\x01", "an Avro file", "save it as parquet, CSV or JSON lines"),
    Signature(b"ORC", "an ORC file", "save it as parquet, CSV or JSON lines"),
    Signature(b"SQLite format 3\0", "an SQLite database", "export the table as CSV"),
    Signature(b"\x89HDF\r\n", "an HDF5 file", SAVE_AS_TABLE),
    Signature(b"\x93NUMPY", "a NumPy array", SAVE_AS_TABLE),
    Signature(b"\x80\x04\x95", "a Python pickle", SAVE_AS_TABLE),
    Signature(b"\x80\x05\x95", "a Python pickle", SAVE_AS_TABLE),
    Signature(b"\x89PNG\r\n", "a picture (PNG)", "give a file of texts"),
    Signature(b"\xff\xd8\xff", "a picture (JPEG)", "give a file of texts"),
    Signature(b"\x7fELF", "a program", "give a file of texts"),
    Signature(b"\x1f\x8b", "gzip data", UNPACK),  # within gzip or zip
    Signature(b"PK\x03\x04", "a zip archive", UNPACK),  # likewise
    Signature(b"PAR1", "a parquet file within another file", UNPACK),  # likewise; alone it is read
    Signature(b"\xff\xfe\0\0", "text in UTF-32", "name its encoding: --encoding utf-32"),
    Signature(b"\xff\xfe", "text in UTF-16", "name its encoding: --encoding utf-16"),
    Signature(b"\xfe\xff", "text in UTF-16", "name its encoding: --encoding utf-16"),
)

OFFICE = {  # documents that are zip archives, told by the beginning of a member's name
    "xl/": "an Excel workbook (xlsx)",
    "word/": "a Word document (docx)",
    "ppt/": "a PowerPoint presentation (pptx)",
    "META-INF/manifest.xml": "an OpenDocument or Java file",
}


def require_table(path: object, head: bytes, text: bool) -> None:
    """Raise UserError where the first bytes of a file are those of something else than texts.

    text: whether its encoding is given, so that no bytes of a byte order mark are an error.
    """
    for magic, what, remedy, place in SIGNATURES:
        if head.startswith(magic, place) and not (text and what.startswith("text in")):
            raise UserError(f"{path}: is {what}; {remedy}")
