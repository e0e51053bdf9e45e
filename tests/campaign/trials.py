"""The trials of one part of a campaign: how long they go on, what was found, and their own folder."""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

MEMORY = "/dev/shm"  # a file system in memory, for which nothing has to wait as for a disk
SHOWN = 700  # characters of a finding


class Trials:
    """Trials of a part, for so many seconds or `most` of them, drawn from `rng`; it has a `folder` within its context.

    Names of outcomes are counted, and findings are printed as they come.
    """

    def __init__(self, part: str, seed: int, seconds: float, most: int) -> None:
        self.part, self.seconds, self.most = part, seconds, most
        self.rng = random.Random(f"{part} {seed}")
        self.count, self.outcomes, self.findings = 0, Counter[str](), list[str]()

    def __enter__(self) -> "Trials":
        memory = MEMORY if os.path.isdir(MEMORY) and "TMPDIR" not in os.environ else None
        self.folder = Path(tempfile.mkdtemp(prefix="campaign-", dir=memory))
        self.began = time.monotonic()
        self.deadline = self.began + self.seconds
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self.began
        shutil.rmtree(self.folder, ignore_errors=True)

    def going_on(self) -> bool:
        """Whether there is time for another trial."""
        return self.count < self.most and time.monotonic() < self.deadline

    def numbers(self) -> Iterator[int]:
        """0, 1, 2 and so on, as long as there is time."""
        number = 0
        while self.going_on():
            yield number
            number += 1

    def expect(self, problem: str | None, what: str, outcome: str = "held") -> None:
        """Count a trial. problem: None where it held, else what is wrong; what: how to repeat it."""
        self.count += 1
        self.outcomes["found" if problem else outcome] += 1
        if problem:
            self.findings.append(f"{what}: {problem}")
            print(f"{self.part}: {ascii(self.findings[-1])[1:-1][:SHOWN]}", flush=True)

    def described(self) -> str:
        """The outcomes in words."""
        return ", ".join(f"{name} {count:,}" for name, count in self.outcomes.most_common())
