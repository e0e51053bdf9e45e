"""A study as three trainings might have recorded it."""

import numpy as np
import pytest

PACE = {"interference": 1.0, "modulation": 1.4, "transformer": 0.7}


def recorded_run(name, steps, waves):
    """Noisy curves that fall or rise, another for every name."""
    rng = np.random.default_rng(list(name.encode()))
    pace, x = PACE.get(name, 1.0), np.arange(1, steps + 1)
    fall = np.exp(-x * pace / 150) + 0.04 / (1 + x * pace / 600)
    gradient = {
        "gradient_cls": 10 ** (-2.5 * pace) * fall * np.exp(0.6 * rng.standard_normal(steps)),
        "gradient_input": 0.3 * pace * fall * np.exp(0.3 * rng.standard_normal(steps)),
        "gradient_classifier": 2.0 / pace * fall * np.exp(0.5 * rng.standard_normal(steps)),
    }
    at = sorted({0, steps // 4, steps // 2, steps})
    epochs = sorted({steps // 3, 2 * steps // 3, steps} - {0})
    return {
        "step": x.tolist(),
        "loss": (2.0 * fall * np.exp(0.4 * rng.standard_normal(steps))).tolist(),
        "accuracy": (rng.binomial(64, np.clip(1 - 0.8 * fall, 0, 1)) / 64).tolist(),
        **{place: norms.tolist() for place, norms in gradient.items()},
        "independence": [
            {
                "step": s,
                "mean_absolute_correlation": 0.01 + 0.05 * pace * s / steps,
                "effective_rank": 240 - 90 * pace * s / steps,
            }
            for s in at
        ],
        "waves": [{"step": s, **histograms(rng, s / steps)} for s in at] if waves else [],
        "validation": [{"step": s, "accuracy": 1 - 0.5 * fall[s - 1], "loss": 1.5 * fall[s - 1]} for s in epochs],
        "test_accuracy": 0.9 + 0.05 * pace,
        "parameters": int(2e6 * pace),
        "train_seconds": 12.5 * pace,
    }


BINS = {"phase": np.linspace(-np.pi, np.pi, 65).tolist(), "log10_magnitude": np.linspace(-8, 4, 65).tolist()}


def histograms(rng, progress):
    phases = np.pi / 2 + (0.1 + 0.7 * progress) * rng.standard_normal(5000)
    magnitudes = -2 + progress + 0.5 * rng.standard_normal(5000)
    return {
        "phase": np.histogram(phases, BINS["phase"])[0].tolist(),
        "log10_magnitude": np.histogram(magnitudes, BINS["log10_magnitude"])[0].tolist(),
    }


@pytest.fixture(scope="session")
def make_study():
    """(names of runs, steps) → the dict of study.json."""

    def make(names=tuple(PACE), steps=120):
        runs = {name: recorded_run(name, steps, waves=name != "transformer") for name in names}
        settings = {
            "data": "r8",
            "seed": 0,
            "training": {"learning_rate": 1e-3, "warmup": None},
            "networks": {"transformer": {"heads": 4}},
        }
        return {"settings": settings, "bins": BINS, "runs": runs}

    return make


@pytest.fixture(scope="session")
def make_matrices():
    """(names of runs, d) → run → correlations before and after."""

    def make(names=tuple(PACE), d=24):
        rng = np.random.default_rng(d)
        plain, shared = rng.standard_normal((400, d)), rng.standard_normal((400, 1)) * rng.standard_normal(d)
        return {
            name: tuple(
                np.atleast_2d(np.corrcoef(plain + mix * shared, rowvar=False)) for mix in (0, 0.3 * PACE.get(name, 1.0))
            )
            for name in names
        }

    return make


@pytest.fixture(scope="session")
def written(make_study, make_matrices, tmp_path_factory):
    """(study, matrices, {name of a file: path}) of three runs, with maps as large as they get."""
    pytest.importorskip("matplotlib")
    from layers.experiments.study.figures import write_figures

    study, matrices = make_study(steps=20), make_matrices(d=200)
    return study, matrices, write_figures(tmp_path_factory.mktemp("study"), study, matrices)
