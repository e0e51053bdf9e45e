"""Optimizer, schedule, trainer, checkpoints and metrics.

Knows no equation: any network that keeps the contract trains.
"""
