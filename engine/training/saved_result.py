"""Reading result.json, which other versions and other programs may have written."""

from typing import Any

from engine.support.errors import UserError
from engine.support.files import AnyPath, read_json
from engine.support.text import shown

NUMBER = (int, float)
RESULT_KEYS = {
    **dict.fromkeys(("test_accuracy", "test_macro_f1", "validation_accuracy"), (*NUMBER, type(None))),
    **dict.fromkeys(("train_seconds", "tokens_per_second", "parameters", "peak_memory_bytes"), NUMBER),
    **dict.fromkeys(("seed", "epochs", "best_epoch"), NUMBER),
    "device": str, "run_directory": str, "classes": list,
}  # fmt: skip
LATER_KEYS = {"steps": NUMBER, "best_step": NUMBER, "texts": dict}  # which earlier versions did not write
CLASS_KEYS = {"name": str, **dict.fromkeys(("texts", "precision", "recall", "f1"), NUMBER)}


def read_result(path: AnyPath) -> dict[str, Any]:
    """The content of result.json. UserError where an entry is missing or of another kind."""
    result = read_json(path)
    remedy = "delete the file and resume the run to write it anew"
    missing = RESULT_KEYS.keys() - result.keys()
    if missing:
        raise UserError(f"{path}: lacks {', '.join(sorted(missing))}; {remedy}")
    wrong = wrong_keys(result, {**RESULT_KEYS, **LATER_KEYS})
    if "classes" not in wrong and not all(map(is_class, result["classes"])):
        wrong.append("classes")
    texts = result.get("texts", {})
    if "texts" not in wrong and wrong_keys(texts, dict.fromkeys(texts, NUMBER)):
        wrong.append("texts")
    if wrong:
        raise UserError(f"{path}: {wrong[0]} cannot be {shown(result[wrong[0]])}; {remedy}")
    return result


def wrong_keys(values: dict[str, Any], kinds: dict[str, Any]) -> list[str]:
    """Keys of {key: types} under which a dict holds a value of another type; true and false are no numbers."""
    return [
        key
        for key, kind in kinds.items()
        if key in values and (isinstance(values[key], bool) or not isinstance(values[key], kind))
    ]


def is_class(row: Any) -> bool:
    """Whether a value is a result's record of one class."""
    return isinstance(row, dict) and row.keys() == CLASS_KEYS.keys() and not wrong_keys(row, CLASS_KEYS)
