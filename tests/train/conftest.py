"""A tiny labelled corpus on disk, the command line in this process, and settings that train in a second."""

import json
import re
import shutil

import numpy as np
import pytest

import train
from engine.support import cache_folder
from tests.support import sweep_runs
from tests.support.hub_server import hub  # noqa: F401 (a fixture)
from tests.support.model_hub import model_hub  # noqa: F401 (a fixture)

TOPICS = {
    "sport": "ball goal team winning scoring match",
    "money": "bank rate dollar profits credits loan",
    "food": "bread salt soup baking tasting fruit",
}
SMALL = [
    "--dimension",
    "8",
    "--set",
    "hidden=8",
    "--set",
    "token_dropout=0.1",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--vocabulary-size",
    "200",
]


def topic_texts(count, seed):
    """(label, text) rows of which a bag of words tells the class."""
    rng = np.random.default_rng(seed)
    common = "the a of and in on with".split()
    rows = []
    for i in range(count):
        label = list(TOPICS)[i % len(TOPICS)]
        words = rng.choice(TOPICS[label].split() * 2 + common, size=rng.integers(2, 12))
        rows.append((label, " ".join(words)))
    return rows


def write_corpus(folder):
    """{"train": path, "test": path} of TSV files with 60 and 15 rows."""
    paths = {}
    for split, count, seed in (("train", 60, 0), ("test", 15, 1)):
        paths[split] = folder / f"{split}.tsv"
        paths[split].write_text(
            "".join(f"{label}\t{text}\n" for label, text in topic_texts(count, seed)), encoding="utf-8"
        )
    return paths


def arguments_of(files):
    """Arguments of a training on the tiny corpus."""
    return ["--train-file", str(files["train"]), "--test-file", str(files["test"]), *SMALL]


@pytest.fixture
def files(tmp_path):
    return write_corpus(tmp_path)


@pytest.fixture
def arguments(files):
    return arguments_of(files)


@pytest.fixture
def run(capsys):
    """run(*arguments) → (exit code, standard output, standard error) of train.py."""

    def run(*arguments):
        code = train.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A folder with the tiny corpus and a finished run."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_folder, "user_folder", lambda: tmp_path_factory.getbasetemp() / "cache")
        words = [*arguments_of(write_corpus(folder)), "--output", str(folder / "trained")]
        assert train.main(words) == 0
    return folder


@pytest.fixture
def trained(tmp_path, files, trained_once):
    """The path of a finished run: a copy, in which the texts are those of `files`."""
    path = tmp_path / "trained"
    shutil.copytree(trained_once / "trained", path)
    there, here = (json.dumps(str(folder))[1:-1] for folder in (trained_once, tmp_path))  # as JSON and TOML write them
    for file in (*path.rglob("*.json"), path / "config.toml"):
        file.write_text(file.read_text(encoding="utf-8").replace(there, here), encoding="utf-8")
    return path


@pytest.fixture
def sweep_file(tmp_path, files):
    """sweep_file(**replaced) → path of sweep_runs.SMALL beside the tiny corpus, with lines of it replaced by others."""

    def write(**replaced):
        text = sweep_runs.SMALL
        for name, line in replaced.items():
            text = re.sub(rf"^{name} = .*$", line, text, flags=re.MULTILINE)
        (tmp_path / "sweep.toml").write_text(text)
        return tmp_path / "sweep.toml"

    return write
