"""The model card of an exported network: a README.md made of its settings and results, and of nothing else."""

import json
from collections.abc import Sequence
from typing import Any

from engine import __version__
from engine.data.corpora import CORPORA
from engine.serving.export import CARD, WriteNetwork
from engine.support.files import write_text
from engine.support.text import markdown_table, sanitize
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.training.selection import best_text
from engine.training.trained_run import OpenRun

SHOWN_CLASSES = 200
FIGURES = (("test accuracy", "test_accuracy"), ("test macro F1", "test_macro_f1"))
METRICS = (("accuracy", "accuracy", "test_accuracy"), ("f1", "macro F1", "test_macro_f1"))  # type, name, key
SET_FIGURES = (
    ("test micro F1", "test_micro_f1"), ("test macro F1", "test_macro_f1"), ("test subset accuracy", "test_accuracy"),
)  # fmt: skip
SET_METRICS = (("f1", "micro F1", "test_micro_f1"), ("f1", "macro F1", "test_macro_f1"))


def with_card(write: WriteNetwork, precision: str) -> WriteNetwork:
    """A function that writes a model card, and what `write` does. precision: that of the weights."""

    def write_both(run: OpenRun, directory: RunDirectory) -> dict[str, Any]:
        write_text(directory.path / CARD, model_card(run.settings, run.classes, directory.result(), precision))
        return write(run, directory)

    return write_both


def model_card(settings: RunSettings, classes: Sequence[str], result: dict[str, Any] | None, precision: str) -> str:
    """Markdown of the card. result: the content of result.json; None where the training was not finished."""
    named = CORPORA.get(settings.data.corpus) if not settings.data.train_file else None
    corpus = settings.data.corpus if named else "own texts"
    sets = ", each with several labels or none" if settings.data.has_several_labels() else ""
    call = "label_sets" if settings.data.has_several_labels() else "predict"
    parts = [
        front_matter(corpus, result),
        f"# {corpus}: model {', '.join(dict.fromkeys([settings.network.model, settings.network.label()]))}",
        f"It labels texts{sets}. It was trained by wave-network, an implementation of the Wave Network (Token2Wave) on "
        "NumPy with hand-written gradients.",
        "## Use",
        "With wave-network installed:",
        '```sh\nwave-network hub pull REPOSITORY --to model\nwave-network predict model "a text"\n```',
        '```python\nfrom layers import TextModel\n\nmodel = TextModel.open("model")\n'
        f'print(model.{call}(["a text"]), model.probabilities(["a text"]))\n```',
        "## Results",
        results_of(result),
        "## Training",
        training_of(settings, named, result),
        f"The weights here are in {precision}; networks compute in float32.",
        markdown_table(["setting", "value"], fields_of(settings), "<<"),
        f"## Classes ({len(classes):,})",
        classes_of(classes, result),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(corpus: str, result: dict[str, Any] | None) -> str:
    """The block of metadata that the hub reads; YAML, in which JSON values are valid."""
    lines = ["---", "library_name: wave-network", "pipeline_tag: text-classification"]
    lines.append('tags: ["text-classification", "token2wave", "numpy"]')
    kinds = SET_METRICS if result and "test_micro_f1" in result else METRICS
    values = [(kind, name, (result or {}).get(key)) for kind, name, key in kinds]
    metrics = [{"type": kind, "name": name, "value": value} for kind, name, value in values if value is not None]
    if metrics:
        dataset = {"name": corpus, "type": corpus, "split": "test"}
        task = {"type": "text-classification"}
        entry = {"name": corpus, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}
        lines.append(f"model-index: {json.dumps([entry], ensure_ascii=False)}")
    return "\n".join([*lines, "---"])


def results_of(result: dict[str, Any] | None) -> str:
    """The figures of result.json as a table."""
    if result is None:
        return "None: its training was not finished, so that it was not measured."
    several = "test_micro_f1" in result
    figures = SET_FIGURES if several else FIGURES
    rows = [(name, f"{100 * result[key]:.2f} %") for name, key in figures if result[key] is not None]
    name = "micro F1" if several else "accuracy"
    validation = result[f"validation_{name.lower().replace(' ', '_')}"]
    if validation is not None:
        rows.append((f"validation {name}", f"{100 * validation:.2f} % (epoch {best_text(result)})"))
    if not rows:
        return "None: there were no texts to measure it on."
    return (
        markdown_table(["figure", "value"], rows, "<>")
        + f"\n\nMeasured with the weights in float32; seed {result['seed']}."
    )


def training_of(settings: RunSettings, named: Any, result: dict[str, Any] | None) -> str:
    """A list about the texts, the training and the versions, as far as they are known."""
    found = []
    if named is not None:
        found += [f"texts: {named.description}, by {named.authors}", f"source: {named.source}, at {named.revision}"]
        found += [f"terms of use of the texts: {named.terms}"]
    if result is not None:
        if texts := result.get("texts"):
            found.append(", ".join(f"{count:,} {split}" for split, count in texts.items()) + " texts")
        found.append(f"{result['parameters']:,} parameters, {result['epochs']} epochs, device {result['device']}")
        found += [f"{name} {version}" for name, version in result.get("versions", {}).items()]
    else:
        found.append(f"exported by wave-network {__version__}")
    return "\n".join(f"- {sanitize(line)}" for line in found)


def fields_of(settings: RunSettings) -> list[tuple[str, Any]]:
    """(name, value) of the settings that are not empty, without the names of files."""
    hidden = ("corpus", "train_file", "validation_file", "test_file", "tokenizer", "text_columns", "label_column")
    rows = [row for part in settings for row in part.to_dict().items()]
    return [(name, value) for name, value in rows if name not in hidden and value != ""]


def classes_of(classes: Sequence[str], result: dict[str, Any] | None) -> str:
    """A row for each class with its F1 on the test texts, or their names alone."""
    rows = result["classes"] if result else []
    more = len(classes) - SHOWN_CLASSES
    rest = f"\n\nand {more:,} more." if more > 0 else ""
    if not rows:
        return sanitize(", ".join(classes[:SHOWN_CLASSES])) + rest
    cells = [
        (sanitize(row["name"]), row["texts"], *(f"{100 * row[key]:.1f} %" for key in ("precision", "recall", "f1")))
        for row in rows[:SHOWN_CLASSES]
    ]
    return markdown_table(["class", "test texts", "precision", "recall", "F1"], cells) + rest
