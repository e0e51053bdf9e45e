"""Networks keep for backward the bytes that the equation book says, by NumPy and by functions in C."""

import pytest

from engine.benchmark.parts import kept_bytes
from layers.experiments.complexity import batch_of, build
from layers.fast import wave_pair_c

B, D, H, C = 2, 8, 12, 4  # texts, columns, hidden, classes; all tokens of a batch are distinct, so U = P = T


def kept(name, length):
    network = build(name, 512)
    cache = network.loss_forward(batch_of(B, length), train=True)[1]
    return kept_bytes(cache, [parameter.value for parameter in network.parameters().values()])


def of_texts(vectors):
    """Pooled vectors, logits and log p of every text, offsets and labels."""
    return B * (4 * vectors * D + 4 * 2 * C + 8) + 8 * (B + 1)


def of_entries(length):
    """Per entry x̂ and r of both norms, the first one's y, slope and result of the activation, its place, its count.

    All but the integers take 12·d + 8·h + 8 bytes.
    """
    return B * length * (12 * D + 8 * H + 8 + 16)


@pytest.mark.parametrize("length", [3, 7])
def test_modulation(small, length, monkeypatch):
    monkeypatch.setenv("WAVE_C", "off")
    rows = B * length * (12 * D + 8)  # x, a and b, and the token's id
    own = B * 16 * D + 8 * B * length  # both magnitudes in float64, the text of each entry
    assert kept("modulation", length) == rows + own + of_entries(length) + of_texts(1)


@pytest.mark.parametrize("length", [3, 7])
@pytest.mark.parametrize("in_c", [True, False])
def test_interference(small, length, in_c, monkeypatch):
    monkeypatch.setenv("WAVE_C", "on" if in_c else "off")
    if in_c and not wave_pair_c.FUNCTIONS.is_usable():
        pytest.skip("no C compiler")
    rows = B * length * (12 * D + 8)
    # Both norms of the others, and y; of layer norm float64, not x̂, and of the loss log p of the labels.
    own = B * (24 * length + 8) if in_c else B * length * 12 * D
    assert kept("interference", length) == rows + own + of_entries(length) + of_texts(1)


@pytest.mark.parametrize("name, blocks", [("transformer-1", 1), ("bert-base", 2)])
@pytest.mark.parametrize("length", [3, 7])
def test_transformer(small, name, blocks, length, monkeypatch):
    monkeypatch.setenv("WAVE_C", "off")
    block = 4 * (
        8 * D + 2 * H + 2 + 2
    )  # x, q, k, v, y, x̂ of both norms and what the first gives; slope and GELU; m of 2 heads, r
    tokens = (
        B * length * (blocks * block + 4 * (D + 1) + 16)
    )  # x̂ and r of the embeddings, the ids of token and position
    assert kept(name, length) == tokens + of_texts(3) + 8 * B  # the rows of the first tokens
