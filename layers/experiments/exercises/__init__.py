"""Exercises that check themselves: an equation with its forward, whose backward a learner writes."""
