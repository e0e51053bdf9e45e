"""A stand-in for a device: arrays that NumPy may not touch, and a module in the place of CuPy that owns them.

Code that asks array_module(x) for its module runs on them unchanged; code that calls NumPy, or mixes both, fails as on
a GPU.
"""

import sys
import types

import numpy as np
import pytest

import engine.arrays.ragged


class DeviceArray:
    """An array of the stand-in. It does what its NumPy array does, but only with numbers and with its like."""

    __array_ufunc__ = None  # NumPy's functions refuse it
    __hash__ = None

    def __init__(self, host):
        self.host = host

    def get(self):
        return self.host

    def __getattr__(self, name):
        found = getattr(self.host, name)
        return on_device(found) if callable(found) else to_stand_in(found)

    def __len__(self):
        return len(self.host)

    def __iter__(self):
        return (to_stand_in(row) for row in self.host)

    def __int__(self):
        return int(self.host)


def to_host(x):
    """The NumPy array behind one of the stand-in, also in lists and tuples.

    Numbers, shapes and dtypes pass; arrays of NumPy do not.
    """
    if isinstance(x, np.ndarray):
        raise TypeError("an array of NumPy on the device")
    if isinstance(x, (tuple, list)):
        return (tuple if isinstance(x, tuple) else list)(to_host(part) for part in x)
    return x.host if isinstance(x, DeviceArray) else x


def to_stand_in(x):
    """Arrays of NumPy as arrays of the stand-in; anything else as it is. Waves and other tuples part by part."""
    if isinstance(x, tuple):
        parts = [to_stand_in(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return DeviceArray(x) if isinstance(x, np.ndarray) else x


def on_device(function):
    """A function of NumPy for arrays of the stand-in."""

    def wrapped(*args, **options):
        out = options.pop("out", None)
        result = function(
            *map(to_host, args),
            **{k: to_host(v) for k, v in options.items()},
            **({} if out is None else {"out": out.host}),
        )
        return to_stand_in(np.asarray(result) if isinstance(result, np.generic) else result)

    return wrapped


def give_operators():
    """Operators are looked up on the class, past __getattr__. In place they write into the same array."""
    binary = "add sub mul truediv floordiv mod pow matmul and or xor lt le gt ge eq ne getitem setitem".split()
    for name in [f"__{n}__" for n in [*binary, "neg", "abs", "invert"]] + [f"__r{n}__" for n in binary[:11]]:
        setattr(DeviceArray, name, lambda self, *args, name=name: on_device(getattr(np.ndarray, name))(self, *args))
    for name in [f"__i{n}__" for n in binary[:11]]:

        def in_place(self, other, name=name):
            getattr(self.host, name)(to_host(other))
            return self

        setattr(DeviceArray, name, in_place)


give_operators()


class StandInModule(types.ModuleType):
    """cupy.anything is numpy.anything for arrays of the stand-in."""

    ndarray = DeviceArray

    def __getattr__(self, name):
        found = getattr(np, name)
        return on_device(found) if callable(found) and not isinstance(found, type) else found


@pytest.fixture
def device(monkeypatch):
    """A function that moves arrays to the stand-in. Equations only: it runs no kernels."""
    monkeypatch.setenv("WAVE_IMPLEMENTATION", "equations")

    def segments(x, offsets, kind, dtype):
        function = {"sum": engine.arrays.ragged.segment_sum, "max": engine.arrays.ragged.segment_max}[kind]
        return DeviceArray(function(to_host(x), to_host(offsets)).astype(dtype))

    monkeypatch.setitem(sys.modules, "cupy", StandInModule("cupy"))
    monkeypatch.setattr(engine.arrays.ragged, "reduce_on_device", segments)
    return to_stand_in


def leaves(tree):
    """The arrays of a tree, of either kind."""
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, tuple) else [tree]


def assert_computes_on_the_device(device, backward, cotangent, cache):
    """The law: gradients lie where the arrays of the call lie, and are bit by bit those of NumPy."""
    found = leaves(backward(device(cotangent), device(cache)))
    expected = leaves(backward(cotangent, cache))
    assert all(isinstance(part, DeviceArray) for part in found)
    assert [(part.dtype, part.get().tobytes()) for part in found] == [(part.dtype, part.tobytes()) for part in expected]


def assert_refuses_two_devices(device, backward, cotangent, cache):
    """The law: a cotangent that lies elsewhere than the cache is refused with an error that says so."""
    for call in ((cotangent, device(cache)), (device(cotangent), cache)):
        with pytest.raises(ValueError, match="NumPy and of CuPy in one call"):
            backward(*call)
