"""The gradient checker must pass what is right, catch what is wrong, and say what it could not see."""

import json
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.arrays.ragged import segment_sum, spread
from engine.gradcheck import TOLERANCES, assert_gradients, check_gradients
from engine.layer import Parameter, sum_rows

SEEDS = st.integers(0, 2**32 - 1)


class Pair(NamedTuple):
    re: np.ndarray
    im: np.ndarray


def normal(seed, *shape, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def complex_normal(seed, *shape):
    return normal(seed, *shape) + 1j * normal(seed + 1, *shape)


# --- functions whose gradients are known -------------------------------------------------------------------------


def matmul(a, b):
    return a @ b, (a, b)


def matmul_backward(dy, cache):
    a, b = cache
    return dy @ b.T, a.T @ dy


def tanh(x):
    y = np.tanh(x)
    return y, y


def tanh_backward(dy, y):
    return dy * (1.0 - y**2)


def softmax(x):
    e = np.exp(x - x.real.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, y


def softmax_backward(dy, y):
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def times_conjugate(a, b):
    return a * np.conj(b), (a, b)


def times_conjugate_backward(dz, cache):
    a, b = cache
    return dz * b, np.conj(dz) * a


def modulate(a, b):
    return Pair(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re), (a, b)


def modulate_backward(dz, cache):
    a, b = cache
    da = Pair(dz.re * b.re + dz.im * b.im, dz.im * b.re - dz.re * b.im)
    db = Pair(dz.re * a.re + dz.im * a.im, dz.im * a.re - dz.re * a.im)
    return da, db


def half_square_loss(x):
    return 0.5 * np.sum(x * x), x


def half_square_loss_backward(dy, x):
    return dy * x


def ragged_norm(w, offsets):
    """Norm of each text and column, differentiable where no column is zero."""
    norms = np.sqrt(segment_sum(w * w, offsets))
    return norms, (w, norms, offsets)


def ragged_norm_backward(dy, cache):
    w, norms, offsets = cache
    return w * spread(dy / norms, offsets)


def absolute(x):
    return np.abs(x), x


def absolute_backward(dy, x):
    return dy * np.sign(x)


def relu(x):
    return np.where(x.real > 0.0, x, 0.0 * x), x.real > 0.0


def relu_backward(dy, positive):
    return dy * positive


class TableAndBias:
    """Rows of a table plus a bias; the table's gradient is row-sparse. No input is differentiated."""

    def __init__(self, seed=0):
        self.table, self.bias = Parameter(normal(seed, 5, 3)), Parameter(normal(seed + 1, 3))

    def parameters(self):
        return {"table": self.table, "bias": self.bias}

    def forward(self, ids):
        return np.tanh(self.table.value[ids] + self.bias.value), (ids, np.tanh(self.table.value[ids] + self.bias.value))

    def backward(self, dy, cache):
        ids, y = cache
        inner = dy * (1.0 - y**2)
        self.table.accumulate(sum_rows(ids, inner))
        self.bias.accumulate(inner.sum(axis=0))


class Linear:
    """x·W, with W a parameter and x an input."""

    def __init__(self, weight):
        self.weight = Parameter(weight)

    def forward(self, x):
        return x @ self.weight.value, x

    def backward(self, dy, x):
        self.weight.accumulate(x.T @ dy)
        return dy @ self.weight.value.T


OFFSETS = np.array([0, 2, 2, 5], np.int64)
RIGHT = {
    "matmul": (matmul, matmul_backward, lambda s: (normal(s, 4, 3), normal(s + 1, 3, 2)), "complex_step"),
    "tanh": (tanh, tanh_backward, lambda s: (normal(s, 3, 4),), "complex_step"),
    "softmax": (softmax, softmax_backward, lambda s: (normal(s, 3, 4),), "complex_step"),
    "conjugate": (
        times_conjugate,
        times_conjugate_backward,
        lambda s: (complex_normal(s, 3), complex_normal(s + 2, 3)),
        "five_point",
    ),
    "pair": (
        modulate,
        modulate_backward,
        lambda s: (Pair(normal(s, 3, 2), normal(s + 1, 3, 2)), Pair(normal(s + 2, 3, 2), normal(s + 3, 3, 2))),
        "complex_step",
    ),
    "loss": (half_square_loss, half_square_loss_backward, lambda s: (normal(s, 4),), "complex_step"),
    "ragged": (ragged_norm, ragged_norm_backward, lambda s: (normal(s, 5, 2), OFFSETS), "complex_step"),
    "absolute": (absolute, absolute_backward, lambda s: (normal(s, 6),), "five_point"),
}
# The empty text of OFFSETS has norm 0: spread() never reads the 0/0 that its dy / norms would be.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")


# --- what is right passes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_pass(name):
    forward, backward, inputs, method = RIGHT[name]
    report = check_gradients(forward, backward, inputs(3))
    assert report.ok, str(report)
    assert {row.method for row in report.rows} == {method}
    assert all(row.verdict == "ok" and row.relative_error <= TOLERANCES[method] for row in report.rows)
    assert all(abs(row.numeric) > 0.0 for row in report.rows)
    assert_gradients(report)


def test_rows_cover_everything_together_and_each_block():
    forward, backward, inputs, _ = RIGHT["pair"]
    names = [row.name for row in check_gradients(forward, backward, inputs(0), directions=2).rows]
    assert names == ["all, direction 1", "all, direction 2", "input 0.re", "input 0.im", "input 1.re", "input 1.im"]


def test_other_arguments_pass_through_and_wrt_chooses():
    seen = []

    def forward(kind, x, count, offsets, nothing, factor):
        seen.append((kind, count, offsets, nothing))
        return x * factor * count, factor * count

    arguments = ("sum", normal(0, 3), 2, OFFSETS, None, normal(1, 3))
    report = check_gradients(forward, lambda dy, scale: dy * scale, arguments, wrt=[1])
    assert report.ok, str(report)
    assert all(kind == "sum" and count == 2 and o is OFFSETS and n is None for kind, count, o, n in seen)
    assert [row.name for row in report.rows] == [f"input 1, direction {k}" for k in (1, 2, 3)]


def test_scalars_of_numpy_are_settings():
    report = check_gradients(
        lambda x, factor: (x * factor, factor), lambda dy, f: dy * f, (normal(0, 3), np.float64(3.0))
    )
    assert report.ok, str(report)


def test_parameter_under_two_names_is_one_block():
    layer = Linear(normal(1, 3, 2))
    names = {"first": layer.weight, "second": layer.weight}
    report = check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters=names)
    assert report.ok and [row.name for row in report.rows[3:]] == ["input 0", "parameter first"], str(report)


def test_wrt_gives_the_order_of_the_gradients():
    a, b = normal(0, 4, 3), normal(1, 3, 2)
    swapped = check_gradients(matmul, lambda dy, c: matmul_backward(dy, c)[::-1], (a, b), wrt=[1, 0])
    assert swapped.ok, str(swapped)
    assert not check_gradients(matmul, matmul_backward, (a, b), wrt=[1, 0]).ok


def test_parameters_with_row_sparse_gradient_and_no_differentiable_input():
    layer = TableAndBias()
    layer.table.grad = kept = np.ones((5, 3))
    values = {name: p.value for name, p in layer.parameters().items()}
    report = check_gradients(layer.forward, layer.backward, (np.array([4, 1, 4, 0]),), parameters=layer.parameters())
    assert report.ok, str(report)
    assert [row.name for row in report.rows[3:]] == ["parameter table", "parameter bias"]
    assert layer.table.grad is kept and layer.bias.grad is None
    assert all(p.value is values[name] for name, p in layer.parameters().items())


def test_input_and_parameter_together():
    layer = Linear(normal(1, 3, 2))
    report = check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters={"weight": layer.weight})
    assert report.ok and report.rows[-1].name == "parameter weight", str(report)


def test_empty_batch_is_ok_but_its_shapes_are_checked():
    empty = np.zeros((0, 3))
    assert check_gradients(tanh, tanh_backward, (empty,)).ok
    report = check_gradients(tanh, lambda dy, y: np.zeros((0, 4)), (empty,))
    assert not report.ok and "shape (0, 4), expected (0, 3)" in str(report)


def test_zero_dimensional_input_and_loss():
    def forward(x):
        return x * x, x

    assert check_gradients(forward, lambda dy, x: 2.0 * dy * x, (np.array(3.0),)).ok
    assert not check_gradients(forward, lambda dy, x: dy * x, (np.array(3.0),)).ok


SCALES = st.integers(-15, 15).map(lambda e: 10.0**e)


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(sorted(RIGHT)),
    SEEDS,
    st.lists(SCALES, min_size=4, max_size=4),
    st.sampled_from(["auto", "five_point"]),
)
def test_no_false_alarm(name, seed, scales, method):
    forward, backward, inputs, _ = RIGHT[name]
    scale = iter(scales)
    scaled = [rescale(x, scale) for x in inputs(seed)]
    report = check_gradients(forward, backward, tuple(scaled), seed=seed, method=method)
    # Saturated (x = 1e15) the true gradient of tanh and softmax is 0 or below rounding: nothing to check, nothing to fail.
    saturating = name in ("tanh", "softmax") and max(scales) > 1.0
    assert not report.failures, str(report)
    assert not report.kinks, str(report)
    assert report.ok or saturating, str(report)


def rescale(x, scales):
    if isinstance(x, tuple):
        return type(x)(*(rescale(part, scales) for part in x))
    return x * next(scales) if x.dtype.kind in "fc" else x


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.sampled_from(["auto", "five_point"]))
def test_no_false_alarm_with_mixed_magnitudes_in_one_block(seed, method):
    w = normal(seed, 5, 2) * 10.0 ** np.random.default_rng(seed).uniform(-15, 15, (5, 2))
    report = check_gradients(ragged_norm, ragged_norm_backward, (w, OFFSETS), seed=seed, method=method)
    assert report.ok and not report.kinks and not report.unresolved, str(report)


# --- negative controls: what is wrong is caught ------------------------------------------------------------------


def off_in_small_block(relative):
    """x·W + b with b 1e-6 of the rest, and the gradient of b off by a relative amount."""

    def forward(x, w, b):
        return x @ w + b, (x, w)

    def backward(dy, cache):
        x, w = cache
        return dy @ w.T, x.T @ dy, dy.sum(axis=0) * (1.0 + relative)

    return forward, backward, lambda s: (normal(s, 40, 6), normal(s + 1, 6, 2), normal(s + 2, 2, scale=1e-6))


def row_mean(x):
    return x - x.mean(axis=0, keepdims=True), x.shape


def stale(forward, backward):
    """forward that hands out the cache of its first call ever: of another point."""
    kept = []

    def stale_forward(*inputs):
        y, cache = forward(*inputs)
        if not kept:
            kept.append(forward(*(x + 0.1 for x in inputs))[1])
        return y, kept[0]

    return stale_forward, backward


def cache_on_the_side():
    """A function that keeps its cache to itself, so that the latest call wins."""
    state = {}

    def forward(x):
        state["y"] = np.tanh(x)
        return state["y"], None

    return forward, lambda dy, _: tanh_backward(dy, state["y"])


def conjugate_missing(dz, cache):
    a, b = cache
    return dz * np.conj(b), np.conj(dz) * a


def pair_conjugate_missing(dz, cache):
    a, b = cache
    return Pair(dz.re * b.re - dz.im * b.im, dz.im * b.re + dz.re * b.im), modulate_backward(dz, cache)[1]


def wrong_segment(dy, cache):
    w, norms, offsets = cache
    return ragged_norm_backward(dy, (w, norms, np.array([0, 3, 3, 5], np.int64)))


def one_entry_off(dy, y):
    dx = tanh_backward(dy, y)
    dx[1, 2] *= 1.0 + 1e-9
    return dx


def square_inputs(s):
    return normal(s, 3, 3), normal(s + 1, 3, 3)


WRONG = {
    "wrong sign": (tanh, lambda dy, y: -tanh_backward(dy, y), RIGHT["tanh"][2]),
    "missing term": (softmax, lambda dy, y: y * dy, RIGHT["softmax"][2]),
    "missing factor": (half_square_loss, lambda dy, x: 0.5 * dy * x, RIGHT["loss"][2]),
    "cotangent forgotten": (half_square_loss, lambda dy, x: x, RIGHT["loss"][2]),
    "missing conjugate": (times_conjugate, conjugate_missing, RIGHT["conjugate"][2]),
    "missing conjugate of a pair": (modulate, pair_conjugate_missing, RIGHT["pair"][2]),
    "wrong axis": (row_mean, lambda dy, _: dy - dy.mean(axis=1, keepdims=True), lambda s: (normal(s, 4, 4),)),
    "wrong segment": (ragged_norm, wrong_segment, RIGHT["ragged"][2]),
    "stale cache": (*stale(tanh, tanh_backward), RIGHT["tanh"][2]),
    "cache on the side": (*cache_on_the_side(), RIGHT["tanh"][2]),
    "1e-6 off in one small block": off_in_small_block(1e-6),
    "1e-9 off": (tanh, lambda dy, y: tanh_backward(dy, y) * (1.0 + 1e-9), RIGHT["tanh"][2]),
    "1e-9 off in one entry": (tanh, one_entry_off, RIGHT["tanh"][2]),
    "transposed": (matmul, lambda dy, c: (matmul_backward(dy, c)[0].T, matmul_backward(dy, c)[1]), square_inputs),
    "swapped": (matmul, lambda dy, c: matmul_backward(dy, c)[::-1], square_inputs),
    "zero": (tanh, lambda dy, y: 0.0 * y, RIGHT["tanh"][2]),
    "same blindness as complex step": (
        lambda x: (x * np.abs(x), x),
        lambda dy, x: dy * np.abs(x),
        RIGHT["absolute"][2],
    ),
}


@pytest.mark.parametrize("name", WRONG)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_wrong_gradients_are_caught(name, seed):
    forward, backward, inputs = WRONG[name]
    report = check_gradients(forward, backward, inputs(seed % 1000), seed=seed)
    assert report.failures and not report.ok, str(report)
    with pytest.raises(AssertionError, match="FAIL"):
        assert_gradients(report)


GROSS = sorted(set(WRONG) - {"1e-9 off", "1e-9 off in one entry", "1e-6 off in one small block"})


@pytest.mark.parametrize("name", GROSS)
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_wrong_gradients_are_caught_by_five_point_alone(name, seed):
    forward, backward, inputs = WRONG[name]
    report = check_gradients(forward, backward, inputs(seed % 1000), seed=seed, method="five_point")
    assert report.failures, str(report)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SCALES, SCALES)
def test_wrong_sign_is_caught_at_every_scale_of_the_blocks(seed, left, right):
    inputs = (normal(seed, 4, 3, scale=left), normal(seed + 1, 3, 2, scale=right))
    report = check_gradients(matmul, lambda dy, c: (dy @ c[1].T, -c[0].T @ dy), inputs, seed=seed)
    assert {row.name for row in report.failures} >= {"input 1"}, str(report)
    assert "input 0" not in {row.name for row in report.failures}


def test_gradient_of_an_entry_far_smaller_than_its_block_is_seen():
    def slightly_wrong(dy, y):
        return tanh_backward(dy, y) * (1.0 + 1e-8 * np.array([0.0, 1.0, 0.0, 0.0]))

    assert check_gradients(tanh, slightly_wrong, (np.array([1.0, 1e-4, -1.0, 0.5]),)).failures


def test_small_block_is_found_by_its_own_direction_only():
    forward, backward, inputs = off_in_small_block(1e-3)
    report = check_gradients(forward, backward, inputs(0), method="five_point", tolerance=1e-6)
    assert [row.name for row in report.failures] == ["input 2"], str(report)


def test_parameter_whose_gradient_is_never_accumulated():
    layer = TableAndBias()
    layer.bias.accumulate = lambda grad: None
    report = check_gradients(layer.forward, layer.backward, (np.array([0, 2]),), parameters=layer.parameters())
    assert "parameter bias" in {row.name for row in report.failures}
    assert "parameter table" not in {row.name for row in report.failures}


def test_gradient_left_from_before_is_not_counted():
    layer = Linear(normal(1, 3, 2))
    layer.weight.grad = np.full((3, 2), 100.0)
    assert check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters={"weight": layer.weight}).ok


def test_gradient_of_a_function_that_does_not_depend_on_its_input():
    def forward(x, unused):
        return 2.0 * x, None

    inputs = (normal(0, 3), normal(1, 3))
    assert check_gradients(forward, lambda dy, _: (2.0 * dy, 0.0 * dy), inputs).ok
    report = check_gradients(forward, lambda dy, _: (2.0 * dy, dy), inputs)
    row = next(row for row in report.rows if row.name == "input 1")
    assert row.verdict == "FAIL" and row.numeric == 0.0 and row.relative_error == np.inf


def test_softmax_is_not_blind():
    """An all-ones cotangent would make every softmax gradient vanish."""
    seen = []

    def backward(dy, y):
        seen.append(dy)
        return softmax_backward(dy, y)

    report = check_gradients(softmax, backward, (normal(0, 3, 4),))
    assert report.ok and all(abs(row.numeric) > 1e-4 for row in report.rows)
    (dy,) = seen
    assert np.std(dy) > 0.1 * np.abs(dy).max() and np.abs(dy).min() >= 0.1 / np.sqrt(dy.size)


# --- methods and their fallbacks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forward", "backward", "reason"),
    [
        (absolute, absolute_backward, "imaginary part was dropped"),
        (lambda x: (x * np.abs(x), x), lambda dy, x: 2.0 * dy * np.abs(x), "differ by"),
        (lambda x: (np.hypot(x, 1.0), x), lambda dy, x: dy * x / np.hypot(x, 1.0), "TypeError"),
        (lambda x: (np.linalg.norm(x), x), lambda dy, x: dy * x / np.linalg.norm(x), "dropped"),
    ],
)
def test_functions_that_are_not_analytic_fall_back_to_five_point(forward, backward, reason):
    report = check_gradients(forward, backward, (normal(0, 5),))
    assert report.ok and {row.method for row in report.rows} == {"five_point"}, str(report)
    assert len(report.notes) == 1 and reason in report.notes[0] and report.notes[0] in str(report)
    with pytest.raises(ValueError, match="method: complex_step"):
        if reason == "differ by":  # only the cross-check of "auto" can see this
            assert not check_gradients(forward, backward, (normal(0, 5),), method="complex_step").ok
            raise ValueError("method: complex_step")
        check_gradients(forward, backward, (normal(0, 5),), method="complex_step")


@pytest.mark.parametrize("weight", [1e-4, 1e-6, 1e-7])
def test_a_small_term_that_is_not_analytic_is_seen(weight):
    """A penalty of absolute values, of which complex step sees nothing."""
    x, w = normal(0, 5, 4), normal(1, 4)
    forward = lambda w: (((x @ w) ** 2).sum() + weight * np.abs(w).sum(), w)  # noqa: E731
    right = lambda dy, w: dy * (2.0 * x.T @ (x @ w) + weight * np.sign(w))  # noqa: E731
    report = check_gradients(forward, right, (w,))
    assert report.ok and "five-point instead of complex step" in report.notes[0], str(report)
    if weight > 1e-7:  # below it is within the tolerance of the stencil
        assert check_gradients(forward, lambda dy, w: dy * 2.0 * x.T @ (x @ w), (w,)).failures


def test_refusal_of_complex128_by_value_error_falls_back():
    def forward(x):
        if x.dtype != np.float64:
            raise ValueError("x: expected float64")
        return tanh(x)

    report = check_gradients(forward, tanh_backward, (normal(0, 5),))
    assert report.ok and "ValueError" in report.notes[0] and "expected float64" in report.notes[0]


@pytest.mark.parametrize(
    ("on_complex", "reason"),
    [
        (lambda y: y * np.nan, "NaN or infinite on complex128"),
        (lambda y: y[:1], "has shape (1,) on complex128"),
        (lambda y: (y, y), "returned 2 arrays on complex128"),
    ],
)
def test_other_results_on_complex128_fall_back(on_complex, reason):
    def forward(x):
        y = np.tanh(x)
        return (on_complex(y) if x.dtype.kind == "c" else y), y

    report = check_gradients(forward, tanh_backward, (normal(0, 5),))
    assert report.ok and reason in report.notes[0], str(report)


def test_writing_into_a_real_array_counts_as_dropping():
    def forward(x):
        y = np.zeros(x.shape)
        y[...] = x * x
        return y, x

    report = check_gradients(forward, lambda dy, x: 2.0 * dy * x, (normal(0, 5),))
    assert report.ok and "ComplexWarning" in report.notes[0]


def test_step_and_tolerance_of_the_caller_are_used():
    def slightly_wrong(dy, y):
        return tanh_backward(dy, y) * (1.0 + 1e-5)

    inputs = (normal(0, 3, 4),)
    assert check_gradients(tanh, slightly_wrong, inputs, tolerance=1e-4).ok
    assert not check_gradients(tanh, slightly_wrong, inputs, tolerance=1e-7, method="five_point").ok
    report = check_gradients(tanh, tanh_backward, inputs, method="five_point", step=3e-4)
    assert report.step == 3e-4 and {row.step for row in report.rows} == {3e-4} and report.ok


# --- kinks, noise, NaN -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "five_point"])
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_relu_at_zero_is_a_kink(method, seed):
    x = normal(seed, 6)
    x[2] = 0.0
    report = check_gradients(relu, relu_backward, (x,), seed=seed, method=method)
    assert [row.verdict for row in report.rows] == ["kink"] * 3 + ["ok"] and report.ok, str(report)
    assert report.rows[-1].name == "input 0, away from kinks"
    assert check_gradients(relu, relu_backward, (x,), seed=seed, method=method, kink="fail").failures


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
def test_a_block_that_only_moves_at_kinks_is_not_passed(method):
    report = check_gradients(relu, relu_backward, (np.zeros(3),), method=method)
    assert len(report.kinks) == 3 == len(report.rows) and not report.ok and report.unchecked == ("input 0",), str(
        report
    )
    with pytest.raises(AssertionError, match="input 0: nothing is known of its gradient"):
        assert_gradients(report)
    assert '"unchecked": [\n  "input 0"\n ]' in report.to_json()


def padded_layer(scale_x=1.0, scale_b=1.0):
    """relu(x·w + b) where rows of x and all of b are 0, with gradients of x and b off by these factors."""

    def forward(x, w, b):
        z = x @ w + b
        return z * (z.real > 0), (x, w, z.real > 0)

    def backward(dy, cache):
        x, w, positive = cache
        dz = dy * positive
        return scale_x * (dz @ w.T), x.T @ dz, scale_b * dz.sum(axis=0)

    x = normal(0, 8, 5)
    x[5:] = 0.0
    return forward, backward, (x, normal(1, 5, 4), np.zeros(4))


@pytest.mark.parametrize("method", ["auto", "five_point", "richardson"])
def test_kinks_do_not_hide_a_wrong_gradient_beside_them(method):
    """The rows of w are smooth, those of x and b are not: they vouch for w alone."""
    for scale in (0.0, 0.5, 1.1):
        report = check_gradients(*padded_layer(scale_x=scale), method=method)
        assert report.failures and all(row.name.startswith("input 0") for row in report.failures), str(report)
    assert [row.name for row in report.failures] == ["input 0, away from kinks"], str(report)
    for scale in (0.0, 0.5, 1.0):
        report = check_gradients(*padded_layer(scale_b=scale), method=method)
        assert report.unchecked == ("input 2",) and not report.ok, str(report)
    forward, backward, (x, w, b) = padded_layer()
    assert check_gradients(forward, backward, (x, w, b + 0.1), method=method).ok
    assert check_gradients(
        lambda x, w: forward(x, w, b), lambda dy, cache: backward(dy, cache)[:2], (x, w), method=method
    ).ok


def test_kink_in_one_block_leaves_the_other_checked():
    def forward(x, z):
        return (relu(x)[0], np.tanh(z)), (x.real > 0.0, np.tanh(z))

    def backward(dy, cache):
        return relu_backward(dy[0], cache[0]), tanh_backward(dy[1], cache[1])

    report = check_gradients(forward, backward, (np.array([1.0, 0.0]), normal(0, 3)))
    assert report.ok and [(row.name, row.verdict) for row in report.rows[3:]] == [
        ("input 0", "kink"),
        ("input 0, away from kinks", "ok"),
        ("input 1", "ok"),
    ], str(report)


def test_kink_does_not_excuse_a_gross_error():
    x = np.array([0.0, 1.0, -2.0, 3.0])
    assert check_gradients(relu, lambda dy, p: -30.0 * dy * p, (x,)).failures
    at_zero = lambda slope: check_gradients(relu, lambda dy, p: np.where(x == 0.0, slope * dy, dy * p), (x,))  # noqa: E731
    assert at_zero(0.0).ok and at_zero(0.5).ok and at_zero(1.0).ok
    assert len(at_zero(4.0).failures) == 3  # any in [0, 1] would do


def test_the_worst_entry_is_not_the_one_that_is_right_by_convention():
    x = np.array([0.0, 1.0, -2.0, 3.0])
    report = check_gradients(relu, lambda dy, p: 0.7 * dy * p, (x,), kink="fail")
    assert report.failures[0].entry[:3] in ("[1]", "[3]"), str(report)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(-6, 3), st.sampled_from(["auto", "five_point"]))
def test_away_from_the_kink_absolute_and_relu_are_fine(seed, exponent, method):
    """Distances down to 1e-6 of the other entries: the step shrinks until the kink is out of reach."""
    x = normal(seed, 6)
    x[0] = 10.0**exponent
    for forward, backward in ((absolute, absolute_backward), (relu, relu_backward)):
        report = check_gradients(forward, backward, (x,), seed=seed, method=method)
        assert report.ok and not report.kinks and not report.unresolved, str(report)


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(-6, -4))
def test_step_shrinks_near_a_kink_that_is_not_at_zero(seed, exponent):
    """Nearer than about 1e-6 of the input, rounding leaves no step to shrink to, and a kink is reported."""
    x = normal(seed, 3) + 5.0
    x[0] = 1.0 + 10.0**exponent
    report = check_gradients(lambda x: relu(x - 1.0), relu_backward, (x,), seed=seed, method="five_point")
    assert report.ok and not report.kinks and not report.unresolved, str(report)


def test_flat_point_is_no_kink():
    report = check_gradients(lambda x: (x**4, x), lambda dy, x: 4.0 * dy * x**3, (np.zeros(3),), method="five_point")
    assert report.ok and not report.kinks, str(report)


def test_step_stays_where_the_function_is_smooth():
    backward = lambda dy, x: 10.0 * dy * np.cos(10.0 * x)  # noqa: E731
    report = check_gradients(lambda x: (np.sin(10.0 * x), x), backward, (normal(0, 3),), method="five_point")
    assert report.ok and {row.step for row in report.rows} == {1e-4}, str(report)


def test_jump_is_reported():
    report = check_gradients(lambda x: (np.sign(x) + x, None), lambda dy, _: dy, (np.array([0.0, 1.0, 2.0]),))
    assert len(report.kinks) == 3 and not report.failures, str(report)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.sampled_from([np.exp, np.square, np.sin, lambda x: x**5]))
def test_curvature_is_no_kink(seed, function):
    derivative = {np.exp: np.exp, np.square: lambda x: 2.0 * x, np.sin: np.cos}.get(function, lambda x: 5.0 * x**4)
    x = normal(seed, 6, scale=10.0)
    x[0] = 0.0
    report = check_gradients(
        lambda x: (function(x), x), lambda dy, x: dy * derivative(x), (x,), seed=seed, method="five_point"
    )
    assert report.ok and not report.kinks, str(report)


def test_gradient_that_drowns_in_rounding_is_named_and_not_passed():
    """Softmax sums to 1 whatever its input: both sides are rounding errors."""

    def forward(x):
        y, _ = softmax(x)
        return y.sum(), y

    def backward(dy, y):
        return softmax_backward(dy * np.ones_like(y), y)

    for method in ("auto", "five_point"):
        report = check_gradients(forward, backward, (normal(0, 7, scale=3.0),), method=method)
        assert report.unresolved and not report.failures and not report.kinks, str(report)
        assert all(row.verdict == "noise" for row in report.rows if row.absolute_error > 0.0), str(report)
    assert check_gradients(forward, lambda dy, y: dy * y, (normal(0, 7),)).failures


def test_complex_step_is_not_excused_by_the_rounding_of_values():
    """It takes no differences: a small term beside a large one is as exact as if it were alone."""
    forward = lambda x, b: (1e6 * (x * x).sum() + 1e-11 * (b**3).sum(), (x, b))  # noqa: E731
    backward = lambda sign: lambda dy, c: (dy * 2e6 * c[0], sign * 3e-11 * dy * c[1] ** 2)  # noqa: E731
    inputs = (np.full(3, 1.5), np.full(3, 2.0))
    right, wrong = (check_gradients(forward, backward(sign), inputs) for sign in (1.0, -1.0))
    assert right.ok and not right.unresolved, str(right)
    assert [row.name for row in wrong.failures] == ["input 1"], str(wrong)


@pytest.mark.parametrize("method", ["auto", "complex_step", "five_point"])
@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_an_input_without_influence_is_no_failure(method, seed):
    """A bias that the mean takes away again: what is left of it is rounding."""

    def forward(x, bias):
        y = x + bias
        return y - y.mean(axis=1, keepdims=True), None

    def backward(dy, _):
        dx = dy - dy.mean(axis=1, keepdims=True)
        return dx, dx.sum()

    report = check_gradients(forward, backward, (normal(seed, 4, 7), np.array(0.3)), seed=seed, method=method)
    assert report.ok, str(report)


def saturated(seed):
    """tanh of 6 to 16: 1 − y² has between ten digits and none."""
    return (np.random.default_rng(seed).uniform(6.0, 16.0, 5),)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_saturated_tanh_is_no_failure_but_a_wrong_one_is(seed):
    right = check_gradients(tanh, tanh_backward, saturated(seed), seed=seed)
    assert not right.failures and not right.kinks, str(right)
    wrong = check_gradients(tanh, lambda dy, y: -tanh_backward(dy, y), (np.full(5, 9.0),), seed=seed)
    assert wrong.failures, str(wrong)


def test_rounding_of_backward_in_one_entry_beside_large_ones_is_no_failure():
    """The large entries stretch the direction, which makes the lost digits of the small entry's 1 − y² visible."""
    for entry in np.linspace(8.0, 12.0, 9):
        report = check_gradients(tanh, tanh_backward, (np.array([entry, 3e3, -8e3, 1e4]),))
        assert not report.failures, str(report)


def test_backward_that_is_not_repeatable_is_not_excused_as_rounding():
    rng = np.random.default_rng(0)
    unsteady = lambda dy, y: tanh_backward(dy, y) + 1e-13 * rng.normal(size=dy.shape)  # noqa: E731
    report = check_gradients(tanh, unsteady, (np.full(5, 9.0),))
    assert len(report.failures) == 3, str(report)


def test_small_input_beside_a_large_bias_is_seen_by_a_wider_step():
    def forward(x, b):
        return x @ np.array([[1.0, -2.0], [0.5, 3.0]]) + b, None

    def backward(sign):
        return lambda dy, _: (sign * dy @ np.array([[1.0, -2.0], [0.5, 3.0]]).T, dy.sum(axis=0))

    inputs = (normal(0, 3, 2, scale=1e-12), np.ones(2))
    right = check_gradients(forward, backward(1.0), inputs, method="five_point")
    assert right.ok and not right.unresolved, str(right)
    wrong = check_gradients(forward, backward(-1.0), inputs, method="five_point")
    assert [row.name for row in wrong.failures] == ["input 0"], str(wrong)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite_is_named(bad):
    x = normal(0, 4)
    x[1] = bad
    assert "input 0: 1 of 4 entries are NaN or infinite" in str(check_gradients(tanh, tanh_backward, (x,)))
    report = check_gradients(lambda x: (x * np.array([1.0, bad, 1.0, 1.0]), None), tanh_backward, (np.ones(4),))
    assert not report.ok and "output: 1 of 4 entries are NaN or infinite" in str(report)
    report = check_gradients(tanh, lambda dy, y: dy * np.array([1.0, bad, 1.0, 1.0]), (np.ones(4),))
    assert not report.ok and "1 of 4 entries of its gradient are NaN or infinite" in str(report)
    with pytest.raises(AssertionError, match="entries of its gradient"):
        assert_gradients(report)


def test_nan_beside_the_point_fails():
    report = check_gradients(lambda x: (np.sqrt(x), x), lambda dy, x: dy, (np.array([0.0, 1.0]),), method="five_point")
    assert len(report.failures) == 3 and "NaN or infinite along the direction" in str(report)


def test_random_forward_is_named():
    rng = np.random.default_rng(0)
    report = check_gradients(lambda x: (x * (rng.random(x.shape) > 0.5), x), lambda dy, x: dy, (normal(0, 8),))
    assert not report.ok and "different results for the same inputs" in str(report)


# --- wrong forms of gradients and arguments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (lambda da, db: (da,), "returned 1 gradients, expected 2, for input 0, input 1"),
        (lambda da, db: da, "returned one ndarray, expected 2"),
        (lambda da, db: None, "returned one NoneType, expected 2"),
        (lambda da, db: (da, None), "input 1: its gradient is None"),
        (lambda da, db: (da[0], db), "input 0: its gradient has shape (3,), expected (4, 3)"),
        (lambda da, db: (da, db.astype(np.float32)), "input 1: its gradient has dtype float32, expected float64"),
        (lambda da, db: (da + 0j, db), "input 0: its gradient has dtype complex128, expected float64"),
        (
            lambda da, db: ((da, da), db),
            "input 0: its gradient must have the parts input 0, got input 0[0], input 0[1]",
        ),
        (lambda da, db: ("da", db), "input 0: its gradient is a str"),
    ],
)
def test_wrong_form_of_gradients_fails_with_its_name(returned, text):
    report = check_gradients(
        matmul, lambda dy, c: returned(*matmul_backward(dy, c)), (normal(0, 4, 3), normal(1, 3, 2))
    )
    assert not report.ok and text in str(report), str(report)


def test_sound_blocks_are_checked_beside_one_of_wrong_shape():
    backward = lambda dy, c: (matmul_backward(dy, c)[0][0], -matmul_backward(dy, c)[1])  # noqa: E731
    report = check_gradients(matmul, backward, (normal(0, 4, 3), normal(1, 3, 2)))
    assert [(row.name, row.numeric is None) for row in report.failures] == [("input 0", True), ("input 1", False)]


def test_single_gradients_may_be_bare_or_wrapped():
    pair = Pair(normal(0, 3), normal(1, 3))

    def forward(z):
        return z.re * z.im, z

    for backward in (lambda dy, z: Pair(dy * z.im, dy * z.re), lambda dy, z: (Pair(dy * z.im, dy * z.re),)):
        assert check_gradients(forward, backward, (pair,)).ok
    assert check_gradients(tanh, lambda dy, y: (tanh_backward(dy, y),), (normal(0, 3),)).ok


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"inputs": (np.ones(3, np.float32),)}, "input 0: expected dtype float64 or complex128, got float32"),
        ({"inputs": (np.ones(3, np.complex64),)}, "input 0: .* got complex64"),
        ({"inputs": np.ones(3)}, "inputs: expected a tuple"),
        ({"inputs": (3,)}, "inputs: nothing to differentiate"),
        ({"inputs": ((np.ones(3), 2),)}, "input 0: a tuple that mixes"),
        ({"inputs": (np.ones(3),), "wrt": [1]}, "wrt: there is no input 1"),
        ({"inputs": (np.ones(3), 4), "wrt": [1]}, "wrt: input 1 is no float array"),
        ({"inputs": (np.ones(3),), "method": "forward"}, "method: expected one of"),
        ({"inputs": (np.ones(3),), "kink": "hide"}, "kink: expected one of"),
        ({"inputs": (np.ones(3),), "directions": 0}, "directions: expected at least 1"),
        ({"inputs": (np.ones(3) * 1j,), "method": "complex_step"}, "complex_step needs real"),
        ({"inputs": (2,), "parameters": {"w": Parameter(np.ones(3, np.float32))}}, "parameter w: .* float32"),
    ],
)
def test_wrong_arguments_raise(arguments, text):
    with pytest.raises(ValueError, match=text):
        check_gradients(tanh, tanh_backward, **arguments)


def test_float32_output_fails():
    report = check_gradients(lambda x: (x.astype(np.float32), None), lambda dy, _: dy, (np.ones(3),))
    assert not report.ok and "output: dtype float32" in str(report)


# --- nothing is left behind --------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls_before_failure", [0, 1, 4, 9])
def test_parameters_are_restored_after_an_exception(calls_before_failure):
    layer = Linear(normal(1, 3, 2))
    value, layer.weight.grad = layer.weight.value, np.ones((3, 2))
    grad, copy, calls = layer.weight.grad, value.copy(), []

    def forward(x):
        calls.append(layer.weight.value.dtype)
        if len(calls) > calls_before_failure and layer.weight.value.dtype == np.float64:
            raise RuntimeError("broken")
        return layer.forward(x)

    with pytest.raises(RuntimeError, match="broken"):
        check_gradients(forward, layer.backward, (normal(0, 4, 3),), parameters={"weight": layer.weight})
    assert layer.weight.value is value and layer.weight.grad is grad and np.array_equal(value, copy)


def test_parameters_are_restored_after_an_exception_in_backward():
    layer = Linear(normal(1, 3, 2))
    value = layer.weight.value

    def backward(dy, cache):
        layer.backward(dy, cache)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        check_gradients(layer.forward, backward, (normal(0, 4, 3),), parameters={"weight": layer.weight})
    assert layer.weight.value is value and layer.weight.grad is None


def test_inputs_are_not_changed_even_by_a_forward_that_writes_into_them():
    def forward(x):
        x *= 2.0
        return x * x, x.copy()

    x = normal(0, 4)
    copy = x.copy()
    report = check_gradients(forward, lambda dy, doubled: 4.0 * dy * doubled, (x,))
    assert report.ok and np.array_equal(x, copy), str(report)


def test_same_seed_same_report_and_other_seed_other_directions():
    inputs = (normal(0, 3, 4),)
    first, again, other = (check_gradients(tanh, tanh_backward, inputs, seed=s) for s in (5, 5, 6))
    assert first == again and first.rows[0].numeric != other.rows[0].numeric


# --- the report --------------------------------------------------------------------------------------------------


def test_report_as_table_and_json():
    layer = Linear(normal(1, 3, 2))
    parameters = {"hidden.weight": layer.weight}
    report = check_gradients(layer.forward, layer.backward, (normal(0, 4, 3),), parameters=parameters, seed=7)
    lines = str(report).splitlines()
    assert lines[0].startswith("gradient check ok: 5 ok, worst: ")
    assert lines[-1] == "seed 7, float64, numpy, step 1e-30, tolerance 1e-12"
    table = lines[1:7]
    ends = {line.rindex(" ") for line in table}
    assert len(ends) == 1, "the columns are not aligned"
    assert "parameter hidden.weight" in table[-1]
    whole = json.loads(report.to_json())
    assert whole["ok"] is True and whole["seed"] == 7 and whole["dtype"] == "float64" and whole["backend"] == "numpy"
    assert whole["worst"] == report.worst.name and len(whole["rows"]) == 5
    row = report.rows[0]
    assert whole["rows"][0]["numeric"] == row.numeric and row.tolerance_used == 100.0 * row.relative_error / 1e-12
    assert abs(row.absolute_error - abs(row.numeric - row.analytic)) == 0.0


def test_infinite_errors_stay_readable_in_json():
    report = check_gradients(lambda x: (np.ones(2) + 0.0 * x, None), lambda dy, _: dy, (np.ones(2),))
    assert json.loads(report.to_json())["rows"][0]["relative_error"] == "inf"


def test_worst_row_is_the_failing_one():
    report = check_gradients(matmul, lambda dy, c: (dy @ c[1].T, -c[0].T @ dy), (normal(0, 4, 3), normal(1, 3, 2)))
    assert report.worst.verdict == "FAIL" and report.worst.tolerance_used == max(r.tolerance_used for r in report.rows)


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (-1.0, "wrong sign"),
        (2.0, "is 2 times what it must be"),
        (0.5, "is 0.5 times"),
        (0.0, "its gradient is zero"),
        (1.0 + 1e-6, "nearly right"),
    ],
)
def test_assertion_says_what_to_look_for(factor, text):
    with pytest.raises(AssertionError, match=text):
        assert_gradients(check_gradients(tanh, lambda dy, y: factor * tanh_backward(dy, y), (normal(0, 5),)))
