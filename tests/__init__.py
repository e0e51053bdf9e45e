"""The tests: one folder for each of engine/ and layers/, and shared code in support/."""

import pytest

pytest.register_assert_rewrite("tests.support")  # before any of its modules is imported
