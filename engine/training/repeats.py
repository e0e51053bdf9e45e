"""The same training with several seeds: mean and spread of what came out."""

import statistics
from pathlib import Path

from engine.data.corpora import known_corpus
from engine.errors import UserError
from engine.table import format_table
from engine.training.run_directory import RunDirectory
from engine.training.session import start_run

MEASURED = {"mean": "test_accuracy", "macro_f1": "test_macro_f1", "validation": "validation_accuracy"}


def repeat_runs(runs, build_network, folder, device="cpu", cache_dir=None, tell=print):
    """Train a list of RunSettings on corpora by name, each into a folder <corpus>-<network>-<seed> of `folder`.

    Returns a dict for each corpus and kind of network, in their order: mean and standard deviation over the seeds of test
    accuracy ("mean"), macro F1 and validation accuracy, None where there is none, and mean seconds of training.
    All settings and folders are looked at first, so that bad ones raise UserError before hours have passed.
    """
    folders = [Path(folder) / f"{s.data.corpus}-{s.network.label()}-{s.training.seed}" for s in runs]
    for settings, path in zip(runs, folders):
        known_corpus(settings.data.corpus)
        RunDirectory.require_vacant(path)
    if len(set(folders)) < len(folders):
        raise UserError("accuracy: a corpus, operation or seed is named twice; name each once")
    groups = {}
    for settings, path in zip(runs, folders):
        result = start_run(settings, build_network, path, device, cache_dir, tell)
        groups.setdefault((settings.data.corpus, settings.network.label()), []).append(result)
    return [{"corpus": corpus, "network": network, **summary(results)} for (corpus, network), results in groups.items()]


def summary(results):
    """Means and sample standard deviations (0 for a single run) over the contents of result.json files."""
    figures = {"seconds": statistics.mean(result["train_seconds"] for result in results)}
    for name, key in MEASURED.items():
        values = [result[key] for result in results]
        known = None not in values
        figures[name] = statistics.mean(values) if known else None
        figures[f"{name}_spread"] = (statistics.stdev(values) if len(values) > 1 else 0.0) if known else None
    return figures


def accuracy_table(rows):
    """The rows of repeat_runs as text."""
    columns = {"mean": "test accuracy", "macro_f1": "macro F1", "validation": "validation"}
    figure = lambda row, name: "-" if row[name] is None else f"{100 * row[name]:.2f} ± {100 * row[name + '_spread']:.2f} %"  # noqa: E731
    cells = [(r["corpus"], r["network"], *(figure(r, name) for name in columns), f"{r['seconds']:.1f} s") for r in rows]
    return format_table(["corpus", "network", *columns.values(), "training"], cells, align="<<>>>>")
