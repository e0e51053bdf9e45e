"""More epochs for a run that has finished, or is to have another number of them."""

from engine.support.errors import UserError
from engine.support.files import read_json
from engine.training.checkpoint import damaged, progress_of
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings

NEW_RUN = "and cannot be continued; start a new run from its weights: --init-from {}"


def prolonged(settings: RunSettings, directory: RunDirectory, epochs: int) -> RunSettings:
    """The settings of a run with another number of epochs in all. UserError where it cannot go on to them."""
    if not directory.has_checkpoint():
        raise UserError(f"--epochs {epochs}: {directory.path} holds no state to go on from; resume it without --epochs")
    state = read_json(directory.last / "state.json")
    with damaged(f"{directory.last / 'state.json'}: its progress"):
        trained, kept = progress_of(state["progress"]).epoch, "optimizer" in state["files"]
    if not kept:
        raise UserError(
            f"{directory.path}: was kept without the state of its optimizer, {NEW_RUN.format(directory.path)}"
        )
    if epochs <= trained:
        raise UserError(f"--epochs {epochs}: the run has trained {trained} already; give a larger number")
    return settings._replace(training=settings.training.replace(epochs=epochs, step_budget=0, many_classes_epochs=0))
