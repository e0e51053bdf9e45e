"""Run a command and print what its process used: a script without imports of this project.

    python launcher.py STDOUT STDERR CORES PIPE COMMAND…

prints [exit code, CPU seconds, wall seconds, peak resident bytes] as JSON, of the command and of the processes that it
waited for. It lies between a program that measures and the command: the kernel counts the memory of a process from that
of its parent on, and this one is small. CORES: the command runs on so many of the cores that it may use; 0: on all.
PIPE: the number of an open file that ends when the program that measures has ended: then all of the group is ended.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time


def use_of(command: list[str], stdout: str, stderr: str, cores: int) -> tuple[int, float, float, int]:
    """Run the command to its end: (exit code, CPU seconds, wall seconds, peak resident bytes)."""
    if cores and hasattr(os, "sched_setaffinity"):  # threads of all kinds are counted by it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
    with open(stdout, "wb") as output, open(stderr, "wb") as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024  # macOS reports bytes, others KiB
    return child.returncode, usage.ru_utime + usage.ru_stime, wall, peak


def end_with(pipe: int) -> None:
    """End this group of processes as soon as the pipe has no writer any more."""
    os.read(pipe, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(int(sys.argv[4]),), daemon=True).start()
    print(json.dumps(use_of(sys.argv[5:], sys.argv[1], sys.argv[2], int(sys.argv[3]))))
