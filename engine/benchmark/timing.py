"""Seconds of competing pieces of code, measured in turn, and the rate of matrix products to hold them against."""

import math
import statistics
import time

import numpy as np

PAUSE = 0.3  # seconds: idle threads of BLAS and OpenMP wait in a loop for about 0.1 s before they sleep


def interleaved(contestants, repeats, pause=PAUSE):
    """dict of names → list of `repeats` seconds. contestants: dict of names → function of the repeat's number.

    Repeat after repeat the contestants take turns, so that what the machine does meanwhile meets all of them. One call of
    each comes first and does not count. Before each call the others' idle threads get the time to fall asleep.
    """
    seconds = {name: [] for name in contestants}
    for repeat in range(-1, repeats):
        for name, run in contestants.items():
            if len(contestants) > 1:
                time.sleep(pause)
            started = time.perf_counter()
            run(repeat)
            if repeat >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def product_rate(rows, inner, columns, repeats=15):
    """FLOP/s of a float32 product (rows, inner)·(inner, columns) by NumPy's BLAS: the median over repeats."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(shape, dtype=np.float32) for shape in ((rows, inner), (inner, columns)))
    y = np.empty((rows, columns), np.float32)
    seconds = interleaved({"product": lambda _: np.matmul(x, w, out=y)}, repeats)["product"]
    return 2 * rows * inner * columns / statistics.median(seconds)


def growth_exponent(sizes, seconds):
    """The slope of a straight line through (log size, log seconds), by least squares: 1 where seconds grow with size."""
    x, y = [math.log(size) for size in sizes], [math.log(s) for s in seconds]
    return statistics.linear_regression(x, y).slope
