"""The process that does one job of a sweep, which it reads from a pipe: a run, a trial, a baseline, the texts, …

The pipe stays open as long as the process at its other end lives; without it a run saves its state and stops. So it
does at SIGTERM; Ctrl-C is left to the process that started this one.
"""

import _thread
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from engine.data.config import DataConfig
from engine.data.prepare import prepare
from engine.data.reading import open_corpus, read_corpus
from engine.support.errors import UserError
from engine.support.files import write_json
from engine.support.settings import Settings
from engine.sweep.autotune_trial import run_trial
from engine.sweep.baselines import measure_ensemble
from engine.training.interrupt import SIGNALS
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import settings_of
from engine.training.session import start_or_resume


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
        elif job["kind"] == "trial":
            settings = settings_of(job["settings"], network_classes)
            write_json(output, run_trial(settings, job["share"], build_network, job["device"], cache_dir, log_line))
        elif job["kind"] == "ensemble":
            measure_ensemble(job["runs"], output, network_classes, build_network, job["device"], cache_dir, log_line)
        else:
            RunDirectory(output).wait_until_free(job.get("wait", 0))
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
