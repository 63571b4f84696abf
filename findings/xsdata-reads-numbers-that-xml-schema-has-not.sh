#!/usr/bin/env bash
# Guess: An element of type xs:decimal with text that XML Schema does not allow (an exponent, an underscore, digits of another
# script) stays text, with a warning, as '1,5' does.
# Found: xsdata 26.10 reads '1E5', '1_000' and full-width digits as numbers without a warning: they pass through Python's
# Decimal. An amount must be checked as text before it is one.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check xsdata[lxml]==26.10
"$work/venv/bin/python" - <<'PYTHON'
import warnings
from dataclasses import dataclass, field
from decimal import Decimal

from xsdata.formats.dataclass.parsers import XmlParser


@dataclass
class Amount:
    value: Decimal = field(metadata={"type": "Element", "required": True})


def read(text):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        value = XmlParser().from_string(f"<Amount><value>{text}</value></Amount>", Amount).value
    return value, [str(warning.message)[:24] for warning in told if "convert" in str(warning.message)]


found = {text: read(text) for text in ("1E5", "1_000", "\uff11\uff12", "1,5")}
for text, (value, told) in found.items():
    print(f"{text}: {value!r} {told}")
assert [found[text][0] for text in ("1E5", "1_000", "\uff11\uff12")] == [Decimal(100000), Decimal(1000), Decimal(12)]
assert not any(found[text][1] for text in ("1E5", "1_000", "\uff11\uff12"))
assert found["1,5"][0] == "1,5" and found["1,5"][1]
PYTHON
