"""Readers of files and texts on random bytes: they return, or raise the error that they promise."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.arrays.array_file import write_arrays
from engine.arrays.mapped import DamagedFile, arrays_in
from engine.data.config import DataConfig
from engine.data.files import read_texts
from engine.data.name_file import load_names
from engine.data.vectors import open_vectors
from engine.support.errors import UserError
from engine.support.files import parse_json, read_json, read_toml
from engine.support.text import UNSAFE, printable, sanitize, shown
from engine.training.checkpoint import progress_of
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import build_settings, parse_assignments
from engine.training.saved_result import read_result
from layers.networks import CONFIGS
from tests.campaign.mutate import bytes_changed
from tests.campaign.trials import Trials
from tests.train.conftest import topic_texts

AT_ONCE = 50  # inputs of one reader


@dataclass
class Reader:
    """A reader, what it may raise, and what its inputs are changed from. suffix: of the file that it reads, if one."""

    read: Callable[..., object]
    seeds: list[bytes]
    errors: tuple[type[Exception], ...] = (UserError,)
    suffix: str | None = None


def readers(folder: Path) -> dict[str, Reader]:
    """All readers by name."""
    rows = topic_texts(12, 0)
    tsv = "".join(f"{label}\t{text}\n" for label, text in rows).encode()
    quoted = "label,text\r\n" + "".join(f'"{label}","a ""{text}"",\n b"\r\n' for label, text in rows)
    lines = [json.dumps({"label": label, "text": text, "n": 1.5}) for label, text in rows]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.csv", quoted)
    arrays = folder / "seed.safetensors"
    write_arrays(arrays, {"embeddings": np.ones((3, 2), np.float32), "b": np.arange(4)})
    result = json.dumps({"test_accuracy": 0.5, "classes": [], "seed": 1, "device": "cpu", "run_directory": "x"})
    progress = json.dumps({"step": 1, "epoch": 1, "best_epoch": 1, "tokens": 5})
    metrics = "".join(json.dumps({"step": step, "loss": 1 / step}) + "\n" for step in range(1, 5))

    def texts(path: Path) -> object:
        return read_texts(path)

    def perhaps_labelled(path: Path) -> object:
        return read_texts(path, labels="optional")

    def words_of(path: Path) -> object:
        file = open_vectors(path)
        return [file.values(number, raw) for number, _, raw in file.rows()]

    def metrics_of(path: Path) -> object:
        run = RunDirectory(path.parent)
        run.metrics_file = path
        return run.read_metrics()

    def safe(data: bytes) -> None:
        text = data.decode("utf-8", "surrogatepass" if data.isascii() else "replace")
        assert not UNSAFE.search(sanitize(text)) and not set(UNSAFE.findall(printable(text))) - set("\n\t")
        assert len(sanitize(text, 10)) <= 10 and "\n" not in shown(text)

    def assigned(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        return build_settings(CONFIGS, parse_assignments(text.split("\n")))

    settings = [b"epochs=3\ndropout=0.1", b"model=transformer\nheads=2\ndimension=8", b"char_ngrams=3-5\nngrams=2"]
    toml = [b"epochs = 3\n[network]\nmodel = 'wave'\n", DataConfig().name().encode()]
    return {
        "TSV": Reader(texts, [tsv], suffix=".tsv"),
        "CSV": Reader(texts, [quoted.encode(), tsv.replace(b"\t", b";")], suffix=".csv"),
        "no suffix": Reader(perhaps_labelled, [tsv, quoted.encode(), "\n".join(lines).encode()], suffix=".txt"),
        "JSON lines": Reader(texts, ["\n".join(lines).encode()], suffix=".jsonl"),
        "JSON array": Reader(texts, [f"[{','.join(lines)}]".encode()], suffix=".json"),
        "fastText": Reader(texts, ["".join(f"__label__{a} {b}\n" for a, b in rows).encode()], suffix=".ft"),
        "gzip": Reader(texts, [gzip.compress(tsv)], suffix=".tsv.gz"),
        "zip": Reader(texts, [archive.getvalue()], suffix=".zip"),
        "word vectors": Reader(words_of, [b"2 3\na 1 2 3\nb 4 5 6\n"], suffix=".vec"),
        "vectors of arrays": Reader(lambda path: open_vectors(path), [arrays.read_bytes()], suffix=".safetensors"),
        "names": Reader(lambda path: load_names(path, "names"), [b'["a", "b"]'], suffix=".json"),
        "JSON object": Reader(read_json, [b'{"a": [1, 2.5, null, "x"]}'], suffix=".json"),
        "result": Reader(read_result, [result.encode()], suffix=".json"),
        "metrics": Reader(metrics_of, [metrics.encode()], suffix=".jsonl"),
        "TOML": Reader(read_toml, toml, suffix=".toml"),
        "arrays": Reader(arrays_in, [arrays.read_bytes()], (DamagedFile,)),
        "JSON": Reader(parse_json, [b'{"a": [1, 2.5, null, "x"]}'], (ValueError,)),
        "progress": Reader(lambda data: progress_of(json.loads(data)), [progress.encode()], (ValueError, TypeError,
                           RecursionError)),
        "settings": Reader(assigned, settings),
        "shown text": Reader(safe, ["a\x1b[31m\u202e\ud800 b".encode("utf-8", "surrogatepass"), b"plain text\n"]),
    }  # fmt: skip


def fuzzed(trials: Trials) -> None:
    """Feed the readers, in turn, with changed bytes; some of a reader at a time."""
    found = readers(trials.folder)
    while trials.going_on():
        for name, reader in found.items():
            path = trials.folder / f"input{reader.suffix}"
            for _ in range(AT_ONCE):
                data = bytes_changed(trials.rng, trials.rng.choice(reader.seeds))
                problem = None
                try:
                    if reader.suffix is None:
                        reader.read(data)
                    else:
                        path.write_bytes(data)
                        reader.read(path)
                except reader.errors:
                    pass
                except BaseException as error:
                    problem = f"{type(error).__name__}: {error}"
                trials.expect(problem, f"{name} {data[:200]!r}", name)
            if not trials.going_on():
                return
