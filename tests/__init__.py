"""The tests: one folder for each of engine/ and layers/, and what they share in support/."""
