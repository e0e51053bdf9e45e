"""A learner's file: loaded from its text, called so that every exception names the line where it arose."""

import ast
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from engine.gradcheck.arrays import leaves
from engine.support.command import command_name
from engine.support.errors import UserError, first_line

WRITE_IT = "backward is not written yet (NotImplementedError); put your own code in its place"


class Learner:
    """forward and backward of a file; exercise: the name in the first line of its docstring, None without one.

    Raises UserError for a file that cannot be read, is not Python, fails when it is run, or lacks a function.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        text = read(path)
        try:
            tree = ast.parse(text, path)
            code = compile(tree, path, "exec")
        except SyntaxError as error:
            raise UserError(f"{path}, line {error.lineno}: is not Python ({error.msg}); mend this line") from None
        except ValueError as error:  # null bytes, in older versions of Python
            raise UserError(f"{path}: is not Python ({first_line(error)}); give a text file") from None
        named = re.match(r"Exercise (\w+)", ast.get_docstring(tree) or "")
        self.exercise = named and named[1]
        module = types.ModuleType("exercise")
        module.__file__ = path
        self.guarded(exec, code, vars(module))
        self.functions = {name: vars(module).get(name) for name in ("forward", "backward")}
        for name, function in self.functions.items():
            if not callable(function):
                raise UserError(f"{path}: has no function {name}; write the exercise to a new file and see what it has")

    def forward(self, *inputs: Any) -> Any:
        """Call the learner's forward; UserError unless it returns two things."""
        returned = self.guarded(self.functions["forward"], *inputs)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise UserError(f"{self.path}: forward must return (y, cache), got {type(returned).__name__}; restore it")
        return returned

    def backward(self, dy: Any, cache: Any) -> Any:
        """Call the learner's backward."""
        return self.guarded(self.functions["backward"], dy, cache)

    def guarded(self, function: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Call a function of the file; UserError with line and exception where it raises one."""
        assert function is not None
        try:
            with np.errstate(all="ignore"):  # what matters is seen in the numbers
                return function(*arguments)
        except UserError:
            raise
        except (Exception, SystemExit) as error:
            where = f"{self.path}{self.line_of(error)}"
            if isinstance(error, NotImplementedError):
                raise UserError(f"{where}: {WRITE_IT}") from None
            if isinstance(error, ValueError) and "read-only" in str(error):
                reason = "writes into an input, the cotangent or the cache"
                raise UserError(f"{where}: {reason}; write into a copy of it (x = x.copy())") from None
            text = [] if isinstance(error, SystemExit) else str(error).splitlines()
            told = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
            raise UserError(f"{where}: {told}; mend this line") from None

    def line_of(self, error: BaseException) -> str:
        """Return ", line N" of the innermost frame in the learner's file; "" where there is none."""
        line, traceback = "", error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.path:
                line = f", line {traceback.tb_lineno}"
            traceback = traceback.tb_next
        return line


def read(path: str) -> str:
    """Return the text of a file; UserError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: not found; write one with: {command_name()} exercise NAME --output {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8; save it as a UTF-8 text file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a text file") from None


def freeze(tree: Any) -> Any:
    """Make all arrays in tuples, lists and dicts read-only, so that writing into one raises; return the tree."""
    parts = tree.values() if isinstance(tree, dict) else [leaf for _, leaf in leaves(tree, "")]
    for part in parts:
        if isinstance(part, np.ndarray):
            part.setflags(write=False)
        elif isinstance(part, dict):
            freeze(part)
    return tree
