"""What is known of a model at one length of text, and what that says about longer ones."""

import statistics
from typing import NamedTuple


class Measurement(NamedTuple):
    """A model at one length of text.

    forward, backward, mixing: operations, the last those in which tokens see one another, both ways; state_bytes: parameters and
    the optimizer's arrays; kept_bytes: what the forward pass keeps for backward; peak_bytes: of the process ("cpu") or of its arrays
    on the device. seconds: of each timed update; mixing_seconds: of the mixing in one. why_not: why nothing was measured, else None;
    kept_bytes then follows from shorter lengths where it can. None for what is not known.
    """

    model: str
    texts: int
    length: int
    parameters: int
    forward: int
    backward: int
    mixing: int
    state_bytes: int | None = None
    kept_bytes: int | None = None
    peak_bytes: int | None = None
    seconds: list | None = None
    mixing_seconds: float | None = None
    why_not: str | None = None

    @property
    def operations(self):
        return self.forward + self.backward

    @property
    def update_seconds(self):
        """The median; None if nothing was measured."""
        return self.seconds and statistics.median(self.seconds)


def predicted_seconds(operations, measured, rate):
    """Seconds of an update of so many operations: those of the longest measured, and the rest at the rate between the two longest.

    measured: Measurements; rate: FLOP/s of a product, taken where there are no two, or where the rate between them is higher.
    """
    if not measured:
        return operations / rate
    last = measured[-1]
    for before in measured[-2:-1]:
        longer = last.update_seconds - before.update_seconds
        rate = min(rate, (last.operations - before.operations) / longer) if longer > 0 else rate
    return last.update_seconds + (operations - last.operations) / rate
