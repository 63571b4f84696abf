"""Batch records: which offsets of which input a batch of the accounts hop took. A closed schema for all who read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rules.bounded_json import NotReadable, load
from stream.core.frame.mended_step import MendingStep
from stream.core.table.forgetting import IdleLimits

MAX_BYTES: Final = 4 << 20
_SPANS: Final = ("transactions", "feedback")
_LAST: Final = 2**63


def read_batch(value: bytes | None) -> dict[str, Any]:
    """``sequence``, ``transactions`` and ``feedback`` ([start, stop]), ``untrusted`` (offsets), ``duplicates``; a later
    version may have added integers or lists of them.

    Raises
    ------
    NotReadable
        It is none.

    >>> read_batch(b'{"sequence":1,"transactions":[0,2],"feedback":[0,0],"untrusted":[],"duplicates":0}')["sequence"]
    1
    """
    batch = load(value or b"", max_bytes=MAX_BYTES, max_depth=8, max_values=500_000)
    if not isinstance(batch, dict):
        raise NotReadable("no batch record: no JSON object")
    if not {"sequence", "untrusted", *_SPANS} <= set(batch):
        raise NotReadable("no batch record: sequence, transactions, feedback and untrusted are expected")
    for name, said in batch.items():
        if name not in ("sequence", "duplicates", "untrusted", *_SPANS):
            continue  # a field of its own, looked at by who reads it
        numbers = said if isinstance(said, list) else [said]
        if isinstance(said, list) == (name in ("sequence", "duplicates")) or not all(
            type(number) is int and 0 <= number < _LAST for number in numbers
        ):
            raise NotReadable(f"no batch record: {name[:40]!r} is of another type or range")
    for name in _SPANS:
        if not isinstance(batch[name], list) or len(batch[name]) != 2 or batch[name][0] > batch[name][1]:
            raise NotReadable(f"no batch record: {name} is no span of offsets")
    if not isinstance(batch["untrusted"], list):
        raise NotReadable("no batch record: untrusted is no list of offsets")
    if batch.get("broker_ms") is not None and not (type(batch["broker_ms"]) is int and 0 <= batch["broker_ms"] < _LAST):
        raise NotReadable("no batch record: broker_ms is no time")
    _check_internal(batch.get("internal", {}))
    _check_mended(batch.get("mended", []))
    try:
        recorded_limits(batch)
    except ValueError as error:
        raise NotReadable(f"no batch record: {error}") from error
    return batch


def mended_steps(batch: Mapping[str, Any]) -> tuple[MendingStep, ...]:
    """Steps that mended times in a recorded batch.

    >>> mended_steps({"mended": [[7, 1_000, 2_000]]})
    (MendingStep(offset=7, until=1000, limit=2000),)
    """
    return tuple(MendingStep(*said) for said in batch.get("mended", ()))


def internal_offsets(batch: Mapping[str, Any], name: str) -> frozenset[int]:
    """Offsets of ``transactions`` or ``feedback`` that a recorded batch left out.

    >>> sorted(internal_offsets({"internal": {"feedback": [7]}}, "feedback"))
    [7]
    """
    return frozenset(batch.get("internal", {}).get(name, ()))


def recorded_limits(batch: Mapping[str, Any]) -> IdleLimits:
    """After how long rows were forgotten when a recorded batch was walked.

    >>> recorded_limits({"forget": [10, 20]}).pairs_us, recorded_limits({}).pairs_us
    (20, 0)
    """
    return IdleLimits.recorded(batch.get("forget"))


def _check_internal(internal: Any) -> None:
    if not isinstance(internal, dict) or not all(
        isinstance(said, list) and all(type(number) is int for number in said) for said in internal.values()
    ):
        raise NotReadable("no batch record: internal holds lists of integers by name")


def _check_mended(mended: Any) -> None:
    if not isinstance(mended, list) or not all(
        isinstance(said, list) and len(said) == 3 and all(type(n) is int and 0 <= n < _LAST for n in said)
        for said in mended
    ):
        raise NotReadable("no batch record: mended holds offset and two times of each step")
