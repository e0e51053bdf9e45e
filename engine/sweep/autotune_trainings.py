"""The trainings of a search: in processes side by side, within a time or a number of them, and noted as they end."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from engine.support.errors import UserError
from engine.support.files import read_json, write_json
from engine.sweep.autotune_clock import TimedLauncher
from engine.sweep.autotune_search import (
    ONE_TRAINING,
    SPLITS,
    START_TRIALS,
    THIRD,
    WIDTHS,
    Best,
    OutOfTime,
    Trial,
    trials_of,
    width_within,
    widths_after,
)
from engine.sweep.autotune_space import SCALED_WITH, Point, settings_at
from engine.sweep.jobs import Job, Launcher, run_jobs
from engine.sweep.setup import Setup, shared
from engine.training.run_settings import RunSettings

RECORD = "autotune.json"
FIRST = "first"  # stands for the settings of a point that was tried first
FAILED = -math.inf  # score
LARGEST_SEED = 2**63 - 1
MOST_NARROW = 2  # rounds of the smallest width: so the number of trainings tells which rounds they were


class Trainings:
    """Trains what a search asks for. What is in the record already is not trained again.

    record: the content of RECORD, which is written after every training. jobs: trainings at a time.
    """

    def __init__(
        self,
        record: dict[str, Any],
        settings: RunSettings,
        folder: Path,
        setup: Setup,
        launcher: Launcher,
        jobs: int,
    ) -> None:
        self.record, self.settings, self.folder, self.setup, self.jobs = record, settings, folder, setup, jobs
        self.known = {entry["number"]: entry for entry in record["trials"]}
        self.numbered, self.rounds = 0, 0
        # Trainings of the rounds planned, and of those that have ended, which decide. A space used up has fewer.
        self.planned, self.completed = START_TRIALS, 0
        self.earlier, self.began = record["seconds"], time.monotonic()
        self.launcher = TimedLauncher(launcher, self.is_over)

    def elapsed(self) -> float:
        """Seconds since the search began, without those in which it was interrupted."""
        return float(self.earlier + time.monotonic() - self.began)

    def left(self) -> float:
        """Seconds for further trials: those of the budget but for one full training, that of the run that is kept."""
        if self.record["budget"]["seconds"] is None:
            return math.inf
        return float(self.record["budget"]["seconds"] - self.elapsed() - max(self.full_seconds(), default=0.0))

    def is_over(self) -> bool:
        return self.left() <= 0

    def full_entries(self) -> list[dict[str, Any]]:
        """The entries of the full trainings so far."""
        return [entry for entry in self.known.values() if entry["share"] == 1 and "reason" not in entry]

    def full_seconds(self) -> list[float]:
        """The seconds of the full trainings so far."""
        return [entry["seconds"] for entry in self.full_entries()]

    def train(self, trials: Sequence[Trial]) -> list[float]:
        """The scores of Trials. OutOfTime where some could not be trained."""
        entries = []
        for trial in trials:
            self.numbered += 1
            seed = (self.settings.training.seed + trial.split) % (LARGEST_SEED + 1)
            entries.append({"number": self.numbered, "point": trial.point, "share": trial.share, "seed": seed})
        waiting = {str(entry["number"]): entry for entry in entries if not self.knows(entry)}
        run_jobs([self.job(name, entry) for name, entry in waiting.items()], self.launcher, self.done(waiting))
        if waiting:
            raise OutOfTime
        if trials[0].share == 1:
            self.completed = self.planned
        return [self.score(entry) for entry in entries]

    def knows(self, entry: dict[str, Any]) -> bool:
        """Whether the training of an entry has been done."""
        known = self.known.get(entry["number"], {})
        return all(known.get(name) == value for name, value in entry.items())

    def score(self, entry: dict[str, Any]) -> float:
        validation = self.known[entry["number"]]["validation"]
        return FAILED if validation is None else float(validation)

    def job(self, name: str, entry: dict[str, Any]) -> Job:
        """The Job of a training."""
        settings = settings_at(self.settings, entry["point"], self.setup.choices.classes, self.record["given"])
        settings = settings._replace(training=settings.training.replace(seed=entry["seed"]))
        message = {"kind": "trial", "settings": settings.sections(), "share": entry["share"]}
        return Job(name, {**message, "output": str(self.file(name)), **shared(self.setup)}, settings.training.threads)

    def file(self, name: str) -> Path:
        """Where a training leaves its figures."""
        return self.folder.resolve() / "logs" / f"{name}.json"

    def done(self, waiting: dict[str, dict[str, Any]]) -> Any:
        """The function that notes the end of a job. UserError where the starting point itself cannot be trained."""

        def note(job: Job, reason: str | None) -> None:
            if reason is not None and self.is_over():  # it was ended
                return
            entry = waiting.pop(job.name)
            if reason is not None and not entry["point"]:
                raise UserError(reason)
            found = {"validation": None, "reason": reason} if reason is not None else read_json(self.file(job.name))
            self.file(job.name).unlink(missing_ok=True)
            entry = {**entry, **found, "training_seconds": found.get("seconds"), "seconds": self.took(job.name)}
            self.known[entry["number"]] = entry
            self.save()
            self.setup.log(trial_line(entry, self.record["first"]))

        return note

    def took(self, name: str) -> float:
        return round(self.launcher.seconds[name], 3)

    def save(self) -> None:
        """Write the record."""
        self.record["trials"] = [self.known[number] for number in sorted(self.known)]
        self.record["seconds"] = round(self.elapsed(), 3)
        write_json(self.folder / RECORD, self.record)

    def margin(self, best: Best) -> float:
        """A standard error of the mean score of the best point, over the validation texts of all splits.

        The more points are compared, the luckier is the best of them: with half of it, searches ended with points that
        were worse on test texts.
        """
        share, texts = mean(best.scores), self.known[1]["texts"] * SPLITS
        return math.sqrt(share * (1 - share) / texts)

    def width(self, last: int, centre: Point) -> int:
        """The width of the next round, 0 for none: as recorded, else as the trainings or the time left allow."""
        widths = self.record["widths"]
        self.rounds += 1
        if self.rounds > len(widths):
            trials = self.record["budget"]["trials"]
            width = self.width_in_time(last, centre) if trials is None else width_within(trials - self.planned, last)
            if not width:
                return 0
            widths.append(width)
        width = int(widths[self.rounds - 1])
        self.planned += trials_of(width)
        return width

    def width_in_time(self, last: int, centre: Point) -> int:
        """The width of the next round where a time is given."""
        narrow = self.record["widths"].count(WIDTHS[-1])
        fitting = (width for width in widths_after(last) if self.round_seconds(width, centre) <= self.left())
        return next(fitting, 0) if narrow < MOST_NARROW else 0

    def round_seconds(self, width: int, centre: Point) -> float:
        """The seconds that a round around a point will take.

        A share of a training has all that is around the steps of the centre's trainings, and that share of their steps.
        A full training of a first point, of which nothing is known, is taken to be as long as the longest before it.
        """
        if width == ONE_TRAINING:
            return max(self.full_seconds())
        own = [entry for entry in self.full_entries() if entry["point"] == centre]
        steps = max(entry["training_seconds"] for entry in own)
        around = max(entry["seconds"] - entry["training_seconds"] for entry in own)
        seconds, left = 0.0, width
        while left:
            trials, share = (left, 1 / left) if left > 1 else (SPLITS, 1.0)
            seconds += -(-trials // self.jobs) * (around + share * steps)
            left = -(-left // THIRD) if left > 1 else 0
        return seconds


def trial_line(entry: dict[str, Any], first: Sequence[Point]) -> str:
    """A line on a training that has ended. first: as in point_text()."""
    score = entry["reason"] if entry["validation"] is None else f"validation {100 * entry['validation']:.2f} %"
    point = point_text(entry["point"], () if entry["point"] in first else first)
    head = f"trial {entry['number']}: {share_text(entry['share'])}, {point}, seed {entry['seed']}"
    return f"{head}: {score}, {entry['seconds']:.1f} s"


def share_text(share: float) -> str:
    """ "1/9", or "full"."""
    return "full" if share == 1 else f"1/{round(1 / share)}"


def point_text(point: Point, first: Sequence[Point] = ()) -> str:
    """The settings of a point as NAME=VALUE, or a word for the starting point.

    first: points that were tried first; one that shares most of their settings is told by what differs.
    """
    for base in first:
        if 2 * sum(point.get(name) == value for name, value in base.items()) > len(base):
            changed = {name: value for name, value in point.items() if base.get(name) != value}
            lost = [name for name in base if name not in point and name not in SCALED_WITH]
            return " ".join([FIRST, *([point_text(changed)] * bool(changed)), *(f"without {name}" for name in lost)])
    return " ".join(f"{name}={value_text(value)}" for name, value in point.items()) or "as given"


def value_text(value: Any) -> str:
    """A value as --set takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
