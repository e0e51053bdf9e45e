"""E16: whole tokens are left out of a training text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays.ragged import RaggedBatch, positions
from layers.standard.token_dropout import drop_tokens, kept_tokens
from tests.support.layer_laws import LENGTHS, SEEDS, examples, offsets_of


def dropped(ids, offsets, rate, rng, spared=0):
    """(ids, offsets) without the tokens that are dropped."""
    return drop_tokens(RaggedBatch(ids, offsets), kept_tokens(offsets, rate, rng, spared))[:2]


@given(LENGTHS, st.sampled_from([0.1, 0.5, 0.99]), SEEDS, st.sampled_from([0, 3]))
@examples(50)
def test_a_text_keeps_its_first_token_and_the_order_of_the_rest(lengths, rate, seed, spared):
    offsets = offsets_of(lengths)
    ids = np.arange(offsets[-1])  # every token knows where it came from
    kept, cuts = dropped(ids, offsets, rate, np.random.default_rng(seed), spared)
    assert cuts.dtype == np.int64 and len(cuts) == len(offsets) and cuts[0] == 0 and cuts[-1] == len(kept)
    assert np.all(np.diff(kept) > 0)
    for t, n in enumerate(lengths):
        of_text = kept[cuts[t] : cuts[t + 1]]
        assert np.all((of_text >= offsets[t]) & (of_text < offsets[t + 1])), "tokens stay in their text"
        assert len(of_text) == 0 if n == 0 else of_text[0] == offsets[t]
        assert len(of_text) == n or n > spared


def test_the_share_left_out_is_the_rate():
    offsets = np.arange(0, 100_001, 100)
    kept, _ = dropped(np.arange(100_000), offsets, 0.3, np.random.default_rng(0))
    assert 1 - (len(kept) - 1000) / 99_000 == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("length", "share"), [(40, 0.0), (50, 0.16), (100, 0.48), (400, 0.72)])
def test_short_texts_lose_less(length, share):
    texts = 100_000 // length
    ids, offsets = np.arange(texts * length), np.arange(0, texts * length + 1, length)
    kept, cuts = dropped(ids, offsets, 0.8, np.random.default_rng(0), 40)
    assert 1 - (len(kept) - texts) / (len(ids) - texts) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("rate, rng", [(0.5, None), (0.0, np.random.default_rng(0))])
def test_to_predict_or_with_rate_zero_nothing_is_left_out(rate, rng):
    ids, offsets = np.arange(5), np.array([0, 2, 5])
    kept, cuts = dropped(ids, offsets, rate, rng)
    assert kept is ids and cuts is offsets


def test_a_wrong_number_of_spared_tokens_is_named():
    with pytest.raises(ValueError, match="^spared: "):
        dropped(np.arange(2), np.array([0, 2]), 0.5, np.random.default_rng(0), -1)


def test_the_inputs_are_not_changed():
    ids, offsets = np.arange(50), np.array([0, 20, 50])
    dropped(ids, offsets, 0.9, np.random.default_rng(0))
    assert ids.tolist() == list(range(50)) and offsets.tolist() == [0, 20, 50]


@given(LENGTHS, SEEDS)
@examples()
def test_kept_tokens_know_their_sentences_and_places(lengths, seed):
    rng, offsets = np.random.default_rng(seed), offsets_of(lengths)
    sentences = np.unique(np.append(offsets, rng.integers(0, offsets[-1] + 1, 5)))
    ids = np.arange(offsets[-1])
    whole = RaggedBatch(ids, offsets, None, sentences)
    batch = drop_tokens(whole, kept_tokens(offsets, 0.6, rng))
    assert batch.sentence_offsets[0] == 0 and set(batch.offsets) <= set(batch.sentence_offsets)
    for s, (start, stop) in enumerate(zip(batch.sentence_offsets, batch.sentence_offsets[1:])):
        assert np.all((batch.ids[start:stop] >= sentences[s]) & (batch.ids[start:stop] < sentences[s + 1]))
    assert np.array_equal(batch.places, positions(offsets, len(ids))[batch.ids])


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_no_tokens_stay_no_tokens(lengths):
    offsets = offsets_of(lengths)
    kept, cuts = dropped(np.zeros(0, int), offsets, 0.5, np.random.default_rng(0))
    assert len(kept) == 0 and cuts.tolist() == offsets.tolist()


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_wrong_rate_is_named(rate):
    with pytest.raises(ValueError, match="^rate: "):
        dropped(np.arange(2), np.array([0, 2]), rate, np.random.default_rng(0))
