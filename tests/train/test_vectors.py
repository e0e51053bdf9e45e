"""Word vectors from the command line, in runs that start from another, in sweeps and in WaveClassifier."""

import numpy as np
import pytest

from engine.training.checkpoint import load_checkpoint
from tests.train.conftest import TOPICS


@pytest.fixture
def vectors(tmp_path):
    """A file of vectors of 8 numbers for half of the words of the tiny corpus."""
    words = [word for words in TOPICS.values() for word in words.split()[::2]]
    rng = np.random.default_rng(0)
    rows = (f"{word} {' '.join(f'{x:.3f}' for x in rng.standard_normal(8))}\n" for word in words)
    path = tmp_path / "glove.8d.txt"
    path.write_text("".join(rows))
    return path


def table_of(path, folder="best"):
    return load_checkpoint(path / "checkpoints" / folder, ("weights",))[1]["weights"]["embedding.table"]


def test_a_run_tells_its_coverage_and_its_file(run, arguments, vectors, tmp_path):
    """The dimension is that of the file; describe names the file of a run."""
    at = arguments.index("--dimension")
    code, out, err = run(*arguments[:at], *arguments[at + 2 :], "--vectors", vectors, "--output", tmp_path / "run")
    assert code == 0, err
    assert "vectors: 9 of " in out and " % of the tokens" in out
    assert table_of(tmp_path / "run").shape[1] == 8
    _, out, _ = run("describe", tmp_path / "run")
    assert str(vectors) in out


@pytest.mark.parametrize("options, words", [
    (["--dimension", "9"], ["8 numbers", "dimension 9", "dimension=8"]),
    (["--set", "freeze_vectors=true", "--vectors", ""], ["freeze_vectors", "--vectors FILE"]),
    (["--vectors", "absent.vec"], ["absent.vec", "no such file"]),
])  # fmt: skip
def test_vectors_that_do_not_fit_get_one_line(run, arguments, vectors, tmp_path, options, words):
    code, _, err = run(*arguments, "--vectors", vectors, *options, "--output", tmp_path / "run")
    assert code == 2 and len(err.strip().splitlines()) == 1
    assert all(word in err for word in words), err
    assert not (tmp_path / "run").exists()


def test_a_bad_row_leaves_no_run_directory(run, arguments, vectors, tmp_path):
    vectors.write_text(vectors.read_text().replace("team ", "team x"))
    code, _, err = run(*arguments, "--vectors", vectors, "--output", tmp_path / "run")
    assert code == 2 and err.strip().splitlines()[-1].startswith(f"error: {vectors}, line 2: 'x")
    assert not (tmp_path / "run").exists()


def test_a_run_that_starts_from_one_with_vectors(run, arguments, vectors, tmp_path):
    """It takes the weights, and needs no file; both at once are refused."""
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(*arguments, "--vectors", vectors, "--set", "freeze_vectors=true", "--output", first)[0] == 0
    code, _, err = run("--init-from", first, "--vectors", vectors, "--output", second)
    assert code == 2 and "vectors and --init-from" in err
    vectors.unlink()
    code, _, err = run("--init-from", first, "--output", second)
    assert code == 0, err
    assert not (second / "vectors.safetensors").exists()
    assert (table_of(first) != table_of(second)).any(axis=1).all()  # nothing is frozen any more


def test_a_sweep_over_files_and_freezing(run, sweep_file, files, vectors, tmp_path):
    """The name is relative to the sweep's file; each run has the dimension of its vectors."""
    path = sweep_file()
    text = path.read_text().partition("[grid.change]")[0].replace("dimension = 8\n", f'vectors = "{vectors.name}"\n')
    path.write_text(text + "[grid]\nfreeze_vectors = [true, false]\n")
    code, out, err = run("sweep", path, "--output", tmp_path / "sweep", "--jobs", "1")
    assert code == 0, err
    tables = [table_of(folder) for folder in sorted((tmp_path / "sweep" / "runs").iterdir())]
    assert len(tables) == 4 and all(table.shape[1] == 8 for table in tables)


def test_wave_classifier_takes_vectors(vectors):
    """A parameter like any other; ValueError names a file that cannot be read."""
    pytest.importorskip("sklearn")
    from layers import WaveClassifier

    texts = [words for words in TOPICS.values() for _ in range(12)]
    labels = [label for label in TOPICS for _ in range(12)]
    given = {"epochs": 2, "preset": "quick", "embedding_scale": 0.5, "random_state": 0, "hidden": 8}
    frozen, plain = (
        WaveClassifier(**given, vectors=str(vectors), freeze_vectors=freeze).fit(texts, labels)
        for freeze in (True, False)
    )
    table, other = (each.model_.network.embedding.table.value for each in (frozen, plain))
    row = frozen.model_.run.vocabulary.tokenizer.token_to_id("ball")
    expected = np.array(vectors.read_text().split()[1:9], float)
    cosine = table[row] @ expected / np.linalg.norm(table[row]) / np.linalg.norm(expected)
    assert table.shape[1] == 8 and cosine == pytest.approx(1, abs=1e-6) and (other[row] != table[row]).all()
    with pytest.raises(ValueError, match="absent.vec: no such file"):
        WaveClassifier(**given, vectors="absent.vec").fit(texts, labels)
