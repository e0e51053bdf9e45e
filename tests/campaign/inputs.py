"""Bad inputs: settings, files, runs and sweeps that are wrong somewhere, and random command lines.

What is refused is refused with exit code 2 and one line, without a traceback, and leaves nothing behind.
"""

import contextlib
import io
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import train
from engine.data.config import DataConfig
from engine.support import cache_folder
from engine.training.config import TrainingConfig
from layers.networks import CONFIGS
from tests.campaign.arrays import odd_arrays
from tests.campaign.learners import odd_learner
from tests.campaign.mutate import WORDS, bytes_changed, json_changed
from tests.campaign.program import Outcome, begin, corpus_in, in_child, wrong_end
from tests.campaign.trials import Trials
from tests.support.sweep_runs import SMALL as SWEEP

SECONDS = 30  # after which an input has hung
FIELDS = sorted({name for part in (DataConfig, *CONFIGS.values(), TrainingConfig) for name in part.fields()})
COMMANDS = ("train", "evaluate", "predict", "describe", "report", "sweep", "accuracy", "corpora", "trace", "gradcheck")
HARMLESS = {"threads", "epochs", "step_budget"}  # large values are allowed and only take long
FILES = ("config.toml", "tokenizer.json", "ngrams.safetensors", "char_ngrams.json", "metrics.jsonl", "result.json")
CHECKPOINT = ("state.json", "weights-*.safetensors", "optimizer-*.safetensors", "average-*.safetensors")


class TooLong(BaseException):
    """An input has taken more than SECONDS."""


def here(words: list[str]) -> Outcome:
    """The Outcome of the command line in this process."""

    def too_long(*_: object) -> None:
        raise TooLong

    out, err = io.StringIO(), io.StringIO()
    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    code: int | None = 1
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = train.main(words)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except TooLong:
                code = None
            except BaseException:
                traceback.print_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return Outcome(code, out.getvalue(), err.getvalue())


class Attack:
    """The tiny corpus, a finished run, and ways to make them wrong; each way gives the words of a command."""

    def __init__(self, trials: Trials) -> None:
        self.rng, self.folder = trials.rng, trials.folder
        self.files, self.run = corpus_in(trials.folder / "corpus"), trials.folder / "run"
        self.wrong, self.new = trials.folder / "wrong", trials.folder / "new"
        assert in_child(begin(self.files, self.run)).code == 0
        self.sweep = self.folder / "corpus" / "sweep.toml"

    def training(self, *more: str) -> list[str]:
        """A short training into the folder `new`."""
        return [*begin(self.files, self.new), *more]

    def setting(self) -> list[str]:
        """A field with an odd value, from an option or a file."""
        name = self.rng.choice([name for name in FIELDS if name not in HARMLESS])
        value = self.rng.choice(WORDS)
        if self.rng.random() < 0.5:
            return self.training("--set", f"{name}={value}")
        self.wrong.write_bytes(f"{name} = {self.rng.choice([value, repr(value)])}\n".encode(errors="surrogateescape"))
        return self.training("--config", str(self.wrong))

    def option(self) -> list[str]:
        """A random command line."""
        words = [self.rng.choice(COMMANDS)]
        options = [name for option in train.cli.loaded(words[0]).params for name in option.opts if name[:2] == "--"]
        taken = [name for name in options if name not in ("--help", "--output", "--cache-dir", "--epochs", "--to")]
        for _ in range(self.rng.randint(1, 3)):
            words += [self.rng.choice(taken or ["--x"]), self.rng.choice(WORDS)]
        words += self.rng.sample(WORDS, self.rng.randint(0, 1))
        if words[0] in ("train", "accuracy", "gradcheck", "trace", "sweep", "corpora"):  # else they take long
            words.append(self.rng.choice(["--nothing", "--preset=none", "stray stray"]))
        return words

    def corpus(self) -> list[str]:
        """A changed file of texts under any name, read in any way."""
        suffix = self.rng.choice(["tsv", "csv", "jsonl", "json", "txt", "ft", "parquet", "zip", "csv.gz", "npz", ""])
        path = self.folder / f"wrong.{suffix}"
        rows = self.files["train"].read_bytes()
        if "json" in suffix:
            parts = [row.split(b"\t") for row in rows.splitlines()]
            lines = [b'{"label": "%b", "text": "%b"}' % (label, text) for label, text in parts]
            rows = b"[%b]" % b",\n".join(lines) if suffix == "json" else b"\n".join(lines)
        elif suffix.startswith("csv"):
            rows = rows.replace(b"\t", b",")
        path.write_bytes(bytes_changed(self.rng, rows))
        reading = []
        for option in self.rng.sample(
            ["--encoding", "--delimiter", "--quotechar", "--label-column", "--text-columns"], 1
        ):
            reading += [option, self.rng.choice(WORDS)] if self.rng.random() < 0.4 else []
        option = self.rng.choice(["--train-file", "--train-file", "--test-file", "--validation-file", "--tokenizer",
                                  "--vectors"])  # fmt: skip
        return self.training(option, str(path), *reading)

    def of_a_run(self) -> list[str]:
        """A run of which one file was changed."""
        copy = self.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.run, copy)
        if self.rng.random() < 0.5:
            file = copy / self.rng.choice(FILES)
        else:
            checkpoint = copy / "checkpoints" / self.rng.choice(["best", "last"])
            found = list(checkpoint.glob(self.rng.choice(CHECKPOINT)))
            file = found[0] if found else checkpoint / "state.json"
        data = file.read_bytes()
        is_json = file.suffix == ".json" and self.rng.random() < 0.8
        file.unlink()
        file.write_bytes(json_changed(self.rng, data) if is_json else bytes_changed(self.rng, data))
        if self.rng.random() < 0.3 and file.name != "result.json":
            (copy / "result.json").unlink(missing_ok=True)
        ways = [
            ["predict", str(copy), "ball"], ["evaluate", str(copy)], ["describe", str(copy)],
            ["describe", str(copy), "--json"], ["--resume", str(copy)], ["export", str(copy), "--to", str(self.new)],
            ["report", str(copy), "--output", str(self.folder / "page.html")], ["--resume", str(copy), "--epochs", "4"],
            self.training("--init-from", str(copy)), self.training("--config", str(copy / "config.toml")),
        ]  # fmt: skip
        return self.rng.choice(ways)

    def of_a_sweep(self) -> list[str]:
        """A sweep's file that was changed; it is not run, since its output exists."""
        self.sweep.write_bytes(bytes_changed(self.rng, SWEEP.encode()))
        taken = self.folder / "taken"
        taken.mkdir(exist_ok=True)
        (taken / "sweep.toml").write_bytes(self.sweep.read_bytes() + b"\n[run]\nlinear = 1\n")
        return ["sweep", "--resume", str(taken)]


def bad_inputs(trials: Trials) -> None:
    """Draw inputs, and hold their ends against what a refusal must be."""
    attack = Attack(trials)
    ways: list[Callable[..., Any]] = [
        attack.setting, attack.option, attack.corpus, attack.of_a_run, attack.of_a_run, attack.of_a_sweep, odd,
    ]  # fmt: skip
    cache_folder.user_folder = lambda: trials.folder / "cache"  # type: ignore[assignment]
    before = Path.cwd()
    os.chdir(trials.folder)
    try:
        for _ in trials.numbers():
            way = trials.rng.choice(ways)
            if way is odd:
                trials.expect(*odd(trials))
                continue
            words = way()
            done = here(words)
            problem = wrong_end(done, (0, 1, 2) if words[0] == "gradcheck" else (0, 2))
            if problem is None and done.code and attack.new.exists() and not trained_some(attack.new):
                problem = f"left {[path.name for path in attack.new.iterdir()]} after {done.err!r}"
            shutil.rmtree(attack.new, ignore_errors=True)
            shown: Any = words if way != attack.of_a_run else (words, changed(attack.run, trials.folder / "copy"))
            trials.expect(problem, f"{way.__name__} {shown}", "refused" if done.code else "taken")
    finally:
        os.chdir(before)


def odd(trials: Trials) -> tuple[str | None, str, str]:
    """An odd exercise or odd arrays: (what is wrong, how to repeat it, the outcome)."""
    if trials.rng.random() < 0.5 and find_spec("sklearn"):
        return odd_arrays(trials.rng)
    return odd_learner(trials.rng, trials.folder)


def trained_some(folder: Path) -> bool:
    """Whether a run has begun in a folder."""
    return (folder / "metrics.jsonl").exists() or (folder / "checkpoints").exists()


def changed(before: Path, after: Path) -> list[str]:
    """The files that differ in two folders."""
    files = {path.relative_to(before) for path in before.rglob("*") if path.is_file()}
    return [str(name) for name in files if not (after / name).is_file() or differs(before / name, after / name)]


def differs(one: Path, other: Path) -> bool:
    return one.read_bytes() != other.read_bytes()
