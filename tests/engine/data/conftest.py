"""Makes tests/support importable, with the stand-in for the Hugging Face hub: test files cannot import one another."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "support"))
from hub_server import hub  # noqa: E402, F401 (a fixture, after the path is set)
