"""Word vectors as the start of the embedding: read for a new run, kept in its directory, frozen if that is asked for.

The rows that a file covers take the places of the initial ones, multiplied by one number so that the root mean square
of all their entries is embedding_scale; the others are those that the seed gives without a file. vectors.safetensors of
the run directory holds the ids and the values of these rows, so that the file is not needed to resume.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.array_file import write_arrays
from engine.arrays.mapped import DamagedFile, read_arrays
from engine.data.prepare import PreparedData
from engine.data.vectors import coverage, read_vectors
from engine.support.errors import UserError
from engine.support.files import sha256_of
from engine.training.reduce import Alone
from engine.training.run_directory import RunDirectory
from engine.training.run_settings import RunSettings
from engine.types import Floats2d, Ints1d


class StartVectors(NamedTuple):
    """Rows of the embedding at the start. rows: (n,) ascending token ids; values: (n, d) float32."""

    rows: Ints1d
    values: Floats2d


def read_start_vectors(
    network: Any, settings: RunSettings, data: PreparedData, log: Callable[[str], object] | None = None
) -> StartVectors:
    """The StartVectors of the file that the settings name; log takes a line on how many words it covers."""
    table = embedding_table(network, settings).value
    found = read_vectors(settings.data.vectors, data.vocabulary.tokenizer, table.shape[1], log)
    if log is not None:
        log(coverage(found, data.vocabulary, data.train))
    return StartVectors(found.rows, rescaled(found.values, settings.network.embedding_scale))


def embedding_table(network: Any, settings: RunSettings) -> Any:
    """The Parameter that word vectors initialise. UserError where the network has none."""
    table = getattr(network, "embedding_table", None)
    if table is None:
        raise UserError(
            f"vectors: the network {settings.network.model} has no single table of embeddings; leave them out, or "
            "what puts several networks side by side (char_heads, other_heads)"
        )
    return table()


def rescaled(values: Floats2d, scale: float) -> Floats2d:
    """The same vectors times one number, so that the root mean square of their entries is `scale`; zeros stay."""
    norm = np.sqrt(np.mean(np.square(values, dtype=np.float64)))
    scaled: Floats2d = (values * (scale / norm if norm else 0.0)).astype(np.float32)
    return scaled


def place_vectors(network: Any, vectors: StartVectors, freeze: bool) -> None:
    """Put StartVectors into an untrained network on the host. freeze: they stay as they are."""
    table = network.embedding_table()
    table.value[vectors.rows] = vectors.values
    if freeze:
        table.frozen = np.zeros(len(table.value), bool)
        table.frozen[vectors.rows] = True


def begin_vectors(
    network: Any,
    settings: RunSettings,
    data: PreparedData,
    directory: RunDirectory,
    ranks: Alone,
    log: Callable[[str], object],
    has_source: bool,
) -> None:
    """Start a new run from word vectors, if its settings name a file: the root reads it, and keeps what it takes.

    has_source: whether the run has initial weights already, which a UserError refuses.
    """
    if not settings.data.vectors:
        return
    if has_source:
        raise UserError("vectors and --init-from: both give the initial embeddings; give one of the two")

    def read() -> StartVectors:
        vectors = read_start_vectors(network, settings, data, log)
        write_arrays(directory.vectors_file, vectors._asdict())
        return vectors

    place_vectors(network, ranks.of_root(read), settings.training.freeze_vectors)


def resume_vectors(network: Any, settings: RunSettings, directory: RunDirectory, ranks: Alone) -> None:
    """begin_vectors() of a run that has begun, from what it keeps."""
    if settings.data.vectors:
        kept = ranks.of_root(lambda: load_vectors(directory, embedding_table(network, settings).value))
        place_vectors(network, kept, settings.training.freeze_vectors)


def load_vectors(directory: RunDirectory, table: Floats2d) -> StartVectors:
    """The StartVectors in a run directory. UserError where they are missing or damaged."""
    path = directory.vectors_file
    try:
        found = StartVectors(**read_arrays(path))
        if not (found.values.shape == (len(found.rows), table.shape[1]) and 0 <= found.rows.min()):
            raise DamagedFile("its arrays have other shapes than the network")
        if found.rows.max() >= len(table):
            raise DamagedFile("it has rows that the network has not")
    except (OSError, TypeError, DamagedFile) as error:
        raise UserError(
            f"{path}: the word vectors of the run cannot be read ({error}); restore the file or train again"
        ) from None
    return found


def vectors_digest(settings: RunSettings, directory: RunDirectory, ranks: Alone) -> dict[str, str]:
    """What a checkpoint holds of the word vectors of a run, so that it is resumed with the same ones."""
    if not settings.data.vectors:
        return {}
    return {"vectors": ranks.of_root(lambda: sha256_of(directory.vectors_file))}
