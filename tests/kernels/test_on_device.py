"""Every equation and network on a device, with kernels and without, against float64 on the host.

By emulation, and on a GPU if there is one.
"""

import numpy as np
import pytest

from engine.arrays import ragged
from engine.arrays.backend import random_generator, to_device, to_host
from engine.cuda import segments
from engine.cuda.kernels import KernelDisagreement
from engine.gradcheck import assert_gradients, compare_backends
from layers.experiments.gradcheck.suite import CASES, TWINS, methods_of, report_of


@pytest.mark.parametrize("mode", ["on", "off"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_and_gradients(cuda, monkeypatch, case, mode):
    monkeypatch.setenv("WAVE_KERNELS", mode)
    for example, method in enumerate(("cuda_float64", "cuda_float32")):
        with cuda() as device:
            assert_gradients(report_of(case, method, case.draw(random_generator(7, example)), example))
            if mode == "off":
                assert all(kernel.endswith("_segments") for kernel, _ in device.launched)


@pytest.mark.gpu
@pytest.mark.parametrize("case", [case for case in CASES if case.products], ids=lambda case: case.name)
def test_products_of_tensor_cores(case):
    assert_gradients(report_of(case, "cuda_tf32", case.draw(random_generator(7, 0)), 0))


def test_the_suite_has_a_row_of_each_kind_for_a_device():
    networks = [case for case in CASES if case.products]
    assert len(networks) > 10
    for case in CASES:
        new = set(methods_of(case, "cuda")) - set(methods_of(case))
        assert new == {"cuda_float64", "cuda_float32"} | ({"cuda_tf32"} if case.products else set())
    assert TWINS["cuda_tf32"][3] == TWINS["tf32_twin"][3] > 100 * TWINS["cuda_float32"][3]


def test_a_device_that_computes_something_else_is_caught(cuda):
    def forward(x):
        return x * (2.0 if isinstance(x, np.ndarray) else 2.001), x

    def backward(dy, x):
        return dy * 2.0

    with cuda():
        report = compare_backends(forward, backward, (np.ones((3, 4)),), devices=["cuda"])
    assert {row.name for row in report.failures} == {"output, cuda float64", "output, cuda float32"}


@pytest.mark.parametrize("name", ["sum_segments", "max_segments"])
def test_checking_holds_segments_against_the_host(cuda, monkeypatch, name):
    """On a device both bodies add up by the same kernels: a fault of theirs must show all the same."""
    monkeypatch.setenv("WAVE_KERNELS", "check")
    function = {"sum_segments": ragged.segment_sum, "max_segments": ragged.segment_max}[name]
    x, offsets = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 3])
    with cuda():
        on_device = to_device(x, "cuda"), to_device(offsets, "cuda")
        assert np.array_equal(to_host(function(*on_device)), function(x, offsets))
        right = getattr(segments, name)
        monkeypatch.setattr(segments, name, lambda *arguments: right(*arguments) * 2)
        with pytest.raises(KernelDisagreement):
            function(*on_device)
