"""The commands that need no equation: train.py hands in the networks."""

import click

from engine.commands.inspect import corpora_command, describe_command, doctor_command, report_command
from engine.commands.options import Project
from engine.commands.sweep import accuracy_command, sweep_command, sweep_job_command
from engine.commands.train import evaluate_command, predict_command, train_command


def commands(project: Project) -> list[click.Command]:
    """All commands of the engine for the networks of a Project."""
    return [
        train_command(project),
        evaluate_command(project),
        predict_command(project),
        describe_command(project),
        accuracy_command(project),
        sweep_command(project),
        sweep_job_command(project),
        report_command(project),
        corpora_command(),
        doctor_command(project),
    ]
