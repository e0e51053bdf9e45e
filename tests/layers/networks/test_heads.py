"""Networks side by side: each head is a single network, and all heads together compute what each computes alone."""

import signal
import threading

import numpy as np
import pytest

from engine.arrays.backend import same_stream
from engine.gradcheck import assert_gradients
from engine.support.implementation import using
from engine.training.adamw import AdamW
from engine.training.config import TrainingConfig, computing
from engine.training.interrupt import Interrupted
from engine.training.run_directory import RunDirectory
from engine.training.step import update
from engine.training.trainer import Trainer
from layers.fast import FUNCTIONS, heads_magnitude_cpu
from layers.networks import PlannedWaveNetwork, WaveNetwork, WaveNetworkConfig, build_network, planned_heads
from layers.networks.costs import mixing_flops, step_flops
from layers.networks.heads import HeadsWaveNetwork, head_seed
from layers.networks.parts import twin
from layers.networks.planned_heads import CheckedHeadsNetwork, PlannedHeadsNetwork, WideWaveNetwork
from layers.networks.text_classifier import example_batch
from tests.engine.training.test_trainer import DATA, TRAINING, final
from tests.support.small_networks import (
    CLASSES,
    DROPOUTS,
    VOCABULARY,
    assert_gradients_agree,
    gradient_report,
    loss_and_gradients,
    network_of,
)

HEADS = 3
LENGTHS = [3, 1, 5, 8, 0]
MAGNITUDE = {"readout": "magnitude", "wave_residual": False, "hidden": 0}  # by heads_magnitude_cpu
TOGETHER = [  # settings of which several heads are computed at a time
    {},
    {"hidden": 0},
    {"operation": "interference", "readout": "magnitude"},
    {"operation": "correlation", "readout": "real", "activation": "relu"},
    {"readout": "phase", "operation": "interference", "pooling": "max"},
    MAGNITUDE,
    {**MAGNITUDE, "hidden": 5},
    {**MAGNITUDE, "blocks": 2, "label_smoothing": 0.1, "token_dropout": 0.3},
    {**MAGNITUDE, "levels": "sentence-text"},
    {**MAGNITUDE, "wave_residual": True},
    {"pooling": "cls", "blocks": 2},
    {"block_form": "eq8", "blocks": 2},
    {"variants": "none", "levels": "sentence"},
    {"labels": "several", "label_smoothing": 0.1},
    {"blocks": 0},
]
SHORTCUT = {"shortcut": "naive-bayes", "token_dropout": 0.3, "shortcut_dropout": 0.4}  # shared by all heads
ALONE = [  # and of which each is
    {"scope": "text"},
    {"position_encoding": "learned"},
    {"position_encoding": "sinusoidal", **MAGNITUDE},
    {"block_form": "fig6b"},
    {"variants": "wave"},
    {"wave": "real"},
    {**DROPOUTS, "blocks": 2},
    {**DROPOUTS, **MAGNITUDE},
]
every_setting = pytest.mark.parametrize("fields", [*TOGETHER, *ALONE], ids=str)


def heads_of(kind=PlannedHeadsNetwork, **fields):
    return network_of(kind, heads=HEADS, **fields)


def batch_for(fields):
    return example_batch(VOCABULARY, CLASSES, LENGTHS, several_labels=fields.get("labels") == "several")


def singles_of(network):
    """The heads as single networks with parameters of their own."""
    found = []
    for number in range(HEADS):
        single = PlannedWaveNetwork(network.config.replace(heads=1), VOCABULARY, CLASSES, 0, np.float64)
        for name, parameter in single.parameters().items():
            parameter.value = part(network.parameters()[name].value, name, number).copy()
        found.append(single)
    return found


def part(array, name, number):
    """Of a parameter of all heads, or of its gradient, that of one head, by the layout of checkpoints."""
    return np.split(array, HEADS, axis=1)[number] if name.endswith("table") else array[number]


@pytest.mark.parametrize("fields", [*TOGETHER, *ALONE, SHORTCUT], ids=str)
def test_heads_together_are_the_heads_one_by_one(fields):
    """Loss, logits and every gradient of the fast network are those of the equations, with the same dropout."""
    fast = heads_of(**fields)
    fast.learn_counts(batch_for(fields))
    readable = twin(fast, FUNCTIONS["equations"], HeadsWaveNetwork)
    batch = batch_for(fields)
    for rng in (None, np.random.default_rng(1)):
        expected_loss, expected = loss_and_gradients(readable, batch, same_stream(rng))
        loss, gradients = loss_and_gradients(fast, batch, same_stream(rng))
        assert abs(loss - expected_loss) <= 1e-10 * abs(expected_loss)
        assert_gradients_agree(gradients, expected, 1e-10)
        logits, expected = (
            network.forward(batch, rng is not None, same_stream(rng))[0] for network in (fast, readable)
        )
        np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-12)


@every_setting
def test_each_head_is_a_single_network(fields):
    """Its logits are those of a single network with its parameters, and its gradient is 1/K of that network's."""
    network, batch = heads_of(**fields), batch_for(fields)
    loss, gradients = loss_and_gradients(network, batch)
    logits, losses = network.forward(batch)[0], []
    for number, single in enumerate(singles_of(network)):
        np.testing.assert_allclose(logits[number], single.forward(batch)[0], rtol=1e-10, atol=1e-12)
        own_loss, own = loss_and_gradients(single, batch)
        losses.append(own_loss)
        expected = {name: gradient / HEADS for name, gradient in own.items()}
        assert_gradients_agree({name: part(g, name, number) for name, g in gradients.items()}, expected, 1e-10)
    assert loss == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize("kind", [HeadsWaveNetwork, PlannedHeadsNetwork])
def test_initial_values_are_those_of_single_networks(kind):
    config = WaveNetworkConfig(dimension=4, hidden=5, position_encoding="learned", positions=9, heads=HEADS)
    network = kind(config, VOCABULARY, CLASSES, 7)
    seeds = [head_seed(7, number) for number in range(HEADS)]
    assert seeds[0] == 7 and len({*seeds, *(head_seed(8, number) for number in range(HEADS))}) == 2 * HEADS
    for number, seed in enumerate(seeds):
        single = WaveNetwork(config.replace(heads=1), VOCABULARY, CLASSES, seed)
        for name, parameter in network.parameters().items():
            assert np.array_equal(part(parameter.value, name, number), single.parameters()[name].value)


@pytest.mark.parametrize("several", [False, True])
def test_probabilities_are_the_mean_of_those_of_the_heads(several):
    fields = {"labels": "several" if several else "one"}
    network, batch = heads_of(**fields), batch_for(fields)
    expected = np.mean([single.probabilities(batch) for single in singles_of(network)], axis=0)
    np.testing.assert_allclose(network.probabilities(batch), expected, rtol=1e-12)
    logits = network.loss_forward(batch)[1].logits
    if several:
        assert np.array_equal(logits >= 0, expected >= 0.5)
    else:
        np.testing.assert_allclose(np.exp(logits), expected, rtol=1e-12)


@pytest.mark.parametrize("fields", [MAGNITUDE, {"scope": "text"}], ids=str)
def test_each_head_trains_as_if_alone(fields):
    """AdamW divides the factor 1/K out again: where ε is K times smaller, exactly."""
    network, epsilon = heads_of(**fields), 1e-5
    singles = singles_of(network)
    optimizers = [AdamW(single.parameters(), epsilon=epsilon) for single in singles]
    optimizer = AdamW(network.parameters(), epsilon=epsilon / HEADS)
    for step in range(6):
        batch = example_batch(VOCABULARY, CLASSES, LENGTHS, seed=step)
        for one, own in zip([network, *singles], [optimizer, *optimizers]):
            update(one, own, batch, None, 0.05, 0.0)
    for own in (optimizer, *optimizers):
        own.catch_up()
    for number, single in enumerate(singles):
        for name, parameter in single.parameters().items():
            found = part(network.parameters()[name].value, name, number)
            np.testing.assert_allclose(found, parameter.value, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("fields", TOGETHER, ids=str)
def test_heads_are_computed_together_where_they_can_be(fields):
    network = heads_of(**fields)
    (group,) = network.forward(batch_for(fields), True, np.random.default_rng(0))[1].groups
    assert isinstance(group.network, WideWaveNetwork) and group.size() == HEADS


@pytest.mark.parametrize("fields", ALONE, ids=str)
def test_heads_are_computed_alone_where_they_must_be(fields):
    network = heads_of(**fields)
    groups = network.forward(batch_for(fields), True, np.random.default_rng(0))[1].groups
    assert [type(group.network) for group in groups] == [PlannedWaveNetwork] * HEADS


def test_a_pass_forward_and_back_changes_nothing():
    network, batch = heads_of(**MAGNITUDE), batch_for({})
    before = {name: p.value.copy() for name, p in network.parameters().items()}
    _, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    once = {name: p.dense_grad().copy() for name, p in network.parameters().items()}
    network.zero_grad()
    network.loss_backward(cache)
    for name, parameter in network.parameters().items():
        assert np.array_equal(parameter.value, before[name])
        assert np.array_equal(parameter.dense_grad(), once[name])
    network.loss_backward(cache)
    assert_gradients_agree(
        {name: p.dense_grad() for name, p in network.parameters().items()}, {n: 2 * g for n, g in once.items()}, 1e-12
    )


@pytest.mark.parametrize(
    "implementation, kind",
    [("equations", HeadsWaveNetwork), ("fast", PlannedHeadsNetwork), ("check", CheckedHeadsNetwork)],
)
def test_a_network_of_several_heads_is_built(implementation, kind):
    """And takes a step, under `check` compared with the equations."""
    with using(implementation):
        network = build_network(WaveNetworkConfig(dimension=4, heads=2, **MAGNITUDE), VOCABULARY, CLASSES)
        assert type(network) is kind
        before = network.classifier.weight.value.copy()
        update(network, AdamW(network.parameters()), batch_for({}), np.random.default_rng(0), 0.01, 1.0)
    assert not np.array_equal(before, network.classifier.weight.value)
    assert "2 networks side by side" in network.describe()
    assert type(build_network(WaveNetworkConfig(dimension=4), VOCABULARY, CLASSES)) is PlannedWaveNetwork


@pytest.mark.usefixtures("signals_of_a_terminal")
@pytest.mark.parametrize("fields", [{**MAGNITUDE, "token_dropout": 0.2}, {**DROPOUTS, "hidden": 5}], ids=str)
def test_a_stopped_training_resumes_to_the_same_bits(tmp_path, fields):
    def trainer_of(name, watch=None):
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(exist_ok=True)
        network = PlannedHeadsNetwork(WaveNetworkConfig(dimension=6, heads=2, **fields), 40, len(DATA.classes), 5)
        return Trainer(network, TRAINING, DATA, run, watch=watch)

    def stop(trainer):
        if trainer.progress.step == 7:
            signal.raise_signal(signal.SIGINT)
        return {}

    whole = trainer_of("whole")
    whole.train()
    with pytest.raises(Interrupted):
        trainer_of("stopped", stop).train()
    resumed = trainer_of("stopped")
    resumed.resume()
    resumed.train()
    assert final(resumed) == final(whole)


def test_all_heads_share_one_shortcut():
    """It adds to each head's logits what it adds to a single network's; its gradient is that of the numerical one."""
    network, batch = heads_of(**SHORTCUT), batch_for(SHORTCUT)
    without = network.forward(batch)[0]
    network.learn_counts(batch)
    single = network_of(PlannedWaveNetwork, **SHORTCUT)
    single.shortcut = network.shortcut
    added = single.forward(batch)[0] - network_without_shortcut(single).forward(batch)[0]
    np.testing.assert_allclose(network.forward(batch)[0] - without, np.stack([added] * HEADS), atol=1e-12)
    assert abs(added).max() > 0.01
    assert_gradients(gradient_report(network, batch))


def network_without_shortcut(network):
    """The same network without E25."""
    bare = twin(network, network.functions, type(network))
    bare.shortcut, bare.config = None, network.config.replace(shortcut="none")
    return bare


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_number_of_threads_changes_no_bit(monkeypatch, dtype):
    monkeypatch.setattr(planned_heads, "cores", lambda: 2)
    used = set()
    divide = heads_magnitude_cpu.divide_or_zero
    monkeypatch.setattr(
        heads_magnitude_cpu, "divide_or_zero", lambda *given: used.add(threading.get_ident()) or divide(*given)
    )
    network, batch, found = heads_of(dtype=dtype, **MAGNITUDE), batch_for({}), []
    for threads in (1, 2):
        with computing(TrainingConfig(threads=threads), "cpu"):
            used.clear()
            loss, gradients = loss_and_gradients(network, batch)
            found.append([loss.tobytes(), *(gradient.tobytes() for gradient in gradients.values())])
            assert (threading.get_ident() in used) == (threads == 1)
    assert found[0] == found[1]


def test_operations_are_those_of_each_head():
    network = heads_of(**MAGNITUDE)
    single, batch = singles_of(network)[0], batch_for({})
    for count in (step_flops, mixing_flops):
        assert tuple(count(network, batch)) == tuple(HEADS * part for part in count(single, batch))
