"""Makes support/torch_twins.py importable: test files cannot import one another. Without PyTorch it skips them, with the reason."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "support"))
pytest.register_assert_rewrite("torch_twins")
