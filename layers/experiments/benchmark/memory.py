"""Peak memory of a training on the CPU, in a process of its own that does nothing else.

    python -m layers.experiments.benchmark.memory ours|peer NETWORK FILE.npz        prints bytes

FILE.npz holds ids, offsets and labels of a few batches, one after another, and the number of classes.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from engine.arrays.backend import peak_memory_bytes
from engine.arrays.ragged import RaggedBatch
from engine.benchmark.child import child_value
from engine.data.batching import take
from layers.experiments.benchmark.workloads import BATCH, Texts, build, random_rows

MEMORY_STEPS = 8


def peak_memory_of_training(kind: str, network: str, texts: Texts) -> int:
    """Peak resident bytes of a process that imports a contestant, "ours" or "peer", and trains MEMORY_STEPS batches."""
    batches = [take(texts.train, rows) for rows in random_rows(texts.train, MEMORY_STEPS)]
    ids, labels, lengths = (
        np.concatenate(parts)
        for parts in zip(*((batch.ids, batch.labels, np.diff(batch.offsets)) for batch in batches))
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batches.npz"
        np.savez(file, ids=ids, offsets=offsets, labels=labels, classes=texts.classes)
        peak: int = child_value(f"the memory of {kind}", "layers.experiments.benchmark.memory", kind, network, file)
        return peak


def main(kind: str, network: str, file: str) -> None:
    """Train on the batches of the file and print the peak; of the two contestants only this one is imported."""
    with np.load(file) as arrays:
        data, classes = RaggedBatch(arrays["ids"], arrays["offsets"], arrays["labels"]), int(arrays["classes"])
    training: Any
    if kind == "ours":
        from layers.experiments.benchmark.our_training import OurTraining

        training = OurTraining(build(network, classes))
    else:
        from layers.experiments.benchmark.torch_peer import PeerTraining

        training = PeerTraining(build(network, classes))
    for start in range(0, len(data.offsets) - 1, BATCH):
        training.train_step(take(data, np.arange(start, start + BATCH)))
    print(peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
