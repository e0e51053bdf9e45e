"""The contract that every function pair and network of gradcheck keeps, in both directions."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from layers.experiments.gradcheck import cases, wave_draws
from layers.experiments.gradcheck.cases import CASES
from tests.support.layer_laws import Run, arrays, assert_equal, distance, offsets_of, to_bytes, tree_map

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
PAIRS = [case for case in CASES if not case.name.startswith("network")]
LOSSES = ("E15", "E24")  # their backward takes a real scalar
FLOAT32_BOUND = 1e-5


@every_case
@both_dtypes
def test_both_directions_are_pure_and_repeatable(case, dtype):
    """Neither changes its inputs, parameters, cotangent or cache; the same call gives the same bits."""
    run = Run(case, dtype=dtype)
    dy = run.cotangent(dtype=dtype)
    values = [p.value for p in run.parameters.values()]
    before = to_bytes((run.inputs, values, run.cache, run.y, dy))
    gradients = to_bytes(run.backward(dy))
    assert to_bytes(run.backward(dy)) == gradients
    assert to_bytes(run.forward(*run.inputs)[0]) == to_bytes(run.y)
    assert to_bytes((run.inputs, values, run.cache, run.y, dy)) == before


@every_case
def test_both_directions_work_on_read_only_arrays(case):
    run = Run(case)
    dy = run.cotangent()
    expected = to_bytes(run.backward(dy))
    for array in arrays((run.inputs, [p.value for p in run.parameters.values()], run.cache, dy)):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    run.forward(*run.inputs)
    assert to_bytes(run.backward(dy)) == expected


@every_case
@both_dtypes
def test_a_cotangent_of_zero_gives_exactly_zero(case, dtype):
    run = Run(case, dtype=dtype)
    assert not any(g.any() for g in run.backward(tree_map(np.zeros_like, run.y)))


@every_case
def test_backward_is_linear_in_the_cotangent(case):
    run = Run(case)
    first, second = run.cotangent(1), run.cotangent(2)
    mixed = iter([np.asarray(2.0 * a - 0.5 * b)[()] for a, b in zip(arrays(first), arrays(second))])
    actual = run.backward(tree_map(lambda _: next(mixed), run.y))
    expected = [2.0 * a - 0.5 * b for a, b in zip(run.backward(first), run.backward(second))]
    assert_equal(actual, expected, 1e-12)


@pytest.mark.parametrize(
    "case", [case for case in PAIRS if case.analytic and not case.name.startswith(LOSSES)], ids=lambda case: case.name
)
def test_backward_is_linear_over_the_complex_numbers(case):
    """The gradient of u + i·v is that of u and i times that of v, so that complex step differentiates backward, too."""
    run = Run(case)
    u, v = run.cotangent(1), run.cotangent(2)
    both = iter([a + 1j * b for a, b in zip(arrays(u), arrays(v))])
    found = run.backward(tree_map(lambda _: next(both), run.y))
    assert_equal([a.real for a in found], run.backward(u), 1e-12)
    assert_equal([a.imag for a in found], run.backward(v), 1e-12)


@every_case
@both_dtypes
def test_shapes_and_dtypes_follow_the_inputs(case, dtype):
    run = Run(case, dtype=dtype)
    found = run.backward(run.cotangent(dtype=dtype))
    floats = [x for x in arrays(run.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    wanted = [*floats, *(p.value for p in run.parameters.values())]
    assert [(g.shape, g.dtype) for g in found] == [(x.shape, x.dtype) for x in wanted]
    assert all(y.dtype == dtype for y in arrays(run.y))


@every_case
def test_float32_agrees_with_float64(case):
    for seed in range(3):
        single, double = Run(case, seed, np.float32), Run(case, seed)
        dy = single.cotangent(dtype=np.float32)
        assert distance(tree_map(np.float64, single.y), double.y) <= FLOAT32_BOUND, seed
        wide = tree_map(lambda a: a.astype(np.float64), dy)
        for gradient, expected in zip(single.backward(dy), double.backward(wide), strict=True):
            assert np.linalg.norm(gradient - expected) <= FLOAT32_BOUND * np.linalg.norm(expected), seed


LAYOUTS = {
    "Fortran order": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second column": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "reversed": lambda x: x[::-1].copy()[::-1],
}


@every_case
def test_the_memory_layout_does_not_matter(case):
    plain = Run(case)
    dy = plain.cotangent()
    expected = plain.backward(dy)
    for name, layout in LAYOUTS.items():
        other = Run(case, layout=layout)
        laid_out = tree_map(lambda a, layout=layout: layout(a) if isinstance(a, np.ndarray) and a.ndim else a, dy)
        assert distance(other.y, plain.y) <= 1e-14, name
        assert distance(other.backward(laid_out), expected) <= 1e-13, name


TEXTS = {"no text": [], "empty texts": [0, 0], "one token each": [1, 1, 1], "one token beside nothing": [0, 1, 0]}


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: case.name)
@both_dtypes
def test_texts_of_one_token_or_none_stay_finite(case, dtype, monkeypatch):
    """Values and gradients have their shapes and dtypes there too; what is not cut into texts is as it is elsewhere."""
    for name, lengths in TEXTS.items():
        offsets = offsets_of(lengths)
        bag = lambda rng, cut=offsets: Bag(rng.integers(0, 4, cut[-1]), None, cut)  # noqa: E731
        for module in (cases, wave_draws):
            monkeypatch.setattr(module, "random_offsets", lambda rng, cut=offsets: cut)
            monkeypatch.setattr(module, "random_bag", bag)
        run = Run(case, dtype=dtype)
        found = run.backward(run.cotangent(dtype=dtype))
        floats = [x for x in arrays(run.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
        wanted = [*floats, *(p.value for p in run.parameters.values())]
        assert [(g.shape, g.dtype) for g in found] == [(x.shape, x.dtype) for x in wanted], name
        assert all(np.isfinite(x).all() and x.dtype == dtype for x in [*found, *arrays(run.y)]), name
