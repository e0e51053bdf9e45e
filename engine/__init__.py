"""What runs, checks, feeds and measures a network that keeps the contract of engine.layer. Knows no equation."""

__version__ = "0.1.0"
