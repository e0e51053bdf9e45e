"""Functions with kinks, ties, jumps and flat parts, at and near them."""

import numpy as np

from ..arrays import Array, Backward, Forward
from .case import Result, family, normal, with_entry


def relu(x: Array) -> Result:
    return np.where(x > 0, x, 0.0), x


def dead_units(x: Array, w: Array, b: Array) -> Result:
    z = x @ w + b
    return np.where(z > 0, z, 0.0), (x, w, z)


def dead_units_backward(dy: Array, cache: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    x, w, z = cache
    dz = np.where(z > 0, dy, 0.0)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def dead_bias(dy: Array, cache: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
    dx, dw, _ = dead_units_backward(dy, cache)
    return dx, dw, dy.sum(axis=0)


def row_max(x: Array) -> Result:
    at = np.argmax(x, axis=1)
    return x[np.arange(len(x)), at], (x, at)


def row_max_backward(dy: Array, cache: tuple[Array, Array]) -> Array:
    x, at = cache
    dx = np.zeros_like(x)
    dx[np.arange(len(x)), at] = dy
    return dx


def sort(x: Array) -> Result:
    order = np.argsort(x)
    return x[order], order


def sort_backward(dy: Array, order: Array) -> Array:
    dx = np.zeros_like(dy)
    dx[order] = dy
    return dx


def median(x: Array) -> Result:
    order = np.argsort(x, axis=1)
    middle = order[:, x.shape[1] // 2]
    return x[np.arange(len(x)), middle], (x, middle)


def hinge(scores: Array, labels: Array) -> Result:
    """Return the mean over the rows of Σ_{c ≠ label} max(0, s_c − s_label + 1), a Python float."""
    margins = scores - scores[np.arange(len(scores)), labels][:, None] + 1
    margins[np.arange(len(scores)), labels] = 0
    return float(np.where(margins > 0, margins, 0.0).sum() / len(scores)), (margins, labels)


def hinge_backward(dy: float, cache: tuple[Array, Array], own: bool = True, mean: bool = True) -> Array:
    margins, labels = cache
    ds = (margins > 0).astype(np.float64)
    if own:
        ds[np.arange(len(ds)), labels] -= ds.sum(axis=1)
    return dy * ds / (len(ds) if mean else 1)


def huber(x: Array) -> Result:
    return np.where(np.abs(x) < 1, 0.5 * x * x, np.abs(x) - 0.5), x


def spline(x: Array) -> Result:
    """Return a cubic spline of three pieces, twice continuously differentiable at −1 and 1."""
    right = np.where(x > 1, x - 1, 0.0)
    left = np.where(x < -1, x + 1, 0.0)
    return 0.5 * x**3 - x + 0.25 * right**3 - 2 * left**3, (x, right, left)


def steep(height: float) -> Forward:
    """Return the forward of y = height·|x| + sin w, in which sin w nearly drowns."""
    return lambda x, w: (height * np.abs(x) + np.sin(w), (x, w))


def steep_backward(height: float, factor: float = 1.0) -> Backward:
    """Return its backward, the gradient of w multiplied by a factor."""
    return lambda dy, cache: (dy * height * np.sign(cache[0]), factor * dy * np.cos(cache[1]))


def steep_inputs() -> tuple[Array, Array]:
    return np.array([0.3, -1.2, 0.8]), np.array([0.4, 1.0, -0.7])


CASES = [
    *family(
        "relu at 0",
        relu,
        lambda: (np.array([0.0, 1.5, -0.7, 0.0, -2.0, 0.3]),),
        (lambda dy, x: dy * (x > 0), "two of six entries lie on the kink"),
        {
            "gradient everywhere": (lambda dy, x: dy, "the mask is forgotten"),
            "mask inverted": (lambda dy, x: dy * (x <= 0), "passes what it must stop"),
            "negative inputs only": (lambda dy, x: dy * np.where(x > 0, 1.0, 0.01), "of a leaky relu"),
        },
    ),
    *family(
        "relu near 0",
        relu,
        lambda: (np.array([1e-9, -1e-9, 2e-7, -3e-6, 1.0, -1.0]),),
        (lambda dy, x: dy * (x > 0), "usual steps cross the kink"),
        {"gradient near 0 missing": (lambda dy, x: dy * (x > 1e-3), "a threshold at 1e-3 in place of 0")},
    ),
    *family(
        "relu, tiny inputs only",
        relu,
        lambda: (np.array([1e-9, -2e-9, 3e-9, -1e-9]),),
        (lambda dy, x: dy * (x > 0), "every absolute step crosses the kink"),
        {"one half": (lambda dy, x: 0.5 * dy, "what a central difference across the kink shows")},
    ),
    *family(
        "absolute value",
        lambda x: (np.abs(x), x),
        lambda: (np.array([0.0, 1.1, -0.4, 2.5, -1e-8]),),
        (lambda dy, x: dy * np.sign(x), "a complex step through abs shows 0"),
        {
            "negative inputs only": (lambda dy, x: dy, "right for positive inputs"),
            "zero": (lambda dy, x: 0 * dy, "what a complex step through abs shows"),
        },
    ),
    *family(
        "x times |x|",
        lambda x: (x * np.abs(x), x),
        lambda: (normal(20, 6),),
        (lambda dy, x: 2 * dy * np.abs(x), "differentiable, but not analytic"),
        {"as by complex step": (lambda dy, x: dy * np.abs(x), "half; a complex step through abs agrees")},
    ),
    *family(
        "maximum of rows with ties",
        row_max,
        lambda: (with_entry(normal(21, 4, 5), (2, [0, 3]), lambda x: x + 9 - x),),
        (row_max_backward, "one row has two equal maxima; the first gets all"),
        {
            "to all entries": (
                lambda dy, cache: dy[:, None] * np.ones_like(cache[0]),
                "spread instead of routed",
            ),
            "to the last entry": (
                lambda dy, cache: with_entry(np.zeros_like(cache[0]), (slice(None), -1), lambda _: dy),
                "index forgotten",
            ),
        },
    ),
    *family(
        "sort",
        sort,
        lambda: (normal(22, 7),),
        (sort_backward, "a permutation that changes with the input"),
        {"permuted twice": (lambda dy, order: dy[order], "the permutation in place of its inverse")},
    ),
    *family(
        "median of rows",
        median,
        lambda: (normal(23, 4, 5),),
        (row_max_backward, "one entry a row has a gradient"),
        {"as of the mean": (lambda dy, c: dy[:, None] * np.full_like(c[0], 0.2), "spread over the row")},
    ),
    *family(
        "hinge loss, Python float",
        hinge,
        lambda: (with_entry(normal(24, 4, 3), (0, slice(None)), lambda _: [1.0, 2.0, 0.5]), np.array([1, 0, 2, 1])),
        (hinge_backward, "one margin is exactly 0"),
        {
            "own class missing": (lambda dy, c: hinge_backward(dy, c, own=False), "the subtracted score is forgotten"),
            "mean missing": (lambda dy, c: hinge_backward(dy, c, mean=False), "factor n"),
        },
    ),
    *family(
        "dead units",
        dead_units,
        lambda: (normal(25, 5, 3), normal(26, 3, 4), np.array([0.1, -50.0, 0.2, -80.0])),
        (dead_units_backward, "two units of four never answer: their gradient is exactly 0"),
        {"gradient of dead biases": (dead_bias, "the mask is missing in one of three gradients")},
    ),
    *family(
        "clip",
        lambda x: (np.where(x > 1, 1.0, np.where(x < -1, -1.0, x)), x),
        lambda: (np.array([0.2, 1.7, -0.9, -1.4, 0.999]),),
        (lambda dy, x: dy * (np.abs(x) < 1), "flat outside"),
        {"passes outside": (lambda dy, x: dy, "straight through where the function is constant")},
    ),
    *family(
        "round",
        lambda x: (np.round(x), x),
        lambda: (np.array([0.2, 1.7, -0.9, 3.3]),),
        (lambda dy, x: 0 * dy, "constant on every piece"),
        {"straight through": (lambda dy, x: dy, "the gradient of a constant is not zero")},
    ),
    *family(
        "huber",
        huber,
        lambda: (np.array([0.2, 1.7, -0.9, -2.4, 1.0]),),
        (lambda dy, x: dy * np.clip(x, -1, 1), "one entry where two polynomials meet"),
        {"linear part missing": (lambda dy, x: dy * np.where(np.abs(x) < 1, x, 0.0), "as if flat outside")},
    ),
    *family(
        "cubic spline",
        spline,
        lambda: (np.array([-2.0, -1.0, -0.3, 0.6, 1.0, 1.5]),),
        (
            lambda dy, c: dy * (1.5 * c[0] ** 2 - 1 + 0.75 * c[1] ** 2 - 6 * c[2] ** 2),
            "the third derivative jumps at two of the inputs",
        ),
        {
            "one piece wrong": (
                lambda dy, c: dy * (1.5 * c[0] ** 2 - 1 + 0.75 * c[1] ** 2 - 2 * c[2] ** 2),
                "a factor of the left piece is forgotten",
            ),
        },
    ),
    *family(
        "steep beside flat",
        steep(1e6),
        steep_inputs,
        (steep_backward(1e6), "1e6·|x| + sin w: the gradient of w is 1e-6 of the rest"),
        {"small gradient doubled": (steep_backward(1e6, 2.0), "1e-6 of the whole gradient")},
    ),
    *family(
        "very steep beside flat",
        steep(1e10),
        steep_inputs,
        None,
        {
            "small gradient zero": (steep_backward(1e10, 0.0), "1e10·|x| + sin w: 1e-10 of the whole gradient"),
            "small gradient doubled": (steep_backward(1e10, 2.0), "1e10·|x| + sin w: rounding of y must not excuse it"),
        },
    ),
    *family(
        "extremely steep beside flat",
        steep(1e14),
        steep_inputs,
        None,
        {"small gradient zero": (steep_backward(1e14, 0.0), "1e14·|x| + sin w: only steps near 1 move y at all")},
    ),
]
