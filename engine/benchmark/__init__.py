"""Tools to measure speed and memory: clocks, turns, parts of a step, child processes, the machine."""
