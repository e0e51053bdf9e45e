"""What is traced: a network in float64, one text as token ids, and the names of tokens and classes."""

import re
from itertools import islice
from typing import NamedTuple

import numpy as np

from engine.data.config import DataConfig
from engine.data.encoding import FIRST
from engine.errors import UserError
from engine.ragged import RaggedBatch
from layers.networks import build_network
from layers.networks.text_classifier import TextClassifier
from layers.networks.transformer_config import TransformerConfig
from layers.networks.wave_config import WaveNetworkConfig

CLASSES = ["0", "1", "2"]  # of a random network
DIMENSION, HIDDEN, HEADS = 4, 5, 2


class Subject(NamedTuple):
    """network: all parameters in float64. batch: one text with its label. tokens: the text's tokens as strings, T of them.

    origin: one line that says which network this is.
    """

    network: TextClassifier
    batch: RaggedBatch
    tokens: list
    classes: list
    origin: str


def random_subject(text, operation=None, readout=None, seed=0, label=None, model="wave"):
    """A small random network whose vocabulary is the words of the text: d = 4, one block, 3 classes.

    Words and punctuation marks are tokens; the first token is [CLS]. Longer texts are cut to the usual number of tokens.
    operation, readout: of a Wave Network, by default the usual ones. label: name of a class, by default the first. Raises UserError for
    an unknown one.
    """
    words = islice(re.finditer(r"\w+|[^\w\s]", text), DataConfig().max_tokens - 1)
    tokens = [FIRST, *(match.group() for match in words)]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens[1:]), start=1)}  # a "[CLS]" of the text is in pieces
    ids = np.array([0, *(numbers[token] for token in tokens[1:])], np.int64)
    if model == "transformer":
        config = TransformerConfig(dimension=DIMENSION, heads=HEADS, hidden=HIDDEN, positions=len(tokens), embedding_scale=1.0)
    else:
        chosen = {name: value for name, value in (("operation", operation), ("readout", readout)) if value is not None}
        config = WaveNetworkConfig(dimension=DIMENSION, hidden=HIDDEN, **chosen)
    network = build_network(config, len(numbers) + 1, len(CLASSES), seed, np.float64)
    number = 0 if label is None else class_number(label, CLASSES)
    return Subject(network, one_text(ids, number), tokens, CLASSES, f"random network, seed {seed}")


def trained_subject(run, text, origin, label=None):
    """The best weights of an OpenRun, cast to float64 in place. label: by default the class that they predict for the text."""
    from engine.data.prepare import encode_plain_texts

    ids = encode_plain_texts(run.settings.data, run.vocabulary, [text]).ids
    network = in_float64(run.network)
    if label is None:
        number = int(network.forward(one_text(ids, None))[0].argmax())
    else:
        number = class_number(label, run.classes)
    return Subject(network, one_text(ids, number), run.vocabulary.names(ids), run.classes, origin)


def one_text(ids, label):
    """A RaggedBatch of a single text."""
    return RaggedBatch(ids, np.array([0, len(ids)], np.int64), None if label is None else np.array([label], np.int64))


def class_number(label, classes):
    """The position of a class; UserError when there is none of this name."""
    if label not in classes:
        known = ", ".join(classes[:20]) + (", …" if len(classes) > 20 else "")
        raise UserError(f"--label {label!r}: there is no such class; the classes are {known}")
    return classes.index(label)


def in_float64(network):
    """The same network with all parameters in float64."""
    for parameter in network.parameters().values():
        parameter.value = parameter.value.astype(np.float64)
        parameter.grad = None
    return network
