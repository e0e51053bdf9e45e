"""AdamW against its equation, written out once more in plain float64, and the law of its lazy embedding rows."""

import tracemalloc

import numpy as np
import pytest

from engine.layer import Parameter, RowSparse, sum_rows
from engine.training.adamw import AdamW

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def reference(value, grads, rates, decay=0.0, beta1=BETA1, beta2=BETA2, epsilon=EPSILON):
    """The values after each step, with the equation of the docstring to the letter."""
    m, v, values = np.zeros_like(value), np.zeros_like(value), []
    for t, (g, rate) in enumerate(zip(grads, rates), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        value = value - rate * (m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + epsilon) + decay * value)
        values.append(value)
    return values


def draw(shape, steps, seed=0):
    """A start, gradients and learning rates."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal(shape),
        rng.standard_normal((steps, *shape)) * 10.0 ** rng.integers(-4, 3, (steps, *shape)),
        rng.uniform(1e-3, 1e-1, steps),
    )


def train(parameter, grads, rates, **options):
    """The values after each step of an AdamW."""
    optimizer, values = AdamW({"p": parameter}, **options), []
    for grad, rate in zip(grads, rates):
        parameter.grad = grad
        optimizer.step(rate)
        values.append(parameter.value.copy())
    return values


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("betas", [(BETA1, BETA2), (0.0, 0.5), (0.99, 0.0)])
def test_every_step_is_the_equation(decay, betas):
    start, grads, rates = draw((3, 2), 20)
    values = train(
        Parameter(start.copy()),
        grads,
        rates,
        weight_decay=decay,
        beta1=betas[0],
        beta2=betas[1],
        embedding_update="dense",
    )
    np.testing.assert_allclose(values, reference(start, grads, rates, decay, *betas), rtol=1e-12, atol=1e-12)


def test_a_parameter_without_decay_is_not_decayed():
    start, grads, rates = draw((4,), 5)
    values = train(Parameter(start.copy(), decay=False), grads, rates, weight_decay=0.1)
    np.testing.assert_allclose(values, reference(start, grads, rates), rtol=1e-12)


def test_float32_stays_float32_and_close_to_the_equation():
    start, grads, rates = draw((50,), 100)
    values = train(Parameter(start.astype(np.float32)), grads.astype(np.float32), rates, weight_decay=0.1)
    assert values[-1].dtype == np.float32
    np.testing.assert_allclose(values[-1], reference(start, grads, rates, 0.1)[-1], rtol=1e-4, atol=1e-4)


def sparse_steps(rows_of_steps, row_count=6, seed=0):
    """A start, and for every step a RowSparse over some rows, its dense twin and a learning rate."""
    start, dense, rates = draw((row_count, 3), len(rows_of_steps), seed)
    grads = [RowSparse(np.array(rows, np.int64), g[rows]) for rows, g in zip(rows_of_steps, dense)]
    return start, grads, [grad.dense(row_count) for grad in grads], rates


ROWS = [[0, 1, 5], [1], [], [0, 1, 2], [5], [1, 2, 5], [0, 1], [1]]


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_dense_updates_treat_absent_rows_as_a_gradient_of_zero(decay):
    start, grads, dense, rates = sparse_steps(ROWS)
    values = train(Parameter(start.copy()), grads, rates, weight_decay=decay, embedding_update="dense")
    np.testing.assert_allclose(values, reference(start, dense, rates, decay), rtol=1e-12, atol=1e-12)


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


# The second list leaves rows alone for longer than the powers of r take to fade.
@pytest.mark.parametrize("rows_of_steps", [ROWS, [[0, 1], [2], *([[1]] * 500), [0, 1], *([[1]] * 20), [2]]])
@pytest.mark.parametrize("betas", [(BETA1, BETA2), (0.0, 0.9), (0.5, 0.5)])
def test_lazy_updates_end_where_dense_ones_do(rows_of_steps, betas):
    """For given gradients, whatever the steps at which rows are met."""
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


def test_lazy_weight_decay_agrees_with_dense_to_second_order():
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


def test_catching_up_twice_is_catching_up_once():
    start, grads, _, rates = sparse_steps(ROWS)
    _, caught_up, optimizer = train_lazily(start, grads, rates, weight_decay=0.1)
    before = caught_up.copy()
    optimizer.catch_up()
    assert np.array_equal(before, caught_up)


def test_lazy_updates_need_beta1_below_the_root_of_beta2():
    """Momentum must fade faster than the squares: the powers of r = β₁/sqrt(β₂) do not fade otherwise."""
    with pytest.raises(ValueError, match="beta1: must be below"):
        AdamW({}, beta1=0.9, beta2=0.5)
    AdamW({}, beta1=0.9, beta2=0.5, embedding_update="dense")


def test_lazy_rows_of_every_batch_are_trained_like_dense_ones():
    start, grads, _, rates = sparse_steps([[0, 1, 2]] * 6, row_count=3)
    lazy, dense = (
        train(Parameter(start.copy()), grads, rates, weight_decay=0.1, embedding_update=kind)
        for kind in ("lazy", "dense")
    )
    assert np.array_equal(lazy, dense)


def test_a_lazy_step_takes_memory_for_its_rows_alone():
    """The size of the table does not matter."""
    parameter = Parameter(np.zeros((20_000, 50), np.float32))
    optimizer = AdamW({"table": parameter}, weight_decay=0.1)
    parameter.grad = sum_rows(np.array([7, 3, 7]), np.ones((3, 50), np.float32))
    optimizer.step(1e-3)
    tracemalloc.start()
    optimizer.step(1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < parameter.value.nbytes / 50


@pytest.mark.parametrize("kind", ["lazy", "dense"])
def test_scale_multiplies_gradients_and_leaves_them_as_they_were(kind):
    def run(factor, scale):
        parameters = {"w": Parameter(np.ones((2, 3))), "table": Parameter(np.ones((6, 3)))}
        optimizer = AdamW(parameters, embedding_update=kind)
        for seed in range(3):
            parameters["w"].grad = draw((2, 3), 1, seed)[1][0] * factor
            grad = sparse_steps([[0, 2, 3]], seed=seed)[1][0]
            parameters["table"].grad = RowSparse(grad.rows, grad.values * factor)
            before = [p.grad_array().copy() for p in parameters.values()]
            optimizer.step(0.1, scale)
            assert all(np.array_equal(p.grad_array(), b) for p, b in zip(parameters.values(), before))
        return [p.value for p in parameters.values()]

    for scaled, passed in zip(run(0.25, 1.0), run(1.0, 0.25)):  # a power of two scales without rounding
        assert np.array_equal(scaled, passed)


@pytest.mark.parametrize("kind", ["lazy", "dense"])
def test_a_state_taken_out_and_put_back_continues_bit_for_bit(kind):
    def build():
        return {
            "w": Parameter(np.ones(3, np.float32)),
            "a:table": Parameter(np.ones((6, 3), np.float32)),
            "unused": Parameter(np.ones(1)),
        }

    def advance(parameters, optimizer, seeds):
        for seed in seeds:
            parameters["w"].grad = draw((3,), 1, seed)[1][0].astype(np.float32)
            grad = sparse_steps([[seed % 6, 5] if seed % 6 < 5 else [5]], seed=seed)[1][0]
            parameters["a:table"].grad = RowSparse(grad.rows, grad.values.astype(np.float32))
            optimizer.step(0.1)

    whole, parted = build(), build()
    first = AdamW(whole, weight_decay=0.1, embedding_update=kind)
    advance(whole, first, range(6))

    second = AdamW(parted, weight_decay=0.1, embedding_update=kind)
    advance(parted, second, range(3))
    third = AdamW(parted, weight_decay=0.1, embedding_update=kind)
    third.load_arrays({name: array.copy() for name, array in second.arrays().items()})
    advance(parted, third, range(3, 6))

    of_table = ["m", "v", "t", *(["last", "missed", "shrunk"] if kind == "lazy" else [])]
    assert set(first.arrays()) == {f"w:{key}" for key in "mvt"} | {f"a:table:{key}" for key in of_table}
    for name in whole:
        assert np.array_equal(whole[name].value, parted[name].value)
    for name, array in first.arrays().items():
        assert np.array_equal(array, third.arrays()[name]) and array.dtype == third.arrays()[name].dtype


def test_a_parameter_without_a_gradient_rests():
    start, grads, rates = draw((3,), 4)
    idle, parameter = Parameter(np.ones(3)), Parameter(start.copy())
    optimizer = AdamW({"idle": idle, "p": parameter}, weight_decay=0.5)
    parameter.grad = grads[0]
    optimizer.step(rates[0])
    parameter.grad = None
    before = parameter.value.copy()
    optimizer.step(rates[1])
    assert np.array_equal(parameter.value, before) and idle.value.tolist() == [1, 1, 1]
    parameter.grad = grads[2]
    optimizer.step(rates[2])
    np.testing.assert_allclose(parameter.value, reference(start, grads[[0, 2]], rates[[0, 2]], 0.5)[-1], rtol=1e-12)


@pytest.mark.parametrize("sparse_first", [False, True])
def test_a_table_sometimes_row_sparse_is_refused(sparse_first):
    """Its gradients are RowSparse at some steps only: the record of missed steps knows nothing of dense ones."""
    parameter = Parameter(np.zeros((3, 2)))
    optimizer = AdamW({"table": parameter})
    grads = [RowSparse(np.array([1]), np.ones((1, 2))), np.ones((3, 2))]
    first, second = grads if sparse_first else grads[::-1]
    parameter.grad = first
    optimizer.step(1e-3)
    parameter.grad = second
    with pytest.raises(ValueError, match='parameter table: .* embedding_update="dense"'):
        optimizer.step(1e-3)
    dense = AdamW({"table": parameter}, embedding_update="dense")
    for parameter.grad in (first, second):
        dense.step(1e-3)


def test_a_scalar_parameter_is_trained_as_one_of_a_single_entry():
    scalar, single = Parameter(np.array(1.3)), Parameter(np.array([1.3]))
    optimizer = AdamW({"scalar": scalar, "single": single}, weight_decay=0.1)
    for grad in (0.5, -2.0, 0.1):
        scalar.grad, single.grad = np.array(grad), np.array([grad])
        optimizer.step(1e-2)
    assert scalar.value.shape == () and scalar.value == single.value[0] != 1.3


def test_an_unknown_embedding_update_is_refused():
    with pytest.raises(ValueError, match="embedding_update: expected one of 'lazy', 'dense', got 'eager'"):
        AdamW({}, embedding_update="eager")


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_every_step_agrees_with_pytorch(decay):
    torch = pytest.importorskip("torch")
    start, grads, rates = draw((3, 2), 20)
    theirs = torch.nn.Parameter(torch.tensor(start))
    judge = torch.optim.AdamW([theirs], betas=(BETA1, BETA2), eps=EPSILON, weight_decay=decay)
    for grad, rate, ours in zip(grads, rates, train(Parameter(start.copy()), grads, rates, weight_decay=decay)):
        judge.param_groups[0]["lr"] = rate
        theirs.grad = torch.tensor(grad)
        judge.step()
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-11, atol=1e-11)
