"""Typical mistakes, made in the source of the project's own backward, are named: the term, and what is wrong."""

import pytest

from layers.experiments.exercises.check import check_file
from layers.experiments.exercises.report import finding_as_text
from layers.experiments.exercises.table import EXERCISES
from tests.support.exercise_equations import write_with_equation

T, D = "T, the number of rows", "d, the number of columns"
ROWS, MEAN = "T, the number of tokens of all texts", "a mean in place of a sum"
SHARED, THERE = "spread(dy / (n + (n == 0)).astype(dy.dtype), offsets, shape[0])", "dx[xp.where("
BRANCH = "        # D is taken from the very same numbers: dy·y would leave rounding where ω is 1.\n"
D_TERM = '        da -= xp.einsum("hjl,hjl->hj", omega, da)[:, :, None]\n'
W_OWN, W_G = "dw: −w·h, the token's own part of it", "dw: w·Σh, the path through G to all tokens of the text"
MU, SIGMA = "dx: −r·mean(g)", "dx: −r·x̂·mean(g·x̂)"
DQ, DK = (
    ("dq: Σ_l ω_jl·dω_jl·k_l/√d", "dq: −Σ_l ω_jl·D_j·k_l/√d"),
    ("dk: Σ_j ω_jl·dω_jl·q_j/√d", "dk: −Σ_j ω_jl·D_j·q_j/√d"),
)
DRE, DIM = "dz: dre = dy·re/ρ", "dz: dim = dy·im/ρ"
P, ONEHOT, UNIFORM = "dz: q̂·dL/B", "dz: −(1 − λ)·onehot·dL/B", "dz: −(λ/K)·dL/B"
A = "da: a_j·dy_t·G_B/G_A"

MISTAKES = {
    # exercise: what stands in the equation, then pairs of what stands there in its place, and all that is found
    ("interference", "return dz, dz"): [
        ("return dz, Wave(-dz.re, -dz.im)", ["db: dZ: wrong sign"]),
        ("return Wave(dz.re / 2, dz.im / 2), dz", ["da: dZ: factor 0.5 where 1 belongs"]),
        ("return Wave(dz.re, -dz.im), dz", ["da: dZ: its conjugate stands there"]),
        ("return dz, Wave(dz.re, 0 * dz.im)", ["db: dZ: only its real part is handed on"]),
        ("return Wave(0 * dz.re, 0 * dz.im), dz", ["da: dZ: missing"]),
    ],
    ("linear", "return product(dy, weight.T), dweight, dbias"): [
        ("return product(dy, weight), dweight, dbias", ["dx: dy·Wᵀ: W is not transposed"]),
        ("return product(dy, weight.T), dweight.T, dbias", ["dweight: xᵀ·dy: it is transposed"]),
        ("return product(dy, weight.T), -dweight, dbias", ["dweight: xᵀ·dy: wrong sign"]),
        ("return product(dy, weight.T), dweight, dbias / len(dy)", [f"dbias: Σ_j dy_j: divided by {T}: {MEAN}"]),
        ("return product(dy, weight.T), dweight, 0 * dbias", ["dbias: Σ_j dy_j: missing"]),
        ("return -product(dy, weight.T), 2 * dweight, dy[-1]", [
            "dx: dy·Wᵀ: wrong sign",
            "dweight: xᵀ·dy: factor 2 where 1 belongs",
            "dbias: Σ_j dy_j: only the last row is taken",
        ]),
    ],
    ("embedding", "return sum_rows(cache.ids, dy)"): [
        (
            "dE = 0 * cache.table; dE[cache.ids] += dy; return dE",
            ["of equal ids only the last one counts (so do dtable[ids] = dy and dtable[ids] += dy)"],
        ),
        ("dE = 0 * cache.table; dE[cache.ids[::-1]] = dy[::-1]; return dE", ["of equal ids only the first one counts"]),
        (
            "n = np.bincount(cache.ids, minlength=len(cache.table))[:, None]; "
            "return sum_rows(cache.ids, dy).dense(len(n)) / np.maximum(n, 1)",
            ["a mean in place of the sum"],
        ),
        ("return -sum_rows(cache.ids, dy).dense(len(cache.table))", ["wrong sign"]),
        ("return sum_rows(cache.ids, dy / len(dy))", [f"divided by T, the number of tokens: {MEAN}"]),
        ("return 0 * cache.table", ["missing"]),
    ],
    ("modulation", "return times_conjugate(dz, b), times_conjugate(dz, a)"): [
        ("return times(dz, b), times_conjugate(dz, a)", ["da: dZ·conj(B): the conjugate of B is forgotten"]),
        ("return times_conjugate(dz, a), times_conjugate(dz, b)", [
            "da: exchanged with db",
            "db: exchanged with da",
        ]),
        ("return times_conjugate(dz, b), times_conjugate(a, dz)", ["db: dZ·conj(A): dZ is conjugated in place of A"]),
        (
            "return times_conjugate(dz, b), Wave(dz.re * a.re - dz.im * a.im, dz.im * a.re - dz.re * a.im)",
            [],
        ),
        ("return dz, times_conjugate(dz, a)", ["da: dZ·conj(B): B is left out"]),
        ("return times_conjugate(dz, b), times_conjugate(dz, b)", ["db: dZ·conj(A): B stands in the place of A"]),
    ],
    ("dropout", "return dy if cache.scaled_mask is None else dy * cache.scaled_mask"): [
        ("return dy", ["m and 1/(1 − θ) are left out"]),
        ("return dy * (cache.scaled_mask > 0)", ["multiplied by 1 − θ: its 1/(1 − θ) is forgotten"]),
        ("return dy * cache.scaled_mask.max()", ["m is left out"]),
        ("return dy * (cache.scaled_mask == 0) * cache.scaled_mask.max()", ["1 − m stands in the place of m"]),
        ("return dy * cache.scaled_mask**2", ["divided by 1 − θ"]),
        ("return cache.scaled_mask", ["dy is left out"]),
        ("return -dy * cache.scaled_mask", ["wrong sign"]),
    ],
    ("mean_pooling", SHARED): [
        ("spread(dy, offsets, shape[0])", ["1/n_t is left out"]),
        ("spread(dy, offsets) / shape[0]", ["it is divided by T, the number of tokens of all texts, not by n_t"]),
        ("spread(dy, offsets) / len(n)", ["it is divided by B, the number of texts, not by n_t"]),
        ("spread(dy * n, offsets)", ["it is multiplied by n_t, not divided"]),
        ("-" + SHARED, ["wrong sign"]),
        (SHARED + " / shape[1]", [f"divided by {D}: {MEAN}"]),
    ],
    ("max_pooling", THERE): [
        ("return spread(dy, offsets)\n        " + THERE, ["every token of the text receives it"]),
        ("n = lengths(offsets)[:, None]; dy = dy / np.maximum(n, 1)\n        " + THERE, ["it is divided by n_t"]),
        ("dy = -dy\n        " + THERE, ["wrong sign"]),
        ("rows = rows.copy(); rows[:] = rows[:, :1]\n        " + THERE, []),
        ("return dx[:-1]\n        " + THERE, ["missing"]),
        ("dy = dy * 2\n        " + THERE, ["factor 2 where 1 belongs"]),
        (
            "n = lengths(offsets)[:, None]; return spread(dy / np.maximum(n, 1), offsets)\n        " + THERE,
            ["every token of the text receives a share of 1/n_t, as of a mean"],
        ),
    ],
    ("gelu", "return y, tail + bell"): [
        ("return y, tail", ["dx: dy·x·φ(x): missing"]),
        ("return y, tail - bell", ["dx: dy·x·φ(x): wrong sign"]),
        ("return y, tail + bell / x", ["dx: dy·x·φ(x): x is left out"]),
        (
            "return y, tail + bell * math.sqrt(2 * math.pi)",
            ["dx: dy·x·φ(x): multiplied by √(2π): its 1/√(2π) is forgotten"],
        ),
        ("return y, bell", ["dx: dy·Φ(x): missing"]),
        (
            "return y, tail + x * np.exp(-x * x) / math.sqrt(2 * math.pi)",
            ["dx: dy·x·φ(x): the exponent is −x², not −x²/2"],
        ),
    ],
    ("readout_magnitude", "return Wave(dy * divide_or_zero(z.re, rho), dy * divide_or_zero(z.im, rho))"): [
        ("return Wave(dy * z.re, dy * z.im)", ["dz: all terms: 1/ρ is left out"]),
        ("return Wave(dy * divide_or_zero(z.re, rho), -dy * divide_or_zero(z.im, rho))", [f"{DIM}: wrong sign"]),
        ("return Wave(dy * divide_or_zero(z.re, rho), 0 * dy)", [f"{DIM}: missing"]),
        (
            "return Wave(dy * divide_or_zero(z.re, rho**2), dy * divide_or_zero(z.im, rho**2))",
            ["dz: all terms: it is divided by ρ², not by ρ"],
        ),
        ("return Wave(divide_or_zero(z.re, rho), divide_or_zero(z.im, rho))", ["dz: all terms: dy is left out"]),
        (
            "return Wave(2 * dy * divide_or_zero(z.re, rho), 2 * dy * divide_or_zero(z.im, rho))",
            ["dz: all terms: factor 2 where 1 belongs"],
        ),
        (
            "return Wave(dy * divide_or_zero(z.re, rho) + dy * (rho == 0), dy * divide_or_zero(z.im, rho))",
            ["dz: wrong only where Z = 0: the gradient is 0 there by convention"],
        ),
    ],
    (
        "readout_phase",
        "return Wave(-over_rho * divide_or_zero(z.im, rho), over_rho * divide_or_zero(z.re, rho))",
    ): [
        (
            "return Wave(over_rho * divide_or_zero(z.im, rho), over_rho * divide_or_zero(z.re, rho))",
            ["dz: dre = −dy·im/ρ²: wrong sign"],
        ),
        (
            "return Wave(-dy * divide_or_zero(z.im, rho), dy * divide_or_zero(z.re, rho))",
            ["dz: all terms: it is divided by ρ, not by ρ²"],
        ),
        ("return Wave(-dy * z.im, dy * z.re)", ["dz: all terms: 1/ρ² is left out"]),
        ("return Wave(0 * dy, over_rho * divide_or_zero(z.re, rho))", ["dz: dre = −dy·im/ρ²: missing"]),
        (
            "return Wave(-over_rho * divide_or_zero(z.re, rho), over_rho * divide_or_zero(z.im, rho))",
            ["dz: dre = −dy·im/ρ²: re stands in the place of im", "dz: dim = dy·re/ρ²: im stands in the place of re"],
        ),
        (
            "return Wave(over_rho * divide_or_zero(z.im, rho), -over_rho * divide_or_zero(z.re, rho))",
            ["dz: all terms: wrong sign"],
        ),
    ],
    ("cross_entropy", "dz *= xp.asarray(dL, dz.dtype) / dz.dtype.type(len(dz))"): [
        ("dz *= dL", ["dz: all terms: multiplied by B, the number of texts: its 1/B is forgotten"]),
        ("dz /= len(dz)", ["dz: all terms: divided by dL"]),
        ("dz *= -dL / len(dz)", ["dz: all terms: wrong sign"]),
        (
            "dz = xp.exp(log_p); dz[of_labels] -= 1; dz *= dL / len(dz)",
            [f"{ONEHOT}: divided by 1 − λ", f"{UNIFORM}: missing"],
        ),
        ("dz *= dL / len(dz); dz -= np.exp(log_p) * dL / len(dz)", [f"{P}: missing"]),
        (
            "dz *= dL / len(dz); dz += (log_p - np.exp(log_p)) * dL / len(dz)",
            [f"{P}: log q̂ stands in the place of q̂"],
        ),
        (
            "dz *= dL / len(dz); dz -= (1 - 1 / dz.shape[1]) * smoothing * dL / len(dz)",
            [f"{UNIFORM}: multiplied by K, the number of classes: its 1/K is forgotten"],
        ),
    ],
    ("layer_norm", "    g *= rstd\n    return g, dgain, dbias"): [
        ("    return g * rstd + rstd * (dy * gain).mean(axis=1, keepdims=True), dgain, dbias", [f"{MU}: missing"]),
        ("    return g * rstd + rstd * normalized * slope, dgain, dbias", [f"{SIGMA}: missing"]),
        ("    return g * rstd + 2 * rstd * normalized * slope, dgain, dbias", [f"{SIGMA}: wrong sign"]),
        ("    return g, dgain, dbias", ["dx: all terms: r is left out"]),
        ("    return dy * gain * rstd, dgain, dbias", [f"{MU}: missing", f"{SIGMA}: missing"]),
        (
            "    return g * rstd, dgain / len(dy), dy[0]",
            [f"dgain: Σ_j dy_j·x̂_j: divided by {T}: {MEAN}", "dbias: Σ_j dy_j: only the first row is taken"],
        ),
        (
            "    return g * rstd - (dy.shape[1] - 1) * rstd * normalized * slope, dgain, -dbias",
            [f"{SIGMA}: multiplied by {D}: its 1/d is forgotten", "dbias: Σ_j dy_j: wrong sign"],
        ),
        (
            "    return layer_norm_backward_of(dy, normalized, rstd), dgain, (dy * gain).sum(axis=0)\n\n\n"
            "def layer_norm_backward_of(g, normalized, rstd):\n"
            "    slope = row_dots(g, normalized) / g.shape[1]\n"
            "    return (g - g.mean(axis=1, keepdims=True) - normalized * slope) * rstd",
            ["dx: all terms: γ is left out, g = dy", "dbias: Σ_j dy_j: g stands in the place of dy"],
        ),
    ],
    (
        "modulated_magnitude",
        "return global_magnitude_backward(dy * cache.G_b, cache.a), global_magnitude_backward(dG_b, cache.b)",
    ): [
        (
            "return global_magnitude_backward(dy, cache.a), global_magnitude_backward(dG_b, cache.b)",
            [f"{A}: G_B is left out"],
        ),
        (
            "return global_magnitude_backward(dy * cache.G_a, cache.a), global_magnitude_backward(dG_b, cache.b)",
            [f"{A}: G_A stands in the place of G_B"],
        ),
        (
            "return global_magnitude_backward(dG_b, cache.b), global_magnitude_backward(dy * cache.G_b, cache.a)",
            ["da: exchanged with db", "db: exchanged with da"],
        ),
        (
            "return global_magnitude_backward(dy * cache.G_b * cache.G_a, cache.a), "
            "global_magnitude_backward(dG_b, cache.b)",
            [f"{A}: 1/G_A is left out"],
        ),
        (
            "return global_magnitude_backward(dy * cache.G_b, cache.a), -global_magnitude_backward(dG_b, cache.b)",
            ["db: b_j·dy_t·G_A/G_B: wrong sign"],
        ),
        (
            "n = np.diff(cache.a.offsets)[:, None]; return global_magnitude_backward("
            "dy * cache.G_b / np.maximum(n, 1), cache.a), global_magnitude_backward(dG_b, cache.b)",
            [f"{A}: it is divided by the number of tokens of the text"],
        ),
    ],
    ("attention", BRANCH + D_TERM + "        da *= omega * scale\n"): [
        ("        da *= omega * scale\n", [f"{DQ[1]}: missing", f"{DK[1]}: missing"]),
        (
            D_TERM.replace("-=", "+=") + "        da *= omega * scale\n",
            [f"{DQ[1]}: wrong sign", f"{DK[1]}: wrong sign"],
        ),
        (
            D_TERM + "        da *= omega\n",
            [f"{name}: all terms: multiplied by √d: its 1/√d is forgotten" for name in ("dq", "dk")],
        ),
        (D_TERM + "        da *= scale\n", [f"{name}: all terms: ω is left out of da" for name in ("dq", "dk")]),
        (
            "        da -= da.sum(axis=2, keepdims=True)\n        da *= omega * scale\n",
            [f"{DQ[1]}: ω is left out of D", f"{DK[1]}: ω is left out of D"],
        ),
        (
            D_TERM.replace("hj\"", "hl\"").replace("[:, :, None]", "[:, None, :]") + "        da *= omega * scale\n",
            [f"{DQ[1]}: D is summed over the other index", f"{DK[1]}: D is summed over the other index"],
        ),
    ],
    ("attention", "        dk_h += da.transpose(0, 2, 1) @ q_h\n"): [
        ("        dk_h += da @ q_h\n", ["dk: all terms: the sum runs over the second index, da is not transposed"]),
        ("        dk_h += da.transpose(0, 2, 1) @ k_h\n", ["dk: all terms: k stands in the place of q"]),
    ],
    ("attention", "        dv_h += omega.transpose(0, 2, 1) @ dy_h\n"): [
        (
            "        dv_h += omega @ dy_h\n",
            ["dv: Σ_j ω_jl·dy_j: the sum runs over the second index, ω is not transposed"],
        ),
        ("        dv_h -= omega.transpose(0, 2, 1) @ dy_h\n", ["dv: Σ_j ω_jl·dy_j: wrong sign"]),
    ],
    ("token2wave", "dw[rows] = dre[rows] + x[rows] * exclusive_sum(h, block)"): [
        ("dw[rows] = dre[rows]", [f"{W_G}: missing", f"{W_OWN}: missing"]),
        ("dw[rows] = dre[rows] - x[rows] * h", [f"{W_G}: missing"]),
        ("dw[rows] = dre[rows] + x[rows] * (exclusive_sum(h, block) + h)", [f"{W_OWN}: missing"]),
        ("dw[rows] = x[rows] * exclusive_sum(h, block)", ["dw: dre: missing"]),
        ("dw[rows] = dre[rows] + x[rows] * (exclusive_sum(h, block) + 2 * h)", [f"{W_OWN}: wrong sign"]),
        ("dw[rows] = dre[rows] - x[rows] * exclusive_sum(h, block)", [f"{W_G}: wrong sign", f"{W_OWN}: wrong sign"]),
        (
            "dw[rows] = dre[rows] + x[rows] * (h.sum(axis=0) - h)",
            [f"{W_G}: the sum runs over all texts, not over the token's own"],
        ),
        (
            "dw[rows] = dre[rows] + x[rows] * exclusive_sum(dim[rows], block)",
            [f"{W_G}: 1/v is left out, h = dim", f"{W_OWN}: 1/v is left out, h = dim"],
        ),
        (
            "dw[rows] = dre[rows] + exclusive_sum(x[rows] * h, block)",
            [f"{W_G}: w stands within the sum, not before it"],
        ),
    ],
}  # fmt: skip
ONE_TERM = {
    "embedding": "dtable: Σ_j dy_j over the tokens with this id: ",
    "dropout": "dx: dy·m/(1 − θ): ",
    "mean_pooling": "dx: dy_t/n_t: ",
    "max_pooling": "dx: dy_tk at the largest entry: ",
}
CASES = [
    pytest.param(name, old, new, [ONE_TERM.get(name, "") + words for words in found], id=f"{name}-{number}")
    for (name, old), mistakes in MISTAKES.items()
    for number, (new, found) in enumerate(mistakes)
]


def test_every_exercise_has_five_mistakes():
    assert all(sum(name == case.values[0] for case in CASES) >= 5 for name in EXERCISES)


@pytest.mark.parametrize("name, old, new, expected", CASES)
def test_a_typical_mistake_is_named(name, old, new, expected, tmp_path):
    verdict = check_file(write_with_equation(tmp_path / "mine.py", name, old, new))
    found = [f"{g.name}: {finding_as_text(f)}" for g in verdict.gradients for f in g.findings]
    assert not verdict.ok and found == expected
