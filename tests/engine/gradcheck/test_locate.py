"""Wrong entries are found by halving: which, how many, whole rows and columns, and at what cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gradcheck import check_gradients
from tests.support.examples import examples
from tests.support.known_gradients import SEEDS

COUNTED = {"calls": 0}


def sine(x):
    COUNTED["calls"] += 1
    return np.sin(x), x


def wrong_at(places, factor=1.5):
    def backward(dy, x):
        gradient = dy * np.cos(x)
        gradient[places] *= factor
        return gradient

    return backward


def entry_of(report):
    (entry,) = {row.entry for row in report.failures if row.entry}
    return entry


@pytest.mark.parametrize("method", ["auto", "five_point"])
@given(seed=SEEDS, where=st.integers(0, 19_999))
@settings(deadline=None, max_examples=5)
def test_one_wrong_entry_of_many_is_named(method, seed, where):
    """At a cost of at most 40 central differences beyond those of the check."""
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, 20_000)
    COUNTED["calls"] = 0
    right = check_gradients(sine, wrong_at([]), (x,), seed=seed, method=method, directions=1)
    of_check, COUNTED["calls"] = COUNTED["calls"], 0
    report = check_gradients(sine, wrong_at([where]), (x,), seed=seed, method=method, directions=1)
    assert right.ok and entry_of(report).startswith(f"[{where}]: numeric "), str(report)
    assert COUNTED["calls"] - of_check <= 80


@given(seed=SEEDS, places=st.sets(st.integers(0, 4_999), min_size=2, max_size=9))
@examples(20)
def test_several_wrong_entries_are_all_named(seed, places):
    x = np.random.default_rng(seed).uniform(-1.0, 1.0, 5_000)
    entry = entry_of(check_gradients(sine, wrong_at(sorted(places)), (x,), seed=seed, directions=1))
    names = ", ".join(f"[{place}]" for place in sorted(places))
    assert entry.endswith(f"{len(places)} wrong entries: {names}"), entry


@pytest.mark.parametrize(
    ("places", "text"),
    [
        (np.s_[7, :], "wrong as a whole: [7, :]"),
        (np.s_[:, 3], "wrong as a whole: [:, 3]"),
        (np.s_[[2, 40], :], "wrong as a whole: [2, :], [40, :]"),
        (np.s_[:], "every one of 8 entries looked at is wrong"),
        (np.s_[::9, ::7], "10 wrong entries, stopped there: [0, 0], [0, 7], "),
        (np.s_[3, 4], "[3, 4]: numeric "),
    ],
)
def test_rows_columns_and_everything_are_named_as_such(places, text):
    x = np.random.default_rng(0).uniform(-1.0, 1.0, (60, 50))
    assert text in entry_of(check_gradients(sine, wrong_at(places), (x,), directions=1))


def test_the_entry_named_is_a_wrong_one_beside_kinks():
    """Thousands of entries lie on kinks, where no gradient is wrong."""
    x = np.random.default_rng(0).normal(size=2_000)
    x[::2] = 0.0

    def backward(dy, positive):
        gradient = dy * positive
        gradient[777] *= 1.5
        return gradient

    x[777] = 1.0
    report = check_gradients(lambda x: (np.where(x.real > 0, x, 0.0), x.real > 0), backward, (x,))
    assert not report.ok
    assert all(row.entry.startswith("[777]") for row in report.failures if row.entry), str(report)


@given(seed=SEEDS, size=st.sampled_from([3, 40, 1000]), margin=st.floats(1.5, 10.0))
@examples(30)
def test_the_detection_limit_is_one(seed, size, margin):
    """An error of a single entry above it is seen, whichever entry has it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, size)
    right = check_gradients(sine, wrong_at([]), (x,), seed=seed, method="five_point", directions=1)
    (limit,) = right.limits
    assert f"{limit.error:.1e}" in str(right)
    where = int(rng.integers(size))

    def backward(dy, x):
        gradient = dy * np.cos(x)
        gradient[where] += margin * limit.error
        return gradient

    assert check_gradients(sine, backward, (x,), seed=seed, method="five_point", directions=1).failures
