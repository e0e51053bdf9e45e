"""Matrix products and the precision of their operands."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import matmul
from engine.arrays.matmul import (
    add_product,
    check_precision,
    emulated_tf32,
    product,
    product_precision,
    rounded_to_tf32,
)
from engine.support.errors import UserError
from tests.support.examples import examples

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False)


@examples(100)
@given(FLOATS)
def test_tf32_keeps_eleven_bits_and_rounds_to_the_nearest(x):
    x = np.array([x], np.float32)
    y = rounded_to_tf32(x)
    assert not (y.view(np.uint32) & 0x1FFF).any()
    if np.isfinite(y).all():
        assert abs(float(y[0]) - float(x[0])) <= 2.0**-11 * abs(float(x[0]))
        assert rounded_to_tf32(y) == y and rounded_to_tf32(-x) == -y


def test_tf32_of_known_numbers():
    step = 2.0**-10
    x = np.array([1 + step, 1 + step / 2, 1 + 0.49 * step, -1 - step / 2, 0.0, np.inf, -np.inf], np.float32)
    assert rounded_to_tf32(x).tolist() == [1 + step, 1 + step, 1, -1 - step, 0, np.inf, -np.inf]
    assert np.isnan(rounded_to_tf32(np.array([np.nan], np.float32))[0])


def test_products_have_rounded_operands_while_emulated():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 5), np.float32), rng.standard_normal((7, 5), np.float32).T
    with emulated_tf32():
        found, double = product(a, b), product(a.astype(float), b.astype(float))
    assert np.array_equal(found, rounded_to_tf32(a) @ rounded_to_tf32(b))
    assert np.array_equal(product(a, b), a @ b) and not np.array_equal(found, a @ b)
    assert np.array_equal(double, a.astype(float) @ b.astype(float))


def test_a_product_is_added_to_what_there_is():
    rng = np.random.default_rng(0)
    accumulate, a, b = rng.standard_normal((3, 7)), rng.standard_normal((3, 5)), rng.standard_normal((7, 5)).T
    before = accumulate.copy()
    assert np.array_equal(add_product(accumulate, a, b), before + a @ b)
    assert np.array_equal(accumulate, before), "on the host into a new array"


def test_tf32_is_for_a_gpu():
    check_precision("float32", "cpu")
    message = "only the tensor cores of a GPU multiply so; give --device cuda, or set precision=float32"
    with pytest.raises(UserError, match=f"^precision tf32: {message}$"):
        check_precision("tf32", "cpu")
    with pytest.raises(UserError), product_precision("tf32", "cpu"):
        pass


def fake_cupy(monkeypatch, capability="90"):
    cuda = types.SimpleNamespace(Device=lambda: types.SimpleNamespace(compute_capability=capability))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=cuda, ndarray=tuple))


def test_tf32_is_for_a_gpu_that_has_it(monkeypatch):
    fake_cupy(monkeypatch, "80")
    check_precision("tf32", "cuda")
    fake_cupy(monkeypatch, "75")
    message = "this GPU is older than compute capability 8.0 and cannot; set precision=float32"
    with pytest.raises(UserError, match=f"^precision tf32: {message}$"):
        check_precision("tf32", "cuda")


def test_the_switch_of_cupy_is_set_either_way_and_put_back(monkeypatch):
    fake_cupy(monkeypatch)
    state = {"type": "that of CUPY_TF32=1"}
    switch = types.ModuleType("cupy._core._routines_linalg")
    switch.COMPUTE_TYPE_TF32, switch.COMPUTE_TYPE_DEFAULT = "tf32", "default"
    switch.get_compute_type = lambda dtype: state["type"]
    switch.set_compute_type = lambda dtype, kind: state.update(type=kind, dtype=dtype)
    core = types.ModuleType("cupy._core")
    core._routines_linalg = switch
    monkeypatch.setitem(sys.modules, "cupy._core", core)
    with product_precision("float32", "cuda"):
        assert state == {"type": "default", "dtype": np.float32}
    with pytest.raises(RuntimeError), product_precision("tf32", "cuda"):
        assert state == {"type": "tf32", "dtype": np.float32}
        raise RuntimeError
    assert state["type"] == "that of CUPY_TF32=1" and not matmul.emulates_tf32
