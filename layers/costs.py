"""Numbers of floating-point operations, counted from shapes by each layer's own function."""

from typing import NamedTuple


class Flops(NamedTuple):
    """Floating-point operations of a forward and of the backward pass that follows it; `+` adds part by part.

    A product's multiply and add are two operations, and a sum of n numbers counts n. Additions, subtractions, multiplications,
    divisions, comparisons, selections, signs, absolute values, square roots, exp, log, tanh, sin, cos and arctan2 count one each,
    whatever they cost. Copies, casts, gathers, sorting, the drawing of random numbers and work on integers count none, and neither
    do the few operations that there are once per batch. The optimizer is not included.

    Counted is what is computed in float32 on the CPU, as far as shapes tell: not what numbers decide, such as which texts need
    another body, or that rows to be summed by their ids happen to be in order.
    """

    forward: int
    backward: int

    def __add__(self, other):
        return Flops(self.forward + other.forward, self.backward + other.backward)
