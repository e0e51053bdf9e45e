"""AdamW, the norm and the record of a step by kernels beside NumPy's."""

import contextlib
import types

import numpy as np
import pytest

from engine.implementation import ImplementationError
from engine.layer import Parameter, RowSparse
from engine.training import adamw_cuda
from engine.training.adamw import AdamW
from engine.training.step import clip_scale, global_norm

SHAPES = [(1,), (31,), (257, 33), (4096,), (4097,)]


def train(dtype, steps, limit, context=None, weight_decay=0.05, embedding_update="lazy", more=0):
    """(parameters, optimizer, norms) after some steps of random gradients; by kernels inside a context."""
    rng = np.random.default_rng(0)
    values = {
        "table": rng.standard_normal((40, 33)),
        **{f"w{i}": rng.standard_normal(s) for i, s in enumerate([*SHAPES, *[(3,)] * more])},
    }
    parameters = {
        name: Parameter(value.astype(dtype), decay=i % 2 == 0) for i, (name, value) in enumerate(values.items())
    }
    optimizer = AdamW(parameters, weight_decay=weight_decay, embedding_update=embedding_update)
    norms = []

    def run():
        for t in range(steps):
            rows = np.sort(rng.choice(40, 7, replace=False))
            for name, parameter in parameters.items():
                sparse = name == "table"
                grad = rng.standard_normal((7, 33) if sparse else parameter.value.shape).astype(dtype)
                parameter.grad = RowSparse(rows, grad) if sparse else grad
            norms.append(one_step(optimizer, limit, 1e-2 / (1 + t), context is not None))
        optimizer.catch_up()

    if context is None:
        run()
    else:
        with context:
            run()
    return parameters, optimizer, norms


def one_step(optimizer, limit, rate, by_kernels):
    if not by_kernels:
        norm = global_norm(optimizer.parameters)
        optimizer.step(rate, clip_scale(norm, limit))
        return norm
    some = optimizer.parameters["table"].value
    optimizer.control = adamw_cuda.new_control(some) if optimizer.control is None else optimizer.control
    adamw_cuda.measure(optimizer.parameters, np.zeros((), some.dtype), limit, optimizer.control)
    optimizer.step(rate, control=optimizer.control)
    return float(optimizer.control[0])


@pytest.mark.parametrize("limit", [0.0, 50.0, 1e6])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 5e-7), (np.float64, 1e-14)])
def test_many_steps(emulated, dtype, tolerance, limit):
    parameters, optimizer, norms = train(dtype, 20, limit)
    runs = [train(dtype, 20, limit, emulated(backwards)) for backwards in (False, True)]
    for found, found_optimizer, found_norms in runs:
        np.testing.assert_allclose(found_norms, norms, rtol=1e-14)
        for name in parameters:
            np.testing.assert_allclose(
                found[name].value, parameters[name].value, rtol=0, atol=tolerance * np.abs(parameters[name].value).max()
            )
            for key in optimizer.state[name]:
                a, b = found_optimizer.state[name][key], optimizer.state[name][key]
                np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1, np.abs(b).max()))
    assert all(np.array_equal(runs[0][0][name].value, runs[1][0][name].value) for name in parameters)


def test_a_dense_table_and_more_tensors_than_a_launch_takes(emulated):
    parameters, _, _ = train(np.float64, 3, 1.0, embedding_update="dense", more=70)
    found, _, _ = train(np.float64, 3, 1.0, emulated(), embedding_update="dense", more=70)
    for name in parameters:
        # Where a value and its move cancel, their rounding stays: the terms are of size 1e-2.
        np.testing.assert_allclose(found[name].value, parameters[name].value, rtol=1e-13, atol=1e-17)


def test_sizes_of_a_real_network(emulated):
    """More columns and more blocks than a block has threads, and a record of missed steps that spans blocks."""
    trained = []
    for by_kernels in (False, True):
        rng = np.random.default_rng(0)
        values = {
            "table": rng.standard_normal((6, 300)),
            "wide": rng.standard_normal(260 * adamw_cuda.BLOCK_ENTRIES + 7),
        }
        parameters = {name: Parameter(value) for name, value in values.items()}
        optimizer = AdamW(parameters, weight_decay=0.05)
        for t in range(3):
            parameters["table"].grad = RowSparse(np.array([t, 4]), rng.standard_normal((2, 300)))
            parameters["wide"].grad = rng.standard_normal(values["wide"].shape)
            with emulated() if by_kernels else contextlib.nullcontext():
                norm = one_step(optimizer, 1.0, 1e-2, by_kernels)
            if t == 0:  # as if many steps had gone by without a row of this table
                optimizer.state["table"]["t"][...] = 500
                optimizer.state["table"].update({key: np.linspace(0, -1e-3, 512) for key in ("missed", "shrunk")})
        with emulated() if by_kernels else contextlib.nullcontext():
            optimizer.catch_up()
        trained.append((norm, optimizer))
    (norm, plain), (found, other) = trained
    assert found == pytest.approx(norm, rel=1e-14)
    for name in plain.parameters:
        np.testing.assert_allclose(other.parameters[name].value, plain.parameters[name].value, rtol=1e-12, atol=1e-15)
    for key in ("missed", "shrunk", "last", "m", "v"):
        np.testing.assert_allclose(other.state["table"][key], plain.state["table"][key], rtol=1e-12, atol=1e-18)


def test_tables_are_kept_for_the_gradients_of_a_graph_alone(emulated):
    """Others are new arrays at every step, also a table's that is made dense: kept, they would fill the device."""
    with emulated():
        parameters = {"table": Parameter(np.ones((9, 4), np.float32)), "weight": Parameter(np.ones((4, 4), np.float32))}
        recorded = {
            "table": RowSparse(np.array([1, 2]), np.ones((2, 4), np.float32)),
            "weight": np.ones((4, 4), np.float32),
        }
        for update, table, weight, kept in (
            ("lazy", *recorded.values(), 1),
            ("dense", *recorded.values(), 0),
            ("lazy", recorded["table"], None, 0),
        ):
            optimizer = AdamW(parameters, embedding_update=update)
            optimizer.graphs, control = (
                types.SimpleNamespace(lasting=set(map(id, recorded.values())), tables={}),
                np.array([1.0, 1.0, 0.0]),
            )
            for _ in range(3):
                parameters["table"].grad, parameters["weight"].grad = (
                    table,
                    recorded["weight"].copy() if weight is None else weight,
                )
                optimizer.step(1e-3, control=control)
            assert len(optimizer.graphs.tables) == kept, update


def test_after_a_number_not_finite_nothing_is_updated(emulated):
    for bad_loss, bad_grad in ((np.nan, 1.0), (0.0, np.inf), (np.inf, np.nan)):
        parameters = {"w": Parameter(np.ones((2, 3))), "table": Parameter(np.ones((4, 3)))}
        optimizer = AdamW(parameters)
        optimizer.control = adamw_cuda.new_control(np.zeros(1))
        with emulated():
            for loss, grad in ((bad_loss, bad_grad), (0.0, 1.0)):
                parameters["w"].grad, parameters["table"].grad = (
                    np.full((2, 3), grad),
                    RowSparse(np.array([1]), np.ones((1, 3))),
                )
                adamw_cuda.measure(parameters, np.asarray(loss), 1.0, optimizer.control)
                optimizer.step(0.1, control=optimizer.control)
        assert optimizer.control[2] == 1
        assert (parameters["w"].value == 1).all() and (parameters["table"].value == 1).all()
        assert not optimizer.state["w"]["m"].any()
        assert not any(optimizer.state["table"][key].any() for key in ("m", "v", "last", "missed", "shrunk"))


def test_the_record_holds_loss_norm_and_hits(emulated):
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        logits, labels, into = rng.standard_normal((600, 5)).astype(dtype), rng.integers(0, 5, 600), np.zeros(3)
        logits[3], labels[3] = 1.0, 0  # equal ones: the first counts
        with emulated():
            adamw_cuda.record(np.asarray(0.5, dtype), np.array([2.0, 1.0, 0.0]), logits, labels, into)
        assert into.tolist() == [0.5, 2.0, (logits.argmax(axis=1) == labels).sum()]


def test_what_no_kernel_can_index_is_refused():
    with pytest.raises(ValueError, match="C-contiguous"):
        adamw_cuda.address(np.zeros((3, 4)).T)


def test_checking_compares_with_the_plain_step(emulated, monkeypatch):
    monkeypatch.setenv("WAVE_C", "off")  # else it is not update() that steps
    monkeypatch.setenv("WAVE_IMPLEMENTATION", "check")
    train(np.float32, 3, 1.0, emulated())
    monkeypatch.setattr(AdamW, "update", lambda *_: None)
    with pytest.raises(ImplementationError, match="adamw"):
        train(np.float32, 1, 1.0, emulated())
