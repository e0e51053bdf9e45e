"""AdamW step by step: its equation written out once more in plain float64, and random gradients."""

import numpy as np

from engine.layer import RowSparse
from engine.training.adamw import AdamW

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def reference(value, grads, rates, decay=0.0, beta1=BETA1, beta2=BETA2, epsilon=EPSILON):
    """The values after each step, with the equation of the docstring to the letter."""
    m, v, values = np.zeros_like(value), np.zeros_like(value), []
    for t, (g, rate) in enumerate(zip(grads, rates), start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        value = value - rate * (m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + epsilon) + decay * value)
        values.append(value)
    return values


def draw(shape, steps, seed=0):
    """A start, gradients and learning rates."""
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal(shape),
        rng.standard_normal((steps, *shape)) * 10.0 ** rng.integers(-4, 3, (steps, *shape)),
        rng.uniform(1e-3, 1e-1, steps),
    )


def train(parameter, grads, rates, **options):
    """The values after each step of an AdamW."""
    optimizer, values = AdamW({"p": parameter}, **options), []
    for grad, rate in zip(grads, rates):
        parameter.grad = grad
        optimizer.step(rate)
        values.append(parameter.value.copy())
    return values


def sparse_steps(rows_of_steps, row_count=6, seed=0):
    """A start, and for every step a RowSparse over some rows, its dense twin and a learning rate."""
    start, dense, rates = draw((row_count, 3), len(rows_of_steps), seed)
    grads = [RowSparse(np.array(rows, np.int64), g[rows]) for rows, g in zip(rows_of_steps, dense)]
    return start, grads, [grad.dense(row_count) for grad in grads], rates


ROWS = [[0, 1, 5], [1], [], [0, 1, 2], [5], [1, 2, 5], [0, 1], [1]]
