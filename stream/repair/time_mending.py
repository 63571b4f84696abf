"""Bring rows whose times lie ahead of the broker's back to it: a recorded step in each partition, sent and followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from confluent_kafka import KafkaError, Producer

from rules.bounded_json import NotReadable
from stream.contracts.mending import STEP_KEY, read_mend_times
from stream.contracts.refusal import Refused
from stream.core.account.account_mending import mend_accounts
from stream.core.frame.batch_record import mended_steps, read_batch
from stream.core.frame.mended_step import MendingStep
from stream.core.payee.payee_mending import mend_payees
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import producer_config
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.whole_topics import partitions_of
from stream.repair.state_dump import read_state
from stream.settings import Settings

FEEDBACK, BATCHES = "bank.feedback.v1", "riskstream-accounts-batches"
ACKNOWLEDGE_S = 15.0
LOOK_S = 0.5


@dataclass(slots=True)
class Mending:
    """What became of the steps.

    Parameters
    ----------
    sent
        Offset of the step in each partition.
    mended
        Partitions in which it was taken, with the time that rows were brought back to, µs.
    refused
        Partitions in which it was not: it is among the dead letters, with the reason.
    """

    sent: dict[int, int]
    mended: dict[int, int] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)

    @property
    def waiting(self) -> list[int]:
        """Partitions in which nobody has walked it yet."""
        return [partition for partition in self.sent if partition not in self.mended and partition not in self.refused]


def rows_ahead(settings: Settings, now_us: int) -> dict[int, int]:
    """How many rows of each partition a step taken at ``now_us`` would change.

    Raises
    ------
    RiskstreamError
        There is no line with these settings, or a partition would not rest.
    """
    step = MendingStep(0, now_us, now_us + round(settings.future_minutes * 60_000_000))
    return {
        state.partition: mend_accounts(state.accounts, state.customers, state.told_accounts, step)
        + mend_payees(state.payees, state.busy_payees, step)
        for state in read_state(settings)
    }


def send_steps(settings: Settings, actor: str, reason: str) -> Mending:
    """Write the step into every partition.

    Raises
    ------
    UsageError
        It cannot be written as it stands.
    RiskstreamError
        The topic did not take it.
    """
    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    value = orjson.dumps({"step": "mend_times", "actor": actor, "reason": reason, "occurred_at": at})
    try:
        read_mend_times(value)
    except Refused as refusal:
        raise UsageError(f"this step cannot be written: {refusal}") from refusal
    topic = settings.topic(FEEDBACK)
    sent: dict[int, int] = {}
    failed: list[str] = []

    def delivered(error: KafkaError | None, message: object) -> None:
        if error is not None:
            failed.append(error.str())
        else:
            sent[message.partition()] = message.offset()  # type: ignore[attr-defined]

    producer = Producer({**producer_config(settings), "linger.ms": 0})
    partitions = partitions_of(settings, [topic])[topic]
    for partition in range(partitions):
        producer.produce(topic, value, STEP_KEY, partition=partition, on_delivery=delivered)
    if producer.flush(ACKNOWLEDGE_S) or failed:
        raise RiskstreamError(
            f"{topic}: not written to all partitions: {failed[0] if failed else f'no answer within {ACKNOWLEDGE_S:.0f} s'}; "
            "send it again: a step that is taken twice does no harm"
        )
    return Mending(dict(sorted(sent.items())))


def follow(
    settings: Settings, mending: Mending, patience_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until the workers have walked the steps, at most so long; notes what became of each."""
    reader = KafkaReader(settings)
    until = time.monotonic() + patience_s
    read = dict.fromkeys(mending.sent, 0)
    try:
        while mending.waiting:
            for partition in mending.waiting:
                read[partition] = _look(reader, Place(settings.topic(BATCHES), partition), read[partition], mending)
            if not mending.waiting or time.monotonic() > until:
                return
            sleep(LOOK_S)
    finally:
        reader.close()


def _look(reader: KafkaReader, place: Place, start: int, mending: Mending) -> int:
    """Read batch records on, up to the one that holds the step; returns the next offset."""
    offset = mending.sent[place.partition]
    for chunk in reader.read(place, max(start, reader.watermarks(place)[0])):
        for record in chunk:
            start = record.offset + 1
            try:
                batch = read_batch(record.value)
            except NotReadable:
                continue
            taken = {step.offset: step.until for step in mended_steps(batch)}
            if offset in taken:
                mending.mended[place.partition] = taken[offset]
            elif batch["feedback"][0] <= offset < batch["feedback"][1]:
                mending.refused.append(place.partition)
    return start
