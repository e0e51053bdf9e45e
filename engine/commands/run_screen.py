"""The screen of `describe RUN_DIR`: what a run was trained on, its results, and its settings beside a preset's."""

from typing import Any

from engine.commands.options import percent
from engine.commands.train import result_figures
from engine.data.config import DataConfig
from engine.data.texts import shown
from engine.support.command import command_name
from engine.support.files import read_json
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import OF_TEXTS, Choices, RunSettings, build_settings, model_of

OWN_LINES = (*OF_TEXTS, "tokenizer", "vectors")


def run_screen(directory: RunDirectory, settings: RunSettings, choices: Choices) -> str:
    """The texts, results and settings of a run, a line each."""
    made, result, data = directory.read_config()["run"], directory.result(), settings.data
    given = {name for name, value in data.to_dict().items() if value != getattr(DataConfig(), name)} - {"corpus"}
    facts = [
        ("run directory", str(directory.path)),
        ("made by", f"version {made.get('version', '?')}, device {made.get('device', '?')}"),
        ("corpus", data.name() + sizes(result)),
        *((name.replace("_", " "), getattr(data, name)) for name in OWN_LINES if name in given),
    ]
    if result is None:
        facts.append(("state", state_of(directory)))
    else:
        facts += [fact for fact in result_figures(result) if fact[0] != "run directory"]
        rows = [row for row in result["classes"] if row["texts"]]
        if rows:
            worst = min(rows, key=lambda row: (row["f1"], -row["texts"]))
            facts.append(
                ("worst class", f"{shown(worst['name'])}, F1 {percent(worst['f1'])}, {worst['texts']:,} texts")
            )
    preset, changes = nearest_preset(settings, choices)
    facts.append(("settings", f"preset {preset}{', but' if changes else ''}"))
    facts += [("", f"  {name}={value} (preset: {'empty' if other == '' else other})") for name, value, other in changes]
    facts.append(("", f"{command_name()} describe {directory.path} --fields lists them all"))
    width = max(len(name) for name, _ in facts)
    return "\n".join(f"{name:{width}}  {value}" for name, value in facts)


def sizes(result: dict[str, Any] | None) -> str:
    """The numbers of texts and classes of a finished run, to stand behind the name of the corpus."""
    if result is None or not result.get("texts"):  # which earlier versions did not write
        return ""
    texts = ", ".join(f"{count:,} {split}" for split, count in result["texts"].items())
    classes = f", {len(result['classes']):,} classes" if result["classes"] else ""
    return f": {texts} texts{classes}"


def state_of(directory: RunDirectory) -> str:
    """How far a run has come that has no result."""
    progress = read_json(directory.last / "state.json").get("progress") if directory.has_checkpoint() else None
    if not isinstance(progress, dict):
        return "unfinished, nothing saved yet"
    done = f"{progress.get('epoch')} epochs and {progress.get('batch')} steps"
    return f"unfinished, saved after {done}; --resume {directory.path} goes on"


def nearest_preset(settings: RunSettings, choices: Choices) -> tuple[str, list[tuple[str, Any, Any]]]:
    """(name, changes) of the preset of the same model that fewest settings differ from.

    changes: (field, value, value in the preset) of each setting that differs, but for those of the texts.
    """
    found = []
    for name, fields in choices.presets.items():
        if model_of(choices.classes, fields) == settings.network.model:
            preset = build_settings(choices.classes, fields)
            changes = [
                (field, getattr(part, field), getattr(other, field))
                for part, other in zip(settings, preset)
                for field in type(part).fields()
                if field not in OWN_LINES and getattr(part, field) != getattr(other, field)
            ]
            found.append((name, changes))
    default = choices.defaults.get(settings.network.model)
    return min(found, key=lambda pair: (len(pair[1]), pair[0] != default))
