"""The machinery of the mutation run, on a tree of one small file. The run itself takes minutes, by hand."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.support.errors import UserError
from tests.support.paths import ROOT

needs_mutmut = pytest.mark.skipif(
    importlib.util.find_spec("mutmut") is None or not hasattr(os, "fork"),
    reason="mutmut is not installed (pip install -e '.[mutation]'), or cannot run here since it needs fork",
)

LAYER = '''
def scale_forward(x, factor):
    return factor * x, factor


def scale_backward(dy, factor):
    """dy·factor, by way of a helper. This text is not mutated."""
    copied = dy.copy(order="C")
    return times(copied, factor)


def times(a, b):
    return a * b


def forward_only(x):
    return x + 1
'''
TESTS = """
import numpy as np
from layers.wave.scale import scale_backward


def test_gradient():
    assert scale_backward(np.ones(2), 3.0).tolist() == [{}, {}]
"""
EQUIVALENT = """
[[mutant]]
file = "layers/wave/scale.py"
function = "scale_backward"
original = 'copied = dy.copy(order="C")'
mutated = ['copied = dy.copy(order="c")', 'copied = dy.copy(order="{}")', "copied = dy.copy(order=None)"]
proof = "The order of the entries in memory changes no number."
"""


@pytest.fixture(scope="module")
def run():
    """run.py as a module."""
    spec = importlib.util.spec_from_file_location("mutation_run", Path(__file__).with_name("run.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def small_tree(path, expected=3.0, equivalent=EQUIVALENT, tests=TESTS):
    """A tree with one backward, its helper and one test of them."""
    texts = {
        "layers/wave/scale.py": LAYER,
        "tests/layers/test_scale.py": tests.format(expected, expected),
        "tests/mutation/equivalent.toml": equivalent,
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--import-mode=importlib"\n',
    }
    for name, text in texts.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    return path


def files_of(tree):
    return {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def mutation_run(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "tests/mutation/run.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@needs_mutmut
def test_an_unexplained_survivor_fails_the_run(tmp_path):
    """Mutants of a gradient that is tested are killed."""
    tree = small_tree(tmp_path)
    before = files_of(tree)
    done = mutation_run("--tree", tree, "--json")
    result = json.loads(done.stdout)
    survivors = {survivor["diff"]: survivor for survivor in result["survivors"]}
    text = '- copied = dy.copy(order="C")\n+ copied = dy.copy({})'
    assert (
        survivors[text.format("order=None")]["outcome"]
        == survivors[text.format('order="c"')]["outcome"]
        == "equivalent"
    )
    assert text.format('order="XXCXX"') not in survivors, "NumPy refuses that order: killed"
    assert (
        "- return a * b\n+ return a / b" not in survivors and result["functions"] == 2 and not result["without_mutants"]
    )
    assert [complaint.partition(":")[0] for complaint in result["entries_out_of_date"]] == [
        "matches no mutant any more"
    ]
    assert result["mutants"] == result["killed"] + result["equivalent"] + result["survived"] and result["killed"] >= 4
    assert done.returncode == 1 and not result["ok"]
    assert (
        survivors[text.format("order=None")]["line"] == 8
        and "no number" in survivors[text.format("order=None")]["proof"]
    )
    assert files_of(tree) == before, "the tree itself is left alone"


@needs_mutmut
def test_a_run_whose_survivors_are_explained_succeeds(tmp_path):
    """It prints a table and the score."""
    tree = small_tree(tmp_path, equivalent="")
    done = mutation_run("--tree", tree, "*:times")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].split() == ["file", "mutants", "killed", "survived", "equivalent", "seconds"]
    assert "Score 100 %" in done.stdout


@needs_mutmut
def test_tests_that_fail_before_any_mutation_are_told_apart(tmp_path):
    done = mutation_run("--tree", small_tree(tmp_path, expected=4.0))
    assert (
        done.returncode == 2 and "must pass before" in done.stderr and "assert [3.0, 3.0] == [4.0, 4.0]" in done.stderr
    )


@needs_mutmut
def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    done = mutation_run("--tree", small_tree(tmp_path), "*:nothing")
    assert done.returncode == 2 and done.stderr.startswith("Error: no function")


def test_only_the_backwards_and_their_helpers_are_chosen(run, tmp_path):
    assert [f.name for f in run.chosen_functions(small_tree(tmp_path), ())] == ["scale_backward", "times"]
    chosen = {f.key for f in run.chosen_functions(ROOT, ())}
    for key in (
        "wave.py:times_conjugate",
        "wave.py:divide_or_zero",
        "wave.py:in_scope",
        "token2wave.py:token2wave_backward",
    ):
        assert f"layers/wave/{key}" in chosen
    every = {f.key for f in run.functions_of(ROOT)}

    assert {key for key in every if key.endswith("backward")} <= chosen


def test_every_proof_belongs_to_a_line_that_exists(run):
    """Whether the mutant exists too is told by the run itself."""
    sources = {(f.file, f.name): f.source for f in run.functions_of(ROOT)}
    proofs = run.read_proofs(ROOT)
    assert proofs
    for file, function, original, mutated in proofs:
        assert original in sources[file, function] and mutated != original


NO_PROOF = EQUIVALENT.replace('"The order of the entries in memory changes no number."', '""')


@pytest.mark.parametrize(
    "equivalent", ["[[mutant]]\nfile = 'a.py'\n", EQUIVALENT.replace("proof =", "reason ="), NO_PROOF, 2 * EQUIVALENT]
)
def test_an_entry_without_a_proof_or_given_twice_is_refused(run, tmp_path, equivalent):
    with pytest.raises(UserError, match="equivalent.toml"):
        run.read_proofs(small_tree(tmp_path, equivalent=equivalent))


def test_a_proof_of_a_killed_mutant_is_a_contradiction(run, tmp_path):
    [backward, _] = run.chosen_functions(small_tree(tmp_path), ())
    mutant = run.Mutant(backward, "name", 8, "a", "b", "diff", "killed", 0.0)
    proofs = {mutant.key: "proof"}
    assert "not equivalent" in run.explain([mutant], proofs, [backward])[1][0]
    survivor = run.Mutant(backward, "name", 8, "a", "b", "diff", "survived", 0.0)
    assert run.explain([survivor], proofs, [backward])[0][0].outcome == "equivalent"
    assert run.entries_of_other_functions({("layers/wave/scale.py", "gone", "a", "b"): "proof"}, tmp_path)
