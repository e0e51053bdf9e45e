"""Every kernel on numbers of rows about the borders of warps and blocks: no row may be left out or counted twice."""

from typing import NamedTuple

import numpy as np
import pytest

from engine.arrays import ragged
from engine.arrays.bag import Bag
from engine.cuda.compilers import kernel_files
from engine.cuda.kernels import uses_kernels
from engine.layer import Parameter, RowSparse
from engine.training import adamw_cuda
from engine.training.adamw import AdamW
from engine.training.step import clip_scale, global_norm
from layers.fast import FUNCTIONS
from layers.standard.layer_norm import EPSILON
from tests.kernels.test_compile import FOLDERS
from tests.support.emulation import SIGNATURE
from tests.support.examples import if_thorough
from tests.support.twin_checks import assert_kernels_agree

# By default one row, a full warp, one row beyond a block and beyond a warp, and several blocks.
ROWS = (1, 32, 257, 1000, *if_thorough(31, 33, 255, 256, 300, 301))
FEED_FORWARD = ("gelu_forward", "gelu_backward", "sum_columns", "finish_columns")
LAYER_NORM = ("layer_norm_forward", "layer_norm_backward", "layer_norm_parameters", "finish_columns")
MAGNITUDE = ("bag_magnitude_forward", "bag_magnitude_slopes", "bag_magnitude_backward")
OPTIMIZER = ("squared_norms", "finish_norm", "adamw_tensors", "adamw_rows", "record_missed")
POOLING = ("mean_pooling_forward", "mean_pooling_backward")
WAVE_PAIR = ("wave_pair_forward", "wave_pair_backward")
OF_SENTENCES = ("wave_pair_of_sentences_forward", "wave_pair_of_sentences_backward")


def numbers(n, *shape):
    """(n, *shape) of either sign, none near 0."""
    rng = np.random.default_rng(n)
    return rng.choice([-1.0, 1.0], (n, *shape)) * rng.uniform(0.5, 2.0, (n, *shape))


def one_text(n):
    """The bag of a text of n rows that stand for 1 to 4 tokens each."""
    return Bag(None, np.random.default_rng(n).integers(1, 5, n), np.array([0, n]))


def sentences_of_a_text(n):
    """The same bag cut into sentences of up to three rows, of which the first is empty."""
    return one_text(n)._replace(offsets=np.unique([*range(0, n, 3), n])[np.r_[0, 0 : -(-n // 3) + 1]])


def texts_of_one_row(n):
    return Bag(None, None, np.arange(n + 1))


def texts_that_share_a_row(n):
    """n texts of row 0 and one other each."""
    row_index = np.stack([np.zeros(n, np.int64), np.arange(n) + 1], axis=1).ravel()
    return Bag(row_index, None, 2 * np.arange(n + 1)).with_inverse_index(n + 1)


def alone(function):
    """A function as a pair without a gradient."""
    return lambda *arguments: (function(*arguments), None), lambda dy, cache: ()


def updated(table, values, rows, weight, gradient):
    """Parameters and their moments after two updates and what rows missed, by kernels where they compute."""
    parameters = {"table": Parameter(table.copy()), "weight": Parameter(weight.copy())}
    optimizer = AdamW(parameters, weight_decay=0.05)
    control, loss = adamw_cuda.new_control(table), np.zeros((), table.dtype)
    for some in (slice(None), slice(0, 1)):
        parameters["table"].grad = RowSparse(rows[some], values[some].copy())
        parameters["weight"].grad = gradient.copy()
        if uses_kernels(table):
            adamw_cuda.measure(parameters, loss, 1.0, control)
            optimizer.step(1e-2, control=control)
        else:
            optimizer.step(1e-2, clip_scale(global_norm(parameters), 1.0))
    optimizer.catch_up()
    moments = [optimizer.state[name][key] for name in parameters for key in ("m", "v")]
    return *(parameter.value for parameter in parameters.values()), *moments


def recorded(logits, labels):
    """The record of a step: its loss, the norm, and the number of right labels."""
    into = np.zeros(3)
    if uses_kernels(logits):
        adamw_cuda.record(np.asarray(0.5, logits.dtype), np.array([2.0, 1.0, 0.0]), logits, labels, into)
    else:
        into[:] = 0.5, 2.0, (logits.argmax(axis=1) == labels).sum()
    return into


class Case(NamedTuple):
    """pair: the name of a function pair, or a pair that computes by kernels where they are emulated.

    inputs: number of rows → arguments of forward; kernels: all that run.
    """

    pair: str | tuple
    inputs: object
    kernels: tuple


CASES = {
    "gather": Case(alone(ragged.gather_rows), lambda n: (numbers(n, 3), np.arange(n)[::-1].copy()), ("gather_rows",)),
    "columns": Case(alone(ragged.column_sums), lambda n: (numbers(n, 3),), ("sum_columns", "finish_columns")),
    "many segments": Case(
        alone(ragged.segment_sum), lambda n: (numbers(n, 3), np.arange(n + 1)), ("sum_short_segments",)
    ),
    "a segment among empty ones": Case(
        alone(ragged.segment_sum), lambda n: (numbers(n, 3), np.array([0] * 99 + [n])), ("sum_short_segments",)
    ),
    "a segment": Case(alone(ragged.segment_sum), lambda n: (numbers(n, 3), np.array([0, n])), ()),
    "maxima": Case(alone(ragged.segment_max), lambda n: (numbers(n, 3), np.arange(n + 1)), ("max_segments",)),
    "a maximum": Case(alone(ragged.segment_max), lambda n: (rising(n, 3), np.array([0, n])), ("max_segments",)),
    "a flat segment": Case(alone(ragged.segment_sum), lambda n: (numbers(n, 1), np.array([0, n])), ()),
    "a flat maximum": Case(alone(ragged.segment_max), lambda n: (rising(n, 1), np.array([0, n])), ()),
    "layer norm": Case("layer_norm_sum", lambda n: (numbers(n, 3), *numbers(2, 3), EPSILON), LAYER_NORM),
    "layer norm of a sum": Case(
        "layer_norm_sum",
        lambda n: (numbers(2, 3), *numbers(2, 3), EPSILON, numbers(n, 3), np.arange(n) % 2, np.arange(n)[::-1].copy()),
        LAYER_NORM,
    ),
    "gelu": Case("gelu", lambda n: (numbers(n, 3),), FEED_FORWARD[:2]),
    "feed-forward": Case(
        "feed_forward",
        lambda n: (numbers(n, 3), numbers(3, 5), numbers(5), numbers(5, 3), numbers(3), "gelu"),
        FEED_FORWARD,
    ),
    "losses": Case(
        "softmax_cross_entropy",
        lambda n: (numbers(n, 3), np.arange(n) % 3, 0.1),
        ("softmax_cross_entropy_forward", "softmax_cross_entropy_backward", "finish_columns"),
    ),
    "losses of several labels": Case(
        "sigmoid_cross_entropy",
        lambda n: (numbers(n, 3), np.arange(3 * n).reshape(n, 3) % 2 == 0, 0.1),
        ("sigmoid_cross_entropy_forward", "sigmoid_cross_entropy_backward", "finish_columns"),
    ),
    "pooled text": Case("bag_pooling", lambda n: (numbers(n, 3), one_text(n)), POOLING),
    "pooled texts": Case("bag_pooling", lambda n: (numbers(n, 3), texts_of_one_row(n)), POOLING),
    "magnitudes of sentences": Case(
        "bag_magnitude",
        lambda n: (*numbers(2, n, 3), sentences_of_a_text(n), None, None, one_text(n)),
        MAGNITUDE,
    ),
    "waves of sentences": Case(
        "wave_pair",
        lambda n: (
            *numbers(2, n, 3),
            sentences_of_a_text(n),
            "modulation",
            "both",
            "dimension",
            one_text(n),
        ),
        OF_SENTENCES,
    ),
    "magnitude of a text": Case("bag_magnitude", lambda n: (*numbers(2, n, 3), one_text(n)), MAGNITUDE),
    "magnitudes of texts": Case(
        "bag_magnitude", lambda n: (*numbers(2, n + 1, 3), texts_that_share_a_row(n)), MAGNITUDE
    ),
    "waves of a text": Case("wave_pair", lambda n: (*numbers(2, n, 3), one_text(n), "modulation", "both"), WAVE_PAIR),
    "waves of texts": Case(
        "wave_pair",
        lambda n: (*numbers(2, n + 1, 3), texts_that_share_a_row(n), "interference", "magnitude"),
        WAVE_PAIR,
    ),
    "optimizer": Case(
        alone(updated), lambda n: (numbers(n, 3), numbers(n, 3), np.arange(n), numbers(n, 5), numbers(n, 5)), OPTIMIZER
    ),
    "record": Case(alone(recorded), lambda n: (rising(n, 3), np.where(np.arange(n) < n - 1, 1, 0)), ("record_step",)),
}
SOME = {  # by the number of rows one of two kernels, each of which runs for some
    "a segment": ("sum_short_segments", "sum_long_segments"),
    "a flat segment": ("sum_short_segments", "sum_flat_segments"),
    "a flat maximum": ("max_segments", "max_flat_segments"),
}


def rising(n, columns):
    """The last row has the largest number, and the first column that of each row."""
    return -5.0 + np.arange(n)[:, None] / n + np.arange(columns)[::-1] / (2 * n)


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", CASES)
def test_kernels_of_rows(emulated, name, rows):
    pair, inputs, kernels = CASES[name]
    pairs = pair if isinstance(pair, str) else (pair, pair)  # which goes to the kernels where they are emulated
    kernels = kernels or (SOME[name][rows >= 16],)
    assert_kernels_agree(emulated, pairs, inputs(rows), kernels, tolerances={np.float32: 5e-6, np.float64: 1e-12})


def test_no_kernel_is_missing_in_the_table():
    known = {kernel for case in CASES.values() for kernel in case.kernels} | {k for some in SOME.values() for k in some}
    written = {name for file in kernel_files(FOLDERS) for name, _ in SIGNATURE.findall(file.source())}
    assert known == written and set(FUNCTIONS["fast"].pairs) >= {c.pair for c in CASES.values() if type(c.pair) is str}
