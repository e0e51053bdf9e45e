"""From the description of a sweep to its runs: every combination of the axes with every seed.

Of the fields of a run later ones win: preset (of an axis, else of the sweep, else of the model), [set], the axes, the seed.
"""

import itertools
import re
from typing import NamedTuple

from engine.data.corpora import known_corpus
from engine.errors import UserError
from engine.training.layered_settings import layered_settings
from engine.training.run_settings import RunSettings
from engine.training.session import pinned
from engine.training.sweep.description import with_place

NAME_BYTES = 200  # of 255 that file systems take, the rest for what is put behind it


class PlannedRun(NamedTuple):
    """name: of its folder; labels: one of each axis."""

    name: str
    labels: tuple
    settings: RunSettings


def plan(description, choices):
    """The PlannedRuns of a Description, seed after seed within each combination. UserError for a combination that cannot be."""
    runs, seen = [], {}
    for combination in itertools.product(*(axis.items() for axis in description.axes.values())):
        labels = tuple(label for label, _ in combination)
        named = ", ".join(f"{axis} {label}" for axis, label in zip(description.axes, labels)) or "[set]"
        where = f"{description.source}: {named}"
        settings = with_place(where, combined_settings, description, [changes for _, changes in combination], choices)
        if settings in seen:
            raise UserError(f"{where}: is the same as {seen[settings]}; leave one of the two out")
        seen[settings] = named
        for seed in description.seeds:
            seeded = settings._replace(training=settings.training.replace(seed=seed))
            runs.append(PlannedRun(run_name(labels, seed, where), labels, seeded))
    require_distinct_names(runs, description.source)
    return runs


def combined_settings(description, changes, choices):
    """RunSettings of one combination, with the first seed. UserError, too, where two axes change one field: neither would be as labelled."""
    for first, second in itertools.combinations(zip(description.axes, changes), 2):
        for name in first[1].keys() & second[1].keys():
            raise UserError(f"{name}: is changed by axis {first[0]} and by axis {second[0]}; let only one of them do so")
    presets = [change["preset"] for change in changes if "preset" in change]
    layers = [{name: value for name, value in change.items() if name != "preset"} for change in changes]
    preset = presets[0] if presets else description.preset
    settings = layered_settings(choices, preset, [description.fields, *layers, {"seed": description.seeds[0]}])
    if not settings.data.train_file:
        known_corpus(settings.data.corpus)
    return pinned(settings)


def run_name(labels, seed, where):
    """<labels>-<seed>, with "_" for what not every file system takes in a name."""
    name = "-".join([*(re.sub(r"[^\w.+=-]+", "_", label) for label in labels), str(seed)])
    if len(name.encode()) > NAME_BYTES:
        raise UserError(f"{where}: gives a folder's name of more than {NAME_BYTES} bytes; label the changes: [grid.NAME] with LABEL = {{ FIELD = VALUE }}")
    return name


def require_distinct_names(runs, source):
    """Raise UserError where two runs would share a folder; some file systems take A and a for the same."""
    seen = {}
    for run in runs:
        first = seen.setdefault(run.name.casefold(), run)
        if first is not run:
            labels = " and ".join(", ".join(labels) for labels in (first.labels, run.labels))
            raise UserError(f"{source}: the labels {labels} give folders of the same name, {run.name}; change one of them")
