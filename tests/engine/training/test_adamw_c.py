"""AdamW of rows in C: the bits of NumPy's, step after step, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.layer import Parameter, RowSparse
from engine.training import adamw_c
from engine.training.adamw import AdamW
from tests.support.layer_laws import SEEDS, examples

pytestmark = pytest.mark.skipif(not adamw_c.FUNCTIONS.is_usable(), reason="no C compiler")


def trained(seed, columns, decay, scales, steps=12):
    """(value, m, v) of a table of 40 rows after some steps of gradients of some rows."""
    rng = np.random.default_rng(seed)
    parameter = Parameter(rng.standard_normal((40, columns)).astype(np.float32))
    optimizer = AdamW({"table": parameter}, weight_decay=decay)
    for _ in range(steps):
        rows = np.flatnonzero(rng.random(40) < rng.random())
        grad = rng.standard_normal((len(rows), columns)) * rng.choice(scales, (len(rows), columns))
        parameter.grad = RowSparse(rows, grad.astype(np.float32))
        optimizer.step(rng.random() * 1e-2, scale=rng.random())
    state = optimizer.state["table"]
    return parameter.value, state["m"], state["v"]


@given(SEEDS, st.sampled_from([1, 2, 16, 65]), st.sampled_from([0.0, 0.01]))
@examples(40)
def test_the_bits_of_numpy(seed, columns, decay):
    """For gradients of 0, tiny and huge ones, infinities and NaN among them."""
    scales, found = [0.0, 1e-30, 1e-8, 1.0, 1e15, np.inf, np.nan], []
    for mode in ("on", "off"):
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            patch.setenv("WAVE_C", mode)
            found.append(trained(seed, columns, decay, scales[: 3 + seed % 5]))
    for one, other in zip(*found):
        assert np.array_equal(one, other, equal_nan=True)
        assert np.array_equal(np.signbit(one[one == 0]), np.signbit(other[other == 0]))


@given(SEEDS, st.sampled_from([(), (1,), (7, 5), (3, 0)]), st.sampled_from([0.0, 0.01]))
@examples(20)
def test_the_bits_of_numpy_for_arrays(seed, shape, decay):
    found = []
    for mode in ("on", "off"):
        rng = np.random.default_rng(seed)
        parameter = Parameter(np.asarray(rng.standard_normal(shape), np.float32))
        optimizer = AdamW({"array": parameter}, weight_decay=decay)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("WAVE_C", mode)
            for scale in (1.0, 1e-20, 1e10):
                parameter.grad = np.asarray(rng.standard_normal(shape) * scale, np.float32)
                optimizer.step(rng.random() * 1e-2, scale=rng.random())
        found.append((parameter.value, optimizer.state["array"]["m"], optimizer.state["array"]["v"]))
    for one, other in zip(*found):
        assert np.array_equal(one, other)


def test_it_is_what_runs(monkeypatch):
    monkeypatch.setattr(AdamW, "update", lambda *_: pytest.fail("NumPy"))
    trained(0, 3, 0.01, [1.0])
    for arrays in (np.zeros(3), np.zeros((4, 4), np.float32)[:, ::2], [1.0]):
        assert not adamw_c.is_usable(arrays)
    monkeypatch.setenv("WAVE_C", "off")
    with pytest.raises(pytest.fail.Exception):
        trained(0, 3, 0.01, [1.0])


@pytest.mark.parametrize("rows", [[0, 40], [-1, 3]])
def test_rows_that_c_would_follow(rows):
    parameter = Parameter(np.zeros((40, 2), np.float32))
    parameter.grad = RowSparse(np.array(rows), np.ones((2, 2), np.float32))
    with pytest.raises(ValueError, match="rows: must ascend in "):
        AdamW({"table": parameter}).step(1e-3)
