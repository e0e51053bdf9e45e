"""The weights of one run as the start of another, which may have another vocabulary and other classes.

Rows of tables are matched by what they stand for: tokens, affixes and character n-grams by their text, n-grams by their
tokens. What has a number for each class is taken over where the classes are the same ones, in whatever order; all other
parameters as they are. Networks side by side have several tables, of which some lack the character n-grams.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.ragged import RaggedBatch, offsets_from
from engine.data.ngrams import grams_of
from engine.data.prepare import PreparedData
from engine.data.vocabulary import Vocabulary
from engine.support.errors import UserError
from engine.training.trained_run import OpenRun
from engine.types import Ints1d

# Ends of the names of parameters whose first axis are token ids, and of those whose last one are classes.
TABLES = ("embedding.table", "ratios.weights")
OF_CLASSES = ("classifier.weight", "classifier.bias", "shortcut.gains", "ratios.weights", "ratios.bias")


class Source(NamedTuple):
    """A run whose weights are taken, and its path."""

    path: str
    run: OpenRun


def take_weights(network: Any, data: PreparedData, source: Source) -> str:
    """Put the weights of a run into an untrained network on the host; returns a line for the user.

    UserError where the two networks have other parameters or shapes, but for vocabulary and classes.
    """
    parameters, given = network.parameters(), source.run.network.parameters()
    for name in [*parameters, *given]:
        there, here = (some[name].value.shape if name in some else None for some in (given, parameters))
        if cut(name, there) != cut(name, here):
            words = ["absent" if shape is None else str(shape) for shape in (there, here)]
            raise UserError(
                f"--init-from {source.path}: parameter {name} is {words[0]} there and {words[1]} in the new network; "
                "leave out the options that change the network"
            )
    new, old = matching_rows(data.vocabulary, source.run.vocabulary, data.train)
    same = set(data.classes) == set(source.run.classes)
    columns = [source.run.classes.index(name) for name in data.classes] if same else []
    for name, parameter in parameters.items():
        taken = given[name].value
        if name.endswith(OF_CLASSES):
            if not same:
                continue
            taken = taken[..., columns]
        if not name.endswith(TABLES):
            parameter.value = np.array(taken)
            continue
        parameter.value = np.array(parameter.value)
        both = (new < len(parameter.value)) & (old < len(taken))
        parameter.value[new[both]] = taken[old[both]]
    count = data.vocabulary.size()
    rows = f"{source.path}: {len(new):,} of {count:,} rows of the embedding and all other parameters"
    return rows if same else f"{rows} but the classifier, whose classes are others"


def cut(name: str, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """A parameter's shape without the number of token ids and of classes, which may differ."""
    if shape is None:
        return None
    return shape[int(name.endswith(TABLES)) : len(shape) - int(name.endswith(OF_CLASSES))]


def matching_rows(new: Vocabulary, old: Vocabulary, texts: RaggedBatch) -> tuple[Ints1d, Ints1d]:
    """(ids of a new vocabulary, those of the same tokens of all kinds in an old one), each (n,).

    texts: those whose n-grams the new vocabulary has learned, since it keeps but their hashes.
    """
    pairs = [matching_names(new.tokenizer.get_vocab(), old.tokenizer.get_vocab())]
    if new.ngrams is not None and old.ngrams is not None:
        pairs.append(matching_ngrams(new, old, pairs[0], texts))
    for ids_of in (ids_of_affixes, ids_of_char_ngrams):
        pairs.append(matching_names(ids_of(new), ids_of(old)))
    return np.concatenate([a for a, _ in pairs]), np.concatenate([b for _, b in pairs])


def ids_of_affixes(vocabulary: Vocabulary) -> dict[str, int]:
    """{affix: id}."""
    known = () if vocabulary.affixes is None else vocabulary.affixes.known
    return {name: number for number, name in enumerate(known, start=vocabulary.first_affix())}


def ids_of_char_ngrams(vocabulary: Vocabulary) -> dict[str, int]:
    """{character n-gram: id}."""
    known = () if vocabulary.char_ngrams is None else vocabulary.char_ngrams.known
    return {name: number for number, name in enumerate(known, start=vocabulary.first_char_ngram())}


def matching_names(new: dict[str, int], old: dict[str, int]) -> tuple[Ints1d, Ints1d]:
    """The ids, new and old, of the names that both have."""
    both = [name for name in new if name in old]
    return np.array([new[name] for name in both], np.int64), np.array([old[name] for name in both], np.int64)


def matching_ngrams(
    new: Vocabulary, old: Vocabulary, tokens: Sequence[Ints1d], texts: RaggedBatch
) -> tuple[Ints1d, Ints1d]:
    """The matching ids of n-grams. tokens: the matching ids of tokens, new and old.

    The n-grams of the texts are hashed twice: by the new ids of their tokens, and by the old ones.
    """
    assert new.ngrams is not None and old.ngrams is not None
    size, old_size = new.tokenizer.get_vocab_size(), old.tokenizer.get_vocab_size()
    is_token = texts.ids < size
    ids, offsets = texts.ids[is_token], offsets_from(is_token)[texts.offsets]
    as_old = np.full(size, old_size, np.int64)  # an id of no token, which is in no n-gram of the old vocabulary
    as_old[tokens[0]] = tokens[1]
    found: list[tuple[Ints1d, Ints1d]] = []
    hashes = zip(*(grams_of(each, offsets, new.ngrams.longest) for each in (ids, as_old[ids])))
    for (_, of_new), (_, of_old) in hashes:
        distinct, first = np.unique(of_new, return_index=True)
        rows, is_known = numbers_of(distinct, new.ngrams.hashes)
        old_rows, was_known = numbers_of(of_old[first], old.ngrams.hashes)
        both = is_known & was_known
        found.append((rows[both] + size, old_rows[both] + old_size))
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def numbers_of(hashes: Any, known: Any) -> tuple[Ints1d, Any]:
    """(the position of each hash among ascending known ones, whether it is one of them)."""
    places = np.searchsorted(known, hashes).clip(0, max(len(known) - 1, 0))
    return places, known[places] == hashes if len(known) else np.zeros(len(hashes), bool)
