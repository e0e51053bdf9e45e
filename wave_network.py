"""The command `wave-network`, also `python -m wave_network`: the command line of train.py, wherever it is installed.

This module has a name of its own. The names engine, layers and train are common, and where Python finds another package
of such a name before ours, the command ends with one line that says so.
"""

import importlib.util
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent  # ours lie beside this file, however they were installed
NAMES = ("engine", "layers", "train")


def shadowed(*names: str) -> str | None:
    """Say in one line which of our packages and modules is hidden by another, by which, and what to do; None if none.

    names: those to look at. Nothing is imported.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is not None and HERE / name not in (found.parent, found.with_suffix("")):
            return (
                f"Python finds another `{name}`, {found}, before wave-network's; rename it, keep its folder off the "
                "path (start elsewhere, see PYTHONPATH), or give wave-network a virtual environment of its own"
            )
    return None


def prepare() -> None:
    """To be called before the imports: Ctrl-C ends them without a traceback; exit, with code 2, if ours are hidden."""
    if str(HERE) not in sys.path:  # an editable installation, behind folders of these names without modules
        sys.path.append(str(HERE))
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command begins
    if problem := shadowed(*NAMES):
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


def main() -> int:
    """Run the command line and return its exit code."""
    prepare()
    try:
        from train import main as run

        return run()  # it imports what the command needs
    except ImportError as error:
        ours = (error.name or "").partition(".")[0] in NAMES
        reason = f"files of wave-network in {HERE} are missing, or another package has replaced them"
        print(
            f"error: {error}; {reason if ours else 'a library is missing'}: "
            "install wave-network once more, in a virtual environment of its own",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
