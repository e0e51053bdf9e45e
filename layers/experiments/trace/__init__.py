"""One text through a network and back: every value, and every gradient beside its numerical value."""
