"""One file, a pattern or several files, relative or not."""

import pytest

from engine.support.errors import UserError
from engine.support.paths import absolute, names_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("a.csv", "b.csv", "b,c.csv", "[x].csv"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("a.csv", ["a.csv"]),
        ("none.csv", ["none.csv"]),
        ("?.csv", ["a.csv", "b.csv"]),
        ("b.csv,a.csv,?.csv", ["b.csv", "a.csv"]),
        ("b,c.csv", ["b,c.csv"]),
        ("[x].csv", ["[x].csv"]),
        ("a.csv,none.csv", ["a.csv", "none.csv"]),
    ],
)
def test_names_and_their_absolute_form_name_the_same_files(folder, path, names):
    assert names_of(path) == names
    assert names_of(absolute(path)) == [str(folder / name) for name in names]
    assert absolute(path, folder) == absolute(path)


def test_a_pattern_without_a_file_is_refused(folder):
    with pytest.raises(UserError, match=r"^none-\*.csv: no file has a name like this; check the pattern$"):
        names_of("a.csv,none-*.csv")
