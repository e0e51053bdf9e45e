"""The commands that need no equation: train.py hands in the networks."""

from engine.cli import LazyCommand
from engine.commands.options import Project

PLACES = {  # by name: where the command stands, or the function that makes it for a Project, and the short help
    "train": ("train:train_command", "Train a network and measure it (the default command)."),
    "evaluate": ("evaluate:evaluate_command", "Measure a trained network on labelled texts."),
    "predict": ("predict:predict_command", "Label texts with a trained network."),
    "serve": ("serve:serve_command", "Label texts on request, over HTTP, with a page to try it."),
    "export": ("export:export_command", "Write a network's weights into a folder that travels."),
    "hub": ("export:hub_command", "Push an exported network to the Hugging Face hub, or pull one."),
    "describe": ("inspect:describe_command", "Show a run's settings and results, or a network's parts."),
    "accuracy": ("sweep:accuracy_command", "Train corpora, operations and seeds; print a table."),
    "sweep": ("sweep:sweep_command", "Train the settings and seeds of a file; print a table."),
    "report": ("inspect:report_command", "Draw the curves of runs and what they confuse, as a page."),
    "corpora": ("inspect:corpora", "List the corpora by name, and which are cached."),
    "doctor": ("inspect:doctor_command", "Show what this machine offers, and what to install."),
    "sweep-job": ("sweep:sweep_job_command", None),  # hidden: a process that a sweep starts
}


def commands(project: Project) -> list[LazyCommand]:
    """All commands of the engine for the networks of a Project."""
    return [LazyCommand(name, f"{__name__}.{place}", help, project) for name, (place, help) in PLACES.items()]
