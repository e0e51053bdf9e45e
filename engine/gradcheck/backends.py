"""The same function pair on other devices and in other precision: do results and gradients agree with float64 NumPy?"""

import numpy as np

from engine.arrays.backend import to_device, why_no_cuda
from engine.arrays.checks import check_choice
from engine.gradcheck.point import Point
from engine.gradcheck.properties import cotangent, rebuild_arrays
from engine.gradcheck.report import GradientReport, Row
from engine.gradcheck.trees import input_gradients, leaves, norm, real_vector, rebuild, to_host_array
from engine.support.errors import UserError

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}
TYPES = {
    ("float32", "f"): np.float32,
    ("float32", "c"): np.complex64,
    ("float64", "f"): np.float64,
    ("float64", "c"): np.complex128,
}


def compare_backends(
    forward,
    backward,
    inputs,
    *,
    wrt=None,
    parameters=None,
    devices=None,
    dtypes=("float64", "float32"),
    tolerances=None,
    seed=0,
):
    """Compare results and gradients on other devices and in other precision with those of NumPy in float64.

    inputs: float64 NumPy arrays among anything else, as in check_gradients; integer arrays (offsets, ids) follow to the
    device. devices: of "cpu" and "cuda"; None takes cuda where it is usable, and a note says so where it is not.
    dtypes: of "float64" and "float32". tolerances: {dtype: ‖difference‖/‖result‖}, TOLERANCES if None.

    Returns a GradientReport with a row for each output and each gradient on each device in each dtype; its method is
    "float64_twin". The cotangent is the same everywhere, rounded to float32 where that is asked for, and so are the inputs:
    what is compared is the arithmetic, not the rounding of what goes in. Raises ValueError for wrong arguments and
    UserError for a device that is not usable.
    """
    notes = []
    if devices is None:
        reason = why_no_cuda()
        devices = ("cpu",) if reason else ("cpu", "cuda")
        notes += [f"no GPU was compared: {reason}"] if reason else []
    for device in devices:
        check_choice("devices", device, ("cpu", "cuda"))
        if device == "cuda" and why_no_cuda():
            raise UserError(f"devices: cuda is not usable ({why_no_cuda()}); leave it out")
    for dtype in dtypes:
        check_choice("dtypes", dtype, tuple(TOLERANCES))
    point = Point(forward, inputs, wrt, parameters)
    limits = {**TOLERANCES, **(tolerances or {})}
    rows = []
    for dtype in dtypes:
        expected = run(point, backward, "cpu", "float64", seed, rounded=dtype)
        for device in devices:
            if (device, dtype) != ("cpu", "float64"):
                found = run(point, backward, device, dtype, seed, rounded=dtype)
                rows += compared(found, expected, f"{device} {dtype}", limits[dtype])
    return GradientReport(
        tuple(rows), seed, "float64", "numpy", step=0.0, tolerance=max(limits[d] for d in dtypes), notes=tuple(notes)
    )


def run(point, backward, device, dtype, seed, rounded):
    """[(name, host array)] of all outputs and gradients. rounded: the dtype whose numbers go in, whatever computes on them."""

    def prepared(x):
        kind = x.dtype.kind
        return to_device(to_host_array(x).astype(TYPES[rounded, kind]).astype(TYPES[dtype, kind]), device)

    def moved(leaf):
        return to_device(leaf, device) if isinstance(leaf, np.ndarray) else leaf

    with point.restored():
        arguments = [rebuild(tree, (moved(leaf) for _, leaf in leaves(tree, ""))) for tree in point.place()]
        for i in point.wrt:
            arguments[i] = rebuild_arrays(point.inputs[i], prepared)
        for parameter in point.parameters.values():
            parameter.value, parameter.grad = prepared(parameter.value), None
        y, cache = point.forward(*arguments)
        drawn = (
            (leaf, prepared(part)) for (_, leaf), (_, part) in zip(leaves(y, ""), leaves(cotangent(y, seed, 1), ""))
        )
        dy = rebuild(y, (part[()] if np.isscalar(leaf) else part for leaf, part in drawn))
        found, problems = input_gradients(backward(dy, cache), point)
        found += [p.dense_grad() for p in point.parameters.values()]
    if problems:
        raise ValueError(f"backward: {problems[0][0]}: {problems[0][1]}")
    named = leaves(y, "output") + [(f"gradient of {b.name}", g) for b, g in zip(point.blocks, found)]
    return [(name, to_host_array(array)) for name, array in named]


def compared(found, expected, where, tolerance):
    """A Row for each array."""
    rows = []
    for (name, one), (_, other) in zip(found, expected):
        a, b = real_vector([one.astype(other.dtype)]), real_vector([other])
        error = float(norm(a - b) / (norm(b) or 1.0)) if one.shape == other.shape else np.inf
        message = "" if one.shape == other.shape else f"shape {one.shape}, expected {other.shape}"
        rows.append(
            Row(
                f"{name}, {where}",
                "ok" if error <= tolerance else "FAIL",
                "float64_twin",
                relative_error=error,
                tolerance=tolerance,
                message=message,
            )
        )
    return rows
