"""Less by default: some of the random examples and of the values of a parameter; all under `-m thorough`."""

import pytest
from hypothesis import settings

SHARE, FEWEST = 4, 5  # by default a quarter of the examples, but five where there are as many
THOROUGH = False  # set by tests/conftest.py before any test is imported


def examples(count=25, **more):
    """A decorator of a test with @given; more: further settings of hypothesis."""

    def decorate(test):
        wanted = count if THOROUGH else max(min(count, FEWEST), -(-count // SHARE))
        return pytest.mark.random_examples(settings(max_examples=wanted, **more)(test))

    return decorate


def if_thorough(*values):
    """Values for pytest.mark.parametrize that are tried under `-m thorough` alone."""
    return [pytest.param(value, marks=pytest.mark.thorough) for value in values]
