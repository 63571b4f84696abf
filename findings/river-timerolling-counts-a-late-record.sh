#!/usr/bin/env bash
# Guess: utils.TimeRolling(stats.Sum, period=24 h) never counts a record that is older than 24 hours before the newest one.
# Found: river 0.26.1: a record that comes late, from two days ago, is counted until the next record comes: get() returns 101
# instead of 1, and what is read in between (a velocity at the moment of decision) is too high.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check river==0.26.1
"$work/venv/bin/python" - <<'PYTHON'
import datetime as dt

from river import stats, utils

start, hour = dt.datetime(2026, 1, 1), dt.timedelta(hours=1)
day = utils.TimeRolling(stats.Sum, period=24 * hour)
day.update(1, t=start + 48 * hour)
day.update(100, t=start)  # arrives late: 48 hours behind
with_late = day.get()
day.update(1, t=start + 49 * hour)
print(f"right after the late record {with_late}, after the next one {day.get()}")
assert (with_late, day.get()) == (101.0, 2.0)
PYTHON
