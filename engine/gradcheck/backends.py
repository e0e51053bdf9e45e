"""Run a function pair on other devices and in other precision: do results and gradients agree with float64 NumPy?"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import (
    Array,
    Backward,
    Forward,
    Parameter,
    check_choice,
    is_float_array,
    leaves,
    norm,
    real_vector,
    rebuild,
    to_device,
    to_host_array,
    why_no_cuda,
)
from .gradients import as_gradient
from .point import Point
from .properties import cotangent
from .report import GradientReport, Row

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
TYPES: dict[tuple[str, str], type[np.number[Any]]] = {
    ("float32", "f"): np.float32,
    ("float32", "c"): np.complex64,
    ("float64", "f"): np.float64,
    ("float64", "c"): np.complex128,
}


def compare_backends(
    forward: Forward,
    backward: Backward,
    inputs: Sequence[Any],
    *,
    wrt: Sequence[int] | None = None,
    parameters: Mapping[str, Parameter] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[str] = ("float64", "float32"),
    tolerances: Mapping[str, float] | None = None,
    seed: int = 0,
) -> GradientReport:
    """Compare results and gradients on other devices and in other precision with those of NumPy in float64.

    inputs: float64 NumPy arrays among anything else, as in check_gradients; integer arrays (offsets, ids) follow to the
    device. devices: of "cpu" and "cuda"; None takes cuda where it is usable, and a note says so where it is not.
    dtypes: of "float64" and "float32". tolerances: {dtype: ‖difference‖/‖result‖}, TOLERANCES if None.

    The report has a row for each output and each gradient on each device in each dtype; its method is "float64_twin".
    The cotangent is the same everywhere, rounded to float32 where that is asked for, and so are the inputs: what is
    compared is the arithmetic, not the rounding of what goes in. Raises ValueError for wrong arguments, a device that
    is not usable among them.
    """
    notes = []
    if devices is None:
        reason = why_no_cuda()
        devices = ("cpu",) if reason else ("cpu", "cuda")
        notes += [f"no GPU was compared: {reason}"] if reason else []
    for device in devices:
        check_choice("devices", device, ("cpu", "cuda"))
        if device == "cuda" and (reason := why_no_cuda()):
            raise ValueError(f"devices: cuda is not usable ({reason}); leave it out")
    for dtype in dtypes:
        check_choice("dtypes", dtype, tuple(TOLERANCES))
    point = Point(forward, inputs, wrt, parameters)
    limits = {**TOLERANCES, **(tolerances or {})}
    rows = []
    for dtype in dtypes:
        expected = evaluate_on(point, backward, "cpu", "float64", seed, rounded=dtype)
        for device in devices:
            if (device, dtype) != ("cpu", "float64"):
                found = evaluate_on(point, backward, device, dtype, seed, rounded=dtype)
                rows += compared(found, expected, f"{device} {dtype}", limits[dtype])
    return GradientReport(
        tuple(rows),
        seed,
        "float64",
        "numpy",
        step=0.0,
        tolerance=max(limits[d] for d in dtypes),
        notes=(*point.output.notes, *notes),
    )


def evaluate_on(
    point: Point, backward: Backward, device: str, dtype: str, seed: int, rounded: str
) -> list[tuple[str, Array]]:
    """Return [(name, host array)] of all outputs and gradients, computed on a device in a dtype.

    rounded: the dtype whose numbers go in, whatever computes on them.
    """

    def prepared(x: Any) -> Any:
        kind = x.dtype.kind
        return to_device(to_host_array(x).astype(TYPES[rounded, kind]).astype(TYPES[dtype, kind]), device)

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        return prepared(leaf) if is_float_array(leaf) else to_device(leaf, device)

    with point.restored():
        arguments = point.place([prepared(b.value) for b in point.blocks])
        for i in set(range(len(arguments))) - set(point.wrt):
            arguments[i] = rebuild(arguments[i], (moved(leaf) for _, leaf in leaves(arguments[i], "")))
        for parameter in point.parameters.values():
            parameter.grad = None
        y, cache = point.call(arguments)
        drawn = (
            (leaf, prepared(part)) for (_, leaf), (_, part) in zip(leaves(y, ""), leaves(cotangent(y, seed, 1), ""))
        )
        dy = rebuild(y, (part[()] if np.isscalar(leaf) else part for leaf, part in drawn))
        found, problems = point.gradients(backward, dy, cache)
    found = [as_gradient(g, b.value) for b, g in zip(point.blocks, found)]
    problems += [
        (b.name, f"its gradient is a {type(g).__name__}, expected an array")
        for b, g in zip(point.blocks, found)
        if g is not None and not hasattr(g, "dtype")
    ]
    if problems:
        name, problem = problems[0]
        raise ValueError(f"backward: {problem}" if name == "backward" else f"backward: {name}: {problem}")
    named = leaves(y, "output")
    named += [(f"gradient of {b.name}", g) for b, g in zip(point.blocks, found)]
    return [(name, to_host_array(array)) for name, array in named]


def compared(
    found: Iterable[tuple[str, Array]], expected: Iterable[tuple[str, Array]], where: str, tolerance: float
) -> list[Row]:
    """Return a Row for each array."""
    rows = []
    for (name, one), (_, other) in zip(found, expected):
        a, b = real_vector([one.astype(other.dtype)]), real_vector([other])
        fits = one.shape == other.shape
        error = norm(a - b) / (norm(b) or 1.0) if fits else np.inf
        rows.append(
            Row(
                f"{name}, {where}",
                "ok" if error <= tolerance else "FAIL",
                "float64_twin",
                relative_error=error,
                tolerance=tolerance,
                message="" if fits else f"shape {one.shape}, expected {other.shape}",
            )
        )
    return rows
