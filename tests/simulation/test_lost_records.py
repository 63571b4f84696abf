"""Records deleted before they were read: their partition stands and says so, the others go on, until it is accepted."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedReader
from simulation.simulated_worker import UncountedMetrics
from simulation.traffic import TRANSACTIONS, Bank

from stream.errors import RiskstreamError
from stream.log.records import Place, RecordBatch
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.ownership.line import Line
from stream.worker.rows.lost_records import RecordsLost

BATCHES = "riskstream-accounts-batches"


class CountedMetrics(UncountedMetrics):
    lost_offsets: dict[Place, int]

    def lost(self, offsets: Any) -> None:
        self.lost_offsets = dict(offsets)


def a_day() -> SimulatedLog:
    log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
    log.random.random = lambda: 0.5  # type: ignore[method-assign]  # no commit fails by chance
    bank = Bank(random.Random(1), 2)
    for event in (bank._payment() for _ in range(30)):
        log.write(event)
    return log


def line_on(log: SimulatedLog, name: str, **settings: Any) -> Line:
    return Line(
        Settings(**settings), 2, name, SwitchingVersions(), CountedMetrics(), ConnectedLog(log, Bystander()), lambda: 0.0  # type: ignore[arg-type]
    )  # fmt: skip


def work(log: SimulatedLog, line: Line, generation: int, most: int = 1_000) -> dict[Place, int]:
    """Recover, and take up to so many transactions of each partition."""
    offsets = line.recover([0, 1], Membership("riskstream", generation, line.worker))
    line.resume()
    for place, start in offsets.items():
        stop = min(start + most, log.stable_end(place))
        if place.topic == TRANSACTIONS and stop > start:
            line.lane_of(TRANSACTIONS).mailbox.put(place, RecordBatch.of(log.committed(place, start, stop), start))
    asyncio.run(line.step("accounts"))
    for transaction in list(log.unsettled):
        log.settle(transaction)
    return offsets


def delete(log: SimulatedLog, place: Place, low: int) -> None:
    log.low[place] = low


def test_a_partition_stands_with_a_word_and_the_others_go_on() -> None:
    log = a_day()
    work(log, line_on(log, "w1"), 1, most=5)
    delete(log, Place(TRANSACTIONS, 1), 8)
    line = line_on(log, "w2")
    offsets = work(log, line, 2)
    assert sorted(line.accounts.owned) == [0]
    assert sorted(line.payees.owned) == [0, 1], "payments of the others have payees there"
    assert {place.partition for place in offsets if place.topic == TRANSACTIONS} == {0}
    assert "bank.transactions.v1[1]: offsets 5 to 7 were deleted before they were read (3 offsets" in line.refused[0]
    assert "RISKSTREAM_ACCEPT_LOST_RECORDS=true" in line.refused[0]
    assert line.metrics.lost_offsets == {Place(TRANSACTIONS, 1): 3}  # type: ignore[attr-defined]
    assert line.positions[Place(TRANSACTIONS, 0)] == log.end(Place(TRANSACTIONS, 0))
    assert log.group[Place(TRANSACTIONS, 1)].offset == 5, "nobody moved it on"


def test_accepted_it_goes_on_behind_them_also_after_a_restart_and_the_gap_stays_on_record() -> None:
    log = a_day()
    work(log, line_on(log, "w1"), 1, most=5)
    delete(log, Place(TRANSACTIONS, 1), 8)
    accepting = line_on(log, "w2", accept_lost_records=True)
    assert accepting.recover([0, 1], Membership("riskstream", 2, "w2"))[Place(TRANSACTIONS, 1)] == 8
    again = line_on(log, "w3", accept_lost_records=True)  # the second one died before it took anything
    work(log, again, 3)
    assert again.refused == []
    asyncio.run(again.checkpoint_all())
    spans = [orjson_spans(r.value) for r in log.committed(Place(BATCHES, 1), 0, 99)]
    assert spans[0][1] == 5
    assert spans[1][0] == 8
    line = line_on(log, "w4")
    line.recover([0, 1], Membership("riskstream", 4, "w4"))
    assert line.owned == [0, 1], "once a batch has been taken behind them, nobody has to accept it again"


def orjson_spans(value: bytes | None) -> list[int]:
    spans: list[int] = orjson.loads(value or b"")["transactions"]
    return spans


def test_what_must_be_walked_again_and_was_deleted_is_not_left_out() -> None:
    log = a_day()
    work(log, line_on(log, "w1"), 1)
    place = Place(TRANSACTIONS, 0)
    delete(log, place, 2)  # it was decided, but no checkpoint has its rows
    line = line_on(log, "w2")
    line.recover([0, 1], Membership("riskstream", 2, "w2"))
    assert sorted(line.accounts.owned) == [1]
    assert (
        "offsets 0 to 1 were deleted before they were read (2 offsets, decided, but not yet in the rows"
        in (line.refused[0])
    )


def test_a_gap_in_the_log_of_batches_is_not_passed_over() -> None:
    log = a_day()
    line = line_on(log, "w1")
    work(log, line, 1, most=3)
    work(log, line, 2, most=3)
    work(log, line, 3, most=3)
    first = next(i for i, entry in enumerate(log.entries[Place(BATCHES, 0)]) if entry.record is not None)
    delete(log, Place(BATCHES, 0), first + 1)
    hop = AccountProcessor(Settings(), 2, lambda actor: True)
    reader = SimulatedReader(log, Bystander())
    offsets = {place: at.offset for place, at in reader.positions(hop.inputs(0)).items()}
    with pytest.raises(RecordsLost, match="the rows stand for batch 0, the first one recorded behind them is 2"):
        hop.recover(reader, 0, offsets)


def test_rows_half_walked_when_something_broke_are_not_kept() -> None:
    log = a_day()
    line = line_on(log, "w1")
    work(log, line, 1, most=5)
    before = {row["key"]: row.tobytes() for row in line.accounts.owned[0].core.table.sorted_rows()}
    core = line.accounts.owned[0].core
    process = core.process

    def broken(*columns: Any) -> Any:
        process(*columns)
        raise RiskstreamError("in the midst of a batch")

    core.process = broken  # type: ignore[method-assign]
    place = Place(TRANSACTIONS, 0)
    line.lane_of(TRANSACTIONS).mailbox.put(place, RecordBatch.of(log.committed(place, 5, 8), 5))
    asyncio.run(line.step("accounts"))
    assert not line.ready
    line.recover([0, 1], Membership("riskstream", 2, "w1"))
    after = {row["key"]: row.tobytes() for row in line.accounts.owned[0].core.table.sorted_rows()}
    assert after == before
