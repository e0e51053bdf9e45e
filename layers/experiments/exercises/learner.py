"""A learner's file: loaded from its text, called so that whatever is wrong with it is one line."""

import ast
import contextlib
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.gradcheck.arrays import FLOATS
from engine.support.command import command_name
from engine.support.errors import UserError, first_line
from engine.types import Array
from layers.experiments.exercises.table import Inputs
from layers.experiments.exercises.worst import token_position

WRITE_IT = "backward is not written yet (NotImplementedError); put your own code in its place"


@contextlib.contextmanager
def importable(path: str) -> Iterator[types.ModuleType]:
    """Make a module for a file. As long as the context lasts, it is in sys.modules and its folder on sys.path."""
    module, folders = types.ModuleType("exercise"), sys.path[:]
    module.__file__ = path
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(Path(path).absolute().parent))
    try:
        yield module
    finally:
        sys.path[:] = folders
        sys.modules.pop(module.__name__, None)


class Learner:
    """forward and backward of a file; exercise: the name in the first line of its docstring, "" without one.

    Raises UserError for a file that cannot be read, is not Python, fails when it is run, or lacks a function.
    """

    def __init__(self, path: str, module: types.ModuleType) -> None:
        self.path = path
        text = read(path)
        try:
            tree = ast.parse(text, path)
            code = compile(tree, path, "exec")
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno}: is not Python ({error.msg}); mend this line") from None
        except (ValueError, RecursionError, MemoryError) as error:  # null bytes in older versions; nested too deep
            raise UserError(f"{path}: is not Python ({first_line(error)}); mend the file") from None
        named = re.match(r"Exercise (\w+)", ast.get_docstring(tree) or "")
        self.exercise = named[1] if named else ""
        self.guarded(exec, code, vars(module))
        self.functions = {name: vars(module).get(name) for name in ("forward", "backward")}
        for name, function in self.functions.items():
            if not callable(function):
                raise UserError(f"{path}: has no function {name}; write the exercise to a new file and see what it has")

    def forward(self, inputs: Inputs, expected: Array) -> tuple[Array, Any]:
        """Return y and the cache, read-only; UserError unless y is an array of the shape of `expected`."""
        returned = self.guarded(self.functions["forward"], *inputs)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise UserError(f"{self.path}: forward must return (y, cache), got {type(returned).__name__}; restore it")
        y, cache = returned
        if not is_array(y) or y.dtype not in FLOATS or y.shape != expected.shape:
            raise UserError(f"{self.path}: forward no longer computes the equation; restore it")
        return y, self.guarded(freeze, cache)

    def backward(self, dy: Any, cache: Any, right: Mapping[str, Array], offsets: Any) -> dict[str, Array]:
        """Return the gradients by name. right: gradients of the same names, shapes and dtypes.

        Raises UserError for a wrong number, type, shape or dtype, and for NaN.
        """
        returned = self.guarded(self.functions["backward"], dy, cache)
        values = returned if isinstance(returned, (tuple, list)) else (returned,)
        if len(values) != len(right):
            count = f"{len(values)} gradient{'s' * (len(values) != 1)}"
            raise UserError(f"{self.path}: backward returned {count}, expected {len(right)}: {', '.join(right)}")
        for (name, expected), got in zip(right.items(), values):
            problem = find_problem(got, expected, offsets)
            if problem:
                raise UserError(f"{self.path}: {name} {problem}")
        return dict(zip(right, map(np.asarray, values)))

    def guarded(self, function: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Call a function; UserError with line and exception where it raises one."""
        assert function is not None
        try:
            with np.errstate(all="ignore"):  # what matters is seen in the numbers
                return function(*arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            line = self.line_of(error)
            where = f"{self.path}{line}"
            if isinstance(error, NotImplementedError):
                raise UserError(f"{where}: {WRITE_IT}") from None
            if isinstance(error, ValueError) and "read-only" in first_line_of(error):
                reason = "writes into an input, the cotangent or the cache"
                raise UserError(f"{where}: {reason}; write into a copy of it (x = x.copy())") from None
            text = "" if isinstance(error, SystemExit) else first_line_of(error)
            reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
            raise UserError(f"{where}: {reason}; mend {'this line' if line else 'the file'}") from None

    def line_of(self, error: BaseException) -> str:
        """Return ", line N" of the innermost frame in the learner's file; "" where there is none."""
        line, traceback = "", error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.path:
                line = f", line {traceback.tb_lineno}"
            traceback = traceback.tb_next
        return line


def first_line_of(error: BaseException) -> str:
    """Return the first line of an error's text; "" where it has none, or fails to make one."""
    try:
        return next(iter(str(error).splitlines()), "")
    except Exception:
        return ""


def read(path: str) -> str:
    """Return the text of a file; UserError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        command = f"{command_name()} exercise NAME --output {shlex.quote(path)}"
        raise UserError(f"{path}: not found; write one with: {command}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; save it as a UTF-8 text file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a text file") from None


def is_array(x: Any) -> bool:
    """Tell whether x is an array or a scalar of NumPy; a matrix, which multiplies differently, is none."""
    return type(x) is np.ndarray or isinstance(x, np.generic)


def find_problem(got: Any, expected: Array, offsets: Any) -> str:
    """Say why something cannot be a gradient like `expected`; "" where it can."""
    if not is_array(got):
        return f"is of type {type(got).__name__}, expected an array of shape {expected.shape}"
    if got.dtype != expected.dtype:
        return f"has dtype {got.dtype}, expected {expected.dtype}"
    if got.shape != expected.shape:
        return f"has shape {got.shape}, expected {expected.shape}{reason_of_shape(got, expected)}"
    if np.isfinite(got).all():
        return ""
    index = [int(i) for i in np.argwhere(~np.isfinite(got))[0]]
    value = "NaN" if np.isnan(got[tuple(index)]) else "infinite"
    token = token_position(index, expected, offsets)
    return f"is {value} at {index}{f' ({token})' if token else ''}; divide only where the divisor is not 0"


def reason_of_shape(got: Array, right: Array) -> str:
    """Say what a gradient of a wrong shape lacks, where that makes it right; "" otherwise."""
    if got.T.shape == right.shape and np.allclose(got.T, right):
        return ": it is transposed"
    if got.size == right.size and np.allclose(got.reshape(right.shape), right):
        return ": the numbers are right, drop the axis of length 1"
    if got.shape[1:] == right.shape and np.allclose(got.sum(axis=0), right):
        return ": it is not summed over the rows"
    return ""


def freeze(tree: Any) -> Any:
    """Make all arrays in tuples, lists and dicts read-only, so that writing into one raises; return the tree."""
    if isinstance(tree, np.ndarray):
        tree.setflags(write=False)
    elif isinstance(tree, (dict, tuple, list)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            freeze(part)
    return tree
