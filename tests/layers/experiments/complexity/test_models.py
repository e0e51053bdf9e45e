"""The models whose cost is compared are those of the presets, and their batches the most work for a Wave Network."""

import numpy as np
import pytest

from layers.experiments.complexity import MODELS, batch_of, build, config_of
from layers.networks.costs import mixing_flops, step_flops
from layers.networks.presets import PRESETS


def test_models_are_their_presets_without_dropout():
    for name, preset in (
        ("interference", "paper-text"),
        ("modulation", "paper-text"),
        ("transformer-1", "transformer-1"),
        ("bert-base", "bert-base"),
    ):
        config = config_of(name, 16)
        waves = {"operation": name, "position_encoding": "none", "wave_residual": True}
        changed = waves if preset == "paper-text" else {"dropout": 0.0}
        expected = type(config)(
            **{field: value for field, value in PRESETS[preset].items() if field in config.fields()}
        ).replace(**changed)
        assert config == expected
    assert (
        config_of("bert-base", 16).blocks,
        config_of("bert-base", 16).positions,
        config_of("modulation", 16).dropout,
    ) == (12, 512, 0.0)


def test_a_transformer_has_positions_for_its_longest_text():
    assert config_of("transformer-1", 8192).positions == 8192 and config_of("transformer-1", 512).positions == 512
    assert config_of("modulation", 8192) == config_of("modulation", 16)


@pytest.mark.parametrize("texts, length", [(1, 100), (4, 25), (3, 70), (5, 1)])
def test_distinct_tokens_repeat_after_all_have_been_used(small, texts, length):
    batch = batch_of(texts, length)
    rows = batch.ids.reshape(texts, length)
    assert all(len(set(row.tolist())) == length for row in rows)
    assert len(set(batch.ids.tolist())) == min(100, texts * length)
    assert batch.offsets.tolist() == [length * text for text in range(texts + 1)] and len(batch.labels) == texts
    assert batch.ids.base is None, "a view would keep more tokens than the batch has"
    np.testing.assert_array_equal(batch.ids, batch_of(texts, length).ids)


def test_words_repeat(small):
    batch = batch_of(8, 50, "words")
    assert 0 <= batch.ids.min() and batch.ids.max() < 100 and np.bincount(batch.ids).argmax() == 0
    assert len(set(batch.ids[:50].tolist())) < 50


def test_a_text_longer_than_the_vocabulary_is_refused(small):
    with pytest.raises(ValueError, match="length: must be at most the 100 tokens of the vocabulary, got 101"):
        batch_of(1, 101)


def test_vocabulary_and_classes_are_those_of_the_comparison():
    network = build("modulation", 16)
    assert network.embedding.table.value.shape == (30522, 768) and network.classifier.weight.value.shape == (768, 4)
    assert network.parameter_count() == 30522 * 768 + 4 * 768 * 768 + 4 * 768 + 2 * 2 * 768 + 768 * 4 + 4


def test_the_mixing_by_hand(small):
    batch = batch_of(2, 5)  # U = P = T = 10 tokens of d = 8
    assert sum(mixing_flops(build("modulation", 5), batch)) == (2 * 3 + 2 * 1) * 10 * 8 + 13 * 2 * 8
    assert sum(mixing_flops(build("interference", 5), batch)) == (18 + 25) * 80 + 2 * 8 * 2 * 8 + 2 * 80
    attention = (14 * 8 + 13 * 2) * 2 * 25 + (3 * 8 + 2 * 2) * 10
    assert sum(mixing_flops(build("transformer-1", 5), batch)) == attention
    assert sum(mixing_flops(build("bert-base", 5), batch)) == 2 * attention


@pytest.mark.parametrize("name", MODELS)
def test_mixing_is_a_part_of_all(small, name):
    batch, network = batch_of(2, 5), build(name, 5)
    assert all(0 < part < whole for part, whole in zip(mixing_flops(network, batch), step_flops(network, batch)))


def test_words_mix_less_in_a_wave_network_alone(small):
    for name in MODELS:
        network = build(name, 50)
        distinct, words = (sum(mixing_flops(network, batch_of(2, 50, tokens))) for tokens in ("distinct", "words"))
        assert words < distinct if network.config.model == "wave" else words == distinct
