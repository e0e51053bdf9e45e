"""A Case draws Problems: random examples of what check_gradients takes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from numpy.random import Generator

from engine.layer import Parameter


class Problem(NamedTuple):
    """Arguments of check_gradients."""

    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[Any, ...]
    parameters: Mapping[str, Parameter] | None = None


class Case(NamedTuple):
    """name: shown in the table; draw: random generator → Problem; tolerance: None for that of the method.

    analytic: whether complex step can be used; not where atan2 is (it has no complex form). products: of float32
    matrices.
    """

    name: str
    draw: Callable[[Generator], Problem]
    tolerance: float | None = None
    analytic: bool = True
    products: bool = False
