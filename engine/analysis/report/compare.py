"""What differs between runs, and which of them differ in nothing but their seed."""

from typing import NamedTuple

from engine.visible import visible

ABSENT = "–"  # stands for a setting that a run does not have
NAME_CHARACTERS, DIFFERENCE_CHARACTERS = 40, 60  # of a label


class Group(NamedTuple):
    """Runs that a figure draws as one line. label: no two are alike."""

    label: str
    runs: list


def settings_by_name(run):
    """Every setting of a run in one dict, as texts, with the device and the version of the program. ABSENT for what is not given."""
    settings = {name: value for part in run.settings.sections().values() for name, value in part.items()}
    if settings["train_file"]:
        settings["corpus"] = ""  # names nothing then
    return {name: text_of(value) for name, value in (settings | run.made_with).items()}


def text_of(value):
    return str(value).lower() if isinstance(value, bool) else str(value) or ABSENT


def differences(runs):
    """{setting: [its text in each run]} of those in which the runs are not all equal."""
    each = [settings_by_name(run) for run in runs]
    names = dict.fromkeys(name for settings in each for name in settings)
    columns = {name: [settings.get(name, ABSENT) for settings in each] for name in names}
    return {name: column for name, column in columns.items() if len(set(column)) > 1}


def grouped(runs):
    """Groups in the order of the runs: those with different seeds and equal settings stand together.

    Where two runs of a group have one seed as well, they are no seeds of one experiment, and each stands alone.
    """
    alike = {}
    for run in runs:
        settings = settings_by_name(run)
        seed = settings.pop("seed")
        alike.setdefault(tuple(settings.items()), []).append((seed, run))
    groups = []
    for members in alike.values():
        together = [run for _, run in members]
        distinct = len({seed for seed, _ in members}) == len(members)
        groups += [together] if distinct else [[run] for run in together]
    differing = {name: dict(zip((run.path for run in runs), column)) for name, column in differences(runs).items()}
    labels = [label_of(group, differing) for group in groups]
    # Cutting may have made two alike.
    unique = [f"{number}) {label}" if labels.count(label) > 1 else label for number, label in enumerate(labels, start=1)]
    return [Group(label, group) for label, group in zip(unique, groups)]


def label_of(group, differing):
    """The run's name, or how many seeds the group has, and in what it differs from the others, if that is short.

    differing: setting → path of a run → its text.
    """
    first, *others = group
    own = {name: texts[first.path] for name, texts in differing.items() if len({texts[run.path] for run in group}) == 1}
    words = ", ".join(f"{name}={short(text)}" for name, text in own.items() if text != ABSENT)
    if not words or len(words) > DIFFERENCE_CHARACTERS:
        words = ""
    name = visible(first.name, NAME_CHARACTERS)
    if others:
        return f"{len(group)} seeds" + (f": {words}" if words else f" as of {name}")
    return f"{name}: {words}" if words else name


def short(text):
    """A file's name without its folders, cut."""
    return visible(text.replace("\\", "/").rpartition("/")[2] or text, NAME_CHARACTERS)
