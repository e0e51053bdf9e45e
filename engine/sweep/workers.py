"""Jobs of a sweep side by side, each in a process of its own: with its own memory to measure and number of threads.

A process is started by the caller's command, which calls do_job(); its output goes into a log file. The first line of
its standard input is the job, in JSON; the pipe stays open as long as the process that started it lives.

Ctrl-C is left to that process, which asks for the end by SIGTERM, once: a run then saves its state and stops.
"""

import _thread
import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from engine.data.config import DataConfig
from engine.data.prepare import prepare
from engine.data.reading import open_corpus, read_corpus
from engine.support.command import child_environment
from engine.support.errors import UserError
from engine.support.files import write_json
from engine.support.settings import Settings
from engine.sweep.baselines import measure_ensemble
from engine.training.interrupt import SIGNALS, Interrupted, SignalWatch
from engine.training.run_settings import settings_of
from engine.training.session import start_or_resume

POLL_SECONDS = 0.05
# Environment variables that limit the threads of libraries; the last one is that of tokenizers.
THREADS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS",
)  # fmt: skip


# --- the process that starts jobs ----------------------------------------------------------------------------------


class Job(NamedTuple):
    """name: of its log; message: the job for do_job(); threads: its limit, unless the user's environment sets one."""

    name: str
    message: Any
    threads: int


def run_jobs(
    jobs: Sequence[Job],
    count: int,
    command: Sequence[str],
    logs: str | Path,
    done: Callable[[Job, str | None], Any],
) -> None:
    """Do Jobs, `count` at a time; after each call done(job, None or the reason of its failure).

    Raises Interrupted after one of SIGNALS, when all processes have saved and ended; at a second Ctrl-C
    KeyboardInterrupt, and kills them.
    """
    waiting, asked = deque(jobs), False
    running: list[tuple[Job, subprocess.Popen[bytes]]] = []
    with SignalWatch() as watch:
        try:
            while running or (waiting and watch.caught is None):
                while waiting and len(running) < count and watch.caught is None:
                    job = waiting.popleft()
                    running.append((job, begin(job, command, logs)))
                if watch.caught is not None and not asked:
                    for _, process in running:
                        process.terminate()
                    asked = True
                time.sleep(POLL_SECONDS)
                for job, process in [entry for entry in running if entry[1].poll() is not None]:
                    running.remove((job, process))
                    close(process)
                    if process.returncode == 0 or not asked:
                        done(job, None if process.returncode == 0 else reason(process.returncode, log_of(logs, job)))
        finally:
            for _, process in running:
                process.kill()
                close(process)
    if watch.caught is not None:
        raise Interrupted(watch.caught)


def begin(job: Job, command: Sequence[str], logs: str | Path) -> "subprocess.Popen[bytes]":
    """Start the process of a job and send the job to it."""
    environment = dict.fromkeys(THREADS, str(job.threads)) | child_environment(PYTHONIOENCODING="utf-8")
    with open(log_of(logs, job), "wb") as log:
        process = start(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    send(process, job.message)
    return process


def start(command: Sequence[str], **more: Any) -> "subprocess.Popen[bytes]":
    """A process with a pipe to its standard input. Signals wait until it is ready for them."""
    with signals_held():
        return subprocess.Popen(command, stdin=subprocess.PIPE, **more)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold back signals to this process until the end, and to a process started meanwhile until it allows them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def send(process: "subprocess.Popen[bytes]", message: Any) -> None:
    """Send a process its job; the pipe stays open."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has died already, and its log says why
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def close(process: "subprocess.Popen[bytes]") -> None:
    """Close the pipe to a process and wait for its end."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


def log_of(logs: str | Path, job: Job) -> Path:
    """The log file of a job."""
    return Path(logs, f"{job.name}.log")


def reason(code: int, log: Path) -> str:
    """Why a process failed, in one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    if code < 0:
        return f"ended by {signal.Signals(-code).name} (too little memory?); its log: {log}"
    return last.removeprefix("error: ") if code == 2 else f"exit code {code}: {last}; its log: {log}"


def ask(command: Sequence[str], message: Any) -> Any:
    """The JSON answer of a process to a job; it shows its progress on this terminal. UserError where it fails."""
    process = start(command, stdout=subprocess.PIPE, env=child_environment())
    assert process.stdout is not None
    try:
        send(process, message)
        answer = process.stdout.read()
    except BaseException:  # Ctrl-C
        process.terminate()  # which ends a download under way, too
        raise
    finally:
        process.stdout.close()
        close(process)
    if process.returncode:
        raise UserError(f"reading the texts ended with exit code {process.returncode}; what stands above says why")
    return json.loads(answer)


# --- the process that does a job -----------------------------------------------------------------------------------


def do_job(source: int, network_classes: Mapping[str, type[Settings]], build_network: Callable[..., Any]) -> None:
    """Read a job from a file descriptor and do it. Raises what its functions raise.

    Asked to end outside of training, the process ends without a word.
    """
    try:
        take_signals()
        # Unbuffered: a thread that waits in a buffered stream would hold its lock to the end.
        stream = io.FileIO(source, closefd=False)
        job = json.loads(stream.readline())
        threading.Thread(target=end_with_parent, args=(stream,), daemon=True).start()
        if job["kind"] == "prepare":
            print(json.dumps(prepared(job["data"], job["cache_dir"])))
            return
        output, cache_dir = job["output"], job["cache_dir"]
        if job["kind"] == "linear":
            measured_linear(DataConfig(**job["data"]), output, cache_dir)
        elif job["kind"] == "ensemble":
            measure_ensemble(job["runs"], output, network_classes, build_network, job["device"], cache_dir, log_line)
        else:
            settings = settings_of(job["settings"], network_classes)
            where, plan = (output, job["device"], cache_dir, log_line), job["plan"]
            start_or_resume(settings, network_classes, build_network, *where, plan=plan)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)


def take_signals() -> None:
    """Let SIGTERM act as Ctrl-C does where it is not handled (training does), and ignore Ctrl-C itself.

    So a folder just claimed is given up when the process is asked to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed ends the process that started this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def end_with_parent(stream: io.FileIO) -> None:
    """Wait until the other end of the pipe is closed, then ask this process to stop as its parent would have done."""
    while stream.read(1):
        pass
    _thread.interrupt_main(signal.SIGTERM)


def log_line(line: str) -> None:
    """Print a line into the log at once."""
    print(line, flush=True)


def prepared(entries: Sequence[dict[str, Any]], cache_dir: str | None) -> dict[str, Any]:
    """Read and tokenize texts, so that they are fetched once and all processes find their tokens in the cache.

    entries: dicts of "where" (for messages), "data" (fields of a DataConfig), "sentences" (whether texts are cut into
    sentences) and "seed". Returns {"notes": lines on what was read} or {"error": text}.
    """
    notes: list[str] = []
    for entry in tqdm(entries, desc="texts", unit="corpus", leave=False, disable=None):
        config = DataConfig(**entry["data"])
        try:
            read: list[str] = []
            corpus, sentences = open_corpus(config, cache_dir), entry["sentences"]
            prepare(config, corpus, entry["seed"], cache_dir=cache_dir, sentences=sentences, log=read.append)
        except UserError as error:
            return {"error": f"{entry['where']}: {error}"}
        notes += [note for note in read if note not in notes]
    return {"notes": notes}


def measured_linear(config: DataConfig, output: str, cache_dir: str | None) -> None:
    """Write the figures of the linear SVM on the texts of a DataConfig."""
    from engine.sweep.baselines import measure_linear

    corpus, _ = read_corpus(config, cache_dir)
    write_json(output, measure_linear(corpus, config.has_several_labels()))
