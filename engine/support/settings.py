"""Frozen, validated settings: dataclasses whose fields have a meaning, a type and limits, and refuse other values."""

import contextlib
import dataclasses
import difflib
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from engine.support.errors import UserError, require_utf8
from engine.support.text import shown

AnySettings = TypeVar("AnySettings", bound="Settings")
LARGEST = 10**9  # no count of steps, texts, tokens or bytes of a training is larger


def setting(
    default: Any,
    help: str,
    choices: Collection[Any] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field with its meaning and its limits: minimum and maximum are allowed values, `below` is not.

    Whole numbers end at LARGEST unless a field says otherwise.
    """
    if maximum is None and below is None and type(default) is int:
        maximum = LARGEST
    limits = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "below": below}
    return dataclasses.field(default=default, metadata=limits)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of settings dataclasses.

    Making one raises UserError for a value of the wrong type or outside its limits.
    """

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))

    @classmethod
    def fields(cls) -> dict[str, dataclasses.Field[Any]]:
        """The dataclass fields, by name."""
        return {field.name: field for field in dataclasses.fields(cls)}

    def replace(self: AnySettings, **changes: Any) -> AnySettings:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The values by name."""
        return dataclasses.asdict(self)


def nearest(name: str, names: Iterable[str]) -> str:
    """The hint " (did you mean 'x'?)" with the nearest of some names, or "" where none is near."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """The value in its field's type. A UserError names the field, the value and the allowed ones if it is wrong."""
    wanted = base_type(field.type)
    original = value
    if isinstance(value, str) and wanted is not str:
        value = parsed(value, wanted)
    if wanted is str and isinstance(value, int) and not isinstance(value, bool):  # label_column = 1 in TOML
        value = str(value)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):  # stays a whole number, which is then refused
            value = float(value)
    limits = field.metadata
    fits = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
    if fits and limits["choices"] is not None:
        fits = value in limits["choices"]
    if fits and wanted in (int, float):
        fits = value == value and abs(value) != float("inf")
        fits = fits and (limits["minimum"] is None or value >= limits["minimum"])
        fits = fits and (limits["maximum"] is None or value <= limits["maximum"])
        fits = fits and (limits["below"] is None or value < limits["below"])
    if not fits:
        raise UserError(f"{field.name}: expected {allowed(field)}, got {shown(original)}")
    if wanted is str:
        require_utf8(value, f"{field.name} {shown(value)}", "use a name in UTF-8")
        if "\0" in value:
            raise UserError(f"{field.name}: expected text without NUL, got {shown(value)}; no file has such a name")
    return value


def base_type(annotation: Any) -> Any:
    """The class behind an annotation (annotations may be strings)."""
    return {"int": int, "float": float, "str": str, "bool": bool}.get(annotation, annotation)


def parsed(text: str, wanted: type) -> Any:
    """Text from a command line as int, float or bool; unchanged where it is none (the caller then refuses it)."""
    if wanted is bool:
        return {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}.get(
            text.lower(), text
        )
    try:
        return wanted(text)
    except ValueError:
        return text


def allowed(field: dataclasses.Field[Any]) -> str:
    """Description of a field's allowed values: "one of a, b" or "a number from 0 to 1"."""
    limits, wanted = field.metadata, base_type(field.type)
    if limits["choices"] is not None:
        return "one of " + ", ".join(map(str, limits["choices"]))
    if wanted is bool:
        return "true or false"
    if wanted is str:
        return "text"
    words = "a whole number" if wanted is int else "a number"
    low, high, below = limits["minimum"], limits["maximum"], limits["below"]
    if low is not None:
        words += f" from {low}"
    if high is not None:
        words += f" to {high}"
    if below is not None:
        words += f" to below {below}"
    return words
