"""WaveClassifier against scikit-learn: its own checks, and the tools around it."""

import inspect
import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[sklearn]'")

from sklearn.base import clone  # noqa: E402
from sklearn.exceptions import NotFittedError, SkipTestWarning  # noqa: E402
from sklearn.metrics import log_loss  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402
from sklearn.utils.validation import check_is_fitted, validate_data  # noqa: E402

from layers import TextModel, WaveClassifier  # noqa: E402
from layers.estimator import FIELDS  # noqa: E402
from tests.train.conftest import topic_texts  # noqa: E402

LABELS, TEXTS = map(list, zip(*topic_texts(60, 0)))
SMALL = {"dimension": 8, "epochs": 4, "learning_rate": 0.02, "batch_size": 8, "random_state": 0}

# Checks of scikit-learn that WaveClassifier does not pass, and why.
FAILING: dict[str, str] = {}
# Checks that scikit-learn itself skips here, and why. All others must pass.
SKIPPED = {
    "check_array_api_input": "asks for arrays of other libraries than NumPy; texts are no such arrays",
    "check_classifier_data_not_an_array": "asks for data frames; skipped where pandas is not installed",
}


class OfNumbers(WaveClassifier):
    """A WaveClassifier of the rows of a matrix, each written as a text: what check_estimator can test.

    The checks of shapes, of NaN and of the number of columns are passed by validate_data, all others by WaveClassifier.
    """

    def fit(self, X, y):
        X, y = validate_data(self, X, y)
        return super().fit(as_texts(X), y)

    def predict_proba(self, X):
        check_is_fitted(self)
        return super().predict_proba(as_texts(validate_data(self, X, reset=False)))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = False, True
        return tags


def as_texts(X):
    """A word for each column and half unit."""
    return [" ".join(f"c{j}v{int(2 * v)}" for j, v in enumerate(row)) for row in np.clip(X, -1e6, 1e6)]


@pytest.mark.slow
def test_it_passes_the_checks_of_scikit_learn():
    estimator = OfNumbers(dimension=8, epochs=4, learning_rate=0.04, batch_size=16, token_dropout=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_fail=None, expected_failed_checks=FAILING)
    by_status = {}
    for result in results:
        by_status.setdefault(result["status"], {})[result["check_name"]] = result["exception"]
    assert by_status.keys() <= {"passed", "skipped", "xfail"}, by_status.get("failed")
    assert by_status.get("xfail", {}).keys() == FAILING.keys()
    assert by_status.get("skipped", {}).keys() <= SKIPPED.keys()
    assert len(by_status["passed"]) > 40


def test_of_texts_scikit_learn_checks_hardly_anything():
    """It says so: hence the subclass."""
    with pytest.warns(SkipTestWarning, match="requires input"):
        results = check_estimator(WaveClassifier(), on_fail=None)
    assert len(results) < 5 and {result["status"] for result in results} <= {"passed"}


def test_parameters_are_the_fields_of_settings():
    names = ["preset", "random_state", "device", "verbose", *FIELDS]
    assert list(inspect.signature(WaveClassifier).parameters) == names
    assert WaveClassifier(heads=4).get_params() == {**WaveClassifier().get_params(), "heads": 4}
    assert repr(WaveClassifier(epochs=2)) == "WaveClassifier(epochs=2)"
    with pytest.raises(TypeError, match="no parameter 'seed'"):
        WaveClassifier(seed=1)


def test_fit_predict_and_score():
    classifier = WaveClassifier(**SMALL)
    with pytest.raises(NotFittedError):
        classifier.predict(TEXTS)
    assert classifier.fit(TEXTS, LABELS) is classifier
    p = classifier.predict_proba(TEXTS)
    assert p.shape == (60, 3) and np.abs(p.sum(axis=1) - 1).max() < 1e-12
    np.testing.assert_array_equal(classifier.predict(TEXTS), classifier.classes_[p.argmax(axis=1)])
    assert classifier.score(TEXTS, LABELS) > 0.9 and classifier.n_epochs_ == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_loss(LABELS, p)


@pytest.mark.parametrize(
    "names", [["10", "9", "-2"], [10, 9, -2], ["ä", "z", "A"]], ids=["digits", "integers", "words"]
)
def test_labels_sort_as_numpy_sorts(names):
    """Strings of digits too, which the command line sorts by value; predictions have the labels' type."""
    y = np.array([names[list(dict.fromkeys(LABELS)).index(label)] for label in LABELS])
    classifier = WaveClassifier(**SMALL).fit(TEXTS, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(y))
    assert classifier.predict(TEXTS).dtype == y.dtype and np.mean(classifier.predict(TEXTS) == y) > 0.9
    assert classifier.model_.classes == [str(name) for name in np.unique(y)]


@pytest.mark.parametrize("state", [7, np.random.RandomState(7), None])
def test_random_state_decides_the_weights(state):
    def fitted(state):
        return WaveClassifier(**{**SMALL, "random_state": state}).fit(TEXTS, LABELS).predict_proba(TEXTS)

    np.random.seed(3)
    first, second = fitted(state), fitted(state)
    assert np.array_equal(first, second) == (state == 7)
    np.random.seed(3)
    if state is None:
        np.testing.assert_array_equal(fitted(state), first)


def test_copies_and_pickles_predict_alike():
    classifier = WaveClassifier(**SMALL).fit(TEXTS, LABELS)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    refitted = clone(classifier).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(refitted.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


def test_a_fitted_classifier_is_saved_and_opened(tmp_path):
    classifier = WaveClassifier(**SMALL).fit(TEXTS, LABELS)
    classifier.model_.save(tmp_path / "saved")
    assert TextModel.open(tmp_path / "saved").predict(TEXTS) == classifier.predict(TEXTS).tolist()


def test_it_works_in_pipelines_and_searches():
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    steps = make_pipeline(upper, WaveClassifier(**SMALL))
    assert steps.fit(TEXTS, LABELS).score(TEXTS, LABELS) > 0.9
    assert cross_val_score(WaveClassifier(**SMALL), np.array(TEXTS), LABELS, cv=3).mean() > 0.7
    search = GridSearchCV(steps, {"waveclassifier__epochs": [1, 4]}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_ == {"waveclassifier__epochs": 4}


@pytest.mark.parametrize(
    "X, y, message",
    [
        ("one text", ["a"], "got one string; put it into a list"),
        ([], [], "a text at least, got none"),
        (["x", None], ["a", "b"], "expected strings, got NoneType None at position 1"),
        (np.array([["x"], ["y"]]), ["a", "b"], r"one column of texts, got shape \(2, 1\)"),
        (["x", "y"], None, "requires y to be passed, but the target y is None"),
        (["x", "y"], [0.25, 0.5], "Unknown label type"),
        (["x", "y"], ["a"], "inconsistent numbers of samples"),
        (["x", "y"], ["a", "a"], "two classes at least, got one class, 'a'"),
    ],
)
def test_wrong_input_is_named(X, y, message):
    with pytest.raises(ValueError, match=message):
        WaveClassifier(**SMALL).fit(X, y)


def test_bad_settings_are_named_when_fitted():
    for parameters, message in [
        ({"dimension": 0}, "dimension: expected a whole number from 1"),
        ({"norm_epsilon": 2}, "norm_epsilon: is a field of model transformer"),
        ({"class_weight_values": 1.5}, "class_weight_values: "),
        ({"device": "nothing"}, "device 'nothing' is unknown: use cpu, cuda or auto"),
        ({"preset": "nothing"}, "preset: expected one of quick, recommended"),
    ]:
        with pytest.raises(ValueError, match=message):
            WaveClassifier(**parameters).fit(TEXTS, LABELS)
