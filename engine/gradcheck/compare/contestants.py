"""The gradient checkers that are compared. Each takes a case and returns a Verdict.

Each is used as its documentation says, with its defaults. What their interfaces leave open is done alike for all: the
cotangent is drawn at random, integers and generators are passed on, tuples are flattened.
"""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import check_gradients
from ..arrays import Array
from .case import Case
from .flat import Flat, inner

LARGE = 2000  # more inputs than this are too many to be moved one by one; the checkers have other ways for them


class Verdict(NamedTuple):
    """answer: "ok", "not ok" or "refused" (the checker says that it cannot judge, or raises). reason: in one line."""

    answer: str
    reason: str = ""


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def verdict(fine: bool, reason: str) -> Verdict:
    """Return "ok" or "not ok"."""
    return Verdict("ok" if fine else "not ok", reason)


def ours(case: Case) -> Verdict:
    """check_gradients with its defaults. A report of which nothing was truly checked is not ok."""
    report = check_gradients(*case.make(), case.inputs(), **case.options)
    return verdict(report.ok, report.summary())


def torch_gradcheck(case: Case) -> Verdict:
    """torch.autograd.gradcheck of a torch.autograd.Function: eps 1e-6, atol 1e-5, rtol 1e-3, every entry.

    fast_mode where the whole Jacobian would be too large. Inputs of less than double precision give a warning there
    that the check will likely fail: refused.
    """
    import torch
    from torch.autograd.gradcheck import GradcheckError

    flat = Flat(case)
    if any(x.dtype.itemsize < (16 if x.dtype.kind == "c" else 8) for x in flat.arrays):
        return Verdict("refused", "asks for double precision")

    class Pair(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            outputs, ctx.cache = flat.forward([t.detach().numpy() for t in tensors])
            return tuple(torch.from_numpy(np.array(y)) for y in outputs)

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Any:
            found = flat.backward([c.resolve_conj().numpy() for c in cotangents], ctx.cache)
            return tuple(torch.from_numpy(np.array(g)) for g in found)

    tensors = tuple(torch.from_numpy(x.copy()).requires_grad_() for x in flat.arrays)
    large = sum(x.size for x in flat.arrays) > LARGE
    try:
        torch.autograd.gradcheck(Pair.apply, tensors, fast_mode=large)
    except GradcheckError as error:
        return Verdict("not ok", first_line(error))
    return Verdict("ok")


def jax_check_vjp(case: Case) -> Verdict:
    """jax.test_util.check_vjp, that is check_grads with modes=["rev"]: one random direction, eps 1e-4.

    Tolerances are its defaults: 1e-5 in double, 2e-3 in single precision, relative and absolute. Its cotangents of
    complex numbers are the conjugates of ours. What backward needs is computed anew from the inputs, as it would be in
    a custom_vjp that calls NumPy by pure_callback; arrays cannot be written to there.
    """
    import jax
    from jax.test_util import check_vjp

    flat = Flat(case)

    def f(*arrays: Any) -> list[Array]:
        return flat.forward([np.array(x) for x in arrays])[0]

    def transpose(dy: Any, arrays: Any) -> tuple[Array, ...]:
        cache = flat.forward([np.array(x) for x in arrays])[1]
        return tuple(np.conj(g) for g in flat.backward([np.conj(d) for d in dy], cache))

    def f_vjp(*arrays: Any) -> tuple[list[Array], Callable[[Any], Any]]:
        return f(*arrays), lambda dy: transpose(dy, arrays)

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)  # its documentation: finite differences need it
    try:
        check_vjp(f, f_vjp, tuple(flat.arrays))
    except AssertionError as error:
        return Verdict("not ok", first_line(error))
    finally:
        jax.config.update("jax_enable_x64", before)
    return Verdict("ok")


def chainer_check_backward(case: Case) -> Verdict:
    """The way of chainer.gradient_check.check_backward, written here again: Chainer does not install any more.

    One random direction of norm 1, a central difference with eps 1e-3, atol 1e-5 and rtol 1e-4; the difference in
    float64, as its documentation does it for float32 (dtype=numpy.float64). Complex inputs are refused.
    """
    flat = Flat(case)
    if any(x.dtype.kind == "c" for x in flat.arrays):
        return Verdict("refused", "complex inputs")
    rng = np.random.default_rng(0)
    directions = [rng.normal(size=x.shape) for x in flat.arrays]
    length = np.sqrt(sum(np.sum(u * u) for u in directions)) or 1.0
    directions = [u / length for u in directions]
    outputs, cache = flat.forward(flat.arrays)
    dy = random_cotangents(outputs)
    analytic = sum(np.sum(g * u) for g, u in zip(flat.backward(dy, cache), directions))
    wide = [x.astype(np.float64) for x in flat.arrays]
    right, left = ([np.asarray(x + step * u) for x, u in zip(wide, directions)] for step in (1e-3, -1e-3))
    numeric = flat.difference(dy, right, left) / 2e-3
    error = abs(numeric - analytic)
    return verdict(error <= 1e-5 + 1e-4 * abs(analytic), f"numeric {numeric:.6g}, analytic {analytic:.6g}")


def scipy_check_grad(case: Case) -> Verdict:
    """scipy.optimize.check_grad of Σ dy·f: forward differences with epsilon 1.5e-8, direction="all", or "random".

    It returns an error and no verdict. Ok is an error of at most 1e-5, as in scikit-learn's tests of t-SNE, relative to
    the norm of the gradient where that is above 1. It is made for real vectors.
    """
    from scipy.optimize import check_grad

    flat = Flat(case)
    if any(x.dtype.kind == "c" for x in flat.arrays):
        return Verdict("refused", "complex inputs")
    dy = random_cotangents(Flat(case).outputs())

    def f(w: Array) -> float:
        return flat.product(dy, flat.split(w))

    def gradient(w: Array) -> Array:
        return flat.join(flat.backward(dy, flat.forward(flat.split(w))[1]))

    w = flat.join(flat.arrays)
    direction = "random" if w.size > LARGE else "all"
    error = float(check_grad(f, gradient, w, direction=direction, rng=np.random.default_rng(0)))
    size = float(np.linalg.norm(gradient(w)))
    return verdict(error <= 1e-5 * max(1.0, size), f"error {error:.3g}, gradient {size:.3g}")


def cs231n(case: Case) -> Verdict:
    """The way of the course notes of CS231n, written here again: central differences with h = 1e-5 for every entry.

    The relative error |a − n|/max(1e-8, |a| + |n|) must be at most 1e-4 (the notes: 1e-2 is wrong, 1e-4 fine where
    there are kinks, 1e-7 good). Of a large array ten entries are looked at, as grad_check_sparse there does. The notes
    ask for double precision, and speak of real numbers.
    """
    flat = Flat(case)
    if any(x.dtype != np.float64 for x in flat.arrays):
        return Verdict("refused", "asks for real numbers in double precision")
    rng = np.random.default_rng(0)
    outputs, cache = flat.forward(flat.arrays)
    dy = random_cotangents(outputs)
    worst = 0.0
    for x, gradient in zip(flat.arrays, flat.backward(dy, cache)):
        chosen = range(x.size) if x.size <= LARGE else rng.choice(x.size, 10, replace=False)
        for flat_index in chosen:
            at = np.unravel_index(flat_index, x.shape)
            old = x[at]
            x[at] = old + 1e-5
            right = [y.copy() for y in flat.forward(flat.arrays)[0]]
            x[at] = old - 1e-5
            left = flat.forward(flat.arrays)[0]
            x[at] = old
            numeric, analytic = inner(dy, [y - z for y, z in zip(right, left)]) / 2e-5, float(gradient[at])
            worst = max(worst, abs(numeric - analytic) / max(1e-8, abs(numeric) + abs(analytic)))
    return verdict(worst <= 1e-4, f"relative error {worst:.3g}")


def random_cotangents(outputs: Sequence[Array]) -> list[Array]:
    """Return a normally distributed dy for each output, in its type."""
    rng = np.random.default_rng(1)
    drawn = [(rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape), y.dtype) for y in outputs]
    return [np.asarray(dy if dtype.kind == "c" else dy.real, dtype) for dy, dtype in drawn]


class Contestant(NamedTuple):
    """A checker by the name that the table shows, and the library that it needs."""

    check: Callable[[Case], Verdict]
    library: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether its library can be imported."""
        return self.library is None or importlib.util.find_spec(self.library) is not None

    def judge(self, case: Case) -> Verdict:
        """Return the verdict; an exception is a refusal."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                return self.check(case)
            except Exception as error:  # whatever a checker or a case raises there
                return Verdict("refused", first_line(error))


CONTESTANTS = {
    "gradcheck": Contestant(ours),
    "torch": Contestant(torch_gradcheck, "torch"),
    "jax": Contestant(jax_check_vjp, "jax"),
    "chainer": Contestant(chainer_check_backward),
    "scipy": Contestant(scipy_check_grad, "scipy"),
    "cs231n": Contestant(cs231n),
}
