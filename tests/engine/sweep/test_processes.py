"""Jobs in processes: how many at once, with how many threads, how they fail, and that none is left behind."""

import signal
import sys
import time

import pytest

from engine.support.errors import UserError
from engine.sweep.jobs import run_jobs
from engine.sweep.processes import Processes, ask
from engine.training.interrupt import Interrupted
from tests.support import sweep_jobs
from tests.support.paths import ROOT
from tests.support.sweep_jobs import WAITING, WORKER, is_alive, jobs, require_saved, stop_when_started

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
    pytest.mark.usefixtures("signals_of_a_terminal"),
]


def run(folder, some, count=2, ended=None):
    """sweep_jobs.run() in local processes, `count` at a time."""
    return sweep_jobs.run(some, Processes(WORKER, folder, count), ended)


def test_a_failure_has_its_reason_and_stops_no_other(tmp_path):
    ended = run(tmp_path, jobs(
        "print('well')", "print('x'); sys.exit('error: the learning rate')", "print('error: lower it'); sys.exit(2)",
        "1 / 0",
        "import os; os.kill(os.getpid(), 9)", "sys.exit(3)", "print('at the end')",
    ))  # fmt: skip
    log = lambda number: f"its log: {tmp_path / f'job{number}.log'}"  # noqa: E731
    assert ended == {
        "job0": None, "job1": f"exit code 1: error: the learning rate; {log(1)}", "job2": "lower it",
        "job3": f"exit code 1: ZeroDivisionError: division by zero; {log(3)}",
        "job4": f"ended by SIGKILL (too little memory?); {log(4)}",
        "job5": f"exit code 3: it said nothing; {log(5)}", "job6": None,
    }  # fmt: skip
    assert (tmp_path / "job0.log").read_text() == "well\n"


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_run_at_once(tmp_path, count):
    """Each job leaves a file while it runs, and says how many it sees."""
    line = (
        f"import os, time; f = r'{tmp_path}/running-' + str(os.getpid()); open(f, 'w'); time.sleep(0.3);"
        f"print(sum(n.startswith('running') for n in os.listdir(r'{tmp_path}'))); time.sleep(0.1); os.remove(f)"
    )
    assert set(run(tmp_path, jobs(*[line] * 4), count).values()) == {None}
    assert max(int((tmp_path / f"job{number}.log").read_text()) for number in range(4)) == count


def test_threads_are_limited_unless_the_user_has_said(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
    line = f"import os; print([os.environ[n] for n in {names}], 'ü')"
    run(tmp_path, jobs(line, threads=3))
    assert (tmp_path / "job0.log").read_text(encoding="utf-8") == "['7', '3', '3', '3'] ü\n"


def test_messages_of_a_job_name_the_command_that_the_user_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT / "tests")
    monkeypatch.setattr("sys.argv", ["../train.py", "sweep"])
    line = "import os; print(json.dumps(os.environ['_WAVE_COMMAND']))"
    run(tmp_path, jobs(line))
    assert (tmp_path / "job0.log").read_text() == '"python ../train.py"\n'
    assert ask(WORKER, line) == "python ../train.py"


STUBBORN = WAITING.replace("sys.exit(143)", "None")


@pytest.mark.parametrize("number, code", [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_all_processes_save_and_starts_no_other(tmp_path, number, code):
    sender = stop_when_started(tmp_path, number, 2)
    ended = {}
    with pytest.raises(Interrupted) as caught:
        run(tmp_path, jobs(WAITING, WAITING, WAITING), ended=ended)
    sender.join()
    assert caught.value.exit_code == code and ended == {}  # what was asked to end has not failed
    require_saved(tmp_path, ["job0", "job1"])
    assert not (tmp_path / "job2.log").exists()


def test_a_second_ctrl_c_kills_what_does_not_end(tmp_path):
    sender = stop_when_started(tmp_path, signal.SIGINT, 1, times=2)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, jobs(STUBBORN.replace("time.sleep(60)", "[time.sleep(60) for _ in range(9)]")))
    sender.join()
    assert time.monotonic() - started < 30 and not is_alive(int((tmp_path / "job0.log").read_text().split()[0]))


def test_an_answer_comes_back_or_there_is_an_error(capfd):
    assert ask(WORKER, "print('{\"a\": 1}')") == {"a": 1}
    with pytest.raises(UserError, match="exit code 1"):
        ask(WORKER, "1 / 0")
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_fails_here_lets_jobs_save(tmp_path):
    """As a results file that cannot be written: whatever runs is asked to save before the error goes on."""

    def fail(job, reason):
        while not (tmp_path / "job1.log").stat().st_size:
            time.sleep(0.01)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        run_jobs(jobs("pass", WAITING), Processes(WORKER, tmp_path, 2), fail)
    require_saved(tmp_path, ["job1"])
