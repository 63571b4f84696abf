#!/usr/bin/env bash
# Guess: Money.get_amount_in_sub_unit() rounds an amount with more decimals than its currency has, or refuses it.
# Found: py-moneyed 3.0: it cuts: 1.999 USD are 199 cents, and -1.999 USD -199: sums of converted amounts drift towards nothing
# without a word. Round first, and say how.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check py-moneyed==3.0
"$work/venv/bin/python" - <<'PYTHON'
from moneyed import JPY, USD, Money

found = [Money(text, unit).get_amount_in_sub_unit() for text, unit in (("1.999", USD), ("-1.999", USD), ("100.9", JPY))]
print(f"1.999 USD, -1.999 USD, 100.9 JPY in minor units: {found}")
assert found == [199, -199, 100]
PYTHON
