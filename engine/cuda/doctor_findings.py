"""Findings of the command doctor: plain values, and where there is none the reason in words."""

from collections.abc import Callable
from typing import Any, TypeAlias

from engine.support.errors import first_line

Findings: TypeAlias = dict[str, Any]


def missing(reason: str) -> Findings:
    """A finding that has no value, and why."""
    return {"missing": reason}


def is_known(finding: Any) -> bool:
    """Whether a finding has a value."""
    return not (isinstance(finding, dict) and "missing" in finding)


def attempt(function: Callable[[], Any]) -> Any:
    """Call the function; return its result, or the reason why there is none, whatever went wrong."""
    try:
        return function()
    except Exception as error:  # a broken installation can fail in any way, and a report of what is broken must not
        return missing(first_line(error))


def has_no_gpu(findings: Findings) -> bool:
    """Whether nothing here speaks of a GPU: no driver and no CuPy."""
    return not (is_known(findings["driver"]) or is_known(findings["cupy"]) or findings["cupy_packages"])
