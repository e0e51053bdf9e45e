"""Arrays of other libraries as inputs, outputs and gradients; sparse gradients; without any of these libraries, too."""

import importlib
import re

import numpy as np
import pytest

from engine.gradcheck import check_gradients, check_jacobian, check_properties, compare_backends
from engine.layer import RowSparse
from tests.support.known_gradients import normal

CHECKS = [check_gradients, check_jacobian, check_properties, compare_backends]
X, IDS = normal(2, 4, 3), np.array([3, 0, 3])


class Array:
    """An array of a small library of its own, which NumPy can read."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.dtype, self.shape = numbers.dtype, numbers.shape

    def __array__(self, dtype=None, copy=None):
        return self.numbers


class Standard:
    """An array that follows the array API standard as far as the checks need it."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.dtype, self.shape = numbers.dtype, numbers.shape

    def __array_namespace__(self):
        return Namespace

    def __dlpack__(self, **options):
        return self.numbers.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.numbers.__dlpack_device__()


class Namespace:
    asarray = Standard


class Sparse:
    """A sparse matrix: its dtype and shape, and toarray()."""

    def __init__(self, dense):
        self.dense_numbers = dense
        self.dtype, self.shape = dense.dtype, dense.shape

    def toarray(self):
        return self.dense_numbers


def take_sparse(sparse):
    """Return (forward, backward) of rows of a table whose gradient is made by `sparse` of a dense one."""

    def backward(dy, cache):
        table, ids = cache
        dense = np.zeros(table.shape, dy.dtype)
        np.add.at(dense, ids, dy)
        return sparse(dense)

    return lambda table, ids: (table[ids], (table, ids)), backward


def of_scipy(form, array):
    return lambda dense: getattr(pytest.importorskip("scipy.sparse"), f"{form}_{array}")(dense)


def row_sparse(dense):
    rows = np.flatnonzero(dense.any(axis=1))
    return RowSparse(rows, dense[rows])


SPARSE = {
    "rows": row_sparse,
    "own": Sparse,
    "matrix": np.matrix,
    **{f"{f}_{a}": of_scipy(f, a) for f in ("csr", "csc", "coo", "lil", "dok") for a in ("array", "matrix")},
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_gradients_of_a_dense_input(name):
    forward, backward = take_sparse(SPARSE[name])
    for check in CHECKS:
        assert check(forward, backward, (X, IDS)).ok
        assert check(forward, lambda dy, c: (backward(dy, c), None), (X, IDS)).ok
    in_dict = check_gradients(
        lambda z: forward(z["table"], IDS), lambda dy, c: {"table": backward(dy, c)}, ({"table": X},)
    )
    assert in_dict.ok and in_dict.rows[0].name == "input 0['table'], direction 1"
    wrong = check_gradients(forward, take_sparse(lambda dense: SPARSE[name](2.0 * dense))[1], (X, IDS))
    assert len(wrong.failures) == len(wrong.rows) and "2 times" not in wrong.rows[0].message
    shape = check_gradients(forward, take_sparse(lambda dense: SPARSE[name](dense[:, :2]))[1], (X, IDS))
    assert "input 0: its gradient has shape (4, 2), expected (4, 3)" in str(shape), str(shape)


def test_sparse_inputs_are_data():
    sparse = pytest.importorskip("scipy.sparse")
    data = sparse.csr_array(np.eye(4)[:3] + 0.5)
    forward, backward = lambda data, w: (data @ w, data), lambda dy, data: (None, data.T @ dy)
    for check in (check_gradients, check_jacobian, check_properties):
        assert check(forward, backward, (data, X)).ok
    with pytest.raises(ValueError, match=re.escape("wrt: input 0 is no float array and no float, it is a csr_array")):
        check_gradients(forward, backward, (data, X), wrt=[0])


def square_in(make, read):
    """Return (forward, backward, seen) of x² in arrays of another library, made by `make` and read by `read`."""
    seen = []

    def forward(x):
        x = read(x)
        return (make(x * x), make(x.sum())), x

    def backward(dy, x):
        seen.append((type(dy[0]), type(dy[1])))
        return make(2.0 * x * read(dy[0]) + read(dy[1]))

    return forward, backward, seen


@pytest.mark.parametrize("check", CHECKS)
def test_arrays_of_a_library_that_numpy_can_read(check):
    forward, backward, seen = square_in(lambda x: Array(np.asarray(x)), np.asarray)
    report = check(forward, backward, (X,))
    assert report.ok and set(seen) == {(np.ndarray, np.ndarray)}, str(report)
    assert "output[0] is a Array of float64: its cotangent is a NumPy array" in report.notes
    wrong = check_gradients(forward, lambda dy, x: Array(2.0 * backward(dy, x).numbers), (X,))
    assert len(wrong.failures) == len(wrong.rows), str(wrong)


@pytest.mark.parametrize("check", CHECKS)
def test_arrays_that_name_their_module_come_back_in_it(check):
    forward, backward, seen = square_in(
        lambda x: Standard(np.asarray(x)), lambda x: x.numbers if isinstance(x, Standard) else x
    )
    for x in (X, Standard(X)):
        assert check(forward, backward, (x,)).ok
    assert set(seen) == {(Standard, Standard)}


def test_an_array_that_cannot_be_read_fails_with_its_name():
    class Elsewhere(Array):
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("it lies on another device")

    report = check_gradients(lambda x: (x * x, x), lambda dy, x: Elsewhere(dy), (X,))
    text = "input 0: its gradient, a Elsewhere, cannot be read as an array: it lies on another device"
    assert not report.ok and text in str(report), str(report)
    with pytest.raises(ValueError, match="output: nothing to differentiate: .*returned Elsewhere of float64"):
        check_gradients(lambda x: (Elsewhere(x), x), lambda dy, x: dy, (X,))


@pytest.mark.parametrize("check", CHECKS)
def test_tensors_of_pytorch(check):
    torch = pytest.importorskip("torch")
    read = lambda x: x if isinstance(x, torch.Tensor) else torch.from_numpy(x)  # noqa: E731
    forward, backward, seen = square_in(lambda x: x.requires_grad_(), lambda x: read(x).detach())
    for x in (X, torch.from_numpy(X), torch.nn.Parameter(torch.from_numpy(X))):
        report = check(forward, backward, (x,))
        assert report.ok and not any("output" in note for note in report.notes), str(report)
    assert set(seen) == {(torch.Tensor, torch.Tensor)}
    wrong = check_gradients(forward, lambda dy, x: 2.0 * backward(dy, x), (X,))
    assert len(wrong.failures) == len(wrong.rows), str(wrong)
    with pytest.raises(ValueError, match="it returned one Tensor: return y, None"):
        check(lambda x: torch.from_numpy(X), backward, (X,))


def test_sparse_gradients_of_pytorch():
    torch = pytest.importorskip("torch")
    forward, backward = take_sparse(lambda dense: torch.from_numpy(dense).to_sparse())
    for check in CHECKS:
        assert check(forward, backward, (X, IDS)).ok


@pytest.mark.parametrize("check", CHECKS)
def test_arrays_of_jax(check):
    jax = pytest.importorskip("jax")
    enabled = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        jnp = importlib.import_module("jax.numpy")
        forward, backward, seen = square_in(jnp.asarray, jnp.asarray)
        for x in (X, jnp.asarray(X)):
            assert check(forward, backward, (x,)).ok
        assert seen and all(issubclass(t, jax.Array) for types in seen for t in types)
        wrong = check_gradients(forward, lambda dy, x: 2.0 * backward(dy, x), (X,))
        assert len(wrong.failures) == len(wrong.rows), str(wrong)
    finally:
        jax.config.update("jax_enable_x64", enabled)
