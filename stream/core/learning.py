"""Records on ``risk.learning.v1``: features as they were scored, and the labels that follow under the same key."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import orjson

from stream.core.columns import FEEDBACK_KINDS, VERDICTS
from stream.core.decide import REVIEW, Decided
from stream.core.features import MODEL_COLUMNS
from stream.core.fingerprint import chain, chain_each
from stream.core.packed import Packed
from stream.errors import RiskstreamError

VERSION = 2
SCORED = np.dtype(
    [
        ("magic", "S4"),
        ("version", "u2"),
        ("group", "u1"),
        ("suspected", "u1"),
        ("payment", "u8"),  # account and transaction together: see payments_of
        ("event_time", "i8"),
        ("frame", "i8"),  # where the transaction stood on risk.profiled.v1: offset of its frame,
        ("place", "i4"),  # its place in the frame,
        ("partition", "i4"),  # and the partition
        ("risk_ppm", "i4"),  # as decided, rules and familiarity within
        ("inputs", "f4", (len(MODEL_COLUMNS),)),
    ]
)
"""One transaction's model inputs as scored; single precision, which the learner then reads as it stands."""
_MAGIC = b"RSLF"


def payments_of(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    """What features and labels of a payment meet by, uint64[n]: ids of transactions are unique in an account alone.

    Parameters
    ----------
    records
        Structured array[n] with ``account_hash`` and ``transaction_hash``.

    >>> two = np.zeros(2, [("account_hash", "u8"), ("transaction_hash", "u8")])
    >>> two["account_hash"] = 1, 2
    >>> first, second = payments_of(two).tolist()
    >>> first == second
    False
    """
    account = np.ascontiguousarray(records["account_hash"])
    return chain_each(account, np.ascontiguousarray(records["transaction_hash"]))


def scored_records(decided: Decided) -> Packed:
    """The record of each transaction, in order."""
    records = np.zeros(len(decided.verdicts), SCORED)
    records["magic"] = _MAGIC
    records["version"] = VERSION
    records["group"] = decided.verdicts["scenario"]
    records["suspected"] = decided.verdicts["outcome"] >= REVIEW
    records["payment"] = payments_of(decided.received.transactions)
    records["event_time"] = decided.received.transactions["event_time"]
    records["frame"] = decided.received.frame
    records["place"] = decided.received.place
    records["partition"] = decided.received.partition
    records["risk_ppm"] = decided.verdicts["risk_ppm"]
    records["inputs"] = decided.inputs
    return Packed.of_structs(records)


def read_scored(values: Packed) -> npt.NDArray[np.void]:
    """Scored records as one array of SCORED.

    Raises
    ------
    RiskstreamError
        Another version wrote them.
    """
    if (values.lengths != SCORED.itemsize).any():
        raise RiskstreamError(
            "risk.learning.v1 holds features of another version: start a new topic prefix or retire the old records"
        )
    records = values.structs(SCORED)
    if np.any(records["magic"] != _MAGIC) or np.any(records["version"] != VERSION):
        raise RiskstreamError("risk.learning.v1 holds features of another version: see docs/upgrade.md")
    return records


def are_scored(values: Packed) -> npt.NDArray[np.bool_]:
    """Which records hold features rather than a label, which is a JSON object; bool[n]."""
    found: npt.NDArray[np.bool_] = values.data[values.starts] == _MAGIC[0]
    return found


def label_record(feedback: np.void) -> bytes:
    """The JSON record of one forwarded feedback."""
    return orjson.dumps(
        {
            "transaction_id": feedback["transaction_id"].decode(),
            "payment": int(chain(feedback["account_hash"], feedback["transaction_hash"])),
            "feedback_id": feedback["feedback_id"].decode(),
            "kind": FEEDBACK_KINDS[feedback["kind"]],
            "verdict": VERDICTS[feedback["verdict"]],
            "occurred_at_us": int(feedback["occurred_at"]),
        }
    )


def scored_place(value: bytes) -> tuple[int, int, int]:
    """Partition, frame offset and place in the frame of a scored record."""
    record = np.frombuffer(value, SCORED)[0]
    return int(record["partition"]), int(record["frame"]), int(record["place"])


def is_scored(value: bytes) -> bool:
    """Whether a record holds features rather than a label."""
    return value.startswith(_MAGIC)
