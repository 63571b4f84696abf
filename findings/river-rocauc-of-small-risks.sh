#!/usr/bin/env bash
# Guess: metrics.ROCAUC() of a model that ranks every fraud above every genuine payment is 1.0, whatever the size of the risks.
# Found: river 0.26.1: it is 0.5 where all risks lie below .1, as risks of fraud do: the default counts at 10 evenly spaced
# thresholds, and all payments fall between the first two. RollingROCAUC and n_thresholds=1000 see the ranking.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check river==0.26.1
"$work/venv/bin/python" - <<'PYTHON'
from river import metrics

payments = [(True, 0.020), (True, 0.030), (False, 0.010), (False, 0.005)] * 50  # perfectly ranked
default, fine, rolling = metrics.ROCAUC(), metrics.ROCAUC(n_thresholds=1000), metrics.RollingROCAUC(window_size=200)
for fraud, risk in payments:
    for metric in (default, fine, rolling):
        metric.update(fraud, risk)
print(f"ROCAUC() {default.get():.3f}, ROCAUC(n_thresholds=1000) {fine.get():.3f}, RollingROCAUC {rolling.get():.3f}")
assert abs(default.get() - 0.5) < 1e-9, "the default sees the ranking by now"
assert fine.get() > 0.99 and rolling.get() == 1.0
PYTHON
