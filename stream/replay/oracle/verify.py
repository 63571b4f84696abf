"""The oracle: compute again what a live line published, from its inputs and what it recorded, and compare the bytes.

Walks the inputs once more through the pure core: per input partition the batches that were recorded, in the order of
``risk.profiled.v1`` the frames, with the model and policy that each decision names. Everything derivable is
derived; a difference is named with its place and, for decisions, field by field.

What is compared: frames, decisions (and that each is there exactly once), alerts, obligations, features and labels on the
learning topic, models (by walking the learner's rounds again), every stored row of accounts, customers and payees
(``verify_rows.py``), and how holds and obligations ended (``verify_holds.py``).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from rules.bounded_json import NotReadable
from rules.exchange_rates import Currencies
from rules.policy import shipped
from stream.arrays.packed import Packed
from stream.contracts.mending import STEP_KEY, read_mend_times
from stream.contracts.refusal import Refused
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.decision.decide import Decided, Decider
from stream.core.decision.render import Rendered, render
from stream.core.decision.undecided_payments import MARK, render_undecided, undecided
from stream.core.edge.decode import Decoded, decode_feedback, decode_transactions
from stream.core.frame.batch_record import internal_offsets, mended_steps, read_batch, recorded_limits
from stream.core.frame.frame import Frame, decode_frame, reversals_of, salvaged
from stream.core.frame.mended_step import MendingStep
from stream.core.frame.recorded_rates import recorded_rates
from stream.core.frame.skipped import SkippedFrames
from stream.core.learning.learning_records import is_scored, label_record, reversal_record, scored_place, scored_records
from stream.core.payee.payee_hop import PayeeHop, Received
from stream.core.table.forgetting import FORGOTTEN, Horizons
from stream.core.table.row_table import RowTable
from stream.replay.oracle.verify_holds import HOLDS, OBLIGATIONS, ROWS, EndedHolds, HoldsRead
from stream.replay.oracle.verify_rows import StoredRows, account_forgetting, payee_forgetting

MOST_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class RecordedItem:
    """One record of the line as the oracle needs it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it should be, and where."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(slots=True)
class Verified:
    """What was compared, and the first differences.

    ``counts`` holds how many frames, decisions, alerts and labels were compared.
    """

    counts: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    accounts: dict[int, AccountHop] = field(default_factory=dict)
    payees: dict[int, PayeeHop] = field(default_factory=dict)
    untrusted: dict[int, set[int]] = field(default_factory=dict)
    """Feedback that the record of its day did not trust: offsets by partition."""
    left_out: dict[int, set[int]] = field(default_factory=dict)
    """Feedback that could not be read or walked, as the record of its day says."""

    @property
    def equal(self) -> bool:
        """Whether everything was as computed."""
        return not self.differences

    def count(self, what: str, number: int = 1) -> None:
        """Count what was compared."""
        self.counts[what] = self.counts.get(what, 0) + number

    def differ(self, where: str, what: str) -> None:
        """Note a difference, up to a bound."""
        if len(self.differences) < MOST_DIFFERENCES:
            self.differences.append(Difference(where, what))


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the oracle reads: each function yields the records of one partition of a topic (contract name), in order.

    Parameters
    ----------
    read
        ``read(topic, partition)``: committed records from the beginning.
    partitions
        Partition count of the line.
    learning_partitions
        Of ``risk.learning.v1``.
    decider
        The decider of a model and a policy version; raises ``KeyError`` with a message when one is not there.
    settings
        What shaped the rows.
    future_ms
        Setting ``future_minutes``.
    prefix
        Topic prefix, as it stands in headers.
    holds_read
        Up to which offsets of alerts, challenges, obligations and feedback the holds agents have committed in a partition; without it
        nobody ended holds there, and none are compared.
    """

    read: Callable[[str, int], Iterator[RecordedItem]]
    partitions: int
    learning_partitions: int
    decider: Callable[[str, str], Decider]
    settings: HopSettings
    future_ms: int
    prefix: str = ""
    holds_read: Callable[[int], HoldsRead] | None = None


def verify(recorded: Recorded) -> Verified:
    """Compute everything again and compare; see the module."""
    result = Verified()
    frames: Frames = {}
    for partition in range(recorded.partitions):
        for to, frame in _frames(recorded, partition, result):
            frames.setdefault((partition, to), deque()).append(_digest(frame))
    published = _published(recorded, result)
    for partition in range(recorded.partitions):
        _walk_payees(recorded, partition, frames, published, result)
    for (partition, to), left in frames.items():
        if left:
            result.differ(f"risk.profiled.v1/{to}", f"{len(left)} frames of input partition {partition} are missing")
    for kind, records in published.items():
        for where in list(records)[:MOST_DIFFERENCES]:
            result.differ(where, f"a {kind} that nothing led to")
    if recorded.holds_read is not None:
        for partition in range(recorded.partitions):
            _compare_endings(recorded, partition, recorded.holds_read(partition), result)
    return result


def _compare_endings(recorded: Recorded, partition: int, read: HoldsRead, result: Verified) -> None:
    """How holds and obligations of one partition ended; whom the batches of the day did not trust ended none."""
    left_out = result.left_out[partition]
    feedback = [item for item in recorded.read("bank.feedback.v1", partition) if item.offset not in left_out]
    columns = decode_feedback(*_columns(feedback), partition, recorded.partitions).columns
    trusted = columns[~np.isin(columns["offset"], sorted(result.untrusted[partition]))]
    for kind in (HOLDS, OBLIGATIONS):
        endings = EndedHolds(kind, partition, read)
        for topic in kind.opened_by:
            endings.open(topic, recorded.read(topic, partition))
        endings.judge(trusted)
        endings.compare_published(recorded.read(kind.published_on, partition), result)
        endings.compare_rows(recorded.read(ROWS, partition), result)


Frames = dict[tuple[int, int], deque[bytes]]
"""Digests of the frames from an input partition to a payee partition, in order."""


def _digest(frame: bytes) -> bytes:
    return hashlib.sha256(frame).digest()


def _frames(recorded: Recorded, partition: int, result: Verified) -> Iterator[tuple[int, bytes]]:
    """Frames that the recorded batches of one input partition lead to, one after the other."""
    hop = AccountHop(partition, recorded.settings)
    result.accounts[partition] = hop
    untrusted = result.untrusted[partition] = set()
    result.left_out[partition] = set()
    stored = StoredRows(
        f"riskstream-accounts-rows/{partition}",
        lambda: _account_tables(AccountHop(partition, recorded.settings)),
        recorded.read("riskstream-accounts-rows", partition),
        result,
        account_forgetting,
    )
    transactions = _Cursor(recorded.read("bank.transactions.v1", partition))
    feedback = _Cursor(recorded.read("bank.feedback.v1", partition))
    rates: Currencies | None = None
    if stored.marker is not None and stored.marker["sequence"] == 0:
        # a snapshot of a partition into which nothing has come yet
        stored.compare(_account_tables(hop), {"highest": int(hop.highest[0]), **_marked(hop.horizons, stored)})
    for item in recorded.read("riskstream-accounts-batches", partition):
        try:
            batch = read_batch(item.value)
        except NotReadable as error:
            result.differ(f"riskstream-accounts-batches/{partition}/{item.offset}", str(error))
            continue
        result.left_out[partition] |= internal_offsets(batch, "feedback")
        rates = recorded_rates(batch, rates, shipped().common.currencies)
        taken = _walked(transactions.until(batch["transactions"][1]), batch, "transactions")
        outcomes = _walked(feedback.until(batch["feedback"][1]), batch, "feedback")
        decoded = decode_transactions(
            *_columns(taken),
            partition,
            recorded.partitions,
            future_ms=recorded.future_ms,
            broker_ms=batch.get("broker_ms"),
        )
        labels: Decoded = decode_feedback(*_columns(outcomes), partition, recorded.partitions)
        trusted = ~np.isin(labels.columns["offset"], batch["untrusted"])
        untrusted.update(batch["untrusted"])
        steps = mended_steps(batch)
        _check_steps(outcomes, steps, f"bank.feedback.v1/{partition}", result)
        limits = recorded_limits(batch)
        frames = hop.process(decoded.columns, labels.columns[trusted], rates, steps, limits).frames
        if batch.get("reached", hop.horizons.reached) != hop.horizons.reached:
            where = f"riskstream-accounts-batches/{partition}/{item.offset}"
            result.differ(where, f"its highest event time is {batch['reached']}, computed {hop.horizons.reached}")
        if stored.marker is not None and stored.marker["sequence"] == batch["sequence"]:
            says = {"transactions": batch["transactions"][1], "feedback": batch["feedback"][1]}
            stored.compare(
                _account_tables(hop), {**says, "highest": int(hop.highest[0]), **_marked(hop.horizons, stored)}
            )
        yield from frames
    stored.close(f"batch {stored.marker['sequence'] if stored.marker else 0}")


def _check_steps(outcomes: list[RecordedItem], steps: Sequence[MendingStep], where: str, result: Verified) -> None:
    """Whether each step of a batch stands among its feedback: nothing else may change a row."""
    said = {item.offset: item for item in outcomes if item.key == STEP_KEY}
    for step in steps:
        result.count("step")
        try:
            read_mend_times(said[step.offset].value)
        except (KeyError, Refused):
            result.differ(f"{where}/{step.offset}", "times were mended there, and no record says so")


def _marked(horizons: Horizons, stored: StoredRows) -> dict[str, int]:
    """What a marker must say of what is forgotten; one of an earlier version says nothing of it."""
    return horizons.marked() if FORGOTTEN in (stored.marker or {}) else {}


def _account_tables(hop: AccountHop) -> dict[str, RowTable]:
    return {"account": hop.table, "customer": hop.customers, "told account": hop.told}


def _payee_tables(hop: PayeeHop) -> dict[str, RowTable]:
    return {"payee": hop.table, "busy payee": hop.busy}


def _walked(items: list[RecordedItem], batch: Mapping[str, Any], name: str) -> list[RecordedItem]:
    """Those that a batch did not leave out as ``internal``."""
    left_out = batch.get("internal", {}).get(name, ())
    return [item for item in items if item.offset not in left_out] if left_out else items


class _Cursor:
    """Takes records of a partition up to an offset."""

    def __init__(self, records: Iterator[RecordedItem]) -> None:
        self._records = records
        self._next: RecordedItem | None = next(records, None)

    def until(self, stop: int) -> list[RecordedItem]:
        """Records below ``stop``, in order."""
        taken = []
        while self._next is not None and self._next.offset < stop:
            taken.append(self._next)
            self._next = next(self._records, None)
        return taken


def _columns(items: list[RecordedItem]) -> tuple[list[bytes | None], Any, Any]:
    return (
        [item.value for item in items],
        np.array([item.offset for item in items], np.int64),
        np.array([item.timestamp for item in items], np.int64),
    )


Published = dict[str, dict[str, bytes]]
"""Kind of record, then its place on risk.profiled.v1, then its value."""


def _published(recorded: Recorded, result: Verified) -> Published:
    """Everything the payees hop published, by what it says led to it; a second record of one place is a difference."""
    published: Published = {"decision": {}, "alert": {}, "challenge": {}, "obligation": {}, "learning": {}}
    topics = (
        ("decision", "risk.decisions.v1", recorded.partitions),
        ("alert", "risk.alerts.v1", recorded.partitions),
        ("challenge", "riskstream-challenges", recorded.partitions),
        ("obligation", "riskstream-obligations", recorded.partitions),
        ("learning", "risk.learning.v1", recorded.learning_partitions),
    )
    for kind, topic, partitions in topics:
        known = published[kind]
        for partition in range(partitions):
            for item in recorded.read(topic, partition):
                try:
                    where = _place_of(item, recorded.prefix)
                except (KeyError, TypeError, ValueError):
                    result.differ(f"{topic}/{partition}/{item.offset}", f"no {kind}: nothing led to it")
                    continue
                if where in known:
                    result.differ(where, f"a second {kind}, at {topic}/{partition}/{item.offset}")
                known[where] = item.value
    return published


def _place_of(item: RecordedItem, prefix: str) -> str:
    """Where on risk.profiled.v1 a published record says that it comes from."""
    if is_scored(item.value):
        partition, frame, place = scored_place(item.value)
        return f"{prefix}risk.profiled.v1/{partition}/{frame}/{place}"
    return item.headers["riskstream.profiled"].decode()


def _walk_payees(
    recorded: Recorded,
    partition: int,
    frames: Frames,
    published: Published,
    result: Verified,
) -> None:
    """Walk one partition of risk.profiled.v1, whose order nothing else can tell."""
    hop = PayeeHop(partition, recorded.settings.maturity_us)
    result.payees[partition] = hop
    topic = f"{recorded.prefix}risk.profiled.v1"
    skips = SkippedFrames()
    for item in recorded.read("riskstream-payees-skipped", partition):
        try:
            skips.take(item.value)
        except NotReadable as error:
            result.differ(f"riskstream-payees-skipped/{partition}/{item.offset}", str(error))
    stored = StoredRows(
        f"riskstream-payees-rows/{partition}",
        lambda: _payee_tables(PayeeHop(partition, recorded.settings.maturity_us)),
        recorded.read("riskstream-payees-rows", partition),
        result,
        payee_forgetting,
    )
    until = stored.marker["profiled"] if stored.marker is not None else 0
    for item in recorded.read("risk.profiled.v1", partition):
        if stored.marker is not None and item.offset >= until:
            stored.compare(_payee_tables(hop), _marked(hop.horizons, stored))
        where = f"{topic}/{partition}/{item.offset}"
        skip = skips.by_frame.get(item.offset)
        unreadable = skip is not None and skip.whole
        whole = salvaged(item.value) if unreadable else decode_frame(item.value)
        _compare_frame(whole, partition, item, frames, where, result)
        left = skips.read(item.offset, item.value)
        if left is None:
            result.count("frame left out")
            continue
        hop.idle_us = skips.idle_us(item.offset)
        received = hop.process([(item.offset, left)])
        if len(received.transactions):
            _compare_decisions(recorded, received, where, published, result)
        for place, feedback in zip(received.feedback_place.tolist(), received.feedback, strict=True):
            _compare(f"{where}/f{place}", "learning", label_record(feedback), published, result)
    if stored.marker is not None:
        stored.compare(_payee_tables(hop), _marked(hop.horizons, stored))
    stored.close("")


def _compare_frame(
    frame: Frame, partition: int, item: RecordedItem, frames: Frames, where: str, result: Verified
) -> None:
    """Whether a frame is the next one that its input partition led to; one in which nothing can be read is nobody's."""
    result.count("frame")
    records = frame.transactions if len(frame.transactions) else frame.feedback
    if not len(records):
        return
    source = int(records["source_partition"][0])
    expected = frames.get((source, partition))
    if not expected:
        result.differ(where, f"a frame of input partition {source} that no batch led to")
    elif expected.popleft() != _digest(item.value):
        result.differ(where, f"a frame of input partition {source} differs from what its batch leads to")


def _compare_decisions(
    recorded: Recorded, received: Received, where: str, published: Published, result: Verified
) -> None:
    """Compare what was decided about a frame; what deciding failed at took the declared direction, by its own word."""
    places = received.place.tolist()
    found = [published["decision"].get(f"{where}/{place}", b"") for place in places]
    first = next((decision for decision in found if decision), None)
    if first is None:
        result.differ(f"{where}/{places[0]}", "no decision")
        return
    versions = orjson.loads(first)
    try:
        decider = recorded.decider(versions["model_version"], versions["policy_version"])
    except KeyError as error:
        result.differ(f"{where}/{places[0]}", str(error.args[0]))
        return
    failed = np.array([MARK in decision for decision in found])
    if failed.any():
        decided = undecided(received.chosen(np.flatnonzero(failed)), decider)
        _compare_rendered(decided, render_undecided(decided, decider), None, where, published, result)
        received = received.chosen(np.flatnonzero(~failed))
    if len(received.transactions):
        try:
            decided = decider.decide(received)
            rendered = render(decided, decider)
        except Exception as error:  # noqa: BLE001 - a decision that cannot be computed again is a difference like any other
            result.differ(where, f"its decisions cannot be computed: {type(error).__name__}")
            return
        _compare_rendered(decided, rendered, scored_records(decided), where, published, result)


def _compare_rendered(
    decided: Decided, rendered: Rendered, records: Packed | None, where: str, published: Published, result: Verified
) -> None:
    beside = {
        "alert": dict(rendered.alerts), "challenge": dict(rendered.challenges), "obligation": dict(rendered.obligations),
    }  # fmt: skip
    taken_back = reversals_of(decided.received.transactions).tolist()
    for row, (place, decision) in enumerate(zip(decided.received.place.tolist(), rendered.decisions, strict=True)):
        _compare(f"{where}/{place}", "decision", decision, published, result)
        if taken_back[row]:
            told = reversal_record(decided.received.transactions[row])
            _compare(f"{where}/{place}", "learning", told, published, result)
        elif records is not None:
            _compare(f"{where}/{place}", "learning", records[row], published, result)
        for kind, records_of in beside.items():
            if row in records_of:
                _compare(f"{where}/{place}", kind, records_of[row], published, result)


def _compare(where: str, kind: str, computed: bytes, published: Published, result: Verified) -> None:
    found = published[kind].pop(where, None)
    result.count(kind)
    if found is None:
        result.differ(where, f"no {kind}")
    elif found != computed:
        result.differ(where, f"{kind} differs: {first_difference(found, computed)}")


def first_difference(found: bytes, computed: bytes) -> str:
    """Where two records part, by field if both are JSON objects.

    >>> first_difference(b'{"risk_ppm":7,"outcome":"approve"}', b'{"risk_ppm":8,"outcome":"approve"}')
    'risk_ppm is 7, computed 8'
    """
    try:
        left, right = orjson.loads(found), orjson.loads(computed)
    except orjson.JSONDecodeError:
        place = next((i for i, (a, b) in enumerate(zip(found, computed, strict=False)) if a != b), len(computed))
        return f"byte {place} of {len(found)}, computed {len(computed)} bytes"
    parts = [
        f"{name} is {orjson.dumps(left.get(name)).decode()}, computed {orjson.dumps(right.get(name)).decode()}"
        for name in [*left, *(n for n in right if n not in left)]
        if left.get(name) != right.get(name)
    ]
    return "; ".join(parts) or "the same fields in other bytes"
