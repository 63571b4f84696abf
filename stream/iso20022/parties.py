"""Banks, accounts and parties of a message: as tokens, and in which country they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from stream.contracts.token import token
from stream.iso20022 import message_fields as fields
from stream.iso20022.element import Element, Unreadable

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
CLEARING_SYSTEMS: Final[dict[str, str]] = {
    code: code[:2]
    for code in [
        "ATBLZ",
        "AUBSB",
        "CACPA",
        "CHBCC",
        "CHSIC",
        "CNAPS",
        "CNCIP",
        "DEBLZ",
        "ESNCC",
        "GBDSC",
        "GRBIC",
        "HKNCC",
        "IENCC",
        "INFSC",
        "ITNCC",
        "JPZGN",
        "KRBOK",
        "MZBMO",
        "NZNCC",
        "NZRSA",
        "PLKNR",
        "PTNCC",
        "RUCBC",
        "SESBA",
        "SGIBG",
        "THCBC",
        "TWNCC",
        "USABA",
        "USPID",
        "ZANCC",
    ]
}
"""Codes of national clearing systems (ExternalClearingSystemIdentification1Code) and their countries."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A bank.

    Parameters
    ----------
    name
        What it is known by: ``BICFI`` in 11 characters, else ``ClrSysId`` and ``MmbId`` with a colon, else its LEI.
    bic, clearing_system, member, lei
        As in the message.
    """

    name: str
    bic: str | None = None
    clearing_system: str | None = None
    member: str | None = None
    lei: str | None = None

    @property
    def country(self) -> str | None:
        """By its BIC, else by the clearing system."""
        return self.bic[4:6] if self.bic is not None else CLEARING_SYSTEMS.get(self.clearing_system or "")


@dataclass(frozen=True, slots=True)
class Account:
    """An account as a token, and the country that its IBAN names."""

    token: str
    country: str | None = None


def agent(around: Element, *path: str) -> Agent | None:
    """The bank at a path; None where it is not there or says nothing about itself."""
    institution = around.one(*path, "FinInstnId")
    if institution is None:
        return None
    said = institution.children
    known, lei = said.get("BICFI"), said.get("LEI")
    if type(known) is str and len(said) == (1 if lei is None else 2) and (lei is None or type(lei) is str):
        found = _by_codes(known, lei)
        if found is not None:
            return found
    bic = fields.bic(institution, "BICFI") or fields.bic(institution, "BIC")
    system = fields.code_or_proprietary(institution, "ClrSysMmbId", "ClrSysId")
    member = fields.text(institution, "ClrSysMmbId", "MmbId")
    lei = fields.lei(institution, "LEI")
    name = bic or (f"{system}:{member}" if system and member else None) or lei
    return None if name is None else Agent(name, bic, system, member, lei)


@lru_cache(maxsize=4096)  # most banks say no more, and the same banks come again and again
def _by_codes(bic: str, lei: str | None) -> Agent | None:
    """A bank that says its BIC and perhaps its LEI; None where one of them is wrong or empty: where is told by who reads them."""
    institution = Element("FinInstnId", "")
    institution.children = {"BICFI": bic} if lei is None else {"BICFI": bic, "LEI": lei}
    try:
        found = fields.bic(institution, "BICFI")
        return None if found is None else Agent(found, found, lei=fields.lei(institution, "LEI"))
    except Unreadable:
        return None


def account(around: Element, name: str, at: str, bank: Agent | None, key: bytes) -> Account | None:
    """The account ``name`` (``DbtrAcct``) at the bank that stands in ``at`` (``DbtrAgt``): IBAN, else another number with its
    bank, else a proxy (an alias, a telephone number); None where there is none.

    Raises
    ------
    Unreadable
        A number without its bank: the same number at two banks is two accounts.
    """
    element = around.one(name)
    if element is None:
        return None
    iban = fields.iban(element, "Id", "IBAN")
    if iban is not None:
        return Account(token(key, iban), iban[:2])
    number = fields.text(element, "Id", "Othr", "Id", most=34)
    if number is not None:
        if bank is None:
            raise Unreadable(
                "missing", around, "names no bank, and an account number that is no IBAN needs its own", at
            )
        return Account(token(key, f"{bank.name}/{number}"))
    alias = fields.text(element, "Prxy", "Id", most=2048)
    if alias is None:
        return None
    kind = fields.code_or_proprietary(element, "Prxy", "Tp") or ""
    return Account(token(key, f"proxy/{kind}/{alias}"))


def party(around: Element, name: str, key: bytes) -> str | None:
    """A person or organisation as a token: by what identifies it, else by its name; None where it says neither."""
    element = around.one(name)
    if element is None:
        return None
    organisation = element.one("Id", "OrgId")
    if organisation is not None:
        found = (
            fields.bic(organisation, "AnyBIC")
            or fields.bic(organisation, "BICOrBEI")
            or fields.lei(organisation, "LEI")
        )
        if found is not None:
            return token(key, f"party/{found}")
    for identified in (organisation, element.one("Id", "PrvtId")):
        others = [] if identified is None else identified.all("Othr")
        if others and (number := fields.text(others[0], "Id")) is not None:
            issuer = fields.text(others[0], "Issr") or ""
            kind = fields.code_or_proprietary(others[0], "SchmeNm") or ""
            return token(key, f"party/{kind}/{issuer}/{number}")
    named = fields.text(element, "Nm", most=140)
    return None if named is None else token(key, f"name/{' '.join(named.split()).casefold()}")


def opaque(key: bytes, text: str) -> str:
    """An id as it is where it is one of ours, else its token.

    >>> opaque(b"k" * 32, "TX-1"), len(opaque(b"k" * 32, "TX/1"))
    ('TX-1', 64)
    """
    return text if _IDENTIFIER.fullmatch(text) else token(key, text)
