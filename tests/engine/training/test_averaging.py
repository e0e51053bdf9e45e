"""The mean of the weights at validations: of lazily updated rows, too, validated, kept as the best, and continued."""

import signal

import numpy as np
import pytest

from engine.layer import Parameter
from engine.training.adamw import AdamW
from engine.training.averaging import WeightAverage
from engine.training.checkpoint import drop, load_checkpoint
from engine.training.evaluation import evaluate
from engine.training.interrupt import Interrupted
from tests.engine.training.test_observers import Recorder
from tests.engine.training.test_shards import left_in, trained
from tests.engine.training.test_trainer import (
    CLASSES,
    DATA,
    STEPS,
    STEPS_PER_EPOCH,
    build,
    final,
    metrics,
    send,
    with_validation,
)
from tests.support.adamw_steps import ROWS, sparse_steps, train
from tests.support.thread_ranks import on_ranks

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

HALF = {"validations": 2, "averaging": 0.5}  # of 15 steps: the mean of the weights after steps 8, 10, 13 and 15


@pytest.mark.parametrize("points", [[2, 5, 7, 8], [1], [8], [3, 4]])
def test_the_mean_of_lazily_updated_rows_is_that_of_dense_ones(points):
    """Rows that no batch holds for several steps, one of them never."""
    start, grads, _, rates = sparse_steps(ROWS)
    options = {"epsilon": 1e-150}  # ε is what the two treat differently
    dense = train(Parameter(start.copy()), grads, rates, embedding_update="dense", **options)
    table = Parameter(start.copy())
    optimizer, average = AdamW({"p": table}, embedding_update="lazy", **options), WeightAverage({"p": table})
    for step, (table.grad, rate) in enumerate(zip(grads, rates), start=1):
        optimizer.step(rate)
        if step in points:
            optimizer.catch_up()
            average.add(points.index(step) + 1)
    expected = np.mean([dense[step - 1] for step in points], axis=0)
    np.testing.assert_allclose(average.mean["p"], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(), (3,), (5, 2), (40_000, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mean_is_that_of_all_weights(shape, dtype):
    """And the weights themselves are as before."""
    values = np.random.default_rng(0).standard_normal((5, *shape)).astype(dtype)
    parameter = Parameter(np.zeros(shape, dtype))
    average = WeightAverage({"p": parameter})
    for n, value in enumerate(values, start=1):
        parameter.value[...] = value
        average.add(n)
    own = parameter.value
    with average.in_force():
        assert parameter.value.dtype == dtype and parameter.value.shape == shape
        np.testing.assert_allclose(parameter.value, values.astype(float).mean(axis=0), atol=4 * np.finfo(dtype).eps)
    assert parameter.value is own and np.array_equal(own, values[-1])


@pytest.fixture(scope="module", params=["lazy", "dense"])
def whole(request, tmp_path_factory):
    """(embedding update, what an uninterrupted run with a mean leaves behind)."""
    trainer = build(tmp_path_factory.mktemp("whole") / "run", embedding_update=request.param, **HALF)
    trainer.train()
    return request.param, final(trainer)


@pytest.mark.parametrize("at", [7, 8, 9, 10, 13, 14])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, whole, at):
    update, expected = whole
    with pytest.raises(Interrupted):
        build(tmp_path / "run", send(signal.SIGTERM, at), embedding_update=update, **HALF).train()
    second = build(tmp_path / "run", embedding_update=update, **HALF)
    second.resume()
    second.train()
    assert final(second) == expected
    assert [name for name in expected[2] if "average" in name] == [f"checkpoints/last/average-{STEPS}.safetensors"]


def test_a_mean_changes_no_step(tmp_path, whole):
    update, (weights, optimizer, _, _, lines) = whole
    plain = build(tmp_path / "run", embedding_update=update, validations=2)
    plain.train()
    found = final(plain)
    assert (found[0], found[1]) == (weights, optimizer)
    of_mean = {"averaged_accuracy", "averaged_loss"}
    assert [line["step"] for line in lines if of_mean <= line.keys()] == [10, 13, 15]
    assert metrics(plain) == [{key: line[key] for key in line.keys() - of_mean} for line in lines]


@pytest.mark.parametrize(
    "accuracies, losses, averaged, best",
    [
        # Of the weights and their mean by turns, once there is one: at steps 8, 10, 13 and 15.
        ([0.5, 0.5, 0.6, 0.7, 0.8, 0.7, 0.9, 0.7, 0.8], None, 3, 13),
        ([0.5, 0.5, 0.6, 0.7, 0.8, 0.7, 0.7, 0.9, 0.9], None, 0, 15),
        ([0.5, 0.5, 0.6, 0.7, 0.8, 0.7, 0.7, 0.9, 0.9], [1, 1, 1, 1, 1, 1, 1, 1, 0.9], 4, 15),
        ([0.9, 0.5, 0.6, 0.7, 0.8, 0.7, 0.7, 0.8, 0.8], None, 0, 3),
    ],
)
def test_the_better_of_weights_and_mean_becomes_the_best(tmp_path, monkeypatch, accuracies, losses, averaged, best):
    states, seen = {}, Recorder()
    with_validation(monkeypatch, accuracies, losses)
    trainer = build(tmp_path / "run", **HALF)
    trainer.observers = trainer.metrics.observers = [seen]
    add, take = trainer.average.add, trainer.take
    points = iter([8, 10, 13, 15])

    def added(n):
        assert all((state["last"] == state["t"]).all() for state in trainer.optimizer.state.values() if "last" in state)
        states[next(points)] = of(trainer)
        add(n)

    trainer.average.add = added

    def noted(found, thresholds, averaged=0):
        states.setdefault(trainer.progress.step, of(trainer))
        return take(found, thresholds, averaged)

    trainer.take = noted
    trainer.train()
    state, arrays = load_checkpoint(trainer.run.best, ("weights",))
    assert (state["step"], state["progress"]["best_averaged"]) == (best, averaged)
    assert (trainer.progress.best_accuracy, trainer.progress.best_averaged) == (max(accuracies), averaged)
    of_mean = [states[step] for step in (8, 10, 13, 15) if step <= best]
    for name, array in arrays["weights"].items():
        expected = np.mean([weights[name] for weights in of_mean], axis=0) if averaged else states[best][name]
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6 if averaged else 0)
    last = load_checkpoint(trainer.run.last, ("weights",))[1]["weights"]
    assert all(np.array_equal(last[name], p.value) for name, p in trainer.parameters.items())
    assert [end.averaged and end.averaged.accuracy for end in seen.ends] == [None] * 3 + accuracies[4::2]
    trainer.load_best()
    assert all(np.array_equal(p.value, arrays["weights"][name]) for name, p in trainer.parameters.items())


def of(trainer):
    return {name: p.value.copy() for name, p in trainer.parameters.items()}


def test_a_better_mean_renews_patience(tmp_path, monkeypatch):
    """Validated: the weights at 3 and 5, then at 8, 10, 13 and 15 the weights and, from 10 on, their mean."""
    for gain, ended in ((0.95, 15), (0.9, 10)):
        with_validation(monkeypatch, [0.5, 0.9, 0.8, 0.8, gain, 0.8, 0.8, 0.8, 0.8])
        trainer = build(tmp_path / str(gain), patience=1, **HALF)
        trainer.train()
        assert trainer.progress.step == ended


def test_without_validation_texts_the_mean_is_the_best(tmp_path):
    trainer = build(tmp_path / "run", data=DATA._replace(validation=None), epochs=2, **HALF)
    trainer.train()
    own = of(trainer)
    trainer.load_best()
    best = of(trainer)
    assert trainer.progress.best_averaged == 2
    assert all(np.array_equal(best[name], trainer.average.mean[name]) for name in best)
    assert not all(np.array_equal(best[name], own[name]) for name in best)
    assert not any(key.startswith(("averaged", "validation")) for line in metrics(trainer) for key in line)


def test_one_point_is_no_mean(tmp_path):
    trainer = build(tmp_path / "run", averaging=0.3)
    trainer.train()
    assert (trainer.progress.averaged, trainer.progress.best_averaged) == (1, 0)
    assert not any("averaged_loss" in line for line in metrics(trainer))


def test_a_mean_that_is_no_longer_needed_is_dropped(tmp_path):
    trainer = build(tmp_path / "run", **HALF)
    trainer.train()
    drop(trainer.run.last, "optimizer", "average")
    assert [path.suffix for path in trainer.run.last.iterdir() if path.stem[:7] in ("optimiz", "average")] == []


def test_a_mean_has_the_same_bits_on_any_number_of_ranks(tmp_path):
    expected = trained(tmp_path / "alone", **HALF)
    found = on_ranks(2, lambda ranks: trained(tmp_path / "2", ranks, **HALF))
    assert all(weights == expected[1] for _, weights in found)
    assert left_in(tmp_path / "2") == expected[0]


def test_the_mean_is_measured_with_its_own_figures(tmp_path):
    """Those in the metrics are those of the weights that the mean has."""
    trainer = build(tmp_path / "run", **HALF)
    trainer.train()
    with trainer.average.in_force():
        found = evaluate(trainer.network, DATA.validation, CLASSES)
    line = metrics(trainer)[-1]
    assert (line["averaged_accuracy"], line["averaged_loss"]) == (found.accuracy, found.loss)
    assert line["averaged_loss"] != line["validation_loss"] and line["step"] == 3 * STEPS_PER_EPOCH
