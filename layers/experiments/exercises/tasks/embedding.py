"""Exercise embedding (E9): rows of a table, looked up by token id.

    y_j = E[id_j]

An id may occur several times, or not at all.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(ids, table):
    """ids: (T,) integers in [0, V), table: (V, d) → y: (T, d), and the cache."""
    return table[ids], (ids, table)


def backward(dy, cache):
    """dy: (T, d) → dtable: (V, d). Ids have no gradient."""
    ids, table = cache
    raise NotImplementedError("return dtable")


# --- not in the learner's file ---


def draw(random):
    table = random.rows(random.size(4), random.size(2))
    ids = random.integers(1, len(table), random.size(4))  # row 0 does not occur, one row does twice and one thrice
    return np.concatenate([ids, [2, 1, 1, 2, 1]]), table


def sizes(dy, ids, table):
    return {"T, the number of tokens": len(ids), "V, the number of rows of the table": len(table)}


def terms(dy, ids, table):
    is_id = (np.arange(len(table))[:, None] == ids).astype(float)  # (V, T)
    counts = is_id.sum(axis=1, keepdims=True)
    last, first = np.zeros_like(table), np.zeros_like(table)
    last[ids] = dy
    first[ids[::-1]] = dy[::-1]
    return {
        "dtable": [
            ("Σ_j dy_j over the tokens with this id", is_id @ dy, {
                "of equal ids only the last one counts (so do dtable[ids] = dy and dtable[ids] += dy)": last,
                "of equal ids only the first one counts": first,
                "a mean in place of the sum": is_id @ dy / np.maximum(counts, 1),
                "it is multiplied by how often the id occurs": counts * (is_id @ dy),
                "the rows of the table are multiplied by how often they occur, dy is left out": counts * table,
            }),
        ],
    }  # fmt: skip
