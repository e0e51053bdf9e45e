"""Files of word vectors: each format read back, words matched with a vocabulary, one line for every bad file."""

import gzip

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tokenizers import Tokenizer, models

from engine.arrays.ragged import RaggedBatch
from engine.data.tokenizer import SPECIAL_TOKENS, cut_as_bert, load_tokenizer, save_tokenizer
from engine.data.vectors import coverage, open_vectors, read_vectors
from engine.data.vocabulary import Vocabulary
from engine.support.errors import UserError
from tests.support.examples import examples


def as_text(words, values, header=True, end=" \n"):
    lines = [f"{len(words)} {values.shape[1]}\n"] if header else []
    return "".join([*lines, *(f"{w} {' '.join(map(repr, v.tolist()))}{end}" for w, v in zip(words, values))]).encode()


def as_binary(words, values, end=b"\n"):
    head = f"{len(words)} {values.shape[1]}\n".encode()
    return head + b"".join(w.encode() + b" " + v.astype("<f4").tobytes() + end for w, v in zip(words, values))


def as_tensor(words, values, kind="float32", **more):
    return safetensors.numpy.save({"embeddings": values.astype(kind), **more})


FORMATS = {  # name of the file → its bytes
    "a.vec": as_text,
    "glove.txt": lambda words, values: as_text(words, values, header=False, end="\n"),
    "lines.txt": lambda words, values: b"\xef\xbb\xbf" + as_text(words, values, end="\r\n"),
    "a.bin": as_binary,
    "b.bin": lambda words, values: as_binary(words, values, end=b""),
    "a.safetensors": as_tensor,
    "b.safetensors": lambda words, values: as_tensor(words, values, "float64", other=np.zeros((2, 2))),
}
words = st.text(st.characters(codec="utf-8", exclude_characters="\0 \n\r\ufeff", exclude_categories=["Cs"]), min_size=1)
tables = st.lists(words, min_size=1, max_size=6, unique=True).flatmap(
    lambda names: st.tuples(
        st.just(names),
        st.integers(2, 5).flatmap(
            lambda d: arrays.arrays(np.float32, (len(names), d), elements=st.floats(-1e6, 1e6, width=32))
        ),
    )
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("name", FORMATS)
@examples(40)
@given(table=tables)
def test_every_format_is_read_back(tmp_path_factory, name, pack, table):
    """Words and float32 numbers come back bit for bit, whatever characters the words have."""
    names, values = table
    folder = tmp_path_factory.mktemp("vectors")
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8", newline="")
    path = folder / (name + (".gz" if pack is gzip.compress else ""))
    path.write_bytes(pack(FORMATS[name](names, values)))
    file = open_vectors(path)
    rows = list(file.rows())
    assert [word for _, word, _ in rows] == names and file.dimension == values.shape[1]
    assert file.count in (None, len(names))
    found = np.array([file.values(number, raw) for number, _, raw in rows])
    assert found.dtype == np.float32 and np.array_equal(found, values)


@pytest.fixture
def tokenizer():
    """A vocabulary of words in lower case; "ca" is a word that a normal form may give."""
    known = [*SPECIAL_TOKENS, "paris", "cafe", "the", "tea"]
    return cut_as_bert(models.WordLevel({name: i for i, name in enumerate(known)}, unk_token="[UNK]"), lowercase=True)


def read(path, content, tokenizer, dimension=2):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_vectors(path, tokenizer, dimension)


def rows_of(found, tokenizer):
    return {tokenizer.id_to_token(row): value.tolist() for row, value in zip(found.rows.tolist(), found.values)}


def test_words_match_as_written_then_in_normal_form(tmp_path, tokenizer):
    """The word as it is written wins, wherever it stands; else the first of those with the same normal form."""
    content = "Paris 1 1\nThe 2 2\nPARIS 3 3\nCafé 4 4\nthe 5 5\n[CLS] 6 6\n[UNK] 7 7\nLa paz 8 8\nTEA 9 9\n"
    found = read(tmp_path / "a.txt", content, tokenizer)
    assert rows_of(found, tokenizer) == {"paris": [1, 1], "cafe": [4, 4], "the": [5, 5], "tea": [9, 9]}
    assert found.words == 4 and found.duplicates == 0


def test_a_cased_vocabulary_takes_vectors_in_lower_case(tmp_path):
    known = [*SPECIAL_TOKENS, "Paris", "paris", "Tea"]
    cased = Tokenizer(models.WordLevel({name: i for i, name in enumerate(known)}, unk_token="[UNK]"))
    found = read(tmp_path / "a.txt", "paris 1 1\ntea 2 2\nTea 3 3\n", cased)
    assert rows_of(found, cased) == {"Paris": [1, 1], "paris": [1, 1], "Tea": [3, 3]}


def test_of_equal_words_the_first_counts_and_is_told(tmp_path, tokenizer):
    found = read(tmp_path / "a.vec", "4 2\nthe 1 1\nthe 2 2\ntea 3 3\nthe 4 4\n", tokenizer)
    assert rows_of(found, tokenizer) == {"the": [1, 1], "tea": [3, 3]} and found.duplicates == 2
    ids = np.array([2, 6, 6, 7, 1, 9, 2, 4], np.int32)  # 9: an n-gram
    line = coverage(found, Vocabulary(tokenizer), RaggedBatch(ids, np.array([0, 6, 8]), None))
    assert line == "vectors: 2 of 4 words, 60.0 % of the tokens; 2 duplicates, of which the first counts"


def test_words_with_spaces_are_passed_over(tmp_path, tokenizer):
    found = read(tmp_path / "a.txt", "the 1 1\n. . . 2 2\nat name@domain.com 3 3\ntea 4 4\n", tokenizer)
    assert rows_of(found, tokenizer) == {"the": [1, 1], "tea": [4, 4]}


def test_words_come_from_a_tokenizer_json_first(tmp_path, tokenizer):
    (tmp_path / "vocab.txt").write_text("one\ntwo\n")
    save_tokenizer(tokenizer, tmp_path / "tokenizer.json")
    values = np.arange(20.0).reshape(10, 2)  # two rows more than words
    found = read(tmp_path / "a.safetensors", as_tensor([], values, "float16"), tokenizer)
    assert rows_of(found, tokenizer) == {
        name: [8 + 2 * i, 9 + 2 * i] for i, name in enumerate(["paris", "cafe", "the", "tea"])
    }


TEXT = b"3 2\nthe 1 2\ntea 3 4\nx 5 6\n"
BINARY = as_binary(["the", "tea", "x"], np.ones((3, 2)))
TENSOR = as_tensor([], np.ones((3, 2)))
BAD = {  # name and bytes of a file, and what the line must hold
    "absent": ("a.vec", None, ["no such file"]),
    "empty": ("a.vec", b"", ["line 1", "got ''"]),
    "prose": ("a.txt", b"the quick brown fox\n", ["line 1", "'quick'"]),
    "few columns": ("a.vec", b"3 2\nthe 1 2\ntea 3\nx 5 6\n", ["line 3", "1 numbers", "header says 2"]),
    "many columns": ("a.txt", b"the 1 2\ntea 3 4 5\n", ["line 2", "3 numbers", "line 1 has 2"]),
    "two spaces": ("a.txt", b"the 1 2\ntea  3 4\n", ["line 2", "3 numbers"]),
    "no number": ("a.txt", b"the 1 2\ntea 3 4,5\n", ["line 2", "'4,5' is no number"]),
    "NaN": ("a.txt", b"the 1 2\ntea nan 4\n", ["line 2", "nan", "remove the word"]),
    "infinite": ("a.txt", b"the 1 2\ntea 1e60 4\n", ["line 2", "inf"]),
    "not UTF-8": ("a.txt", b"the 1 2\nt\xe9 3 4\n", ["line 2", "0xe9", "not UTF-8", "convert"]),
    "too few words": ("a.vec", TEXT[:-6], ["announces 3 words", "holds 2"]),
    "too many words": ("a.vec", TEXT + b"y 7 8\n", ["announces 3 words", "holds 4"]),
    "no dimension": ("a.vec", b"3 0\nthe\n", ["0 numbers"]),
    "another dimension": ("a.vec", b"1 3\nthe 1 2 3\n", ["vectors of 3 numbers", "dimension 2", "dimension=3"]),
    "a count of thousands of digits": ("a.vec", b"9" * 5000 + b" 2\nthe 1 2\n", ["has vectors of 1 numbers"]),
    "binary, such a count": ("a.bin", b"9" * 5000 + b" 2\n" + BINARY, ["does not begin with the number of words"]),
    "no word known": ("a.txt", b"un 1 2\ndeux 3 4\n", ["none of its 2 words", "'paris'"]),
    "cut gzip": ("a.vec.gz", gzip.compress(TEXT)[:-12], ["gzip", "cut short"]),
    "binary, cut": ("a.bin", BINARY[:-6], ["word 3", "ends before it"]),
    "binary, cut word": ("a.bin", BINARY[:-11], ["word 3", "ends before it"]),
    "binary, too long": ("a.bin", BINARY + b"y", ["goes on behind the 3 words"]),
    "binary, NaN": ("a.bin", as_binary(["x", "tea"], np.array([[1, 2], [np.nan, 4]])), ["word 2", "nan"]),
    "binary, not UTF-8": ("a.bin", BINARY.replace(b"tea", b"t\xe9a"), ["word 2", "0xe9", "not UTF-8"]),
    "binary, no header": ("a.bin", b"the 1 2\n", ["does not begin with the number of words"]),
    "binary, text": ("a.bin", b"3 2\nthe 1.5 2.500\ntea 3.5 4.5\nx 5 6\n", ["line end", ".vec"]),
    "binary, fastText": ("a.bin", b"\xba\x16\x4f\x2f" + bytes(99), ["model of fastText", ".vec"]),
    "tensor, no words": ("b/a.safetensors", TENSOR, ["words of its rows are missing", "vocab.txt"]),
    "tensor, more words": ("a.safetensors", as_tensor([], np.ones((2, 2))), ["3 words", "only 2 rows"]),
    "tensor, cut": ("a.safetensors", TENSOR[:-4], ["row 3", "ends before it"]),
    "tensor, no file of this kind": ("a.safetensors", b"the 1 2\n" * 9, ["no safetensors file"]),
    "tensor, none": ("a.safetensors", safetensors.numpy.save({"x": np.ones(3)}), ["one matrix", "got 0"]),
    "tensor, two": (
        "a.safetensors",
        safetensors.numpy.save({"x": np.ones((1, 2)), "y": np.ones((1, 2))}),
        ["one matrix", "got 2", "x, y"],
    ),
    "tensor, integers": ("a.safetensors", as_tensor([], np.ones((3, 2)), "int32"), ["I32", "F32"]),
    "tensor, NaN": ("a.safetensors", as_tensor([], np.full((3, 2), np.nan)), ["row 1", "nan"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_line(tmp_path, tokenizer, case):
    """It names the file, the place, what stands there, and what to do."""
    name, content, wanted = BAD[case]
    (tmp_path / "vocab.txt").write_text("the\ntea\nx\n")
    (tmp_path / "b").mkdir()
    path = tmp_path / name
    with pytest.raises(UserError) as raised:
        read(path, content, tokenizer) if content is not None else read_vectors(path, tokenizer, 2)
    (line,) = str(raised.value).splitlines()
    assert str(path) in line and "; " in line
    for word in wanted:
        assert word in line, line


def test_numbers_of_words_that_nobody_asks_for_are_not_read(tmp_path, tokenizer):
    """A number that cannot be read matters for a word of the vocabulary alone."""
    found = read(tmp_path / "a.txt", "the 1 1\nother x y\ntea 3 3\n", tokenizer)
    assert rows_of(found, tokenizer) == {"the": [1, 1], "tea": [3, 3]}


def test_vectors_of_a_bert_vocabulary(tmp_path):
    """Pieces within words match themselves; [PAD], [MASK] and the like are no words."""
    (tmp_path / "bert.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[MASK]\nplay\n##ing\n")
    tokenizer = load_tokenizer(tmp_path / "bert.txt")
    found = read(tmp_path / "a.txt", "play 1 1\ning 2 2\n[MASK] 3 3\n##ing 4 4\n", tokenizer)
    assert rows_of(found, tokenizer) == {"play": [1, 1], "##ing": [4, 4]} and found.words == 2


def test_memory_is_that_of_the_words_that_match(tmp_path, tokenizer):
    """Of a file of 12 MB, 3 MB at most are in memory at a time."""
    import tracemalloc

    row = " 0.5" * 300
    with open(tmp_path / "a.txt", "w") as file:
        file.writelines(f"word{i}{row}\n" for i in range(10_000))
        file.write(f"tea{row}\n")
    tracemalloc.start()
    found = read_vectors(tmp_path / "a.txt", tokenizer, 300)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.rows) == 1 and peak < 3e6
