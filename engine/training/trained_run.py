"""A trained run, opened to predict.

Networks come from the caller's factory `build_network`:

    build_network(network_config, vocabulary, classes, seed, first_char_ngram=n)
                                                             → a network that keeps the contract of engine.layer

With seed=None its parameters have no values yet. Token ids from n on are those of character n-grams.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from engine.data.vocabulary import Vocabulary, load_vocabulary, vocabulary_digests
from engine.support.ahead import begun
from engine.support.errors import UserError, with_place
from engine.support.files import AnyPath, read_json
from engine.support.implementation import using
from engine.support.text import sanitize
from engine.training.checkpoint import load_arrays, load_weights, read_state
from engine.training.decision import decision_in
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import NetworkClasses, RunSettings, settings_of
from engine.types import Array, Floats1d

BuildNetwork: TypeAlias = Callable[..., Any]


class OpenRun(NamedTuple):
    """A trained run, ready to predict: the network with its best weights, on its device.

    thresholds: (C,), where a text may have several labels, the probabilities from which it gets them; else None.
    factors: (C,), where it has one, those of class_factors.decide(); None for the largest probability.
    """

    settings: RunSettings
    network: Any
    vocabulary: Vocabulary
    classes: list[str]
    thresholds: Floats1d | None = None
    factors: Floats1d | None = None


def open_run(
    path: AnyPath, network_classes: NetworkClasses, build_network: BuildNetwork, device: str = "cpu"
) -> OpenRun:
    """OpenRun of a run directory with its best weights, which stay in their file until they are used.

    UserError where it is no run, damaged, or untrained.
    """
    directory = RunDirectory.open(path)
    settings = read_run_settings(directory, network_classes)
    by_onnx = directory.is_exported() and directory.onnx_file.exists()
    kind = "onnx" if by_onnx else "weights"
    state, files = read_state(directory.best, (kind,))
    # Perhaps reads the file for its digest.
    load: Callable[..., Any] = open_onnx if by_onnx else functools.partial(load_arrays, mapped=True)
    loaded = begun(functools.partial(load, *files[kind]))
    if not settings.matches(state.get("config")):
        raise UserError(
            f"{directory.config_file}: differs from the settings in {directory.best / 'state.json'} that were trained; "
            "restore the file"
        )
    vocabulary, classes = vocabulary_of(directory, settings, state), labels_in(state, directory)
    several, where = settings.data.has_several_labels(), directory.best / "state.json"
    decision = decision_in(state, len(classes), several, where)
    rules = (decision.thresholds, decision.factors)
    if by_onnx:  # its graph has the temperature
        return OpenRun(settings, loaded().to(device), vocabulary, classes, *rules)
    with using(settings.training.implementation):
        first = vocabulary.first_char_ngram()
        network = build_network(settings.network, vocabulary.size(), len(classes), None, first_char_ngram=first)
    load_weights(network, in_float32(loaded()), directory.best)
    network.temperature = decision.temperature
    return OpenRun(settings, network.to(device), vocabulary, classes, *rules)


def open_onnx(path: Path, digest: str) -> Any:
    """The OnnxNetwork of a file."""
    from engine.serving.onnx_network import OnnxNetwork

    return OnnxNetwork(path, digest)


def in_float32(weights: dict[str, Array]) -> dict[str, Array]:
    """Weights that were exported in float16 as float32, in which networks compute; others as they are."""
    return {name: w.astype(np.float32) if w.dtype == np.float16 else w for name, w in weights.items()}


def classes_of(path: AnyPath) -> list[str]:
    """The names of the classes that the run in a directory has learned, from a small file.

    UserError where it is no trained run.
    """
    directory = RunDirectory.open(path)
    return labels_in(read_json(directory.best / "state.json"), directory)


def labels_in(state: dict[str, Any], directory: RunDirectory) -> list[str]:
    """The names of the classes in the state of a run's best checkpoint."""
    classes = state.get("labels")
    if not isinstance(classes, list) or not all(isinstance(name, str) and sanitize(name) == name for name in classes):
        raise UserError(
            f"{directory.best / 'state.json'}: its labels are no list of printable texts; "
            "restore the file or train again"
        )
    return classes


def read_run_settings(directory: RunDirectory, network_classes: NetworkClasses) -> RunSettings:
    """RunSettings of a run's config.toml."""
    sections = directory.read_config()
    return with_place(str(directory.config_file), settings_of, sections, network_classes)


def vocabulary_of(directory: RunDirectory, settings: RunSettings, state: dict[str, Any]) -> Vocabulary:
    """The Vocabulary of a run that has begun.

    UserError where its files differ from the digests in the state of a checkpoint, which older versions did not save.
    """
    saved = state.get("vocabulary")
    digests = vocabulary_digests(directory.vocabulary_files)
    for name, digest in saved.items() if isinstance(saved, dict) else ():
        if digests.get(name, digest) != digest:
            raise UserError(
                f"{directory.path / name}: is not the one that the network was trained with; "
                "restore the file or train again"
            )
    data = settings.data
    kinds = data.affixes, bool(data.char_ngrams)
    return load_vocabulary(*directory.vocabulary_files, data.ngrams, *kinds, settings.needs_sentences())
