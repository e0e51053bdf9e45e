"""A model is measured in a process of its own, and a failure there is told in a line."""

import pytest

from engine.support.errors import UserError
from layers.experiments.complexity.run import Setup, measurements

SETUP = Setup("cpu", 1e9, 60.0, 1, "distinct")


def test_a_process_measures_the_lengths_that_it_is_given():
    first, second = measurements("modulation", 2, [2, 3], SETUP)
    assert (first.model, first.texts, first.length, second.length) == ("modulation", 2, 2, 3)
    assert first.parameters > 25e6 and 1 <= len(first.seconds) <= 3
    assert 12 * first.parameters < first.state_bytes < first.peak_bytes < 30 * first.parameters


def test_a_process_that_fails_is_a_user_error():
    with pytest.raises(UserError, match="measuring nothing failed: KeyError: 'nothing'"):
        list(measurements("nothing", 1, [2], SETUP))
