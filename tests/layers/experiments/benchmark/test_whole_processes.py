"""Whole processes: who runs with which files, caches and cores, and in what form the figures come out."""

import csv
import json
import sys

import pytest

from engine.benchmark.process import ProcessUse
from engine.data.config import DataConfig
from engine.support.errors import UserError
from layers.experiments.benchmark import scale, whole_processes
from layers.experiments.benchmark.scale import Scale, checked_rows, duration
from layers.experiments.benchmark.whole_processes import (
    MODULES,
    OURS,
    Measured,
    WholeProcesses,
    as_json_row,
    as_table,
    chosen_names,
    medians,
)

ROWS = [("profits, rose", "money"), ("the ball\nwon", "sport")] * 4


@pytest.fixture
def data(tmp_path):
    """A DataConfig of two CSV files, whose texts hold a comma and an end of a line."""
    for name in ("train", "test"):
        with open(tmp_path / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *ROWS])
    return DataConfig(train_file=str(tmp_path / "train.csv"), test_file=str(tmp_path / "test.csv"))


class Started:
    """What was started in place of processes. A cache folder is filled by the first that uses it."""

    def __init__(self):
        self.commands, self.caches, self.read, self.modes = [], [], [], []

    def __call__(self, subject, command, cores, **environment):
        self.modes.append(environment.get("WAVE_C"))
        command = list(map(str, command))
        self.commands.append((subject, command, cores))
        if "--cache-dir" in command:
            folder = whole_processes.Path(command[command.index("--cache-dir") + 1])
            self.caches.append((folder, folder.exists() and any(folder.iterdir())))
            folder.mkdir(exist_ok=True)
            (folder / "tokens").touch()
        train = command[command.index("--train-file") + 1] if "--train-file" in command else command[4]
        self.read.append(open(train, encoding="utf-8", newline="").read())
        number = len(self.commands)
        return ProcessUse(float(number), 10.0 * number, number * 2**20, '{"test_accuracy": 0.5}')


@pytest.fixture
def started(monkeypatch):
    monkeypatch.setattr(whole_processes, "measured_process", found := Started())
    monkeypatch.setattr(whole_processes.importlib.util, "find_spec", lambda name: name)
    return found


def test_contestants_take_turns_over_the_same_files(data, started):
    processes = WholeProcesses(data, repeats=2, cores=1)
    told = list(processes.measure())
    names = [whole_processes.NAMES[name] for name in (*OURS, *MODULES)]
    assert told == ["filling the cache", *names, *names] and processes.count == 14
    assert [subject for subject, *_ in started.commands[1:8]] == ["ours"] * 3 + names[3:]
    assert started.modes[:8] == ["on", "on", "on", "off"] + [None] * 4
    assert {cores for *_, cores in started.commands} == {1}
    assert set(started.read) == {"text,label\r\n" + '"profits, rose",money\r\n"the ball\nwon",sport\r\n' * 4}
    assert [command[2:6] for _, command, _ in started.commands if "wave_network" in command][0] == [
        "wave_network", "train", "--json", "--cache-dir",
    ]  # fmt: skip
    assert all(command[0] == sys.executable for _, command, _ in started.commands)
    assert [m.cpu_seconds for m in processes.found["ours_cold"]] == [2.0, 9.0]


def test_a_cache_is_empty_or_filled_as_the_name_says(data, started):
    processes = WholeProcesses(data, OURS, repeats=2)
    list(processes.measure())
    folders = [folder for folder, _ in started.caches]
    assert [filled for _, filled in started.caches] == [False] + [False, True, True] * 2
    assert len(set(folders)) == 3 and len({folders[i] for i in (0, 2, 3, 5, 6)}) == 1
    assert not any(folder.exists() for folder in folders)


def test_the_table_compares_with_fasttext(data, started):
    processes = WholeProcesses(data, ["ours_cold", "fasttext"], repeats=1)
    list(processes.measure())
    lines = as_table(processes).splitlines()
    assert lines[2].split() == "ours, empty cache 1.00 10.00 1 MiB 50.00 % 0.50".split()
    assert lines[3].split() == "fastText 2.00 20.00 2 MiB 50.00 % 1.00".split()
    assert lines[4].startswith("train.csv: 8 training, 8 test texts; medians of 1, each on 1 core")
    found = json.loads(json.dumps(whole_processes.as_json_object(processes)))
    assert [row["name"] for row in found["results"]] == ["ours_cold", "fasttext"] and found["machine"]["cores"]
    processes.found.pop("fasttext")
    assert as_table(processes).splitlines()[2].split()[-1] == "-"


def test_medians_and_spread_are_those_of_the_repeats():
    repeats = [Measured(3.0, 4.0, 10, 0.9), Measured(1.0, 6.0, 30, 0.9), Measured(2.0, 5.0, 20, 0.8)]
    assert medians(repeats) == Measured(2.0, 5.0, 20, 0.9)
    row = as_json_row(repeats)
    assert row["cpu_seconds"] == 2.0 and row["spread"]["peak_bytes"] == [10, 30]


@pytest.mark.parametrize("only, peers, message", [
    (["theirs"], None, "--only theirs: is none of ours, fasttext"),
    (["fasttext"], False, "--no-peer: leaves nothing of --only fasttext"),
    ([], None, "--scale: fastText needs the package fasttext, which is not installed; run pip install .*--only ours"),
])  # fmt: skip
def test_contestants_that_cannot_be_had_are_user_errors(monkeypatch, only, peers, message):
    monkeypatch.setattr(whole_processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=message):
        chosen_names(["ours", "fasttext"], only, peers, "--scale")
    assert chosen_names(["ours", "fasttext"], [], False, "--scale") == ["ours"]


@pytest.mark.parametrize("train, test, message", [
    ("a,x\nb,x\n", "a,x\n", "only the class 'x'"),
    ("a,x\nb,y\n", "a,z\n", "label 'z' is not among the training classes"),
    ("a,x\nb,y\n", None, "the accuracy needs test texts; give them .--test-file."),
])  # fmt: skip
def test_texts_that_cannot_be_used_are_user_errors(tmp_path, started, train, test, message):
    files = {}
    for name, rows in (("train", train), ("test", test)):
        if rows is not None:
            files[f"{name}_file"] = str(tmp_path / f"{name}.csv")
            (tmp_path / f"{name}.csv").write_text("text,label\n" + rows)
    with pytest.raises(UserError, match=message):
        WholeProcesses(DataConfig(**files))
    assert not started.commands


@pytest.fixture
def small_scale(started, monkeypatch):
    monkeypatch.setattr(scale, "LEAST_ROWS", 1)
    monkeypatch.setattr(scale, "TEST_ROWS", 5)
    monkeypatch.setattr(scale, "TRIAL_ROWS", 20)
    return scale


def test_sizes_are_measured_one_after_another(small_scale, started):
    measured = Scale(["40", "10"], repeats=2)
    lines = list(measured.measure())
    assert lines[0].startswith("estimated: about") and "20 rows" in lines[0]
    assert [line.split(":")[0] for line in lines[1:]] == [
        *["10 rows, ours", "10 rows, fastText"] * 2, *["40 rows, ours", "40 rows, fastText"] * 2
    ]  # fmt: skip
    assert [text.count("\n") - text.startswith("text,label") for text in started.read] == [20] * 2 + [10] * 4 + [40] * 4
    assert all(
        (" __label__" in text) == (subject == "fastText") for (subject, *_), text in zip(started.commands, started.read)
    )
    ours = [command for subject, command, _ in started.commands if subject == "ours"]
    assert all(command[command.index("--epochs") + 1] == "1" for command in ours)
    assert all(command[-2:] == ["1", "1"] for subject, command, _ in started.commands if subject == "fastText")
    assert not any(filled for _, filled in started.caches)


def test_the_estimate_is_in_proportion_to_rows(small_scale, monkeypatch):
    ticks = iter([100.0, 103.0])
    monkeypatch.setattr(scale.time, "perf_counter", lambda: next(ticks))
    measured = Scale(["10", "40", "400"], repeats=2)
    line = next(measured.measure())
    assert line.startswith(f"estimated: {duration(2 * 3.0 * (1 + 2 + 20))}, from a trial with 20 rows")
    assert duration(99.4) == "about 99 s" and duration(600) == "about 10 min"


def test_sizes_that_are_complete_are_shown(small_scale, started):
    measured = Scale(["10", "40"])
    lines = measured.measure()
    for _ in range(1 + 2 + 1 + 1):  # the estimate, all of 10 rows, ours of 40
        line = next(lines)
    assert line.startswith("40 rows, fastText") and list(measured.found) == [10]
    table = scale.as_table(measured).splitlines()
    assert len(table) == 3 and table[2].split() == "10 3.0 4.0 0.8 3 MiB 4 MiB 50.0 % 50.0 %".split()
    assert [row["rows"] for row in scale.as_json_object(measured)["results"]] == [10, 10]


def test_the_figure_has_a_line_of_slope_one(small_scale, monkeypatch):
    drawn = []
    monkeypatch.setattr(scale, "write_line_plot", lambda path, x, panels, *labels: drawn.extend([x, panels, labels]))
    measured = Scale(["10", "40"])
    list(measured.measure())
    scale.write_figure("growth.svg", measured)
    x, (seconds, memory), labels = drawn
    assert x == [10, 40] and list(seconds.lines) == ["ours", "fastText", "in proportion to rows"]
    ours, line = seconds.lines["ours"], seconds.lines["in proportion to rows"]
    assert line[-1] == ours[-1] and line[0] == ours[-1] / 4 and list(memory.lines) == ["ours", "fastText"]
    assert "rows" in labels[0]


@pytest.mark.parametrize("wrong", ["x", "-3", "1e5", "", "99", "1000000001"])
def test_what_is_no_number_of_rows_is_a_user_error(wrong):
    with pytest.raises(UserError, match=f"--rows {wrong}: expected whole numbers from 100 to 1,000,000,000"):
        checked_rows(["100", wrong])
    assert checked_rows(["300", "100", "300"]) == [100, 300]
