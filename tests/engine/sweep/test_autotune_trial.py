"""One training of a search: how much it trains, and that it never sees the test texts."""

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.data.prepare import PreparedData
from engine.support.errors import UserError
from engine.sweep import autotune_trial
from engine.sweep.autotune_trial import run_trial, shortened
from engine.training.run_settings import layered_settings
from engine.training.session import start_run
from layers.networks import build_network


def data_of(texts):
    """PreparedData of that many training texts, of one token each."""
    batch = RaggedBatch(np.arange(texts), np.arange(texts + 1), np.zeros(texts, int))
    return PreparedData("x", batch, *[None] * 3, ["a", "b"])


@pytest.mark.parametrize(
    "fields, share, epochs, texts",
    [
        ({"epochs": 6}, 1 / 3, 2, 640),
        ({"epochs": 6}, 1 / 9, 1, 640),  # two thirds of an epoch are rounded
        ({"epochs": 4}, 1 / 9, 1, 284),  # 4/9 of an epoch: so many texts
        ({"epochs": 1}, 1 / 3, 1, 213),
        ({"epochs": 6, "step_budget": 20}, 1 / 3, 1, 640),  # 2 epochs of 10 steps
        ({"epochs": 6, "step_budget": 20}, 1 / 9, 1, 142),
        ({"epochs": 6}, 1.0, 6, 640),
    ],
)
def test_a_share_is_fewer_epochs_or_fewer_texts(choices, fields, share, epochs, texts):
    settings = layered_settings(choices, None, [{"batch_size": 64, **fields}])
    short, data = shortened(settings, data_of(640), share)
    batches = -(-(len(data.train.offsets) - 1) // 64)
    assert (short.training.epochs_over(batches), len(data.train.offsets) - 1) == (epochs, texts)
    assert len(set(data.train.ids.tolist())) == texts and (np.diff(data.train.ids) > 0).all()
    assert (short.data, short.network) == (settings.data, settings.network)


@pytest.fixture
def settings(tmp_path, choices):
    """Of a tiny corpus, in which the test file holds what is no text of a class."""
    for name, count in (("train", 40), ("test", 8)):
        rows = [f"{'ab'[i % 2]}\tword{i % 2} other{i % 5}\n" for i in range(count)]
        (tmp_path / f"{name}.tsv").write_text("".join(rows))
    files = {"train_file": str(tmp_path / "train.tsv"), "test_file": str(tmp_path / "test.tsv")}
    return layered_settings(choices, None, [{**files, "epochs": 2, "batch_size": 8, "dimension": 4}])


def test_a_full_trial_is_the_run_but_for_the_test_texts(settings, tmp_path, monkeypatch):
    """It validates as the run does, and its data have no test texts."""
    seen = []
    trainer = autotune_trial.InMemoryTrainer
    monkeypatch.setattr(autotune_trial, "InMemoryTrainer", lambda *given: seen.append(given[2]) or trainer(*given))
    cache = tmp_path / "cache"
    found = run_trial(settings, 1.0, build_network, cache_dir=cache, log=lambda line: None)
    entries = sorted(path.name for path in (cache / "tokens").iterdir())
    result = start_run(settings, build_network, tmp_path / "run", cache_dir=cache, log=lambda line: None)
    assert found["validation"] == result["validation_accuracy"] and found["texts"] == result["texts"]["validation"]
    assert [data.test for data in seen] == [None] and result["texts"]["test"] == 8
    assert entries == sorted(path.name for path in (cache / "tokens").iterdir())  # the run reads what the trial kept


def test_without_validation_texts_nothing_is_searched(settings, tmp_path):
    settings = settings._replace(data=settings.data.replace(validation_fraction=0.0))
    with pytest.raises(UserError, match="validation_fraction"):
        run_trial(settings, 1.0, build_network, cache_dir=tmp_path, log=lambda line: None)
