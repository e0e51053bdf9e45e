"""Lazy rows of AdamW: they end where dense updates do, and take the steps they missed by one formula."""

import tracemalloc

import numpy as np
import pytest

from engine.layer import Parameter, RowSparse, sum_rows
from engine.training.adamw import AdamW
from tests.support.adamw_steps import BETA1, BETA2, EPSILON, ROWS, sparse_steps, train


def train_lazily(start, grads, rates, **options):
    """The values after each step, and those after catch_up()."""
    parameter = Parameter(start.copy())
    optimizer, values = AdamW({"p": parameter}, **options), []
    for grad, rate in zip(grads, rates):
        parameter.grad = grad
        optimizer.step(rate)
        values.append(parameter.value.copy())
    optimizer.catch_up()
    return values, parameter.value, optimizer


@pytest.mark.parametrize("rows_of_steps", [ROWS, [[0, 1], [2], *([[1]] * 500), [0, 1], *([[1]] * 20), [2]]])
@pytest.mark.parametrize("betas", [(BETA1, BETA2), (0.0, 0.9), (0.5, 0.5)])
def test_lazy_updates_end_where_dense_ones_do(rows_of_steps, betas):
    start, grads, _, rates = sparse_steps(rows_of_steps)
    options = {"beta1": betas[0], "beta2": betas[1], "epsilon": 1e-150}  # ε is what the two treat differently
    _, lazy, _ = train_lazily(start, grads, rates, **options)
    dense = train(Parameter(start.copy()), grads, rates, embedding_update="dense", **options)[-1]
    np.testing.assert_allclose(lazy, dense, rtol=1e-9, atol=1e-9)


def test_epsilon_weighs_in_lazy_updates_nearly_as_in_dense_ones():
    start, grads, _, rates = sparse_steps(ROWS)
    grads = [RowSparse(grad.rows, np.clip(grad.values, -1e-6, 1e-6)) for grad in grads]  # sqrt(v) about as large as ε
    _, lazy, _ = train_lazily(start, grads, rates)
    dense = train(Parameter(start.copy()), grads, rates, embedding_update="dense")[-1]
    without = train(Parameter(start.copy()), grads, rates, embedding_update="dense", epsilon=1e-150)[-1]
    assert np.abs(lazy - dense).max() < 0.05 * np.abs(without - dense).max()


def row_by_row(start, grads, rates, decay, epsilon=EPSILON):
    """The rows after all steps, each row's missed steps taken one after another by the formula of the docstring."""
    value, m, v, last = start.copy(), np.zeros_like(start), np.zeros_like(start), np.zeros(len(start), int)

    def catch_up(row, until):
        weighed = epsilon * np.sqrt(1 - BETA2 ** (last[row] + 1))
        move = np.zeros_like(value[row])
        for i in range(last[row] + 1, until + 1):
            factor = np.sqrt(1 - BETA2**i) / (1 - BETA1**i) * (BETA1 / np.sqrt(BETA2)) ** (i - last[row])
            move += rates[i - 1] * factor * m[row] / (np.sqrt(v[row]) + weighed)
            value[row] *= 1 - rates[i - 1] * decay
        value[row] -= move
        missed = until - last[row]
        m[row], v[row], last[row] = BETA1**missed * m[row], BETA2**missed * v[row], until

    for t, grad in enumerate(grads, start=1):
        for row, g in zip(grad.rows, grad.values):
            catch_up(row, t - 1)
            m[row], v[row] = BETA1 * m[row] + (1 - BETA1) * g, BETA2 * v[row] + (1 - BETA2) * g**2
            divisor = np.sqrt(v[row] / (1 - BETA2**t)) + epsilon
            value[row] -= rates[t - 1] * (m[row] / (1 - BETA1**t) / divisor + decay * value[row])
            last[row] = t
    for row in range(len(value)):
        catch_up(row, len(grads))
    return value


@pytest.mark.parametrize("size", [1.0, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_missed_steps_weigh_epsilon_as_the_formula_does(size, decay):
    """Gradients far above ε, and as small as it."""
    start, grads, _, rates = sparse_steps([*ROWS, *([[1]] * 40), [0, 2], [5]])
    grads = [RowSparse(grad.rows, size * np.sign(grad.values)) for grad in grads]
    _, lazy, _ = train_lazily(start, grads, rates, weight_decay=decay)
    np.testing.assert_allclose(lazy, row_by_row(start, grads, rates, decay), rtol=1e-11, atol=1e-12)


def test_weight_decay_of_lazy_updates_agrees_to_second_order():
    start, grads, _, rates = sparse_steps(ROWS)
    errors = []
    for factor in (1.0, 0.1):
        options = {"weight_decay": 0.1, "epsilon": 1e-150}
        _, lazy, _ = train_lazily(start, grads, rates * factor, **options)
        dense = train(Parameter(start.copy()), grads, rates * factor, embedding_update="dense", **options)[-1]
        errors.append(np.abs(lazy - dense).max())
    assert 0 < errors[0] < 0.1 * rates.max()
    assert errors[1] < errors[0] / 50  # a tenth of the rate, a hundredth of the error


def test_a_row_rests_to_the_bit_while_no_batch_holds_it():
    start, grads, _, rates = sparse_steps(ROWS)
    values, _, _ = train_lazily(start, grads, rates, weight_decay=0.1)
    for step, (before, after) in enumerate(zip([start, *values], values)):
        absent = [row for row in range(len(start)) if row not in ROWS[step]]
        assert np.array_equal(before[absent], after[absent])
        assert not np.any(before[ROWS[step]] == after[ROWS[step]])


def test_settling_twice_is_settling_once():
    start, grads, _, rates = sparse_steps(ROWS)
    _, settled, optimizer = train_lazily(start, grads, rates, weight_decay=0.1)
    before = settled.copy()
    optimizer.catch_up()
    assert np.array_equal(before, settled)


def test_momentum_must_fade_faster_than_the_squares():
    with pytest.raises(ValueError, match="beta1: must be below"):
        AdamW({}, beta1=0.9, beta2=0.5)
    AdamW({}, beta1=0.9, beta2=0.5, embedding_update="dense")


def test_lazy_rows_of_every_step_are_trained_like_a_dense_table():
    start, grads, _, rates = sparse_steps([[0, 1, 2]] * 6, row_count=3)
    lazy, dense = (
        train(Parameter(start.copy()), grads, rates, weight_decay=0.1, embedding_update=kind)
        for kind in ("lazy", "dense")
    )
    assert np.array_equal(lazy, dense)


def test_a_lazy_step_takes_memory_for_its_rows_alone():
    parameter = Parameter(np.zeros((20_000, 50), np.float32))
    optimizer = AdamW({"table": parameter}, weight_decay=0.1)
    parameter.grad = sum_rows(np.array([7, 3, 7]), np.ones((3, 50), np.float32))
    optimizer.step(1e-3)
    tracemalloc.start()
    optimizer.step(1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < parameter.value.nbytes / 50
