"""Each law catches the fault it is for, and no other law speaks up."""

import dataclasses

import numpy as np
import pytest

from engine.gradcheck import assert_gradients, check_properties
from engine.layer import Parameter

X = np.random.default_rng(0).normal(size=(3, 4))
EMPTY = (np.zeros((0, 4)),)
LAWS = [
    "shapes and dtypes",
    "forward is repeatable",
    "backward is repeatable",
    "a cotangent of zero gives zero",
    "linear in the cotangent",
    "forward leaves its inputs untouched",
    "backward leaves the inputs untouched",
    "backward leaves the cotangent untouched",
    "backward leaves the cache untouched",
    "non-contiguous inputs",
    "Fortran-ordered inputs",
    "float32 stays float32",
    "an empty batch passes",
]


def square(x):
    return x * x, (x, 2.0 * x)


def square_backward(dy, cache):
    return dy * cache[1]


def failed_laws(forward, backward, inputs=(X,), **options):
    return [row.name for row in check_properties(forward, backward, inputs, empty_inputs=EMPTY, **options).failures]


def test_a_sound_pair_keeps_every_law():
    report = check_properties(square, square_backward, (X,), empty_inputs=EMPTY)
    assert_gradients(report)
    assert [row.name for row in report.rows] == LAWS and not report.notes
    assert check_properties(square, square_backward, (X,)).notes == (
        "no empty batch was tried: give one as empty_inputs=",
    )


class Counter:
    """Something that differs from call to call."""

    def __init__(self):
        self.calls = 0

    def next(self):
        self.calls += 1
        return self.calls


def counting_forward():
    counter = Counter()
    return lambda x: (x * x + counter.next() * 1e-12, (x, 2.0 * x))


def counting_backward():
    counter = Counter()
    return lambda dy, cache: dy * cache[1] * (1.0 + 1e-13 * counter.next())


def overwrite_input(x):
    y, cache = square(x.copy())
    if x.size:
        x[...] = 0.0
    return y, cache


def overwrite(which):
    def backward(dy, cache):
        dx = square_backward(dy, cache)
        target = {"cotangent": dy, "inputs": cache[0], "cache": cache[1]}[which]
        target += 1e-9
        return dx

    return backward


def in_memory_order(x):
    return x * x, (x, 2.0 * x.ravel(order="K").reshape(x.shape))


def wrong_when_empty(dy, cache):
    return square_backward(dy, cache) if len(dy) else np.zeros((1, 4))


@pytest.mark.parametrize(
    "forward, backward, laws",
    [
        (square, lambda dy, cache: square_backward(dy, cache)[:1], ["shapes and dtypes"]),
        (
            square,
            lambda dy, cache: square_backward(dy, cache).astype(np.float32),
            ["shapes and dtypes", "an empty batch passes"],
        ),
        (counting_forward(), square_backward, ["forward is repeatable"]),
        (square, counting_backward(), ["backward is repeatable"]),
        (
            square,
            lambda dy, cache: square_backward(dy, cache) + 1e-9,
            ["a cotangent of zero gives zero", "linear in the cotangent"],
        ),
        (square, lambda dy, cache: square_backward(dy, cache) * np.sign(dy), ["linear in the cotangent"]),
        (overwrite_input, square_backward, ["forward leaves its inputs untouched"]),
        (square, overwrite("cotangent"), ["backward leaves the cotangent untouched"]),
        (square, lambda dy, cache: square_backward(dy, cache).astype(np.float64), ["float32 stays float32"]),
        (lambda x: (x.astype(np.float64) ** 2, (x, 2.0 * x)), square_backward, ["float32 stays float32"]),
        (in_memory_order, square_backward, ["Fortran-ordered inputs"]),
        (square, wrong_when_empty, ["an empty batch passes"]),
    ],
)
def test_each_fault_breaks_its_law(forward, backward, laws):
    assert failed_laws(forward, backward) == laws


def test_writing_into_cache_or_inputs_breaks_its_law():
    """Writing into the inputs is seen by the law of the cache as well, where they lie in it."""
    assert "backward leaves the cache untouched" in failed_laws(square, overwrite("cache"))
    failed = failed_laws(square, overwrite("inputs"))  # here the input lies in the cache as well
    assert {"backward leaves the inputs untouched", "backward leaves the cache untouched"} <= set(failed)


def test_caches_of_any_form_are_watched():
    @dataclasses.dataclass
    class Cache:
        parts: dict

    def forward(x):
        return x * x, Cache({"slope": [2.0 * x]})

    def damage(dy, cache):
        dx = dy * cache.parts["slope"][0]
        cache.parts["slope"][0] *= 1.0 + 1e-9
        return dx

    assert not failed_laws(forward, lambda dy, cache: dy * cache.parts["slope"][0])
    assert "backward leaves the cache untouched" in failed_laws(forward, damage)


def test_parameters_are_watched_and_put_back():
    weight = Parameter(np.ones((4, 2)))
    value = weight.value

    def forward(x):
        return x @ weight.value, x

    def backward(dy, x):
        weight.accumulate(x.T @ dy)
        return dy @ weight.value.T

    def damage(dy, x):
        dx = backward(dy, x)
        weight.value += 1e-9
        return dx

    options = {"parameters": {"weight": weight}}
    assert not failed_laws(forward, backward, **options)
    assert weight.value is value and weight.grad is None and np.array_equal(value, np.ones((4, 2)))
    assert "backward leaves the inputs untouched" in failed_laws(forward, damage, **options)


def test_a_function_that_refuses_float32_is_noted():
    def forward(x):
        if x.dtype != np.float64:
            raise ValueError("float64 only")
        return square(x)

    report = check_properties(forward, square_backward, (X,), empty_inputs=EMPTY)
    assert report.ok and report.notes == ("forward refuses float32: float64 only",)


def test_scalar_losses_and_pairs_keep_the_laws():
    report = check_properties(lambda x: (np.sum(x * x), x), lambda dy, x: 2.0 * dy * x, (X,))
    assert_gradients(report)
    pair = check_properties(
        lambda z: ((z[0] * z[1], z[0]), z), lambda dy, z: (((dy[0] * z[1] + dy[1]), dy[0] * z[0]),), ((X, X + 1.0),)
    )
    assert_gradients(pair)


def test_numbers_without_dimensions_keep_the_laws():
    """A learned temperature, and a loss that is a Python float."""
    times = check_properties(
        lambda x, t: (x * t, (x, t)), lambda dy, c: (dy * c[1], np.asarray((dy * c[0]).sum())), (X, np.array(1.3))
    )
    assert_gradients(times)
    forward, backward = lambda x: (float((x * x).sum()), x), lambda dy, x: 2 * dy * x
    report = check_properties(forward, backward, (X,))
    assert_gradients(report)
    wrong = check_properties(forward, lambda dy, x: (2 * dy * x).astype(np.float64), (X,))
    assert [row.name for row in wrong.failures] == ["float32 stays float32"]


def test_generators_start_anew_at_every_call():
    def forward(x, rng):
        keep = rng.random(x.shape) < 0.5
        return x * keep, keep

    rng = np.random.default_rng(1)
    before = rng.bit_generator.state
    assert_gradients(check_properties(forward, lambda dy, keep: dy * keep, (X, rng), empty_inputs=(EMPTY[0], rng)))
    assert rng.bit_generator.state == before
