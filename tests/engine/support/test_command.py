"""Names of the program and its extras in messages."""

import pytest

from engine.support import command


@pytest.mark.parametrize(
    "typed, name",
    [
        (str(command.CHECKOUT / "train.py"), f"python {command.CHECKOUT / 'train.py'}"),
        ("/elsewhere/train.py", "wave-network"),
        ("/site/wave_network.py", "python -m wave_network"),
        ("/bin/wave-network", "wave-network"),
        ("C:/Scripts/wave-network.exe", "wave-network"),
        ("/bin/pytest", "wave-network"),
    ],
)
def test_messages_name_what_was_typed(monkeypatch, typed, name):
    monkeypatch.delenv(command.VARIABLE, raising=False)
    monkeypatch.setattr("sys.argv", [typed, "describe"])
    assert command.command_name() == name
    passed_on = command.child_environment(OTHER="1")
    assert passed_on[command.VARIABLE] == name and passed_on["OTHER"] == "1" and "PATH" in passed_on


def test_a_child_process_keeps_the_name(monkeypatch):
    """Its own program is another: train.py by its path."""
    monkeypatch.setenv(command.VARIABLE, "wave-network")
    monkeypatch.setattr("sys.argv", ["/site/train.py", "sweep-job"])
    assert command.command_name() == "wave-network"


def test_extras_are_installed_from_a_checkout_or_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "CHECKOUT", tmp_path)
    assert command.install_extra("plots") == "pip install 'wave-network[plots]'"
    (tmp_path / "pyproject.toml").touch()
    assert command.install_extra("plots") == "pip install -e '.[plots]'"
