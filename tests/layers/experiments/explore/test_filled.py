"""Numbers filled into backward equations add up to the gradients that the functions return."""

import numpy as np
import pytest

from layers.equations import EQUATIONS
from layers.experiments.explore.computation import compute
from layers.experiments.explore.filled import Filled, Term, filled_in
from layers.experiments.explore.source import RandomNetworks
from layers.experiments.explore.state import State
from layers.experiments.explore.steps import results_of
from layers.wave import OPERATIONS, READOUTS, Wave
from tests.support.small_networks import in_pairs

SOURCE = RandomNetworks()


def entries(pair, results, token, k):
    """The gradients that the equations of a pair are filled in for, from what its backward returned."""
    first = results[0].values if hasattr(results[0], "values") else results[0]
    if pair == "softmax_cross_entropy":
        return list(first[0][:3])
    if pair == "linear":
        t, c = min(token, len(first) - 1), min(k, results[1].shape[1] - 1)
        return [first[t, k], results[1][k, c]]
    if pair == "layer_norm":
        return [first[token, k], results[1][k]]
    if pair == "operation":
        return [part[token, k] for wave in results for part in wave]
    if pair == "readout":
        return [part[token, k] for part in first]
    if pair == "embedding":
        return [first[token, k]]
    return [first[min(token, len(first) - 1), k]] * (2 if pair in ("residual", "position_encoding") else 1)


@pytest.mark.parametrize(
    "operation, readout, scope, block, token, k",
    in_pairs(list(OPERATIONS), list(READOUTS), ["dimension", "text"], ["normed", "fig6b"], [0, 3], [0, 2]),
)
def test_they_add_up_to_the_gradients(operation, readout, scope, block, token, k):
    state = State(operation=operation, readout=readout, scope=scope, block=block, positions="learned", text="a b c d")
    walk, seen = compute(SOURCE, state).course.walk, set()
    for stage in walk.stages:
        call = walk.recorder.calls[stage.number]
        results = EQUATIONS.pairs[call.pair][1](walk.gradients[stage.name], call.cache)
        lines = filled_in(call, walk.gradients[stage.name], results, token, k)
        found = [line.result for line in lines]
        np.testing.assert_allclose(found, entries(call.pair, results_of(results), token, k), rtol=1e-9, atol=1e-15)
        assert all(line.text.startswith(f"{line.left} = ") for line in lines)
        seen.add(call.pair)
    assert {"linear", "operation", "wave", "readout", "pooling", "embedding", "softmax_cross_entropy"} <= seen


def test_a_long_sum_is_cut_and_a_single_number_said_once():
    line = Filled("dx", [Term(f"{i}", float(i)) for i in range(9)])
    assert line.text == "dx = 0 + 1 + 2 + 3 + 4 + 5 + (3 more: 21.00) = 36.00"
    assert Filled("dx", [Term("1.500", 1.5)]).text == "dx = 1.500"
    assert Filled("dx", [Term("1.500", 1.5), Term("−2.500", -2.5)]).text == "dx = 1.500 − 2.500 = −1.000"


def test_waves_are_two_tables():
    assert len(results_of(Wave(np.ones((2, 2)), np.ones((2, 2))))) == 1
    assert len(results_of((np.ones(2), np.ones(2)))) == 2
