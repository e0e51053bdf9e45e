"""Everything that only a GPU can tell, as parts of a few minutes in all: see tests/on_device.sh.

Each part is a process of its own with its own time limit; one that fails does not stop the others. on_device.json and
on_device.md, the table for RESULTS.md, are written anew as each part ends. What the parts start themselves:

    python -m tests.support.on_device machine
    python -m tests.support.on_device corpora DIR NAME…    which can be had without a network; DIR: cache folder or ""
    python -m tests.support.on_device memory STEPS         bytes held in a training, after more and more steps
"""

import argparse
import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from engine.arrays.backend import peak_memory_bytes, why_no_cuda
from engine.benchmark.machine import describe_device, describe_machine
from engine.data.batching import take
from engine.data.corpora import load_corpus
from engine.support.command import child_environment
from engine.support.errors import UserError
from engine.support.files import write_json, write_text
from engine.support.text import markdown_table
from layers.experiments.benchmark import gpu
from layers.experiments.benchmark.contestants import OurTraining
from layers.experiments.benchmark.scale_corpus import write_corpus
from layers.experiments.benchmark.workloads import CLASSES, build, random_rows, random_texts
from layers.wave import OPERATIONS
from tests.support import emulated_program
from tests.support.paths import ROOT

MODULE = "tests.support.on_device"
CORPORA = ("r8", "20ng")
PRESETS = ("recommended", "paper")
MEMORY_STEPS = 4000
MOST_GROWTH = 1.1  # of the bytes held over the second half of a long training
EMULATED_ROWS = {"train": 48, "test": 16}
FOLDER = "{folder}"
# Fetching without a network should fail at once.
OFFLINE = {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": "5"}


class Part(NamedTuple):
    """A part. limit: seconds; command: after the interpreter, with FOLDER for a folder of its own, which is removed.

    read: (standard output, folder) → figures; ValueError, among others, where there are none.
    corpus: by name, without which it cannot run; why_not: why it is not run at all.
    """

    name: str
    limit: float
    command: list[str]
    read: Callable[[str, Path], Any]
    corpus: str | None = None
    why_not: str | None = None


class Choices(NamedTuple):
    """output: the folder of the results; ag_news: options of train that name its files, or none."""

    output: Path
    minutes: float = 9.0
    only: tuple[str, ...] = ()
    cache_dir: str | None = None
    ag_news: tuple[str, ...] = ()
    emulated: bool = False

    def program(self, name: str, *arguments: object) -> list[str]:
        """The command, after the interpreter, that runs train.py, pytest or this module with arguments."""
        modules = {"train.py": ["train.py"], "pytest": ["-m", "pytest"], "on_device": ["-m", MODULE]}
        start = ["-m", emulated_program.__name__, name] if self.emulated else modules[name]
        return [*start, *map(str, arguments)]

    def texts(self, corpus: str) -> list[str]:
        """The options of a training on a corpus by name or, on the emulated device, on a few generated rows."""
        cache = ["--cache-dir", self.cache_dir] if self.cache_dir else []
        if not self.emulated:
            return [*(self.ag_news if corpus == "ag_news" else ("--corpus", corpus)), *cache]
        files = {split: self.output / f"{split}.csv" for split in EMULATED_ROWS}
        return ["--train-file", str(files["train"]), "--test-file", str(files["test"]), *cache]

    def small(self, *options: str) -> list[str]:
        """The options, on the emulated device."""
        return list(options) if self.emulated else []


def parts_of(choices: Choices) -> list[Part]:
    """All parts in the order in which they run."""
    on_cuda = ("--device", "cuda", "--json")
    small = choices.small("--dimension", "8", "--batch-size", "16", "--vocabulary-size", "200")
    few = [*small, *choices.small("--set", "hidden=8")]
    tests = choices.small("tests/kernels/test_on_device.py", "-k", "test_results_and_gradients and E5 and fast")
    parts = [
        Part(
            "tests",
            150,
            choices.program("pytest", "-q", "-m", "gpu", "--junitxml", "{folder}/tests.xml", *tests),
            read_tests,
        )
    ]
    for operation in OPERATIONS:
        chosen = ["--preset", "paper", "--epochs", 1, "--operation", operation, "--set", "implementation=check"]
        command = choices.program("train.py", *choices.texts("r8"), *chosen, *few, *on_cuda, "--output", "{folder}/run")
        parts.append(Part(f"check {operation}", 45, command, read_check, corpus="r8"))
    for size in emulated_program.SIZES if choices.emulated else gpu.SIZES:
        figures = ",".join(f"train_{size}_{precision}" for precision in ("float32", "tf32"))
        chosen = ["benchmark", "--only", figures, *choices.small("--repeats", "1")]
        parts.append(Part(f"steps {size}", 75, choices.program("train.py", *chosen, *on_cuda), read_rows))
    steps = 4 if choices.emulated else MEMORY_STEPS
    parts.append(Part("memory", 30, choices.program("on_device", "memory", steps), read_memory))
    for corpus in ("20ng", "ag_news"):
        given = choices.ag_news or choices.emulated or corpus != "ag_news"
        why_not = None if given else "AG_NEWS does not hold the options that name its files"
        for preset in PRESETS:
            chosen = ["--preset", preset, *(["--precision", "tf32"] if preset == "paper" else [])]
            chosen += ["--set", "validation_fraction=0", *(few if preset == "paper" else small)]
            command = choices.program("train.py", *choices.texts(corpus), *chosen, *on_cuda, "--output", "{folder}/run")
            by_name = None if corpus == "ag_news" else corpus
            parts.append(Part(f"{corpus} {preset}", 45, command, read_training, by_name, why_not))
    chosen = ["study", *choices.texts("r8"), "--epochs", 1, "--snapshots", 2, "--output", "{folder}/study"]
    command = choices.program("train.py", *chosen, *small, *on_cuda)
    parts.append(Part("study", 60, command, read_study, corpus="r8"))
    sizes = "4,8" if choices.emulated else "64,256,1024"
    chosen = ["complexity", "--models", ",".join([*OPERATIONS][:2]) + ",bert-base", "--lengths", sizes, "--repeats", 1]
    chosen += ["--budget", 5, *choices.small("--texts", "2", "--length", "4")]
    parts.append(Part("complexity", 60, choices.program("train.py", *chosen, *on_cuda), read_complexity))
    return parts


def read_tests(_: str, folder: Path) -> dict[str, int]:
    """{"passed", "failed", "skipped"} of a run of pytest. ValueError where none passed or one failed."""
    suite = ElementTree.parse(folder / "tests.xml").getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
    failed = counts["failures"] + counts["errors"]
    found = {"passed": counts["tests"] - failed - counts["skipped"], "failed": failed, "skipped": counts["skipped"]}
    if not found["passed"]:
        raise ValueError("no test ran on the device")
    return found


def read_training(output: str, _: Path) -> dict[str, Any]:
    """The figures of a result.json that the tables show."""
    result = json.loads(output)
    names = ("test_accuracy", "test_macro_f1", "train_seconds", "tokens_per_second", "peak_memory_bytes", "precision")
    return {name: result[name] for name in (*names, "texts", "parameters")}


def read_check(output: str, folder: Path) -> dict[str, Any]:
    """Those of read_training, and the differences from the equations as shares of their tolerances."""
    differences = json.loads(output).get("differences")
    if not differences:
        raise ValueError("no function was held against its equation")
    return {**read_training(output, folder), "worst": max(differences.values()), "differences": differences}


def read_rows(output: str, _: Path) -> dict[str, Any]:
    """The rows, limits and notes of the benchmark."""
    found = json.loads(output)
    return {name: found[name] for name in ("results", "products", "bandwidth", "limits", "notes")}


def read_memory(output: str, _: Path) -> dict[str, Any]:
    """{"bytes": [[steps, bytes held] …]}. ValueError where the second half of the steps takes more."""
    found: list[list[int]] = json.loads(output)
    half, last = (held for _, held in found[-2:])
    if last > MOST_GROWTH * half:
        raise ValueError(f"{last:,} bytes after {found[-1][0]:,} steps, {half:,} after half of them")
    return {"bytes": found}


def read_study(output: str, _: Path) -> dict[str, Any]:
    """{run: its figures}."""
    runs = json.loads(output)["runs"]
    names = ("test_accuracy", "parameters", "train_seconds")
    return {run: {**{name: found[name] for name in names}, "loss": found["loss"][-1]} for run, found in runs.items()}


def read_complexity(output: str, _: Path) -> dict[str, Any]:
    """The growth and the savings of complexity."""
    found = json.loads(output)
    return {name: found[name] for name in ("growth", "savings", "batch")}


class Outcome(NamedTuple):
    """How a part ended. status: passed, failed or not run; reason: why, unless it passed."""

    name: str
    status: str
    seconds: float = 0.0
    reason: str | None = None
    figures: Any = None


def run_part(part: Part, choices: Choices, seconds: float) -> Outcome:
    """Run a part to its end, or until its limit or the seconds that are left are over; its output is kept in logs/."""
    limit = min(part.limit, seconds)
    logs = choices.output / "logs"
    logs.mkdir(exist_ok=True)
    stdout, stderr = (logs / f"{part.name.replace(' ', '_')}.{kind}" for kind in ("out", "err"))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        command = [word.replace(FOLDER, scratch) for word in part.command]
        code = ended_within(limit, command, stdout, stderr)
        took = time.monotonic() - started
        if code is None:
            return Outcome(part.name, "failed", took, f"it took longer than {limit:.0f} s")
        reason = None if code == 0 else last_line(stderr) or last_line(stdout) or f"exit code {code}"
        figures = None
        try:
            figures = part.read(stdout.read_text(encoding="utf-8", errors="replace"), folder)
        except (OSError, ValueError, KeyError, IndexError, TypeError, ElementTree.ParseError) as error:
            reason = reason or f"its figures cannot be read ({type(error).__name__}: {error})"
    return Outcome(part.name, "failed" if reason else "passed", took, reason, figures)


def ended_within(limit: float, command: list[str], stdout: Path, stderr: Path) -> int | None:
    """The exit code of a command of Python, or None where it ran longer than `limit` seconds and was ended."""
    environment = child_environment(PYTHONUNBUFFERED="1", **OFFLINE)
    with open(stdout, "wb") as output, open(stderr, "wb") as errors:
        child = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=ROOT,
            env=environment,
            start_new_session=True,  # a group of its own, that can be ended with all that it started
        )
        try:
            return child.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def last_line(path: Path) -> str:
    """The last line of a text file that holds something, without what names it an error."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("error: ") if lines else ""


def run_parts(choices: Choices, parts: list[Part], log: Callable[[str], object]) -> int:
    """Run parts and write what they found as each ends; the exit code: 0, or 1 where one failed.

    UserError where there is no device.
    """
    ends = time.monotonic() + 60 * choices.minutes
    device = run_part(Part("machine", 60, choices.program("on_device", "machine"), read_json), choices, 60)
    if device.status == "failed":
        raise UserError(f"{device.reason}")
    corpora = Part("corpora", 60, choices.program("on_device", "corpora", choices.cache_dir or "", *CORPORA), read_json)
    missing = {} if choices.emulated else run_part(corpora, choices, 60).figures or {}
    outcomes: list[Outcome] = []
    for part in parts:
        left = ends - time.monotonic()
        why_not = part.why_not or missing.get(part.corpus)
        if why_not:
            outcome = Outcome(part.name, "not run", reason=why_not)
        elif left <= 1:
            outcome = Outcome(part.name, "failed", reason=f"the {choices.minutes:g} minutes were over")
        else:
            outcome = run_part(part, choices, left)
        outcomes.append(outcome)
        log(f"{outcome.name}: {outcome.status}, {outcome.seconds:.1f} s{reason_of(outcome)}")
        found = {"machine": device.figures, "parts": [outcome._asdict() for outcome in outcomes]}
        write_json(choices.output / "on_device.json", found)
        write_text(choices.output / "on_device.md", as_markdown(device.figures, outcomes))
    return int(any(outcome.status == "failed" for outcome in outcomes))


def read_json(output: str, _: Path) -> Any:
    """The value of a line of JSON."""
    return json.loads(output)


def reason_of(outcome: Outcome) -> str:
    return f": {outcome.reason}" if outcome.reason else ""


def as_markdown(device: dict[str, Any], outcomes: list[Outcome]) -> str:
    """A line on the machine, a table of all parts, and a table of figures for each kind of part that has some."""
    about = f"{device['device']}, driver {device['driver']}, CUDA {device['cuda_runtime']}, CuPy {device['cupy']}"
    rows = [(o.name, o.status, f"{o.seconds:.1f}", o.reason or "") for o in outcomes]
    sections = [about, markdown_table(["part", "result", "seconds", "reason"], rows, align="<<><")]
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.figures is not None:
            first = outcome.name.split()[0]
            kinds.setdefault(KINDS.get(first, first), []).append(outcome)
    sections += [TABLES[kind](found) for kind, found in kinds.items()]
    return "\n\n".join(sections) + "\n"


def tests_table(outcomes: list[Outcome]) -> str:
    """How many tests of the marker gpu passed."""
    (outcome,) = outcomes
    return markdown_table(["tests of the marker gpu", *outcome.figures], [["", *map(str, outcome.figures.values())]])


def step_table(outcomes: list[Outcome]) -> str:
    """Milliseconds of a step by texts in a batch and precision."""
    rows = []
    for outcome in outcomes:
        for row in outcome.figures["results"]:
            kind, size, precision = row["name"].split("_")
            if kind == "step":
                low, high = row["spread"]["ours"]
                peers = [
                    "-" if row[name] is None else f"{row[name]:.2f}, {row[ratio]:.1f} times"
                    for name, ratio in (("peer", "ratio"), ("compiled", "compiled_ratio"))
                ]
                step = f"{row['ours']:.2f} ({low:.2f} to {high:.2f})"
                rows.append((size, precision, step, percent(row["share_of_limit"]), *peers))
    headings = ["texts in a batch", "precision", "step, ms", "of the limit", "PyTorch eager", "torch.compile"]
    return markdown_table(headings, rows)


def training_table(outcomes: list[Outcome]) -> str:
    """Seconds, accuracy and memory of whole trainings."""
    rows = [
        (
            f"{o.name.split()[0]}, {o.figures['texts']['training']:,} rows",
            f"{o.name.split()[1]}, {o.figures['precision']}",
            f"{o.figures['train_seconds']:.1f} s",
            percent(o.figures["test_accuracy"], 2),
            percent(o.figures["test_macro_f1"], 2),
            mebibytes(o.figures["peak_memory_bytes"]),
        )
        for o in outcomes
    ]
    headings = ["corpus", "preset", "training", "test accuracy", "macro F1", "peak memory"]
    return markdown_table(headings, rows, align="<<>>>>")


def check_table(outcomes: list[Outcome]) -> str:
    """The worst differences between implementations and equations, as shares of their tolerances."""
    rows = [
        (
            o.name.split()[1],
            f"{len(o.figures['differences'])}",
            f"{o.figures['worst']:.3f}",
            max(o.figures["differences"], key=o.figures["differences"].get),
            percent(o.figures["test_accuracy"], 2),
        )
        for o in outcomes
    ]
    headings = ["implementation=check on R8", "functions", "worst difference / tolerance", "of", "test accuracy"]
    return markdown_table(headings, rows, align="<>><>")


def memory_table(outcomes: list[Outcome]) -> str:
    """Bytes held after so many steps."""
    (outcome,) = outcomes
    steps, held = zip(*outcome.figures["bytes"])
    return markdown_table(["steps", *(f"{n:,}" for n in steps)], [["memory held", *map(mebibytes, held)]])


def study_table(outcomes: list[Outcome]) -> str:
    """Accuracy, parameters and seconds of the runs of the study."""
    (outcome,) = outcomes
    rows = [
        (run, f"{f['parameters']:,}", f"{f['loss']:.4f}", percent(f["test_accuracy"], 2), f"{f['train_seconds']:.1f} s")
        for run, f in outcome.figures.items()
    ]
    return markdown_table(["study, one epoch of R8", "parameters", "last loss", "test accuracy", "training"], rows)


def complexity_table(outcomes: list[Outcome]) -> str:
    """Milliseconds and memory of an update by model and length."""
    (outcome,) = outcomes
    rows = []
    for row in outcome.figures["growth"]:
        operations = row["forward"] + row["backward"]
        seconds = min(row["seconds"]) if row["seconds"] else None
        measured = [f"{1e3 * seconds:.2f}", mebibytes(row["peak_bytes"])] if seconds else [row["why_not"], "-"]
        rows.append((row["model"], f"{row['length']:,}", f"{operations / 1e9:,.2f}", *measured))
    return markdown_table(["model", "tokens of a text", "GFLOP", "update, ms", "peak memory"], rows)


KINDS = {"20ng": "trainings", "ag_news": "trainings"}  # by the first word of a part; the others are of their own
TABLES: dict[str, Callable[[list[Outcome]], str]] = {
    "tests": tests_table,
    "check": check_table,
    "steps": step_table,
    "memory": memory_table,
    "trainings": training_table,
    "study": study_table,
    "complexity": complexity_table,
}


def percent(share: float | None, digits: int = 0) -> str:
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def mebibytes(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB"


def machine() -> dict[str, Any]:
    """The machine and its device as plain values. UserError where no device can be used."""
    reason = why_no_cuda()
    if reason:
        raise UserError(f"no GPU: {reason}")
    return {**describe_machine(), **describe_device("cuda")}


def corpora(cache_dir: str, *names: str) -> dict[str, str | None]:
    """{corpus by name: None, or why it cannot be had}."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            load_corpus(name, cache_dir or None)
            found[name] = None
        except UserError as error:
            found[name] = str(error)
    return found


def memory(steps: str) -> list[tuple[int, int]]:
    """[(steps, bytes held on the device)] of a training of the paper's network, at powers of two below all, and all."""
    size, count = gpu.SIZES[0], int(steps)
    texts = random_texts(size * min(count, 500), seed=0)
    training, marks, found = OurTraining(build("paper", CLASSES), "cuda"), {count, count // 2}, []
    marks |= {2**power for power in range(count.bit_length()) if 2**power < count // 2}
    for step, rows in enumerate(random_rows(texts, count, size), start=1):
        training.train_step(take(texts, rows))
        if step in marks:
            found.append((step, peak_memory_bytes("cuda")))
    return found


STARTED: dict[str, Callable[..., Any]] = {"machine": machine, "corpora": corpora, "memory": memory}


def chosen_parts(choices: Choices) -> list[Part]:
    """The parts whose names begin with one of those in --only, or all. UserError for a name that fits none."""
    parts = parts_of(choices)
    for name in choices.only:
        if not any(part.name.startswith(name) for part in parts):
            raise UserError(f"--only {name}: is none of the parts {', '.join(part.name for part in parts)}")
    return [part for part in parts if not choices.only or part.name.startswith(choices.only)]


def choices_of(arguments: list[str]) -> Choices:
    """The Choices that the arguments and AG_NEWS make. UserError for wrong ones."""
    parser = argparse.ArgumentParser(prog="tests/on_device.sh", description="What only a GPU can tell.")
    parser.add_argument("--output", type=Path, default=Path("runs") / time.strftime("on-device-%Y%m%d-%H%M%S"))
    parser.add_argument("--minutes", type=float, default=9.0, help="for all parts together (default: 9)")
    parser.add_argument("--only", default="", help="parts whose names begin so, comma-separated")
    parser.add_argument("--cache-dir", help="folder of fetched corpora and token ids")
    parser.add_argument("--emulated", action="store_true", help="on the emulated device, with tiny sizes")
    given = vars(parser.parse_args(arguments))
    try:
        ag_news = tuple(shlex.split(os.environ.get("AG_NEWS", "")))
    except ValueError as error:
        raise UserError(f"AG_NEWS: {error}; give options of train, quoted as in a shell") from None
    only = tuple(name for name in given.pop("only").split(",") if name)
    output = given.pop("output").resolve()
    return Choices(output, only=only, ag_news=ag_news, **given)


def main(arguments: list[str]) -> int:
    """Run what the arguments name; print a line for each part as it ends."""
    try:
        if arguments and arguments[0] in STARTED:
            print(json.dumps(STARTED[arguments[0]](*arguments[1:])))
            return 0
        choices = choices_of(arguments)
        parts = chosen_parts(choices)
        choices.output.mkdir(parents=True, exist_ok=True)
        if choices.emulated:
            os.environ.setdefault(emulated_program.VARIABLE, str(choices.output / "kernels"))
            for split, rows in EMULATED_ROWS.items():
                write_corpus(choices.output / f"{split}.csv", rows, split)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the part that runs would go on
        code = run_parts(choices, parts, lambda line: print(line, flush=True))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f"written: {choices.output / 'on_device.json'} and on_device.md")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
