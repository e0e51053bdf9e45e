"""Growth with the number of rows: one epoch of ours and of fastText over generated corpora, in whole processes.

fastText is given its own form of the file. Before anything is measured, a trial with few rows tells how long it takes.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.benchmark.machine import describe_machine
from engine.report.line_plot import Panel, write_line_plot
from engine.support.errors import UserError
from engine.support.text import format_table
from layers.experiments.benchmark.scale_corpus import write_corpus
from layers.experiments.benchmark.whole_processes import (
    NAMES,
    Measured,
    as_json_row,
    chosen_names,
    medians,
    train_baseline,
    train_ours,
)

ROWS = (10_000, 100_000, 1_000_000, 3_000_000)
TRIAL_ROWS, TEST_ROWS = 10_000, 10_000
LEAST_ROWS, MOST_ROWS = 100, 1_000_000_000
EPOCHS = 1


class Scale:
    """Measurements of corpora of several sizes. found: {rows: {contestant: [Measured of each repeat]}}."""

    known = ("ours", "fasttext")

    def __init__(
        self,
        rows: Sequence[int | str] = ROWS,
        only: Sequence[str] = (),
        repeats: int = 1,
        cores: int = 1,
        with_peers: bool | None = None,
    ) -> None:
        self.names = chosen_names(self.known, only, with_peers, "--scale")
        self.rows, self.repeats, self.cores = checked_rows(rows), repeats, cores
        self.found: dict[int, dict[str, list[Measured]]] = {}

    def measure(self) -> Iterator[str]:
        """Measure every size, the smallest first; yield a line on the time it takes, and one for each process."""
        with tempfile.TemporaryDirectory() as folder:
            test = {ending: Path(folder) / f"test.{ending}" for ending in ("csv", "txt")}
            for path in test.values():
                write_corpus(path, TEST_ROWS, "test")
            yield self.estimate(folder, test)
            for rows in self.rows:
                found: dict[str, list[Measured]] = {name: [] for name in self.names}
                for name, measured in self.processes(folder, test, rows, self.repeats):
                    found[name].append(measured)
                    yield line_of(rows, name, measured)
                self.found[rows] = found

    def processes(self, folder: str, test: dict[str, Path], rows: int, repeats: int) -> Iterator[tuple[str, Measured]]:
        """Write a corpus; yield each contestant's name and its Measured, repeat after repeat."""
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            endings = {"ours": "csv", "fasttext": "txt"}
            train = {name: Path(scratch) / f"train.{endings[name]}" for name in self.names}
            for path in train.values():
                write_corpus(path, rows, "train")
            for _ in range(repeats):
                for name, path in train.items():
                    held_out = test[endings[name]]
                    if name == "ours":
                        with tempfile.TemporaryDirectory(dir=scratch) as cache:
                            yield name, train_ours(path, held_out, Path(cache), self.cores, "--epochs", EPOCHS)
                    else:
                        yield name, train_baseline(name, path, held_out, self.cores, EPOCHS)

    def estimate(self, folder: str, test: dict[str, Path]) -> str:
        """A line on how long all sizes take, if seconds are in proportion to rows from those of a trial on."""
        rows = min(TRIAL_ROWS, max(self.rows))
        started = time.perf_counter()
        for _ in self.processes(folder, test, rows, 1):
            pass
        seconds = (time.perf_counter() - started) * self.repeats * sum(max(1, size / rows) for size in self.rows)
        return f"estimated: {duration(seconds)}, from a trial with {rows:,} rows; Ctrl-C shows what there is"


def checked_rows(rows: Sequence[int | str]) -> list[int]:
    """Numbers, perhaps as text, in ascending order without repeats. UserError for what is no number of rows."""
    for count in rows:
        if not str(count).isdecimal() or not LEAST_ROWS <= int(count) <= MOST_ROWS:
            raise UserError(
                f"--rows {count}: expected whole numbers from {LEAST_ROWS} to {MOST_ROWS:,} without marks between "
                "digits, separated by commas, such as 10000,100000"
            )
    return sorted({int(count) for count in rows})


def duration(seconds: float) -> str:
    """A span of time in its unit."""
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"


def line_of(rows: int, name: str, found: Measured) -> str:
    """A line on one process."""
    used = f"{found.cpu_seconds:.1f} CPU s, {found.wall_seconds:.1f} s, {found.peak_bytes / 2**20:,.0f} MiB"
    return f"{rows:,} rows, {NAMES[name]}: {used}, accuracy {100 * found.test_accuracy:.1f} %"


def as_table(scale: Scale) -> str:
    """A line for each size: medians of the repeats."""
    names = [NAMES[name] for name in scale.names]
    both = len(names) > 1
    headings = ["rows", *(f"{name}, CPU s" for name in names), *(["times"] if both else [])]
    headings += [f"{name}, {what}" for what in ("memory", "accuracy") for name in names]
    lines = []
    for rows, found in scale.found.items():
        of = [medians(found[name]) for name in scale.names]
        times = [f"{of[0].cpu_seconds / of[1].cpu_seconds:.1f}"] if both else []
        memory = [f"{m.peak_bytes / 2**20:,.0f} MiB" for m in of]
        lines.append(
            [f"{rows:,}", *(f"{m.cpu_seconds:.1f}" for m in of), *times, *memory]
            + [f"{100 * m.test_accuracy:.1f} %" for m in of]
        )
    return format_table(headings, lines, align=">" * len(headings))


def as_json_object(scale: Scale) -> dict[str, Any]:
    """{"machine", "settings", "results"}, plain values: of the sizes that are complete."""
    results = [
        {"rows": rows, "name": name, **as_json_row(repeats)}
        for rows, found in scale.found.items()
        for name, repeats in found.items()
    ]
    settings = {"repeats": scale.repeats, "cores": scale.cores, "epochs": EPOCHS, "test_rows": TEST_ROWS}
    return {"machine": describe_machine(), "settings": settings, "results": results}


def write_figure(path: str | Path, scale: Scale) -> None:
    """Draw CPU seconds, with a line of slope 1 that ends where ours does, and peak memory; all axes logarithmic."""
    sizes = list(scale.found)

    def lines(value: Callable[[Measured], float]) -> dict[str, list[float]]:
        return {NAMES[name]: [value(medians(scale.found[rows][name])) for rows in sizes] for name in scale.names}

    seconds = lines(lambda m: m.cpu_seconds)
    last = seconds[NAMES[scale.names[0]]][-1]
    seconds["in proportion to rows"] = [last * rows / sizes[-1] for rows in sizes]
    memory = lines(lambda m: m.peak_bytes / 2**30)
    panels = [
        Panel("one epoch, from the file to the test accuracy", seconds, y_label="CPU seconds"),
        Panel("peak memory", memory, y_label="GiB"),
    ]
    write_line_plot(path, sizes, panels, "rows of about 20 words", "")
