"""What was read and encoded once is read back, and nothing in the folder can do harm."""

import os
import shutil
import time

import numpy as np
import pytest

from engine.data import prepare as prepare_module
from engine.data import token_cache
from engine.data.config import DataConfig
from engine.data.prepare import prepare
from engine.data.reading import open_corpus
from engine.data.texts import Corpus, LabelledTexts
from engine.data.token_cache import DEAD_AFTER, KEPT_FOLDERS, META, TokenCache
from engine.data.tokenizer import save_tokenizer, train_tokenizer
from engine.support.errors import UserError

TEXTS = ["Red green blueish. Green", "one two three one", "", "green two blueish reddish"] * 3
LABELS = ["a", "b"] * 6
CONFIG = DataConfig(vocabulary_size=60, ngrams=2, affixes=True, char_ngrams="2-3", validation_fraction=0.2)
TINY = Corpus("tiny", LabelledTexts(TEXTS, LABELS), test=LabelledTexts(TEXTS[:4], LABELS[:4]))


@pytest.fixture
def work(monkeypatch):
    """Counts how often texts are read and encoded."""
    done = []
    function = prepare_module.prepare_in
    monkeypatch.setattr(prepare_module, "prepare_in", lambda *args: (done.append(1), function(*args))[1])
    return done


def entries(cache_dir):
    return sorted((cache_dir / "tokens").iterdir())


def same(one, other):
    return (
        one.fingerprint() == other.fingerprint()
        and one.classes == other.classes
        and one.vocabulary.tokenizer.to_str() == other.vocabulary.tokenizer.to_str()
        and np.array_equal(one.vocabulary.ngrams.hashes, other.vocabulary.ngrams.hashes)
        and one.vocabulary[2:] == other.vocabulary[2:]
    )


def test_a_second_run_reads_and_encodes_nothing(tmp_path, work):
    """A second run reads and encodes nothing and gets the same."""
    first, second = (prepare(CONFIG, TINY, 0, cache_dir=tmp_path) for _ in range(2))
    assert same(first, second) and work == [1]
    (entry,) = entries(tmp_path)
    assert not entry.name.startswith(".") and "words.npy" not in [path.name for path in entry.iterdir()]


def test_notes_on_files_are_said_again(tmp_path, work):
    path = tmp_path / "a.tsv"
    path.write_text("a\tred green\nb\tblue one\n" * 5)
    said = [[], []]
    for lines in said:
        config = CONFIG.replace(train_file=str(path))
        prepare(config, open_corpus(config), 0, cache_dir=tmp_path / "cache", log=lines.append)
    assert said[0] == said[1]
    assert said[0][0] == f"train: {path}: TSV, no header; text: column 2; label: column 1; 10 rows"
    assert work == [1]


CHANGES = {
    "texts": {"corpus": Corpus("tiny", LabelledTexts([*TEXTS[:-1], "red"], LABELS), test=TINY.test)},
    "boundary": {"corpus": Corpus("tiny", LabelledTexts(["Red", "green blueish", *TEXTS[2:]], LABELS), test=TINY.test)},
    "labels": {"corpus": Corpus("tiny", LabelledTexts(TEXTS, LABELS[::-1]), test=TINY.test)},
    "no test texts": {"corpus": Corpus("tiny", TINY.train)},
    "moved": {"corpus": Corpus("tiny", TINY.train, TINY.test)},
    "seed": {"seed": 1},
    "sentences": {"sentences": True, "config": CONFIG.replace(ngrams=1, affixes=False, char_ngrams="")},
    **{
        name: {"config": CONFIG.replace(**{name: value})}
        for name, value in {
            "tokens": "words",
            "vocabulary_size": 61,
            "max_tokens": 3,
            "ngrams": 3,
            "ngram_frequency": 1,
            "ngram_vocabulary_size": 2,
            "affixes": False,
            "char_ngrams": "2-4",
            "char_ngram_frequency": 3,
            "char_ngram_vocabulary_size": 2,
            "validation_fraction": 0.4,
        }.items()
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_the_ids_makes_another_entry(tmp_path, work, change):
    prepare(CONFIG, TINY, 0, cache_dir=tmp_path)
    prepare(**{"config": CONFIG, "corpus": TINY, "seed": 0, "cache_dir": tmp_path, **CHANGES[change]})
    assert work == [1, 1] and len(entries(tmp_path)) == 2


@pytest.mark.parametrize("change", ["library", "format", "tokenizer", "vocabulary"])
def test_the_library_and_given_vocabularies_count_too(tmp_path, work, monkeypatch, change):
    path = tmp_path / "tokenizer.json"
    save_tokenizer(train_tokenizer(TEXTS, 60), path)
    config = CONFIG.replace(tokenizer=str(path)) if change == "tokenizer" else CONFIG
    first = prepare(config, TINY, 0, cache_dir=tmp_path)
    if change == "library":
        monkeypatch.setattr(token_cache.tokenizers, "__version__", "another")
    if change == "format":
        monkeypatch.setattr(token_cache, "FORMAT", token_cache.FORMAT + 1)
    save_tokenizer(train_tokenizer([*TEXTS, "red violet violet"], 60), path)
    given = first.vocabulary if change == "vocabulary" else None
    prepare(config, TINY, 0, given, cache_dir=tmp_path)
    assert work == [1, 1]


@pytest.mark.parametrize("damage", ["cut", "emptied", "changed", "removed", "writable", "a link"])
@pytest.mark.parametrize(
    "name", ["tokenizer.json", "train.ids.npy", "test.labels.npy", "affixes.json", "char_ngrams.json", META]
)
def test_a_damaged_entry_is_made_anew(tmp_path, work, damage, name):
    expected = prepare(CONFIG, TINY, 0, cache_dir=tmp_path)
    (entry,) = entries(tmp_path)
    path = entry / name
    content = path.read_bytes()
    if damage == "removed":
        path.unlink()
    elif damage == "writable":
        path.chmod(0o666)
    elif damage == "a link":
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
    else:
        # The last digit of meta.json belongs to the digest of a file.
        path.unlink()  # its arrays are in use
        changed = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
        path.write_bytes({"cut": content[: len(content) // 2], "emptied": b"", "changed": changed}[damage])
    assert same(prepare(CONFIG, TINY, 0, cache_dir=tmp_path), expected) and work == [1, 1]
    assert same(prepare(CONFIG, TINY, 0, cache_dir=tmp_path), expected) and work == [1, 1]


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, work, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    first, second = (prepare(CONFIG, TINY, 0, cache_dir=blocked) for _ in range(2))
    assert same(first, second) and len(work) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and blocked.read_text() == "no folder"


def test_bad_texts_leave_nothing_behind(tmp_path):
    with pytest.raises(UserError, match="only the class 'a'"):
        prepare(CONFIG, Corpus("tiny", LabelledTexts(["x", "y"], ["a", "a"])), 0, cache_dir=tmp_path)
    assert entries(tmp_path) == []


def test_a_full_disk_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot be written \(No space left\); free some space, or name"):
        with TokenCache(tmp_path).begun():
            raise OSError(28, "No space left")


def test_the_entries_that_were_used_longest_ago_go_first(tmp_path, work, monkeypatch):
    prepare(CONFIG, TINY, 0, cache_dir=tmp_path)
    (first,) = entries(tmp_path)
    for number in range(KEPT_FOLDERS - 1):
        path = tmp_path / "tokens" / f"{number}"
        path.mkdir()
        os.utime(path, (1000 + number, 1000 + number))
    os.utime(first, (1, 1))
    prepare(CONFIG, TINY, 0, cache_dir=tmp_path)  # used again: no longer the oldest
    prepare(CONFIG, TINY, 1, cache_dir=tmp_path)
    assert len(entries(tmp_path)) == KEPT_FOLDERS
    assert first.exists() and not (tmp_path / "tokens" / "0").exists()
    monkeypatch.setattr(token_cache, "KEPT_BYTES", 1000)
    prepare(CONFIG, TINY, 2, cache_dir=tmp_path)
    assert len(entries(tmp_path)) == 1  # the newest stays, however large


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path):
    old, young = (tmp_path / "tokens" / name for name in (".old", ".young"))
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "train.ids.npy").touch()
    os.utime(old, (time.time() - DEAD_AFTER - 9,) * 2)
    prepare(CONFIG, TINY, 0, cache_dir=tmp_path)
    assert young.exists() and not old.exists()


def test_arrays_outlive_their_files(tmp_path):
    data = prepare(CONFIG, TINY, 0, cache_dir=tmp_path)
    expected = data.fingerprint()
    shutil.rmtree(tmp_path)
    assert data.fingerprint() == expected
