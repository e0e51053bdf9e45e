"""What is traced: a network in float64 and a text. The network is a trained one, or a small random one for the text."""

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch
from engine.data.config import DataConfig
from engine.data.tokenizer import FIRST
from engine.support.errors import UserError
from engine.types import Ints1d
from layers.networks import build_network
from layers.networks.configs import TransformerConfig, WaveNetworkConfig
from layers.networks.heads import HeadsWaveNetwork
from layers.networks.text_classifier import TextClassifier
from layers.networks.two_networks import TwoNetworks

if TYPE_CHECKING:
    from engine.training.trained_run import OpenRun

WORD = re.compile(r"\w+|[^\w\s]")  # or a punctuation mark
CLASSES = ["0", "1", "2"]  # of a random network
DIMENSION, HIDDEN, HEADS = 4, 5, 2


class Subject(NamedTuple):
    """A network and the text that is traced through it.

    network: all parameters in float64. batch: one text with its label. tokens: its T tokens as strings. classes: their
    names. origin: one line that says which network this is.
    """

    network: TextClassifier
    batch: RaggedBatch
    tokens: list[str]
    classes: list[str]
    origin: str


def random_subject(
    text: str, seed: int = 0, label: str | None = None, model: str = "wave", longest: int | None = None, **fields: Any
) -> Subject:
    """A small random network whose vocabulary is the words of the text: d = 4, one block, 3 classes.

    Words and punctuation marks are tokens; the first token is [CLS]. Longer texts are cut to `longest` tokens, by
    default the usual number. fields: of the network's config, where they differ; None for the usual value. label: name
    of a class, by default the first. Raises UserError for an unknown one.
    """
    words = islice(WORD.finditer(text), (longest or DataConfig().max_tokens) - 1)
    tokens = [FIRST, *(match.group() for match in words)]
    # A "[CLS]" of the text is in pieces.
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens[1:]), start=1)}
    ids = np.array([0, *(numbers[token] for token in tokens[1:])], np.int64)
    chosen: dict[str, Any] = {"dimension": DIMENSION, "hidden": HIDDEN}
    config: WaveNetworkConfig | TransformerConfig
    if model == "transformer":
        config = TransformerConfig(**chosen, heads=HEADS, positions=len(tokens), embedding_scale=1.0)
    else:
        chosen.update({name: value for name, value in fields.items() if value is not None})
        config = WaveNetworkConfig(**chosen)
    network = build_network(config, len(numbers) + 1, len(CLASSES), seed, np.float64)
    number = 0 if label is None else class_number(label, CLASSES)
    return Subject(network, one_text(ids, number), tokens, CLASSES, f"random network, seed {seed}")


def trained_subject(run: "OpenRun", text: str, origin: str, label: str | None = None) -> Subject:
    """The best weights of a run, cast to float64 in place. label: by default the class that they predict."""
    from engine.data.prepare import encode_plain_texts

    require_one_label(run, origin)
    batch = encode_plain_texts(run.settings.data, run.vocabulary, [text])
    network = in_float64(run.network)
    if label is None:
        number = int(network.forward(batch)[0].argmax())
    else:
        number = class_number(label, run.classes)
    labelled = batch._replace(labels=np.array([number], np.int64))
    return Subject(network, labelled, run.vocabulary.names(batch.ids), run.classes, origin)


def require_one_label(run: "OpenRun", origin: str) -> None:
    """Raise UserError unless the run is one network that gives a text one label."""
    if isinstance(run.network, (HeadsWaveNetwork, TwoNetworks)):
        config = run.network.config
        raise UserError(
            f"{origin}: is {config.network_count() + (config.linear_heads > 0)} networks side by side, and only one "
            "can be shown; train one with heads=1, char_heads=0, other_heads=0 and linear_heads=0"
        )
    if run.network.has_several_labels():
        raise UserError(f"{origin}: may give a text several labels, which cannot be shown; take a run with labels=one")


def one_text(ids: Ints1d, label: int) -> RaggedBatch:
    """A RaggedBatch of a single text."""
    return RaggedBatch(ids, np.array([0, len(ids)], np.int64), np.array([label], np.int64))


def class_number(label: str, classes: list[str]) -> int:
    """The position of a class. Raises UserError when there is none of this name."""
    if label not in classes:
        known = ", ".join(classes[:20]) + (", …" if len(classes) > 20 else "")
        raise UserError(f"--label {label!r}: there is no such class; the classes are {known}")
    return classes.index(label)


def in_float64(network: TextClassifier) -> TextClassifier:
    """The same network with all parameters in float64."""
    for parameter in network.parameters().values():
        parameter.value = parameter.value.astype(np.float64)
        parameter.grad = None
    return network
