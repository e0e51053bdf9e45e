#!/usr/bin/env bash
# What only a GPU can tell, in nine minutes: its tests, fast implementations held against the equations, steps, memory,
# whole trainings, the study and complexity in short form. Writes on_device.json and on_device.md, part by part.
#
#   tests/on_device.sh [--output DIR] [--minutes N] [--only PARTS] [--cache-dir DIR] [--emulated]
#
# AG_NEWS holds the options of the command train that name the files of AG News, such as
# AG_NEWS="--train-file train.csv.gz --test-file test.csv.gz --text-columns 2,3 --label-column 1"; without it AG News is
# left out. Paths are relative to the root of the checkout. PYTHON names the interpreter. Exit code 1 where a part
# failed, 2 where there is no GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python}" -m tests.support.on_device "$@"
