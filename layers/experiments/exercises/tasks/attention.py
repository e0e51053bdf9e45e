"""Exercise attention (E18): scaled dot-product attention of one head, within each text.

    s_jl = q_j·k_l/√e        p_jl = softmax_l(s_jl)        y_j = Σ_l p_jl·v_l        e: the number of columns

j and l run over the tokens of one text. The texts lie one after another: text t owns the rows offsets[t] …
offsets[t + 1] − 1. A text may be empty.
Steps on the way: dp_jl = dy_j·v_l, then ds_jl, which has two terms since p_jl depends on all scores of row j.
Write backward. Then: python train.py exercise --check THIS_FILE
"""

import numpy as np


def forward(q, k, v, offsets):
    """q, k, v: (T, e), offsets: (B + 1,) integers → y: (T, e), and the cache; weights: p, (n, n), of each text."""
    y, weights = np.zeros_like(v), []
    for start, stop in zip(offsets[:-1], offsets[1:]):
        s = q[start:stop] @ k[start:stop].T / np.sqrt(q.shape[1])
        p = np.exp(s - s.max(axis=1, keepdims=True, initial=-np.inf))
        p /= p.sum(axis=1, keepdims=True)
        y[start:stop] = p @ v[start:stop]
        weights.append(p)
    return y, (q, k, v, weights, offsets)


def backward(dy, cache):
    """dy: (T, e) → (dq, dk, dv), each (T, e)."""
    q, k, v, weights, offsets = cache
    raise NotImplementedError("return dq, dk, dv")


# --- not in the learner's file ---


def draw(random):
    offsets = random.offsets()
    e = random.size(2)
    return *(random.rows(offsets[-1], e) for _ in range(3)), offsets


def sizes(dy, q, k, v, offsets):
    return {"√e": np.sqrt(q.shape[1]), "B, the number of texts": len(offsets) - 1}


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
            ("Σ_l p_jl·dp_jl·k_l/√e", first @ k / root, {
                "the sum runs over the first index, ds is transposed": first.T @ k / root,
                "q stands in the place of k": first @ q / root,
                "p is left out of ds": (dp * same) @ k / root,
            }),
            ("−Σ_l p_jl·D_j·k_l/√e", second @ k / root, {
                "the sum runs over the first index, ds is transposed": second.T @ k / root,
                "q stands in the place of k": second @ q / root,
                "p is left out of ds": -(D * same) @ k / root,
                "D is summed over the other index": -(p * (p * dp).sum(axis=0)) @ k / root,
                "p is left out of D": -(p * (dp * same).sum(axis=1, keepdims=True)) @ k / root,
            }),
        ],
        "dk": [
            ("Σ_j p_jl·dp_jl·q_j/√e", first.T @ q / root, {
                "the sum runs over the second index, ds is not transposed": first @ q / root,
                "k stands in the place of q": first.T @ k / root,
                "p is left out of ds": (dp * same).T @ q / root,
            }),
            ("−Σ_j p_jl·D_j·q_j/√e", second.T @ q / root, {
                "the sum runs over the second index, ds is not transposed": second @ q / root,
                "k stands in the place of q": second.T @ k / root,
                "p is left out of ds": -(D * same).T @ q / root,
                "D is summed over the other index": -(p * (p * dp).sum(axis=0)).T @ q / root,
                "p is left out of D": -(p * (dp * same).sum(axis=1, keepdims=True)).T @ q / root,
            }),
        ],
        "dv": [
            ("Σ_j p_jl·dy_j", p.T @ dy, {
                "the sum runs over the second index, p is not transposed": p @ dy,
                "p is left out, dy itself stands there": dy,
                "v is multiplied into it": v * (p.T @ dy),
            }),
        ],
    }  # fmt: skip
