"""Columns of a decoded batch: fixed-size structs for transactions and feedback.

The edge (``stream.core.edge.decode``) turns JSON records into these arrays once; everything behind it, the
compiled loops, the frames on ``risk.profiled.v1``, the rules and the models, reads columns and never JSON.

Codes: enumerations are stored as the index into the tuples below (0 is always "absent"); ISO country and
currency codes are packed by :func:`pack_code`; ids keep their bytes and carry a 64-bit hash
(:func:`hash_id`), which is how rows are found.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ID_BYTES = 64
ABSENT_TIME = np.int64(-(2**63))
"""An absent time (``decide_by``), in the µs columns."""

CHANNELS = ("none", "app", "web", "pos", "atm", "branch", "call", "api")
PAYEE_KINDS = ("none", "person", "merchant", "biller", "wallet", "own")
NAME_CHECKS = ("none", "match", "close", "no_match", "not_possible")
SEGMENTS = ("none", "payroll", "enterprise", "retail", "other")
AGE_BANDS = ("none", "<18", "18-29", "30-44", "45-64", "65+")
SCENARIOS = (
    "other",
    "ecommerce",
    "cross_border",
    "large_transfer",
    "remote_spending",
    "person_transfer",
    "digital_wallet",
    "bills_payroll",
)
"""Scenario codes; as a hint 0 means "no usable hint", as a decision 0 is the scenario ``other``."""
PURPOSES = ("none", "salary", "rent", "medical", "social_security", "utilities", "tuition", "tax", "goods", "other")
"""Purposes the rules know. A record's free text is matched case-insensitively (decode.py); else ``other``."""
SLIPS = (
    "mistyped_name",
    "missing_purpose",
    "wrong_reference",
    "wrong_amount",
    "wrong_date",
    "expired_document",
    "other",
)
"""Bit i of the ``slips`` mask; a word that is not listed sets ``other``."""

FEEDBACK_KINDS = ("review", "chargeback", "complaint", "challenge_result", "supplied", "cancelled", "recall_answer")
VERDICTS = ("genuine", "fraud", "inconclusive", "passed", "failed")

TRANSACTION = np.dtype(
    [
        ("offset", "i8"),  # of the record in its input partition
        ("timestamp", "i8"),  # Kafka timestamp, ms since the epoch
        ("transaction_id", "S64"),
        ("account_id", "S64"),
        ("customer_id", "S64"),  # account_id where absent
        ("payee_id", "S64"),  # empty where absent
        ("account_hash", "u8"),
        ("customer_hash", "u8"),
        ("payee_hash", "u8"),  # 0 where absent
        ("device_hash", "u8"),  # 0 where absent
        ("transaction_hash", "u8"),
        ("content_hash", "u8"),  # over the canonical content: what makes a repeat a duplicate or a conflict
        ("original_hash", "u8"),  # of the transaction that a reversal takes back; 0 in a payment
        ("event_time", "i8"),  # µs since the epoch, UTC
        ("decide_by", "i8"),  # µs, ABSENT_TIME where absent
        ("amount_minor", "i8"),  # in `currency`
        ("account_amount_minor", "i8"),  # in the account's currency
        ("lat", "f8"),  # degrees, NaN where absent
        ("lon", "f8"),
        ("currency", "u4"),  # pack_code
        ("country", "u4"),
        ("payee_country", "u4"),
        ("home_country", "u4"),
        ("channel", "u1"),
        ("payee_kind", "u1"),
        ("name_check", "u1"),
        ("segment", "u1"),
        ("age_band", "u1"),
        ("vulnerable", "u1"),  # 1 true, else 0
        ("scenario_hint", "u1"),
        ("purpose", "u1"),
        ("slips", "u1"),  # mask over SLIPS
        ("slip_count", "u1"),
    ],
    align=True,
)

FEEDBACK = np.dtype(
    [
        ("offset", "i8"),
        ("timestamp", "i8"),  # Kafka timestamp, ms
        ("feedback_id", "S64"),
        ("transaction_id", "S64"),
        ("account_id", "S64"),
        ("customer_id", "S64"),  # account_id where absent
        ("payee_id", "S64"),  # empty where absent
        ("supersedes", "S64"),  # empty where absent
        ("actor", "S64"),
        ("account_hash", "u8"),
        ("customer_hash", "u8"),
        ("payee_hash", "u8"),
        ("transaction_hash", "u8"),
        ("feedback_hash", "u8"),
        ("occurred_at", "i8"),  # µs
        ("kind", "u1"),  # index into FEEDBACK_KINDS
        ("verdict", "u1"),  # index into VERDICTS
    ],
    align=True,
)


def pack_code(code: str) -> int:
    """An ISO code of up to three capital letters as a small integer (base 27); the empty code is 0.

    >>> pack_code("CN"), pack_code("CNY"), pack_code("")
    (95, 2590, 0)
    """
    packed = 0
    for letter in code:
        packed = packed * 27 + (ord(letter) - 64)
    return packed


@lru_cache(maxsize=1024)
def unpack_code(packed: int) -> str:
    """The inverse of :func:`pack_code`.

    >>> unpack_code(2590)
    'CNY'
    """
    letters = ""
    while packed:
        packed, letter = divmod(packed, 27)
        letters = chr(64 + letter) + letters
    return letters


def hash_id(text: str | bytes) -> int:
    """64-bit FNV-1a with a murmur3 finaliser; 0 only for the empty id. The compiled edge computes the same.

    Source: Fowler, Noll, Vo, FNV-1a (draft-eastlake-fnv); Appleby, MurmurHash3 ``fmix64``.

    >>> hash_id("") == 0 and hash_id("a") != hash_id("b")
    True
    """
    data = text.encode() if isinstance(text, str) else text
    if not data:
        return 0
    mask = 0xFFFFFFFFFFFFFFFF
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & mask
    h ^= h >> 33
    h = (h * 0xFF51AFD7ED558CCD) & mask
    h ^= h >> 33
    h = (h * 0xC4CEB9FE1A85EC53) & mask
    h ^= h >> 33
    return h or 1
