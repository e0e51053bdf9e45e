"""`wave-network` and `python -m wave_network`: names in messages, completion, and packages that hide ours."""

import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

import train
from engine.support.command import command_name
from tests.support.paths import ROOT


def command(*words, cwd, path=ROOT):
    """A finished process of Python with these words, which finds modules in cwd, then in `path`."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run([sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "program, name",
    [(["-m", "wave_network"], "python -m wave_network"), ([str(ROOT / "train.py")], f"python {ROOT / 'train.py'}")],
)
def test_messages_name_the_command(tmp_path, program, name):
    done = command(*program, "evaluate", "none", cwd=tmp_path)
    made = "give a folder that {} has made, such as runs/…"
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.strip().endswith(made.format(name))
    done = command(*program, "evaluate", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"Usage: {name} evaluate [OPTIONS] RUN_DIR\n")


@pytest.mark.parametrize(
    "module, file",
    [
        ("wave_network", "engine/__init__.py"),
        ("wave_network", "layers/__init__.py"),
        ("wave_network", "layers.py"),
        ("wave_network", "train.py"),
        ("train", "engine/__init__.py"),
    ],
)
def test_a_package_that_hides_ours_is_named(tmp_path, module, file):
    """One line, and nothing of the other package is run."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("print('theirs')\n")
    done = command("-m", module, "corpora", cwd=tmp_path)
    name = file.partition("/")[0].removesuffix(".py")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: Python finds another `{name}`, {tmp_path / file}, before ")
    assert "rename it" in done.stderr and "PYTHONPATH" in done.stderr and "virtual environment" in done.stderr


def test_folders_of_these_names_hide_nothing(tmp_path):
    """Nor does another train.py, for a script in a folder of its own."""
    for name in ("engine", "layers", "train"):
        (tmp_path / name).mkdir()
    done = command("-m", "wave_network", "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "train.py").write_text("print('theirs')\n")
    done = command(str(ROOT / "train.py"), "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("wave-network, version ")


def test_replaced_files_are_named(tmp_path):
    """Another distribution has put its files over ours."""
    texts = {"wave_network.py": (ROOT / "wave_network.py").read_text(encoding="utf-8"), "layers/__init__.py": ""}
    texts |= {"train.py": "from engine import __version__\n", "engine/__init__.py": ""}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = command("-m", "wave_network", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "'__version__' from 'engine'" in done.stderr and "once more" in done.stderr
    (tmp_path / "train.py").write_text("import no_such_library\n")
    done = command("-m", "wave_network", cwd=tmp_path)
    assert done.returncode == 2 and "No module named 'no_such_library'; a library is missing: install" in done.stderr


def test_folders_hide_nothing_of_an_editable_installation(tmp_path):
    """Which finds our modules after all folders of the path, one without modules and of the same name among them."""
    (tmp_path / "train").mkdir()
    load = "spec = util.spec_from_file_location('wave_network', sys.argv[1]); module = util.module_from_spec(spec)"
    code = (
        f"import sys; from importlib import util; {load}; spec.loader.exec_module(module); sys.argv[1:] = ['--version']"
    )
    done = command("-c", f"{code}; sys.exit(module.main())", str(ROOT / "wave_network.py"), cwd=tmp_path, path="")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("wave-network, version ")


HEAVY = ("numpy", "tokenizers", "safetensors", "platformdirs", "tqdm", "threadpoolctl", "layers.networks", "starlette")


@pytest.mark.parametrize(
    "words, code, most",
    [
        (["--help"], 0, 170),
        (["--version"], 0, 170),
        (["predict", "--help"], 0, 175),
        (["predict", "none", "text"], 2, 190),
    ],
)
def test_little_is_imported_before_a_command_needs_it(tmp_path, words, code, most):
    """The start takes a third of the time of NumPy alone. most: modules, those of the bare interpreter included."""
    program = "import sys, train; code = train.main(sys.argv[1:]); print(*sys.modules, code, file=sys.stderr)"
    done = command("-c", program, *words, cwd=tmp_path)
    *modules, last = done.stderr.splitlines()[-1].split()
    assert last == str(code) and not set(HEAVY) & set(modules)
    assert len(modules) <= most


def test_commands_bear_the_names_of_the_list():
    """The list of commands is read without importing them; a hidden one has no short help there."""
    for name, command in train.cli.lazy.items():
        assert command.loaded.name == name and command.loaded.hidden == command.hidden, name
        assert command.hidden or command.short_help.endswith("."), name


def test_a_library_that_a_command_lacks_is_named(tmp_path):
    """The command's module is imported when it runs."""
    (tmp_path / "tokenizers.py").write_text("import no_such_library\n")
    done = command("-m", "wave_network", "train", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "No module named 'no_such_library'; a library is missing: install" in done.stderr


def test_another_train_is_not_named(tmp_path, monkeypatch):
    """A program of the user's that imports this project."""
    monkeypatch.setattr("sys.argv", [str(tmp_path / "train.py")])
    monkeypatch.delenv("_WAVE_COMMAND", raising=False)
    assert command_name() == "wave-network"


def test_characters_that_the_output_cannot_hold_are_numbers(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"}
    words = [sys.executable, "-m", "wave_network", "exercise"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"") and b"y = x\xb7\\u03a6(x)" in done.stdout


@pytest.mark.parametrize(
    "words, incomplete, offered, others",
    [
        ([], "", {"train", "evaluate", "gradcheck"}, {"--corpus", "sweep-job"}),
        ([], "--", {"--help", "--version", "--corpus"}, {"train"}),
        ([], "gr", {"gradcheck"}, {"train"}),
        (["--operation"], "", {"interference", "modulation"}, {"train", "--corpus"}),
        (["--epochs", "1"], "--op", {"--operation"}, {"--version"}),
        (["evaluate"], "--w", {"--with"}, {"--corpus"}),
    ],
)
def test_shells_complete_commands_and_options(words, incomplete, offered, others):
    """Options of training stand without a command too."""
    items = ShellComplete(train.cli, {}, "wave-network", "_WAVE_NETWORK_COMPLETE").get_completions(words, incomplete)
    values = [item.value for item in items]
    assert offered <= set(values) and not others & set(values) and len(values) == len(set(values))


def test_names_of_files_are_completed_as_files():
    """By the shell itself."""
    completed = ShellComplete(train.cli, {}, "wave-network", "_WAVE_NETWORK_COMPLETE").get_completions
    assert [item.type for item in completed(["--train-file"], "a")] == ["file"]


def test_the_completion_that_help_shows_is_that_of_the_command(run, monkeypatch):
    (shown,) = [line.strip() for line in run("--help")[1].splitlines() if "_COMPLETE=" in line]
    variable, value = shown.removeprefix('eval "$(').split()[0].split("=")
    monkeypatch.setattr("sys.argv", ["/bin/wave-network"])
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit):
        run()
