"""Points where slopes vanish, kinks meet, digits run out or a domain ends: right gradients pass, wrong ones do not."""

import numpy as np
import pytest

from engine.gradcheck import check_gradients, check_jacobian
from tests.support.known_gradients import complex_normal, normal, tanh

METHODS = ("auto", "five_point", "richardson")


def padded_network(x, w, v):
    z = x @ w
    hidden = np.where(z.real > 0, z, 0.0)
    return hidden @ v + 1.0, (x, w, v, hidden, z.real > 0)


def padded_network_backward(dy, cache):
    x, w, v, hidden, positive = cache
    dz = (dy @ v.T) * positive
    return dz @ w.T, x.T @ dz, hidden.T @ dy


def padded(seed):
    """A row of zeros: every entry of it lies on the kinks of all units at once."""
    x = normal(seed, 4, 3)
    x[-1] = 0.0
    return x, normal(seed + 1, 3, 5), normal(seed + 2, 5, 2)


def layer_norm(x):
    centred = x - x.mean(axis=-1, keepdims=True)
    r = 1.0 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
    return centred * r, (centred * r, r)


def layer_norm_backward(dy, cache):
    normed, r = cache
    mean = lambda array: array.mean(axis=-1, keepdims=True)  # noqa: E731
    return r * (dy - mean(dy) - normed * mean(dy * normed))


def mixed_angles(seed):
    z = complex_normal(seed, 6, 4)
    z[:, 0] *= 1e3
    return (z,)


def sort(x):
    order = np.argsort(x, kind="stable")
    return x[order], order


def sort_backward(dy, order):
    gradient = np.empty_like(dy)
    gradient[order] = dy
    return gradient


def guarded_logit(x):
    if np.any(x.real <= 0.0) or np.any(x.real >= 1.0):
        raise ValueError("outside of (0, 1)")
    return np.log(x / (1.0 - x)), x


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))), x


def product(x, w):
    return ((x @ w) ** 2).sum(), (x, w)


CASES = {
    "cube at 0": (lambda x: (x**3, x), lambda dy, x: 3.0 * dy * x * x, lambda seed: (np.zeros(3),)),
    "square of a product at 0": (
        product,
        lambda dy, c: (2.0 * dy * np.outer(c[0] @ c[1], c[1]), 2.0 * dy * c[0].T @ (c[0] @ c[1])),
        lambda seed: (normal(seed, 4, 3), np.zeros(3)),
    ),
    "ReLU of a padded row": (padded_network, padded_network_backward, padded),
    "sorted ties": (sort, sort_backward, lambda seed: (np.array([0.0, 0.0, 0.0, 1.0]),)),
    "angles of mixed size": (lambda z: (np.angle(z), z), lambda dy, z: dy * 1j * z / np.abs(z) ** 2, mixed_angles),
    "layer norm far from 0": (layer_norm, layer_norm_backward, lambda seed: (100.0 + 0.01 * normal(seed, 3, 6),)),
    "steep beside flat": (lambda x: (1.0 / x, x), lambda dy, x: -dy / x**2, lambda seed: (np.array([1e-5, 1.0]),)),
    "bend in the second derivative": (
        elu,
        lambda dy, x: dy * np.where(x > 0, 1.0, np.exp(np.minimum(x, 0.0))),
        lambda seed: (np.array([0.0, 1.0, -2.0]),),
    ),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_right_gradients_pass_where_it_is_hard(name, method):
    forward, backward, inputs = CASES[name]
    for seed in range(3):
        report = check_gradients(forward, backward, inputs(seed), method=method, seed=seed)
        assert not report.failures, f"seed {seed}: {report}"
        assert report.ok or report.kinks or report.unresolved, str(report)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", sorted(set(CASES) - {"cube at 0", "square of a product at 0", "sorted ties"}))
def test_wrong_gradients_do_not_pass_there(name, method):
    forward, backward, inputs = CASES[name]

    def wrong(dy, cache):
        found = backward(dy, cache)
        return (0.97 * found[0], *found[1:]) if isinstance(found, tuple) else 0.97 * found

    for seed in range(3):
        report = check_gradients(forward, wrong, inputs(seed), method=method, seed=seed)
        assert not report.ok, f"seed {seed}: {report}"


@pytest.mark.parametrize("method", ["auto", "five_point"])
def test_wide_steps_do_not_take_what_is_far_away_for_the_slope(method):
    """x − sin x is flat at 0, has hardly a digit there, and a slope of 1 far away."""
    forward = lambda x: (x - np.sin(x), x)  # noqa: E731
    right = check_gradients(forward, lambda dy, x: dy * (1.0 - np.cos(x)), (np.zeros(3),), method=method)
    assert not right.failures, str(right)
    assert check_gradients(forward, lambda dy, x: dy + 0.0 * x, (np.zeros(3),), method=method).failures


@pytest.mark.parametrize("method", ["auto", "five_point"])
def test_a_function_may_raise_outside_of_its_domain(method):
    backward = lambda dy, x: dy / (x * (1.0 - x))  # noqa: E731
    inputs = (np.array([0.99999, 0.4]),)
    assert check_gradients(guarded_logit, backward, inputs, method=method).ok
    assert check_gradients(guarded_logit, lambda dy, x: 0.97 * backward(dy, x), inputs, method=method).failures


def test_entries_are_judged_at_smaller_steps_as_rows_are():
    """At a bend in the second derivative the first step is off by more than the tolerance."""
    forward, backward, inputs = CASES["bend in the second derivative"]
    assert check_jacobian(forward, backward, inputs(0)).ok
    x = np.where(np.arange(12) % 2 == 0, 0.0, normal(0, 12))
    spoilt = lambda dy, x: backward(dy, x) * np.where(np.arange(12) == 5, 1.5, 1.0)  # noqa: E731
    report = check_gradients(forward, spoilt, (x,))
    (entry,) = {row.entry for row in report.failures if row.entry}
    assert entry.startswith("[5]: ") and "wrong" not in entry


def test_saturated_units_leave_the_others_checked():
    """Where tanh is 1 to the last digit, a backward that computes it again returns 0 for a slope of 1e-25."""
    backward = lambda dy, x: dy * (1.0 - np.tanh(x) ** 2)  # noqa: E731
    forward = lambda x: (tanh(x)[0], x)  # noqa: E731
    report = check_jacobian(forward, backward, (np.array([0.5, 30.0]),))
    assert report.ok and "noise at 1 of its entries" in str(report), str(report)


def test_a_backward_that_uses_up_its_cache_is_named():
    report = check_gradients(lambda x: (x * x, [2.0 * x]), lambda dy, cache: dy * cache.pop(), (normal(0, 3),))
    assert [row.name for row in report.failures] == ["backward"], str(report)
    assert "raises IndexError when called again" in str(report)
