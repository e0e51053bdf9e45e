"""Whole processes: what they used is that of the process alone, and a failure is one line."""

import os
import signal
import subprocess
import sys
import time

import pytest

from engine.benchmark.process import measured_process
from engine.support.errors import UserError
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell what a process used"),
    pytest.mark.usefixtures("signals_of_a_terminal"),
]
MIB = 2**20


def python(code):
    return [sys.executable, "-c", code]


def test_the_peak_is_that_of_the_process():
    """Neither that of this one, which is larger, nor without that of a process that it waits for."""
    mine = bytearray(200 * MIB)
    mine[:: 2**12] = b"1" * len(mine[:: 2**12])
    small = measured_process("it", python("pass")).peak_bytes
    block = "x = bytearray(100 << 20); x[::4096] = b'1' * len(x[::4096])"
    large = measured_process("it", python(block)).peak_bytes
    inner = measured_process("it", python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {block!r}])"))
    assert small < 60 * MIB and large > 100 * MIB and inner.peak_bytes > 100 * MIB


def test_seconds_of_the_cpu_are_not_those_of_waiting():
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    for code in (busy, inner):
        used = measured_process("it", python(code))
        assert 0.3 <= used.cpu_seconds < 3 and used.wall_seconds >= 0.3
    asleep = measured_process("it", python("import time; time.sleep(0.5); print('done')"))
    assert asleep.wall_seconds >= 0.5 > asleep.cpu_seconds and asleep.output == "done\n"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no process to cores")
def test_a_process_gets_the_cores_that_it_may_use():
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ.get('OMP_NUM_THREADS'))"
    assert measured_process("it", python(code), cores=1).output == "1 1\n"
    cores = len(os.sched_getaffinity(0))
    assert measured_process("it", python(code)).output.split()[0] == str(cores)


@pytest.mark.parametrize("code, reason", [
    ("import sys; sys.exit('first\\nerror: the last line\\n\\n')", "the last line"),
    ("import sys; sys.exit(3)", "it ended with code 3"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ended with code -9"),
])  # fmt: skip
def test_a_failure_is_told_in_one_line(code, reason):
    with pytest.raises(UserError) as caught:
        measured_process("fastText", python(code))
    assert str(caught.value) == f"measuring fastText failed: {reason}"


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_started_ends_with_the_program(tmp_path, signal_number):
    """However that ends, also what the process started itself: it would go on writing."""
    mark = tmp_path / "mark"
    write = f"import time, pathlib\nwhile True:\n pathlib.Path({str(mark)!r}).write_text('x'); time.sleep(0.05)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {write!r}])"
    program = f"from engine.benchmark.process import measured_process\nmeasured_process('it', {python(code)!r})"
    with subprocess.Popen(python(program), cwd=ROOT, stderr=subprocess.DEVNULL) as measuring:
        while not mark.exists():
            time.sleep(0.02)
        measuring.send_signal(signal_number)
    time.sleep(0.2)
    mark.unlink(missing_ok=True)
    time.sleep(0.3)
    assert not mark.exists()
