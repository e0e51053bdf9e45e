"""Exercise attention (E18): scaled dot-product attention of one head, within each text.

    a_jl = q_j·k_l/√d        ω_jl = softmax_l(a_jl)        y_j = Σ_l ω_jl·v_l        d: the number of columns

j and l run over the tokens of one text. The texts lie one after another: text t owns the rows offsets[t] …
offsets[t + 1] − 1. A text may be empty.
Steps on the way: dω_jl = dy_j·v_l, then da_jl, which has two terms since ω_jl depends on all scores of row j.
Write backward. Then: wave-network exercise --check THIS_FILE
"""

import numpy as np


def forward(q, k, v, offsets):
    """q, k, v: (T, d), offsets: (B + 1,) integers → y: (T, d), and the cache; weights: ω, (n, n), of each text."""
    y, weights = np.zeros_like(v), []
    for start, stop in zip(offsets[:-1], offsets[1:]):
        a = q[start:stop] @ k[start:stop].T / np.sqrt(q.shape[1])
        ω = np.exp(a - a.max(axis=1, keepdims=True, initial=-np.inf))
        ω /= ω.sum(axis=1, keepdims=True)
        y[start:stop] = ω @ v[start:stop]
        weights.append(ω)
    return y, (q, k, v, weights, offsets)


def backward(dy, cache):
    """dy: (T, d) → (dq, dk, dv), each (T, d)."""
    q, k, v, weights, offsets = cache
    raise NotImplementedError("return dq, dk, dv")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    d = random.size(2)
    return *(random.rows(offsets[-1], d) for _ in range(3)), offsets


def sizes(dy, q, k, v, offsets):
    return {"√d": np.sqrt(q.shape[1])}


def terms(dy, q, k, v, offsets):
    text = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    same = text[:, None] == text
    p = np.zeros(same.shape)  # all texts at once, 0 between two of them
    for start, stop, of_text in zip(offsets[:-1], offsets[1:], forward(q, k, v, offsets)[1][3]):
        p[start:stop, start:stop] = of_text
    dp = dy @ v.T
    D = (p * dp).sum(axis=1, keepdims=True)
    first, second, root = p * dp, -p * D, np.sqrt(q.shape[1])
    return {
        "dq": [
            ("Σ_l ω_jl·dω_jl·k_l/√d", first @ k / root, {
                "the sum runs over the first index, da is transposed": first.T @ k / root,
                "q stands in the place of k": first @ q / root,
                "ω is left out of da": (dp * same) @ k / root,
            }),
            ("−Σ_l ω_jl·D_j·k_l/√d", second @ k / root, {
                "the sum runs over the first index, da is transposed": second.T @ k / root,
                "q stands in the place of k": second @ q / root,
                "ω is left out of da": -(D * same) @ k / root,
                "D is summed over the other index": -(p * (p * dp).sum(axis=0)) @ k / root,
                "ω is left out of D": -(p * (dp * same).sum(axis=1, keepdims=True)) @ k / root,
            }),
        ],
        "dk": [
            ("Σ_j ω_jl·dω_jl·q_j/√d", first.T @ q / root, {
                "the sum runs over the second index, da is not transposed": first @ q / root,
                "k stands in the place of q": first.T @ k / root,
                "ω is left out of da": (dp * same).T @ q / root,
            }),
            ("−Σ_j ω_jl·D_j·q_j/√d", second.T @ q / root, {
                "the sum runs over the second index, da is not transposed": second @ q / root,
                "k stands in the place of q": second.T @ k / root,
                "ω is left out of da": -(D * same).T @ q / root,
                "D is summed over the other index": -(p * (p * dp).sum(axis=0)).T @ q / root,
                "ω is left out of D": -(p * (dp * same).sum(axis=1, keepdims=True)).T @ q / root,
            }),
        ],
        "dv": [
            ("Σ_j ω_jl·dy_j", p.T @ dy, {
                "the sum runs over the second index, ω is not transposed": p @ dy,
                "ω is left out, dy itself stands there": dy,
                "v is multiplied into it": v * (p.T @ dy),
            }),
        ],
    }  # fmt: skip
