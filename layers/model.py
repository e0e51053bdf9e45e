"""TextModel: the Python interface. A network with its vocabulary and classes, trained, saved and opened in a line each.

engine/serving/README.md shows it; estimator.py is the same for scikit-learn.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from engine.arrays.backend import resolve_device, to_host
from engine.data.prepare import PreparedData
from engine.data.texts import Corpus
from engine.data.vocabulary import Vocabulary
from engine.serving.export import save_run, save_weights
from engine.support.errors import UserError
from engine.support.files import AnyPath
from engine.support.implementation import using
from engine.training.checkpoint import load_weights
from engine.training.class_factors import decide
from engine.training.decision import Decision, decision_in
from engine.training.in_memory import prepare_in_memory, train_in_memory
from engine.training.prediction import Predictor, chosen
from engine.training.run_settings import Choices, RunSettings, layered_settings, settings_of
from engine.training.session import network_for
from engine.training.start_vectors import place_vectors, read_start_vectors
from engine.training.thresholds import HALF
from engine.training.trained_run import OpenRun, open_run
from engine.types import Floats1d, Floats2d
from layers.networks import CONFIGS, DEFAULTS, PRESETS, build_network


def make_settings(preset: str | None = None, **fields: Any) -> RunSettings:
    """RunSettings of a preset, by default that of the model, and of fields that differ from it.

    `python train.py describe --fields` lists them. UserError for an unknown preset or field and a bad value.
    """
    if preset is not None and preset not in PRESETS:
        raise UserError(f"preset: expected one of {', '.join(PRESETS)}, got {preset!r}")
    return layered_settings(Choices(CONFIGS, PRESETS, DEFAULTS), preset, [fields])


class TextModel:
    """A network that labels texts, with its settings, vocabulary and classes.

    run: what is opened or built. data: the texts it was built for as token ids; None for one that was opened.
    metrics: the lines that train() left, one a step, the last of an epoch with its validation.
    """

    def __init__(self, run: OpenRun, data: PreparedData | None = None, device: str = "cpu") -> None:
        self.run, self.data, self.device = run, data, device
        self.metrics: list[dict[str, Any]] = []
        self.predictor: Predictor | None = None

    @classmethod
    def build(cls, corpus: Corpus, settings: RunSettings | None = None, device: str = "cpu") -> "TextModel":
        """An untrained TextModel: learn a vocabulary from the texts of a corpus, and draw initial parameters."""
        device = resolve_device(device)
        settings = settings or make_settings()
        settings = settings._replace(data=settings.data.replace(corpus=corpus.name))
        data = prepare_in_memory(settings, corpus)
        with using(settings.training.implementation):
            network = network_for(settings, build_network, data)
        if settings.data.vectors:
            place_vectors(network, read_start_vectors(network, settings, data), settings.training.freeze_vectors)
        thresholds = np.full(len(data.classes), HALF) if settings.data.has_several_labels() else None
        return cls(OpenRun(settings, network.to(device), data.vocabulary, data.classes, thresholds), data, device)

    @classmethod
    def open(cls, path: AnyPath, device: str = "cpu") -> "TextModel":
        """The TextModel in a folder: a run directory, or what save() or the command export has written."""
        device = resolve_device(device)
        return cls(open_run(path, CONFIGS, build_network, device), None, device)

    def train(self, hide_bar: bool | None = None) -> "TextModel":
        """Train on the texts of build(); returns self, with the weights of the best epoch. Writes no file.

        hide_bar: of the progress; None hides it where standard error is no terminal.
        """
        if self.data is None:
            raise ValueError("data: this model was opened, not built; build one with TextModel.build(corpus, settings)")
        run = self.run
        self.metrics, decision = train_in_memory(run.network, run.settings, self.data, self.device, hide_bar)
        if decision.thresholds is not None or decision.factors is not None:
            self.run = run._replace(thresholds=decision.thresholds, factors=decision.factors)
        self.predictor = None
        return self

    @property
    def classes(self) -> list[str]:
        """The names of the C classes."""
        return self.run.classes

    @property
    def network(self) -> Any:
        """The network (layers/networks)."""
        return self.run.network

    def probabilities(self, texts: Sequence[str]) -> Floats2d:
        """(N, C) float64 class probabilities of N texts, the columns as in `classes`."""
        if self.predictor is None:
            self.predictor = Predictor.of_run(self.run, self.device)
        return self.predictor.probabilities(texts)

    @property
    def thresholds(self) -> Floats1d | None:
        """(C,), where a text may have several labels, the probabilities from which it gets them; else None."""
        return self.run.thresholds

    def label_sets(self, texts: Sequence[str]) -> list[list[str]]:
        """The labels of each text that may have several, the most probable first. ValueError where it has one."""
        if self.thresholds is None:
            raise ValueError("labels: expected several, got one; call predict(), or train with labels='several'")
        return [[self.classes[c] for c in chosen(row, self.thresholds)] for row in self.probabilities(texts)]

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The class of each text: the most probable one, by the factors of the run. ValueError for several labels."""
        if self.thresholds is not None:
            raise ValueError("labels: expected one, got several; call label_sets() or probabilities()")
        return [self.classes[best] for best in decide(self.probabilities(texts), self.run.factors).tolist()]

    def save(self, folder: AnyPath, precision: str = "float32") -> None:
        """Write the model into a new folder, its weights in float32 or float16. UserError where the folder is taken."""
        save_run(self.run, folder, save_weights(precision), device=self.device)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps: no training data, no functions."""
        run = self.run
        weights = {name: to_host(array.value) for name, array in run.network.state().items()}
        vocabulary = (run.vocabulary.tokenizer.to_str(), *run.vocabulary[1:])
        sections = run.settings.sections()
        kept = {"sections": sections, "weights": weights, "vocabulary": vocabulary, "classes": run.classes}
        kept.update(Decision(run.network.temperature, run.thresholds, run.factors).state())
        return {**kept, "device": self.device, "metrics": self.metrics}

    def __setstate__(self, state: dict[str, Any]) -> None:
        settings = settings_of(state["sections"], CONFIGS)
        tokenizer, *others = state["vocabulary"]
        vocabulary = Vocabulary(Tokenizer.from_str(tokenizer), *others)
        with using(settings.training.implementation):
            first, count = vocabulary.first_char_ngram(), len(state["classes"])
            network = build_network(settings.network, vocabulary.size(), count, None, first_char_ngram=first)
        load_weights(network, {name: np.array(w) for name, w in state["weights"].items()}, "the pickle")
        network = network.to(state["device"])
        several, classes = settings.data.has_several_labels(), state["classes"]
        decision = decision_in(state, len(classes), several, "the pickle")
        network.temperature = decision.temperature
        run = OpenRun(settings, network, vocabulary, classes, decision.thresholds, decision.factors)
        self.__init__(run, None, state["device"])  # type: ignore[misc]
        self.metrics = state["metrics"]
