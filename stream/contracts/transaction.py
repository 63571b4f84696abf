"""Transaction: what core banking writes to ``bank.transactions.v1``, and its reference reading."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from stream.contracts.country import Country
from stream.contracts.currency import Currency
from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import InputRecord, load_record, read
from stream.contracts.refusal import PRECEDENCE, Refused

MAX_AMOUNT = 10**15
MAX_SLIPS = 8

Type = Literal["payment", "reversal"]
Channel = Literal["app", "web", "pos", "atm", "branch", "call", "api"]
PayeeKind = Literal["person", "merchant", "biller", "wallet", "own"]
NameCheck = Literal["match", "close", "no_match", "not_possible"]
AgeBand = Literal["<18", "18-29", "30-44", "45-64", "65+"]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
Balance = Annotated[int, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
Uetr = Annotated[
    str, StringConstraints(pattern=r"^[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}$")
]
"""ISO 20022 UUIDv4Identifier."""


def _few(slips: list[str] | None) -> list[str] | None:
    """Counted after the items' types are checked: a wrong type comes first in the order of reasons."""
    if slips is not None and len(slips) > MAX_SLIPS:
        raise PydanticCustomError("too_long", "more than 8 items")
    return slips


class Customer(InputRecord):
    """What the bank tells about the customer, as of the transaction."""

    segment: Annotated[
        str | None,
        Field(
            description="payroll, enterprise, retail or another word of the bank's (read as other). ISO 20022: none."
        ),
    ] = None
    age_band: Annotated[
        AgeBand | None,
        Field(description="Age in years, as a band. ISO 20022: from Dbtr/Id/PrvtId/DtAndPlcOfBirth/BirthDt."),
    ] = None
    home_country: Annotated[Country | None, Field(description="Country of residence. ISO 20022: Dbtr/CtryOfRes.")] = (
        None
    )
    vulnerable: Annotated[
        bool | None, Field(description="The bank marks the customer as vulnerable; absent is false. ISO 20022: none.")
    ] = None


class Transaction(InputRecord):
    """A payment attempt about which a decision is wanted, or the reversal of one.

    A reversal says that money of a payment came back: it names that payment, and is always approved.
    In input, null or an empty string is an absent field and unknown fields are ignored. The record's key is
    ``customer_id``, else ``account_id``; at most 64 KiB. It may come as a CloudEvent (``cloud_event.py``).
    """

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": "reversal"}}, "required": ["type"]},
            "then": {
                "properties": {"original_transaction_id": {"type": "string"}},
                "required": ["original_transaction_id"],
            },
        }
    )

    type: Annotated[
        Type,
        Field(description="payment, or reversal: (part of) a payment came back. ISO 20022: pacs.008 or pacs.004."),
    ] = "payment"
    transaction_id: Annotated[
        Identifier,
        Field(description="The producer's id, the decision's too. ISO 20022: PmtId/TxId, else PmtId/EndToEndId."),
    ]
    account_id: Annotated[Identifier, Field(description="Token of the paying account. ISO 20022: DbtrAcct/Id.")]
    customer_id: Annotated[
        Identifier | None,
        Field(description="Token of the paying customer; defaults to account_id. ISO 20022: Dbtr/Id."),
    ] = None
    payee_id: Annotated[
        Identifier | None,
        Field(
            description="Token of the payee's account or the merchant's terminal; absent for cash. ISO 20022: CdtrAcct/Id."
        ),
    ] = None
    event_time: Annotated[
        Instant, Field(description="When the customer acted; at most 5 minutes ahead. ISO 20022: AccptncDtTm.")
    ]
    amount_minor: Annotated[
        Amount, Field(description="Minor units of currency; 0 is a card verification. ISO 20022: InstdAmt.")
    ]
    currency: Annotated[Currency, Field(description="ISO 4217 code in use at event_time. ISO 20022: InstdAmt/@Ccy.")]
    account_amount_minor: Annotated[
        Amount | None,
        Field(
            description="Minor units of the account's currency; defaults to amount_minor. ISO 20022: IntrBkSttlmAmt."
        ),
    ] = None
    channel: Annotated[Channel, Field(description="How the customer acted. ISO 20022: from PmtTpInf/LclInstrm.")]
    scenario: Annotated[
        str | None, Field(description="Scenario hint; an unknown one is ignored. ISO 20022: from PmtTpInf/CtgyPurp.")
    ] = None
    country: Annotated[
        Country | None, Field(description="Where the customer acted, ISO 3166-1 alpha-2. ISO 20022: Envt/POI (cards).")
    ] = None
    lat: Annotated[
        float | None, Field(ge=-90, le=90, description="Degrees north of where the customer acted. ISO 20022: none.")
    ] = None
    lon: Annotated[
        float | None, Field(ge=-180, le=180, description="Degrees east of where the customer acted. ISO 20022: none.")
    ] = None
    device_id: Annotated[Identifier | None, Field(description="Token of the device. ISO 20022: none.")] = None
    payee_country: Annotated[
        Country | None, Field(description="Country of the payee's account. ISO 20022: CdtrAgt/FinInstnId/PstlAdr/Ctry.")
    ] = None
    payee_kind: Annotated[
        PayeeKind | None,
        Field(description="What the payee is; own: the customer's other account. ISO 20022: from Cdtr/Id."),
    ] = None
    purpose: Annotated[
        str | None,
        Field(
            description="Purpose code or free text; known words are read, others are other. ISO 20022: Purp/Cd, RmtInf/Ustrd."
        ),
    ] = None
    customer: Annotated[Customer | None, Field(description="About the customer. ISO 20022: Dbtr.")] = None
    slips: Annotated[
        list[str] | None,
        AfterValidator(_few),
        Field(
            json_schema_extra={"maxItems": MAX_SLIPS},
            description="Honest mistakes noticed with this payment, e.g. mistyped_name; at most 8. ISO 20022: none.",
        ),
    ] = None
    name_check: Annotated[
        NameCheck | None, Field(description="Result of verification of payee. ISO 20022: acmt.024 Rpt/Vrfctn.")
    ] = None
    original_transaction_id: Annotated[
        Identifier | None,
        Field(
            description="Of a reversal, and required there: transaction_id of the payment, on the same account. ISO 20022: OrgnlTxId."
        ),
    ] = None
    uetr: Annotated[
        Uetr | None,
        Field(description="Unique end-to-end transaction reference, a UUID in lower case. ISO 20022: PmtId/UETR."),
    ] = None
    balance_minor: Annotated[
        Balance | None,
        Field(
            description="The account's balance before the payment, minor units of its currency; negative where overdrawn. ISO 20022: none."
        ),
    ] = None
    decide_by: Annotated[
        Instant | None,
        Field(description="A decision later than this is counted as missed. ISO 20022: from ReqdExctnDt/DtTm."),
    ] = None

    @property
    def owner(self) -> str:
        """The customer, or the account where no customer is named: the record's key."""
        return self.customer_id or self.account_id


def read_transaction(value: bytes | None) -> Transaction:
    """The reference reading of a transaction: slow, plain, and what the hot path must agree with.

    Rules, in order of precedence (the first fault is the reason):

    1. ``too_large``: more than 64 KiB.
    2. ``malformed``: no value, not UTF-8, a byte order mark, not JSON (``NaN`` and ``Infinity`` are not), not an
       object, half a surrogate pair, nested more than 128 deep. Of a name that comes twice the last counts.
    3. ``unsupported``: ``type`` is a string other than ``payment`` and ``reversal``.
    4. ``missing``: a required field is absent, null or "", ``original_transaction_id`` of a reversal among them. Optional
       ones may be; so may those of ``customer``.
    5. ``wrong_type``: ``true`` is no number; 1.0 and 1e2 are no integers (an integer is fine for lat and lon);
       an item of ``slips`` that is no string.
    6. ``bad_time``: event_time or decide_by is not RFC 3339 (see :mod:`stream.arrays.rfc3339`).
    7. ``unknown_currency``: a string that is no ISO 4217 code, in capitals, that was in use at event_time.
    8. ``out_of_range``: an id outside its pattern, a word outside its list, an amount outside 0 to 10^15, a
       latitude outside ±90 or longitude outside ±180, more than 8 slips, a balance outside ±10^15, a UETR that is no
       UUID of version 4 in lower case.

    ``wrong_partition`` and ``future`` need the record's place and are decided by the edge (``stream.core.edge.decode``),
    ``id_conflict`` by the account.

    Raises
    ------
    Refused
        With the reason and a message that holds no text of the payload.

    Examples
    --------
    >>> read_transaction(b'{"transaction_id": "t-1", "account_id": "a-1", "amount_minor": 1.0}')
    Traceback (most recent call last):
    ...
    stream.contracts.refusal.Refused: field event_time is absent, null or empty
    """
    try:
        transaction = read(Transaction, value)
    except Refused as refusal:
        if PRECEDENCE[refusal.reason] > PRECEDENCE["missing"] and _is_reversal_of_nothing(load_record(value)):
            raise Refused("missing", _NO_ORIGINAL) from None
        raise
    if transaction.type == "reversal" and transaction.original_transaction_id is None:
        raise Refused("missing", _NO_ORIGINAL)
    return transaction


_NO_ORIGINAL = "field original_transaction_id is absent, null or empty"


def _is_reversal_of_nothing(document: dict[str, Any]) -> bool:
    return document.get("type") == "reversal" and document.get("original_transaction_id") in (None, "")
