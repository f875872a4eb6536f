"""Property tests are the same on every run, and never fail for being slow on a busy machine."""

from hypothesis import settings

settings.register_profile("unit", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("unit")
