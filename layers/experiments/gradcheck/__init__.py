"""The command gradcheck: every equation against numerical derivatives."""
