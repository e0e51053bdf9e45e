"""Training steps on padded batches and from CUDA graphs: what they compute without."""

import types

import numpy as np
import pytest

from engine.arrays.backend import random_generator, to_host
from engine.arrays.padding import padded_length
from engine.cuda import cublas, graphs
from engine.cuda.graphs import padded_batch, without_graphs
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.step import global_norm, update
from layers.networks.text_classifier import example_batch
from tests.support.device_networks import NETWORKS, OTHERS, network_of
from tests.support.emulated_device import emulated_device
from tests.support.examples import if_thorough

MANY = "smoothing, dropped tokens, twice"
PADDED = {name: fields for name, fields in NETWORKS.items() if name != "dropout"}
PADDED["no blocks"] = {"blocks": 0}
PADDED[MANY] = {
    "operation": "modulation",
    "readout": "magnitude",
    "blocks": 2,
    "label_smoothing": 0.1,
    "token_dropout": 0.4,
}
# The others of PADDED run if thorough; tests/kernels/test_networks.py runs the step of every network.
OFTEN = ("paper", "interference", "two blocks", "one row a text, twice", "sentences", "no blocks", "Fig. 6a", MANY)
BATCHES = [[5, 1, 20, 0, 3], [2, 2], [9, 1, 1, 7, 30], [0, 4], [6, 0, 9, 9, 9]]


def trained(network, steps=BATCHES, rate=1e-2, epochs=1, clip_norm=0.5):
    """(parameters after some steps on a device, (loss, norm, logits, are labels right) of each, the optimizer)."""
    optimizer, told = AdamW(network.to("cuda").parameters(), weight_decay=0.01), []
    for step, lengths in enumerate(steps * epochs):
        batch = example_batch(50, 3, lengths, step)
        done = update(network, optimizer, batch, random_generator(0, step, device="cuda"), rate, clip_norm)
        logits = to_host(done.cache.logits)
        labels_are_right = to_host(done.cache.labels).tolist() == batch.labels.tolist()
        told.append((float(done.loss), float(done.norm[0]), logits.tolist(), labels_are_right))
        grads = {name: p.grad_array() for name, p in network.parameters().items()}
        assert float(done.norm[0]) == pytest.approx(global_norm(network.parameters()), rel=1e-5)
        assert len(grads["embedding.table"]) == len(np.unique(batch.ids)) or network.config.token_dropout
    optimizer.catch_up()
    return {name: to_host(p.value).copy() for name, p in network.parameters().items()}, told, optimizer


@pytest.mark.parametrize("name", [*OFTEN, *if_thorough(*(name for name in PADDED if name not in OFTEN))])
@pytest.mark.parametrize(
    "dtype, tolerance", [pytest.param(np.float32, 1e-3, marks=pytest.mark.thorough), (np.float64, 1e-11)]
)
def test_padded_steps_learn_what_others_learn(cuda, monkeypatch, name, dtype, tolerance):
    with cuda():
        expected, told, plain = trained(network_of(PADDED[name], dtype))
        fields = PADDED[name]
        of_texts = fields.get("wave_residual") is False and "levels" not in fields  # of sentences empty ones stay
        by_filled_texts = of_texts and fields.get("readout") == "magnitude"
        # Batches of five texts have one size, those of two another.
        assert len(plain.graphs.met) == (4 if by_filled_texts else 2)
        with without_graphs():
            found, others, none = trained(network_of(PADDED[name], dtype))
        assert none.graphs is None
    for parameter, value in expected.items():
        limit = tolerance * max(1e-3, np.abs(value).max())
        np.testing.assert_allclose(found[parameter], value, rtol=0, atol=limit, err_msg=parameter)
    for one, other in zip(told, others, strict=True):
        assert one[0] == pytest.approx(other[0], rel=1e-5) and one[1] == pytest.approx(other[1], rel=1e-4)
        assert one[3] and other[3]


@pytest.mark.parametrize("fields", [NETWORKS["dropout"], {"classifier_dropout": 0.1}, *OTHERS.values()], ids=str)
def test_networks_not_wholly_of_kernels_are_not_padded(cuda, fields):
    """They draw on the device, or mix entries, or compute by an equation there."""
    with cuda():
        network = network_of(fields).to("cuda")
        assert padded_batch(network, example_batch(50, 3, [3, 4], 0), random_generator(0, device="cuda")) is None


SWITCHES = [{"WAVE_GRAPHS": "off"}, {"WAVE_IMPLEMENTATION": "equations"}, {"WAVE_IMPLEMENTATION": "check"}, {}]


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_switches_turn_it_off(cuda, monkeypatch, switch):
    for name, value in switch.items():
        monkeypatch.setenv(name, value)
    with cuda():
        network = network_of(NETWORKS["paper"]).to("cuda")
        found = padded_batch(network, example_batch(50, 3, [3, 4], 0), random_generator(0, device="cuda"))
        assert (found is None) == bool(switch)


def test_the_host_is_not_padded_and_an_unknown_switch_is_refused(monkeypatch):
    network, batch = network_of(NETWORKS["paper"]), example_batch(50, 3, [3, 4], 0)
    assert padded_batch(network, batch, None) is None
    with without_graphs():
        assert graphs.mode() == "off"
    assert graphs.mode() == "on"
    monkeypatch.setenv("WAVE_GRAPHS", "yes")
    with pytest.raises(UserError, match="^WAVE_GRAPHS=yes: must be one of on, off$"):
        padded_batch(network, batch, None)


def test_wrong_ids_and_labels_are_refused_on_the_host(cuda):
    with cuda():
        network, batch = network_of(NETWORKS["paper"]).to("cuda"), example_batch(50, 3, [3, 4], 0)
        optimizer = AdamW(network.parameters())
        for wrong, message in (
            (batch._replace(ids=batch.ids * 0 + 50), r"ids: must lie in \[0, 50\)"),
            (batch._replace(labels=batch.labels * 0 - 1), r"labels: must lie in \[0, 3\)"),
        ):
            with pytest.raises(ValueError, match=message):
                update(network, optimizer, wrong, random_generator(0, device="cuda"), 1e-2, 1.0)


def test_what_is_added_to_a_batch_has_no_gradient(cuda):
    """Kernels that leave out entries of no text write zeros there: memory that nobody wrote is full of NaN."""
    for name, fields in PADDED.items():
        with cuda():
            network, batch = network_of(fields).to("cuda"), example_batch(50, 3, [5, 1, 20], 0)
            prepared, row_count = padded_batch(network, batch, random_generator(0, device="cuda"))
            loss, cache = network.loss_forward(prepared, train=True)
            network.loss_backward(cache)
            values = to_host(network.embedding.table.grad.values)
            assert len(values) == padded_length(row_count) and not values[row_count:].any(), name
            assert values[:row_count].any(axis=1).all(), name
            assert all(np.isfinite(to_host(p.grad_array())).all() for p in network.parameters().values()), name


def test_graphs_are_dropped_when_the_pool_gave_memory_back(emulation_folder, monkeypatch):
    """As a pool does when the device is full: what is free there graphs still write to."""
    with emulated_device(emulation_folder, monkeypatch):
        network, batch = network_of(NETWORKS["paper"]).to("cuda"), example_batch(50, 3, [3, 4], 0)
        optimizer = AdamW(network.parameters())

        def step():
            update(network, optimizer, batch, random_generator(0, device="cuda"), 1e-2, 1.0)

        step()
        held = optimizer.graphs
        held.pool = types.SimpleNamespace(total_bytes=lambda: 300, free_all_blocks=lambda: None)
        held.allocated, held.graphs = graphs.Allocated(None), dict.fromkeys(held.met, "no graph")
        held.allocated.bytes = 300
        with pytest.raises(AttributeError, match="gradient_ids"):
            step()  # which the graph would have taken
        held.allocated.bytes = 400
        with pytest.warns(UserWarning, match="CUDA graphs, which is slower: the memory of the device ran short$"):
            step()
        assert not held.works and not held.graphs and not held.has_given_back()
        step()


def test_no_graph_is_replayed_beside_another_stream(emulation_folder, monkeypatch):
    with emulated_device(emulation_folder, monkeypatch):
        network, batch = network_of(NETWORKS["paper"]).to("cuda"), example_batch(50, 3, [3, 4], 0)
        optimizer, stream = AdamW(network.parameters()), [0]
        direct = types.SimpleNamespace(current_stream=lambda: stream[0], uses_tf32=lambda: False)

        def step():
            update(network, optimizer, batch, random_generator(0, device="cuda"), 1e-2, 1.0)

        step()
        held = optimizer.graphs
        held.graphs = dict.fromkeys(held.met, "no graph")
        table = network.embedding.table.value  # of no product
        monkeypatch.setattr(cublas, "of_device", lambda x: direct if x is table else None)
        with pytest.raises(AttributeError, match="gradient_ids"):
            step()  # which the graph would have taken
        stream[0] = 7
        with pytest.warns(UserWarning, match="the current stream is not the default one$"):
            step()
        stream[0] = 0
        step()
        assert not held.works and not held.graphs


def test_a_graph_serves_one_limit_and_one_set_of_arrays(cuda):
    with cuda():
        network, batch = network_of(NETWORKS["paper"]).to("cuda"), example_batch(50, 3, [3, 4], 0)
        optimizer = AdamW(network.parameters())
        for limit, sizes in ((1.0, 1), (1.0, 1), (2.0, 2), (1.0, 2), (None, 1)):
            if limit is None:
                network.classifier.bias.value = network.classifier.bias.value + 1
            update(network, optimizer, batch, random_generator(0, device="cuda"), 1e-2, limit or 1.0)
            assert len(optimizer.graphs.met) == sizes, "graphs hold a limit and addresses"


@pytest.mark.gpu
@pytest.mark.parametrize("name", PADDED)
def test_replayed_steps_are_plain_ones_to_the_bit(cuda_only, monkeypatch, name):
    expected = None
    for most in (graphs.MOST_GRAPHS, 0):
        monkeypatch.setattr(graphs, "MOST_GRAPHS", most)
        found, told, optimizer = trained(network_of(PADDED[name]), epochs=4)
        assert optimizer.graphs.works and (optimizer.graphs.replayed >= 10 if most else optimizer.graphs.replayed == 0)
        if expected is None:
            expected, told_first = found, told
    assert told == told_first
    for parameter, value in found.items():
        assert np.array_equal(value, expected[parameter]), parameter


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_replays_of_the_papers_network_are_plain_steps(cuda_only, monkeypatch, precision):
    """And none is taken once a parameter has become another array."""
    from engine.arrays.matmul import product_precision
    from engine.data.batching import take
    from layers.experiments.benchmark import workloads
    from layers.experiments.benchmark.workloads import CLASSES, random_texts

    texts = random_texts(64 * 4, seed=1)
    runs = []
    for most in (graphs.MOST_GRAPHS, 0):
        monkeypatch.setattr(graphs, "MOST_GRAPHS", most)
        with product_precision(precision, "cuda"):
            network = workloads.build("paper", CLASSES)
            optimizer = AdamW(network.to("cuda").parameters(), weight_decay=0.01)
            losses = []
            for step in range(16):
                if step == 10:
                    network.classifier.weight.value = network.classifier.weight.value * 2  # another array
                rows = np.arange(64) + 64 * (step % 4)
                rng = random_generator(0, step, device="cuda")
                losses.append(float(update(network, optimizer, take(texts, rows), rng, 1e-3, 1.0).loss))
        runs.append((losses, {name: to_host(p.value).tobytes() for name, p in network.parameters().items()}))
        assert bool(optimizer.graphs.replayed) == bool(most)
    assert runs[0] == runs[1] and np.isfinite(runs[0][0]).all()


@pytest.mark.gpu
def test_a_number_that_is_not_finite_stops_replayed_updates(cuda_only):
    network = network_of(NETWORKS["paper"])
    optimizer = AdamW(network.to("cuda").parameters())
    batch = example_batch(50, 3, [5, 1, 20], 0)
    for step in range(6):
        if step == 4:
            network.classifier.bias.value += np.float32(np.nan)  # in place
            before = to_host(network.blocks[0].first_variant.weight.value).copy()
        update(network, optimizer, batch, random_generator(0, step, device="cuda"), 1e-2, 1.0)
    assert optimizer.graphs.replayed == 5 and float(optimizer.control[2]) == 1
    assert np.array_equal(to_host(network.blocks[0].first_variant.weight.value), before)
