"""Makes support/torch_twins.py and what tests of layers share importable: test files cannot import one another.

Without PyTorch they are skipped, with the reason.
"""
