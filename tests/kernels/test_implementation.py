"""The setting `implementation` on an emulated device: what computes, what check compares, and what it raises."""

import types
from typing import NamedTuple

import numpy as np
import pytest

from engine import implementation
from engine.arrays import ragged
from engine.arrays.backend import to_device, to_host
from engine.cuda import segments
from engine.cuda.kernels import dispatch
from engine.implementation import ImplementationError, compare, dispatch_pair
from engine.support.errors import UserError
from engine.support.implementation import VARIABLE, using
from engine.training.adamw import AdamW
from layers.fast import TABLE, bag_pooling_cuda, by_kernels, gelu_cuda
from layers.networks import PlannedWaveNetwork, WaveNetwork, planned_wave_network
from layers.networks.checked_wave_network import CheckedWaveNetwork
from tests.support.device_networks import NETWORKS, OTHERS, batch_of, network_of, steps
from tests.support.examples import if_thorough
from tests.support.launches import MAGNITUDE, REST, SEGMENTS, UPDATE, WAVES

LAUNCHED = {
    "paper": MAGNITUDE | REST,
    "two blocks": WAVES | REST,
    "imaginary": WAVES | REST,
    "correlation, E17": MAGNITUDE | REST,
    "correlation": REST,
}
WAVE_NETWORKS = {name: fields for name, fields in {**NETWORKS, **OTHERS}.items() if "model" not in fields}
OFTEN = ("interference", "one row a text, twice", "sentences", "correlation", "max", "control")


@pytest.fixture(autouse=True)
def no_differences(monkeypatch):
    """worst_differences is empty at the start of a test, and as it was after it."""
    monkeypatch.setattr(implementation, "worst_differences", {})


# --- one function pair --------------------------------------------------------------------------------------------


class Cache(NamedTuple):
    x: np.ndarray


def doubled(factor, check=False):
    """A pair whose kernels multiply by `factor` where the equation doubles."""

    def double_forward(x):
        return 2 * x, ("equation",)

    def double_backward(dy, cache):
        return 2 * dy

    def forward(x):
        return factor * x, Cache(x)

    def backward(dy, cache):
        return factor * dy

    module = types.SimpleNamespace(supports=lambda x: x.ndim == 1, forward=forward, backward=backward, Cache=Cache)
    return dispatch_pair("double", double_forward, double_backward, [by_kernels(module)], check)


def test_kernels_compute_where_they_are_supported(emulated):
    forward, backward = doubled(3)
    x = np.ones(4)
    assert forward(x)[0][0] == 2
    with emulated():
        assert forward(x)[0][0] == 3
        assert forward(np.ones((2, 2)))[0][0, 0] == 2  # which supports() does not list
        assert forward(np.ones(4, np.int64))[0][0] == 2  # no kernel is for integers


def test_backward_follows_the_cache(emulated, monkeypatch):
    forward, backward = doubled(3)
    x = np.ones(4)
    with emulated():
        _, cache = forward(x)
        monkeypatch.setenv(VARIABLE, "equations")
        assert forward(x)[0][0] == 2 and backward(x, cache)[0] == 3
    assert backward(x, forward(x)[1])[0] == 2


def test_check_compares_every_call(emulated):
    x = np.ones(4)
    with emulated():
        forward, backward = doubled(2, check=True)
        assert backward(x, forward(x)[1])[0] == 2
        assert implementation.worst_differences == {("double forward", "float64"): 0, ("double backward", "float64"): 0}
        forward, backward = doubled(3, check=True)
        with pytest.raises(ImplementationError, match="^double forward: the implementation differs from the equation"):
            forward(x)


def test_check_compares_backward_too(emulated):
    """On a cache of both: that of the implementation and that of the equation."""
    right, wrong = doubled(2, check=True), doubled(3, check=True)
    with emulated():
        _, cache = right[0](np.ones(4))
        assert cache._fields == ("fast", "equation")
        with pytest.raises(ImplementationError, match="^double backward: "):
            wrong[1](np.ones(4), cache)


def test_a_difference_is_measured_in_tolerances_and_nan_is_one():
    compare("some", np.array([1 + 5e-13, 0.0]), np.array([1.0, 0.0]))
    assert implementation.worst_differences["some", "float64"] == pytest.approx(0.5, rel=0.01)
    for wrong in (1 + 2e-12, np.nan):
        with pytest.raises(ImplementationError):
            compare("some", np.array([wrong]), np.array([1.0]))
    compare("some", np.array([1 + 2e-12]), np.array([1.0]), tolerance=1e-11)
    compare("diverged", np.array([np.nan, np.inf, 1.0]), np.array([np.inf, np.nan, 1.0]))
    with pytest.raises(ImplementationError, match="not finite in different places"):
        compare("some", np.array([1.0]), np.array([np.nan]))
    compare("zero", np.zeros(2), np.zeros(2))
    with pytest.raises(ImplementationError):
        compare("zero", np.full(2, 1e-3), np.zeros(2))


def test_single_functions_are_dispatched_and_checked(emulated, monkeypatch):
    def by_kernel(x):
        assert x.flags.c_contiguous
        return x + 1

    x = np.ones((3, 4)).T
    assert dispatch(by_kernel, lambda x: x * 0, x)[0, 0] == 0
    with emulated():
        assert dispatch(by_kernel, lambda x: x * 0, x)[0, 0] == 2
        monkeypatch.setenv(VARIABLE, "check")
        with pytest.raises(ImplementationError, match="by_kernel"):
            dispatch(by_kernel, lambda x: x * 0, x)


# --- the setting ---------------------------------------------------------------------------------------------------


def test_the_setting_chooses_the_network(monkeypatch):
    kinds = {"fast": PlannedWaveNetwork, "equations": WaveNetwork, "check": CheckedWaveNetwork}
    for name, kind in kinds.items():
        with using(name):
            assert type(network_of({})) is kind
        monkeypatch.setenv(VARIABLE, name)
        with using("fast"):
            assert type(network_of({})) is kind, "the environment takes precedence"
        monkeypatch.delenv(VARIABLE)


def test_an_unknown_implementation_is_refused(emulated, monkeypatch):
    monkeypatch.setenv(VARIABLE, "plain")
    with emulated(), pytest.raises(UserError, match=f"^{VARIABLE}=plain: must be one of fast, equations, check$"):
        network_of({})


@pytest.mark.parametrize("name", LAUNCHED)
def test_which_kernels_a_step_launches(cuda, name):
    fields, optional = WAVE_NETWORKS[name], SEGMENTS | {"record_step"}
    with cuda() as device:
        steps(network_of(fields))
        launched = {kernel for kernel, _ in device.launched}
    assert launched - optional == (LAUNCHED[name] | UPDATE) - optional


@pytest.mark.parametrize("name", [*NETWORKS, *OTHERS])
def test_the_equations_run_on_a_device_without_kernels(cuda, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, "equations")
    network = network_of({**NETWORKS, **OTHERS}[name], np.float64)
    loss, grads = gradients(network, batch_of(network=network))
    with cuda() as device:
        found, found_grads = gradients(network.to("cuda"), batch_of(network=network))
        assert {kernel for kernel, _ in device.launched} <= SEGMENTS
    assert abs(found - loss) < 1e-13
    for parameter, grad in grads.items():
        assert np.abs(found_grads[parameter] - grad).max() <= 1e-12 * np.abs(grad).max(), parameter


def gradients(network, batch):
    network.zero_grad()
    loss, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    return float(loss), {name: to_host(p.dense_grad()) for name, p in network.parameters().items()}


# --- check ---------------------------------------------------------------------------------------------------------


def test_check_runs_both_and_remembers_the_worst(cuda, monkeypatch):
    monkeypatch.setenv(VARIABLE, "check")
    for name in ("paper", "two blocks", "several labels"):
        with cuda():
            steps(network_of(WAVE_NETWORKS[name]))
    found = implementation.worst_differences
    pairs = {f"{pair} {way}" for pair in set(TABLE) - {"gelu"} for way in ("forward", "backward")}
    assert {name for name, _ in found} >= pairs | {"adamw", "global_norm", "network: loss"}
    assert all(0 <= worst < 1 for worst in found.values())
    compared = {name.removeprefix("network: gradient of ") for name, dtype in found if dtype == "float64"}
    assert compared >= set(network_of(NETWORKS["two blocks"]).parameters())


@pytest.mark.parametrize("name", [*OFTEN, *if_thorough(*(name for name in WAVE_NETWORKS if name not in OFTEN))])
def test_a_checked_step_is_that_of_the_readable_network(cuda, monkeypatch, name):
    monkeypatch.setenv(VARIABLE, "check")
    with cuda():
        steps(network_of(WAVE_NETWORKS[name]))
    assert ("network: loss", "float64") in implementation.worst_differences


@pytest.mark.parametrize(
    "module, name", [(bag_pooling_cuda, "bag_pooling forward"), (gelu_cuda, "feed_forward forward")]
)
def test_check_finds_a_kernel_that_computes_something_else(cuda, monkeypatch, module, name):
    monkeypatch.setenv(VARIABLE, "check")
    forward = module.forward
    monkeypatch.setattr(module, "forward", lambda *arguments: (forward(*arguments)[0] * 2, forward(*arguments)[1]))
    with cuda(), pytest.raises(ImplementationError, match=f"^{name}: the implementation differs from the equation by"):
        steps(network_of(NETWORKS["paper"]))


def test_check_finds_a_plan_that_loses_a_share_of_a_gradient(cuda, monkeypatch):
    """Every call is right there; only the step as a whole is not."""
    monkeypatch.setenv(VARIABLE, "check")
    sum_entries = planned_wave_network.sum_entries
    monkeypatch.setattr(planned_wave_network, "sum_entries", lambda dy, bag, *rest: sum_entries(dy * 0, bag, *rest))
    with cuda(), pytest.raises(ImplementationError, match=r"^network: gradient of embedding\.table: "):
        steps(network_of(NETWORKS["paper"]))


def test_check_finds_a_kernel_of_the_optimizer(cuda, monkeypatch):
    monkeypatch.setenv(VARIABLE, "check")
    monkeypatch.setattr(AdamW, "update", lambda *_: None)
    with cuda(), pytest.raises(ImplementationError, match="^adamw: "):
        steps(network_of(NETWORKS["paper"]))


@pytest.mark.parametrize("name", ["sum_segments", "max_segments"])
def test_check_holds_segments_against_the_host(cuda, monkeypatch, name):
    """On a device the equations add up by the same kernels: a fault of theirs must show all the same."""
    monkeypatch.setenv(VARIABLE, "check")
    function = {"sum_segments": ragged.segment_sum, "max_segments": ragged.segment_max}[name]
    x, offsets = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 3])
    with cuda():
        on_device = to_device(x, "cuda"), to_device(offsets, "cuda")
        assert np.array_equal(to_host(function(*on_device)), function(x, offsets))
        right = getattr(segments, name)
        monkeypatch.setattr(segments, name, lambda *arguments: right(*arguments) * 2)
        with pytest.raises(ImplementationError):
            function(*on_device)
