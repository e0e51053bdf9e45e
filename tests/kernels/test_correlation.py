"""A correlation (E20) is computed by its equation and all the rest by kernels; its magnitude (E17) has kernels."""

import numpy as np
import pytest

from tests.support.device_networks import batch_of, network_of, steps
from tests.support.launches import MAGNITUDE, REST, SEGMENTS, UPDATE


@pytest.mark.parametrize("readout", ["real", "imaginary", "phase", "both"])
def test_a_correlation_trains_by_the_equations(emulated, readout):
    """On NumPy arrays, while all the rest runs by kernels."""
    fields = {"operation": "correlation", "readout": readout}
    expected = steps(network_of(fields, np.float64), 5, "cpu")
    with emulated() as emulator:
        network = network_of(fields, np.float64)
        found = steps(network, 5, "cpu")
        assert network.padded(batch_of(), None) is None
    launched = {kernel for kernel, _ in emulator.launched}
    assert launched - SEGMENTS == (REST | UPDATE) - SEGMENTS
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[-1] < found[0]


def test_the_magnitude_of_a_correlation_has_kernels(emulated):
    fields = {"operation": "correlation", "readout": "magnitude"}
    expected = steps(network_of(fields, np.float64), 5, "cpu")
    with emulated() as emulator:
        network = network_of(fields, np.float64)
        found = steps(network, 5, "cpu")
        assert network.padded(batch_of(), None) is not None
        assert {kernel for kernel, _ in emulator.launched} >= MAGNITUDE
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found[-1] < found[0]


def test_of_a_modulation_it_has_the_same_magnitude(emulated):
    losses = []
    for operation in ("correlation", "modulation"):
        with emulated():
            losses.append(steps(network_of({"operation": operation, "readout": "magnitude"}), 3, "cpu"))
    assert losses[0] == losses[1]
