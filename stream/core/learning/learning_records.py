"""Records on ``risk.learning.v1``: features as they were scored, and the labels that follow under the same key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from numba import njit

from rules.bounded_json import NotReadable, load
from stream.arrays.fingerprint import chain
from stream.arrays.packed import Packed, put_bytes
from stream.core.columns import FEEDBACK_KINDS, SCENARIOS, VERDICTS
from stream.core.decision.decide import REVIEW, Decided
from stream.core.edge.payment_key import payments_of
from stream.core.features import MODEL_COLUMNS
from stream.core.frame.mended_step import MENDED, MENDED_WORD
from stream.errors import RiskstreamError

VERSION = 2
SCORED = np.dtype(
    [
        ("magic", "S4"),
        ("version", "u2"),
        ("group", "u1"),
        ("suspected", "u1"),
        ("payment", "u8"),  # account and transaction together: see payment_key.py
        ("event_time", "i8"),
        ("frame", "i8"),  # where the transaction stood on risk.profiled.v1: offset of its frame,
        ("place", "i4"),  # its place in the frame,
        ("partition", "i4"),  # and the partition
        ("risk_ppm", "i4"),  # as decided, rules and familiarity within
        ("inputs", "f4", (len(MODEL_COLUMNS),)),
    ]
)
"""One transaction's model inputs as scored; single precision, which the learner then reads as it stands."""
HEAD = np.dtype([(name, SCORED[name]) for name in SCORED.names or () if name != "inputs"])
"""What stands before the inputs."""
LAST_TIME_US = 4_102_444_800_000_000
"""Times of records lie before 2100, µs since the epoch."""
MAX_LABEL_BYTES = 4_096
MOST_VERSIONS = 100
_LABEL = frozenset(("transaction_id", "payment", "feedback_id", "kind", "verdict", "occurred_at_us"))
_MAGIC = b"RSLF"
TAKEN_BACK = "taken_back"
"""Verdict of a label record that says that an earlier one counts no more."""
REVERSED_WORD = "reversal"
"""Kind of a label record that says that the payment came back."""
_OTHER_VERSION = "risk.learning.v1 holds features of another version"


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


@dataclass(frozen=True, slots=True)
class LearningRecords:
    """Records of the topic, in their order: features as scored, a column each, and the labels between them.

    Parameters
    ----------
    ids
        Transaction ids of the n scored records; none, where they were not read.
    payment : uint64[n]
    event_time : int64[n]
    group : uint8[n]
    suspected : bool[n]
    risk_ppm : int64[n]
    inputs : float32[n, M]
    labels, before
        JSON records, and how many scored records came before each.
    """

    ids: Packed
    payment: npt.NDArray[np.uint64]
    event_time: npt.NDArray[np.int64]
    group: npt.NDArray[np.uint8]
    suspected: npt.NDArray[np.bool_]
    risk_ppm: npt.NDArray[np.int64]
    inputs: npt.NDArray[np.float32]
    labels: list[bytes]
    before: list[int]

    def __len__(self) -> int:
        return len(self.payment)


def read_learning(values: Sequence[Packed], keys: Sequence[Packed] = ()) -> LearningRecords:
    """Read what came in some batches, one behind the other, without joining them. What is neither features nor label
    is left out (:func:`strangers` says which those are).

    Parameters
    ----------
    values, keys
        Of the batches; without keys the ids stay empty.

    Raises
    ------
    RiskstreamError
        Another version wrote them.
    """
    which = [are_scored(batch) for batch in values]
    ends = np.cumsum([0, *(np.count_nonzero(scored) for scored in which)]).tolist()
    head, inputs = np.empty(ends[-1], HEAD), np.empty((ends[-1], len(MODEL_COLUMNS)), np.float32)
    raw_head, raw_inputs = head.view(np.uint8).reshape(len(head), HEAD.itemsize), inputs.view(np.uint8)
    labels, before = [], []
    for batch, scored, start, end in zip(values, which, ends, ends[1:], strict=False):
        _split(batch.data, batch.starts[scored], raw_head[start:end], raw_inputs[start:end])
        features_before = np.cumsum(scored)
        for place in np.flatnonzero(~scored).tolist():
            value = batch[place]
            if is_label(value):
                labels.append(value)
                before.append(start + int(features_before[place]))
            elif _of_another_version(value):
                raise RiskstreamError(f"{_OTHER_VERSION}: see docs/upgrade.md")
    return LearningRecords(
        Packed.joined([batch.chosen(scored) for batch, scored in zip(keys, which, strict=False)]),
        np.ascontiguousarray(head["payment"]), np.ascontiguousarray(head["event_time"]),
        np.ascontiguousarray(head["group"]), head["suspected"].astype(np.bool_), head["risk_ppm"].astype(np.int64),
        inputs, labels, before,
    )  # fmt: skip


def are_scored(values: Packed) -> npt.NDArray[np.bool_]:
    """Which records hold features rather than a label or anything else; bool[n]."""
    found: npt.NDArray[np.bool_] = values.lengths == SCORED.itemsize
    places = np.flatnonzero(found)
    heads = np.empty((len(places), HEAD.itemsize), np.uint8)
    _split(values.data, values.starts[places], heads, np.empty((len(places), 0), np.uint8))
    head = heads.reshape(-1).view(HEAD)
    found[places] = (
        (head["magic"] == _MAGIC)
        & (head["version"] == VERSION)
        & (head["group"] < len(SCENARIOS))
        & (head["suspected"] <= 1)
        & (head["event_time"] >= 0)
        & (head["event_time"] <= LAST_TIME_US)
    )
    return found


def strangers(values: Packed) -> list[int]:
    """Places of records that hold neither features nor a label."""
    return [place for place in np.flatnonzero(~are_scored(values)).tolist() if not is_label(values[place])]


def is_label(value: bytes) -> bool:
    """Whether a record is a label as :func:`label_record` writes one: a closed schema, looked at before it is used."""
    try:
        label = load(value, max_bytes=MAX_LABEL_BYTES, max_depth=1, max_values=len(_LABEL))
    except NotReadable:
        return False
    if not isinstance(label, dict) or set(label) != _LABEL:
        return False
    whole = all(type(label[name]) is int for name in ("payment", "occurred_at_us"))
    return (
        whole
        and 0 <= label["payment"] < 2**64
        and -LAST_TIME_US <= label["occurred_at_us"] <= LAST_TIME_US
        and label["kind"] in (*FEEDBACK_KINDS, MENDED_WORD, REVERSED_WORD)
        and label["verdict"] in (*VERDICTS, TAKEN_BACK)
        and isinstance(label["transaction_id"], str)
        and isinstance(label["feedback_id"], str)
    )


def _of_another_version(value: bytes) -> bool:
    """Whether features of another version, or of another number of inputs, may stand here: whole ones."""
    if not value.startswith(_MAGIC) or len(value) <= HEAD.itemsize or (len(value) - HEAD.itemsize) % 4:
        return False
    version = int(np.frombuffer(value, HEAD, 1)[0]["version"])
    return 1 <= version <= MOST_VERSIONS and (version != VERSION or len(value) != SCORED.itemsize)


@njit(cache=True, nogil=True)
def _split(data: Any, starts: Any, head: Any, inputs: Any) -> None:
    """Copy the bytes of scored records, uint8[n, ...], in two parts."""
    for i in range(starts.shape[0]):
        put_bytes(head[i], 0, data, starts[i], head.shape[1])
        put_bytes(inputs[i], 0, data, starts[i] + head.shape[1], inputs.shape[1])


def label_record(feedback: np.void) -> bytes:
    """The JSON record of one forwarded feedback."""
    return orjson.dumps(
        {
            "transaction_id": feedback["transaction_id"].decode(),
            "payment": int(chain(feedback["account_hash"], feedback["transaction_hash"])),
            "feedback_id": feedback["feedback_id"].decode(),
            "kind": MENDED_WORD if feedback["kind"] == MENDED else FEEDBACK_KINDS[feedback["kind"]],
            "verdict": TAKEN_BACK if feedback["takes_back"] else VERDICTS[feedback["verdict"]],
            "occurred_at_us": int(feedback["occurred_at"]),
        }
    )


def reversal_record(reversal: np.void) -> bytes:
    """The JSON record that says that a payment came back.

    Parameters
    ----------
    reversal
        Of ``frame.PROFILED``. The record is its own, not the payment's: the payment is named by ``payment`` alone.
    """
    return orjson.dumps(
        {
            "transaction_id": reversal["transaction_id"].decode(),
            "payment": int(chain(reversal["account_hash"], reversal["device_hash"])),
            "feedback_id": "",
            "kind": REVERSED_WORD,
            "verdict": "inconclusive",
            "occurred_at_us": int(reversal["event_time"]),
        }
    )


def scored_place(value: bytes) -> tuple[int, int, int]:
    """Partition, frame offset and place in the frame of a scored record."""
    record = np.frombuffer(value, SCORED)[0]
    return int(record["partition"]), int(record["frame"]), int(record["place"])


def is_scored(value: bytes) -> bool:
    """Whether a record holds features rather than a label."""
    return len(value) == SCORED.itemsize and value.startswith(_MAGIC)
