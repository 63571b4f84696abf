"""Currencies: ISO 4217 List One, codes in use, with the digits of their minor unit.

State of the list: January 2026 (BGN and ANG withdrawn; XCG and XAD added). ``XTS`` (tests) and ``XXX`` (no currency) are in the list but
are nothing that can be paid in: both are refused as unknown.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

_DIGITS_0 = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_DIGITS_2 = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP "
    "COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR "
    "JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN "
    "NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL "
    "THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
)
_DIGITS_3 = "BHD IQD JOD KWD LYD OMR TND"
_DIGITS_4 = "CLF UYW"
_WITHOUT_MINOR_UNIT = "XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XUA"

MINOR_UNIT_DIGITS: dict[str, int] = {
    code: digits
    for digits, codes in ((0, _DIGITS_0), (2, _DIGITS_2), (3, _DIGITS_3), (4, _DIGITS_4), (0, _WITHOUT_MINOR_UNIT))
    for code in codes.split()
}
"""Code of each currency and how many decimal digits its minor unit has; 0 where it has none."""


def _known(code: str) -> str:
    if code not in MINOR_UNIT_DIGITS:
        raise PydanticCustomError("unknown_currency", "not an ISO 4217 code in use")
    return code


Currency = Annotated[
    str,
    AfterValidator(_known),
    Field(json_schema_extra={"enum": sorted(MINOR_UNIT_DIGITS)}),
]
"""An ISO 4217 alphabetic code in use, in capital letters."""
