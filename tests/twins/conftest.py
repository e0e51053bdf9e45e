"""Makes support/torch_twins.py and what tests of layers share importable: test files cannot import one another.

Without PyTorch they are skipped, with the reason.
"""

import sys
from pathlib import Path

import pytest

for folder in (Path(__file__).parent / "support", Path(__file__).parents[1] / "layers" / "support"):
    sys.path.append(str(folder))
pytest.register_assert_rewrite("torch_twins")
