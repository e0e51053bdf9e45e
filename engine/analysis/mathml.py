"""LaTeX to MathML, which browsers draw without a script. Needs latex2mathml, of the extra `plots`."""

from engine.errors import UserError


def mathml_converter(what="--html"):
    """A function LaTeX → MathML text. UserError that names `what` and the extra where latex2mathml is not installed."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        raise UserError(f"{what}: formulas need latex2mathml, which is not installed; pip install -e '.[plots]'") from None
    # Fractions and sums in full size, yet in the line.
    return lambda latex: convert(latex).strip().replace("<math ", '<math displaystyle="true" ', 1)
