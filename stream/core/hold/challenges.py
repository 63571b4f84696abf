"""Challenges on ``riskstream-challenges``: what waits for its customer's answer, as the payees hop writes it.

No person has to see them, so they are no alerts. The holds agent keeps, ends, recovers and forgets them as it does the holds of
reviews (:mod:`stream.core.hold.holds`).
"""

from __future__ import annotations

from rules.hold import OnExpiry
from stream.arrays import rfc3339
from stream.core.hold.hold_rows import MAX_ALERT_BYTES, currency_code, identity, read_object, whole
from stream.core.hold.holds import Hold, UnreadableAlert


def challenge_record(
    ids: tuple[bytes, bytes, bytes], told: tuple[bytes, int, str], expires: bytes, on_expiry: OnExpiry
) -> bytes:
    """The record of one challenge, JSON.

    Parameters
    ----------
    ids
        transaction_id, account_id, customer_id.
    told
        Scenario, amount in minor units and its currency.
    expires
        When it ends by itself, without the ``Z``.
    on_expiry
        What happens then.

    >>> value = challenge_record((b"t-1", b"a-1", b"c-1"), (b"other", 1250, "CNY"), b"1970-01-01T00:15:00.000000", "decline")
    >>> hold = read_challenge(value)
    >>> hold.held, hold.expires_at, hold.on_expiry, hold.amount_minor, hold.currency
    ('challenge', 900000000, 'decline', 1250, 'CNY')
    """
    scenario, amount_minor, currency = told
    return (
        b'{"transaction_id":"%b","account_id":"%b","customer_id":"%b","scenario":"%b","amount_minor":%d,"currency":"%b",'
        b'"challenge_expires_at":"%bZ","on_expiry":"%b"}'
        % (*ids, scenario, amount_minor, currency.encode(), expires, on_expiry.encode())
    )


def read_challenge(value: bytes | None) -> Hold:
    """The hold that a challenge opens.

    Raises
    ------
    UnreadableAlert
        Not a challenge.
    """
    try:
        record = read_object(value, MAX_ALERT_BYTES)
        if record["on_expiry"] not in ("release", "decline"):
            raise ValueError("on_expiry is neither release nor decline")
        return Hold(
            transaction_id=identity(record["transaction_id"]),
            alert_id=identity(record["transaction_id"]),
            account_id=identity(record["account_id"]),
            customer_id=identity(record["customer_id"]),
            expires_at=whole(rfc3339.microseconds(rfc3339.parse(record["challenge_expires_at"]))),
            on_expiry=record["on_expiry"],
            scenario=str(record["scenario"])[:64],
            held="challenge",
            amount_minor=whole(record["amount_minor"]),
            currency=currency_code(record["currency"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableAlert(f"not a challenge: {type(error).__name__}; only riskstream may write there") from error
