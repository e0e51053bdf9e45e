"""Arrays that count the floating-point operations they go through, by the convention of layers/costs.py."""

import contextlib
from unittest import mock

import numpy as np

from layers.costs import Flops


class Counted(np.ndarray):
    """An array whose operations are added up in Counted.operations. Results are Counted too."""

    operations = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        inputs = [as_plain(x) for x in inputs]
        result = getattr(ufunc, method)(
            *inputs, **kwargs if out is None else {**kwargs, "out": tuple(map(as_plain, out))}
        )
        if any(np.result_type(x).kind == "f" for x in (*inputs, result)):
            if ufunc is np.matmul:
                Counted.operations += 2 * result.size * inputs[0].shape[-1]
            elif method == "reduce":
                Counted.operations += inputs[0].size
            elif np.ndim(result):  # single numbers are there once per batch
                Counted.operations += result.size
        return as_counted(result) if out is None else out[0]

    def argmax(self, axis=None):
        Counted.operations += self.size
        return as_plain(self).argmax(axis=axis)

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        if function is np.where:
            Counted.operations += result.size
        if function is np.einsum:
            Counted.operations += 2 * args[1].size
        return as_counted(result)


def as_plain(x):
    return x.view(np.ndarray) if isinstance(x, Counted) else x


def as_counted(x):
    return x.view(Counted) if isinstance(x, np.ndarray) and x.dtype.kind in "bf" else x  # masks are multiplied by


@contextlib.contextmanager
def counting():
    """Float arrays that NumPy makes anew are Counted while the context lasts."""

    def made(function):
        return lambda *args, **kwargs: as_counted(function(*args, **kwargs))

    makers = {name: made(getattr(np, name)) for name in ("empty", "zeros", "ones", "full")}
    with mock.patch.multiple(np, **makers, asarray=np.asanyarray):
        yield


def counted_flops(forward, backward):
    """Flops of forward() → (…, cache) and backward(cache), as they run."""
    with counting():
        Counted.operations = 0
        cache = forward()[1]
        of_forward, Counted.operations = Counted.operations, 0
        backward(cache)
    return Flops(of_forward, Counted.operations)
