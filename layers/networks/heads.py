"""Several Wave Networks side by side in one training (config.heads = K), and the mean of their probabilities.

    z_k = WaveNetwork_k(batch)                      head k, with embeddings, maps and classifier of its own
    L   = 1/K · Σ_k cross-entropy(z_k, labels)      dz_k = 1/K · d cross-entropy(z_k, labels)
    p   = 1/K · Σ_k softmax(z_k)                    or the sigmoid, where a text may have several labels

All heads see the same batches without the same dropped tokens; they differ by their initial values, and by the entries
that each of them drops. A parameter of the single network has an axis of heads in front, (K, …); the rows of tables
hold the heads one after another, (V, K·d), so that a token of a batch is looked up, and its row updated, once. The
naive-Bayes shortcut (E25) is one for all heads: z_k + y, dy = Σ_k dz_k.
planned_heads.py computes several heads at a time. networks.md derives the gradients.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from engine.arrays.backend import array_module, move_together
from engine.arrays.ragged import gather_rows
from engine.layer import Parameter, RowSparse
from engine.types import Array, Floats, Floats2d, Floats3d, Ints1d
from layers.networks.configs import WaveNetworkConfig
from layers.networks.heads_parts import by_head
from layers.networks.parts import twin
from layers.networks.shortcut import DistinctTokens
from layers.networks.text_classifier import LossCache, logits_of_mean
from layers.networks.wave_network import WaveNetwork
from layers.standard.sigmoid_cross_entropy import check_targets
from layers.standard.softmax_cross_entropy import check_labels

ROWS = "embedding.table"  # the parameter of which a batch needs only some rows


class Group(NamedTuple):
    """Some of the heads as a network. heads: which; network: over the distinct rows of a batch, its table."""

    heads: slice
    network: Any

    def size(self) -> int:
        return size_of(self.heads)


def size_of(heads: slice) -> int:
    """The number of heads."""
    return int(heads.stop - heads.start)


class Cache(NamedTuple):
    """ids: (U,) the distinct tokens; groups: those of forward; caches: one for each; shortcut: of E25, or None."""

    ids: Ints1d
    groups: Sequence[Group]
    caches: Sequence[Any]
    shortcut: Any


def head_seed(seed: int, head: int) -> int:
    """The seed of the single network with the initial values of a head: of the first one `seed` itself."""
    return seed if head == 0 else int(np.random.SeedSequence([seed, head]).generate_state(1)[0])


def is_table(name: str) -> bool:
    """Whether the parameter of this name has a row for each token or position."""
    return name.rpartition(".")[2] == "table"


def of_heads(name: str, value: Array, heads: slice, count: int) -> Array:
    """The part of some heads of a parameter of `count` heads: a view, of a table (V, heads·d), else (heads, …)."""
    if not is_table(name):
        return value[heads]
    d = value.shape[1] // count
    return value[:, heads.start * d : heads.stop * d]


class HeadsWaveNetwork(WaveNetwork):
    """K Wave Networks of a WaveNetworkConfig, for V token ids and C classes, each by its own equations.

    Head k has the initial values of the single network of head_seed(seed, k).
    """

    kind: type[WaveNetwork] = WaveNetwork  # of a head

    def __init__(
        self, config: WaveNetworkConfig, vocabulary: int, classes: int, seed: int | None = 0, dtype: Any = np.float32
    ):
        super().__init__(config, vocabulary, classes, None, dtype)
        for name, parameter in self.own_parameters().items():
            shape = parameter.value.shape
            whole = (shape[0], config.heads * shape[1]) if is_table(name) else (config.heads, *shape)
            zeros = np.broadcast_to(np.zeros((), dtype), whole)  # takes no memory
            parameter.value = zeros if seed is None else np.empty(whole, dtype)
        for number in range(config.heads if seed is not None else 0):
            assert seed is not None
            own = WaveNetwork(config, vocabulary, classes, head_seed(seed, number), dtype).parameters()
            for name, parameter in self.own_parameters().items():
                of_heads(name, parameter.value, slice(number, number + 1), config.heads)[...] = own[name].value

    def forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats3d, Cache]:
        """batch: as of the single network → logits (K, B, C), and the cache."""
        rng = rng if train else None
        ids, over_rows = self.distinct(batch, rng)  # E16
        counted = self.shortcut_of(batch, over_rows, rng)
        rows = gather_rows(self.embedding.table.value, ids)  # E9 of all heads
        groups = [Group(heads, self.network_of(heads, rows)) for heads in self.cut(rows, rng)]
        results = [group.network.forward(over_rows, train, rng) for group in groups]
        logits = array_module(rows).concatenate([by_head(z, group.size()) for group, (z, _) in zip(groups, results)])
        shortcut = None
        if self.shortcut and counted:
            y, shortcut = self.shortcut.forward(counted, over_rows.labels if train else None)  # E25
            logits = logits + y
        return logits, Cache(ids, groups, [cache for _, cache in results], shortcut)

    def backward(self, dlogits: Floats3d, cache: Any) -> None:
        """dlogits: (K, B, C). Adds to every parameter's gradient."""
        if self.shortcut:
            self.shortcut.backward(dlogits.sum(axis=0), cache.shortcut)  # E25
        parts = []
        for group, own in zip(cache.groups, cache.caches):
            group.network.zero_grad()
            slopes = dlogits[group.heads].transpose(1, 0, 2)
            group.network.backward(slopes.reshape(len(slopes), -1), own)
            parts.append(group.network.parameters())
        for name, parameter in self.own_parameters().items():
            grads = [part[name].grad for part in parts]
            if all(grad is None for grad in grads):
                continue
            xp = array_module(parameter.value)
            if name == ROWS:
                values = [grad.values for grad in grads]  # a row for each of ids
                parameter.accumulate(RowSparse(cache.ids, joined(xp, values, 1)))
            else:
                shape = (-1, *parameter.value.shape[1:])
                whole = [grad if is_table(name) else grad.reshape(shape) for grad in grads]
                parameter.accumulate(joined(xp, whole, int(is_table(name))))

    def own_parameters(self) -> dict[str, Parameter]:
        """The parameters by name that each head has its own part of: all but those of the shortcut."""
        return {name: parameter for name, parameter in self.parameters().items() if not name.startswith("shortcut.")}

    def distinct(self, batch: Any, rng: Any) -> tuple[Ints1d, Any]:
        """((U,) the distinct tokens of a batch, in training without those that are dropped; the batch over these)."""
        tokens = move_together(self.kept_tokens(batch, rng), self.embedding.table.value)
        ids, of_tokens = array_module(tokens.ids).unique(tokens.ids, return_inverse=True)
        return ids.astype(np.int64), tokens._replace(ids=of_tokens)

    def shortcut_of(self, batch: Any, over_rows: Any, rng: Any) -> DistinctTokens | None:
        """shortcut_tokens(), where the parameters are. batch: of forward; over_rows: of distinct()."""
        found = self.shortcut_tokens(batch, rng)
        return None if found is None else move_together(found, self.embedding.table.value)

    def cut(self, rows: Floats2d, rng: Any) -> list[slice]:
        """The groups of heads that are computed together: here each alone. rows: (U, K·d); rng: of dropout, or None."""
        return [slice(k, k + 1) for k in range(self.config.heads)]

    def network_of(self, heads: slice, rows: Floats2d) -> WaveNetwork:
        """The network of some heads, its parameters views of those here. rows: (U, K·d), whose columns are its table.

        Of one head it is that head as a single network.
        """
        network = twin(self, self.functions, self.kind)
        network.config = self.config.replace(heads=1, token_dropout=0.0, shortcut="none")  # distinct() drops tokens
        network.shortcut = None
        for name, parameter in network.parameters().items():
            value = of_heads(name, rows if name == ROWS else parameter.value, heads, self.config.heads)
            parameter.value = value if is_table(name) or size_of(heads) > 1 else value[0]
        network.embedding.table.value = array_module(rows).ascontiguousarray(network.embedding.table.value)
        return network

    def single(self) -> WaveNetwork:
        """A network of the shape of one head, without values, to count with."""
        vocabulary, classes = len(self.embedding.table.value), self.classifier.weight.value.shape[-1]
        dtype = self.embedding.table.value.dtype
        return self.kind(self.config.replace(heads=1), vocabulary, classes, None, dtype)

    def loss_forward(self, batch: Any, train: bool = False, rng: Any = None) -> tuple[Floats, LossCache]:
        """Mean over heads of the mean cross-entropy over the batch's labels (0-d, nat), and a cache.

        Its logits are those of the mean probabilities, so that the largest is the decision of all heads.
        """
        f, (z, network) = self.functions, self.forward(batch, train, rng)
        xp, several = array_module(z), self.has_several_labels()
        (check_targets if several else check_labels)(batch.labels, *z.shape[1:])
        labels = move_together(batch.labels, z)
        forward = f.sigmoid_cross_entropy_forward if several else f.softmax_cross_entropy_forward  # E24, E15
        of_all = xp.concatenate([labels] * len(z))
        smoothing, weights = self.loss_settings(train, z.dtype)
        loss, cache = forward(z.reshape(-1, z.shape[2]), of_all, smoothing, weights)
        return loss, LossCache(network, logits_of_mean(self.mean(z), several), labels, cache)

    def loss_backward(self, cache: LossCache, dloss: float = 1.0) -> None:
        f = self.functions
        back = f.sigmoid_cross_entropy_backward if self.has_several_labels() else f.softmax_cross_entropy_backward
        self.backward(back(dloss, cache.loss).reshape(self.config.heads, *cache.logits.shape), cache.network)

    def probabilities(self, batch: Any) -> Floats2d:
        """batch: B texts, labels not needed → (B, C) class probabilities, the mean of those of the heads."""
        return self.at_temperature(self.mean(self.forward(batch)[0]))

    def mean(self, z: Floats3d) -> Floats2d:
        """The mean probabilities (B, C) of logits (K, B, C)."""
        mean: Floats2d = self.probabilities_of(z.reshape(-1, z.shape[2])).reshape(z.shape).mean(axis=0)
        return mean

    def heading(self) -> str:
        return f"{self.config.heads} networks side by side, the mean of their probabilities. Each: {super().heading()}"


def joined(xp: Any, arrays: Sequence[Array], axis: int) -> Array:
    """The arrays one after another along an axis; a single one as it is."""
    whole: Array = arrays[0] if len(arrays) == 1 else xp.concatenate(arrays, axis=axis)
    return whole
