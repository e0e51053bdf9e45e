"""The temperature: convexity, the minimum, and what it leaves as it is."""

import numpy as np
import pytest

from engine.training.calibration import LARGEST, derivatives, fit_temperature, logits_of, softmax, tempered
from engine.training.evaluation import evaluate_probabilities

SEVERAL = [False, True]


def drawn(seed, temperature, several, count=2000, classes=4):
    """(labels, probabilities): labels drawn by the probabilities at temperature 1, which are told at another."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.standard_normal((count, classes))
    if several:
        return rng.random(z.shape) < 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z / temperature))
    p = softmax(z)
    labels = (p.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1).clip(0, classes - 1)
    return labels, softmax(z / temperature)


def objective(labels, z, beta):
    """f(β), text by text."""
    several, total = labels.ndim == 2, (beta - 1) ** 2 / 2
    for wanted, row in zip(labels, z):
        if several:
            total += np.log1p(np.exp(np.where(wanted, -1, 1) * beta * row)).sum()
        else:
            total += np.log(np.exp(beta * row).sum()) - beta * row[wanted]
    return total / len(z)


@pytest.mark.parametrize("several", SEVERAL)
@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_the_derivatives_are_those_of_the_objective(several, beta):
    labels, p = drawn(0, 1.0, several, count=20)
    z, h = logits_of(p, several), 1e-4
    low, middle, high = (objective(labels, z, beta + step) for step in (-h, 0, h))
    slope, curvature = derivatives(labels, z, beta)
    assert slope == pytest.approx((high - low) / (2 * h), rel=1e-6, abs=1e-9)
    assert curvature == pytest.approx((high - 2 * middle + low) / h**2, rel=1e-4) and curvature > 0


@pytest.mark.parametrize("several", SEVERAL)
@pytest.mark.parametrize("told_at", [0.25, 1.0, 5.0])
def test_the_temperature_undoes_that_of_the_probabilities(several, told_at):
    labels, p = drawn(1, told_at, several)
    found = fit_temperature(labels, p)
    assert found == pytest.approx(1 / told_at, rel=0.07)
    assert abs(derivatives(labels, logits_of(p, several), 1 / found)[0]) < 1e-9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_label_keeps_its_class_and_gains_calibration(dtype):
    labels, p = drawn(2, 0.25, False)
    p, names = p.astype(dtype), list("abcd")
    after = tempered(p, fit_temperature(labels, p), False)
    assert (after.argmax(axis=1) == p.argmax(axis=1)).all()
    assert after.sum(axis=1) == pytest.approx(np.ones(len(p)))
    before, then = (evaluate_probabilities(labels, some, names) for some in (p, after))
    assert then.accuracy == before.accuracy and then.loss < before.loss
    assert then.calibration_error < before.calibration_error / 3


@pytest.mark.parametrize("several", SEVERAL)
@pytest.mark.parametrize("right, temperature", [(True, (0.05, 0.9)), (False, (LARGEST, LARGEST))])
def test_labels_that_are_all_right_or_all_wrong_have_an_end(several, right, temperature):
    """Certain probabilities of 0 and 1 among them."""
    labels = np.array([[True, False]] * 30) if several else np.zeros(30, int)
    p = np.array([[0.9, 0.1], [1.0, 0.0]] * 15)
    found = fit_temperature(labels, p if right else p[:, ::-1])
    assert temperature[0] * (1 - 1e-9) <= found <= temperature[1]
    assert np.isfinite(tempered(p, found, several)).all()


def test_without_texts_the_temperature_is_one():
    assert fit_temperature(np.zeros(0, int), np.zeros((0, 3))) == 1.0
