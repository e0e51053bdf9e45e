"""Wrong arguments are refused by the equations before a kernel, which indexes by hand, sees them."""

import numpy as np
import pytest

from engine.arrays.bag import Bag
from layers.fast import FUNCTIONS
from tests.support.device_stand_in import device  # noqa: F401

F = FUNCTIONS["fast"]
A, B = np.random.default_rng(0).standard_normal((2, 3, 4))  # of whole numbers some would be modulated to nothing
VECTOR = np.zeros(4)
BAG = Bag(np.array([0, 2, 1]), np.array([1, 3, 1]), np.array([0, 2, 2, 3]))
WEIGHTS = (np.zeros((4, 5)), np.zeros(5), np.zeros((5, 4)), np.zeros(4))
OTHERS = {  # in place of an array of (3, 4) float64
    "too few rows": B[:2],
    "too few columns": B[:, :3],
    "another dtype": B.astype(np.float32),
    "integers": B.astype(int),
    "nothing": None,
    "a list": [1.0],
}


def layer_norm(x=A, gain=VECTOR, bias=VECTOR, **options):
    return F.layer_norm_sum_forward(x, gain, bias, 1e-5, **options)


def feed_forward(x=A, activation="gelu", mask=None, **weights):
    known = dict(zip(("expand", "expand_bias", "contract", "contract_bias"), WEIGHTS)) | weights
    return F.feed_forward_forward(x, *known.values(), activation, mask)


def wrong_calls():
    """{name: (message, call)}."""
    return {
        "gain": ("^gain: ", lambda: layer_norm(gain=VECTOR[:3])),
        "bias of another dtype": ("^bias: ", lambda: layer_norm(bias=VECTOR.astype(np.float32))),
        "residual": ("^x: ", lambda: layer_norm(residual=A[:2])),
        "residual of another dtype": ("^x: ", lambda: layer_norm(residual=A.astype(np.float32))),
        "residual_rows": ("^x: ", lambda: layer_norm(residual=A, residual_rows=np.array([0, 1]))),
        "gelu": ("^x: ", lambda: F.gelu_forward(VECTOR)),
        "expand": ("^x: ", lambda: feed_forward(expand=np.zeros((3, 5)))),
        "expand_bias": ("^bias: ", lambda: feed_forward(expand_bias=np.zeros(4))),
        "contract": ("^x: ", lambda: feed_forward(contract=np.zeros((4, 4)))),
        "contract_bias": ("^bias: ", lambda: feed_forward(contract_bias=np.zeros(5))),
        "kind": ("^kind: ", lambda: F.bag_pooling_forward(A, BAG, "median")),
        "labels": ("^labels: ", lambda: F.softmax_cross_entropy_forward(A, np.array([0, 4, 1]))),
        "smoothing": ("^smoothing: ", lambda: F.softmax_cross_entropy_forward(A, np.array([0, 1, 1]), 1.0)),
        "bias_b": (r"^bias_b: expected shape \(4,\)", lambda: F.bag_magnitude_forward(A, B, BAG, bias_b=VECTOR[:3])),
        "a, magnitude": ("^a: ", lambda: F.bag_magnitude_forward(VECTOR, VECTOR, BAG)),
        "a": ("^a: ", lambda: F.wave_pair_forward(VECTOR, VECTOR, BAG, "modulation", "both")),
        "operation": ("^operation: ", lambda: F.wave_pair_forward(A, B, BAG, "sum", "real")),
        "readout": ("^readout: ", lambda: F.wave_pair_forward(A, B, BAG, "modulation", "angle")),
        "scope": ("^scope: ", lambda: F.wave_pair_forward(A, B, BAG, "modulation", "real", "word")),
        **{f"b, {name}": ("^b: ", lambda b=b: wave_pair(A, b)) for name, b in OTHERS.items()},
        **{f"b, magnitude, {name}": ("^b: ", lambda b=b: magnitude(A, b)) for name, b in OTHERS.items()},
    }


def wave_pair(a, b, bag=BAG):
    return F.wave_pair_forward(a, b, bag, "modulation", "both")


def magnitude(a, b, bag=BAG):
    return F.bag_magnitude_forward(a, b, bag)


@pytest.mark.parametrize("name", wrong_calls())
def test_wrong_arguments_are_refused(emulated, name):
    message, call = wrong_calls()[name]
    with emulated() as emulator, pytest.raises(ValueError, match=message):
        call()
    assert {kernel for kernel, _ in emulator.launched} <= {"gather_rows"}  # which looks at the rows it is given


PAIRS = {  # name: forward on right arguments
    "wave_pair": lambda: wave_pair(A, B),
    "bag_magnitude": lambda: magnitude(A, B),
    "layer_norm_sum": layer_norm,
    "gelu": lambda: F.gelu_forward(A),
    "bag_pooling": lambda: F.bag_pooling_forward(A, BAG),
    "feed_forward": feed_forward,
}


@pytest.mark.parametrize("name", PAIRS)
def test_wrong_cotangents_are_refused(emulated, name):
    with emulated() as emulator:
        y, cache = PAIRS[name]()
        assert emulator.launched
        emulator.launched.clear()
        for wrong in (y[:2], y[:, :3], y.astype(np.float32), np.zeros(12), np.zeros((3, 5))):
            with pytest.raises(ValueError, match="^d[yz]: "):
                F.pairs[name][1](wrong, cache)
        assert not emulator.launched


@pytest.mark.parametrize("pair, name", [(wave_pair, "wave_pair"), (magnitude, "bag_magnitude")])
def test_arrays_of_two_devices_are_refused(emulated, device, monkeypatch, pair, name):  # noqa: F811
    monkeypatch.delenv("WAVE_IMPLEMENTATION")  # the stand-in computes by the equations
    with emulated():
        y, cache = pair(A, B)
        for arguments in ((A, device(B), BAG), (A, B, device(BAG))):
            with pytest.raises(ValueError, match="NumPy and of CuPy in one call"):
                pair(*arguments)
        with pytest.raises(ValueError, match="NumPy and of CuPy in one call"):
            F.pairs[name][1](device(y), cache)


def test_arrays_are_found_by_name_as_well(emulated):
    with emulated() as emulator:
        F.gelu_forward(x=A)
        F.wave_pair_forward(b=B, a=A, bag=BAG, operation="modulation", readout="both")
    assert {name for name, _ in emulator.launched} == {"gelu_forward", "wave_pair_forward"}
