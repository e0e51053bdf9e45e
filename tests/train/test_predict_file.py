"""Files labelled by predict, and evaluate with labels that the training did not have."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import train
from tests.support.hub_server import parquet
from tests.support.paths import ROOT
from tests.train.conftest import SMALL, topic_texts

TEXTS = ["goal match team", "bank loan", "soup, bread"]
ROWS = [{"id": str(number), "text": text, "who": 'A "B"'} for number, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The path of a finished run, which no test changes."""
    folder = tmp_path_factory.mktemp("predict")
    file = folder / "train.csv"
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([("label", "text"), *topic_texts(60, 0)])
    words = ["--train-file", file, "--test-file", file, *SMALL, "--output", folder / "run"]
    assert train.main([str(word) for word in words]) == 0
    return folder / "run"


def csv_of(rows, **options):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, rows[0], lineterminator="\n", **options)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def read_csv(text, **options):
    return list(csv.DictReader(io.StringIO(text), **options))


INPUTS = {
    "a.csv": csv_of(ROWS).encode(),
    "a.csv.gz": gzip.compress(csv_of(ROWS).encode()),
    "a.tsv": csv_of(ROWS, delimiter="\t", quoting=csv.QUOTE_ALL).encode(),
    "a.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
    "a.json": json.dumps(ROWS).encode(),
    "a.parquet": parquet({name: [row[name] for row in ROWS] for name in ROWS[0]}),
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_columns_of_the_input_are_kept(trained, tmp_path, run, name):
    """In front of the label, whatever the format of the input; a header is no text."""
    (tmp_path / name).write_bytes(INPUTS[name])
    code, out, err = run("predict", trained, "--file", tmp_path / name)
    rows = read_csv(out)
    assert (code, len(rows)) == (0, 3) and "text: 'text' (column 2)" in err
    assert [{key: row[key] for key in ROWS[0]} for row in rows] == ROWS
    assert list(rows[0]) == ["id", "text", "who", "predicted", "probability"]
    alone = [line.split("\t") for line in run("predict", trained, *TEXTS)[1].splitlines()]
    assert [(row["predicted"], float(row["probability"])) for row in rows] == [
        (label, pytest.approx(float(p), abs=1e-4)) for label, p in alone
    ]


@pytest.mark.parametrize("name", ["b.csv", "b.tsv", "b.jsonl", "b.json", "b.csv.gz", "b.parquet"])
def test_the_suffix_of_the_output_is_its_format(trained, tmp_path, run, name):
    """What is written can be labelled again, once the added columns have other names."""
    (tmp_path / "a.csv").write_bytes(INPUTS["a.csv"])
    code, out, err = run("predict", trained, "--file", tmp_path / "a.csv", "--output", tmp_path / name)
    assert (code, out) == (0, "") and f"{name}: 3 rows labelled\n" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", name]
    again = run("predict", trained, "--file", tmp_path / name)
    assert again[0] == 2 and "has a column 'predicted' already; rename or remove it" in again[2]
    if name == "b.json":
        assert [row["text"] for row in json.loads((tmp_path / name).read_text())] == TEXTS


@pytest.mark.parametrize(
    ("content", "name", "names"),
    [
        (b"0,goal match,a\n1,bank loan,b\n", "a.csv", ["column1", "column2", "column3"]),
        (b"goal match\n\nbank, loan\n", "a.txt", ["text"]),
        (b"id,text\n1,goal match\n", "a.txt", ["id", "text"]),
        (b"__label__sport goal match\nbank loan\n", "a.txt", ["label", "text"]),
    ],
)
def test_names_of_columns_without_a_header(trained, tmp_path, run, content, name, names):
    (tmp_path / name).write_bytes(content)
    columns = ["--text-columns", "2"] if name == "a.csv" else []
    code, out, _ = run("predict", trained, "--file", tmp_path / name, *columns)
    rows = read_csv(out)
    assert code == 0 and list(rows[0])[:-2] == names and len(rows) == content.count(b"\n") - (names[0] == "id")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_folders_are_labelled(trained, tmp_path, run, kind):
    (tmp_path / "in" / "sport").mkdir(parents=True)
    path = tmp_path / "in" / "sport" / "1" if kind == "folder" else tmp_path / "in" / "sport.txt"
    path.write_text("goal match")
    if kind == "file":
        (tmp_path / "in" / "sport").rmdir()
    (row,) = read_csv(run("predict", trained, "--file", tmp_path / "in")[1])
    assert (row["label"], row["text"], row["predicted"]) == ("sport", "goal match", "sport")
    assert kind == "file" or row["file"] == str(path)


def test_top_threshold_and_probabilities(trained, tmp_path, run):
    (tmp_path / "a.csv").write_bytes(INPUTS["a.csv"])
    options = ["--top", "2", "--threshold", "1", "--probabilities"]
    *_, err = run("predict", trained, "--file", tmp_path / "a.csv", *options, "--output", tmp_path / "b.csv")
    assert "b.csv: 3 rows labelled, 3 of them below the threshold 1\n" in err
    rows = read_csv((tmp_path / "b.csv").read_text())
    added = ["predicted", "probability", "predicted_2", "probability_2", "p(food)", "p(money)", "p(sport)"]
    assert list(rows[0])[3:] == added
    for row in rows:
        each = sorted((float(row[f"p({name})"]) for name in ("food", "money", "sport")), reverse=True)
        assert row["predicted"] == "" and row["predicted_2"] in ("food", "money", "sport")
        assert each[:2] == [float(row["probability"]), float(row["probability_2"])]
        assert sum(each) == pytest.approx(1, abs=1e-5)
    best, p, second, q = run("predict", trained, "goal match", "--top", "2")[1].rstrip("\n").split("\t")
    assert best == "sport" != second and float(p) >= float(q)
    assert run("predict", trained, "goal match", "--threshold", "1")[1].startswith("\t")
    line = json.loads(run("predict", trained, "goal match", "--top", "2", "--json")[1])
    assert (line["label"], line["label_2"]) == (best, second)


def test_json_keeps_its_values(trained, tmp_path, run):
    """Those of JSON lines of changing keys; CSV names the row whose key it has no column for."""
    objects = [{"text": "goal match", "n": 1}, {"text": "bank loan", "tags": ["a"]}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in objects))
    lines = [json.loads(line) for line in run("predict", trained, "--file", path, "--json")[1].splitlines()]
    assert [{key: line[key] for key in one} for line, one in zip(lines, objects)] == objects
    assert [row["tags"] for row in read_csv(run("predict", trained, "--file", path)[1])] == ["", '["a"]']
    with path.open("a") as file:
        file.writelines(['{"text": "", "tags": [], "n": 2}\n'] * 40_000 + ['{"text": "", "new": 1}\n'])
    code, _, err = run("predict", trained, "--file", path, "--output", tmp_path / "b.csv")
    assert code == 2 and f"{path}, line 40003: has a key 'new' that the first rows lack; write JSON lines" in err
    assert not (tmp_path / "b.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.csv"], "a.csv: is a file; label its rows with --file a.csv, or the name itself with --text a.csv"),
        (["text", "--file", "a.csv"], "--file a.csv: labels the rows of a file, so no TEXT can be given with it"),
        (["--file", "none.csv"], "none.csv: no such file; check the path"),
        (["--file", "a.csv", "--text-columns", "body"], "a.csv: no column is named 'body' (3 columns: 'id', 'text', "),
        (["--file", "a.csv", "--output", "b.xlsx"], "--output b.xlsx: its suffix tells no format of tables; end the"),
        (
            ["--file", "a.csv", "--output", "no/b.csv"],
            "--output no/b.csv: cannot be written (its folder does not exist)",
        ),
        (["--file", "a.csv", "--output", "b.csv", "--json"], "--json: the suffix of --output b.csv tells the format; "),
        (["text", "--output", "b.csv"], "--output: goes with --file FILE; give it too, or leave this out"),
        (["text", "--delimiter", ";"], "--delimiter: goes with --file FILE; give it too, or leave this out"),
        (["--file", "a.csv,b.csv"], "b.csv: has other columns than a.csv; label the files one by one"),
        (["--file", "twice.csv", "--json"], "two columns are named 'n', which only CSV and TSV can hold; write one of"),
    ],
)
def test_what_cannot_be_labelled_is_said_in_one_line(trained, tmp_path, run, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes(INPUTS["a.csv"])
    Path("b.csv").write_text("id,text,else\n1,goal,2\n")
    Path("twice.csv").write_text("n,text,n\n1,goal,2\n")
    code, out, err = run("predict", trained, *words)
    assert code == 2 and err.splitlines()[-1].startswith(f"error: {message}") and out == ""


def test_the_name_of_a_file_can_be_a_text(trained, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("goal").write_text("bank")
    assert run("predict", trained, "--text", "goal")[1].startswith("sport\t")


@pytest.mark.parametrize(
    ("head", "rows", "options"),
    [
        (b"id,text\n", [b"1,goal match\n", b'2,"bank\nloan"\n'], []),
        (b"", [b'{"text": "goal"}\n', b'{"text": ""}\n'], ["--json"]),
        (b"", [b"goal match\n", b"\n"], []),
    ],
)
def test_a_pipe_is_labelled_row_by_row(trained, head, rows, options):
    """A row is answered before the next is read; a header is none."""
    words = [sys.executable, ROOT / "train.py", "predict", trained, "--file", "-", *options]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for number, row in enumerate(rows):
            process.stdin.write(head * (number == 0) + row)
            process.stdin.flush()
            lines = row.count(b"\n") + (number == 0 and not options)
            answered = b"".join(process.stdout.readline() for _ in range(lines))
            assert answered.endswith(b"\n") and b"predict" not in answered.splitlines()[-1] or options
        process.stdin.close()
        assert process.wait(60) == 0 and process.stdout.read() == b""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of a process")
def test_more_rows_take_no_more_memory(trained, tmp_path):
    """Once a file is longer than a block, here of 64 KiB."""
    peaks = []
    for rows in (10_000, 80_000):
        path = tmp_path / "a.csv"
        path.write_text("text,id\n" + "ball goal bank soup,7\n" * rows)
        code = (
            "import sys, train; from engine.data import blocks; blocks.BLOCK_BYTES = 1 << 16; "
            "code = train.main(sys.argv[1:]); "
            "print(code, next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        words = ["predict", trained, "--file", path, "--output", tmp_path / "b.csv"]
        done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True, text=True)
        peaks.append(int(re.fullmatch(r"0 VmHWM:\s+(\d+) kB\s*", done.stdout)[1]))
        with open(tmp_path / "b.csv") as file:
            assert sum(1 for _ in file) == rows + 1
    assert peaks[1] < 1.1 * peaks[0]


def test_evaluate_counts_unknown_labels_as_wrong(trained, tmp_path, run):
    rows = [("sport", "goal match"), ("money", "bank loan"), ("law", "court"), ("art", "goal"), ("law", "bank")]
    path = tmp_path / "more.csv"
    path.write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    code, out, _ = run("evaluate", trained, "--test-file", path)
    told = (
        "3 of 5 texts have a label that the training did not have ('art', 'law'): they count as wrong; --strict refuses"
    )
    assert code == 0 and told in out
    result = json.loads(run("evaluate", trained, "--test-file", path, "--json")[1])
    known = tmp_path / "known.csv"
    known.write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows[:2]))
    of_known = json.loads(run("evaluate", trained, "--test-file", known, "--json")[1])
    assert result["accuracy"] == of_known["accuracy"] * 2 / 5 and result["loss"] == pytest.approx(of_known["loss"])
    assert {row["name"]: row["texts"] for row in result["classes"]}["law"] == 2
    code, _, err = run("evaluate", trained, "--test-file", path, "--strict")
    assert code == 2 and f"{path}, line 4: label 'law' is not among the training classes" in err


def test_folders_and_archives_train_and_are_measured(tmp_path, run, monkeypatch):
    """A folder per class trains, the member of a zip archive tests, in another encoding and with an odd delimiter."""
    monkeypatch.chdir(tmp_path)
    for number, (label, text) in enumerate(topic_texts(30, 0)):
        Path("texts", label).mkdir(parents=True, exist_ok=True)
        Path("texts", label, f"{number}.txt").write_text(text)
    rows = "".join(f"{label}^{text} é\n" for label, text in topic_texts(9, 1))
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("folder/test.txt", rows.encode("latin-1"))
        archive.writestr("other.txt", "x")
    files = ["--train-file", "texts", "--test-file", "a.zip/folder/test.txt"]
    way = ["--delimiter", "^", "--encoding", "latin-1"]
    code, _, err = run(*files, *way, *SMALL, "--output", "run")
    assert code == 2 and "texts: is a folder of classes, whose names are the labels; leave --delimiter out" in err
    code, out, err = run(*files[:2], *SMALL, "--output", "run", "--json")
    assert code == 0 and "texts: a folder per class; 30 rows" in err
    code, out, _ = run("evaluate", "run", "--test-file", files[3], *way)
    assert code == 0 and "test: a.zip/folder/test.txt: CSV, delimiter '^', no header; text: column 2; label:" in out
