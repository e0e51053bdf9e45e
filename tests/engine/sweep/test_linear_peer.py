"""The linear peer: what it learns from, what it is measured on."""

import sys

import pytest

from engine.data.texts import Corpus, LabelledTexts
from engine.support.errors import UserError
from engine.sweep.baselines import LABEL, measure_linear, require_linear

TRAIN = LabelledTexts(
    ["red green", "green blue", "red blue", "one two", "two three", "one three", "blue red two"],
    list("aaabbbb"),
    "train.csv",
)


def test_without_scikit_learn_there_is_one_line_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(
        UserError, match=r"^--linear: needs scikit-learn[^\n]*pip install -e '\.\[bench\]', or leave --linear out$"
    ):
        require_linear("--linear")


class TestFitted:
    @pytest.fixture(autouse=True)
    def library(self):
        pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install -e '.[bench]'")

    def test_it_is_the_pipeline_that_its_name_says(self):
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.metrics import f1_score
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        # The first would get another label with counts as they are, the second without pairs of words.
        test = LabelledTexts(
            ["two two red green two blue", "blue red two green", "red red", "three", "one two"],
            list("babab"),
            "test.csv",
        )
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0)).fit(
            TRAIN.texts, TRAIN.labels
        )
        predicted = list(model.predict(test.texts))
        found = measure_linear(Corpus("files", TRAIN, test=test))
        assert found["test_accuracy"] == pytest.approx(sum(a == b for a, b in zip(predicted, test.labels)) / 5)
        assert 0 < found["test_macro_f1"] < 1 and found["test_macro_f1"] == pytest.approx(
            f1_score(test.labels, predicted, average="macro")
        )
        assert (
            found["validation_accuracy"] is None and found["train_seconds"] > 0 and found["peak_memory_bytes"] > 2**20
        )

    def test_without_test_texts_it_has_no_accuracy(self):
        found = measure_linear(Corpus("files", TRAIN))
        assert found["test_accuracy"] is None and found["test_macro_f1"] is None and found["train_seconds"] > 0

    def test_texts_without_words_are_named(self):
        empty = LabelledTexts(["a", "b"], ["x", "y"], "train.csv")
        with pytest.raises(UserError, match=f"^train.csv: {LABEL.replace('+', '.')} cannot learn"):
            measure_linear(Corpus("files", empty))

    def test_a_label_that_was_not_learned_is_named(self):
        with pytest.raises(UserError, match="test.csv, text 1: label 'c'"):
            measure_linear(Corpus("files", TRAIN, test=LabelledTexts(["red"], ["c"], "test.csv")))

    @pytest.mark.parametrize("classes", [3, 1])
    def test_of_several_labels_each_class_has_a_model_of_its_own(self, classes):
        """Against one SVM after the other."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        names = ["a", "b", "c"][:classes]
        sets = [[name for name in chosen if name in names] for chosen in ("a", "ac", "a", "b", "b", "", "ab")]
        train = LabelledTexts(TRAIN.texts, ["\n".join(labels) for labels in sets], "train.csv")
        test = LabelledTexts(["red red green", "two", "one red", "blue two"], ["a", "", "\n".join(names[:2]), "a"])
        predicted = []
        for name in names:
            model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0))
            predicted.append(model.fit(train.texts, [name in labels for labels in sets]).predict(test.texts))
        wanted = [[name in label.split("\n") for label in test.labels] for name in names]
        decisions = [(bool(p), w) for row, own in zip(predicted, wanted) for p, w in zip(row, own)]
        hits, wrong = sum(p and w for p, w in decisions), sum(p != w for p, w in decisions)
        found = measure_linear(Corpus("files", train, test=test), several_labels=True)
        assert found["test_micro_f1"] == pytest.approx(2 * hits / (2 * hits + wrong)) and 0 < hits
