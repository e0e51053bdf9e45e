"""The learning rate over a run: linear warm-up, then linear decay.

    η(s) = η_max · s/W                                          for s ≤ W
    η(s) = η_max · (f + (1 − f)·(S − s + 1)/(S − W))            for W < s ≤ S

S steps in all, W of warm-up, f the share of the peak that the decay would reach one step after the last.
"""


def learning_rate(step: int, steps: int, peak: float, warmup: float = 0.0, final: float = 0.0) -> float:
    """η at `step` (from 1) of `steps`; warmup: share of all steps; final: f."""
    warmup_steps = round(warmup * steps)
    if step <= warmup_steps:
        return peak * step / warmup_steps
    return peak * (final + (1 - final) * (steps - step + 1) / (steps - warmup_steps))
