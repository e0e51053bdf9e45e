"""The baselines learn what can be learned, count what they cannot know as wrong, and load nothing of this project."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from layers.experiments.benchmark import baselines
from tests.support.paths import ROOT

WORDS = {"money": "bank rate dollar", "sport": "ball goal team", "food": "bread salt soup"}


@pytest.fixture
def files(tmp_path):
    """(training, test) CSV files whose words tell the class; a tenth of the test texts has a class of its own."""
    rng = np.random.default_rng(0)
    paths = []
    for name, count, unknown in (("train", 150, 0), ("test", 90, 10)):
        rows = [("text", "label")]
        for label, words in list(WORDS.items()) * (count // 3):
            rows.append((" ".join([*rng.choice(words.split(), 3), *rng.choice(["the", "of", "a"], 4)]), label))
        rows += [("bank of the ball", "nothing")] * unknown
        paths.append(tmp_path / f"{name}.csv")
        with open(paths[-1], "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return tuple(map(str, paths))


@pytest.mark.parametrize("name", ["word_svm", "char_svm", "nb_svm"])
def test_linear_models_tell_classes_by_their_words(files, name):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[bench]'")
    assert baselines.BASELINES[name](*files, 1, 1) == 0.9


def test_fasttext_tells_classes_by_their_words(files):
    pytest.importorskip("fasttext", reason="fastText is not installed: pip install -e '.[bench]'")
    assert baselines.BASELINES["fasttext"](*files, 25, 1) == 0.9


def test_texts_in_the_form_of_fasttext(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"The bank, it\'s up\n2.5 %",a b\nNo,c\n', encoding="utf-8")
    numbers = {"c": 0}
    path = baselines.in_its_form(str(tmp_path / "a.csv"), tmp_path / "a.txt", numbers)
    expected = "the bank , it ' s up 2 . 5 % __label__1\nno __label__0\n"
    assert open(path, encoding="utf-8").read() == expected and numbers == {"c": 0, "a b": 1}


def test_a_baseline_is_a_program_of_its_own(files):
    """It prints its accuracy, and imports neither the engine nor the networks."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[bench]'")
    module = "layers.experiments.benchmark.baselines"
    code = (
        f"import runpy, sys; sys.argv = ['x', 'word_svm', *{files!r}]\n"
        f"runpy.run_module({module!r}, run_name='__main__')\n"
        "sys.exit(any(name.startswith(('engine', 'layers.networks')) for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"test_accuracy": 0.9}
