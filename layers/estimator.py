"""WaveClassifier: the networks of this project as a classifier of scikit-learn (extra `sklearn`).

    from layers import WaveClassifier
    classifier = WaveClassifier(epochs=4, random_state=0).fit(texts, labels)
    classifier.predict(["profits rose in the third quarter"])

X is a sequence of N strings: a list, an array, or a column of a data frame. y is N labels of any type that NumPy sorts;
classes_ are sorted as NumPy does. It works in pipelines, with clone, pickle, cross_val_score and GridSearchCV, and
writes no file.

check_estimator of scikit-learn gives estimators arrays of numbers, so it skips one that takes texts.
tests/layers/test_estimator.py lets it check a subclass that writes numbers as words, and lists the checks that do not
apply, each with its reason.
"""

import inspect
from typing import Any

import numpy as np

from engine.data.config import DataConfig
from engine.data.texts import Corpus, LabelledTexts, shown
from engine.support.command import install_extra
from engine.support.errors import UserError
from engine.support.settings import Settings
from engine.training.class_factors import decide
from engine.training.class_weights import given_weights
from engine.training.config import TrainingConfig
from engine.training.run_settings import OF_TEXTS
from engine.types import Array, Floats2d
from layers.model import TextModel, make_settings
from layers.networks import CONFIGS

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d
except ImportError as error:
    raise ImportError(f"WaveClassifier needs scikit-learn ({error}); run {install_extra('sklearn')}") from None

# Fields that say where texts are read and what is written, and the seed, which is random_state here.
OTHERS = {*OF_TEXTS, "seed", "keep_optimizer", "checkpoint_seconds"}
PARTS: tuple[type[Settings], ...] = (DataConfig, *CONFIGS.values(), TrainingConfig)
FIELDS = tuple(dict.fromkeys(name for part in PARTS for name in part.fields() if name not in OTHERS))
LARGEST_SEED = 2**31 - 1


class WaveClassifier(ClassifierMixin, BaseEstimator):
    """A classifier of texts.

    preset: named set of fields, by default that of the model. random_state: seed of initial parameters, order, dropout
    and the validation split; None draws one from NumPy's global state. device: "cpu" or "cuda". verbose: 1 shows the
    progress. All other parameters are the settings that `python train.py describe --fields` explains; None is the value
    of the preset.

    After fit: classes_ (C,), model_ (a TextModel, whose save() writes a folder that `predict` opens), n_epochs_.
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        random_state: Any = None,
        device: str = "cpu",
        verbose: int = 0,
        **fields: Any,
    ) -> None:
        unknown = [name for name in fields if name not in FIELDS]
        if unknown:
            raise TypeError(f"WaveClassifier has no parameter {unknown[0]!r}")
        self.preset, self.random_state, self.device, self.verbose = preset, random_state, device, verbose
        for name in FIELDS:
            setattr(self, name, fields.get(name))

    def fit(self, X: Any, y: Any) -> "WaveClassifier":
        """Train on N texts X with labels y, (N,). A part of them (validation_fraction) chooses the best epoch.

        Raises ValueError for other input, fewer than two classes and bad settings.
        """
        texts, labels = self._texts(X), self._labels(y)
        check_consistent_length(texts, labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y: expected two classes at least, got one class, {shown(self.classes_.tolist()[0])}")
        given = {name: getattr(self, name) for name in FIELDS if getattr(self, name) is not None}
        given.update(self._weights_by_number())
        corpus = Corpus("texts of fit()", LabelledTexts(texts, [str(number) for number in numbers.tolist()], "X"))
        try:
            model = TextModel.build(corpus, make_settings(self.preset, seed=self._seed(), **given), self.device)
            model.train(hide_bar=not self.verbose)
        except UserError as error:
            raise ValueError(str(error)) from None
        names = [str(name) for name in self.classes_.tolist()]
        self.model_ = TextModel(model.run._replace(classes=names), None, self.device)
        self.model_.metrics = model.metrics
        self.n_epochs_ = model.metrics[-1]["epoch"]
        return self

    def predict_proba(self, X: Any) -> Floats2d:
        """(N, C) float64 class probabilities of N texts, the columns as in classes_."""
        check_is_fitted(self)
        p = self.model_.probabilities(self._texts(X))
        normalized: Floats2d = p / p.sum(axis=1, keepdims=True)  # float32 sums to 1 but for rounding
        return normalized

    def predict(self, X: Any) -> Array:
        """(N,): the class of each text, in the dtype of y: the most probable one, unless decision is "thresholds"."""
        best = decide(self.predict_proba(X), self.model_.run.factors)
        labels: Array = self.classes_[best]
        return labels

    def _texts(self, X: Any) -> list[str]:
        """The texts of X as a list. Raises ValueError where they are none."""
        if isinstance(X, (str, bytes)):
            raise ValueError("X: expected a sequence of texts, got one string; put it into a list")
        if getattr(X, "ndim", 1) != 1:
            raise ValueError(f"X: expected one column of texts, got shape {X.shape}; select a column")
        texts = list(X)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"X: expected strings, got {type(text).__name__} {shown(text)} at position {row}")
        if not texts:
            raise ValueError("X: expected a text at least, got none")
        return [str(text) for text in texts]  # of NumPy's strings plain ones

    def _labels(self, y: Any) -> Array:
        """y as a one-dimensional array. Raises ValueError where it holds no labels."""
        if y is None:
            raise ValueError("y: a classifier requires y to be passed, but the target y is None")
        labels: Array = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        return labels

    def _weights_by_number(self) -> dict[str, str]:
        """class_weight_values, if any, with the numbers of the classes, which are their names here, for the classes."""
        given = getattr(self, "class_weight_values", None)
        if not given or not isinstance(given, str):  # which settings refuse
            return {}
        try:
            names = [str(name) for name in self.classes_.tolist()]
            weights = given_weights(given, names)
        except UserError as error:
            raise ValueError(str(error)) from None
        return {
            "class_weight_values": ",".join(f"{number}={weight!r}" for number, weight in enumerate(weights.tolist()))
        }

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(LARGEST_SEED))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def signature() -> inspect.Signature:
    """The signature of WaveClassifier, with a parameter for each of FIELDS: what scikit-learn reads."""
    *first, _ = inspect.signature(WaveClassifier.__init__).parameters.values()
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in FIELDS]
    return inspect.Signature([*first, *more])


WaveClassifier.__init__.__signature__ = signature()  # type: ignore[attr-defined]
