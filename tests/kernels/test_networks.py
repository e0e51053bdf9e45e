"""Whole networks by kernels: gradients, training to the end, and nothing on the host within a step."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from engine.arrays.backend import random_generator, to_device, to_host
from engine.cuda import cublas
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.step import DeviceRecords, update
from layers.networks import WaveNetworkConfig, build_network
from layers.networks.text_classifier import example_batch
from layers.standard.linear import linear_backward, linear_forward
from layers.wave import OPERATIONS
from tests.support.device_networks import LENGTHS, NETWORKS, OTHERS, batch_of, network_of
from tests.support.emulated_device import emulated_device
from tests.support.examples import examples


def gradients(network, batch, rng=None):
    network.zero_grad()
    loss, cache = network.loss_forward(batch, train=rng is not None, rng=rng)
    network.loss_backward(cache)
    return float(loss), {name: to_host(p.dense_grad()) for name, p in network.parameters().items()}


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_loss_and_every_gradient(emulated, name, dtype, tolerance):
    """With biases, which are 0 at first, and with dropout where there is any: kernels may add biases elsewhere."""
    network, rng = network_of({**NETWORKS, **OTHERS}[name], dtype), random_generator(2)
    batch = batch_of(1, network)
    for p in network.parameters().values():
        if not p.decay:
            p.value += (0.3 * rng.standard_normal(p.value.shape)).astype(dtype)
    loss, grads = gradients(network, batch, random_generator(3))
    for backwards in (False, True):
        with emulated(backwards) as emulator:
            found, found_grads = gradients(network, batch, random_generator(3))
        loss_kernel = f"{'sigmoid' if network.has_several_labels() else 'softmax'}_cross_entropy_backward"
        assert {"gather_rows", loss_kernel} <= {kernel for kernel, _ in emulator.launched}
        assert abs(found - loss) <= tolerance
        assert_close(found_grads, grads, tolerance)


def assert_close(found, expected, tolerance):
    """Every gradient agrees to `tolerance` times its largest entry."""
    for parameter, grad in expected.items():
        assert np.abs(found[parameter] - grad).max() <= tolerance * np.abs(grad).max(), parameter


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_no_step_waits_for_the_device_or_mixes_arrays_of_both(cuda, name):
    network = network_of({**NETWORKS, **OTHERS}[name])
    batches = [batch_of(seed, network, some) for seed, some in enumerate([LENGTHS, [1], LENGTHS])]
    with cuda() as device:
        optimizer = AdamW(network.to("cuda").parameters(), weight_decay=0.01)
        records = None
        for step, batch in enumerate(batches):
            if device.waits:
                device.waits.clear()
            done = update(network, optimizer, batch, random_generator(0, step, device="cuda"), 1e-2, 1.0)
            records = records or DeviceRecords(done.loss, 0.0)
            records.add(done, optimizer.control, batch, {"step": step})
            assert not device.waits
        lines, bad = records.fetch()
        assert device.waits in (["get"], None) and bad is None
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all(np.isfinite(line["loss"]) and line["gradient_norm"] > 0 for line in lines)
    assert all(0 <= line["accuracy"] <= 1 for line in lines)


@pytest.mark.parametrize("name", ["paper", "interference", "two blocks"])
def test_steps_on_a_device_learn_what_the_host_learns(cuda, name):
    batches = [example_batch(50, 3, LENGTHS, seed) for seed in range(5)]
    trained = []
    for device in ("cpu", "cuda", "cuda"):
        network = network_of(NETWORKS[name], np.float64)
        with cuda():
            optimizer = AdamW(network.to(device).parameters(), weight_decay=0.01)
            for step, batch in enumerate(batches):
                update(network, optimizer, batch, random_generator(0, step, device=device), 1e-2, 0.5)
            optimizer.catch_up()
            trained.append({parameter: to_host(p.value).copy() for parameter, p in network.parameters().items()})
    assert_close(trained[1], trained[0], 1e-12)
    assert all(np.array_equal(value, trained[2][parameter]) for parameter, value in trained[1].items())


class InPlace:
    """Stands in for Cublas: writes products into arrays that others may still read, but not where their factors lie."""

    def multiply(self, a, b, y, add):
        assert not any(np.shares_memory(y.host, x.host) for x in (a, b)), "of which cuBLAS makes anything"
        y.host[...] = (y.host if add else 0) + a.host @ b.host


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_products_that_are_written_into_arrays_spoil_nothing(emulation_folder, monkeypatch, name):
    network = network_of({**NETWORKS, **OTHERS}[name], np.float64)
    batch = batch_of(1, network)
    loss, grads = gradients(network, batch)
    monkeypatch.setattr(cublas, "of_device", lambda x: InPlace())
    with emulated_device(emulation_folder, monkeypatch):
        found, found_grads = gradients(network.to("cuda"), batch)
    assert abs(found - loss) <= 1e-13
    assert_close(found_grads, grads, 1e-12)


def test_a_linear_map_may_add_its_gradient_to_its_cotangent(emulation_folder, monkeypatch):
    rng = np.random.default_rng(0)
    x, weight, dy = rng.standard_normal((5, 3)), rng.standard_normal((3, 3)), rng.standard_normal((5, 3))
    dx, *others = linear_backward(dy, linear_forward(x, weight, None)[1])
    monkeypatch.setattr(cublas, "of_device", lambda x: InPlace())
    with emulated_device(emulation_folder, monkeypatch):
        cotangent = to_device(dy, "cuda")
        _, cache = linear_forward(to_device(x, "cuda"), to_device(weight, "cuda"), None)
        found = [to_host(part) for part in linear_backward(cotangent, cache, cotangent)]
        assert np.array_equal(to_host(cotangent), dy), "cuBLAS cannot write where it reads"
        other = to_device(dy, "cuda")
        assert linear_backward(cotangent, cache, other)[0] is other
        with pytest.raises(ValueError, match="^accumulate: "):
            linear_backward(cotangent, cache, other[:4])
    for part, expected in zip(found, (dy + dx, *others), strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-13)


def test_ids_and_labels_are_checked_on_the_host(cuda):
    with cuda():
        network, batch = network_of({}).to("cuda"), example_batch(50, 3, LENGTHS, 1)
        with pytest.raises(ValueError, match=r"ids: must lie in \[0, 50\), got 50"):
            network.loss_forward(batch._replace(ids=batch.ids * 0 + 50))
        with pytest.raises(ValueError, match=r"labels: must lie in \[0, 3\), got 3"):
            network.loss_forward(batch._replace(labels=batch.labels * 0 + 3))


SETTINGS = {
    "operation": st.sampled_from(list(OPERATIONS)),
    "readout": st.sampled_from(["real", "imaginary", "magnitude", "both"]),
    "scope": st.sampled_from(["dimension", "dimension", "text"]),
    "pooling": st.sampled_from(["mean", "max", "cls"]),
    "activation": st.sampled_from(["gelu", "relu"]),
    "blocks": st.integers(0, 3),
    "hidden": st.sampled_from([0, 5]),
    "wave_residual": st.booleans(),
    "token_dropout": st.sampled_from([0.0, 0.4]),
    "label_smoothing": st.sampled_from([0.0, 0.2]),
}


def sees_its_text(fields):
    """Whether a config takes the settings: it refuses a network that cannot see its text."""
    try:
        WaveNetworkConfig(dimension=4, **fields)
    except UserError:
        return False
    return True


@given(
    st.fixed_dictionaries(SETTINGS).filter(sees_its_text),
    st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any),
    st.integers(0, 99),
)
@examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_networks_of_any_setting(emulated, fields, lengths, seed):
    config = WaveNetworkConfig(dimension=4, embedding_scale=1.0).replace(**fields)
    # There |Z| is the same in all dimensions: layer norm gets rows of a single number and enlarges its rounding.
    alike = OPERATIONS[config.operation].shares_magnitude and config.readout == "magnitude"
    assume(not (alike and config.scope == "text" and not config.wave_residual))
    network, batch = build_network(config, 9, 3, seed, np.float64), example_batch(9, 3, lengths, seed)
    loss, grads = gradients(network, batch, random_generator(seed))
    with emulated():
        found, found_grads = gradients(network, batch, random_generator(seed))
    assert abs(found - loss) <= 1e-12 * max(1.0, abs(loss))
    size = max(np.abs(grad).max() for grad in grads.values())
    for parameter in grads:
        assert np.abs(found_grads[parameter] - grads[parameter]).max() <= 1e-9 * size, parameter
