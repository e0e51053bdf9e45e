"""The first number that is not finite is named by its path."""

from typing import NamedTuple

import numpy as np
import pytest

from engine.training.evaluation import first_nonfinite


class Inner(NamedTuple):
    ids: object
    weight: object
    shape: tuple = (3, 2)


class Outer(NamedTuple):
    first: object
    nothing: object
    parts: tuple


def tree(first=1.0, second=1.0, third=1.0, dtype=np.float32):
    leaves = [Inner(np.array([1, 2]), np.array([1.0, x], dtype)) for x in (first, second, third)]
    return Outer(leaves[0], None, (leaves[1], [leaves[2]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_the_first_in_the_order_of_computation_is_named(bad, dtype):
    assert first_nonfinite(tree(third=bad, dtype=dtype)) == "parts.1.0.weight"
    assert first_nonfinite(tree(second=bad, third=bad, dtype=dtype)) == "parts.0.weight"
    assert first_nonfinite(tree(first=bad, second=bad, dtype=dtype)) == "first.weight"


def test_nothing_is_named_where_all_is_finite_or_no_float():
    assert first_nonfinite(tree()) is None
    assert first_nonfinite((None, 3, "text", np.array([1]), np.zeros(0), ())) is None


def test_a_path_goes_on_from_where_it_is_told():
    assert first_nonfinite((1, np.array([np.nan])), "cache") == "cache.1"
    assert first_nonfinite(np.array([np.nan]), "x") == "x"
    assert first_nonfinite(np.array([np.nan])) is not None
