"""Whole networks by kernels: gradients, training to the end, and nothing on the host within a step."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.arrays.backend import random_generator, to_device, to_host
from engine.cuda import cublas
from engine.support.errors import UserError
from engine.training.adamw import AdamW
from engine.training.device_records import DeviceRecords
from engine.training.step import update
from layers.networks import WaveNetwork, WaveNetworkConfig
from layers.networks.text_classifier import example_batch
from layers.standard.linear import linear_backward, linear_forward
from tests.support.device_networks import LENGTHS, NETWORKS, OTHERS, network_of
from tests.support.emulated_device import emulated_device

SEGMENTS = {
    "sum_short_segments",
    "sum_long_segments",
    "sum_flat_segments",
    "max_segments",
    "max_flat_segments",
}  # a device has no other way to add up segments in order


def gradients(network, batch, rng=None):
    network.zero_grad()
    loss, cache = network.loss_forward(batch, train=rng is not None, rng=rng)
    network.loss_backward(cache)
    return float(loss), {name: to_host(p.dense_grad()) for name, p in network.parameters().items()}


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_loss_and_every_gradient(emulated, name, dtype, tolerance):
    """With biases, which are 0 at first, and with dropout where there is any.

    Kernels add the biases that other implementations add before dropout.
    """
    network, batch, rng = (
        network_of({**NETWORKS, **OTHERS}[name], dtype),
        example_batch(50, 3, LENGTHS, 1),
        random_generator(2),
    )
    for p in network.parameters().values():
        if not p.decay:
            p.value += (0.3 * rng.standard_normal(p.value.shape)).astype(dtype)
    loss, grads = gradients(network, batch, random_generator(3))
    for backwards in (False, True):
        with emulated(backwards) as emulator:
            found, found_grads = gradients(network, batch, random_generator(3))
        assert {"gather_rows", "softmax_cross_entropy_backward"} <= {kernel for kernel, _ in emulator.launched}
        assert abs(found - loss) <= tolerance
        for parameter in grads:
            assert (
                np.abs(found_grads[parameter] - grads[parameter]).max() <= tolerance * np.abs(grads[parameter]).max()
            ), parameter


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_no_step_waits_for_the_device_or_mixes_arrays_of_both(cuda, name):
    network = network_of({**NETWORKS, **OTHERS}[name])
    batches = [example_batch(50, 3, lengths, seed) for seed, lengths in enumerate([LENGTHS, [2, 2], [1], LENGTHS])]
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
    assert [line["step"] for line in lines] == [0, 1, 2, 3] and all(
        np.isfinite(line["loss"]) and line["gradient_norm"] > 0 for line in lines
    )


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
    for parameter, value in trained[0].items():
        np.testing.assert_allclose(
            trained[1][parameter], value, rtol=0, atol=1e-12 * np.abs(value).max(), err_msg=parameter
        )
        assert np.array_equal(trained[1][parameter], trained[2][parameter])


def test_every_plain_body_runs_on_a_device_too(cuda, monkeypatch):
    monkeypatch.setenv("WAVE_KERNELS", "off")
    for fields in (*NETWORKS.values(), *OTHERS.values()):
        if fields.get("token_dropout"):
            continue  # draws on the host either way
        network, batch = network_of(fields, np.float64), example_batch(50, 3, LENGTHS, 1)
        loss, grads = gradients(network, batch)
        with cuda() as device:
            found, found_grads = gradients(network.to("cuda"), batch)
            assert {kernel for kernel, _ in device.launched} <= SEGMENTS
        assert abs(found - loss) < 1e-13
        for parameter in grads:
            np.testing.assert_allclose(
                found_grads[parameter], grads[parameter], rtol=0, atol=1e-12 * np.abs(grads[parameter]).max()
            )


def test_checking_records_the_worst_difference_of_every_kernel(cuda, monkeypatch):
    """WAVE_KERNELS=check runs both implementations of everything."""
    from engine.cuda import kernels

    monkeypatch.setenv("WAVE_KERNELS", "check")
    monkeypatch.setattr(kernels, "worst_differences", {})
    for name in ("paper", "interference"):
        network, batch = network_of(NETWORKS[name]), example_batch(50, 3, LENGTHS, 1)
        with cuda():
            optimizer = AdamW(network.to("cuda").parameters())
            for step in range(2):
                update(network, optimizer, batch, random_generator(0, step, device="cuda"), 1e-2, 1.0)
    found = {name for name, _ in kernels.worst_differences}
    pairs = ("layer_norm", "gelu", "pooling", "softmax_cross_entropy", "modulated_magnitude", "wave_pair")
    assert found >= {f"{pair} {way}" for pair in pairs for way in ("forward", "backward")} | {"adamw", "global_norm"}
    assert all(0 <= worst < 1 for worst in kernels.worst_differences.values())


class InPlace:
    """A stand-in for Cublas: products go into arrays that others may still read, but not where their factors lie."""

    def multiply(self, a, b, y, add):
        assert not any(np.shares_memory(y.host, x.host) for x in (a, b)), "of which cuBLAS makes anything"
        y.host[...] = (y.host if add else 0) + a.host @ b.host


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_products_that_are_written_into_arrays_spoil_nothing(emulation_folder, monkeypatch, name):
    network, batch = network_of({**NETWORKS, **OTHERS}[name], np.float64), example_batch(50, 3, LENGTHS, 1)
    loss, grads = gradients(network, batch)
    monkeypatch.setattr(cublas, "of_device", lambda x: InPlace())
    with emulated_device(emulation_folder, monkeypatch):
        found, found_grads = gradients(network.to("cuda"), batch)
    assert abs(found - loss) <= 1e-13
    for parameter in grads:
        assert np.abs(found_grads[parameter] - grads[parameter]).max() <= 1e-12 * np.abs(grads[parameter]).max(), (
            parameter
        )


def test_a_linear_gradient_may_be_added_to_its_own_cotangent(emulation_folder, monkeypatch):
    rng = np.random.default_rng(0)
    x, weight, dy = rng.standard_normal((5, 3)), rng.standard_normal((3, 3)), rng.standard_normal((5, 3))
    dx, *others = linear_backward(dy, linear_forward(x, weight, None)[1])
    monkeypatch.setattr(cublas, "of_device", lambda x: InPlace())
    with emulated_device(emulation_folder, monkeypatch):
        cotangent, (_, cache) = (
            to_device(dy, "cuda"),
            linear_forward(to_device(x, "cuda"), to_device(weight, "cuda"), None),
        )
        found = [to_host(part) for part in linear_backward(cotangent, cache, cotangent)]
        assert np.array_equal(to_host(cotangent), dy), "cuBLAS cannot write where it reads"
        other = to_device(dy, "cuda")
        assert linear_backward(cotangent, cache, other)[0] is other
        with pytest.raises(ValueError, match="^onto: "):
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


def test_an_unknown_mode_is_refused(emulated, monkeypatch):
    monkeypatch.setenv("WAVE_KERNELS", "fast")
    with emulated(), pytest.raises(UserError, match="^WAVE_KERNELS=fast: must be one of on, off, check$"):
        network_of({}).forward(example_batch(50, 3, [2], 1))


@given(
    st.fixed_dictionaries({
        "operation": st.sampled_from(["interference", "modulation"]),
        "readout": st.sampled_from(["real", "imaginary", "magnitude", "both"]),
        "scope": st.sampled_from(["dimension", "dimension", "text"]),
        "pooling": st.sampled_from(["mean", "max", "cls"]),
        "activation": st.sampled_from(["gelu", "relu"]), "blocks": st.integers(0, 3), "hidden": st.sampled_from([0, 5]),
        "wave_residual": st.booleans(), "token_dropout": st.sampled_from([0.0, 0.4]),
        "label_smoothing": st.sampled_from([0.0, 0.2]),
    }),
    st.lists(st.integers(0, 6), min_size=1, max_size=4).filter(any),
    st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_networks_of_any_setting(emulated, fields, lengths, seed):
    config = WaveNetworkConfig(dimension=4, embedding_scale=1.0).replace(**fields)
    # There |Z| is the same in all dimensions: layer norm gets rows of a single number and enlarges their rounding.
    assume(
        (config.operation, config.readout, config.scope, config.wave_residual)
        != ("modulation", "magnitude", "text", False)
    )
    network, batch = WaveNetwork(config, 9, 3, seed, np.float64), example_batch(9, 3, lengths, seed)
    loss, grads = gradients(network, batch, random_generator(seed))
    with emulated():
        found, found_grads = gradients(network, batch, random_generator(seed))
    assert abs(found - loss) <= 1e-12 * max(1.0, abs(loss))
    size = max(np.abs(grad).max() for grad in grads.values())
    for parameter in grads:
        assert np.abs(found_grads[parameter] - grads[parameter]).max() <= 1e-9 * size, parameter
