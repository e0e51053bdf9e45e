"""The command exercise: list, write, check; exit codes 0, 1 and 2; what cannot be checked is told in one line."""

import json

import pytest

from layers.experiments.exercises.table import EXERCISES
from tests.support.exercise_equations import write_with_equation
from tests.train.test_bad_input import refused

HOLE = 'raise NotImplementedError("return dx, dweight, dbias")'
RIGHT = "return dy @ weight.T, x.T @ dy, dy.sum(axis=0)"
OTHERS = "return dy @ weight.T, x.T @ dy, "


@pytest.fixture
def linear(tmp_path, run):
    """linear(body, old="", new=""): the path of the exercise with this body in its hole, and a text replaced."""

    def linear(body, old="", new=""):
        path = tmp_path / "mine.py"
        path.unlink(missing_ok=True)
        assert run("exercise", "linear", "--output", path)[0] == 0
        text = path.read_text(encoding="utf-8")
        assert text.count(HOLE) == 1 and old in text
        path.write_text(text.replace(HOLE, body).replace(old, new), encoding="utf-8")
        return path

    return linear


def test_the_list_has_every_exercise(run):
    code, out, err = run("exercise")
    assert (code, err) == (0, "") and max(map(len, out.splitlines())) <= 110
    for exercise in EXERCISES.values():
        assert f"{exercise.name} " in out and exercise.asked in out and exercise.chapter in out
    listed = json.loads(run("exercise", "--json")[1])
    assert [row["name"] for row in listed] == list(EXERCISES) and "(hard)" in listed[-1]["asked"]


def test_an_exercise_is_written_and_not_over_another_file(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("exercise", "modulation")
    assert (code, err) == (0, "") and "modulation (E6) written to modulation.py" in out
    assert (tmp_path / "modulation.py").read_text(encoding="utf-8") == EXERCISES["modulation"].text()
    refused(run("exercise", "modulation"), "modulation.py: exists already", "--output")
    code, out, _ = run("exercise", "modulation", "--output", "other.py", "--json")
    assert code == 0 and json.loads(out) == {"exercise": "modulation", "equation": "E6", "file": "other.py"}
    refused(run("exercise", "modulation", "--output", tmp_path / "absent" / "a.py"), "--output", "does not exist")
    refused(run("exercise", "modulation", "--output", tmp_path), "exists already")


def test_the_hole_is_told_with_its_line(linear, run):
    path = linear(HOLE)
    line = path.read_text(encoding="utf-8").splitlines().index(f"    {HOLE}") + 1
    refused(
        run("exercise", "--check", path), f"{path}, line {line}: backward is not written yet", "NotImplementedError"
    )


def test_a_right_answer_has_exit_code_0_and_names_the_equation(linear, run):
    code, out, err = run("exercise", "--check", linear(RIGHT))
    assert (code, err) == (0, "") and "mine.py: right" in out and "layers/standard/linear.py" in out
    assert "layers/standard/linear.py" not in run("exercise", "--check", linear(OTHERS + "0 * weight[0]"))[1]


def test_json_is_not_mixed_with_what_the_learner_prints(linear, run):
    code, out, err = run("exercise", "--check", linear("print('here'); " + OTHERS + "-dy.sum(axis=0)"), "--json")
    found = json.loads(out)
    assert code == 1 and "here" in err and not found["ok"] and found["solution"] is None
    assert [gradient["ok"] for gradient in found["gradients"]] == [True, True, False]
    assert found["gradients"][2]["findings"] == [{"term": "Σ_j dy_j", "mistake": "wrong sign"}]
    worst = found["gradients"][2]["worst"]
    assert worst["got"] == pytest.approx(-worst["expected"]) and worst["wrong"] == worst["entries"]
    assert found["gradient_check"]["passed"] < found["gradient_check"]["examples"]
    found = json.loads(run("exercise", "--check", linear(RIGHT), "--json")[1])
    assert found["ok"] and found["solution"] == "layers/standard/linear.py" and found["gradients"][0]["worst"] is None


def test_a_wrong_entry_is_shown_with_its_token(tmp_path, run):
    old, new = "= dre[rows] +", "= dre[rows] * (np.diff(block) > 1).repeat(np.diff(block))[:, None] +"
    code, out, _ = run("exercise", "--check", write_with_equation(tmp_path / "a.py", "token2wave", old, new))
    assert code == 1 and "no mistake that is known here explains it" in out
    assert "(token 0 of text 0, which has 1 token): got 0, expected" in out
    assert "2 of 6 entries are wrong, those of texts of one token" in out


def test_a_convention_is_told_where_it_alone_is_missed(tmp_path, run):
    path = tmp_path / "a.py"
    body = "rows = np.repeat(np.arange(len(y)), np.diff(offsets)); return dy[rows] * (x == y[rows])"
    path.write_text(EXERCISES["max_pooling"].text().replace('raise NotImplementedError("return dx")', body))
    code, out, _ = run("exercise", "--check", path)
    assert (
        code == 1 and "wrong only where two tokens have the largest entry" in out and "Gradient check: 4 random" in out
    )


def test_a_gradient_without_the_cotangent_is_told(tmp_path, run):
    path = tmp_path / "a.py"
    path.write_text(EXERCISES["gelu"].text().replace('raise NotImplementedError("return dx")', "return 1 + x"))
    code, out, _ = run("exercise", "--check", path)
    assert code == 1 and "dx  wrong  does not depend on the cotangent" in out


def test_state_outside_of_the_cache_is_told(linear, run):
    old = "return x @ weight + bias, (x, weight)"
    path = linear("x, weight = kept; " + RIGHT, old, f"global kept; kept = x, weight; {old}")
    code, out, _ = run("exercise", "--check", path)
    assert code == 1 and out.count("  right") == 3 and "keep all that backward needs in the cache" in out


def test_the_hint_names_the_derivation(linear, run):
    assert "layers/wave/token2wave.md, under 'E4.3 " in run("exercise", "token2wave", "--hint")[1]
    code, out, _ = run("exercise", "--check", linear(RIGHT), "--hint")
    assert code == 0 and "layers/standard/linear.md, under 'Derivation'" in out
    found = json.loads(run("exercise", "linear", "--hint", "--json")[1])
    assert found == {"exercise": "linear", "chapter": "layers/standard/linear.md", "derivation": "Derivation"}


BAD_BODIES = {
    "an exception": ("return 1 / 0", "line 19: ZeroDivisionError: division by zero"),
    "a name": (OTHERS + "db", "line 19: NameError: name 'db' is not defined"),
    "shapes that do not fit": ("return x.T @ weight, 0, 0", "line 19: ValueError: matmul"),
    "a syntax error": ("return dy @ (weight", "line 19: is not Python ("),
    "an exit": ("raise SystemExit", "line 19: SystemExit"),
    "no return": ("pass", "returned 1 gradient, expected 3: dx, dweight, dbias"),
    "too few": ("return dy @ weight.T, x.T @ dy", "returned 2 gradients, expected 3: dx, dweight, dbias"),
    "not summed": (OTHERS + "dy", "dbias has shape (3, 4), expected (4,): it is not summed over the rows"),
    "an axis too much": (
        OTHERS + "dy.sum(axis=0, keepdims=True)",
        "(1, 4), expected (4,): the numbers are right, drop",
    ),
    "another shape": (OTHERS + "dy.sum()", "dbias has shape (), expected (4,)"),
    "no array": (OTHERS + "0.0", "dbias is of type float, expected an array of shape (4,)"),
    "None": (OTHERS + "None", "dbias is of type NoneType, expected an array of shape (4,)"),
    "float32": (OTHERS + "dy.sum(axis=0, dtype=np.float32)", "dbias has dtype float32, expected float64"),
    "NaN": (OTHERS + "dy[0] * np.nan", "dbias is NaN at [0]"),
    "infinity": (OTHERS + "dy[0] / 0", "dbias is infinite at [0]"),
    "a write into dy": ("dy *= 2; " + RIGHT, "line 19: writes into an input, the cotangent or the cache"),
    "a write into an input": ("weight[:] = 0; " + RIGHT, "line 19: writes into an input, the cotangent or the cache"),
}


@pytest.mark.parametrize("body, words", BAD_BODIES.values(), ids=BAD_BODIES)
def test_an_answer_that_cannot_be_checked(body, words, linear, run):
    path = linear(body)
    outcome = run("exercise", "--check", path)
    refused(outcome, path, words)
    assert outcome[1] == ""


def test_a_transposed_gradient_of_another_shape(tmp_path, run):
    path = write_with_equation(
        tmp_path / "a.py", "embedding", "sum_rows(cache.ids, dy)", "sum_rows(cache.ids, dy).dense(len(cache.table)).T"
    )
    refused(run("exercise", "--check", path), "dtable has shape (2, 4), expected (4, 2): it is transposed")


def test_nan_names_its_token(tmp_path, run):
    path = write_with_equation(tmp_path / "a.py", "token2wave", "h = divide_or_zero(", "h = np.divide(")
    refused(run("exercise", "--check", path), "dw is NaN at [0, 0] (token 0 of text 0, which has 1 token)")


BAD_FILES = {
    "absent": (None, "not found", "exercise NAME --output"),
    "a folder": ("folder", "cannot be read"),
    "bytes": (b"\xff\xfe", "is not UTF-8"),
    "null bytes": (b"a = '\0'", "is not Python"),
    "empty": (b"", "has no function forward"),
    "no backward": (b"def forward(x):\n    pass\n", "has no function backward"),
    "fails at once": (b"import numpy\n1 / 0\n", "line 2: ZeroDivisionError"),
}


@pytest.mark.parametrize("content, words", [(c, w) for c, *w in BAD_FILES.values()], ids=BAD_FILES)
def test_a_file_that_is_no_exercise(content, words, tmp_path, run):
    path = tmp_path / "a.py"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    refused(run("exercise", "linear", "--check", path), path, *words)


def test_a_changed_forward_is_refused(linear, run):
    refused(
        run("exercise", "--check", linear(RIGHT, "x @ weight + bias", "x @ weight - bias")),
        "forward no longer computes",
    )
    refused(run("exercise", "--check", linear(RIGHT, ", (x, weight)", "")), "forward must return (y, cache)")


def test_the_exercise_of_a_file_is_named_once(linear, run):
    refused(run("exercise", "modulation", "--check", linear(RIGHT)), "is the exercise linear, not modulation")
    nameless = linear(RIGHT, "Exercise linear", "My own linear")
    refused(run("exercise", "--check", nameless), "does not begin with 'Exercise'", "exercise NAME --check")
    assert run("exercise", "linear", "--check", nameless)[0] == 0


@pytest.mark.parametrize(
    "arguments", [["E6"], ["--hint"], ["--output", "a.py"], ["linear", "--hint", "--output", "a.py"], ["a", "b"]]
)
def test_usage_errors(arguments, run):
    code, out, err = run("exercise", *arguments)
    assert code == 2 and out == "" and err.startswith("Usage: ") and "Traceback" not in err


@pytest.mark.parametrize("arguments", [["--check"], ["linear", "--output"]])
def test_a_name_that_is_not_utf8(arguments, run):
    refused(run("exercise", *arguments, "b\udcffd.py"), "b\\udcffd.py", "is not UTF-8")


def test_help_fits_a_screen(run):
    code, out, _ = run("exercise", "--help")
    assert code == 0 and len(out.splitlines()) <= 25
