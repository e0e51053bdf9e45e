"""Validations whose figures a test chooses."""

from engine.training import trainer


def validate_as(monkeypatch, accuracies):
    """Let the validations of a training find these accuracies, one after another."""
    left, decide = iter(accuracies), trainer.evaluate_and_decide

    def chosen(*given):
        found, decision = decide(*given)
        return found._replace(accuracy=next(left)), decision

    monkeypatch.setattr(trainer, "evaluate_and_decide", chosen)
