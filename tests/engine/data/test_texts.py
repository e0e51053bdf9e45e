"""Labels and classes."""

import numpy as np
import pytest

from engine.data.texts import LabelledTexts, class_names, encode_labels, require_classes, shown
from engine.support.errors import UserError


def test_class_names_are_sorted_integers_by_value():
    """Class names are sorted and unique and integers sort by value."""
    assert class_names(LabelledTexts([""] * 4, ["b", "a", "b", "10"])) == ["10", "a", "b"]
    assert class_names(LabelledTexts([""] * 4, ["10", "9", "-1", "9"])) == ["-1", "9", "10"]


def test_labels_become_positions_among_the_classes():
    numbers = encode_labels(["b", "a", "b"], ["a", "b"], LabelledTexts([""] * 3))
    assert numbers.dtype == np.int64 and numbers.tolist() == [1, 0, 1]


def test_an_unknown_label_is_named_with_its_place():
    """An unknown label is named with file, line, value and remedy."""
    texts = LabelledTexts(["x", "y"], ["a", "c"], "test.csv", [2, 9])
    with pytest.raises(
        UserError, match=r"^test\.csv, line 9: label 'c' is not among the training classes 'a', 'b'; correct it"
    ):
        encode_labels(texts.labels, ["a", "b"], texts)
    with pytest.raises(UserError, match="^the texts, text 2: label 'c'"):
        encode_labels(texts.labels, ["a", "b"], LabelledTexts(texts.texts, texts.labels))


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_fewer_than_two_classes_are_refused(labels):
    with pytest.raises(UserError, match="^train.csv: .*at least two classes"):
        require_classes(class_names(LabelledTexts([""] * len(labels), labels)), "train.csv")
    require_classes(["a", "b"], "train.csv")


def test_values_are_shown_on_one_short_line():
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 60
