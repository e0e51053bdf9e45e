"""Sweeps on the workers of a Dask scheduler: two local ones, which are killed, do not see the folder, or differ."""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from engine.support.errors import UserError
from engine.sweep import cluster, cluster_connection, cluster_worker
from engine.sweep.jobs import Job
from engine.sweep.processes import Processes
from engine.training.interrupt import Interrupted
from tests.support import sweep_jobs
from tests.support.sweep_jobs import (
    WAITING,
    WORKER,
    is_alive,
    jobs,
    processes_of,
    require_saved,
    stop_when_started,
)
from tests.support.sweep_runs import start, wait_for, weights

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[cluster]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks for processes in /proc"),
]


@pytest.fixture(scope="module")
def scheduler():
    """The address of a scheduler with two workers of one thread each, which their nannies start again."""
    import dask

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "2m"}), local_cluster(2) as local:
        yield local.scheduler_address


def local_cluster(workers):
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs="CRITICAL"
    )


@pytest.fixture
def launched(scheduler, tmp_path):
    """launched(jobs, …) → ({name: reason}, lines for the user) of jobs on both workers, in the folder tmp_path."""
    (tmp_path / "logs").mkdir()

    def run(some, ended=None, limit=0):
        lines = []
        with cluster_connection.connected(scheduler) as client:
            both_are_there(client)
            launcher = cluster.Cluster(client, WORKER, tmp_path, 1, limit, lines.append)
            return sweep_jobs.run(some, launcher, ended), lines

    return run


def both_are_there(client):
    """Wait until a worker that an earlier test has killed is back."""
    deadline = time.monotonic() + 60
    while len(client.nthreads()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- jobs that a line of Python does -------------------------------------------------------------------------------


# The last one is that of Dask's workers, whose nannies set the others of threads, too, here as well.
VARIABLES = ["_WAVE_COMMAND", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MALLOC_TRIM_THRESHOLD_"]


def test_ends_are_those_of_local_processes(tmp_path, launched, monkeypatch):
    """Reasons, logs and environment."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    for name in VARIABLES[2:]:
        monkeypatch.delenv(name, raising=False)
    some = jobs(
        "print('well')", "print('x'); sys.exit('error: the rate')", "print('error: lower it'); sys.exit(2)",
        "import os; os.kill(os.getpid(), 9)",
        f"import os; print([os.environ.get(name) for name in {VARIABLES}])",
        threads=3,
    )  # fmt: skip
    found = []
    for run in (lambda: launched(some)[0], lambda: sweep_jobs.run(some, Processes(WORKER, tmp_path / "logs", 2))):
        ended = run()
        logs = {log.name: log.read_text() for log in (tmp_path / "logs").iterdir()}
        found.append((ended, logs))
    assert found[0] == found[1] and found[0][0]["job2"] == "lower it" and len(found[0][1]) == 5
    assert found[0][1]["job4.log"] == "['wave-network', '7', '3', None]\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["logs"]  # nothing else is left


@pytest.mark.parametrize("limit, most", [(0, 2), (1, 1)])
def test_as_many_run_as_workers_have_threads_for(tmp_path, launched, limit, most):
    line = (
        f"import os, time; f = r'{tmp_path}/running-' + str(os.getpid()); open(f, 'w'); time.sleep(1);"
        f"print(sum(n.startswith('running') for n in os.listdir(r'{tmp_path}'))); os.remove(f)"
    )
    assert set(launched(jobs(line, line, line), limit=limit)[0].values()) == {None}
    assert max(int((tmp_path / "logs" / f"job{number}.log").read_text()) for number in range(3)) == most


KILLS_ITS_WORKER = "import os, time; os.kill(os.getppid(), 9); time.sleep(5)"


@pytest.mark.parametrize("end, why", [(KILLS_ITS_WORKER, "was lost"), ("sys.exit(143)", "has stopped it")])
def test_a_job_whose_worker_is_lost_is_started_again(tmp_path, launched, end, why):
    """Or was asked to end by another than the sweep."""
    once = f"import os\nif not os.path.exists('{tmp_path}/once'): open('{tmp_path}/once', 'w'); {end}"
    ended, lines = launched(jobs(once, "print('other')"))
    assert ended == {"job0": None, "job1": None}
    assert re.fullmatch(rf"job0: worker tcp://\S+ on \S+ {why}; the run is started again", "\n".join(lines))


def test_a_job_that_loses_every_worker_has_failed(tmp_path, launched):
    ended, lines = launched(jobs(KILLS_ITS_WORKER))
    told = r"its worker was lost or has stopped it 3 times, last tcp://\S+ on \S+; see to the workers"
    assert re.fullmatch(rf"{told}.*--resume {tmp_path}", ended["job0"])
    assert sum("is started again" in line for line in lines) == 2


def test_a_signal_lets_all_jobs_save_and_starts_no_other(tmp_path, launched):
    sender, ended = stop_when_started(tmp_path / "logs", signal.SIGTERM, 2), {}
    with pytest.raises(Interrupted) as caught:
        launched(jobs(WAITING, WAITING, WAITING), ended)
    sender.join()
    assert caught.value.exit_code == 143 and ended == {}
    require_saved(tmp_path / "logs", ["job0", "job1"])
    assert not (tmp_path / "logs" / "job2.log").exists()


def test_a_second_ctrl_c_kills_jobs_on_workers(tmp_path, launched):
    stubborn = WAITING.replace("sys.exit(143)", "None").replace("time.sleep(60)", "[time.sleep(60) for _ in range(9)]")
    sender = stop_when_started(tmp_path / "logs", signal.SIGINT, 1, times=2)
    with pytest.raises(KeyboardInterrupt):
        launched(jobs(stubborn))
    sender.join()
    pid = int((tmp_path / "logs" / "job0.log").read_text().split()[0])
    deadline = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_that_differs_gets_no_runs(scheduler, launched, monkeypatch, tmp_path):
    """One is in another folder; the other has another version of the project than both."""
    name = f"/proc/self/cwd/{tmp_path.name}"  # a folder that only processes beside it see
    monkeypatch.chdir(tmp_path.parent)
    with cluster_connection.connected(scheduler) as client:
        both_are_there(client)
        first, second = client.nthreads()
        client.run(os.chdir, str(tmp_path.parent), workers=[first])
        lines, launcher = [], None
        launcher = cluster.Cluster(client, WORKER, Path(name), 1, 0, lines.append)
        assert sweep_jobs.run(jobs("print(1)", "print(2)"), launcher) == {"job0": None, "job1": None}
        assert len(lines) == 1 and f"worker {second} on " in lines[0] and "it gets no runs" in lines[0]
        assert f"cannot use the sweep's folder {name} (No such file or directory)" in lines[0]
        monkeypatch.setattr(cluster_worker, "__version__", "9.9")
        with pytest.raises(UserError, match=r"has wave-network \S+, the sweep wave-network 9.9; .*all 2 workers"):
            launched(jobs("print(1)"))


def test_versions_and_a_missing_project_are_told_in_one_line():
    same = {"Python": "3.11", "wave-network": "1.0", "numpy": "2.0"}
    assert cluster_connection.difference(same, dict(same)) is None
    told = "has Python 3.12, numpy None, the sweep Python 3.11, numpy 2.0; install the same versions on both"
    assert cluster_connection.difference(same, {"Python": "3.12", "wave-network": "1.0"}) == told
    launcher = cluster.Cluster(None, [], Path("out"), 1, 0, print)
    missing = launcher.judge(Exception("ModuleNotFoundError(\"No module named 'engine'\")"))[1]
    assert missing.startswith("cannot import this project (ModuleNotFoundError(\"No module named 'engine'\")); install")


class WithoutProject:
    """A client whose scheduler runs from elsewhere."""

    def run_on_scheduler(self, function):
        raise ModuleNotFoundError("No module named 'engine'")


def test_a_scheduler_without_the_project_is_named():
    with pytest.raises(UserError, match="^--scheduler tcp://a:1: it cannot import this project .*`dask scheduler`"):
        cluster_connection.require_project(WithoutProject(), "tcp://a:1")


@pytest.mark.parametrize("threads, slots", [(0, [1, 1]), (1, [8, 3]), (2, [4, 1]), (16, [1, 1])])
def test_a_worker_does_as_many_jobs_as_it_has_cores_for(threads, slots):
    launcher = cluster.Cluster(None, [], Path("out"), threads, 0, print)
    launcher.known = {"a": 8, "b": 3}
    assert [launcher.slots(worker) for worker in launcher.known] == slots and launcher.free_worker() == "a"


def test_commands_find_the_python_and_the_project_of_a_worker(monkeypatch):
    given = [sys.executable, str(cluster_worker.CHECKOUT / "train.py"), "/other/train.py", "sweep-job"]
    words = cluster_worker.relocatable(given)
    assert words == ["", "./train.py", "/other/train.py", "sweep-job"]
    monkeypatch.setattr(cluster_worker, "CHECKOUT", Path("/there"))
    monkeypatch.setattr(sys, "executable", "/there/python")
    assert cluster_worker.local_command(words) == ["/there/python", "/there/train.py", "/other/train.py", "sweep-job"]


# --- the command ---------------------------------------------------------------------------------------------------


def files_of(folder):
    """{name in the folder of a sweep: its bytes}, without what differs from run to run: seconds, rates and memory."""
    measured = r'"(train_seconds|seconds|tokens_per_second|peak_memory_bytes|time|rate)": [^,}\n]*'
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix in (".json", ".jsonl"):
            content = re.sub(measured, "", content.decode())
        if path.suffix == ".log":
            content = re.sub(r"[\d,.]+ texts/s.*", "", content.decode())
        if path.name in ("table.md", "table.csv"):
            content = re.sub(r"[\d.]+ s \|.*|,[\d.]+,\d+$", "", content.decode(), flags=re.MULTILINE)
        found[path.relative_to(folder).as_posix()] = content
    return found


def test_files_and_table_are_those_of_local_runs(tmp_path, sweep_file, run, scheduler, monkeypatch):
    """With a name of the folder that is relative to that of the command."""
    path, outputs = sweep_file(seeds="seeds = [0]"), []
    for place, options in (("local", ["--jobs", 2]), ("cluster", ["--scheduler", scheduler])):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        code, out, err = run("sweep", path, "--output", "out", "--cache-dir", tmp_path / "cache", *options)
        assert code == 0, err
        told = sorted(re.sub(r"[\d.]+ s.*", "", line) for line in out.splitlines() + err.splitlines())
        outputs.append((told, files_of(tmp_path / place / "out")))
    assert outputs[0][0] == outputs[1][0]
    assert outputs[0][1].keys() == outputs[1][1].keys() and len(outputs[0][1]) > 20
    assert [name for name, content in outputs[0][1].items() if outputs[1][1][name] != content] == []


LONG = {
    "none": "none = { epochs = 6 }",
    "batch_size": "batch_size = 1",
    "seeds": "seeds = [0]",
    "epochs": "epochs = 1",
}


def parent_of(pid):
    """The id of a process's parent: of a job's, the worker."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.thorough
@pytest.mark.parametrize("process_too", [False, True])
def test_a_run_resumes_where_its_lost_worker_has_left_it(tmp_path, sweep_file, run, scheduler, process_too):
    """Its process saves when the worker is killed; killed with it, the run resumes from its last checkpoint."""
    path = sweep_file(**{**LONG, "epochs": "epochs = 1\ncheckpoint_seconds = 0"})
    folder, options = tmp_path / "lost", ["--cache-dir", tmp_path / "cache"]
    state = folder / "runs" / "none-0" / "checkpoints" / "last" / "state.json"

    def kill():
        wait_for(state.exists)
        (pid,) = [pid for pid in processes_of(folder / "logs" / "none-0.log")]
        for one in [parent_of(pid), *[pid] * process_too]:
            os.kill(one, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    code, _, err = run("sweep", path, "--scheduler", scheduler, "--output", folder, *options)
    killer.join()
    assert code == 0 and err.count("was lost; the run is started again") == 1, err
    assert "resumed after step" in (folder / "logs" / "none-0.log").read_text()
    assert run("sweep", path, "--output", tmp_path / "whole", *options)[0] == 0
    assert weights(folder) == weights(tmp_path / "whole")


@pytest.mark.thorough
def test_a_stopped_sweep_goes_on_to_the_same_bits(tmp_path, sweep_file, run, scheduler):
    """Stopped by Ctrl-C, resumed on the cluster; a last resume finds all done."""
    path, folder, options = sweep_file(**LONG), tmp_path / "cut", ["--cache-dir", tmp_path / "cache"]
    process = start(path, "--scheduler", scheduler, "--output", folder, *options)
    metrics = folder / "runs" / "none-0" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") >= 50, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err, err
    assert err.splitlines()[-1] == f"stopped by SIGINT: saved; continue with --resume {folder}"
    assert processes_of(folder) == set() and (metrics.parent / "checkpoints" / "last" / "state.json").exists()
    again = ["sweep", "--resume", folder, "--scheduler", scheduler, *options]
    code, out, err = run(*again)
    assert code == 0 and "resumed after step" in (folder / "logs" / "none-0.log").read_text(), err
    assert run(*again)[:2] == (0, out)
    assert run("sweep", path, "--output", tmp_path / "whole", *options)[0] == 0
    assert weights(folder) == weights(tmp_path / "whole")


@pytest.mark.thorough
def test_no_run_outlives_a_killed_sweep_on_workers(tmp_path, sweep_file, scheduler):
    folder = tmp_path / "cut"
    path = sweep_file(epochs="epochs = 1000\npatience = 0", seeds="seeds = [0]")
    process = start(path, "--scheduler", scheduler, "--output", folder, "--cache-dir", tmp_path / "cache")
    logs = [folder / "logs" / f"{name}-0.log" for name in ("none", "no_dropout")]
    wait_for(lambda: all(log.exists() and "network" in log.read_text() for log in logs), process)
    process.kill()
    process.communicate(timeout=60)
    wait_for(lambda: not processes_of(folder))
    assert all("saved; continue with" in log.read_text() for log in logs)


def test_a_folder_that_no_worker_sees_is_named(tmp_path, sweep_file, run, scheduler, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, path = "/proc/self/cwd/out", sweep_file(seeds="seeds = [0]")
    code, out, err = run("sweep", path, "--scheduler", scheduler, "--output", folder, "--cache-dir", tmp_path / "cache")
    assert code == 2 and "Traceback" not in err
    assert re.fullmatch(
        rf"error: worker tcp://\S+ on \S+ cannot use the sweep's folder {folder} \(No such file or directory\); .*"
        rf"then continue with --resume {folder} \(so are all 2 workers\)", err.splitlines()[-1],
    )  # fmt: skip
    assert run("sweep", "--resume", tmp_path / "out", "--cache-dir", tmp_path / "cache")[0] == 0


@pytest.mark.parametrize("address, why", [("tcp://127.0.0.1:1", "Timed out"), ("http://host:1", "unknown address")])
def test_a_scheduler_that_cannot_be_reached_is_named(tmp_path, sweep_file, run, monkeypatch, address, why):
    monkeypatch.setattr(cluster_connection, "CONNECT_SECONDS", 1)
    code, out, err = run("sweep", sweep_file(), "--scheduler", address, "--output", tmp_path / "out")
    assert code == 2 and out == "" and err.count("\n") == 1 and not (tmp_path / "out").exists()
    assert err.startswith(f"error: --scheduler {address}: cannot be reached ({why}") and "`dask scheduler`" in err


def test_a_lost_scheduler_is_named_and_runs_save(tmp_path):
    """It is closed while a job runs; the worker, which goes with it, lets the job save."""
    (tmp_path / "logs").mkdir()
    with local_cluster(1) as local, cluster_connection.connected(local.scheduler_address) as client:
        log = tmp_path / "logs" / "job0.log"
        closer = threading.Thread(target=lambda: (wait_for(lambda: log.exists() and log.read_text()), local.close()))
        closer.start()
        with pytest.raises(UserError, match=rf"the scheduler was lost .*continue with --resume {tmp_path}"):
            sweep_jobs.run([Job("job0", WAITING)], cluster.Cluster(client, WORKER, tmp_path, 1, 0, print))
        closer.join()
        wait_for(lambda: not processes_of(tmp_path))
        assert log.read_text().endswith("saved\n")


def test_auto_is_no_device_of_other_machines(tmp_path, sweep_file, run):
    code, _, err = run("sweep", sweep_file(), "--scheduler", "tcp://127.0.0.1:1", "--device", "auto")
    assert code == 2 and err.startswith("error: --device auto: ") and err.count("\n") == 1
