"""The command `benchmark`: the Wave Network beside the same network in PyTorch, written as people write it there."""
