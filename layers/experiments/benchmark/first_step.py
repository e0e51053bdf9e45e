"""Seconds from `python train.py` to the end of the first training step, as somebody waits for it, in a child process.

python -m layers.experiments.benchmark.first_step train ARGUMENTS        prints the time at that end and stops
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.benchmark.child import child_value


def seconds_to_first_step(*arguments: str) -> float:
    """Seconds from the start of a process `train.py train ARGUMENTS`, with what the cache folder holds by then."""
    with tempfile.TemporaryDirectory() as folder:
        given = ("train", "--json", "--output", Path(folder) / "run", *arguments)
        started = time.time()
        end: float = child_value("the first step", "layers.experiments.benchmark.first_step", *given)
        return end - started


def main(arguments: Sequence[str]) -> int:
    """Run train.py, but for an end after the first step; return 0 if that was reached, otherwise the exit code."""
    import train
    from engine.benchmark.parts import patched
    from engine.training.trainer import Trainer

    ends = []

    def stopping(step: Callable[..., object]) -> Callable[..., object]:
        def train_step(*given: object) -> None:
            step(*given)
            ends.append(time.time())
            raise KeyboardInterrupt

        return train_step

    with patched([(Trainer, "train_step", stopping)]):
        code = train.main(list(arguments))
    for end in ends:
        print(end)
    return 0 if ends else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
