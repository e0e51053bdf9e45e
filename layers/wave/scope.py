"""Over what a global magnitude is taken: per dimension of a text, or over the whole text."""

from engine.arguments import check_choice

SCOPES = ("dimension", "text")


def in_scope(x, offsets, scope):
    """View (T, d) rows so that every equation is per column of a text: returns (rows, offsets).

    "dimension": unchanged, one magnitude per text and dimension, (B, d).
    "text": one magnitude per text, (B, 1). The n·d numbers of a text are then n·d rows of a single dimension, so the
    same equations hold and no second derivation is needed.
    """
    check_choice("scope", scope, SCOPES)
    if scope == "dimension":
        return x, offsets
    return x.reshape(-1, 1), offsets * x.shape[1]
