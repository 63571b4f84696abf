#!/usr/bin/env bash
# Guess: evaluate.progressive_val_score(delay=...) leaves out labels that are not due before the stream ends.
# Found: river 0.26.1: with a delay of 100 days on a stream of ten hours all ten labels are scored and learned: what was never
# known in time counts as known, and a delay longer than the data changes nothing but the order.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check river==0.26.1
"$work/venv/bin/python" - <<'PYTHON'
import datetime as dt

from river import base, evaluate, metrics


class Counting(base.Classifier):
    learned = 0

    @property
    def _multiclass(self):
        return False

    def learn_one(self, x, y):
        self.learned += 1

    def predict_proba_one(self, x):
        return {True: 1.0, False: 0.0}


payments = [({"t": dt.datetime(2026, 1, 1, hour)}, True) for hour in range(10)]
model, metric = Counting(), metrics.Accuracy()
evaluate.progressive_val_score(iter(payments), model, metric, moment="t", delay=dt.timedelta(days=100))
print(f"labels learned {model.learned} of {len(payments)}, none of them due; accuracy {metric.get()}")
assert model.learned == 10 and metric.get() == 1.0
PYTHON
