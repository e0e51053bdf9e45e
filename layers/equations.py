"""The function pairs of wave/ and standard/ by name (EQUATIONS), and pairs that are composed of them.

Compositions have no mathematics of their own. They are called as one, so that an implementation can take their place. x
has a row for each distinct token; a Bag says in which texts the rows occur, and a row of y or dy stands for all tokens
of its entry.

    wave_pair        readout(Token2Wave(a) ∘ Token2Wave(b))    E4 twice, an operation, E7    (U, d) → (P, d)
    bag_magnitude    |Token2Wave(a)|·|Token2Wave(b)|           E17                           (U, d) → (B, d)
    bag_pooling      one vector per text                       E14                           (U, d) → (B, d)
    layer_norm_sum   LayerNorm(x + residual)                   E21, E10
    feed_forward     dropout(act(x·U₁ + c₁))·U₂ + c₂           E8, E11 or E12, E13, E8
"""

from typing import Any, NamedTuple

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_choice, check_floats
from engine.arrays.ragged import gather_rows
from engine.implementation import Functions, Pair
from engine.types import Floats1d, Floats2d, Ints1d
from layers.standard.attention import attention_backward, attention_forward
from layers.standard.dropout import dropout_backward, dropout_forward
from layers.standard.embedding import embedding_backward, embedding_forward
from layers.standard.gelu import gelu_backward, gelu_forward
from layers.standard.layer_norm import layer_norm_backward, layer_norm_forward
from layers.standard.linear import linear_backward, linear_forward
from layers.standard.naive_bayes import naive_bayes_backward, naive_bayes_forward
from layers.standard.pooling import pooling_backward, pooling_forward
from layers.standard.position_encoding import position_encoding_backward, position_encoding_forward
from layers.standard.relu import relu_backward, relu_forward
from layers.standard.residual import residual_backward, residual_forward
from layers.standard.sigmoid_cross_entropy import sigmoid_cross_entropy_backward, sigmoid_cross_entropy_forward
from layers.standard.softmax_cross_entropy import softmax_cross_entropy_backward, softmax_cross_entropy_forward
from layers.standard.tanh import tanh_backward, tanh_forward
from layers.standard.weighted_ratios import weighted_ratios_backward, weighted_ratios_forward
from layers.wave import OPERATIONS, READOUTS, SCOPES
from layers.wave.controls import wave_backward, wave_forward
from layers.wave.modulated_magnitude import modulated_magnitude_backward, modulated_magnitude_forward
from layers.wave.operations import operation_backward, operation_forward
from layers.wave.readout import readout_backward, readout_forward
from layers.wave.token2wave import token2wave_backward, token2wave_forward

EQUATIONS = Functions(
    {
        "token2wave": (token2wave_forward, token2wave_backward),
        "wave": (wave_forward, wave_backward),
        "operation": (operation_forward, operation_backward),
        "readout": (readout_forward, readout_backward),
        "modulated_magnitude": (modulated_magnitude_forward, modulated_magnitude_backward),
        "linear": (linear_forward, linear_backward),
        "embedding": (embedding_forward, embedding_backward),
        "position_encoding": (position_encoding_forward, position_encoding_backward),
        "layer_norm": (layer_norm_forward, layer_norm_backward),
        "gelu": (gelu_forward, gelu_backward),
        "relu": (relu_forward, relu_backward),
        "tanh": (tanh_forward, tanh_backward),
        "dropout": (dropout_forward, dropout_backward),
        "residual": (residual_forward, residual_backward),
        "pooling": (pooling_forward, pooling_backward),
        "naive_bayes": (naive_bayes_forward, naive_bayes_backward),
        "weighted_ratios": (weighted_ratios_forward, weighted_ratios_backward),
        "attention": (attention_forward, attention_backward),
        "softmax_cross_entropy": (softmax_cross_entropy_forward, softmax_cross_entropy_backward),
        "sigmoid_cross_entropy": (sigmoid_cross_entropy_forward, sigmoid_cross_entropy_backward),
    }
)


def with_compositions(f: Functions) -> Functions:
    """The pairs in f together with their compositions."""
    makers = (wave_pair, bag_magnitude, bag_pooling, layer_norm_sum, feed_forward)
    return Functions({**f.pairs, **{make.__name__: make(f) for make in makers}})


class Expanded(NamedTuple):
    """The cache of a composition that was computed token by token.

    row_count: U; entry: (T,) the entry of each token; first: (P,) the first token of each entry; y: the result;
    caches: those of the equations.
    """

    bag: Bag
    row_count: int
    entry: Ints1d
    first: Ints1d
    y: Floats2d
    caches: tuple[Any, ...]


def rows_of_tokens(bag: Bag, entry: Ints1d) -> Ints1d:
    """(T,): the row of x of each token; entry: (T,) the entry of each token."""
    return entry if bag.row_index is None else bag.row_index[entry]


def wave_pair(f: Functions) -> Pair:
    def forward(
        a: Floats2d,
        b: Floats2d,
        bag: Bag,
        operation: str,
        readout: str,
        scope: str = "dimension",
        second: Bag | None = None,
    ) -> tuple[Floats2d, Expanded]:
        """a, b: (U, d), bag: P entries over these rows → y: (P, d), for the readout "both" (P, 2d), and the cache.

        second: the same entries, cut otherwise, as the magnitudes of b are taken; by default as those of a.
        Raises ValueError for a wrong dtype, shape, operation, readout or scope.
        """
        check_wave_pair(a, b, operation, readout, scope)
        entry, first, offsets = bag.expand()
        rows = rows_of_tokens(bag, entry)
        first_wave, first_cache = f.token2wave_forward(a[rows], offsets, scope)
        second_offsets = offsets if second is None else second.expand()[2]
        second_wave, second_cache = f.token2wave_forward(b[rows], second_offsets, scope)
        z, combined = f.operation_forward(first_wave, second_wave, operation)
        y, read = f.readout_forward(z, readout)
        return y[first], Expanded(bag, len(a), entry, first, y, (first_cache, second_cache, combined, read))

    def backward(dy: Floats2d, cache: Expanded) -> tuple[Floats2d, Floats2d]:
        """dy: the shape of y, the sum over the tokens of each entry → (da, db), each (U, d)."""
        bag, row_count, entry, first, y, (first_cache, second_cache, combined, read) = cache
        check_floats("dy", dy, (bag.entry_count(), y.shape[1]), like=y)
        counts = bag.weights()[:, None].astype(dy.dtype)
        dz = f.readout_backward((dy / counts)[entry], read)  # each token of an entry has its share
        dfirst, dsecond = f.operation_backward(dz, combined)
        da = f.token2wave_backward(dfirst, first_cache)[first] * counts  # the tokens of an entry receive the same
        db = f.token2wave_backward(dsecond, second_cache)[first] * counts
        return sum_entries(da, bag, row_count), sum_entries(db, bag, row_count)

    return forward, backward


def check_wave_pair(a: Floats2d, b: Floats2d, operation: str, readout: str, scope: str) -> None:
    """Raise ValueError for arguments that are not those of a wave pair."""
    check_choice("operation", operation, OPERATIONS)
    check_choice("readout", readout, READOUTS)
    check_choice("scope", scope, SCOPES)
    check_floats("a", a, ("U", "d"))
    check_floats("b", b, a.shape, like=a)


def bag_magnitude(f: Functions) -> Pair:
    def forward(
        a: Floats2d,
        b: Floats2d,
        bag: Bag,
        bias_a: Floats1d | None = None,
        bias_b: Floats1d | None = None,
        second: Bag | None = None,
    ) -> tuple[Floats2d, Expanded]:
        """a, b: (U, d), bag: of B texts over these rows → y: (B, d), and the cache.

        second: the same entries, cut into texts of whole segments of `bag`, whose magnitudes of b are taken.
        bias_a, bias_b: (d,), added to every row of a and of b first; their gradients are the sums of the rows of da and
        of db. Raises ValueError for a wrong dtype or shape.
        """
        a, b = with_biases(a, b, bias_a, bias_b)
        entry, first, offsets = bag.expand()
        rows = rows_of_tokens(bag, entry)
        second_offsets = None if second is None else second.expand()[2]
        y, cache = f.modulated_magnitude_forward(a[rows], b[rows], offsets, second_offsets)
        return y, Expanded(bag, len(a), entry, first, y, (cache,))

    def backward(dy: Floats2d, cache: Expanded) -> tuple[Floats2d, Floats2d]:
        """dy: (B, d) → (da, db), each (U, d)."""
        bag, row_count, _, first, _, (inner,) = cache
        da, db = f.modulated_magnitude_backward(dy, inner)
        counts = bag.weights()[:, None].astype(dy.dtype)
        da, db = da[first] * counts, db[first] * counts
        return sum_entries(da, bag, row_count), sum_entries(db, bag, row_count)

    return forward, backward


def with_biases(
    a: Floats2d, b: Floats2d, bias_a: Floats1d | None, bias_b: Floats1d | None
) -> tuple[Floats2d, Floats2d]:
    """a and b with their biases, if any, added to every row. Raises ValueError for a wrong dtype or shape."""
    check_biases(a, b, bias_a, bias_b)
    return a if bias_a is None else a + bias_a, b if bias_b is None else b + bias_b


def check_biases(a: Floats2d, b: Floats2d, bias_a: Floats1d | None, bias_b: Floats1d | None) -> None:
    """Raise ValueError unless a and b are (U, d) and their biases, if any, (d,), of one dtype."""
    check_floats("a", a, ("U", "d"))
    check_floats("b", b, a.shape, like=a)
    for name, bias in (("bias_a", bias_a), ("bias_b", bias_b)):
        if bias is not None:
            check_floats(name, bias, a.shape[1:], like=a)


def bag_pooling(f: Functions) -> Pair:
    def forward(x: Floats2d, bag: Bag, kind: str = "mean") -> tuple[Floats2d, Expanded]:
        """x: (U, d), bag: of B texts over these rows → y: (B, d), and the cache.

        Raises ValueError for a wrong dtype, shape or kind.
        """
        check_floats("x", x, ("U", "d"))
        entry, first, offsets = bag.expand()
        y, cache = f.pooling_forward(x[rows_of_tokens(bag, entry)], offsets, kind)
        return y, Expanded(bag, len(x), entry, first, y, (cache,))

    def backward(dy: Floats2d, cache: Expanded) -> Floats2d:
        """dy: (B, d) → dx: (U, d)."""
        bag, row_count, entry, first, _, (inner,) = cache
        dx = f.pooling_backward(dy, inner)
        return sum_entries(dx, Bag(rows_of_tokens(bag, entry), None, bag.expand()[2]), row_count)

    return forward, backward


class SumCache(NamedTuple):
    residual: Any
    norm: Any


def layer_norm_sum(f: Functions) -> Pair:
    def forward(
        x: Floats2d,
        gain: Floats1d,
        bias: Floats1d,
        epsilon: float,
        residual: Floats2d | None = None,
        x_rows: Ints1d | None = None,
        residual_rows: Ints1d | None = None,
    ) -> tuple[Floats2d, SumCache]:
        """x, residual: (T, d), gain and bias: (d,) → LayerNorm(x + residual): (T, d), and the cache.

        x_rows, residual_rows: (T,) integers, where row t of the sum is x[x_rows[t]] + residual[residual_rows[t]] and
        either array may have another number of rows. Raises ValueError for a wrong dtype or shape.
        """
        x, added = x if x_rows is None else gather_rows(x, x_rows), None
        if residual is not None:
            residual = residual if residual_rows is None else gather_rows(residual, residual_rows)
            x, added = f.residual_forward(x, residual)
            del residual  # memory of gathered rows
        y, norm = f.layer_norm_forward(x, gain, bias, epsilon)
        return y, SumCache(added, norm)

    def backward(dy: Floats2d, cache: SumCache) -> tuple[Floats2d, Floats1d, Floats1d]:
        """dy: (T, d) → (the gradient of every row of the sum (T, d), dgain (d,), dbias (d,))."""
        dx, dgain, dbias = f.layer_norm_backward(dy, cache.norm)
        if cache.residual is not None:
            dx, _ = f.residual_backward(dx, cache.residual)  # both parts receive the same
        return dx, dgain, dbias

    return forward, backward


class FeedForwardCache(NamedTuple):
    expand: Any
    activation: Any
    kind: str
    mask: Floats2d | None
    contract: Any


def feed_forward(f: Functions) -> Pair:
    def forward(
        x: Floats2d,
        expand: Floats2d,
        expand_bias: Floats1d,
        contract: Floats2d,
        contract_bias: Floats1d,
        activation: str,
        mask: Floats2d | None = None,
    ) -> tuple[Floats2d, FeedForwardCache]:
        """x: (T, d), expand: (d, h), contract: (h, d) → z: (T, d), and the cache.

        activation: "gelu" or "relu". mask: (T, h), scaled mask of dropout between activation and second map (E13).
        """
        y, expanded = f.linear_forward(x, expand, expand_bias)
        y, activated = f.pairs[activation][0](y)
        y = y if mask is None else y * mask
        z, contracted = f.linear_forward(y, contract, contract_bias)
        return z, FeedForwardCache(expanded, activated, activation, mask, contracted)

    def backward(dz: Floats2d, cache: FeedForwardCache) -> tuple[Floats2d, Floats2d, Floats1d, Floats2d, Floats1d]:
        """dz: (T, d) → (dx (T, d), dexpand, dexpand_bias, dcontract, dcontract_bias)."""
        dy, dcontract, dcontract_bias = f.linear_backward(dz, cache.contract)
        dy = dy if cache.mask is None else dy * cache.mask
        dy = f.pairs[cache.kind][1](dy, cache.activation)
        dx, dexpand, dexpand_bias = f.linear_backward(dy, cache.expand)
        return dx, dexpand, dexpand_bias, dcontract, dcontract_bias

    return forward, backward
