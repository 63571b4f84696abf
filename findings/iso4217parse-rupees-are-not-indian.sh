#!/usr/bin/env bash
# Guess: iso4217parse.parse('15,000 Rs') has the Indian rupee among its candidates.
# Found: iso4217parse 0.6.2: the candidates are LKR, NPR and PKR; INR is not among them, so that a choice by country finds nothing
# for India and a choice of the first takes Sri Lanka's.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check iso4217parse==0.6.2
"$work/venv/bin/python" - <<'PYTHON'
import iso4217parse

codes = [currency.alpha3 for currency in iso4217parse.parse("15,000 Rs")]
print(f"'15,000 Rs': {codes}")
assert codes == ["LKR", "NPR", "PKR"]
PYTHON
