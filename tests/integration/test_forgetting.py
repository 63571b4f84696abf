"""Idle rows are forgotten and taken out on a real line, through kill -9, and the oracle computes the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from stream.core.table.row_table import RowTable
from stream.log.topics import ensure_topics
from stream.repair.state_dump import read_state
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify
from stream.settings import Settings
from stream.worker.rows.checkpoint import MARKER_KEY, TOMBSTONES

pytestmark = pytest.mark.kafka

DAYS, A_DAY = 60, 25
FORGETS: dict[str, Any] = {
    "forget_accounts_days": 12.0, "forget_pairs_days": 5.0, "forget_payees_days": 8.0, "forget_rows_per_checkpoint": 40,
}  # fmt: skip


def day_of(start: datetime, day: int) -> list[bytes]:
    """Payments of one day: accounts and payees that come and go, a few that stay, some that come back after a long time,
    customers of two accounts, a reversal."""
    made = []
    for number in range(A_DAY):
        came = day - day % 3
        account = {0: f"stays-{number % 4}", 1: f"back-{day // 20 * 20 % 40}-{number}"}.get(
            number % 5, f"a-{came}-{number}"
        )
        at = start + timedelta(days=day, minutes=40 * number)
        payment = {
            "transaction_id": f"t-{day}-{number}", "account_id": account, "event_time": at.isoformat(),
            "payee_id": f"p-{came}-{number % 7}", "payee_kind": "person", "amount_minor": 1_000 + 37 * number,
            "currency": "EUR", "channel": "app", "device_id": f"d-{number % 3}",
        }  # fmt: skip
        if number % 5 in (2, 3):
            payment["customer_id"] = f"c-{came}-{number // 5}"
        if number == 12:
            payment |= {"type": "reversal", "original_transaction_id": f"t-{max(day - 1, 0)}-{number}"}
        made.append(orjson.dumps(payment))
    return made


def remembered_feedback(start: datetime, day: int) -> bytes:
    verdict = "fraud" if day % 4 == 0 else "genuine"
    said = orjson.loads(day_of(start, day)[6])
    return orjson.dumps(
        {"feedback_id": f"f-{day}", "transaction_id": said["transaction_id"], "account_id": said["account_id"],
         "payee_id": said["payee_id"], "kind": "chargeback", "verdict": verdict, "actor": "chargeback:test",
         "occurred_at": (start + timedelta(days=day + 1)).isoformat()}
    )  # fmt: skip


def written(line: Any) -> int:
    """Payments that the last checkpoints of the first hop stand for."""
    markers = [
        [orjson.loads(r.value) for r in line.records_of("riskstream-accounts-rows", p) if r.key == MARKER_KEY]
        for p in range(4)
    ]
    return sum(one[-1]["transactions"] for one in markers if one)


def rows(table: RowTable) -> list[bytes]:
    return [row.tobytes() for row in table.sorted_rows()]


def test_rows_are_forgotten_through_kills_and_the_oracle_and_the_dump_hold_the_same(
    kafka_settings: Settings, line_class: Any, until: Callable[..., None], tmp_path: Path
) -> None:
    settings = kafka_settings.model_copy(update=FORGETS)
    ensure_topics(settings)
    line = line_class(settings, tmp_path)
    start = datetime.now(UTC) - timedelta(days=DAYS + 5)
    sent = 0

    def send(first: int, last: int) -> None:
        nonlocal sent
        payments = [one for day in range(first, last) for one in day_of(start, day)]
        line.send("bank.transactions.v1", payments)
        line.send("bank.feedback.v1", [remembered_feedback(start, day) for day in range(first, last)])
        sent += len(payments)

    def decided() -> int:
        return len(line.records("risk.decisions.v1"))

    def tombstones(topic: str) -> int:
        return sum(record.value is None for record in line.records(topic))

    both = ("riskstream-accounts-rows", "riskstream-payees-rows")
    try:
        worker = line.worker(instance="one")
        for last in (14, 28):
            send(last - 14, last)
            until(lambda: decided() == sent, f"{last} days", 300)
            until(lambda: written(line) == sent, "its checkpoints", 60)
        assert any(map(tombstones, both)), "what was written with the first days, and idle by the others"
        for last in (38, 48):  # each time in the midst of it
            before, last_sent = decided(), sent
            send(last - 10, last)
            until(lambda before=before: decided() > before, "some of the next days", 120)  # type: ignore[misc]
            worker.kill()
            worker.wait(30)
            assert sent > last_sent
            # another limit from here on: what was in force stands in the records
            worker = line.worker(instance="one", forget_accounts_days=9.0 if last == 38 else 12.0)
        send(48, DAYS)
        until(lambda: decided() == sent, "every decision", 300)
        until(lambda: written(line) == sent, "the last checkpoints", 60)
        assert all(map(tombstones, both))
        worker.terminate()
        assert worker.wait(60) == 0
    finally:
        line.stop()

    result = verify(LiveRecord(settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    assert result.counts["account row"] > 0
    for state in read_state(settings):
        accounts, payees = result.accounts[state.partition], result.payees[state.partition]
        accounts.forget_all()
        payees.forget_all()
        computed = (accounts.table, accounts.customers, accounts.told, payees.table, payees.busy)
        dumped = (state.accounts, state.customers, state.told_accounts, state.payees, state.busy_payees)
        assert list(map(rows, dumped)) == list(map(rows, computed))
    kept = {row["key"] for state in read_state(settings) for row in state.accounts.sorted_rows()}
    met = {orjson.loads(one)["account_id"].encode() for day in range(DAYS) for one in day_of(start, day)}
    assert len(kept) < len(met) / 2
    assert {b"stays-0", b"stays-1", b"stays-2", b"stays-3"} <= kept, "who pays every day is known"
    frauds = {orjson.loads(remembered_feedback(start, day))["account_id"].encode() for day in range(0, DAYS, 4)}
    assert frauds <= kept, "nobody is forgotten who was defrauded"
    markers = [orjson.loads(r.value) for r in line.records(both[0]) if r.key == MARKER_KEY and r.value]
    assert sum(one[TOMBSTONES] > 0 for one in markers) > 0
