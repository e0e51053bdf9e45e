"""Corpora by name from the command line: their list, and a training on one from a stand-in for the hub."""

import dataclasses
import json

import pytest

import train
from engine.commands.options import rounded
from engine.data.corpora import CORPORA, SMALL_CORPORA

TINY = ["--dimension", "8", "--set", "hidden=8", "--epochs", "1", "--batch-size", "8", "--vocabulary-size", "200"]
TEXTS = {"sentence": ["a fine film", "dull and long", "what a joy", "a bore"] * 10, "label": [1, 0, 1, 0] * 10}


@pytest.fixture
def sst2(hub, monkeypatch):
    """The stand-in, with an sst2 of 40 training and 8 test texts."""
    tiny = dataclasses.replace(CORPORA["sst2"], train_rows=40, test_rows=8)
    monkeypatch.setitem(CORPORA, "sst2", tiny)
    hub.publish(tiny, train=TEXTS, test={name: values[:8] for name, values in TEXTS.items()})
    return hub


@pytest.fixture
def no_network(monkeypatch):
    """Whatever tries to connect fails the test."""

    def connect(*arguments, **more):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr("socket.socket.connect", connect)


def test_a_network_is_trained_on_a_corpus_of_the_hub(sst2, tmp_path, run):
    """A network is trained and measured on a corpus of the hub."""
    cache = ["--cache-dir", tmp_path / "cache"]
    code, out, err = run("train", "--corpus", "sst2", *TINY, *cache, "--output", tmp_path / "new", "--json")
    assert code == 0, err
    result = json.loads(out)
    assert (result["corpus"], sorted(row["name"] for row in result["classes"])) == ("sst2", ["negative", "positive"])
    assert sum(row["texts"] for row in result["classes"]) == 8
    asked = len(sst2.requests)
    code, out, err = run("evaluate", tmp_path / "new", *cache, "--json")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == rounded(result["test_accuracy"]) and len(sst2.requests) == asked
    rows = {row["name"]: row for row in json.loads(run("corpora", *cache, "--json")[1])}
    assert [name for name, row in rows.items() if row["cached"]] == ["sst2"]


def test_a_corpus_that_cannot_be_fetched_leaves_no_run(sst2, tmp_path, run):
    sst2.close()
    code, _, err = run(
        "train", "--corpus", "sst2", *TINY, "--cache-dir", tmp_path / "cache", "--output", tmp_path / "new"
    )
    assert code == 2 and not (tmp_path / "new").exists()
    (line,) = err.splitlines()
    assert (
        line.startswith("error: stanfordnlp/sst2, data/train-00000-of-00001.parquet: cannot be fetched from")
        and "--train-file" in line
    )


def test_the_list_fits_a_terminal_and_asks_no_network(hub, tmp_path, run, no_network):
    code, out, err = run("corpora", "--cache-dir", tmp_path)
    assert (code, err, hub.requests) == (0, "", [])
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].split() == ["corpus", "train", "rows", "test", "rows", "classes", "download", "cached"]
    assert [line.split()[0] for line in lines[2:13]] == list(CORPORA)
    assert lines[5].split() == ["ag_news", "120,000", "7,600", "4", "19.8", "MB", "no"]
    for name, corpus in CORPORA.items():
        (start,) = [number for number, line in enumerate(lines[13:], start=13) if line.split()[:1] == [name]]
        entry = " ".join(" ".join(lines[start : start + 6]).split())
        assert corpus.description in entry and corpus.authors in entry and corpus.terms in entry
        assert f"{corpus.source}, at {corpus.revision[:12]}" in entry


def test_the_list_as_json_holds_every_fact(hub, tmp_path, run, no_network):
    code, out, err = run("corpora", "--cache-dir", tmp_path, "--json")
    rows = json.loads(out)
    assert (code, err) == (0, "") and [row["name"] for row in rows] == list(CORPORA)
    for row in rows:
        corpus = CORPORA[row.pop("name")]
        assert row.pop("cached") is False
        assert row == {name: getattr(corpus, name) for name in row}
        assert {
            "train_rows",
            "test_rows",
            "classes",
            "download_bytes",
            "source",
            "revision",
            "authors",
            "terms",
            "description",
        } == row.keys()


def test_files_that_are_kept_count_as_cached(hub, tmp_path, run):
    folder = tmp_path / "corpora"
    folder.mkdir()
    for file in CORPORA["r8"].files():
        (folder / file).write_text("")
    rows = json.loads(run("corpora", "--cache-dir", tmp_path, "--json")[1])
    assert [row["name"] for row in rows if row["cached"]] == ["r8"]


def test_accuracy_trains_the_small_corpora_unless_told_otherwise():
    (default,) = [option.default for option in train.cli.loaded("accuracy").params if option.name == "corpora"]
    assert default.split(",") == list(SMALL_CORPORA) == ["r8", "r52", "20ng"]
