"""The number of random examples: a quarter of them by default, all where `pytest -m thorough` runs."""

import pytest
from hypothesis import settings

SHARE = 4
THOROUGH = False  # set by tests/conftest.py before any test is imported


def examples(count, **more):
    """A decorator of a test with @given; more: further settings of hypothesis."""

    def decorate(test):
        wanted = count if THOROUGH else -(-count // SHARE)
        return pytest.mark.random_examples(settings(max_examples=wanted, **more)(test))

    return decorate
