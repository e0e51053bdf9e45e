"""The project's equations in the form of the exercises, as they are or with one mistake in their source."""

from types import ModuleType
from typing import NamedTuple

import numpy as np

from layers.experiments.exercises.table import EXERCISES
from layers.wave import Wave
from tests.support.paths import ROOT

WAVES = ("interference", "modulation", "readout_magnitude", "readout_phase")  # their inputs are waves
FUNCTIONS = {  # name of an exercise: name of the equation's functions, its arguments from those of the exercise
    "interference": ("interference", lambda a, b: (a, b)),
    "linear": ("linear", lambda x, weight, bias: (x, weight, bias)),
    "embedding": ("embedding", lambda ids, table: (ids, table)),
    "modulation": ("modulation", lambda a, b: (a, b)),
    "dropout": ("dropout", lambda x, mask, rate: (x, rate, FixedMask(mask))),
    "mean_pooling": ("pooling", lambda x, offsets: (x, offsets, "mean")),
    "max_pooling": ("pooling", lambda x, offsets: (x, offsets, "max")),
    "gelu": ("gelu", lambda x: (x,)),
    "readout_magnitude": ("readout", lambda z: (z, "magnitude")),
    "readout_phase": ("readout", lambda z: (z, "phase")),
    "cross_entropy": ("softmax_cross_entropy", lambda z, labels, smoothing: (z, labels, smoothing)),
    "layer_norm": ("layer_norm", lambda x, gain, bias: (x, gain, bias)),
    "modulated_magnitude": ("modulated_magnitude", lambda a, b, offsets: (a, b, offsets)),
    "attention": ("attention", lambda q, k, v, offsets: (q, k, v, offsets, 1)),
    "token2wave": ("token2wave", lambda w, offsets: (w, offsets)),
}


class FixedMask(NamedTuple):
    """In the place of dropout's generator: numbers of which those of a mask are kept."""

    mask: np.ndarray

    def random(self, shape, dtype):
        return self.mask.astype(dtype)


def equation(name, old="", new=""):
    """(forward, backward) of an exercise by the project's equation, in whose source `old` is replaced by `new`."""
    path = ROOT / EXERCISES[name].solution
    source = path.read_text(encoding="utf-8")
    assert source.count(old) == 1 or not old, (name, old)
    module = ModuleType("mistaken")
    vars(module).update(np=np, Wave=Wave)
    exec(compile(source.replace(old, new), str(path), "exec"), vars(module))
    stem, arguments = FUNCTIONS[name]

    def forward(*inputs):
        inputs = [Wave(x.real, x.imag) for x in inputs] if name in WAVES else inputs
        y, cache = getattr(module, f"{stem}_forward")(*arguments(*inputs))
        return from_project(y), (cache, inputs)

    def backward(dy, cache):
        dy = Wave(dy.real, dy.imag) if name in ("interference", "modulation", "token2wave") else dy
        found = getattr(module, f"{stem}_backward")(dy, cache[0])
        several = isinstance(found, tuple) and not hasattr(found, "_fields")
        return tuple(map(from_project, found)) if several else from_project(found, *cache[1])

    return forward, backward


def from_project(y, *inputs):
    """A Wave as a complex array, a row-sparse gradient as a dense one of the table's rows; all else as it is."""
    if isinstance(y, Wave):
        return y.as_complex()
    return y.dense(len(inputs[1])) if hasattr(y, "dense") else y


def write_with_equation(path, name, old="", new=""):
    """Write the file of an exercise with the equation in the place of its functions."""
    lines = [EXERCISES[name].text(), "from tests.support.exercise_equations import equation"]
    path.write_text("\n".join([*lines, f"forward, backward = equation({name!r}, {old!r}, {new!r})"]), encoding="utf-8")
    return str(path)
