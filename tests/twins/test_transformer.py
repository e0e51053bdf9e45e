"""The Transformer beside PyTorch's autograd, and with copied weights beside the library `transformers`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.backend import random_generator
from layers.networks import Transformer, TransformerConfig
from layers.networks.text_classifier import example_batch
from tests.support import torch_twins as twins
from tests.support.examples import examples
from tests.support.small_networks import stirred
from tests.support.torch_twins import F, torch

VOCABULARY, CLASSES = 11, 3
CONFIGS = st.builds(
    TransformerConfig,
    dimension=st.just(6), heads=st.sampled_from([1, 2, 3]), blocks=st.integers(0, 2), hidden=st.sampled_from([1, 5]),
    positions=st.just(8), embedding_scale=st.sampled_from([0.02, 1.0]), dropout=st.sampled_from([0.0, 0.3]),
    label_smoothing=st.sampled_from([0.0, 0.1]),
)  # fmt: skip


def network_of(config, seed):
    """A network whose norms and biases are not at their initial values, so that every term counts."""
    network = Transformer(config, VOCABULARY, CLASSES, seed, np.float64)
    return stirred(network, np.random.default_rng([seed, 2]))


@given(CONFIGS, st.lists(st.integers(0, 8), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.booleans())
@examples(60)
def test_any_transformer_agrees_with_autograd_on_any_batch(config, lengths, seed, train):
    """Logits, loss and every gradient, in training with the masks of our forward pass and label smoothing."""
    network, batch = network_of(config, seed % 1000), example_batch(VOCABULARY, CLASSES, lengths, seed)
    loss, cache = network.loss_forward(batch, train=train, rng=random_generator(seed))
    network.loss_backward(cache)
    tensors = twins.tensors_of(network.parameters())
    logits = twins.transformer(
        config, tensors, batch.ids, batch.offsets, twins.masks_of_transformer(cache.network) if train else None
    )
    expected = F.cross_entropy(
        logits, torch.as_tensor(batch.labels), label_smoothing=config.label_smoothing if train else 0.0
    )
    expected.backward()
    twins.assert_close(cache.logits, logits, what="logits")
    twins.assert_close(loss, expected, what="loss")
    noise = 1e-13 * twins.total_norm(
        tensors
    )  # the gradient of a key's bias is 0 but for rounding: scores do not see a shift
    for name, parameter in network.parameters().items():
        twins.assert_close(
            parameter.dense_grad(), twins.gradient_of(tensors[name]), noise=noise, what=f"{name} of {config}"
        )


NAMES = {  # of a block: ours → BERT's
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "output": "attention.output.dense", "attention_norm": "attention.output.LayerNorm",
    "feed_forward.expand": "intermediate.dense", "feed_forward.contract": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}  # fmt: skip


def names_of_bert(blocks):
    """{our part: name of the same part of BertForSequenceClassification}."""
    names = {"embedding": "bert.embeddings.word_embeddings", "positions": "bert.embeddings.position_embeddings"}
    names |= {"embedding_norm": "bert.embeddings.LayerNorm", "pooler": "bert.pooler.dense", "classifier": "classifier"}
    return names | {
        f"blocks.{n}.{ours}": f"bert.encoder.layer.{n}.{theirs}"
        for n in range(blocks)
        for ours, theirs in NAMES.items()
    }


def test_agrees_with_bert_for_sequence_classification():
    """The same weights, texts padded and masked there: logits and every gradient agree, so it is BERT."""
    transformers = pytest.importorskip("transformers", reason="needs transformers: pip install transformers")
    config = TransformerConfig(dimension=12, heads=3, hidden=20, positions=10, blocks=2, embedding_scale=1.0)
    network, batch = network_of(config, 0), example_batch(VOCABULARY, CLASSES, [4, 1, 10, 7])
    bert = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=VOCABULARY, hidden_size=12, num_hidden_layers=2, num_attention_heads=3,
            intermediate_size=20, hidden_act="gelu",
            max_position_embeddings=10, layer_norm_eps=config.norm_epsilon, num_labels=CLASSES,
        )
    ).double().eval()  # fmt: skip
    theirs, names = dict(bert.named_parameters()), names_of_bert(2)
    kinds = {"weight": "weight", "bias": "bias", "gain": "weight", "table": "weight"}
    counterpart = {
        name: theirs[f"{names[part]}.{kinds[kind]}"]
        for name in network.parameters()
        for part, _, kind in [name.rpartition(".")]
    }
    assert set(theirs) - {"bert.embeddings.token_type_embeddings.weight"} == {
        f"{names[n.rpartition('.')[0]]}.{kinds[n.rpartition('.')[2]]}" for n in counterpart
    }
    transposed = lambda name, x: x.T if name.endswith(".weight") else x  # noqa: E731
    with torch.no_grad():
        theirs["bert.embeddings.token_type_embeddings.weight"].zero_()
        for name, parameter in network.parameters().items():
            counterpart[name].copy_(torch.as_tensor(transposed(name, parameter.value)))
    loss, cache = network.loss_forward(batch)
    network.loss_backward(cache)
    lengths = np.diff(batch.offsets)
    ids, mask = (np.zeros((len(lengths), lengths.max()), np.int64) for _ in range(2))
    for t, n in enumerate(lengths):
        ids[t, :n], mask[t, :n] = batch.ids[batch.offsets[t] : batch.offsets[t + 1]], 1
    found = bert(
        input_ids=torch.as_tensor(ids), attention_mask=torch.as_tensor(mask), labels=torch.as_tensor(batch.labels)
    )
    found.loss.backward()
    twins.assert_close(cache.logits, found.logits)
    twins.assert_close(loss, found.loss)
    for name, parameter in network.parameters().items():
        noise = 1e-13 if name.endswith("key.bias") else 0.0
        if name == "embedding.table":  # BERT's padding is token 0, whose gradient its embedding leaves out
            counterpart[name].grad[0] = torch.as_tensor(parameter.dense_grad()[0])
        twins.assert_close(
            transposed(name, parameter.dense_grad()), twins.gradient_of(counterpart[name]), noise=noise, what=name
        )
