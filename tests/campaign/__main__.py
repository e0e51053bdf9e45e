"""Attack the program for some minutes: python -m tests.campaign [--minutes N] [--part NAME]… [--seed N] [--most N]

Prints a line for each finding as it is found, and a table of counts at the end. Exit code 1 if there are findings.
"""

import argparse
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is imported: children are forked

from engine.support.text import format_table
from tests.campaign import calls, commands, concurrent, determinism, environment, fuzz, inputs, kills, ranks, server
from tests.campaign.trials import Trials

PARTS = {
    "kills": kills.kills,
    "calls": calls.kills_at_calls,
    "commands": commands.kills_of_commands,
    "space": calls.errors_at_calls,
    "concurrent": concurrent.side_by_side,
    "environment": environment.environments,
    "inputs": inputs.bad_inputs,
    "ranks": ranks.killed_ranks,
    "fuzz": fuzz.fuzzed,
    "determinism": determinism.repetitions,
    "server": server.attacked,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description="Attack the program.")
    parser.add_argument("--minutes", type=float, default=8.0, help="in all; each part gets an equal share")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="repeatable; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=10**9, help="trials of a part")
    given = parser.parse_args()
    chosen = given.part or list(PARTS)
    done = []
    for name in chosen:
        trials = Trials(name, given.seed, 60 * given.minutes / len(chosen), given.most)
        done.append(trials)
        try:
            with trials:
                PARTS[name](trials)
        except KeyboardInterrupt:  # what was done so far is told
            break
    rows = [(one.part, f"{one.count:,}", len(one.findings), f"{one.seconds:.0f} s", one.described()) for one in done]
    print(format_table(["part", "trials", "findings", "time", "outcomes"], rows, align="<>>><"))
    return int(any(one.findings for one in done))


if __name__ == "__main__":
    sys.exit(main())
