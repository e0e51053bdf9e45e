"""Trainings whose matrix products are large enough for BLAS to share them among threads, and how far two lie apart."""

import json
from pathlib import Path

import numpy as np

from engine.arrays.mapped import read_arrays

# Relative differences of 1 and 2 threads after one epoch: at most 7e-7 and 3e-6 were seen, of float32's spacing 1.2e-7.
MOST = {"loss": 1e-5, "weights": 3e-5}
NETWORKS = {
    "recommended": [],
    "quick": ["--preset", "quick"],
    "interference": ["--preset", "quick", "--operation", "interference"],
    "heads": ["--preset", "accurate"],
    "transformer": ["--model", "transformer", "--set", "heads=4", "--set", "max_tokens=32"],
}


def write_texts(folder: Path) -> list[str]:
    """Write a corpus of 400 words in a folder; returns the words that train on it for one epoch."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 400), ("test", 60)):
        rows = (f"c{number % 4}\t{' '.join(f'w{n}' for n in rng.integers(number % 4 * 80, number % 4 * 80 + 160, 25))}"
                for number in range(count))  # fmt: skip
        (folder / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    files = ["--train-file", str(folder / "train.tsv"), "--test-file", str(folder / "test.tsv")]
    return [*files, "--cache-dir", str(folder / "cache"), "--dimension", "128", "--epochs", "1", "--batch-size", "64"]


def difference_of(run: Path, other: Path) -> dict[str, float]:
    """The largest relative difference of the losses of two runs, and the norm of that of their weights."""
    losses = [[json.loads(line)["loss"] for line in (path / "metrics.jsonl").read_text().splitlines()]
              for path in (run, other)]  # fmt: skip
    arrays = [read_arrays(next((path / "checkpoints" / "last").glob("weights-*"))) for path in (run, other)]
    squares = np.zeros(2)
    for name, array in arrays[0].items():
        squares += np.square(arrays[1][name].astype(np.float64) - array).sum(), np.square(array, dtype=np.float64).sum()
    return {
        "loss": float(np.max(np.abs(np.divide(losses[1], losses[0]) - 1))),
        "weights": float(np.sqrt(squares[0] / squares[1])),
    }
