"""The command `precision`: its table, its JSON, its picture."""

import json
import math
import sys

import pytest

COLUMNS = ["ratio", "im: polar", "im: difference", "im: closed form", "dw: polar", "dw: difference", "dw: closed form"]


def test_the_table_shows_three_ways_and_is_honest_about_nan(run):
    code, out, err = run("precision")
    assert code == 0 and err == ""
    heading, _, *lines = out.splitlines()
    assert [word.strip() for word in heading.split("  ") if word.strip()] == COLUMNS
    rows = [line.split() for line in lines[:19]]
    assert [float(row[0]) for row in rows] == [10.0**decade for decade in range(19)]
    assert all(float(row[3]) <= 1e-6 and float(row[6]) <= 1e-6 for row in rows)
    assert rows[-1][2] == "1.0e+00" and rows[-1][5] == "nan"
    assert max(map(len, out.splitlines())) <= 100
    assert "8 texts of 32 tokens in 8 columns" in out and "scope dimension, seed 0" in out


def test_json_is_strict_and_holds_the_same(run):
    code, out, err = run("precision", "--json", "--scope", "text", "--tokens", "3", "--seed", "5")

    def refuse(token):
        raise AssertionError(f"{token} is no JSON")

    result = json.loads(out, parse_constant=refuse)
    assert code == 0 and err == ""
    assert (result["scope"], result["tokens"], result["seed"]) == ("text", 3, 5)
    last = result["rows"][-1]
    assert last["ratio"] == 1e18 and last["im"]["closed_form"] <= 1e-6
    assert last["dw"]["difference"] == "nan" and math.isnan(float(last["dw"]["difference"]))


def test_options_change_the_numbers(run):
    outputs = [
        run("precision", "--json", *options)[1]
        for options in ([], ["--seed", "1"], ["--tokens", "3"], ["--scope", "text"], [])
    ]
    assert len(set(outputs)) == 4 and outputs[0] == outputs[-1]


def test_the_picture_is_the_same_file_every_time(tmp_path, run):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg", "a.png"):
        code, out, err = run("precision", "--figure", tmp_path / name)
        assert code == 0 and err == "" and out.splitlines()[-1] == f"drawn: {tmp_path / name}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a.svg", "b.svg"]
    svg = (tmp_path / "a.svg").read_text()
    assert svg.startswith("<?xml") and svg.rstrip().endswith("</svg>") and svg == (tmp_path / "b.svg").read_text()
    assert "<dc:date>" not in svg
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_beside_json_the_note_goes_to_stderr(tmp_path, run):
    pytest.importorskip("matplotlib")
    code, out, err = run("precision", "--json", "--figure", tmp_path / "a.svg")
    assert code == 0 and json.loads(out) and err == f"drawn: {tmp_path / 'a.svg'}\n"


def test_without_matplotlib_one_line_says_what_to_install(tmp_path, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = run("precision", "--figure", tmp_path / "a.svg")
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert err.startswith(f"error: {tmp_path / 'a.svg'}: ") and "pip install -e '.[plots]'" in err
    assert not list(tmp_path.iterdir())
    assert run("precision")[0] == 0, "the table needs no matplotlib"


@pytest.mark.parametrize("name", ["missing/a.svg", "folder.svg"])
def test_a_picture_that_cannot_be_written_is_named(tmp_path, run, name):
    pytest.importorskip("matplotlib")
    (tmp_path / "folder.svg").mkdir()
    code, out, err = run("precision", "--figure", tmp_path / name)
    assert code == 2 and len(err.splitlines()) == 1
    assert err.startswith(f"error: {tmp_path / name}: cannot be written")
    assert out == "", "it is said before the work"
    assert [path.name for path in tmp_path.iterdir()] == ["folder.svg"], "nothing is left behind"


@pytest.mark.parametrize("name", ["a.pdf", "a", ""])
def test_an_unknown_format_is_refused_before_the_work(tmp_path, run, name):
    code, out, err = run("precision", "--figure", tmp_path / name)
    assert code == 2 and out == "" and ".svg or .png" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize("options", [["--tokens", "1"], ["--tokens", "x"], ["--seed", "-1"], ["--scope", "token"]])
def test_wrong_options_are_refused(run, options):
    code, out, err = run("precision", *options)
    assert code == 2 and out == "" and options[0] in err


def test_help_fits_a_screen(run):
    code, out, _ = run("precision", "--help")
    assert code == 0 and len(out.splitlines()) <= 40
    assert {"--scope", "--tokens", "--seed", "--figure", "--json"} <= set(out.split())
