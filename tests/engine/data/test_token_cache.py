"""What was tokenized once is read back, and nothing in the folder can do harm."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from engine.data import token_cache
from engine.data.affixes import encode_affixes, learn_affixes
from engine.data.token_cache import KEPT_FILES, TokenCache
from engine.data.tokenizer import encode_sentences, encode_texts, train_tokenizer

TEXTS = ["red green blue", "one two three one", "", "green two blueish"] * 3


@pytest.fixture
def work(monkeypatch):
    """Counts how often vocabularies are learned and texts are encoded."""
    done = []
    for name in ("train_tokenizer", "encode_texts", "encode_sentences", "learn_affixes", "encode_affixes"):
        function = getattr(token_cache, name)
        monkeypatch.setattr(
            token_cache, name, lambda *args, name=name, function=function: (done.append(name), function(*args))[1]
        )
    return done


def files_of(cache, ending=""):
    return sorted(path for path in cache.folder.iterdir() if path.name.endswith(ending))


def test_a_second_run_trains_and_encodes_nothing(tmp_path, work):
    """A second run trains and encodes nothing and gets the same."""
    expected = train_tokenizer(TEXTS, 60)
    for _ in range(2):
        cache = TokenCache(tmp_path)
        tokenizer = cache.tokenizer(TEXTS, 60)
        ids, offsets = cache.encode(tokenizer, TEXTS, 3)
        assert tokenizer.to_str() == expected.to_str()
        for found, right in zip((ids, offsets), encode_texts(expected, TEXTS, 3)):
            assert found.dtype == right.dtype and np.array_equal(found, right)
    assert work == ["train_tokenizer", "encode_texts"]


@pytest.mark.parametrize("change", ["texts", "boundary", "vocabulary", "tokens", "limit", "library"])
def test_whatever_decides_the_ids_makes_another_file(tmp_path, work, change, monkeypatch):
    cache = TokenCache(tmp_path)
    cache.encode(cache.tokenizer(TEXTS, 60), TEXTS, 5)
    texts = {"texts": [*TEXTS[:-1], "red"], "boundary": ["red", "green blue", *TEXTS[1:]]}.get(change, TEXTS)
    if change == "library":
        monkeypatch.setattr(token_cache.tokenizers, "__version__", "another")
    wanted = 61 if change == "vocabulary" else 60, "words" if change == "tokens" else "wordpieces"
    ids, offsets = cache.encode(cache.tokenizer(texts, *wanted), texts, 4 if change == "limit" else 5)
    expected = encode_texts(train_tokenizer(texts, *wanted), texts, 4 if change == "limit" else 5)
    assert np.array_equal(ids, expected[0]) and np.array_equal(offsets, expected[1])
    # The two vocabularies of this small corpus are the same, and so are then the ids.
    assert work.count("encode_texts") == (1 if change == "vocabulary" else 2)
    assert work.count("train_tokenizer") == (1 if change == "limit" else 2)


def swapped(content):
    """A vocabulary with two ids exchanged: as good as any other, but not the one that was learned."""
    saved = json.loads(content)
    words = saved["model"]["vocab"]
    words["red"], words["green"] = words["green"], words["red"]
    return json.dumps(saved).encode()


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "no text": lambda content: content[:-40] + b"\xff" + content[-39:],
    "longer": lambda content: content + b" ",
    "one bit": lambda content: content[:-4] + bytes([content[-4] ^ 1]) + content[-3:],
}


@pytest.mark.parametrize(
    "ending, damage", [(e, d) for e in (".json", ".safetensors") for d in DAMAGES.values()] + [(".json", swapped)]
)
def test_a_damaged_file_is_made_anew(tmp_path, work, damage, ending):
    cache = TokenCache(tmp_path)
    expected = cache.encode(cache.tokenizer(TEXTS, 60, "words"), TEXTS, 5)
    (path,) = files_of(cache, ending)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    found = cache.encode(cache.tokenizer(TEXTS, 60, "words"), TEXTS, 5)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    assert work.count({".json": "train_tokenizer", ".safetensors": "encode_texts"}[ending]) == 2
    assert path.read_bytes() == content


def test_a_file_under_the_key_of_another_is_not_used(tmp_path, work):
    """A whole file that has been renamed."""
    cache = TokenCache(tmp_path)
    cache.tokenizer(TEXTS, 60, "words")
    (first,) = files_of(cache)
    cache.tokenizer(TEXTS[1:], 60, "words")
    (second,) = set(files_of(cache)) - {first}
    expected = second.read_bytes()
    first.replace(second.with_name(second.name.partition("-")[0] + "-" + first.name.partition("-")[2]))
    second.unlink()
    cache.tokenizer(TEXTS[1:], 60, "words")
    assert work == ["train_tokenizer"] * 3 and second.read_bytes() == expected


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs owners of files as POSIX has them")
@pytest.mark.parametrize("case", ["owner", "group", "others", "link"])
def test_what_another_user_may_have_written_is_not_used(tmp_path, work, monkeypatch, case):
    """Else the owner of a shared folder would decide what the vocabulary of a run is."""
    before = os.umask(0o002)  # under which files are made that their group may write to
    try:
        TokenCache(tmp_path).tokenizer(TEXTS, 60)
        TokenCache(tmp_path).tokenizer(TEXTS, 60)
    finally:
        os.umask(before)
    assert work == ["train_tokenizer"]
    (path,) = files_of(TokenCache(tmp_path))
    if case == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif case == "owner" and os.geteuid() == 0:
        os.chown(path, 12345, -1)
    elif case == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: path.lstat().st_uid + 1)
    else:
        path.chmod({"group": 0o664, "others": 0o646}[case])
    assert TokenCache(tmp_path).tokenizer(TEXTS, 60).to_str() == train_tokenizer(TEXTS, 60).to_str()
    assert work == ["train_tokenizer"] * 2


def test_sentences_are_cut_once_and_kept_beside_the_ids(tmp_path, work):
    texts = ["Red green. Blue.", "One. Two three. One"]
    tokenizer = train_tokenizer(texts, 60)
    for _ in range(2):
        cache = TokenCache(tmp_path)
        cache.encode(tokenizer, texts, 9)
        found = cache.encode_sentences(tokenizer, texts, 9)
        for one, right in zip(found, encode_sentences(tokenizer, texts, 9), strict=True):
            assert one.dtype == right.dtype and np.array_equal(one, right)
    assert work == ["encode_texts", "encode_sentences"]
    assert len(cache.encode_sentences(tokenizer, texts, 5)[2]) < len(found[2])
    assert len(cache.encode_sentences(tokenizer, texts[:1], 9)[2]) < len(found[2])


def test_a_changed_end_of_a_sentence_does_not_fit_the_digest(tmp_path, work):
    texts, cache = ["Red green. Blue.", "One. Two three. One"], TokenCache(tmp_path)
    tokenizer = train_tokenizer(texts, 60)
    expected = cache.encode_sentences(tokenizer, texts, 9)
    (path,) = files_of(cache)
    arrays = safetensors.numpy.load_file(path)
    arrays["sentence_offsets"][1] += 1
    safetensors.numpy.save_file(arrays, path)
    assert np.array_equal(cache.encode_sentences(tokenizer, texts, 9)[2], expected[2])
    assert work == ["encode_sentences"] * 2


AFFIXED = ["walking talking walked", "talked", "", "asking"]


def affix_ids(cache, tokenizer, texts=AFFIXED, limit=9, learned_from=AFFIXED):
    return cache.encode_affixes(cache.learn_affixes(tokenizer, learned_from), tokenizer, texts, limit)


def test_affixes_are_learned_and_looked_up_once(tmp_path, work):
    tokenizer = train_tokenizer(AFFIXED, 60)
    vocabulary = learn_affixes(tokenizer, AFFIXED)
    assert vocabulary.known == ["-ing", "-ked"]
    for _ in range(2):
        cache = TokenCache(tmp_path)
        assert cache.learn_affixes(tokenizer, AFFIXED) == vocabulary
        for found, right in zip(affix_ids(cache, tokenizer), encode_affixes(vocabulary, tokenizer, AFFIXED, 9)):
            assert found.dtype == right.dtype and np.array_equal(found, right)
    assert work == ["learn_affixes", "encode_affixes"]


@pytest.mark.parametrize("change", [{"texts": AFFIXED[:2]}, {"limit": 2}, {"learned_from": AFFIXED[:1]}])
def test_whatever_decides_the_affixes_makes_another_file(tmp_path, work, change):
    tokenizer, cache = train_tokenizer(AFFIXED, 60), TokenCache(tmp_path)
    before = affix_ids(cache, tokenizer)
    after = affix_ids(cache, tokenizer, **change)
    assert work.count("encode_affixes") == 2 and not np.array_equal(before[0], after[0])


@pytest.mark.parametrize("content", [b"", b"[1]", b'["-ing"'])
def test_a_damaged_affix_vocabulary_is_made_anew(tmp_path, work, content):
    tokenizer, cache = train_tokenizer(AFFIXED, 60), TokenCache(tmp_path)
    expected = cache.learn_affixes(tokenizer, AFFIXED)
    (path,) = files_of(cache)
    path.write_bytes(content)
    assert cache.learn_affixes(tokenizer, AFFIXED) == expected
    assert work == ["learn_affixes"] * 2 and path.read_bytes() != content


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, work):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    for _ in range(2):
        cache = TokenCache(blocked)
        ids, _ = cache.encode(cache.tokenizer(TEXTS, 60), TEXTS, 5)
        assert len(ids)
    assert len(work) == 4 and blocked.read_text() == "no folder"


def test_the_files_that_were_used_longest_ago_go_first(tmp_path, work):
    cache = TokenCache(tmp_path)
    tokenizer = train_tokenizer(TEXTS, 60)
    cache.encode(tokenizer, TEXTS, 1)
    (first,) = files_of(cache)
    for number in range(KEPT_FILES - 1):
        path = cache.folder / f".{number}.tmp"  # of a killed process: they must not heap up either
        path.touch()
        os.utime(path, (1000 + number, 1000 + number))
    os.utime(first, (1, 1))
    cache.encode(tokenizer, TEXTS, 1)  # used again: no longer the oldest
    cache.encode(tokenizer, TEXTS, 2)
    assert len(files_of(cache)) == KEPT_FILES
    assert first.exists() and not Path(cache.folder / ".0.tmp").exists()
