"""Measuring speed: interleaved repeats, the rate of matrix products, seconds per part, growth with size, the machine."""
