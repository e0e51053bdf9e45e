"""A benchmark over a corpus of twenty short texts, with small networks: every figure within a second."""

import numpy as np
import pytest

from engine.benchmark import timing
from engine.data.encoder import Encoder
from engine.data.tokenizer import train_tokenizer
from engine.data.vocabulary import Vocabulary
from layers.experiments.benchmark import cpu, workloads

WORDS = "profits rose in the third quarter as bank cut its rate oil fell".split()


def small_texts():
    """Texts of 40 texts to train on and 20 to label."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(60)]
    tokenizer = train_tokenizer(texts, 60)
    batches = [
        Encoder(Vocabulary(tokenizer, sentences=True), 16).encode(part)._replace(labels=rng.integers(0, 3, len(part)))
        for part in (texts[:40], texts[40:])
    ]
    return workloads.Texts(*batches, 3, tokenizer)


@pytest.fixture
def small(monkeypatch):
    """The module `cpu` with everything small, and no pauses."""
    monkeypatch.setattr(cpu, "load_texts", lambda corpus, cache_dir=None: small_texts())
    monkeypatch.setattr(timing, "PAUSE", 0.0)
    monkeypatch.setattr(workloads, "VOCABULARY", 100)
    for name, fields in workloads.NETWORKS.items():
        sizes = {"dimension": 8, "hidden": 8 if fields["hidden"] else 0}
        monkeypatch.setitem(workloads.NETWORKS, name, {**fields, **sizes})
    sizes = {
        "BULK_TEXTS": 20,
        "BULK_BATCH": 8,
        "LENGTHS": (2, 8),
        "LENGTH_TEXTS": 3,
        "BATCHES": (1, 4),
        "BATCH_LENGTH": 5,
    }
    for name, value in {**sizes, "ONE_TEXT_CALLS": 2}.items():
        monkeypatch.setattr(cpu, name, value)
    return cpu


class Losing:
    """A contestant with the given losses; an exception among them is raised."""

    def __init__(self, losses):
        self.losses = iter(losses)

    def train_step(self, batch):
        loss = next(self.losses)
        if isinstance(loss, Exception):
            raise loss
        return loss

    def has_stopped(self):
        return False


@pytest.fixture
def peer(monkeypatch):
    """The module `torch_peer`. torch.compile then traces and guards, but needs no C++ compiler."""
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[bench]'")
    from layers.experiments.benchmark import harness, torch_peer

    monkeypatch.setattr(harness, "why_not_compiled", lambda device: None)
    monkeypatch.setattr(torch_peer, "COMPILER", "eager")
    return torch_peer


@pytest.fixture(name="Losing")
def losing():
    return Losing
