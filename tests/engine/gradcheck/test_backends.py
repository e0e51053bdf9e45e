"""Other devices and float32 beside float64 NumPy."""

import numpy as np
import pytest

from engine.gradcheck import assert_gradients, compare_backends
from engine.layer import Parameter
from layers.wave import Wave, modulation_backward, modulation_forward, token2wave_backward, token2wave_forward

OFFSETS = np.array([0, 2, 2, 5], np.int64)
W = np.random.default_rng(0).normal(size=(5, 3))


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch, request):
    if "gpu" not in request.keywords:
        monkeypatch.setattr("engine.gradcheck.backends.why_no_cuda", lambda: "CuPy is not installed")


def test_float32_is_compared_with_float64_of_the_same_numbers():
    report = compare_backends(token2wave_forward, token2wave_backward, (W, OFFSETS))
    assert_gradients(report)
    assert [row.name for row in report.rows] == [
        "output.re, cpu float32",
        "output.im, cpu float32",
        "gradient of input 0, cpu float32",
    ]
    assert {row.method for row in report.rows} == {"float64_twin"}
    assert report.rows[0].relative_error == 0.0  # re is w itself: nothing was rounded on the way in
    assert 0 < report.rows[1].relative_error < 1e-6
    assert report.notes == ("no GPU was compared: CuPy is not installed",)


def test_settings_are_in_the_same_precision():
    """A mask that is not differentiated would lift everything to float64."""
    seen = []

    def forward(x, mask):
        seen.append((x.dtype.name, mask.dtype.name))
        return x * mask, mask

    assert_gradients(compare_backends(forward, lambda dy, mask: dy * mask, (W, (W > 0.0) * 1.0), wrt=[0]))
    assert set(seen) == {("float64", "float64"), ("float32", "float32")}


def test_an_unstable_float32_is_caught():
    def forward(x):
        return np.sqrt((x * x).sum(axis=0) - x[0] * x[0]), x

    def backward(dy, x):
        y = np.sqrt((x * x).sum(axis=0) - x[0] * x[0])
        return np.concatenate([0 * x[:1], x[1:] * (dy / y)])

    x = np.array([[1234.567, 1e4], [1.0, 20.0], [1.0, 50.0]])
    report = compare_backends(forward, backward, (x,))
    assert {row.name for row in report.failures} == {"output, cpu float32", "gradient of input 0, cpu float32"}
    assert compare_backends(forward, backward, (x,), tolerances={"float32": 0.1}).ok


def test_parameters_and_pairs_are_compared_and_put_back():
    weight = Parameter(np.arange(6.0).reshape(3, 2))
    value = weight.value

    def forward(x):
        return x @ weight.value, x

    def backward(dy, x):
        weight.accumulate(x.T @ dy)
        return dy @ weight.value.T

    report = compare_backends(forward, backward, (W,), parameters={"weight": weight})
    assert_gradients(report)
    assert "gradient of parameter weight, cpu float32" in [row.name for row in report.rows]
    assert weight.value is value and weight.grad is None
    assert_gradients(compare_backends(modulation_forward, modulation_backward, (Wave(W, W + 1), Wave(W - 1, W))))
    assert_gradients(compare_backends(lambda x: (np.sum(x * x), x), lambda dy, x: 2 * dy * x, (W,)))


def test_wrong_arguments_are_refused():
    pair = (lambda x: (x * x, x)), (lambda dy, x: 2 * dy * x)
    with pytest.raises(ValueError, match="devices"):
        compare_backends(*pair, (W,), devices=["tpu"])
    with pytest.raises(ValueError, match="dtypes"):
        compare_backends(*pair, (W,), dtypes=["float16"])
    with pytest.raises(ValueError, match="cuda is not usable .CuPy is not installed"):
        compare_backends(*pair, (W,), devices=["cuda"])
    with pytest.raises(ValueError, match="backward: returned 2 gradients, expected 1, for input 0"):
        compare_backends(pair[0], lambda dy, x: (dy, dy), (W,))


@pytest.mark.gpu
def test_a_gpu_agrees_with_numpy():
    report = compare_backends(token2wave_forward, token2wave_backward, (W, OFFSETS), devices=["cuda"])
    assert_gradients(report)
    assert [row.name for row in report.rows if "cuda float64" in row.name]
