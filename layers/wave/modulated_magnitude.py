"""E17  The magnitude of a modulation: one row for a whole text, or for a sentence.

    |A·B| = |A|·|B|, and |A| = G_A for every token of a text (E1, E4, E6), so that for all of them

    y_tk  = G_A,tk · G_B,tk                                     G_A, G_B: E1 of the rows a and b behind the waves
    da_jk = a_jk · dy_tk·G_B,tk/G_A,tk        db_jk = b_jk · dy_tk·G_A,tk/G_B,tk        (0 where the divisor is 0)

dy_t is the sum of the gradients of its tokens' y. Where the magnitudes of a are those of sentences m and the magnitudes
of b those of whole texts t ⊇ m, there is a row y_m = G_A,m·G_B,t for each sentence, and dG_B,t = Σ_{m⊆t} dy_m·G_A,m.
The chain E4, E6, E7 gives the same, at G = 0 too, by some forty passes over all T tokens; so does a correlation. Each
partial derivative is at most G_B or G_A. Singular points: those of E1. Unit: the product of those of a and b.
Source: follows from Zhang & Sheng, arXiv 2411.02674.
Derivation: modulated_magnitude.md.
"""

from typing import Any, NamedTuple

from engine.arrays.checks import check_floats, check_offsets
from engine.arrays.ragged import cut_in_segments, segment_sum, spread
from engine.types import Floats2d, Offsets
from layers.wave.global_magnitude import global_magnitude_backward, global_magnitude_forward


class Cache(NamedTuple):
    """G_b: (S, d), that of b for each row of y. texts: (B + 1,), cuts the S rows into those of one magnitude of b."""

    a: Any  # the caches of E1, and its values
    b: Any
    G_a: Floats2d
    G_b: Floats2d
    texts: Offsets | None


def modulated_magnitude_forward(
    a: Floats2d, b: Floats2d, offsets: Offsets, second_offsets: Offsets | None = None
) -> tuple[Floats2d, Cache]:
    """a, b: (T, d), offsets: (S + 1,) → y: (S, d), and the cache.

    second_offsets: (B + 1,), texts of whole sentences, of which the magnitudes of b are taken; those of `offsets` by
    default. Raises ValueError for a wrong dtype, shape or offsets.
    """
    check_floats("a", a, ("T", "d"))
    check_floats("b", b, a.shape, like=a)
    G_a, cache_a = global_magnitude_forward(a, offsets)
    if second_offsets is None:
        G_b, cache_b = global_magnitude_forward(b, offsets)
        return G_a * G_b, Cache(cache_a, cache_b, G_a, G_b, None)
    check_offsets(second_offsets, len(b), "second_offsets")
    texts = cut_in_segments(offsets, second_offsets)
    of_texts, cache_b = global_magnitude_forward(b, second_offsets)
    G_b = spread(of_texts, texts, len(G_a))
    return G_a * G_b, Cache(cache_a, cache_b, G_a, G_b, texts)


def modulated_magnitude_backward(dy: Floats2d, cache: Cache) -> tuple[Floats2d, Floats2d]:
    """dy: (S, d) → (da, db), each (T, d)."""
    check_floats("dy", dy, cache.G_a.shape, like=cache.G_a)
    of_rows = dy * cache.G_a
    dG_b = of_rows if cache.texts is None else segment_sum(of_rows, cache.texts)
    return global_magnitude_backward(dy * cache.G_b, cache.a), global_magnitude_backward(dG_b, cache.b)
