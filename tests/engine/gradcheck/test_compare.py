"""The comparison: its cases are what they say, our checker judges them right, and the command prints the table."""

import functools
import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from engine.gradcheck.compare import CASES
from engine.gradcheck.compare.__main__ import main
from engine.gradcheck.compare.contestants import CONTESTANTS, Verdict
from engine.gradcheck.compare.flat import Flat
from tests.support.paths import ROOT
from tests.support.slow_derivatives import Slow

NAMES = {case.name: case for case in CASES}
HOLES = {
    # Entries 21 decades apart in one array: the detection limit in the report says what was not seen.
    "columns of 1e-12, 1 and 1e9: small column zero",
    # A right gradient of a forward that writes into its input: a note says so, and check_properties fails.
    "log-sum-exp: shift in place",
}
# Of 100,000 entries, seconds each. The right case and one wrong one are in the default run.
SLOW = sorted(
    name for name in NAMES if "100,000" in name and ("factor" in name or "zero" in name or "squares:" in name)
)


def test_there_are_enough_cases():
    counts = Counter(case.right for case in CASES)
    assert counts[True] >= 65 and counts[False] >= 65 and len(NAMES) == len(CASES)
    assert all(case.reason and "\n" not in case.reason for case in CASES)


# Functions that compute in float32 inside have the derivative of the same function without it.
WITHOUT_SINGLE = {
    "float32 inside: tanh": lambda x: (np.tanh(x), None),
    "float32 inside: matrix product": lambda a, b: (a @ b, None),
    "float32 inside: loss, Python float": lambda x: (np.mean(x * x), None),
    "float32 inside: one input of two": lambda x, w: (np.exp(x) * np.sin(w), None),
}
ENTRIES = 40  # looked at in each array, of large ones a sample that holds those which a case makes wrong
OF_LARGE = [0, 777, 54_321, 99_999, 1234]


def chosen_indices(x):
    flat = range(x.size) if x.size <= ENTRIES else OF_LARGE
    return [np.unravel_index(i, x.shape) for i in flat]


def single_precision(case):
    return any(x.dtype.itemsize < 8 for x in Flat(case).arrays) or case.name.startswith("float32 inside")


@functools.cache
def numeric_derivatives(forward, inputs):
    """(dy, [[(Derivative, index, unit)] for each array]); cached, for the cases of one function share it."""
    slow = Slow(forward, inputs())
    rng = np.random.default_rng(3)
    drawn = [(y, rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape)) for y in map(np.asarray, slow.outputs())]
    dy = [d if y.dtype.kind == "c" else d.real for y, d in drawn]
    return dy, [
        [
            (slow.derivative(dy, block, index, unit), index, unit)
            for index in chosen_indices(x)
            for unit in ((1.0, 1j) if x.dtype.kind == "c" else (1.0,))
        ]
        for block, x in enumerate(slow.blocks)
    ]


def compare_entries(case):
    """(largest error of a gradient in units of its allowance, whether an entry is surely wrong) for dy and −dy."""
    forward = WITHOUT_SINGLE.get(":".join(case.name.split(":")[:2]), case.make()[0])
    dy, blocks = numeric_derivatives(forward, case.inputs)
    relative = 1e-5 if single_precision(case) else 1e-9
    worst, surely_wrong = 0.0, False
    for sign in (1, -1):
        flat = Flat(case)
        outputs, cache = flat.forward(flat.arrays)
        gradients = flat.backward([np.asarray(sign * d, y.dtype) for d, y in zip(dy, outputs)], cache)
        for found, gradient in zip(blocks, gradients):
            largest = max((abs(d.value) for d, _, _ in found), default=0.0)
            for d, index, unit in found:
                value = sign * float(gradient[index].real if unit == 1.0 else gradient[index].imag)
                if d.low < d.high:
                    slack = 1e-6 * (d.high - d.low)
                    off = max(d.low - value, value - d.high) - slack
                    worst, surely_wrong = max(worst, 1.0 + off / slack), surely_wrong or off > 0.0
                    continue
                off = abs(value - d.value)
                worst = max(worst, off / (relative * largest + 10 * d.error + 1e-14 * max(1.0, largest)))
                surely_wrong = surely_wrong or off > 10 * (relative * max(abs(value), abs(d.value)) + d.error)
    return worst, surely_wrong


def breaks_the_contract(case):
    """Whether forward or backward changes what it must not, or needs what is not in its cache."""
    flat = Flat(case)
    before = [x.copy() for x in flat.arrays]
    outputs, cache = flat.forward(flat.arrays)
    kept = [y.copy() for y in outputs]
    if any(not np.array_equal(a, b) for a, b in zip(before, flat.arrays)):
        return True
    dy = [np.full(y.shape, 0.7, y.dtype) for y in outputs]
    first = [g.copy() for g in flat.backward(dy, cache)]
    second = [g.copy() for g in flat.backward(dy, cache)]
    flat.forward([x + 0.1 for x in flat.arrays])
    moved = any(not np.array_equal(a, b) for a, b in zip(kept, outputs))
    third = flat.backward(dy, cache)
    again = flat.forward(flat.arrays)[0]
    pairs = [*zip(first, second), *zip(first, third), *zip(kept, again)]
    return moved or any(not np.array_equal(a, b) for a, b in pairs)


@pytest.mark.thorough
@pytest.mark.skipif(np.finfo(np.longdouble).eps > 1e-18, reason="np.longdouble has no more digits than float64 here")
@pytest.mark.parametrize("name", NAMES)
def test_the_label_is_true(name):
    """By extrapolated differences of single entries in extended precision, which share no code with the checker."""
    case = NAMES[name]
    if case.name == "sine: random numbers":
        assert breaks_the_contract(case) and not case.right
        return
    worst, surely_wrong = compare_entries(case)
    if case.right or case.contract:
        assert worst <= 1.0, f"off by {worst:.3g} times what is allowed"
    else:
        assert surely_wrong, f"nowhere surely wrong, off by {worst:.3g} times what is allowed"


def test_contracts_are_broken_where_they_should_be():
    """And nowhere else, but for the layer with a state that check_gradients is told of."""
    broken = {case.name for case in CASES if breaks_the_contract(case)}
    assert {case.name for case in CASES if case.contract} <= broken
    own_state = {"layer with a state", "layer with a state: used twice", "square in place: cache overwritten"}
    assert broken - {case.name for case in CASES if case.contract} == own_state


# --- our own checker -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def misjudged():
    """Names of the cases, but for the slow ones, of which our checker does not say what they are."""
    return {case.name for case in CASES if case.name not in SLOW and not is_judged_right(case)}


def is_judged_right(case):
    return CONTESTANTS["gradcheck"].judge(case).answer == ("ok" if case.right else "not ok")


def test_our_checker_judges_every_case_right(misjudged):
    assert misjudged - HOLES == set()


def test_no_hole_is_listed_in_vain(misjudged):
    """A hole that is mended must be taken from the list."""
    assert HOLES - misjudged == set()


@pytest.mark.thorough
@pytest.mark.parametrize("name", SLOW)
def test_our_checker_judges_slow_cases_right(name):
    assert is_judged_right(NAMES[name])


# --- the others and the command --------------------------------------------------------------------------------------

EASY = {
    "matrix product": "ok",
    "matrix product: transposed": "not ok",
    "two outputs": "ok",
    "two outputs: swapped": "not ok",
}


@pytest.mark.parametrize("checker", CONTESTANTS)
def test_every_checker_judges_easy_cases_right(checker):
    """A checker that is called in the wrong way would not."""
    if not CONTESTANTS[checker].is_installed:
        pytest.skip(f"{CONTESTANTS[checker].library} is not installed")
    assert {name: CONTESTANTS[checker].judge(NAMES[name]).answer for name in EASY} == EASY


@pytest.mark.parametrize("checker", ["torch", "jax"])
def test_complex_gradients_are_handed_over_in_their_convention(checker):
    if not CONTESTANTS[checker].is_installed:
        pytest.skip(f"{CONTESTANTS[checker].library} is not installed")
    names = ["complex product", "complex product: conjugate missing", "modulus", "modulus: conjugated"]
    found = [CONTESTANTS[checker].judge(NAMES[name]).answer for name in names]
    assert found == ["ok", "not ok", "ok", "not ok"]


def test_exception_of_a_checker_is_a_refusal(monkeypatch):
    def broken(case):
        raise RuntimeError("first\nsecond")

    monkeypatch.setitem(CONTESTANTS, "chainer", CONTESTANTS["chainer"]._replace(check=broken))
    assert CONTESTANTS["chainer"].judge(NAMES["tanh"]) == Verdict("refused", "RuntimeError: first")


def test_the_table_counts_false_verdicts(capsys, monkeypatch):
    """One right and two wrong cases, by checkers that pass, fail or refuse all, and one that is not installed."""
    fakes = {"chainer": "ok", "cs231n": "not ok", "scipy": "refused"}
    for name, answer in fakes.items():
        fake = CONTESTANTS[name]._replace(check=lambda case, answer=answer: Verdict(answer), library=None)
        monkeypatch.setitem(CONTESTANTS, name, fake)
    monkeypatch.setitem(CONTESTANTS, "jax", CONTESTANTS["jax"]._replace(library="no_such_library"))
    assert main(["--only", "^tanh$|^tanh: (sign|factor 2)$", "--checkers", "chainer,cs231n,scipy,jax"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:-1] for line in lines[1:4]] == [
        ["chainer", "1", "0", "2", "2", "0"],
        ["cs231n", "1", "1", "2", "0", "0"],
        ["scipy", "1", "0", "2", "0", "3"],
    ]
    assert lines[4] == ["jax", "not", "installed"]


def test_list_shows_every_verdict_with_its_reason(capsys):
    assert main(["--list", "--only", "^tanh: sign", "--checkers", "gradcheck,chainer"]) == 0
    header, line, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["case", "is", "gradcheck", "chainer", "reason"]
    assert line.split("  ")[0] == "tanh: sign" and line.count("not ok") == 2
    assert line.endswith(NAMES["tanh: sign"].reason)


def test_json_holds_counts_and_verdicts(capsys):
    assert main(["--json", "--only", "^tanh", "--checkers", "chainer"]) == 0
    found = json.loads(capsys.readouterr().out)
    verdicts = {case["name"]: case["verdicts"]["chainer"]["answer"] for case in found["cases"]}
    assert verdicts["tanh"] == "ok" and verdicts["tanh: sign"] == "not ok"
    wrong = [name for name in verdicts if not NAMES[name].right]
    counted = found["checkers"]["chainer"]
    assert counted["wrong"] == len(wrong)
    assert counted["false passes"] == sum(verdicts[name] == "ok" for name in wrong) > 0


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--only", "["], "--only: '[' is no regular expression"),
        (["--only", "nowhere"], "--only: no case has a name with 'nowhere'"),
        (["--checkers", "chainer,tensorflow"], "--checkers: there is no 'tensorflow', choose from gradcheck,torch"),
    ],
)
def test_bad_arguments_give_one_line_and_exit_code_2(arguments, text, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(text) and err.count("\n") == 1


@pytest.mark.parametrize("package", ["engine.gradcheck", "gradcheck"])
def test_the_command_runs_in_a_checkout_and_alone(package, tmp_path):
    """Alone: the folder of the package by itself, under the name of its own distribution."""
    if package == "gradcheck":
        shutil.copytree(ROOT / "engine" / "gradcheck", tmp_path / "gradcheck")
    command = [sys.executable, "-m", f"{package}.compare", "--only", "^tanh$", "--checkers", "gradcheck,chainer"]
    where = tmp_path if package == "gradcheck" else ROOT
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:3] for line in done.stdout.splitlines()[1:]] == [
        ["gradcheck", "1", "0"],
        ["chainer", "1", "0"],
    ]
