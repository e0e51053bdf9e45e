"""How large the gradient is at the places where the second paper looks: [CLS], all input tokens, the classifier."""

import math

from engine.backend import array_module
from engine.layer import RowSparse, squared_norm


def gradient_norms(parameters, first):
    """L2 norms of the gradients that the last backward pass has left in a network's parameters (dict[str, Parameter]), as floats.

    gradient_cls: of row `first` of "embedding.table", the embedding of [CLS], with which every text begins. gradient_input: of
    all rows of that table, the embeddings of all tokens of the batch, each with the sum over where it stands. gradient_classifier:
    of "classifier.weight". float32 is summed in float64. A parameter without a gradient has 0.
    """
    table, classifier = parameters["embedding.table"], parameters["classifier.weight"]
    return {
        "gradient_cls": norm(row_of(table.grad, first)),
        "gradient_input": norm(table.grad_array()),
        "gradient_classifier": norm(classifier.grad_array()),
    }


def row_of(grad, row):
    """The gradient of one row of a table, None where it has none."""
    if not isinstance(grad, RowSparse):
        return None if grad is None else grad[row : row + 1]
    found = array_module(grad.rows).flatnonzero(grad.rows == row)
    return grad.values[found] if len(found) else None


def norm(x):
    return 0.0 if x is None else math.sqrt(float(squared_norm(x)))
