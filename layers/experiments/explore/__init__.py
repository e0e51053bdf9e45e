"""A page on which a gradient can be seen to move: `python train.py explore`."""
