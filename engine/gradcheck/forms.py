"""The forms in which forward takes and returns arrays: what is differentiated of them, and what is wrong with them.

Inputs. Float arrays are differentiated, also in tuples, lists, NamedTuples and dicts, beside integers or None; sparse
arrays are data. Floats, and tuples and dicts with text in them, are settings unless wrt names them. Settings are passed
on as they are, random generators and dicts as copies: what a forward changes in them is forgotten.

Outputs. Arrays, floats, and tuples, lists, NamedTuples and dicts of them. What is no float has the cotangent None.

Arrays of other libraries are read as NumPy's; the cotangent of one, and an input that was one, is handed over in its
own library where that is PyTorch or names its module by the array API standard (JAX), and as a NumPy array otherwise.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .arrays import (
    Array,
    Cache,
    Tree,
    array_like,
    array_module,
    is_float_array,
    is_torch,
    leaves,
    rebuild,
    to_host_array,
)

LISTED = 4  # names in a message


def check_arguments(forward: Any, inputs: Any, parameters: Any) -> None:
    """Raise ValueError unless these are a function, a tuple or list of its arguments and a dict of parameters."""
    check_callable("forward", forward)
    if not isinstance(inputs, (tuple, list)) or hasattr(inputs, "_fields"):
        what = type(inputs).__name__
        raise ValueError(f"inputs: expected a tuple of the arguments of forward, got {what}: write (x,) for a single x")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ValueError(f"parameters: expected a dict by name, got {type(parameters).__name__}")
    for name, parameter in (parameters or {}).items():
        if not all(hasattr(parameter, attribute) for attribute in ("value", "grad", "dense_grad")):
            what = type(parameter).__name__
            raise ValueError(f"parameters: {name} is a {what}, expected an object with value, grad and dense_grad()")


def check_callable(name: str, function: Any) -> None:
    """Raise ValueError unless this is a function."""
    if not callable(function):
        raise ValueError(f"{name}: expected a function, got {type(function).__name__}")


def is_number(x: Any) -> bool:
    """Tell whether x is a float or complex number, of Python or NumPy."""
    return isinstance(x, (float, complex, np.inexact))


def float_leaves(tree: Tree, name: str) -> list[tuple[str, Any]]:
    """Return [(name, leaf)] of what is differentiated of an input: its float arrays, or all of it where it is a number.

    Other leaves are passed on as they are.
    """
    if is_number(tree):
        return [(name, tree)]
    return [(leaf_name, leaf) for leaf_name, leaf in leaves(tree, name) if is_float_array(leaf)]


def rebuild_floats(tree: Tree, values: Iterator[Array]) -> Tree:
    """Return an input whose float_leaves are taken from `values`, each as the kind of array that it was."""
    if is_float_array(tree) or is_number(tree):
        return array_like(next(values), tree)
    parts = (array_like(next(values), leaf) if is_float_array(leaf) else leaf for _, leaf in leaves(tree, ""))
    return rebuild(tree, parts)


def copied_dicts(x: Any) -> Any:
    """Return x, or a copy where it is a dict, in which a forward may keep running statistics."""
    return {key: copied_dicts(part) for key, part in x.items()} if type(x) is dict else x


def which_inputs(inputs: Sequence[Any], wrt: Sequence[int] | None) -> list[int]:
    """Return the indices of the differentiated inputs, in the order in which backward returns their gradients."""
    if wrt is None:
        return [i for i, x in enumerate(inputs) if is_differentiated(x)]
    chosen = list(wrt) if isinstance(wrt, Iterable) else [wrt]
    if not isinstance(wrt, Iterable) or not all(isinstance(i, (int, np.integer)) for i in chosen):
        raise ValueError(f"wrt: expected indices of inputs, [0] for the first, got {wrt!r}")
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"wrt: {chosen} names an input twice")
    for i in chosen:
        if not 0 <= i < len(inputs):
            raise ValueError(f"wrt: there is no input {i}, forward has {len(inputs)}")
        if not float_leaves(inputs[i], ""):
            remedy = ": make it dense by toarray()" if hasattr(inputs[i], "toarray") else ""
            raise ValueError(f"wrt: input {i} is no float array and no float, it is a {kind_of(inputs[i])}{remedy}")
    return chosen


def is_differentiated(x: Any) -> bool:
    """Tell whether an input is differentiated where wrt does not say: it holds float arrays and no text.

    A number is a setting, and so is a tuple or dict with text in it, such as {"mode": "train", "running_mean": …}.
    """
    named = [] if is_number(x) else leaves(x, "")
    return any(is_float_array(leaf) for _, leaf in named) and not any(isinstance(leaf, str) for _, leaf in named)


def listed(names: Iterable[str]) -> str:
    """Return the first names, and how many there are in all."""
    names = list(names)
    rest = f", … ({len(names)} in all)" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + rest


def kind_of(x: Any) -> str:
    """Return the name of a type, and of an array's entries, for a message."""
    return f"{type(x).__name__} of {x.dtype}" if hasattr(x, "dtype") and hasattr(x, "shape") else type(x).__name__


def pair(returned: Any) -> tuple[Tree, Cache]:
    """Return (y, cache), what forward returned; raise ValueError with a remedy for anything else."""
    if type(returned) is tuple and len(returned) == 2:
        return returned
    what, remedy = f"a {type(returned).__name__}", "return y, None if backward needs nothing"
    if returned is None:
        what, remedy = "None", "is a return statement missing?"
    elif hasattr(returned, "shape") or isinstance(returned, (float, complex, int)):
        what = f"one {'array' if isinstance(returned, np.ndarray) else type(returned).__name__}"
    elif type(returned) is tuple:
        what = f"{len(returned)} values"
        remedy = "return two, (y1, y2), (a, b) for several outputs and several things that backward needs"
    elif isinstance(returned, (list, dict)):
        remedy = "return the tuple y, cache"
    raise ValueError(f"forward must return (y, cache); it returned {what}: {remedy}")


class OutputForm:
    """The parts of y that are differentiated, as the first call of forward shows it.

    Integers, booleans, text and whatever is no array are not: None takes their place in y and in its cotangent.
    """

    def __init__(self) -> None:
        self.passed: set[str] | None = None  # names of the leaves that are not differentiated
        self.foreign: dict[str, Any] = {}  # by name, those that are arrays of another library
        self.plain = False  # nothing was in `passed` or `foreign`: y needs no reading
        self.notes: list[str] = []

    def read(self, y: Tree) -> Tree:
        """Return y as a tree of NumPy's or CuPy's arrays and numbers."""
        named = leaves(y, "output")
        arrays = [(name, leaf, as_output(leaf)) for name, leaf in named]
        if self.passed is None:
            self.passed = {name for name, _, array in arrays if array is None or kind(array) not in "fc"}
            if len(self.passed) == len(named):
                what = listed(kind_of(leaf) for _, leaf in named) or kind_of(y)
                raise ValueError(f"output: nothing to differentiate: no float array in y, forward returned {what}")
            self.foreign = {name: leaf for name, leaf in named if name not in self.passed and is_foreign(leaf)}
            self.plain = not self.passed and not self.foreign
            self.notes = [note for name, leaf in named if (note := self.note(name, leaf))]
        return rebuild(y, (None if name in self.passed else array for name, _, array in arrays))

    def note(self, name: str, leaf: Any) -> str:
        """Say what backward gets for a leaf, where that is not what forward returned."""
        if self.passed and name in self.passed:
            return f"{name} ({kind_of(leaf)}) is not differentiated: its cotangent is None"
        if name not in self.foreign or is_torch(leaf) or hasattr(leaf, "__array_namespace__"):
            return ""
        return f"{name} is a {kind_of(leaf)}: its cotangent is a NumPy array"

    def cotangent(self, dy: Tree) -> Tree:
        """Return dy with arrays of the libraries whose arrays y had."""
        if not self.foreign:
            return dy
        parts = (array_like(part, self.foreign.get(name, part)) for name, part in leaves(dy, "output"))
        return rebuild(dy, parts)


def is_foreign(leaf: Any) -> bool:
    """Tell whether a leaf is an array of neither NumPy nor CuPy."""
    return not isinstance(leaf, (np.ndarray, np.generic, float, complex, int)) and array_module(leaf) is np


def as_output(leaf: Any) -> Any:
    """Return an array of NumPy or CuPy or a number; None for what cannot be read as one."""
    if not is_foreign(leaf):
        return leaf
    try:
        return to_host_array(leaf)
    except Exception:  # every library has its own
        return None


def kind(x: Any) -> str:
    """Return the kind of an array or a number, as NumPy's dtypes name it."""
    return str(x.dtype.kind) if hasattr(x, "dtype") else np.asarray(x).dtype.kind
