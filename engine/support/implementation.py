"""The name of the implementation in use: fast, equations or check (see engine/implementation.py)."""

import contextlib
import os
from collections.abc import Iterator

from engine.support.errors import UserError

IMPLEMENTATIONS = ("fast", "equations", "check")
VARIABLE = "WAVE_IMPLEMENTATION"
_chosen = ["fast"]


def current() -> str:
    """The implementation in use. Raises UserError where WAVE_IMPLEMENTATION holds none."""
    chosen = os.environ.get(VARIABLE) or _chosen[-1]
    if chosen not in IMPLEMENTATIONS:
        raise UserError(f"{VARIABLE}={chosen}: must be one of {', '.join(IMPLEMENTATIONS)}")
    return chosen


@contextlib.contextmanager
def using(name: str) -> Iterator[None]:
    """Use an implementation while the context lasts, unless the environment names another one."""
    _chosen.append(name)
    try:
        yield
    finally:
        _chosen.pop()
