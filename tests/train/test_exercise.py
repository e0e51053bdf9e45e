"""The command exercise: list, write, check; exit codes 0, 1 and 2; what cannot be checked is told in one line."""

import functools
import json
import re
import sys

import pytest

from layers.experiments.exercises.table import EXERCISES
from tests.support.exercise_equations import write_with_equation
from tests.train.test_bad_input import refused

HOLE = 'raise NotImplementedError("return dx, dweight, dbias")'
FORWARD = "return x @ weight + bias, (x, weight)"
RIGHT = "return dy @ weight.T, x.T @ dy, dy.sum(axis=0)"
OTHERS = "return dy @ weight.T, x.T @ dy, "


@pytest.fixture
def filled(tmp_path, run):
    """filled(name, body, old="", new=""): the path of an exercise with this body in its hole, and a text replaced."""

    def filled(name, body, old="", new=""):
        path = tmp_path / "mine.py"
        path.unlink(missing_ok=True)
        assert run("exercise", name, "--output", path)[0] == 0
        text, holes = re.subn(r"raise NotImplementedError\(.*\)", lambda _: body, path.read_text(encoding="utf-8"))
        assert holes == 1 and old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return filled


@pytest.fixture
def linear(filled):
    """linear(body, old="", new=""): the path of the exercise linear likewise."""
    return functools.partial(filled, "linear")


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


@pytest.mark.parametrize("end", ["", "\\n"])
def test_an_error_has_a_line_of_its_own(linear, run, end):
    """Whether or not the learner ended the line before it."""
    code, _, err = run("exercise", "--check", linear(f"print('here', end='{end}'); return None"))
    assert code == 2 and err.startswith("here\nerror: ") and err.count("\n") == 2


def test_a_wrong_entry_is_shown_with_its_token(tmp_path, run):
    old, new = "= dre[rows] +", "= dre[rows] * (np.diff(block) > 1).repeat(np.diff(block))[:, None] +"
    code, out, _ = run("exercise", "--check", write_with_equation(tmp_path / "a.py", "token2wave", old, new))
    assert code == 1 and "no mistake that is known here explains it" in out
    assert "(token 0 of text 0, which has 1 token): got 0, expected" in out
    assert "2 of 6 entries are wrong, those of texts of one token" in out


MAGNITUDES = """n = np.diff(offsets)
    da = a * np.repeat(dy * G_b / (G_a + (G_a == 0)), n, axis=0)
    db = b * np.repeat(dy * G_a / (G_b + (G_b == 0)), n, axis=0)
    return da, db"""
MAXIMUM = """dx = np.zeros_like(x)
    for t, (i, j) in enumerate(zip(offsets[:-1], offsets[1:])):
        if i < j:
            dx[i + x[i:j].argmax(axis=0), np.arange(x.shape[1])] = dy[t]
    return dx"""
TOKEN2WAVE = """h = dz.imag * (v > 0) / (v + (v == 0))
    dw = dz.real.copy()
    for i, j in zip(offsets[:-1], offsets[1:]):
        dw[i:j] += w[i:j] * (h[i:j].sum(axis=0) - h[i:j])
    return dw"""
PHASE = "rho = abs(cache) + (cache == 0); return 1j * dy * cache / rho**2"
CONVENTIONS = [
    # exercise, a right backward, where it has the convention, what stands there without it, and what is said then
    ("modulated_magnitude", MAGNITUDES, "(G_a + (G_a == 0))", "G_a", "da is NaN at [0, 1]"),
    ("modulated_magnitude", MAGNITUDES, "(G_b + (G_b == 0))", "G_b", "db is NaN at [0, 0]"),
    ("readout_magnitude", "return dy * z / (y + (y == 0))", "(y + (y == 0))", "y", "dz is NaN at [1, 0]"),
    ("readout_phase", PHASE, "+ (cache == 0)", "", "dz is NaN at [1, 0]"),
    (
        "token2wave",
        TOKEN2WAVE,
        "* (v > 0) / (v + (v == 0))",
        "/ v",
        "dw is NaN at [0, 0] (token 0 of text 0, which has 1",
    ),
    (
        "max_pooling",
        MAXIMUM,
        "dx[i + x[i:j].argmax(axis=0), np.arange(x.shape[1])] = dy[t]",
        "dx[i:j] = dy[t] * (x[i:j] == y[t])",
        "wrong only where two tokens have the largest entry",
    ),
]


@pytest.mark.parametrize("name, body, old, new, words", CONVENTIONS, ids=[words[:9] for *_, words in CONVENTIONS])
def test_a_convention_that_is_left_out(name, body, old, new, words, filled, run):
    assert old in body and run("exercise", "--check", filled(name, body))[0] == 0
    code, out, err = run("exercise", "--check", filled(name, body.replace(old, new)))
    assert words in out + err and code == (1 if "wrong" in words else 2)


SMALL_ERRORS = [  # exercise, a backward, where it has its error, and what is right there
    ("modulated_magnitude", MAGNITUDES.replace("(G_a + (G_a == 0))", "(G_a + 1e-8 + (G_a == 0))"), " + 1e-8", ""),
    ("linear", "return (dy.astype('f') @ weight.T.astype('f')).astype(float), x.T @ dy, dy.sum(0)", "'f'", "float"),
    (
        "layer_norm",
        "rstd = rstd * (1 + 1e-9); g = dy * gain; mean = lambda a: a.mean(axis=1, keepdims=True)\n"
        "    dx = rstd * (g - mean(g) - normalized * mean(g * normalized))\n"
        "    return dx, (dy * normalized).sum(axis=0), dy.sum(axis=0)",
        "1e-9",
        "0",
    ),
    ("readout_magnitude", "return dy * z / (y + 1e-10 * (y > 0) + (y == 0))", "1e-10", "0"),
]


@pytest.mark.parametrize("name, body, error, right", SMALL_ERRORS, ids=[name for name, *_ in SMALL_ERRORS])
def test_a_small_error_is_wrong(name, body, error, right, filled, run):
    """It is the gradient that is wrong, by some of its entries; there is no hidden state."""
    assert run("exercise", "--check", filled(name, body.replace(error, right)))[0] == 0
    code, out, _ = run("exercise", "--check", filled(name, body))
    assert code == 1 and "wrong  no mistake that is known" in out and "the cache" not in out
    assert "off by" in out and re.search(r"[1-9]\d* of \d+ entries are wrong", out)


def test_a_gradient_without_the_cotangent_is_told(filled, run):
    code, out, _ = run("exercise", "--check", filled("gelu", "return 1 + x"))
    assert code == 1 and "dx  wrong  does not depend on the cotangent" in out


HIDDEN = {  # exercise: its backward from what forward keeps elsewhere, what forward returns, and its statement
    "linear": ("x, weight = kept; " + RIGHT, FORWARD, "x, weight"),
    "embedding": ("d = 0 * table; np.add.at(d, kept, dy); return d", "return table[ids], (ids, table)", "ids"),
}


@pytest.mark.parametrize("name, body, old, kept", [(name, *rest) for name, rest in HIDDEN.items()], ids=HIDDEN)
def test_state_outside_of_the_cache_is_told(name, body, old, kept, filled, run):
    path = filled(name, body, old, f"global kept; kept = {kept}; {old}")
    code, out, _ = run("exercise", "--check", path)
    assert code == 1 and "wrong  " not in out and "keep all that backward needs in the cache" in out
    assert json.loads(run("exercise", "--check", path, "--json")[1])["hidden_state"]


def test_the_hint_names_the_derivation(linear, run):
    assert "layers/wave/token2wave.md, under 'E4.3 " in run("exercise", "token2wave", "--hint")[1]
    code, out, _ = run("exercise", "--check", linear(RIGHT), "--hint")
    assert code == 0 and "layers/standard/linear.md, under 'Derivation'" in out
    found = json.loads(run("exercise", "linear", "--hint", "--json")[1])
    derivation = {"chapter": "layers/standard/linear.md", "derivation": "Derivation"}
    assert found == {"exercise": "linear", **derivation}
    listed = next(row for row in json.loads(run("exercise", "--json")[1]) if row["name"] == "linear")
    checked = json.loads(run("exercise", "--check", linear(RIGHT), "--hint", "--json")[1])
    assert derivation.items() <= listed.items() and derivation.items() <= checked.items()


BAD_BODIES = {
    "an exception": ("return 1 / 0", "line 19: ZeroDivisionError: division by zero"),
    "a name": (OTHERS + "db", "line 19: NameError: name 'db' is not defined"),
    "shapes that do not fit": ("return x.T @ weight, 0, 0", "line 19: ValueError: matmul"),
    "a syntax error": ("return dy @ (weight", "line 19: is not Python ("),
    "an exit": ("raise SystemExit", "line 19: SystemExit"),
    "no usual exception": ("raise GeneratorExit", "line 19: GeneratorExit"),
    "an exception of its own": ("raise type('E', (BaseException,), {})", "line 19: E; mend this line"),
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
    "a list": (OTHERS + "dy.sum(axis=0).tolist()", "dbias is of type list, expected an array of shape (4,)"),
    "a ragged list": (OTHERS + "[[1], [2, 3]]", "dbias is of type list, expected an array of shape (4,)"),
    "a text": (OTHERS + "'a'", "dbias is of type str, expected an array of shape (4,)"),
    "a matrix": (OTHERS + "np.matrix(dy.sum(axis=0))", "dbias is of type matrix, expected an array of shape (4,)"),
    "objects": (OTHERS + "dy.sum(axis=0).astype(object)", "dbias has dtype object, expected float64"),
    "texts": (OTHERS + "dy.astype(str)", "U32, expected float64"),
    "float32": (OTHERS + "dy.sum(axis=0, dtype=np.float32)", "dbias has dtype float32, expected float64"),
    "NaN": (OTHERS + "dy[0] * np.nan", "dbias is NaN at [0]"),
    "infinity": (OTHERS + "dy[0] / 0", "dbias is infinite at [0]"),
    "no text": ("raise type('E', (Exception,), {'__str__': lambda e: None})()", "line 19: E; mend this line"),
    "no stderr": ("import sys; sys.stderr = None", "backward returned 1 gradient, expected 3"),
    "a write into dy": ("dy *= 2; " + RIGHT, "line 19: writes into an input, the cotangent or the cache"),
    "a write into an input": ("weight[:] = 0; " + RIGHT, "line 19: writes into an input, the cotangent or the cache"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
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


BAD_FILES = {
    "absent": (None, "not found", "exercise NAME --output"),
    "a folder": ("folder", "cannot be read"),
    "bytes": (b"\xff\xfe", "is not UTF-8"),
    "null bytes": (b"a = '\0'", "is not Python"),
    "empty": (b"", "has no function forward"),
    "no backward": (b"def forward(x):\n    pass\n", "has no function backward"),
    "fails at once": (b"import numpy\n1 / 0\n", "line 2: ZeroDivisionError"),
    "a long sum": (b"x = 1" + b" + 1" * 20_000, "is not Python", "mend the file"),
}


@pytest.mark.parametrize("content, words", [(c, w) for c, *w in BAD_FILES.values()], ids=BAD_FILES)
def test_a_file_that_is_no_exercise(content, words, tmp_path, run):
    path = tmp_path / "a.py"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    refused(run("exercise", "linear", "--check", path), path, *words)


PAIR, NO_EQUATION = "forward must return (y, cache)", "forward no longer computes the equation; restore it"
BAD_FORWARDS = {
    "another equation": ("return x @ weight - bias, (x, weight)", NO_EQUATION),
    "no cache": ("return x @ weight + bias", PAIR),
    "None": ("return None, (x, weight)", NO_EQUATION),
    "a text": ("return 'a', (x, weight)", NO_EQUATION),
    "a ragged list": ("return [[1], [2, 3]], (x, weight)", NO_EQUATION),
    "a list": ("return (x @ weight + bias).tolist(), (x, weight)", NO_EQUATION),
    "objects": ("return (x @ weight + bias).astype(object), (x, weight)", NO_EQUATION),
    "texts": ("return (x @ weight + bias).astype(str), (x, weight)", NO_EQUATION),
    "a matrix": ("return np.matrix(x @ weight + bias), (x, weight)", NO_EQUATION),
    "complex numbers": ("return x @ weight + bias + 0j, (x, weight)", NO_EQUATION),
    "None from the seventh call on": (f"seen.append(1)\n    if len(seen) < 7: {FORWARD}", PAIR),
    "objects from the seventh call on": (
        f"seen.append(1)\n    if len(seen) > 6: return (x @ weight + bias).astype(object), (x, weight)\n    {FORWARD}",
        NO_EQUATION,
    ),
    "another shape from the seventh call on": (
        f"seen.append(1)\n    if len(seen) > 6: x = x[1:]\n    {FORWARD}",
        NO_EQUATION,
    ),
    "a cache that holds itself": ("kept = [x, weight]; kept.append(kept); return x @ weight + bias, kept", "Recursion"),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("new, words", BAD_FORWARDS.values(), ids=BAD_FORWARDS)
def test_a_changed_forward_is_refused(new, words, linear, run):
    path = linear(RIGHT, FORWARD, new)
    path.write_text(path.read_text(encoding="utf-8") + "\n\nseen = []\n", encoding="utf-8")
    refused(run("exercise", "--check", path), path, words)


def test_a_forward_that_does_not_repeat_is_told(linear, run):
    """Results that differ by rounding alone pass as the equation; the line of the gradient checker has its subject."""
    path = linear(RIGHT, FORWARD, "seen.append(1); return (x @ weight + bias) * (1 + 1e-15 * len(seen)), (x, weight)")
    path.write_text(path.read_text(encoding="utf-8") + "\n\nseen = []\n", encoding="utf-8")
    code, out, _ = run("exercise", "--check", path)
    assert code == 1 and "\nforward: gives different results for the same inputs" in out and "the cache" not in out


def test_a_cache_that_backward_uses_up(filled, run):
    path = filled("gelu", "x, _ = cache.pop(), cache.pop(); return 1 + x", "    x, distribution = cache\n", "")
    path.write_text(
        path.read_text(encoding="utf-8").replace("(x, distribution)", "[distribution, x]"), encoding="utf-8"
    )
    code, out, _ = run("exercise", "--check", path)
    assert code == 1 and "does not depend on the cotangent" in out


def test_a_file_may_import_what_lies_beside_it(linear, run, tmp_path):
    """It is a module like any other, as dataclasses with quoted annotations need it to be, while it is checked."""
    (tmp_path / "beside_an_exercise.py").write_text("def total(x):\n    return x.sum(axis=0)\n", encoding="utf-8")
    kept = "\nimport dataclasses, beside_an_exercise\n\n@dataclasses.dataclass\nclass Kept:\n    x: 'float'\n"
    path = linear(OTHERS + "beside_an_exercise.total(dy)", "import numpy as np\n", f"import numpy as np\n{kept}")
    before = sys.path[:]
    assert run("exercise", "--check", path)[0] == 0
    assert sys.path == before and "exercise" not in sys.modules


def test_what_closes_the_output_and_what_interrupts(linear, run):
    code, out, _ = run("exercise", "--check", linear("import sys; sys.stdout.close(); " + RIGHT))
    assert code == 0 and "mine.py: right" in out
    assert not sys.stderr.closed and not sys.stdout.closed
    assert run("exercise", "--check", linear("raise KeyboardInterrupt"))[0] == 130


def test_commands_can_be_pasted_and_names_are_one_line(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(run("exercise", "--check", "a b.py"), "exercise NAME --output 'a b.py'")
    assert "exercise --check 'a b.py'" in run("exercise", "linear", "--output", "a b.py")[1]
    for name in ("a\n.py", "a.py\n"):
        refused(run("exercise", "linear", "--output", name), repr(name), "has a line break; choose another name")
        refused(run("exercise", "--check", name), repr(name), "has a line break; rename the file")


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
