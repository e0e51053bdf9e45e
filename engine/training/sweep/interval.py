"""The confidence interval of a mean from a few values: mean ± t·s/√n with Student's t."""

import math
import statistics

# Student's t with n − 1 degrees of freedom lies below this with probability 0.975: the 95 % that are left are around the mean.
QUANTILES = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 12: 2.179, 13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086,
    21: 2.080, 22: 2.074, 23: 2.069, 24: 2.064, 25: 2.060, 26: 2.056, 27: 2.052, 28: 2.048, 29: 2.045, 30: 2.042,
    40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip


def quantile(degrees):
    """The entry of QUANTILES; between two of them that of the smaller number, with which an interval is a little too wide."""
    return QUANTILES[max(known for known in QUANTILES if known <= degrees)]


def mean_interval(values):
    """[low, high] that holds the mean of shares in [0, 1] with 95 %, if their spread is that of a normal distribution. None for a single value."""
    if len(values) < 2:
        return None
    half = quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    return [max(0.0, mean - half), min(1.0, mean + half)]
