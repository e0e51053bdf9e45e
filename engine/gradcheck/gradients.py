"""What backward returned and left in the parameters, laid beside the blocks it belongs to."""

from typing import Any

from engine.gradcheck.arrays import to_host_array
from engine.gradcheck.point import Point
from engine.gradcheck.trees import count_not_finite, leaves
from engine.gradcheck.types import Array, Backward, Cache, Tree

Problems = list[tuple[str, str]]  # (name of a block, what is wrong with its gradient)


def run_backward(point: Point, backward: Backward, dy: Tree, cache: Cache) -> tuple[list[Array | None], Problems]:
    """Run one backward; return a host array for each block (None where it cannot be used), and what is wrong.

    Gradients of parameters are cleared before.
    """
    for parameter in point.parameters.values():
        parameter.grad = None
    found, problems = input_gradients(backward(dy, cache), point)
    found += [p.dense_grad() for p in point.parameters.values()]
    gradients: list[Array | None] = []
    for block, gradient in zip(point.blocks, found):
        problem = None if gradient is None else what_is_wrong(gradient, block.value)
        if problem:
            problems.append((block.name, problem))
        gradients.append(None if gradient is None or problem else to_host_array(gradient))
    return gradients, problems


def input_gradients(returned: Tree, point: Point) -> tuple[list[Any], Problems]:
    """Return the leaves of what backward returned, one for each input block (None where the form is wrong)."""
    expected = len(point.wrt)
    if expected == 0:
        return [], []
    if expected == 1 and not is_wrapped(returned, point.inputs[point.wrt[0]]):
        returned = (returned,)
    if not isinstance(returned, (tuple, list)) or len(returned) != expected:
        is_sequence = isinstance(returned, (tuple, list))
        count = f"{len(returned)} gradients" if is_sequence else f"one {type(returned).__name__}"
        names = ", ".join(f"input {i}" for i in point.wrt)
        problem = f"returned {count}, expected {expected}, for {names} (wrt= names the differentiated inputs)"
        return [None] * point.input_block_count, [("backward", problem)]
    found: list[Any] = []
    problems: Problems = []
    for i, gradient in zip(point.wrt, returned):
        wanted, got = leaves(point.inputs[i], f"input {i}"), leaves(gradient, f"input {i}")
        names = ", ".join(name for name, _ in got)
        if [name for name, _ in wanted] != [name for name, _ in got]:
            form = names if isinstance(gradient, (tuple, list)) else f"one {type(gradient).__name__}"
            parts = ", ".join(name for name, _ in wanted)
            problems.append((f"input {i}", f"its gradient must have the parts {parts}, got {form}"))
            found += [None] * len(wanted)
        else:
            found += [leaf for _, leaf in got]
    for block, gradient in zip(point.blocks, found):
        if gradient is None and not problems:
            problems.append((block.name, "its gradient is None"))
    return found, problems


def is_wrapped(returned: Tree, value: Tree) -> bool:
    """Tell whether backward wrapped the only gradient in a tuple: (dx,) for x, (dz,) for a pair z."""
    if not isinstance(returned, (tuple, list)) or len(returned) != 1:
        return False
    return len(leaves(value, "")) != 1 or not isinstance(value, (tuple, list)) or isinstance(returned[0], (tuple, list))


def what_is_wrong(gradient: Any, value: Array) -> str | None:
    """Return why an array cannot be the gradient of `value`, in words, or None."""
    if not hasattr(gradient, "dtype") or not hasattr(gradient, "shape"):
        return f"its gradient is a {type(gradient).__name__}, expected an array of shape {value.shape}"
    if gradient.shape != value.shape:
        return f"its gradient has shape {gradient.shape}, expected {value.shape}"
    if gradient.dtype != value.dtype:
        return f"its gradient has dtype {gradient.dtype}, expected {value.dtype}"
    bad = count_not_finite(to_host_array(gradient))
    return f"{bad} of {gradient.size} entries of its gradient are NaN or infinite" if bad else None
