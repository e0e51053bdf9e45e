"""Strings without objects: hashes, numbers, words and pieces, against Python's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from engine.data import hash_table
from engine.data import pieces as pieces_module
from engine.data import strings as strings_module
from engine.data.growing import FileArray, GrowingArray, GrowingLists
from engine.data.hash_table import AscendingKeys, HashTable, mixed
from engine.data.pieces import pieces_of, words_of
from engine.data.strings import DistinctStrings, hashes_of, strings_from, to_list, word_bounds
from engine.data.tokenizer import untrained
from tests.support.examples import examples

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ASCII = st.text(st.characters(max_codepoint=127), max_size=12)


def hash_in_whole_numbers(data):
    """The hash of some bytes before it is mixed, by its definition."""
    return sum((byte + 1) * int(strings_module.GOLDEN) ** place for place, byte in enumerate(data)) % 2**64


@examples(100)
@given(st.lists(TEXT, max_size=8), st.integers(1, 9))
def test_hashes_are_those_of_the_definition_whatever_the_stretch(texts, stretch):
    strings = strings_from(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strings_module, "STRETCH", stretch)
        found = hashes_of(strings.data, strings.offsets[:-1], strings.offsets[1:])
    expected = np.array([hash_in_whole_numbers(text.encode()) for text in texts], np.uint64)
    assert np.array_equal(found, strings_module.mixed(expected))


@examples(100)
@given(st.lists(st.lists(TEXT, max_size=6), max_size=4))
def test_strings_are_numbered_as_they_come(parts):
    distinct, expected = DistinctStrings(), {}
    for part in parts:
        strings = strings_from(part)
        numbers = distinct.number(strings.data, strings.offsets[:-1], strings.offsets[1:])
        assert numbers.tolist() == [expected.setdefault(text, len(expected)) for text in part]
    assert to_list(distinct.strings()) == list(expected) and len(distinct) == len(expected)


@examples(100)
@given(st.lists(st.text(" ab中", max_size=9), max_size=6))
def test_words_are_what_stands_between_spaces(texts):
    strings = strings_from(texts)
    starts, ends, offsets = word_bounds(strings)
    words = [strings.data[start:end].tobytes().decode() for start, end in zip(starts, ends)]
    assert [words[a:b] for a, b in zip(offsets, offsets[1:])] == [text.split(" ") for text in texts]


@pytest.mark.parametrize("lowercase", [True, False])
def test_words_are_cut_as_by_the_library(lowercase):
    """All ASCII characters, each beside letters and others, and words of other scripts."""
    characters = [chr(i) for i in range(128)] + list("éÄßİΣ中ｅ\u0301\u00a0\u200b😀")
    words = ["", *(f"{a}x{b}Y" for a in characters for b in characters[::5] if " " not in (a, b))]
    check_pieces(untrained(lowercase), words)


@examples(100)
@given(st.lists((ASCII | TEXT).map(lambda word: word.replace(" ", "")), max_size=8))
def test_any_words_are_cut_as_by_the_library(words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces_module, "CHUNK_CHARACTERS", 10)
        check_pieces(untrained(), words)


def test_a_tokenizer_of_another_family_cuts_by_itself():
    tokenizer = untrained()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("_"), normalizers.Lowercase()])
    check_pieces(tokenizer, ["Word", "two,words"])


def check_pieces(tokenizer, words):
    distinct = DistinctStrings()
    numbers, counts = pieces_of(tokenizer, strings_from(words), distinct)
    names = to_list(distinct.strings())
    offsets = np.concatenate([[0], np.cumsum(counts)])
    found = [[names[number] for number in numbers[a:b]] for a, b in zip(offsets, offsets[1:])]
    assert found == [words_of(tokenizer, word) for word in words]


KEYS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40) | st.integers(2**64 - 40, 2**64 - 1), max_size=60)


@examples(100)
@given(st.lists(KEYS, max_size=4), KEYS)
def test_keys_have_their_numbers_however_places_collide(parts, others):
    table, expected = HashTable(), {}
    for part in parts:
        numbers, new = table.add(np.array(part, np.uint64))
        first = [place for place, key in enumerate(part) if key not in expected and part.index(key) == place]
        assert numbers.tolist() == [expected.setdefault(key, len(expected)) for key in part] and new.tolist() == first
    for keys in (*parts, others):
        assert table.find(np.array(keys, np.uint64)).tolist() == [expected.get(key, -1) for key in keys]
    assert len(table) == len(expected)
    assert HashTable(np.array(list(expected), np.uint64)).find(np.array(others, np.uint64)).tolist() == [
        expected.get(key, -1) for key in others
    ]


@examples(60)
@given(st.sets(st.integers(0, 2**64 - 1)), st.lists(st.integers(0, 2**64 - 1)), st.sampled_from([0, 1000]))
def test_ascending_keys_are_found_with_a_table_and_without(known, others, few):
    keys = np.array(sorted(known), np.uint64)
    asked = np.array([*others, *sorted(known, reverse=True)], np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_table, "FEW_KEYS", few)
        found = AscendingKeys(keys).find(asked)
    expected = [sorted(known).index(key) if key in known else -1 for key in asked.tolist()]
    assert found.dtype == np.int32 and found.tolist() == expected


def test_the_smallest_keys_lie_apart():
    """A vocabulary that is full keeps the n-grams of the smallest hashes: these, too, are found in few rounds."""
    keys = np.sort(mixed(np.arange(50_000, dtype=np.uint64)))[:5000]
    free = np.flatnonzero(HashTable(keys).numbers < 0)
    assert np.diff(free, prepend=-1).max() < 100  # places of a row that are taken


@examples(100)
@given(st.lists(st.lists(st.integers(-9, 9), max_size=9), max_size=9))
def test_arrays_grow_in_memory_and_in_files(tmp_path_factory, parts):
    inside = GrowingArray(np.int32)
    file = FileArray(tmp_path_factory.mktemp("growing") / "a.npy", np.int32)
    for part in parts:
        inside.append(part)
        file.append(part)
    for found in (inside.array(), file.finish()):
        assert found.dtype == np.int32 and found.tolist() == [value for part in parts for value in part]


@examples(100)
@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=9), st.data())
def test_lists_are_gathered_by_their_numbers(lists, data):
    growing = GrowingLists()
    for some in (lists[: len(lists) // 2], lists[len(lists) // 2 :]):
        growing.append([value for one in some for value in one], list(map(len, some)))
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9))
    values, offsets = growing.of(np.array(rows, np.int64))
    assert [values[a:b].tolist() for a, b in zip(offsets, offsets[1:])] == [lists[row] for row in rows]
