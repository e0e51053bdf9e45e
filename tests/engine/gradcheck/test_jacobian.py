"""The Jacobian entry by entry: what is wrong in one place is named by its indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gradcheck import assert_gradients, check_gradients, check_jacobian

METHODS = pytest.mark.parametrize("method", ["auto", "complex_step", "five_point", "richardson"])


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(dy, cache):
    a, b = cache
    return dy @ b.T, a.T @ dy


def random_pair(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 3)), rng.normal(size=(3, 2))


@METHODS
def test_a_right_jacobian_passes_with_a_row_for_each_block(method):
    report = check_jacobian(matmul, matmul_backward, random_pair(), method=method)
    assert report.ok and [row.name for row in report.rows] == ["input 0", "input 1"]


@METHODS
@given(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1))
@settings(deadline=None, max_examples=12)
def test_a_wrong_entry_is_named_with_the_output_it_belongs_to(method, row, column, output):
    """∂y[output, column]/∂b[row, column] alone is wrong: no other cotangent and no other entry sees it."""

    def backward(dy, cache):
        da, db = matmul_backward(dy, cache)
        db = db.copy()
        db[row, column] += 0.01 * dy[output, column]
        return da, db

    report = check_jacobian(matmul, backward, random_pair(), method=method)
    (failure,) = report.failures
    assert failure.entry.startswith(f"output[{output}, {column}] by input 1[{row}, {column}]: ")
    assert failure.entry in str(report)
    with pytest.raises(AssertionError, match="worst entry"):
        assert_gradients(report)


def test_scale_does_not_hide_a_wrong_entry():
    x = np.array([1e-9, 1.0, 1e9])
    wrong = lambda dy, x: dy * np.array([1.0, 1.0, 1.0 + 1e-5]) * 2 * x  # noqa: E731
    report = check_jacobian(lambda x: (x * x, x), wrong, (x,))
    assert report.failures[0].entry.startswith("output[2] by input 0[2]")
    assert check_jacobian(lambda x: (x * x, x), lambda dy, x: 2 * dy * x, (x,)).ok


def test_complex_entries_have_two_parts():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)), rng.normal(size=2) + 1j * rng.normal(size=2)
    forward = lambda a, b: (a * np.conj(b), (a, b))  # noqa: E731
    assert check_jacobian(forward, lambda dz, c: (dz * c[1], (np.conj(dz) * c[0]).sum(axis=0)), (a, b)).ok
    wrong = check_jacobian(forward, lambda dz, c: (dz * c[1], (dz * c[0]).sum(axis=0)), (a, b))
    assert [row.name for row in wrong.failures] == ["input 1"] and ".im" in wrong.failures[0].entry


def test_kinks_are_rows_of_their_own():
    report = check_jacobian(
        lambda x: (np.maximum(x, 0.0), x), lambda dy, x: dy * (x > 0), (np.array([0.0, 1.0, -1.0, 0.0]),)
    )
    assert [(row.name, row.verdict) for row in report.rows] == [
        ("input 0", "ok"),
        ("input 0, kink at 2 of its entries", "kink"),
    ]
    assert "slopes 0 from left and 1 from right" in str(report)


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
def test_a_kink_of_one_output_excuses_nothing_in_another(method):
    forward = lambda x: ((np.where(x.real > 0.0, x, 0.0), 3.0 * x), x.real > 0.0)  # noqa: E731

    def backward(wrong):
        def run(dy, positive):
            dx = dy[0] * positive + 3.0 * dy[1]
            dx[0] += wrong * dy[1][0]
            return dx

        return run

    x = np.array([0.0, 1.0, 2.0])
    right, wrong = (check_jacobian(forward, backward(error), (x,), method=method) for error in (0.0, -0.6))
    assert right.ok and [row.verdict for row in right.rows] == ["ok", "kink"], str(right)
    (failure,) = wrong.failures
    assert failure.entry.startswith("output[1][0] by input 0[0]: numeric 3, analytic 2.4") and not failure.message, str(
        wrong
    )


def test_a_kink_among_many_entries_is_no_failure():
    """Each output has a cotangent of 1 here, however many there are."""
    x = np.random.default_rng(1).normal(size=80)
    x[0] = 0.0
    report = check_jacobian(
        lambda x: (np.where(x.real > 0.0, x, 0.0), x.real > 0.0), lambda dy, positive: dy * positive, (x,)
    )
    assert report.ok and "kink at 1 of its entries" in str(report), str(report)


def test_scalar_outputs_parameters_and_empty_blocks():
    from layers.networks.parts import Linear

    layer = Linear(3, 2, np.random.default_rng(0), np.float64)
    report = check_jacobian(layer.forward, layer.backward, (np.ones((2, 3)),), parameters=layer.parameters())
    assert report.ok and [row.name for row in report.rows] == ["input 0", "parameter weight", "parameter bias"]
    assert check_jacobian(lambda x: (np.sum(x**3), x), lambda dy, x: 3 * dy * x**2, (np.ones(3),)).ok
    assert check_jacobian(lambda x: (np.tanh(x), x), lambda dy, x: dy, (np.zeros((0, 3)),)).ok


def test_wrong_shapes_and_too_large_jacobians_are_refused():
    report = check_jacobian(lambda x: (x * x, x), lambda dy, x: dy[:1], (np.ones(3),))
    assert not report.ok and "shape (1,)" in str(report)
    with pytest.raises(ValueError, match="1000·1000 entries, more than"):
        check_jacobian(lambda x: (x * x, x), lambda dy, x: 2 * dy * x, (np.ones(1000),))


def test_a_failing_direction_names_the_worst_entry_of_its_block():
    a, b = random_pair()

    def backward(dy, cache):
        da, db = matmul_backward(dy, cache)
        return da, db + np.array([[0, 0], [0, 0.5], [0, 0.1]])

    report = check_gradients(matmul, backward, (a, b))
    entries = {row.name: row.entry for row in report.rows if row.entry}
    assert list(entries) == ["input 1"] and entries["input 1"].startswith("[1, 1]: numeric ")
    single = check_gradients(
        lambda x: (x * x, x),
        lambda dy, x: 2 * dy * x * np.array([1, 1, 2.0]),
        (np.array([1.0, 2.0, 3.0]),),
        method="five_point",
    )
    assert single.rows[0].entry.startswith("[2]: numeric ") and not any(row.entry for row in single.rows[1:])
