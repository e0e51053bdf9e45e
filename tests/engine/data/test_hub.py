"""Corpora from the Hugging Face hub: huggingface_hub and pyarrow themselves, with a server on 127.0.0.1 for the hub."""

import dataclasses
import errno
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.data import hub as hub_files
from engine.data.corpora import CORPORA, load_corpus
from engine.data.hub_corpus import HubCorpus
from engine.support.errors import UserError
from tests.support.hub_server import parquet
from tests.support.paths import ROOT

NEWS = {"text": [" Oil rises", "Ball won ", "Chip made", "Vote held", "Zoë's shares fell"], "label": [2, 1, 3, 0, 2]}
TEST = {"text": ["Match lost", "Bank sold", "Treaty", "Robot"], "label": [1, 2, 0, 3]}
TRAIN_FILE, TEST_FILE = "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"


@pytest.fixture
def news(hub, monkeypatch):
    """The server, with a tiny ag_news whose size is the one expected."""
    return serve(hub, monkeypatch, "ag_news", NEWS, TEST)


def serve(hub, monkeypatch, name, train, test):
    label = CORPORA[name].label_column
    rows = (sum(len(part[label]) for part in ([s] if isinstance(s, dict) else s)) for s in (train, test))
    tiny = dataclasses.replace(CORPORA[name], **dict(zip(("train_rows", "test_rows"), rows)))
    monkeypatch.setitem(CORPORA, name, tiny)
    hub.publish(tiny, train=train, test=test)
    return hub


def failure(*arguments):
    """The message of load_corpus's UserError: one line, with the remedy of own files or of a folder to delete."""
    with pytest.raises(UserError) as caught:
        load_corpus(*arguments)
    message = str(caught.value)
    assert "\n" not in message and ("--train-file" in message or "delete the folder" in message)
    return message


def files_below(folder):
    """What huggingface_hub keeps there, without its locks and marks."""
    kept = [path for path in Path(folder).rglob("*") if path.is_file() and ".locks" not in path.parts]
    return sorted(path.relative_to(folder).as_posix() for path in kept if path.name != "CACHEDIR.TAG")


def test_a_corpus_is_fetched_once_and_read(news, tmp_path, capfd):
    corpus = load_corpus("ag_news", tmp_path / "cache")
    assert (corpus.name, corpus.validation) == ("ag_news", None)
    assert corpus.train.texts == ["Oil rises", "Ball won", "Chip made", "Vote held", "Zoë's shares fell"]
    assert corpus.train.labels == ["Business", "Sports", "Sci/Tech", "World", "Business"]
    assert (corpus.test.texts, corpus.test.labels) == (TEST["text"], ["Sports", "Business", "World", "Sci/Tech"])
    folder = (
        tmp_path
        / "cache"
        / "hub"
        / "datasets--fancyzhx--ag_news"
        / "snapshots"
        / "eb185aade064a813bc0b7f42de02595523103ca4"
    )
    assert corpus.train.place(1) == f"{folder / TRAIN_FILE}, text 2"
    assert [request for request in news.requests if "GET" in request] == [f"GET {TRAIN_FILE}", f"GET {TEST_FILE}"]
    news.requests.clear()
    assert load_corpus("ag_news", tmp_path / "cache") == corpus
    assert news.requests == []
    assert capfd.readouterr() == ("", "")  # no terminal, hence no bar


def test_what_killed_downloads_have_left_goes_a_day_later(news, tmp_path):
    """With the file that they were fetching; before, another process may still fetch it."""
    load_corpus("ag_news", tmp_path)
    blobs = tmp_path / "hub" / "datasets--fancyzhx--ag_news" / "blobs"
    blob, _ = files_below(blobs)
    old, new, other = (blobs / f"{name}.incomplete" for name in (f"{blob}.01234567", f"{blob}.89abcdef", "0" * 64))
    for path, hours in ((old, 25), (new, 23), (other, 25)):
        path.touch()
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    shutil.rmtree(tmp_path / "hub" / "datasets--fancyzhx--ag_news" / "snapshots")
    load_corpus("ag_news", tmp_path)
    assert (old.exists(), new.exists(), other.exists()) == (False, True, True)


def test_a_kept_corpus_needs_no_network(news, tmp_path, monkeypatch):
    assert not CORPORA["ag_news"].is_cached(tmp_path)
    corpus = load_corpus("ag_news", tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert CORPORA["ag_news"].is_cached(tmp_path)
    assert load_corpus("ag_news", tmp_path) == corpus


def test_by_default_the_files_are_where_the_hub_keeps_all(news, tmp_path, monkeypatch):
    """Their digests are in the user's cache folder of this program."""
    monkeypatch.setattr("engine.support.cache_folder.user_folder", lambda: str(tmp_path / "wave-network"))
    load_corpus("ag_news")
    assert (tmp_path / "hub-cache" / "datasets--fancyzhx--ag_news" / "snapshots").is_dir()
    assert len(json.loads((tmp_path / "wave-network" / "hub-digests.json").read_text())) == 2


def test_text_columns_are_joined_as_those_of_local_files(hub, tmp_path, monkeypatch):
    train = {"label": list(range(14)), "title": ["A"] * 14, "content": [" b "] * 13 + [None]}
    serve(hub, monkeypatch, "dbpedia_14", train, train)
    corpus = load_corpus("dbpedia_14", tmp_path)
    assert corpus.train.texts == ["A  b"] * 13 + ["A"]
    assert corpus.train.labels[:3] == ["Company", "EducationalInstitution", "Artist"]


def test_a_split_in_several_files_is_read_in_their_order(hub, tmp_path, monkeypatch):
    columns = ("question_title", "question_content", "best_answer")
    part = lambda numbers: {"topic": numbers, **{c: [f"{c[0]}{n}" for n in numbers] for c in columns}}  # noqa: E731
    serve(hub, monkeypatch, "yahoo_answers", [part(list(range(9, 2, -1))), part(list(range(3)))], part(list(range(10))))
    corpus = load_corpus("yahoo_answers", tmp_path)
    assert corpus.train.texts == [f"q{n} q{n} b{n}" for n in (9, 8, 7, 6, 5, 4, 3, 0, 1, 2)]
    assert (corpus.train.labels[0], corpus.test.labels[0]) == ("Politics & Government", "Society & Culture")


def test_the_validation_split_of_sst2_is_the_test_split(hub, tmp_path, monkeypatch):
    split = {"idx": [0, 1], "sentence": ["fine", "dull"], "label": [1, 0]}
    serve(hub, monkeypatch, "sst2", split, split)
    assert load_corpus("sst2", tmp_path).test.labels == ["positive", "negative"]
    assert any("data/validation-00000-of-00001.parquet" in request for request in hub.requests)


def test_an_interrupted_download_is_resumed(news, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(
        "huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 64
    )  # what is kept of a cut download are whole chunks
    news.cuts[:] = [200]
    assert load_corpus("ag_news", tmp_path).train.labels[0] == "Business"
    assert f"GET {TRAIN_FILE} bytes=192-" in news.requests
    assert capfd.readouterr() == ("", "")


def test_a_download_that_never_ends_leaves_nothing(news, tmp_path, monkeypatch):
    """A download that never ends is reported and leaves nothing."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    news.cuts[:] = [0] * 10
    message = failure("ag_news", tmp_path)
    assert (
        message.startswith(f"fancyzhx/ag_news, {TRAIN_FILE}: cannot be fetched from {news.url}")
        and "HF_ENDPOINT" in message
    )
    assert files_below(tmp_path / "hub") == []
    news.cuts.clear()
    assert len(load_corpus("ag_news", tmp_path).train) == 5


def test_bytes_other_than_those_announced_are_refused(news, tmp_path):
    content = news.files["fancyzhx/ag_news", CORPORA["ag_news"].revision, TEST_FILE]
    news.sent[TEST_FILE] = content[:50] + bytes([content[50] ^ 1]) + content[51:]
    message = failure("ag_news", tmp_path)
    assert f"fancyzhx/ag_news, {TEST_FILE}: what {news.url} sent is not what it announced (wrong sha256)" in message
    assert not CORPORA["ag_news"].is_cached(tmp_path)
    assert len([file for file in files_below(tmp_path / "hub") if "blobs" in file]) == 1  # that of the training texts
    news.sent.clear()
    assert len(load_corpus("ag_news", tmp_path).test) == 4


def test_another_size_than_the_announced_one_is_refused(news, tmp_path):
    news.sent[TRAIN_FILE] = b"short"
    message = failure("ag_news", tmp_path)
    assert "the download failed" in message and "size" in message and "run again" in message
    assert files_below(tmp_path / "hub") == []


def test_a_kept_file_that_has_changed_is_named(news, tmp_path):
    path = Path(load_corpus("ag_news", tmp_path).train.source)
    target = path.resolve()
    target.chmod(0o644)
    target.write_bytes(target.read_bytes()[:-1] + b"!")
    message = failure("ag_news", tmp_path)
    assert message.startswith(f"{path}: the cached file is damaged, its bytes have changed")
    assert f"delete the folder {tmp_path / 'hub' / 'datasets--fancyzhx--ag_news'} and run again" in message


def test_other_bytes_than_at_the_first_download_are_refused(news, tmp_path):
    """Although the hub announces them: the file belongs to a commit, which does not change."""
    before = load_corpus("ag_news", tmp_path)
    shutil.rmtree(tmp_path / "hub")
    assert load_corpus("ag_news", tmp_path) == before
    shutil.rmtree(tmp_path / "hub")
    news.publish(CORPORA["ag_news"], train={**NEWS, "label": NEWS["label"][::-1]})
    message = failure("ag_news", tmp_path)
    assert message.startswith(
        f"fancyzhx/ag_news, {TRAIN_FILE}: what {news.url} sends is not what it sent at the first "
    )
    assert f"nothing was kept: look into HF_ENDPOINT, delete {tmp_path / 'hub-digests.json'} to trust it," in message
    assert not CORPORA["ag_news"].is_cached(tmp_path)
    (tmp_path / "hub-digests.json").unlink()
    assert load_corpus("ag_news", tmp_path).train.labels == before.train.labels[::-1]


@pytest.mark.parametrize("links", [True, False])
def test_a_kept_file_is_held_against_the_first_download(news, tmp_path, monkeypatch, links):
    """Even where its own name tells no digest."""
    if not links:
        monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)
    path = Path(load_corpus("ag_news", tmp_path).train.source)
    assert path.is_symlink() == links
    other = parquet({**NEWS, "label": NEWS["label"][::-1]})
    if links:
        (blob := path.resolve().with_name(hashlib.sha256(other).hexdigest())).write_bytes(other)
        path.unlink()
        path.symlink_to(blob)
    else:
        path.write_bytes(other)
    message = failure("ag_news", tmp_path)
    assert message.startswith(f"{path}: the cached file is damaged, its bytes have changed")


@pytest.mark.parametrize("content", ["[]", "{", '{"fancyzhx": 5'])
def test_damaged_records_of_first_downloads_are_named(news, tmp_path, content):
    record = tmp_path / "hub-digests.json"
    record.write_text(content)
    with pytest.raises(
        UserError, match=f"^{record}: the digests of first downloads cannot be read .*; delete the file"
    ):
        load_corpus("ag_news", tmp_path)


def test_a_record_that_cannot_be_written_costs_nothing(news, tmp_path, monkeypatch):
    def full(*arguments):
        raise UserError("full")

    monkeypatch.setattr(hub_files, "write_json", full)
    assert len(load_corpus("ag_news", tmp_path).train) == 5


@pytest.mark.parametrize(
    ("split", "reason"),
    [
        ({"text": ["a", "b"], "label": [0, 1]}, "it holds 2 rows instead of 5"),
        ({"text": list("abcde"), "label": [0, 1, 2, 2, 1]}, "it holds 3 classes instead of 4"),
        ({"text": list("abcde"), "label": [0, 1, 2, 3, -1]}, "row 5 has the label -1 instead of one from 0 to 3"),
        ({"text": list("abcde"), "label": [0, 1, None, 3, 2]}, "row 3 has the label None"),
        ({"texts": list("abcde"), "label": [0, 1, 2, 3, 0]}, "it has no column 'text' among texts, label"),
        ({"text": [1] * 5, "label": [0, 1, 2, 3, 0]}, "its column 'text' holds int64 instead of strings"),
        ({"text": list("abcde"), "label": list("01230")}, "its column 'label' holds string instead of integers"),
    ],
    ids=["rows", "classes", "unlabelled", "null", "no-column", "no-strings", "no-integers"],
)
def test_another_content_than_the_expected_one_is_named(news, tmp_path, split, reason):
    news.publish(CORPORA["ag_news"], train=split)
    message = failure("ag_news", tmp_path)
    assert TRAIN_FILE in message and reason in message
    assert "datasets--fancyzhx--ag_news and run again to fetch it anew" in message


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_parquet_file_is_named(news, tmp_path, damage):
    key = ("fancyzhx/ag_news", CORPORA["ag_news"].revision, TRAIN_FILE)
    news.files[key] = news.files[key][:-40] if damage == "cut" else b"<html>log in first</html>"
    message = failure("ag_news", tmp_path)
    assert (
        TRAIN_FILE in message and "it is no parquet file that can be read" in message and "delete the folder" in message
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, ["has no such file (404)", "HF_ENDPOINT"]),
        (401, ["refuses access (401)", "HF_TOKEN"]),
        (403, ["refuses access (403)", "HF_TOKEN"]),
        (503, ["answers with error 503", "try again later"]),
    ],
)
def test_a_refusal_is_explained(news, tmp_path, status, words):
    news.statuses["HEAD"] = status
    message = failure("ag_news", tmp_path)
    assert message.startswith(f"fancyzhx/ag_news, {TRAIN_FILE}: {news.url} ") and all(word in message for word in words)
    assert news.requests == [f"HEAD {TRAIN_FILE}"]  # and is not tried again and again
    assert files_below(tmp_path) == []


def test_a_hub_that_cannot_be_reached_is_named_at_once(news, tmp_path, monkeypatch):
    news.close()
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waits to try again"))
    message = failure("ag_news", tmp_path)
    assert f"cannot be fetched from {news.url} (" in message
    assert all(remedy in message for remedy in ("connect to the network", "HF_ENDPOINT", "proxy", "--train-file"))


def test_a_hub_that_does_not_answer_is_given_up(news, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_ETAG_TIMEOUT", 0.3)
    news.hold = 600
    started = time.monotonic()
    message = failure("ag_news", tmp_path)
    assert time.monotonic() - started < 60
    assert f"cannot be fetched from {news.url} (" in message and len(news.requests) == 1


def test_without_network_and_cache_the_offline_mode_is_named(news, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message = failure("ag_news", tmp_path)
    assert f"HF_HUB_OFFLINE is set, and {tmp_path / 'hub'} does not hold the file; unset it" in message
    assert news.requests == []


def test_a_server_that_is_no_hub_is_named(news, tmp_path):
    news.is_hub = False
    message = failure("ag_news", tmp_path)
    assert (
        f"cannot be fetched from {news.url} (no Hugging Face hub answers there)" in message and "HF_ENDPOINT" in message
    )
    assert files_below(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_named(news, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    message = failure("ag_news", blocked)
    assert f"cannot be written into {blocked / 'hub'} (" in message and "--cache-dir" in message


def test_a_full_disk_is_named(news, tmp_path, monkeypatch):
    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", full)
    assert f"cannot be written into {tmp_path / 'hub'} (No space left on device); free some space" in failure(
        "ag_news", tmp_path
    )


@pytest.mark.parametrize("missing", ["pyarrow.parquet", "huggingface_hub.file_download"])
def test_a_missing_library_is_named_before_anything_is_fetched(news, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(
        UserError, match=rf"{missing.partition('.')[0]}.* cannot be imported .*pip install -e '\.\[hub\]'"
    ):
        load_corpus("ag_news", tmp_path)
    assert news.requests == []


def test_the_log_of_huggingface_hub_is_as_before_afterwards(news, tmp_path):
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    try:
        logger.setLevel(logging.CRITICAL)
        load_corpus("ag_news", tmp_path)
        news.statuses["HEAD"] = 503
        failure("ag_news", tmp_path / "other")
        assert logger.level == logging.CRITICAL
    finally:
        logger.setLevel(before)


def test_the_environment_is_honoured(hub, tmp_path):
    """HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE as huggingface_hub reads them when it starts."""
    code = """if True:
        from engine.data.corpora import load_corpus
        from engine.support.errors import UserError

        try:
            load_corpus("trec")
        except UserError as error:
            print(error)"""

    def message(**environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = {**inherited, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), **environment}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.stderr == ""
        return done.stdout

    assert f"CogComp/trec, default/train/0000.parquet: {hub.url} has no such file (404)" in message()
    assert hub.requests == ["HEAD default/train/0000.parquet"]
    assert f"HF_HUB_OFFLINE is set, and {tmp_path / 'home' / 'hub'} does not hold" in message(HF_HUB_OFFLINE="1")
    assert "no-address" in message(HF_ENDPOINT="no-address")
    assert "HF_" in message(HF_HUB_ETAG_TIMEOUT="soon")
    assert len(hub.requests) == 1


def test_every_entry_names_a_commit_and_whole_splits():
    entries = {name: corpus for name, corpus in CORPORA.items() if isinstance(corpus, HubCorpus)}
    assert list(entries) == [
        "ag_news",
        "dbpedia_14",
        "imdb",
        "sst2",
        "trec",
        "yelp_polarity",
        "yelp_full",
        "yahoo_answers",
    ]
    for name, corpus in entries.items():
        assert len(corpus.revision) == 40 and int(corpus.revision, 16), name
        assert len(set(corpus.class_names)) == corpus.classes > 1
        for files in (corpus.train_files, corpus.test_files):
            shards = [file.rpartition("-of-")[2] for file in files if "-of-" in file]
            assert all(int(shard.partition(".")[0]) == len(files) for shard in shards) and len(set(files)) == len(files)


def test_the_sizes_of_the_sources_are_stated():
    stated = {name: (c.train_rows, c.test_rows, c.classes) for name, c in CORPORA.items() if isinstance(c, HubCorpus)}
    assert stated == {
        "ag_news": (120_000, 7_600, 4),
        "dbpedia_14": (560_000, 70_000, 14),
        "imdb": (25_000, 25_000, 2),
        "sst2": (67_349, 872, 2),
        "trec": (5_452, 500, 6),
        "yelp_polarity": (560_000, 38_000, 2),
        "yelp_full": (650_000, 50_000, 5),
        "yahoo_answers": (1_400_000, 60_000, 10),
    }


def test_only_names_of_sha256_are_held_against_the_bytes(tmp_path):
    """Small files are named by git, and file systems without symbolic links hold the file itself."""
    plain = tmp_path / "plain"
    plain.write_text("x")
    assert hub_files.announced_digest(plain) is None
    for name, announced in (("a" * 40, None), ("a" * 64, "a" * 64)):
        (tmp_path / name).write_text("x")
        link = tmp_path / f"link-{len(name)}"
        link.symlink_to(name)
        assert hub_files.announced_digest(link) == announced
