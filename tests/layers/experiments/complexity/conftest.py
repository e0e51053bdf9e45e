"""Small models with a small vocabulary, measured within this process."""

import pytest

from layers.experiments import complexity as models
from layers.experiments.benchmark import workloads
from layers.experiments.complexity import measure, run

RATE = 1e9


def in_this_process(model, texts, lengths, setup):
    """run.measurements without a child process."""
    subject = measure.Subject(model, setup.device, max(lengths), setup.rate, setup.budget, setup.tokens)
    return (subject.measure(texts, length) for length in lengths)


@pytest.fixture
def small(monkeypatch):
    """Every model of MODELS with 8 columns and 100 tokens; two blocks for bert-base."""
    monkeypatch.setattr(workloads, "VOCABULARY", 100)
    for name, fields in models.MODELS.items():
        sizes = {
            "dimension": 8,
            "hidden": 12,
            **({} if models.is_wave(name) else {"heads": 2, "blocks": min(2, fields["blocks"])}),
        }
        monkeypatch.setitem(models.MODELS, name, {**fields, **sizes})
    monkeypatch.setattr(run, "square_product_rate", lambda device, clock: RATE)
    monkeypatch.setattr(run, "measurements", in_this_process)
