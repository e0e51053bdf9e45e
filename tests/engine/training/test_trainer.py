"""Training is repeatable, resumable to the last bit, and stops for each of its reasons with its state saved."""

import json
import math
import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from engine.arrays.ragged import RaggedBatch
from engine.data.prepare import PreparedData
from engine.support.errors import UserError
from engine.training import config as config_module
from engine.training import run_state as run_state_module
from engine.training import trainer as trainer_module
from engine.training.checkpoint import drop, load_checkpoint
from engine.training.config import LONG_EPOCH, TrainingConfig
from engine.training.decision import evaluate_and_decide
from engine.training.evaluation import evaluate
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.step import learning_rate
from engine.training.trainer import Trainer
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig

pytestmark = pytest.mark.usefixtures("signals_of_a_terminal")

VOCABULARY, CLASSES = 40, ["a", "b", "c"]
NETWORK = WaveNetworkConfig(
    dimension=6, hidden=6, dropout=0.2, token_dropout=0.2, embedding_dropout=0.1, classifier_dropout=0.1
)
TRAINING = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.02, patience=0, seed=5, checkpoint_seconds=0)
STEPS_PER_EPOCH, STEPS = 5, 15


def texts(count, seed):
    """Texts whose tokens tell their class, most of the time."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(CLASSES), count)
    counts = rng.integers(1, 9, count)
    ids = np.repeat(labels * 10, counts) + rng.integers(0, 20, counts.sum())
    return RaggedBatch(ids.astype(np.int32), np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), labels)


COUNTED = SimpleNamespace(first_char_ngram=lambda: None)  # a vocabulary without character n-grams
DATA = PreparedData("tiny", texts(35, 0), texts(12, 1), None, COUNTED, CLASSES)


class Hooked(WaveNetwork):
    """Calls `hook(step)` before the forward pass of each training step, counted from 1 or from the resumed step."""

    hook = None
    step = 0

    def loss_forward(self, batch, train=False, rng=None):
        self.step += 1
        if self.hook:
            self.hook(self.step)
        return super().loss_forward(batch, train, rng)


def build(path, hook=None, data=DATA, network=NETWORK, state=None, **changes):
    """A Trainer of a new network on a new or an old run directory."""
    run = RunDirectory(path)
    run.path.mkdir(exist_ok=True)
    net = Hooked(network, VOCABULARY, len(CLASSES), TRAINING.seed)
    net.hook = hook
    return Trainer(net, TRAINING.replace(**changes), data, run, state=state)


def metrics(trainer):
    """The lines of metrics.jsonl without what the clock tells."""
    lines = [json.loads(line) for line in trainer.run.metrics_file.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "tokens_per_second"} for line in lines]


def final(trainer):
    """Everything that a run leaves behind: weights, optimizer state, checkpoints and metrics, as bytes."""
    weights = {name: p.value.tobytes() for name, p in trainer.parameters.items()}
    optimizer = {name: array.tobytes() for name, array in trainer.optimizer.arrays().items()}
    saved = {str(f.relative_to(trainer.run.path)): f.read_bytes() for f in trainer.run.path.rglob("*.safetensors")}
    progress = {key: value for key, value in vars(trainer.progress).items() if key != "train_seconds"}
    return weights, optimizer, saved, progress, metrics(trainer)


@pytest.fixture(scope="module", params=["lazy", "dense"])
def whole(request, tmp_path_factory):
    """(embedding update, what an uninterrupted run leaves behind)."""
    trainer = build(tmp_path_factory.mktemp("whole") / "run", embedding_update=request.param)
    trainer.train()
    return request.param, final(trainer)


@pytest.mark.parametrize(
    "budget, epochs", [(1, 1), (7, 1), (8, 2), (10, 2), (12, 2), (13, 3), (15, 3), (10**9, 3), (0, 3)]
)
def test_a_step_budget_ends_training_at_the_nearest_epoch(tmp_path, budget, epochs):
    """A step budget ends training at the nearest epoch as if there were no more."""
    budgeted, plain = build(tmp_path / "budgeted", step_budget=budget), build(tmp_path / "plain", epochs=epochs)
    budgeted.train()
    plain.train()
    assert budgeted.progress.step == epochs * STEPS_PER_EPOCH
    assert final(budgeted) == final(plain)


@pytest.mark.parametrize(
    "largest, texts, size",
    [
        (0, 10**9, 8),
        (8, 10**9, 8),
        (31, 10**9, 16),
        (32, 10**9, 32),
        (32, 8 * LONG_EPOCH, 8),
        (32, 8 * LONG_EPOCH + 1, 16),
        (32, 16 * LONG_EPOCH + 1, 32),
    ],
)
def test_batches_are_larger_where_epochs_are_long(largest, texts, size):
    config = TRAINING.replace(batch_size=8, largest_batch_size=largest)
    assert config.batch_size_over(texts) == size


def test_a_long_epoch_takes_as_few_steps_as_larger_batches_need(tmp_path, monkeypatch):
    monkeypatch.setattr(config_module, "LONG_EPOCH", 2)
    larger = build(tmp_path / "larger", largest_batch_size=4 * TRAINING.batch_size)
    asked = build(tmp_path / "asked", batch_size=larger.batch_size)
    larger.train()
    asked.train()
    assert larger.batch_size > TRAINING.batch_size
    assert final(larger) == final(asked)


@pytest.mark.parametrize(
    "many, classes, budget, epochs",
    [(0, 100, 0, 3), (5, 19, 0, 3), (5, 20, 0, 5), (5, 100, 0, 5), (2, 20, 0, 2), (9, 20, 20, 5), (9, 19, 20, 3)],
)
def test_epochs_of_many_classes(many, classes, budget, epochs):
    config = TRAINING.replace(epochs=3, many_classes_epochs=many, step_budget=budget)
    assert config.epochs_over(4, classes) == epochs


@pytest.mark.parametrize("many, classes, rate", [(0.0, 100, 0.3), (0.5, 19, 0.3), (0.5, 20, 0.5), (0.1, 77, 0.1)])
def test_learning_rate_of_many_classes(many, classes, rate):
    config = TRAINING.replace(learning_rate=0.3, many_classes_learning_rate=many)
    assert config.learning_rate_over(classes) == rate


@pytest.mark.parametrize(
    "of_many, of_all",
    [
        ({"epochs": 1, "many_classes_epochs": 2}, {"epochs": 2}),
        ({"learning_rate": 1e-3, "many_classes_learning_rate": 5e-3}, {"learning_rate": 5e-3}),
    ],
)
def test_a_training_of_many_classes_has_settings_of_its_own(tmp_path, monkeypatch, of_many, of_all):
    monkeypatch.setattr(config_module, "MANY_CLASSES", 2)
    many, plain = build(tmp_path / "many", **of_many), build(tmp_path / "plain", **of_all)
    many.train()
    plain.train()
    assert many.progress.step == plain.progress.step and final(many) == final(plain)
    monkeypatch.setattr(config_module, "MANY_CLASSES", 20)
    few = build(tmp_path / "few", **of_many)
    few.train()
    assert final(few) != final(plain)


@pytest.mark.parametrize("budget, epochs", [(1, 1), (5, 1), (6, 2), (9, 2), (10, 3)])
def test_a_step_budget_halfway_takes_the_larger_number(budget, epochs):
    """A step budget halfway between two numbers of epochs takes the larger."""
    assert TRAINING.replace(epochs=9, step_budget=budget).epochs_over(4) == epochs


def test_equal_seeds_give_equal_runs_and_others_do_not(tmp_path, whole):
    update, expected = whole
    again, other = (
        build(tmp_path / "again", embedding_update=update),
        build(tmp_path / "other", embedding_update=update, seed=6),
    )
    again.train()
    other.train()
    assert final(again) == expected
    assert final(other)[0] != expected[0]


def send(number, at):
    """A hook that sends this process a signal in the middle of a step."""
    return lambda step: os.kill(os.getpid(), number) if step == at else None


@pytest.mark.parametrize("at", [1, 3, STEPS_PER_EPOCH, STEPS_PER_EPOCH + 1, 12, STEPS])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, whole, at):
    update, expected = whole
    first = build(tmp_path / "run", send(signal.SIGTERM, at), embedding_update=update)
    with pytest.raises(Interrupted):
        first.train()
    assert first.progress.step == at == len(metrics(first))
    second = build(tmp_path / "run", embedding_update=update)
    second.resume()
    assert second.progress == first.progress
    second.train()
    assert final(second) == expected


def test_a_run_stopped_often_resumes_to_the_same_bits(tmp_path, whole):
    """A run stopped at every other step resumes to the same bits."""
    update, expected = whole
    for start in range(0, STEPS + 1, 2):
        trainer = build(tmp_path / "run", send(signal.SIGINT, 2), embedding_update=update)
        if start:
            trainer.resume()
        assert trainer.progress.step == start
        if start + 2 <= STEPS:
            with pytest.raises(Interrupted):
                trainer.train()
        else:
            trainer.train()
    assert final(trainer) == expected


class Killed(BaseException):
    """Stands for the death of the process."""


@pytest.mark.parametrize("at", [STEPS_PER_EPOCH + 1, STEPS_PER_EPOCH + 4, STEPS])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, whole, at):
    """A killed run resumes from its last epoch to the same bits."""

    def die(step):
        if step == at:
            raise Killed

    update, expected = whole
    first = build(tmp_path / "run", die, embedding_update=update)
    with pytest.raises(Killed):
        first.train()
    assert len(metrics(first)) == at - 1
    with open(first.run.metrics_file, "a") as file:
        file.write('{"step": 99, "lo')
    second = build(tmp_path / "run", embedding_update=update)
    second.resume()
    assert second.progress.step == (at - 1) // STEPS_PER_EPOCH * STEPS_PER_EPOCH
    second.train()
    assert final(second) == expected


@pytest.mark.parametrize("fatal_save", [3, 4])
def test_a_run_killed_while_it_saves_resumes_to_the_same_bits(tmp_path, whole, monkeypatch, fatal_save):
    saves = []

    def die(folder, *rest):
        saves.append(folder)
        if len(saves) == fatal_save:
            raise Killed
        save_checkpoint(folder, *rest)

    save_checkpoint = run_state_module.save_checkpoint
    update, expected = whole
    with monkeypatch.context() as patch:
        patch.setattr(run_state_module, "save_checkpoint", die)
        with pytest.raises(Killed):
            build(tmp_path / "run", embedding_update=update).train()
    assert saves[-1].name == ("best" if fatal_save == 3 else "last")
    second = build(tmp_path / "run", embedding_update=update)
    second.resume()
    second.train()
    assert final(second) == expected


def saves_of(monkeypatch):
    """The steps at which checkpoints/last is saved."""
    steps, save = [], run_state_module.save_checkpoint

    def note(folder, step, *rest):
        if folder.name == "last":
            steps.append(step)
        save(folder, step, *rest)

    monkeypatch.setattr(run_state_module, "save_checkpoint", note)
    return steps


@pytest.mark.parametrize(
    "least, step_takes, saving_takes, expected",
    [(0, 1, 9, [5, 10, 15]), (30, 1, 0, [15]), (6, 2, 0, [3, 6, 9, 12, 15]), (6, 3, 1, [2, 13, 15])],
)
def test_checkpoints_take_a_small_share_of_the_time(tmp_path, monkeypatch, least, step_takes, saving_takes, expected):
    """Checkpoints come every few seconds, the rarer the longer they take, and at the end."""
    clock = [0.0]
    monkeypatch.setattr(trainer_module.time, "monotonic", lambda: clock[0])
    steps = saves_of(monkeypatch)
    save = run_state_module.save_checkpoint

    def slow(folder, *rest):
        clock[0] += saving_takes * (folder.name == "last")
        save(folder, *rest)

    monkeypatch.setattr(run_state_module, "save_checkpoint", slow)

    def tick(step):
        clock[0] += step_takes

    build(tmp_path / "run", tick, checkpoint_seconds=least).train()
    assert steps == expected


def test_a_checkpoint_within_an_epoch_resumes_to_the_same_bits(tmp_path, whole, monkeypatch):
    update, expected = whole
    clock = [0.0]
    monkeypatch.setattr(trainer_module.time, "monotonic", lambda: clock[0])
    steps = saves_of(monkeypatch)

    def tick(step):
        clock[0] += 1
        if step == 13:
            raise Killed

    with pytest.raises(Killed):
        build(tmp_path / "run", tick, embedding_update=update, checkpoint_seconds=6).train()
    assert steps == [6, 12]
    second = build(tmp_path / "run", embedding_update=update, checkpoint_seconds=6)
    second.resume()
    assert second.progress.batch == 2
    second.train()
    assert final(second) == expected


def test_the_best_weights_are_kept_once(tmp_path):
    """Where the last weights are the best, both checkpoints name one file, and both are whole."""
    trainer = build(tmp_path / "run", data=DATA._replace(validation=None), epochs=1)
    trainer.train()
    files = [load_checkpoint(folder, ("weights",)) for folder in (trainer.run.best, trainer.run.last)]
    assert files[0][1].keys() == files[1][1].keys()
    inodes = {next(folder.glob("weights-*")).stat().st_ino for folder in (trainer.run.best, trainer.run.last)}
    assert len(inodes) == 1
    drop(trainer.run.last, "optimizer")
    assert [path.name for path in trainer.run.last.iterdir() if "optimizer" in path.name] == []
    assert load_checkpoint(trainer.run.last, ("weights",))[1].keys() == files[1][1].keys()
    with pytest.raises(UserError, match="state.json: lacks 'optimizer'"):
        load_checkpoint(trainer.run.last, ("optimizer",))


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_within_a_step_lets_it_end_and_saves_it(tmp_path, number, code):
    trainer = build(tmp_path / "run", send(number, 3))
    with pytest.raises(Interrupted) as caught:
        trainer.train()
    assert caught.value.exit_code == code
    state, arrays = load_checkpoint(trainer.run.last, ("weights", "optimizer"))
    assert (
        state["step"] == state["progress"]["step"] == state["progress"]["batch"] == 3
        and state["progress"]["epoch"] == 0
    )
    assert all(np.array_equal(arrays["weights"][name], p.value) for name, p in trainer.parameters.items())


def test_metrics_have_a_line_per_step(whole):
    update, (*_, progress, lines) = whole
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in lines] == [1 + step // STEPS_PER_EPOCH for step in range(STEPS)]
    assert [line["learning_rate"] for line in lines] == [
        learning_rate(s, STEPS, 0.02, TRAINING.warmup) for s in range(1, STEPS + 1)
    ]
    for line in lines:
        keys = {"step", "epoch", "loss", "accuracy", "learning_rate", "gradient_norm"}
        assert set(line) == (
            keys | {"validation_accuracy", "validation_loss"} if line["step"] % STEPS_PER_EPOCH == 0 else keys
        )
        assert 0 <= line["accuracy"] <= 1 and line["gradient_norm"] > 0 and math.isfinite(line["loss"])
    assert progress["tokens"] == 3 * len(DATA.train.ids)


def test_the_number_of_cores_changes_no_bit(tmp_path, monkeypatch):
    """With several, batches are planned ahead, and dropout draws the same."""
    found = []
    for count in (1, 2):
        monkeypatch.setattr(trainer_module, "cores", lambda count=count: count)
        for form in ({}, {"readout": "magnitude", "wave_residual": False, "dropout": 0.0, "embedding_dropout": 0.0}):
            network = PlannedWaveNetwork(NETWORK.replace(**form), VOCABULARY, len(CLASSES), TRAINING.seed)
            run = RunDirectory(tmp_path / f"{count} {len(form)}")
            run.path.mkdir()
            trainer = Trainer(network, TRAINING, DATA, run)
            trainer.train()
            found.append(final(trainer))
    assert found[:2] == found[2:]


def test_the_next_batch_is_prepared_while_one_is_trained_on(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "cores", lambda: 2)
    prepared, trainer = [], build(tmp_path / "run")
    prepare = trainer.prepared
    monkeypatch.setattr(trainer, "prepared", lambda numbered: prepared.append(numbered[0]) or prepare(numbered))
    ahead = []
    trainer.network.hook = lambda step: ahead.append(len(prepared) - step)
    trainer.train()
    assert prepared == list(range(1, STEPS + 1))
    assert set(ahead) <= {0, 1}


@pytest.mark.parametrize("batch_size", [2, 7])
def test_metrics_reach_the_file_while_training_goes_on(tmp_path, monkeypatch, batch_size):
    """Metrics of many steps reach the file while training goes on."""
    counts = []
    trainer = build(
        tmp_path / "run",
        lambda step: counts.append(len(metrics(trainer)) if trainer.run.metrics_file.exists() else 0),
        batch_size=batch_size,
    )
    monkeypatch.setattr(trainer_module, "METRICS_LINES", 4)
    trainer.train()
    assert all(step - 6 <= count <= step for step, count in enumerate(counts))
    assert all(
        ("validation_loss" in line) == (line["step"] % trainer.batches_per_epoch == 0) for line in metrics(trainer)
    )
    assert json.loads(trainer.run.metrics_file.read_text().splitlines()[0])["tokens_per_second"] > 0


def test_metrics_are_in_the_file_before_a_step_is_saved(tmp_path, monkeypatch):
    """The metrics of a saved step are in the file before it is saved."""

    def look(folder, step, *rest):
        if folder == trainer.run.last:
            found.append((step, len(metrics(trainer))))

    found, trainer = [], build(tmp_path / "run")
    monkeypatch.setattr(run_state_module, "save_checkpoint", look)
    trainer.train()
    assert found == [(step, step) for step in range(STEPS_PER_EPOCH, STEPS + 1, STEPS_PER_EPOCH)]


@pytest.mark.parametrize("limit", [0.0, 0.01, 1e6])
def test_the_optimizer_sees_the_clipped_gradient(tmp_path, limit):
    """The optimizer sees the clipped gradient, the metrics the norm before clipping."""
    trainer = build(tmp_path / "run", clip_norm=limit, batch_size=len(DATA.train.labels), epochs=1)
    trainer.train()
    norm = metrics(trainer)[0]["gradient_norm"]
    means = [array for name, array in trainer.optimizer.arrays().items() if name.endswith(":m")]
    seen = math.sqrt(sum(float((m.astype(float) ** 2).sum()) for m in means)) / (1 - TRAINING.beta1)
    assert norm > 0.1 and seen == pytest.approx(min(norm, limit or norm), rel=1e-5)


def test_a_tiny_corpus_is_learned(tmp_path):
    trainer = build(tmp_path / "run", network=WaveNetworkConfig(dimension=6, hidden=6), epochs=20)
    trainer.train()
    assert evaluate(trainer.network, DATA.train, CLASSES).accuracy > 0.95
    assert metrics(trainer)[0]["loss"] > 4 * metrics(trainer)[-1]["loss"]


def with_validation(monkeypatch, accuracies, losses=None):
    """Let validation find these figures, epoch by epoch."""
    figures = iter(zip(accuracies, losses or [0.0] * len(accuracies)))

    def found(*arguments):
        accuracy, loss = next(figures)
        result, decision = evaluate_and_decide(*arguments)
        return result._replace(accuracy=accuracy, loss=loss), decision

    monkeypatch.setattr(trainer_module, "evaluate_and_decide", found)


@pytest.mark.parametrize(
    "accuracies, losses, patience, epochs, best",
    [
        ([0.5, 0.9, 0.8, 0.8, 0.8, 0.9], None, 2, 4, 2),
        ([0.5, 0.9, 0.8, 0.8, 0.95, 0.9], None, 3, 6, 5),
        ([0.5, 0.9, 0.8, 0.8, 0.8, 0.8], None, 0, 6, 2),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [3, 2, 1, 1, 1, 0.5], 2, 5, 3),
        ([0.0] * 6, [1e300] * 6, 1, 2, 1),
    ],
)
def test_training_stops_by_patience_and_keeps_the_best_epoch(
    tmp_path, monkeypatch, accuracies, losses, patience, epochs, best
):
    with_validation(monkeypatch, accuracies, losses)
    trainer = build(tmp_path / "run", epochs=6, patience=patience)
    trainer.train()
    assert (trainer.progress.epoch, trainer.progress.best_epoch, trainer.progress.best_accuracy) == (
        epochs,
        best,
        accuracies[best - 1],
    )
    state, arrays = load_checkpoint(trainer.run.best, ("weights",))
    assert state["step"] == best * STEPS_PER_EPOCH
    trainer.load_best()
    assert all(np.array_equal(arrays["weights"][name], p.value) for name, p in trainer.parameters.items())


def test_the_best_checkpoint_is_that_of_a_run_which_ended_there(tmp_path, monkeypatch):
    with_validation(monkeypatch, [0.5, 0.9, 0.8])
    whole, cut = (
        build(tmp_path / "whole", final_learning_rate=1.0, warmup=0.0),
        build(tmp_path / "cut", epochs=2, final_learning_rate=1.0, warmup=0.0),
    )
    whole.train()
    with_validation(monkeypatch, [0.5, 0.9])
    cut.train()
    whole.load_best()
    assert all(np.array_equal(p.value, cut.parameters[name].value) for name, p in whole.parameters.items())


def test_patience_is_counted_on_after_a_resume(tmp_path, monkeypatch):
    with_validation(monkeypatch, [0.9, 0.8])
    with pytest.raises(Interrupted):
        build(tmp_path / "run", send(signal.SIGTERM, 2 * STEPS_PER_EPOCH + 1), epochs=6, patience=2).train()
    with_validation(monkeypatch, [0.8])
    trainer = build(tmp_path / "run", epochs=6, patience=2)
    trainer.resume()
    trainer.train()
    assert (trainer.progress.epoch, trainer.progress.best_epoch) == (3, 1)


def test_without_validation_the_last_epoch_is_the_best(tmp_path):
    trainer = build(tmp_path / "run", data=DATA._replace(validation=None), patience=1)
    trainer.train()
    assert trainer.progress.best_epoch == trainer.progress.epoch == 3
    assert not any("validation_accuracy" in line for line in metrics(trainer))


def failure(trainer):
    """The one line with which a run ends that has diverged."""
    with pytest.raises(UserError) as caught:
        trainer.train()
    assert "\n" not in str(caught.value) and "lower --learning-rate" in str(caught.value)
    return str(caught.value)


def saved_weights(trainer):
    """The weights of checkpoints/last, all finite."""
    weights = load_checkpoint(trainer.run.last, ("weights",))[1]["weights"]
    assert all(np.isfinite(array).all() for array in weights.values())
    return weights


@pytest.mark.parametrize("name", ["embedding.table", "blocks.0.first_variant.weight", "classifier.bias"])
def test_a_poisoned_parameter_is_named_and_never_saved(tmp_path, name):
    """A poisoned parameter is named with its layer and step and never saved."""

    def poison(step):
        if step == STEPS_PER_EPOCH + 2:
            trainer.parameters[name].value[...] = np.nan
            trainer.parameters["classifier.bias"].value[0] = np.nan  # the last one: all others are named before it

    trainer = build(tmp_path / "run", poison)
    message = failure(trainer)
    assert message.startswith(
        f"step {STEPS_PER_EPOCH + 2}: the loss is nan, in the value of parameter {name} (layer "
        f"{name.rpartition('.')[0]})"
    )
    assert message.endswith(f"the last good state is in {trainer.run.last}")
    good = build(tmp_path / "good", send(signal.SIGTERM, STEPS_PER_EPOCH))
    with pytest.raises(Interrupted):
        good.train()
    assert all(np.array_equal(array, good.parameters[key].value) for key, array in saved_weights(trainer).items())


def test_a_gradient_that_is_not_finite_is_named(tmp_path, monkeypatch):
    """A gradient that is not finite is named with its parameter."""
    trainer = build(tmp_path / "run")
    backward = trainer.network.loss_backward

    def poisoned(cache):
        backward(cache)
        trainer.parameters["blocks.0.wave_norm.gain"].grad[0] = np.inf

    monkeypatch.setattr(trainer.network, "loss_backward", poisoned)
    message = failure(trainer)
    assert (
        "step 1: the norm of the gradient is inf, in the gradient of parameter blocks.0.wave_norm.gain (layer "
        "blocks.0.wave_norm)" in message
    )
    assert message.endswith("nothing had been saved yet") and not trainer.run.last.exists()


@pytest.mark.parametrize("rate", [1e30, 1e38, 1e300])
@pytest.mark.parametrize("batch_size", [8, 35])
def test_a_huge_learning_rate_ends_in_one_line(tmp_path, rate, batch_size):
    """A learning rate beyond all measure ends in one line, and nothing broken is saved."""
    trainer = build(tmp_path / "run", learning_rate=rate, batch_size=batch_size, weight_decay=0.0)
    assert failure(trainer).startswith("step ")
    if trainer.run.has_checkpoint():
        saved_weights(trainer)
    for line in trainer.run.metrics_file.read_text().splitlines() if trainer.run.metrics_file.exists() else []:
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("validation", [DATA.validation, None])
def test_a_last_update_that_is_not_finite_is_not_saved(tmp_path, validation):
    """An update that no later loss would see is not saved when it is not finite."""

    def poison(step):
        if step == STEPS:
            update = trainer.optimizer.step
            trainer.optimizer.step = lambda *rest: (
                update(*rest),
                trainer.parameters["classifier.weight"].value.fill(np.inf),
            )

    trainer = build(tmp_path / "run", poison, data=DATA._replace(validation=validation))
    message = failure(trainer)
    assert (
        message.startswith(f"step {STEPS}: the ")
        and "in the value of parameter classifier.weight (layer classifier)" in message
    )
    assert load_checkpoint(trainer.run.last, ("weights",))[0]["step"] == 2 * STEPS_PER_EPOCH
    saved_weights(trainer)


@pytest.mark.parametrize("key, value", [("data_fingerprint", "y"), ("labels", ["a", "b"])])
def test_other_data_are_refused_when_a_run_is_resumed(tmp_path, key, value):
    state = {"labels": CLASSES, "data_fingerprint": "x"}
    build(tmp_path / "run", state=state, epochs=1).train()
    build(tmp_path / "run", state=state, epochs=1).resume()
    with pytest.raises(UserError, match=f"state.json: the {key.replace('_', ' ')} differs from that of this run"):
        build(tmp_path / "run", state={**state, key: value}, epochs=1).resume()


def test_damaged_progress_is_refused_by_name(tmp_path):
    trainer = build(tmp_path / "run", epochs=1)
    trainer.train()
    path = trainer.run.last / "state.json"
    state = json.loads(path.read_text())
    for progress in (
        {"stepp": 1},
        None,
        {"epoch": -5},
        {"step": "x"},
        {"batch": 1.5},
        {"best_epoch": True},
        {"best_loss": None},
        {"train_seconds": "1"},
    ):
        path.write_text(json.dumps({**state, "progress": progress}))
        with pytest.raises(UserError, match="state.json: its progress is damaged"):
            build(tmp_path / "run", epochs=1).resume()


def test_a_run_of_another_shape_is_refused_by_its_parameter(tmp_path):
    build(tmp_path / "run", epochs=1).train()
    other = build(tmp_path / "run", network=NETWORK.replace(dimension=4), epochs=1)
    with pytest.raises(UserError, match=r"parameter embedding.table has shape \(40, 6\).* needs \(40, 4\)"):
        other.resume()


def test_a_damaged_best_checkpoint_is_found_at_resume(tmp_path):
    """Not after the training has ended, when its weights are loaded."""
    trainer = build(tmp_path / "run", send(signal.SIGTERM, 2 * STEPS_PER_EPOCH + 1))
    with pytest.raises(Interrupted):
        trainer.train()
    build(tmp_path / "run").resume()
    (file,) = trainer.run.best.glob("weights-*.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(UserError, match=f"{file}: is damaged"):
        build(tmp_path / "run").resume()
    file.unlink()
    with pytest.raises(UserError, match=f"{file}: cannot be read"):
        build(tmp_path / "run").resume()


def test_what_a_killed_save_has_left_is_removed_at_resume(tmp_path):
    trainer = build(tmp_path / "run", send(signal.SIGTERM, 2 * STEPS_PER_EPOCH + 1))
    with pytest.raises(Interrupted):
        trainer.train()
    before = sorted(trainer.run.path.rglob("*"))
    for folder in (trainer.run.best, trainer.run.last):
        for name in (".tmpAb3dEf", ".weights-99.safetensors.0123abcd.tmp", "weights-99.safetensors"):
            (folder / name).touch()
    build(tmp_path / "run").resume()
    assert sorted(trainer.run.path.rglob("*")) == before
