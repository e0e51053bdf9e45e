"""Bars of progress: on a terminal alone, unless they are asked for; tqdm is imported for them alone."""

import subprocess
import sys

import pytest

from engine.support.progress_bar import NoBar, progress_bar


@pytest.mark.parametrize(
    "hidden, is_terminal, shown",
    [
        (None, True, True),
        (None, False, False),
        (True, True, False),
        (False, False, True),
        (False, True, True),
    ],
)
def test_where_a_bar_is_shown(monkeypatch, capsys, hidden, is_terminal, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    with progress_bar(hidden, desc="texts", total=3) as bar:
        bar.update(2)
        bar.set_postfix_str("loss 1", refresh=False)
        bar.close()
    assert isinstance(bar, NoBar) != shown
    assert ("texts" in capsys.readouterr().err) == shown


def test_without_a_stream(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress_bar(), NoBar)


def test_tqdm_is_imported_for_a_bar_alone():
    code = "import engine.training.trainer, engine.data.prepare, sys; assert 'tqdm' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
