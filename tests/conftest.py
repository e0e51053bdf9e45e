"""Settings of hypothesis for all tests."""

import os

from hypothesis import settings

# No deadline: a stalled core is no fault of the code. On CI the examples are the same every time; elsewhere they are new.
settings.register_profile("here", deadline=None, derandomize=os.environ.get("CI") == "true")
settings.load_profile("here")
