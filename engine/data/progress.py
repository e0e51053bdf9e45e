"""Progress of the preparation of texts, for people who wait: a bar in a terminal, a line where it took a while."""

import time
from collections.abc import Callable
from types import TracebackType

from engine.support.progress_bar import progress_bar

LONG = 2.0  # seconds, from which a phase has a line of its own


class Phase:
    """One phase. name: in the bar; done: in the line ("read train.csv"); total: of texts, or None; log: takes lines.

    unit: what is counted.
    """

    def __init__(
        self, name: str, done: str, total: int | None, log: Callable[[str], object] | None, unit: str = "texts"
    ) -> None:
        self.done, self.log, self.count, self.started, self.unit = done, log, 0, time.perf_counter(), unit
        self.bar = progress_bar(desc=name, total=total, unit=f" {unit}", unit_scale=True, leave=False, delay=LONG / 2)

    def advance(self, texts: int) -> None:
        """Count texts that are done."""
        self.count += texts
        self.bar.update(texts)

    def __enter__(self) -> "Phase":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        seconds = time.perf_counter() - self.started
        if kind is None and seconds >= LONG and self.log is not None:
            speed = f"{self.count / seconds:,.0f} {self.unit}/s"
            self.log(f"{self.done}: {self.count:,} {self.unit} in {seconds:.1f} s, {speed}")
