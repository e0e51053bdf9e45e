"""The command reproduce: what it trains, writes, continues and refuses."""

import html
import json

import pytest

from engine.support.errors import UserError
from engine.training.interrupt import Interrupted
from layers.experiments.reproduction import run as runs
from layers.experiments.reproduction.protocol import load
from layers.experiments.reproduction.report import TITLES
from tests.support.pages import check_page


def strict(path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.mark.thorough
def test_all_tables(tmp_path, options, run, trained, monkeypatch):
    """Every table has its rows, in JSON and on the page; nothing is trained twice, no checkpoint is left."""
    monkeypatch.setattr(runs, "write_figures", lambda *_: {})  # drawing takes longer than the rest
    tables = [
        part for name in ("1", "2", "convergence", "gradients", "independence", "fig7") for part in ("--table", name)
    ]
    code, out, err = run(*options, *tables)
    assert code == 0, err
    folder = tmp_path / "out"
    record = strict(folder / "reproduction.json")
    assert set(record) == {"settings", "missing", "tables", "jobs"}
    assert [title for name, title in TITLES.items() if name != "controls"] == list(record["tables"])[:-2]
    for title, rows in record["tables"].items():
        assert rows and title in out
        assert all(list(row) == ["what", "paper", "here", "agrees"] and all(row.values()) for row in rows)
    assert all(job["result"] and job["failed"] is None for job in record["jobs"].values())
    rows = {row["what"]: row for rows in record["tables"].values() for row in rows}
    assert " ± " in rows["toy, interference: test accuracy"]["here"]
    assert rows["toy, interference: parameters beside the embedding table"]["agrees"].startswith("cannot be told: dim")
    early = rows["toy, modulation: test accuracy after 50 batches, or the last before"]
    assert (early["here"], early["agrees"]) == ("–", "cannot be told")  # four steps: no tenth batch
    bert = rows["ag_news, BERT base: test accuracy"]
    assert bert["here"] == "not run: needs the pre-trained weights of BERT" and bert["paper"] == "94.64 %"
    assert rows["imdb, modulation: test accuracy"]["agrees"] == "not run"
    assert not list(folder.glob("runs/*/checkpoints")) and not list(folder.glob("studies/*/runs"))
    assert len(trained) == len(set(trained)) == 2 * (4 + 4)
    if (folder / "reproduction.html").exists():
        text = (folder / "reproduction.html").read_text(encoding="utf-8")
        check_page(text)
        page = html.unescape(text)
        assert all(title in page for title in record["tables"])
        assert page.count("<svg") == 1  # of Fig. 7: no training had a tenth batch
        assert page.count(">agrees?<") == len(record["tables"])
    code, out, _ = run("reproduce", "--resume", folder, *tables, "--cache-dir", tmp_path / "cache")
    assert code == 0 and len(trained) == 16 and f"{len(record['jobs'])} of them done" in out


def test_continues_where_it_was_stopped(tmp_path, options, run, trained, monkeypatch):
    in_process, gathered = runs.sweep_jobs.run_jobs, tmp_path / "out" / "reproduction.json"

    def stopped(jobs, *more):
        in_process(jobs[:3], *more)
        raise Interrupted(2)

    monkeypatch.setattr(runs.sweep_jobs, "run_jobs", stopped)
    code, _, err = run(*options, "--table", "1")
    assert code == 130 and f"--resume {tmp_path / 'out'}" in err
    assert sum(job["result"] is not None for job in strict(gathered)["jobs"].values()) == 3
    monkeypatch.setattr(runs.sweep_jobs, "run_jobs", in_process)
    assert run(*options, "--table", "1")[0] == 0
    assert len(trained) == len(set(trained)) == 8


def test_only_chosen_trainings(tmp_path, options, run, trained):
    """The others are not run yet; a later call does them."""
    code, out, err = run(*options, "--table", "1", "--only", "*-modulation-s1", "--only", "run-toy-1-inter*")
    assert code == 0 and "8 trainings, 0 of them done, 3 to do" in out, err
    assert trained == ["run-toy-1-interference-s0", "run-toy-1-interference-s1", "run-toy-1-modulation-s1"]
    rows = strict(tmp_path / "out" / "reproduction.json")["tables"][TITLES["1"]]
    here = {row["what"]: row["here"] for row in rows}
    assert here["toy, Transformer, from random embeddings: test accuracy"] == "not run: not yet"
    assert run(*options, "--table", "1")[0] == 0 and len(trained) == len(set(trained)) == 8


def test_convergence_measures_every_tenth_batch(tmp_path, options, run):
    """28 batches: the test accuracy after 10 and 20; the row of 50 batches has the last of them."""
    code, _, err = run(
        *options, "--table", "convergence", "--seeds", "1", "--set", "step_budget=28", "--set", "epochs=7"
    )
    assert code == 0, err
    record = strict(tmp_path / "out" / "reproduction.json")
    result = record["jobs"]["convergence-toy-1-interference-s0"]["result"]
    assert [step for step, _ in result["curve"]] == [10, 20]
    (row,) = (
        row
        for row in record["tables"][TITLES["convergence"]]
        if row["what"].startswith("toy, interference: test accuracy after 50 ")
    )
    assert row["here"] == f"{100 * result['curve'][-1][1]:.2f} %"


def test_identical_cells_are_named(tmp_path, options, run, monkeypatch):
    monkeypatch.setattr(runs.sweep_jobs, "run_jobs", lambda *_: None)
    assert run(*options, "--table", "controls", "--seeds", "1")[0] == 0
    rows = strict(tmp_path / "out" / "reproduction.json")["tables"][TITLES["controls"]]
    here = {row["what"]: row["here"] for row in rows}
    assert here["toy, modulation: wave phase-free, g = magnitude"] == '= same as "as in the paper"'
    assert here["toy, interference: wave real, g = real"] == '= same as "g = real"'
    assert here["toy, interference: wave real, g = magnitude"] == "not run: not yet"


def test_what_cannot_be_had_or_fails_is_not_run(tmp_path, options, run, monkeypatch):
    """The reason is one line; the others go on."""

    def without_hub(name, *more):
        if name == "ag_news":
            raise UserError("ag_news: no network")
        return load(name, *more)

    def fails(jobs, launcher, done):
        done(jobs[0], "step 3: the loss is nan")

    monkeypatch.setattr("layers.experiments.reproduction.protocol.load", without_hub)
    monkeypatch.setattr(runs.sweep_jobs, "run_jobs", fails)
    code, out, _ = run(*options, "--corpora", "ag_news,toy", "--table", "1")
    assert code == 1 and "not run: ag_news: ag_news: no network" in out
    record = strict(tmp_path / "out" / "reproduction.json")
    rows = {row["what"]: row["here"] for row in record["tables"][TITLES["1"]]}
    assert record["missing"] == {"ag_news": "ag_news: no network"}
    assert rows["ag_news, interference: test accuracy"] == "not run: its texts cannot be had"
    assert rows["toy, interference: test accuracy"] == "not run: step 3: the loss is nan"


def test_dry_run_only_estimates(options, run, trained):
    code, out, _ = run(*options, "--table", "1", "--dry-run")
    assert code == 0 and trained == [] and "estimated: " in out and "8 trainings, 0 of them done" in out


@pytest.mark.parametrize(
    "more, message",
    [
        (["--corpora", "nosuch"], "--corpora nosuch: is unknown"),
        (["--files", "x"], "--files x: expected NAME=TRAIN:TEST"),
        (["--set", "blocks=2"], "--set blocks: is what the tables vary"),
        (["--set", "nosuch=2"], "unknown field 'nosuch'"),
        (["--set", "epochs=0"], "epochs: expected a whole number from 1"),
        (["--share", "0"], "--share"),
        (["--table", "3"], "--table"),
        (["--only", "x", "--table", "1"], "--only x: matches none of 8 trainings; they have names such as run-toy-1-"),
        (["--resume", "nowhere", "--seeds", "2"], "takes the run's own settings, so --corpora"),
    ],
)
def test_bad_input_is_one_line(options, run, more, message):
    code, _, err = run(*options, *more)
    assert code == 2 and message in err and "Traceback" not in err


def test_other_settings_and_folders_are_refused(tmp_path, options, run, trained):
    run(*options, "--table", "1", "--dry-run")
    code, _, err = run(*options, "--share", "0.25")
    assert code == 2 and "share is 0.5 there and 0.25 now" in err and err.count("\n") == 1
    assert run("reproduce", "--resume", tmp_path)[2].endswith("a reproduction that has begun\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    assert "holds something already" in run(*options, "--output", tmp_path / "full")[2]


def test_several_training_files_are_joined(tmp_path, options, files, run, trained):
    train, test = files.partition("=")[2].split(":")
    code, out, _ = run(
        *options, "--files", f"two={train},{train}:{test}", "--corpora", "two", "--table", "1", "--dry-run"
    )
    assert code == 0
    assert len((tmp_path / "out" / "data" / "two-1.jsonl").read_text().splitlines()) == 120
