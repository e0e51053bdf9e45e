"""Files, errors, settings, text: no mathematics, no arrays."""
