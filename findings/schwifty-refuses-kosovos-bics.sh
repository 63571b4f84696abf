#!/usr/bin/env bash
# Guess: A library that takes IBANs of Kosovo (XK) takes the BICs of its banks, whose fifth and sixth letters are XK too.
# Found: schwifty 2026.10.1 takes the IBAN and refuses the BIC with InvalidCountryCode, since XK is no ISO 3166 code;
# python-stdnum 2.2 takes both. A payee's country by the BIC is lost for a whole country where such a check stands before it.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check schwifty==2026.10.1 python-stdnum==2.2
"$work/venv/bin/python" - <<'PYTHON'
from schwifty import BIC, IBAN
from stdnum import bic, iban

account, bank = "XK051212012345678906", "ABCDXKPR"  # the registry's example; a made-up BIC of the right form
refused = ""
try:
    BIC(bank)
except Exception as error:
    refused = type(error).__name__
print(f"schwifty: IBAN {IBAN(account).country_code}, BIC {refused or 'taken'}; stdnum: {iban.is_valid(account)}, {bic.is_valid(bank)}")
assert refused == "InvalidCountryCode" and iban.is_valid(account) and bic.is_valid(bank)
PYTHON
