"""The commands of the experiments, each imported when it runs."""

from engine.cli import LazyCommand

PLACES = {  # by name: where the command stands, and its short help
    "gradcheck": ("commands:gradcheck", "Check every equation against numerical derivatives."),
    "precision": ("commands:precision", "Show the digits that float32 keeps where one token dominates."),
    "trace": ("trace.command:trace", "Walk a text through a network and back, every gradient checked."),
    "explore": ("explore.command:explore", "See a gradient move: a live page for one text."),
    "exercise": ("exercises.command:exercise", "Write a backward pass yourself and have it checked."),
    "study": ("study.command:study", "Train waves and a Transformer side by side, and compare."),
    "reproduce": ("reproduction.command:reproduce", "Repeat the experiments of the paper, beside its figures."),
    "benchmark": ("benchmark.command:benchmark", "Measure the speed, beside PyTorch, fastText and linear models."),
    "complexity": ("commands:complexity", "Count and measure what models cost as texts get longer."),
}
EXPERIMENTS = [LazyCommand(name, f"layers.experiments.{place}", help) for name, (place, help) in PLACES.items()]
