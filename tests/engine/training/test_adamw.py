"""AdamW against its equation, written out once more in plain float64."""

import numpy as np
import pytest

from engine.layer import Parameter, RowSparse
from engine.training.adamw import AdamW
from tests.support.adamw_steps import BETA1, BETA2, EPSILON, ROWS, draw, reference, sparse_steps, train


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


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_dense_updates_treat_absent_rows_as_a_gradient_of_zero(decay):
    start, grads, dense, rates = sparse_steps(ROWS)
    values = train(Parameter(start.copy()), grads, rates, weight_decay=decay, embedding_update="dense")
    np.testing.assert_allclose(values, reference(start, dense, rates, decay), rtol=1e-12, atol=1e-12)


# The second list leaves rows alone for longer than the powers of r take to fade.


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
def test_a_table_row_sparse_at_some_steps_only_is_refused(sparse_first):
    """The record of missed steps knows nothing of dense ones."""
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
