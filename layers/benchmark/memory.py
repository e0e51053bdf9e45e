"""Peak memory of a training, in a process of its own that does nothing else.

    python -m layers.benchmark.memory ours|peer NETWORK FILE.npz        prints bytes

FILE.npz holds ids, offsets and labels of a few batches, one after another, and the number of classes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from engine.backend import peak_memory_bytes
from engine.data.batching import take
from engine.ragged import RaggedBatch
from layers.benchmark.first_step import failed
from layers.benchmark.workloads import BATCH, build, random_rows

STEPS = 8
ROOT = Path(__file__).resolve().parents[2]


def peak_of_training(engine, network, texts):
    """Peak resident bytes of a fresh process that imports the engine ("ours" or "peer") and trains STEPS batches."""
    batches = [take(texts.train, rows) for rows in random_rows(texts.train, STEPS)]
    arrays = {name: np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "labels")}
    lengths = np.concatenate([np.diff(batch.offsets) for batch in batches])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "batches.npz"
        np.savez(file, offsets=np.concatenate([[0], np.cumsum(lengths)]), classes=texts.classes, **arrays)
        command = [sys.executable, "-m", "layers.benchmark.memory", engine, network, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise failed(f"the memory of {engine}", done)
    return int(done.stdout)


def main(engine, network, file):
    with np.load(file) as arrays:
        data, classes = RaggedBatch(arrays["ids"], arrays["offsets"], arrays["labels"]), int(arrays["classes"])
    if engine == "ours":
        from layers.benchmark.contestants import OurTraining as Training
    else:
        from layers.benchmark.peer import PeerTraining as Training
    training = Training(build(network, classes))
    for start in range(0, len(data.labels), BATCH):
        training.train_step(take(data, np.arange(start, start + BATCH)))
    print(peak_memory_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
