"""The tree in which gradients of shards are summed, and their exchange between ranks that are threads."""

import numpy as np
import pytest

from engine.layer import RowSparse
from engine.training.exchange import exchanged, layout_of
from engine.training.reduce import ALONE, add, add_gradients, nodes_within, require_equal, tree_sum
from tests.support.thread_ranks import on_ranks

TABLE, WIDTH = 50, 3


def gradients_of(shard, rows):
    """Gradients of a table, a matrix, a vector and a number."""
    rng = np.random.default_rng(shard)
    rows = np.unique(np.asarray(rows, np.int64))
    scale = 10.0 ** rng.integers(-4, 4)  # so that the order of a sum shows in its bits
    shapes = {"matrix": (4, 5), "vector": (3,), "number": ()}
    dense = {name: (scale * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    return {"table": RowSparse(rows, (scale * rng.standard_normal((len(rows), WIDTH))).astype(np.float32)), **dense}


def all_gradients(shards, empty=()):
    """{shard: its gradients}, of rows of which some are in several shards; none of the shards in `empty`."""
    rng = np.random.default_rng(99)
    return {s: gradients_of(s, rng.integers(0, TABLE, 9)) for s in range(shards) if s not in empty}


LIKE = {
    "table": np.zeros((TABLE, WIDTH), np.float32),
    **{name: np.zeros(shape, np.float32) for name, shape in (("matrix", (4, 5)), ("vector", (3,)), ("number", ()))},
}


def parts_of(ranks, shards, gradients):
    each = shards // ranks.size
    start = each * ranks.rank
    known = {(s, s + 1): gradients[s] for s in gradients if start <= s < start + each}
    nodes = nodes_within((0, shards), start, start + each)
    sums = {node: tree_sum(node, known.get, add_gradients) for node in nodes}
    return {node: found for node, found in sums.items() if found is not None}


def reduced(ranks, shards, gradients):
    parts = parts_of(ranks, shards, gradients)
    return exchanged(ranks, parts, ranks.gather(layout_of(parts)), shards, LIKE)


def as_bytes(gradients):
    return {
        name: (grad.rows.tobytes(), grad.values.tobytes()) if isinstance(grad, RowSparse) else grad.tobytes()
        for name, grad in gradients.items()
    }


@pytest.mark.parametrize(
    "shards, order",
    [(1, "0"), (2, "(0+1)"), (3, "((0+1)+2)"), (5, "(((0+1)+(2+3))+4)"), (6, "(((0+1)+(2+3))+(4+5))")],
)
def test_the_tree_depends_on_the_number_of_shards_alone(shards, order):
    texts = {(s, s + 1): str(s) for s in range(shards)}
    assert tree_sum((0, shards), texts.get, lambda a, b: f"({a}+{b})") == order


@pytest.mark.parametrize(
    "start, stop, nodes", [(0, 6, [(0, 6)]), (0, 3, [(0, 2), (2, 3)]), (3, 6, [(3, 4), (4, 6)]), (2, 4, [(2, 4)])]
)
def test_a_rank_sums_the_largest_nodes_of_its_shards(start, stop, nodes):
    assert nodes_within((0, 6), start, stop) == nodes


def test_empty_shards_are_left_out_of_the_sum():
    texts = {(1, 2): "1", (3, 4): "3"}
    assert tree_sum((0, 4), texts.get, lambda a, b: f"({a}+{b})") == "(1+3)"
    assert tree_sum((0, 4), {}.get, add) is None


@pytest.mark.parametrize("shards, empty", [(4, ()), (6, ()), (12, ()), (4, (0, 1, 2)), (6, (1, 4, 5)), (3, ())])
def test_the_sum_has_the_same_bits_on_any_number_of_ranks(shards, empty):
    """Also where shards are empty, and where ranks have nothing at all."""
    gradients = all_gradients(shards, empty)
    expected = reduced(ALONE, shards, gradients)
    assert isinstance(expected["table"], RowSparse)
    total = sum(g["matrix"].astype(np.float64) for g in gradients.values())
    assert np.allclose(expected["matrix"], total, rtol=1e-6, atol=1e-6 * abs(total).max())
    table = sum(g["table"].dense(TABLE).astype(np.float64) for g in gradients.values())
    assert np.allclose(expected["table"].dense(TABLE), table, rtol=1e-6, atol=1e-6 * abs(table).max())
    for size in (n for n in range(2, shards + 1) if shards % n == 0):
        for found in on_ranks(size, lambda ranks: reduced(ranks, shards, gradients)):
            assert as_bytes(found) == as_bytes(expected)


@pytest.mark.parametrize(
    "rows, travelling",
    [
        # Of two ranks, each sends the other the half of what it has that the other owns, and then its half of the sum.
        ([[1, 2, 3, 4], [1, 2, 3, 4]], (2 + 2) * WIDTH),  # the same rows: as much as of a table of four rows
        ([[1, 2, 3, 4], [6, 7, 8, 9]], (0 + 4) * WIDTH),  # others: the first rank owns all of its own
    ],
)
def test_only_distinct_rows_travel(rows, travelling):
    parts = [{"table": gradients_of(rank, rows[rank])["table"]} for rank in range(2)]
    like = {"table": np.zeros((10**6, WIDTH), np.float32)}

    def run(ranks):
        own = {(ranks.rank, ranks.rank + 1): parts[ranks.rank]}
        exchanged(ranks, own, ranks.gather(layout_of(own)), 2, like)
        return ranks.sent

    assert on_ranks(2, run) == [travelling, travelling]


def test_a_gradient_cannot_be_sparse_in_one_shard_alone():
    with pytest.raises(ValueError, match="row-sparse in one shard"):
        add(np.zeros((2, 3)), RowSparse(np.array([1]), np.ones((1, 3))))


def test_gradients_of_two_dtypes_are_refused():
    like = {"a": np.zeros(2, np.float32), "b": np.zeros(2)}

    def run(ranks):
        own = {(ranks.rank, ranks.rank + 1): {name: array + 1 for name, array in like.items()}}
        return exchanged(ranks, own, ranks.gather(layout_of(own)), 2, like)

    assert all("one dtype" in str(error) for error in on_ranks(2, run))


def test_values_that_differ_between_ranks_are_an_error():
    errors = on_ranks(3, lambda ranks: require_equal(ranks, "the weights", ranks.rank // 2))
    assert all("the weights of ranks 0 and 2 differ; start all ranks" in str(error) for error in errors)
    assert on_ranks(3, lambda ranks: require_equal(ranks, "the weights", 1)) == [None] * 3


def test_a_rank_alone_asks_nobody():
    assert ALONE.gather(3) == [3] and ALONE.of_root(lambda: 4) == 4 and ALONE.in_turn(lambda: 5) == 5
    assert ALONE.caught(2) == 2 and ALONE.caught(None) is None
