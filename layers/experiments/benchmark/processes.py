"""Figures that need a process of their own: peak memory of a training on the CPU, seconds to its first step.

    python -m layers.experiments.benchmark.processes memory ours|peer NETWORK FILE.npz      prints bytes
    python -m layers.experiments.benchmark.processes first_step train ARGUMENTS             prints the time, and stops

FILE.npz holds ids, offsets and labels of a few batches, one after another, and the number of classes.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.backend import peak_memory_bytes
from engine.arrays.ragged import RaggedBatch
from engine.benchmark.timing import child_value
from engine.data.batching import take
from layers.experiments.benchmark.workloads import BATCH, Texts, build, random_rows

MODULE = "layers.experiments.benchmark.processes"
MEMORY_STEPS = 8


def peak_memory_of_training(kind: str, network: str, texts: Texts) -> int:
    """Peak resident bytes of a process that imports a contestant, "ours" or "peer", and trains MEMORY_STEPS batches."""
    rows = np.concatenate(random_rows(texts.train, MEMORY_STEPS))
    ids, offsets, labels, sentences, _ = take(texts.train, rows)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batches.npz"
        assert labels is not None and sentences is not None  # of Texts
        np.savez(file, ids=ids, offsets=offsets, labels=labels, sentences=sentences, classes=texts.classes)
        peak: int = child_value(f"the memory of {kind}", MODULE, "memory", kind, network, file)
        return peak


def memory(kind: str, network: str, file: str) -> int:
    """Train on the batches of the file and print the peak; of the two contestants only this one is imported."""
    with np.load(file) as arrays:
        data = RaggedBatch(arrays["ids"], arrays["offsets"], arrays["labels"], arrays["sentences"])
        classes = int(arrays["classes"])
    training: Any
    if kind == "ours":
        from layers.experiments.benchmark.contestants import OurTraining

        training = OurTraining(build(network, classes))
    else:
        from layers.experiments.benchmark.torch_peer import PeerTraining

        training = PeerTraining(build(network, classes))
    for start in range(0, len(data.offsets) - 1, BATCH):
        training.train_step(take(data, np.arange(start, start + BATCH)))
    print(peak_memory_bytes())
    return 0


def seconds_to_first_step(*arguments: str) -> float:
    """Seconds from the start of a process `train.py train ARGUMENTS`, with what the cache folder holds by then."""
    with tempfile.TemporaryDirectory() as folder:
        given = ("train", "--json", "--output", Path(folder) / "run", *arguments)
        started = time.time()
        end: float = child_value("the first step", MODULE, "first_step", *given)
        return end - started


def first_step(*arguments: str) -> int:
    """Run train.py, but for an end after the first step, and print the time then; return 0, or the exit code before."""
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
    measures: dict[str, Callable[..., int]] = {"memory": memory, "first_step": first_step}
    sys.exit(measures[sys.argv[1]](*sys.argv[2:]))
