"""Numbers of floating-point operations of function pairs, counted from shapes: all formulas in one place.

layers/networks/costs.py adds them up to those of a training step.

The multiplication and the addition of a matrix product are two operations, and a sum of n numbers counts n. Additions,
subtractions, multiplications, divisions, comparisons, selections, signs, absolute values, square roots, exp, log, tanh,
sin, cos and arctan2 count one each, whatever they cost. Copies, casts, gathers, sorting, the drawing of random numbers
and work on integers count none, and neither do the few operations that there are once per batch. The optimizer is not
included.

Counted are the operations of the planned network in float32 on the CPU, as far as shapes tell: not those that depend on
numbers, such as which texts go through the equations, or that rows to be summed by their ids happen to be in order.
Dropout does not act. The tests compare every formula with operations counted while the functions run.
"""

from collections.abc import Iterable
from typing import NamedTuple

from engine.arrays.bag import Bag
from engine.arrays.bag_sums import row_sums, text_groups
from layers.fast import wave_pair_cpu
from layers.standard.attention import block_shape
from layers.standard.gelu import SINGLE
from layers.wave import OPERATIONS, READOUTS


class Flops(NamedTuple):
    """Floating-point operations of a forward and of the backward pass that follows it; `+` adds part by part."""

    forward: int
    backward: int

    def __add__(self, other: "Flops") -> "Flops":  # type: ignore[override]
        return Flops(self.forward + other.forward, self.backward + other.backward)


NONE = Flops(0, 0)


def total(parts: Iterable[Flops]) -> Flops:
    """The sum of several Flops."""
    return sum(parts, start=NONE)


# Function pairs on T rows of d numbers (rows, d), in B texts.


def global_magnitude(rows: int, texts: int, d: int, scope: str = "dimension") -> Flops:
    return Flops(2 * rows * d + texts * (d if scope == "dimension" else 1), 5 * rows * d)


def phase(rows: int, d: int) -> Flops:
    return Flops(10 * rows * d, 12 * rows * d)


def polar_to_wave(rows: int, d: int) -> Flops:
    return Flops(4 * rows * d, 8 * rows * d)


def token2wave(rows: int, d: int) -> Flops:
    """The same for either scope, and linear in the number of tokens; `exclusive_sum` takes 9 each way."""
    return Flops(11 * rows * d, 15 * rows * d)


def wave(rows: int, segments: int, d: int, kind: str, scope: str = "dimension") -> Flops:
    """Phase-free takes the magnitude, and backward the sum over the tokens."""
    if kind == "phase-free":
        return global_magnitude(rows, segments, d, scope) + Flops(0, rows * d)
    return token2wave(rows, d) if kind == "full" else NONE


def operation(rows: int, d: int, kind: str) -> Flops:
    forward, backward = OPERATIONS[kind].flops
    return Flops(forward * rows * d, backward * rows * d)


def readout(rows: int, d: int, kind: str) -> Flops:
    forward, backward = READOUTS[kind].flops
    return Flops(forward * rows * d, backward * rows * d)


def linear(rows: int, inputs: int, outputs: int, bias: bool = True) -> Flops:
    """One product forward and two backward. bias: whether forward adds one; its gradient is formed in any case."""
    product = 2 * rows * inputs * outputs
    return Flops(product + bias * rows * outputs, 2 * product + rows * outputs)


def embedding(tokens: int, d: int) -> Flops:
    """Forward gathers; backward adds up the rows of each id."""
    return Flops(0, tokens * d)


def position_encoding(tokens: int, d: int) -> Flops:
    """Backward adds up the rows of each place, for a learned table."""
    return Flops(tokens * d, tokens * d)


def layer_norm(rows: int, d: int, residual: bool = False) -> Flops:
    """residual: whether forward adds one first."""
    return Flops((7 + residual) * rows * d + 5 * rows, 11 * rows * d + 2 * rows)


def gelu(rows: int, d: int) -> Flops:
    """The slope that forward computes included: 2 for each coefficient but the last, and 21 more."""
    return Flops((2 * (len(SINGLE.coefficients) - 1) + 21) * rows * d, rows * d)


def relu(rows: int, d: int) -> Flops:
    return Flops(2 * rows * d, rows * d)


def tanh(rows: int, d: int) -> Flops:
    """The slope that forward computes included."""
    return Flops(10 * rows * d, rows * d)


def residual(rows: int, d: int) -> Flops:
    return Flops(rows * d, 0)


def dropout(rows: int, d: int, rate: float) -> Flops:
    """Training; prediction and rate 0 take none."""
    return Flops(3 * rows * d, rows * d) if rate else NONE


def pooling(entries: int, texts: int, d: int, kind: str = "mean", counted: bool = False, alone: bool = False) -> Flops:
    """counted: whether entries have counts; alone: whether no text has two, so that nothing is summed."""
    known = {
        "mean": Flops((((not alone) + counted) * entries + texts) * d, (counted * entries + texts) * d),
        "max": Flops((3 * entries + texts) * d, 0),
        "cls": Flops(texts * d, 0),
    }
    return known[kind]


def naive_bayes(entries: int, texts: int, classes: int) -> Flops:
    """entries: distinct tokens, all texts together. The roots of their numbers are not counted."""
    return Flops((entries + 2 * texts) * classes, 2 * texts * classes)


def weighted_ratios(entries: int, texts: int, classes: int) -> Flops:
    """entries: as above; the gradients of equal tokens are not yet added."""
    return Flops((5 * entries + texts + 1) * classes, (entries + 2 * texts) * classes)


def log_count_ratios(entries: int, classes: int) -> Flops:
    """Constants, made forward from counts; of training texts, which are left out."""
    return Flops((13 * entries + 6) * classes, 0)


def softmax_cross_entropy(texts: int, classes: int, smoothing: float = 0.0, weighted: bool = False) -> Flops:
    """smoothing: one more per logit forward if it is not 0; weighted: whether classes have weights."""
    smoothed = smoothing > 0
    forward = (5 + smoothed + (weighted and smoothed)) * classes + 4 + weighted
    return Flops(forward * texts, ((3 + weighted) * classes + 2) * texts)


def sigmoid_cross_entropy(texts: int, classes: int, smoothing: float = 0.0, weighted: bool = False) -> Flops:
    """smoothing: three more per logit forward if it is not 0; weighted: whether decisions have weights."""
    smoothed = smoothing > 0
    forward = 10 + 3 * smoothed + weighted * (1 + smoothed)
    return Flops(forward * classes * texts, (13 + weighted) * classes * texts)


def attention(text_lengths: Iterable[int], d: int, heads: int) -> Flops:
    """Products 4·d and 10·d per pair of tokens of a text, the softmax 5·H and 8·H; the rest per token."""
    sizes = [int(n) for n in text_lengths if n]
    pairs, tokens = sum(n * n for n in sizes), sum(sizes)
    added = sum(n * -(-n // block_shape(n, heads)[1]) for n in sizes)  # rows of dk and dv, for each block of scores
    forward = (4 * d + 5 * heads) * pairs + (d + 2 * heads) * tokens
    return Flops(forward, (10 * d + 8 * heads) * pairs + 2 * d * added)


# Compositions over U rows, and P entries that stand for T tokens, in B texts.

BESIDE_NORMS = {  # wave_pair_cpu per entry, beside 6 for each norm: forward, and backward with its slopes (E4)
    "interference": {"real": (1, 0), "imaginary": (1, 18), "magnitude": (6, 25), "both": (2, 20)},
    "modulation": {"real": (3, 26), "imaginary": (3, 24), "both": (6, 32)},
}
ACTIVATIONS = {"gelu": gelu, "relu": relu}


def bag_magnitude(rows: int, d: int, bag: Bag, second: Bag | None = None) -> Flops:
    """bag: of whose segments both magnitudes are taken; second: of whose texts those of b, None for the same.

    The biases, which it adds, count with their maps.
    """
    segments, of_b = len(bag.offsets) - 1, len((second or bag).offsets) - 1
    gathered = 0 if second is None else segments
    sums = sums_over_bag(rows, d, bag) + sums_over_bag(rows, d, second or bag)
    return sums + Flops((2 * segments + of_b) * d, (6 * segments + 4 * of_b + gathered) * d)


def sums_over_bag(rows: int, d: int, bag: Bag) -> Flops:
    """Squares and their sums: of texts, filled up to those of their group, and back to rows, by products if shared."""
    if bag.row_index is None and bag.counts is None:
        return Flops(2 * rows * d, rows * d)
    entries = sum(group.rows.size for group in text_groups(bag, d))
    products = sum((2 * piece.counts.size + len(piece.shared)) * d for piece in row_sums(bag, rows).pieces)
    return Flops(3 * entries * d, products + rows * d)


def wave_pair(
    entries: int,
    tokens: int,
    texts: int,
    d: int,
    kind: str,
    read: str,
    scope: str = "dimension",
    identity_index: bool = False,
    cells: int = 0,
) -> Flops:
    """identity_index: entry p is row p itself; otherwise backward adds up the gradients of the entries of each row.

    cells: Σ entries·sentences of each text, where the first wave is that of sentences and the second of texts; else 0.
    """
    sums = Flops(0, 0 if identity_index else 2 * entries * d)
    if scope == "dimension" and read in wave_pair_cpu.READOUTS.get(kind, ()):
        forward, backward = BESIDE_NORMS[kind][read]
        tests = 8 * texts * d  # 4 for each wave and way, to see whether digits were lost
        pair = Flops((12 + forward) * entries * d + tests, backward * entries * d + (tests if backward else 0)) + sums
        return pair + of_sentences(entries, texts, d, cells, bool(backward)) if cells else pair
    waves = token2wave(tokens, d) + token2wave(tokens, d) + operation(tokens, d, kind) + readout(tokens, d, read)
    return waves + Flops(0, (2 + READOUTS[read].width) * entries * d) + sums  # dy shared by the tokens, and back


def of_sentences(entries: int, texts: int, d: int, cells: int, slopes: bool) -> Flops:
    """Count the operations of a wave of sentences beyond one of texts, in a pair. slopes: whether E4 goes backward."""
    sizes, limits = 2 * cells + entries, 4 * (entries - texts) * d
    forward = cells + 2 * (cells - entries) * d + limits - entries * d
    return Flops(forward + sizes, slopes * (2 * cells * d + limits) + sizes)


def feed_forward(rows: int, d: int, hidden: int, activation: str) -> Flops:
    """Both linear maps and the activation between them."""
    return linear(rows, d, hidden) + ACTIVATIONS[activation](rows, hidden) + linear(rows, hidden, d)
