"""One job of a sweep, in the process that does it. The first line of its standard input is the job, in JSON; the pipe stays open as
long as the process that started it lives.

Ctrl-C is left to that process, which asks for the end by SIGTERM, once: a run then saves its state and stops.
"""

import _thread
import io
import json
import signal
import sys
import threading

from tqdm import tqdm

from engine.data.config import DataConfig
from engine.data.prepare import prepare, read_corpus
from engine.errors import UserError
from engine.files import write_json
from engine.training.run_settings import settings_of
from engine.training.session import start_or_resume
from engine.training.sweep.together import measure_together

HELD = {signal.SIGINT, signal.SIGTERM}


def do_job(source, network_classes, build_network):
    """Read a job from a file descriptor and do it. Raises what its functions raise; asked to end outside of training, the process ends without a word."""
    try:
        take_signals()
        stream = io.FileIO(source, closefd=False)  # unbuffered: a thread that waits in a buffered one would hold its lock to the end
        job = json.loads(stream.readline())
        threading.Thread(target=end_with_parent, args=(stream,), daemon=True).start()
        if job["kind"] == "prepare":
            print(json.dumps(prepared(job["data"], job["cache_dir"])))
        elif job["kind"] == "linear":
            measured_linear(DataConfig(**job["data"]), job["output"], job["cache_dir"])
        elif job["kind"] == "together":
            measure_together(job["runs"], job["output"], network_classes, build_network, job["device"], job["cache_dir"], say)
        else:
            settings = settings_of(job["settings"], network_classes)
            start_or_resume(settings, network_classes, build_network, job["output"], job["device"], job["cache_dir"], say, plan=job["plan"])
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGTERM)


def take_signals():
    """SIGTERM ends what does not handle it (training does) as Ctrl-C would, so that a folder just claimed is given up; Ctrl-C itself is not heard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that is closed ends the process that started this one
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def end_with_parent(stream):
    """Wait until the other end of the pipe is closed, then ask this process to stop as its parent would have done."""
    while stream.read(1):
        pass
    _thread.interrupt_main(signal.SIGTERM)


def say(line):
    """Into the log, at once."""
    print(line, flush=True)


def prepared(entries, cache_dir):
    """Read and tokenize texts, so that they are fetched once and all processes find their tokens in the cache.

    entries: dicts of "where" (for messages), "data" (fields of a DataConfig) and "seed". Returns {"notes": what was read} or {"error": text}.
    """
    notes = []
    for entry in tqdm(entries, desc="texts", unit="corpus", leave=False, disable=None):
        config = DataConfig(**entry["data"])
        try:
            corpus, read = read_corpus(config, cache_dir)
            prepare(config, corpus, entry["seed"], cache_dir=cache_dir)
        except UserError as error:
            return {"error": f"{entry['where']}: {error}"}
        notes += [note for note in read if note not in notes]
    return {"notes": notes}


def measured_linear(config, output, cache_dir):
    """Write the figures of the linear peer on the texts of a DataConfig."""
    from engine.benchmark.linear_peer import measure_linear

    corpus, _ = read_corpus(config, cache_dir)
    write_json(output, measure_linear(corpus))
