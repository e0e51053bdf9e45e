"""Two waves of one text, combined and read out: E4 twice, E5 or E6, E7. A composition: no mathematics of its own.

    y = readout(Token2Wave(a) ∘ Token2Wave(b)),   ∘ = + or ·

a, b: (U, d) rows that the entries of a Bag refer to. Equal tokens of a text get equal values, so y has a row for each of the P
entries; its gradient dy is that of all tokens of an entry together.
The plain body writes the texts out token by token; wave_pair_fast.py is a body for float32 on the CPU that keeps to one
text at a time and to its distinct tokens. On a device kernels do the same in scope "dimension" (wave_pair.cu).
All of them keep the errors promised in E4 to E7.
"""

from typing import NamedTuple

import numpy as np

from engine.arrays.bag import Bag, sum_entries
from engine.arrays.checks import check_choice, check_floats
from engine.cuda.kernels import with_kernels
from layers.fast import wave_pair_cpu as wave_pair_fast
from layers.fast import wave_pair_cuda as wave_pair_fused
from layers.wave.interference import interference_backward, interference_forward
from layers.wave.modulation import modulation_backward, modulation_forward
from layers.wave.readout import READOUTS, readout_backward, readout_forward
from layers.wave.token2wave import token2wave_backward, token2wave_forward
from layers.wave.wave import SCOPES

OPERATIONS = {
    "interference": (interference_forward, interference_backward),
    "modulation": (modulation_forward, modulation_backward),
}


class Cache(NamedTuple):
    """first_wave … readout: of the tokens written out. entry: (T,) of each of them; first: (P,) where an entry stands first."""

    bag: Bag
    rows: int
    entry: np.ndarray
    first: np.ndarray
    operation: str
    first_wave: tuple
    second_wave: tuple
    combined: tuple
    readout: tuple


def wave_pair_forward(a, b, bag, operation, readout, scope="dimension"):
    """a, b: (U, d), bag: P entries over these rows → y: (P, d), for the readout "both" (P, 2d), and the cache.

    Raises ValueError for a wrong dtype, shape, operation, readout or scope.
    """
    check_choice("operation", operation, tuple(OPERATIONS))
    check_choice("readout", readout, READOUTS)
    check_choice("scope", scope, SCOPES)
    check_floats("a", a, ("U", "d"))
    check_floats("b", b, a.shape, like=a)
    if a.dtype == b.dtype and wave_pair_fast.applies(a, operation, readout, scope):
        return wave_pair_fast.fast_forward(a, b, bag, operation, readout, PLAIN)
    return plain_forward(a, b, bag, operation, readout, scope)


def wave_pair_backward(dy, cache):
    """dy: the shape of y, the sum over the tokens of each entry → (da, db), each (U, d)."""
    if isinstance(cache, wave_pair_fast.Cache):
        return wave_pair_fast.fast_backward(dy, cache, PLAIN)
    return plain_backward(dy, cache)


wave_pair_forward, wave_pair_backward = with_kernels(wave_pair_forward, wave_pair_backward, wave_pair_fused)


def plain_forward(a, b, bag, operation, readout, scope):
    entry, first, offsets = bag.written_out()
    rows = entry if bag.places is None else bag.places[entry]
    first_wave, first_cache = token2wave_forward(a[rows], offsets, scope)
    second_wave, second_cache = token2wave_forward(b[rows], offsets, scope)
    z, combined = OPERATIONS[operation][0](first_wave, second_wave)
    y, read = readout_forward(z, readout)
    return y[first], Cache(bag, len(a), entry, first, operation, first_cache, second_cache, combined, read)


def plain_backward(dy, cache):
    bag, rows, entry, first, operation, first_wave, second_wave, combined, read = cache
    check_floats("dy", dy, (bag.entry_count(), read.y.shape[1]), like=read.y)
    counts = bag.weights()[:, None].astype(dy.dtype)
    dz = readout_backward((dy / counts)[entry], read)  # each token of an entry has its share
    dwaves = OPERATIONS[operation][1](dz, combined)
    shares = (token2wave_backward(dwave, wave)[first] for dwave, wave in zip(dwaves, (first_wave, second_wave)))
    return tuple(sum_entries(share * counts, bag, rows) for share in shares)  # the tokens of an entry receive the same


PLAIN = (plain_forward, plain_backward)
