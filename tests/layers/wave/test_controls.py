"""E23: networks without the imaginary part or without phases, and the cells of controls.md in which they agree."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given

from layers.networks.configs import LEVELS
from layers.wave import (
    OPERATIONS,
    READOUTS,
    SCOPES,
    WAVES,
    Wave,
    global_magnitude_forward,
    operation_backward,
    operation_forward,
    readout_backward,
    readout_forward,
    token2wave_forward,
    wave_backward,
    wave_forward,
)
from tests.support.device_stand_in import assert_computes_on_the_device
from tests.support.layer_laws import (
    LENGTHS,
    SEEDS,
    assert_equal,
    assert_exact_gradients,
    assert_five_point_gradients,
    caught,
    examples,
    groups,
    offsets_of,
    ragged,
    random_like,
    to_bytes,
)

CONTROLS = ("real", "phase-free")
CUTS = {"text": (0, 0), "sentence": (1, 1), "sentence-text": (1, 0)}  # of a and b: 0 texts, 1 sentences
TEXTS, SENTENCES = offsets_of([5, 0, 7]), offsets_of([2, 3, 0, 3, 2, 2])
# The formulas of controls.md for (full, real, phase-free). r and s are the norms of the other tokens, G and H the
# magnitudes, A and B the waves, of a and b.
TABLE = {
    ("interference", "real"): ("a + b", "a + b", "G + H"),
    ("interference", "imaginary"): ("r + s", "0 * a", "0 * a"),
    ("interference", "magnitude"): ("abs(A + B)", "abs(a + b)", "G + H"),
    ("interference", "phase"): ("angle(A + B)", "angle(a + b)", "0 * a"),
    ("interference", "both"): ("hstack([a + b, r + s])", "hstack([a + b, 0 * a])", "hstack([G + H, 0 * a])"),
    ("modulation", "real"): ("a * b - r * s", "a * b", "G * H"),
    ("modulation", "imaginary"): ("a * s + r * b", "0 * a", "0 * a"),
    ("modulation", "magnitude"): ("G * H", "abs(a * b)", "G * H"),
    ("modulation", "phase"): ("angle(A * B)", "angle(a * b)", "0 * a"),
    ("modulation", "both"): ("hstack([a*b - r*s, a*s + r*b])", "hstack([a * b, 0 * a])", "hstack([G * H, 0 * a])"),
    ("correlation", "real"): ("a * b + r * s", "a * b", "G * H"),
    ("correlation", "imaginary"): ("r * b - a * s", "0 * a", "0 * a"),
    ("correlation", "magnitude"): ("G * H", "abs(a * b)", "G * H"),
    ("correlation", "phase"): ("angle(A) - angle(B)", "angle(a) - angle(b)", "0 * a"),
    ("correlation", "both"): ("hstack([a*b + r*s, r*b - a*s])", "hstack([a * b, 0 * a])", "hstack([G * H, 0 * a])"),
}
every_cell = pytest.mark.parametrize(
    "operation, readout, kind, formula",
    [(*row, kind, formula) for row, formulas in TABLE.items() for kind, formula in zip(WAVES, formulas)],
)
every_scope = pytest.mark.parametrize("scope", SCOPES)


def rows():
    """a, b: twelve tokens of three dimensions, with numbers of either sign."""
    _, a, _ = ragged([12], 0, decades=0.5)
    _, b, _ = ragged([12], 1, decades=0.5)
    return a, b


def norms(w, offsets, scope):
    """(norm of the other tokens, magnitude) for each number of w, both by summing squares one by one."""
    others, magnitude = np.zeros_like(w), np.zeros_like(w)
    for _, entries in groups(offsets, w.shape[1], scope):
        for at in entries:
            others[at] = np.sqrt(sum(w[j] ** 2 for j in entries if j != at))
            magnitude[at] = np.sqrt(sum(w[j] ** 2 for j in entries))
    return others, magnitude


def by_formula(formula, level, scope):
    a, b = rows()
    cuts = [(TEXTS, SENTENCES)[cut] for cut in CUTS[level]]
    (r, G), (s, H) = norms(a, cuts[0], scope), norms(b, cuts[1], scope)
    names = {"a": a, "b": b, "r": r, "s": s, "G": G, "H": H, "A": a + 1j * r, "B": b + 1j * s}
    return eval(formula, {"abs": abs, "angle": np.angle, "hstack": np.hstack}, names)


def run_cell(operation, readout, kind, level, scope, seed=0):
    """(y, da, db) of the code, for the same cotangent in every cell of a width."""
    cuts = [(TEXTS, SENTENCES)[cut] for cut in CUTS[level]]
    waves, caches = zip(*(wave_forward(w, cut, scope, kind) for w, cut in zip(rows(), cuts)))
    z, combined = operation_forward(*waves, operation)
    y, read = readout_forward(z, readout)
    dwaves = operation_backward(readout_backward(random_like(np.random.default_rng(seed), y), read), combined)
    return y, *(wave_backward(dwave, cache) for dwave, cache in zip(dwaves, caches))


def sees_levels(formula):
    return bool(set(compile(formula, "", "eval").co_names) & set("rsGHAB"))


def functions(scope):
    """{(formula, level or None): the (y, da, db) of all cells with it}."""
    found = {}
    for (row, formulas), level in product(TABLE.items(), LEVELS):
        for kind, formula in zip(WAVES, formulas):
            cell = run_cell(*row, kind, level, scope)
            found.setdefault((formula, level if sees_levels(formula) else None), []).append(cell)
    return found


def test_the_table_has_every_cell():
    assert set(TABLE) == set(product(OPERATIONS, READOUTS)) and tuple(WAVES) == ("full", *CONTROLS)
    assert CUTS.keys() == set(LEVELS)


@every_scope
@every_cell
def test_a_cell_computes_its_formula(operation, readout, kind, formula, scope):
    for level in LEVELS:
        y = run_cell(operation, readout, kind, level, scope)[0]
        np.testing.assert_allclose(y, by_formula(formula, level, scope), rtol=1e-13, atol=1e-13)


@every_scope
def test_cells_of_one_formula_are_one_function(scope):
    """Value and both gradients; formulas of a and b alone are the same bits at every level."""
    found = functions(scope)
    assert len(found) == 58 and sum(map(len, found.values())) == 135 and len(found["0 * a", None]) == 27
    for (_, level), (first, *others) in found.items():
        for other in others:
            assert_equal(other, first, 1e-12 if level else 0.0)
    assert len(found["a + b", None]) == 6 and len(found["G * H", "sentence-text"]) == 6


@every_scope
def test_cells_of_other_formulas_are_other_functions(scope):
    firsts = [cells[0][0] for cells in functions(scope).values()]
    for n, y in enumerate(firsts):
        assert all(y.shape != other.shape or abs(y - other).max() > 0.01 for other in firsts[:n])


@every_scope
def test_cells_without_slope_hand_back_zero(scope):
    for (formula, _), cells in functions(scope).items():
        flat = formula == "0 * a" or formula.startswith("angle(a")
        assert all(any(map(np.any, cell[1:])) != flat for cell in cells), formula


@pytest.mark.parametrize("operation", ["modulation", "correlation"])
@pytest.mark.parametrize("zero", ["a", "b", "both"])
def test_the_magnitude_of_zeros_is_one_with_and_without_phases(operation, zero):
    a, b = rows()
    for w, name in ((a, "a"), (b, "b")):
        if zero in (name, "both"):
            w[:5, 1] = 0
    found = []
    for kind, readout in (("full", "magnitude"), ("phase-free", "magnitude"), ("phase-free", "real")):
        (A, of_a), (B, of_b) = (wave_forward(w, TEXTS, "dimension", kind) for w in (a, b))
        z, combined = operation_forward(A, B, operation)
        y, read = readout_forward(z, readout)
        dA, dB = operation_backward(readout_backward(random_like(np.random.default_rng(0), y), read), combined)
        found.append((y, wave_backward(dA, of_a), wave_backward(dB, of_b)))
        assert not any(x[:5, 1].any() for x in found[-1])
    assert_equal(found[1], found[0], 1e-12)
    assert_equal(found[2], found[0], 1e-12)


def test_the_sign_of_a_zero_decides_the_phase_of_a_control():
    """−π and π are one angle; its slope is 0."""
    a, b = np.array([[2.0], [-2.0]]), np.array([[-3.0], [3.0]])
    waves, caches = zip(*(wave_forward(w, offsets_of([2]), kind="real") for w in (a, b)))
    for operation, expected in (("correlation", [-np.pi, np.pi]), ("modulation", [np.pi, np.pi])):
        z, combined = operation_forward(*waves, operation)
        y, read = readout_forward(z, "phase")
        assert y.ravel().tolist() == expected
        for dwave, cache in zip(operation_backward(readout_backward(np.ones_like(y), read), combined), caches):
            assert not wave_backward(dwave, cache).any()


def test_of_numbers_that_come_out_even():
    w, dz = np.array([[3.0], [-4.0]]), Wave(np.array([[1.0], [2.0]]), np.array([[7.0], [8.0]]))
    expected = {"real": ([3, -4], [1, 2]), "phase-free": ([5, 5], [1.8, -2.4])}
    for kind, (re, dw) in expected.items():
        z, cache = wave_forward(w, np.array([0, 2]), kind=kind)
        assert z.re.ravel().tolist() == re and not z.im.any()
        np.testing.assert_allclose(wave_backward(dz, cache).ravel(), dw, rtol=1e-15)


@every_scope
@pytest.mark.parametrize("kind", CONTROLS)
@given(LENGTHS, SEEDS)
@examples()
def test_gradient(kind, scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed)
    pair = (lambda w: wave_forward(w, offsets, scope, kind)), wave_backward
    assert_exact_gradients(*pair, w)
    assert_five_point_gradients(*pair, w)


@every_scope
@given(LENGTHS, SEEDS)
@examples()
def test_phase_free_is_the_modulus_of_the_full_wave(scope, lengths, seed):
    _, w, offsets = ragged(lengths, seed)
    z = wave_forward(w, offsets, scope, "phase-free")[0]
    assert_equal(z.re, abs(token2wave_forward(w, offsets, scope)[0].as_complex()), 1e-14)
    G = global_magnitude_forward(w, offsets, scope)[0]
    assert_equal(z.re, np.repeat(np.broadcast_to(G, (len(lengths), 3)), lengths, axis=0))
    assert not z.im.any()


@given(SEEDS)
@examples()
def test_of_one_token_each_the_full_wave_is_the_real_control(seed):
    """In values and gradients, bit by bit; |w| is left without its phase."""
    rng, w, offsets = ragged([1, 0, 1, 1], seed)
    dz = Wave(*rng.standard_normal((2, *w.shape)))
    (full, of_full), (real, of_real), (free, of_free) = (wave_forward(w, offsets, kind=kind) for kind in WAVES)
    assert to_bytes((full, wave_backward(dz, of_full))) == to_bytes((real, wave_backward(dz, of_real)))
    assert_equal((free.re, wave_backward(dz, of_free)), (abs(w), dz.re * np.sign(w)), 1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", CONTROLS)
@every_scope
def test_zeros_and_no_tokens_give_zero(scope, kind, dtype):
    """dw is dre where re = w, and 0 at the tip of the cone."""
    for lengths in ([2, 0], [0, 0], []):
        w = np.zeros((sum(lengths), 3), dtype)
        z, cache = wave_forward(w, offsets_of(lengths), scope, kind)
        dw = wave_backward(Wave(w + 1, w + 1), cache)
        assert to_bytes((*z, dw)) == to_bytes((w, w, w + 1 if kind == "real" else w))


@pytest.mark.parametrize("kind", CONTROLS)
def test_wrong_offsets_and_scopes_are_refused_by_controls_too(kind):
    w = np.ones((3, 2))
    for offsets, scope, shown in ((np.array([0, 2]), "text", "offsets"), (offsets_of([3]), "texts", "scope")):
        with pytest.raises(ValueError, match=f"^{shown}: "):
            wave_forward(w, offsets, scope, kind)


@pytest.mark.parametrize("kind", CONTROLS)
def test_the_gradient_is_taken_on_the_device_of_its_cotangent(device, kind):
    _, w, offsets = ragged([3, 0, 1, 4], 0)
    z, cache = wave_forward(w, offsets, kind=kind)
    assert_computes_on_the_device(device, wave_backward, z, cache)


@pytest.mark.parametrize(
    "kind, corrupted",
    [
        ("real", lambda dz, cache: wave_backward(dz, cache) + dz.im),
        ("phase-free", lambda dz, cache: wave_backward(Wave(dz.im, dz.re), cache)),
        ("phase-free", lambda dz, cache: dz.re * np.sign(cache.inner.w)),  # of its own token alone
    ],
    ids=["imaginary part", "swapped", "no sum"],
)
def test_a_corrupted_backward_is_caught(kind, corrupted):
    _, w, offsets = ragged([3, 0, 5], 0)
    assert caught(lambda w: wave_forward(w, offsets, kind=kind), corrupted, w)
