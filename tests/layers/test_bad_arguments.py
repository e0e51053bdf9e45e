"""Wrong arguments of every function pair: a ValueError that names the argument."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from layers import wave
from layers.fast import FUNCTIONS
from layers.wave import Wave

OFFSETS = np.array([0, 2, 2, 3])  # of the three rows below
ROWS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]])
ROW, WAVE, WEIGHT = ROWS[0], Wave(ROWS, abs(ROWS)), ROWS[:2]
BAG = Bag(np.array([0, 2, 1]), np.array([1, 3, 1]), OFFSETS)
IDS, LABELS = np.array([0, 1, 0]), np.array([0, 1, 1])
WEIGHTS = np.array([[0.5, 2.0], [3.0, 0.25]])  # of classes
PAIR = (ROWS, ROWS + 5.0, BAG, "interference", "magnitude")

# By the name of a pair: the names of its arguments in order, and good values. "x!" is an array whose number of rows and
# dtype are what the others must have, "x~" one whose number of rows is free, "x*" one that is named by the equation to
# which it is given.
GOOD = {
    "global_magnitude": ("w! offsets scope", (ROWS, OFFSETS, "text")),
    "phase": ("w! G offsets", (ROWS, np.full((3, 2), 4.0), OFFSETS)),
    "polar_to_wave": ("G alpha! offsets", (np.ones((3, 2)), ROWS, OFFSETS)),
    "token2wave": ("w! offsets scope", (ROWS, OFFSETS, "text")),
    "wave": ("w! offsets scope kind", (ROWS, OFFSETS, "text", "phase-free")),
    "operation": ("a! b kind", (WAVE, WAVE, "modulation")),
    "interference": ("a! b", (WAVE, WAVE)),
    "modulation": ("a! b", (WAVE, WAVE)),
    "correlation": ("a! b", (WAVE, WAVE)),
    "readout": ("z! kind", (WAVE, "phase")),
    "modulated_magnitude": ("a! b offsets second_offsets", (ROWS, ROWS, OFFSETS, OFFSETS)),
    "linear": ("x~ weight! bias", (ROWS, WEIGHT, ROW)),
    "embedding": ("ids! table!", (IDS, ROWS)),
    "position_encoding": ("w! places! table~", (ROWS, IDS, ROWS)),
    "naive_bayes": ("gain ratios! offsets", (ROW, ROWS, OFFSETS)),
    "weighted_ratios": ("bias weights ratios! offsets", (ROW, ROWS, ROWS, OFFSETS)),
    "layer_norm": ("x! gain bias", (ROWS, ROW, ROW)),
    "gelu": ("x!", (ROWS,)),
    "relu": ("x!", (ROWS,)),
    "tanh": ("x!", (ROWS,)),
    "dropout": ("x! rate", (ROWS, 0.5, None)),
    "residual": ("f! x", (ROWS, ROWS)),
    "pooling": ("x! offsets kind", (ROWS, OFFSETS, "max")),
    "attention": ("q! k v offsets heads", (ROWS, ROWS, ROWS, OFFSETS, 2)),
    "softmax_cross_entropy": ("z! labels smoothing weights", (ROWS, LABELS, 0.1, WEIGHTS[0])),
    "sigmoid_cross_entropy": ("z! targets smoothing weights", (ROWS, ROWS > 0, 0.1, WEIGHTS)),
    "wave_pair": ("a! b bag operation readout scope", (*PAIR, "dimension")),
    "bag_magnitude": ("a! b bag bias_a bias_b", (ROWS, ROWS, BAG, ROW, ROW)),
    "bag_pooling": ("x! bag kind", (ROWS, BAG, "mean")),
    "layer_norm_sum": ("x!* gain bias epsilon residual*", (ROWS, ROW, ROW, 1e-5, ROWS)),
    "feed_forward": ("x! expand* expand_bias* contract* contract_bias*", (ROWS, WEIGHT, ROW, WEIGHT, ROW, "gelu")),
}
UNNAMED = {"interference", "modulation", "correlation", "global_magnitude", "phase", "polar_to_wave"}  # in EQUATIONS
NUMBERS = {"rate": (-0.1, 1.0, np.nan), "smoothing": (-0.1, 1.0, np.nan), "heads": (0, -1, 3)}
WRONG_OFFSETS = {
    "a list": OFFSETS.tolist(),
    "int32": OFFSETS.astype(np.int32),
    "floats": OFFSETS.astype(float),
    "two axes": OFFSETS[None],
    "no entry": OFFSETS[:0],
    "not from 0": np.array([1, 1, 1, 3]),
    "too few rows": np.array([0, 2, 2, 2]),
    "too many rows": np.array([0, 2, 2, 4]),
    "falling": np.array([0, 2, 1, 3]),
}
WRONG_INTEGERS = {  # ids and labels, both below 2
    "a list": [0, 1, 0],
    "None": None,
    "floats": IDS.astype(float),
    "two axes": IDS[None],
    "negative": IDS - 1,
    "too large": IDS + 3,
}


def wrong_floats(x, name=""):
    """{what is wrong: an array in the place of x}. name: with its marks, see above."""
    wrong = {
        "a list": x.tolist(),
        "integers": x.astype(int),
        "half precision": x.astype(np.float16),
        "an axis less": x[0],
        "an axis more": x[None],
        "a number": np.float64(1.0),
    }
    if "!" not in name:
        wrong["another dtype"] = x.astype(np.float64 if x.dtype == np.float32 else np.float32)
        wrong["too many columns"] = np.concatenate([x, x], axis=-1)
    if "!" not in name and "~" not in name:
        wrong["too few rows"] = x[:-1]
    return wrong


def wrong_values(name, value, dtype):
    """{what is wrong: (the name in the message, a wrong value)} of an argument."""
    plain = name.rstrip("!~*")
    shown = r"\w+" if "*" in name else plain
    if isinstance(value, Wave):
        part = value.re.astype(dtype)
        found = {}
        for axis, of in enumerate(("re", "im")):
            for what, x in wrong_floats(part, name if of == "re" else "").items():
                wave_of = Wave(x, part) if axis == 0 else Wave(part, x)
                found[f"{of}: {what}"] = (rf"{plain}\.{of}", wave_of)
        return found
    if isinstance(value, str):
        return {"another choice": (rf"{shown}: expected one of .*got 'nonsense'", "nonsense")}
    if plain in NUMBERS:
        return {str(x): (shown, x) for x in NUMBERS[plain]}
    if isinstance(value, np.ndarray) and value.dtype == np.int64:
        wrong = WRONG_OFFSETS if plain.endswith("offsets") else WRONG_INTEGERS
        return {what: (shown, x) for what, x in wrong.items()}
    if isinstance(value, np.ndarray):
        return {what: (shown, x) for what, x in wrong_floats(value.astype(dtype), name).items()}
    return {}  # a Bag, which its makers check, or a number


def pair_of(functions, name):
    """(forward, backward) of a pair among these functions, or of an equation that has no name of its own there."""
    if name in UNNAMED:
        return getattr(wave, f"{name}_forward"), getattr(wave, f"{name}_backward")
    return functions.pairs[name]


def as_dtype(value, dtype):
    if isinstance(value, Wave):
        return Wave(value.re.astype(dtype), value.im.astype(dtype))
    return value.astype(dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def good_arguments(name, dtype):
    return [as_dtype(value, dtype) for value in GOOD[name][1]]


ARGUMENTS = [(pair, at, name) for pair, (names, _) in GOOD.items() for at, name in enumerate(names.split())]


def wrong_cotangents(y):
    """(name in the message, a cotangent that y does not have)."""
    if isinstance(y, Wave):
        for at, part in enumerate(("re", "im")):
            for _, wrong in wrong_cotangents(y.re):
                yield rf"d[a-z]\.{part}", Wave(wrong, y.im) if at == 0 else Wave(y.re, wrong)
        return
    for wrong in wrong_floats(y).values():
        yield r"d\w+", wrong


@pytest.mark.parametrize("implementation", ["equations", "fast"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair, at, name", ARGUMENTS, ids=[f"{pair}, {name}" for pair, _, name in ARGUMENTS])
def test_a_wrong_argument_is_named(pair, at, name, dtype, implementation):
    """Whatever is wrong of it."""
    forward, _ = pair_of(FUNCTIONS[implementation], pair)
    forward(*good_arguments(pair, dtype))
    for what, (shown, wrong) in wrong_values(name, GOOD[pair][1][at], dtype).items():
        arguments = good_arguments(pair, dtype)
        arguments[at] = wrong
        with pytest.raises(ValueError, match=f"^{shown}"):
            forward(*arguments)
            pytest.fail(f"{what}: no error")


@pytest.mark.parametrize("implementation", ["equations", "fast"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair", [name for name in GOOD if not name.endswith("cross_entropy")])  # a number
def test_a_wrong_cotangent_is_named(pair, dtype, implementation):
    forward, backward = pair_of(FUNCTIONS[implementation], pair)
    y, cache = forward(*good_arguments(pair, dtype))
    backward(y, cache)
    for shown, wrong in wrong_cotangents(y):
        with pytest.raises(ValueError, match=f"^{shown}: expected"):
            backward(wrong, cache)


def test_every_pair_has_a_row_of_the_table():
    assert set(FUNCTIONS["fast"].pairs) == set(GOOD) - UNNAMED
    exported = {name for name in vars(wave) if name.endswith("_forward")}
    assert exported <= {f"{name}_forward" for name in GOOD}


def test_what_has_no_complex_form_refuses_complex_numbers():
    rows = ROWS.astype(complex)
    with pytest.raises(ValueError, match="^z.re: .*complex128"):
        wave.readout_forward(Wave(rows, rows), "phase")
    with pytest.raises(ValueError, match="^w: .*complex128"):
        wave.phase_forward(rows, np.full((3, 2), 4.0), OFFSETS)
