"""The forms in which backward returns gradients: which belongs to which input, and what is wrong with them.

Backward returns the only gradient, bare or in a tuple; a tuple in the order of wrt; or a tuple with an entry for every
input, of which those that are not differentiated have None, zeros or an empty array. The gradient of an input has its
form, a dict its keys in any order; parts that are not differentiated are left out or, again, None or zeros. A gradient
may be sparse: one of scipy.sparse, or `rows` and `values` of an array with a method dense(row_count).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .arrays import Array, Problems, Tree, array_module, is_container, is_row_sparse, leaves, to_host_array
from .forms import float_leaves, listed


def as_gradient(gradient: Any, value: Array) -> Any:
    """Return a gradient of `value` as an array: a sparse one made dense, a number for a 0-d array, other libraries'.

    What is no array is returned as it is. Raises ValueError for an array that cannot be read.
    """
    if type(gradient) is np.ndarray or gradient is None:
        return gradient
    try:
        if is_row_sparse(gradient):
            gradient = gradient.dense(len(value))
        if type(gradient) in (float, complex, int):
            return gradient if value.ndim else np.asarray(gradient, np.result_type(value.dtype, gradient))
        is_array = any(hasattr(gradient, name) for name in ("shape", "__array__", "__dlpack__"))
        return to_host_array(gradient) if is_array and array_module(gradient) is np else gradient
    except Exception as error:  # every library has its own
        text = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"its gradient, a {type(gradient).__name__}, cannot be read as an array: {text}") from error


def input_gradients(
    returned: Tree, inputs: Sequence[Any], wrt: Sequence[int], explicit: bool
) -> tuple[list[Any], Problems]:
    """Return the leaves of what backward returned, one for each input block (None where the form is wrong).

    explicit: the caller named the differentiated inputs.
    """
    if not wrt:
        return [], []
    if len(wrt) == 1 and type(returned) is type(inputs[wrt[0]]) is np.ndarray:  # by far the most frequent form
        return [returned], []
    first: tuple[list[Any], Problems] | None = None
    for gradients, problems in readings(returned, inputs, wrt, explicit):
        found: list[Any] = []
        for i, gradient in zip(wrt, gradients):
            own, wrong = aligned(gradient, inputs[i], f"input {i}")
            found += own
            problems += wrong
        if not problems:
            return found, []
        first = first or (found, problems)
    count = sum(len(float_leaves(inputs[i], "")) for i in wrt)
    return first or ([None] * count, [("backward", wrong_count(returned, inputs, wrt))])


def readings(
    returned: Tree, inputs: Sequence[Any], wrt: Sequence[int], explicit: bool
) -> Iterator[tuple[list[Any], Problems]]:
    """Yield (a gradient for each of wrt, problems) in the ways in which `returned` can be meant; no two ways can fit.

    The only gradient by itself; a tuple in the order of wrt; a tuple with an entry for every input.
    """
    is_sequence = isinstance(returned, (tuple, list)) and is_container(returned)
    if len(wrt) == 1 and (not is_sequence or is_container(inputs[wrt[0]])):
        yield [returned], []
    if not is_sequence:
        return
    if len(returned) == len(wrt):
        yield list(returned), []
    elif len(returned) == len(inputs):
        others = [] if explicit else [i for i in range(len(inputs)) if i not in wrt and not is_nothing(returned[i])]
        text = "has a gradient but is not differentiated: return None for it, or name it in wrt="
        yield [returned[i] for i in wrt], [(f"input {i}", text) for i in others]


def wrong_count(returned: Tree, inputs: Sequence[Any], wrt: Sequence[int]) -> str:
    """Say what backward returned in the place of its gradients."""
    is_sequence = isinstance(returned, (tuple, list)) and is_container(returned)
    what = (
        f"{len(returned)} gradients"
        if is_sequence
        else "None"
        if returned is None
        else f"one {type(returned).__name__}"
    )
    wanted = str(len(wrt)) if is_sequence else f"a tuple of {len(wrt)}"
    names = ", ".join(f"input {i}" for i in wrt)
    remedy = "is a return statement missing?" if returned is None else "wrt= names the differentiated inputs"
    return f"returned {what}, expected {wanted}, for {names} ({remedy})"


def aligned(gradient: Tree, value: Tree, name: str) -> tuple[list[Any], Problems]:
    """Return the gradients of the float_leaves of one input, by their names, and what is wrong with the form."""
    if not is_container(value):
        if gradient is None:
            return [None], [(name, "its gradient is None")]
        if is_container(gradient):
            return [None], [(name, f"its gradient is a {type(gradient).__name__}, expected one array like the input")]
        return [gradient], []
    wanted, got = [part for part, _ in float_leaves(value, name)], dict(leaves(gradient, name))
    found = [got.get(part) for part in wanted]
    if gradient is None:
        return found, [(name, "its gradient is None")]
    others = {part: leaf for part, leaf in got.items() if part not in wanted and not is_nothing(leaf)}
    if others:
        form = listed(others) if is_container(gradient) else f"one {type(gradient).__name__}"
        missing = [part for part in wanted if part not in got]
        problem = f"its gradient must have the parts {listed(wanted)}, got {form}"
        if not missing:
            problem = f"its gradient has parts that are not differentiated: {form}"
        return found, [(name, problem)]
    return found, [(part, "its gradient is None or missing") for part in wanted if part not in got]


def is_nothing(gradient: Any) -> bool:
    """Tell whether this may stand for the gradient of what has none: None, zeros, nothing at all, JAX's float0."""
    if gradient is None or is_container(gradient):
        return all(is_nothing(leaf) for _, leaf in leaves(gradient, ""))
    try:
        return not np.any(to_host_array(gradient))
    except Exception:  # no array, and every library has its own
        return False
