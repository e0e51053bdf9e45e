"""The global norm of a gradient, and clipping by it.

    ‖g‖ = sqrt(Σ over all parameters ‖g_p‖²)            g ← g · min(1, c/‖g‖)

Source: Pascanu et al., arXiv 1211.5063.
"""

import math

from engine.layer import squared_norm


def global_norm(parameters):
    """‖g‖ as a float, of dict[str, Parameter]; exact for RowSparse gradients, whose rows are unique and summed."""
    squares = [squared_norm(p.grad_array()) for p in parameters.values() if p.grad is not None]
    return math.sqrt(float(sum(squares))) if squares else 0.0


def clip_scale(norm, limit):
    """The factor min(1, limit/norm) for the optimizer; 1 where limit is 0 (no clipping)."""
    return min(1.0, limit / norm) if limit and norm else 1.0
