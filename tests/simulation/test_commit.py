"""A commit that never ends is given up, and what wakes of it later changes nothing."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Mapping

import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedPublisher
from simulation.simulated_worker import UncountedMetrics
from simulation.traffic import TRANSACTIONS, Bank

from rules.exchange_rates import Currencies
from stream.core.frame.recorded_rates import RatesLost
from stream.log.records import Place, PublishFailed, RecordBatch
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.hops import account_rows
from stream.worker.hops.isolation import PartitionStopped
from stream.worker.ownership.line import Line

INPUT = Place(TRANSACTIONS, 0)
MEMBERSHIP = Membership("riskstream", 1, "w1")


class StuckPublisher(SimulatedPublisher):
    """Its commit waits until it is let go."""

    let_go: threading.Event
    ended: threading.Event
    refusal: list[str]

    def commit(self, offsets: Mapping[Place, int]) -> None:
        assert self.let_go.wait(30)
        try:
            super().commit(offsets)
        except PublishFailed as error:
            self.refusal.append(str(error))
            raise
        finally:
            self.ended.set()


def stuck(publisher: SimulatedPublisher) -> StuckPublisher:
    publisher.__class__ = StuckPublisher
    assert isinstance(publisher, StuckPublisher)
    publisher.let_go, publisher.ended, publisher.refusal = threading.Event(), threading.Event(), []
    return publisher


def a_day() -> tuple[SimulatedLog, Line]:
    """A log with some payments, and a line that owns its one partition."""
    log = SimulatedLog(1, random.Random(1), lambda: 0.0, lambda membership: True)
    log.random.random = lambda: 0.5  # type: ignore[method-assign]  # no commit fails by chance
    bank = Bank(random.Random(1), 1)
    for event in (bank._payment() for _ in range(5)):
        log.write(event)
    connected = ConnectedLog(log, Bystander())
    line = Line(Settings(), 1, "w1", SwitchingVersions(), UncountedMetrics(), connected, lambda: 0.0)  # type: ignore[arg-type]
    return log, line


def take_all(log: SimulatedLog, line: Line) -> None:
    start = line.recover([0], MEMBERSHIP)[INPUT]
    line.resume()
    line.lane_of(TRANSACTIONS).mailbox.put(INPUT, RecordBatch.of(log.committed(INPUT, start, log.end(INPUT)), start))


@pytest.mark.parametrize(
    ("records", "took_ms", "rest_ms"),
    [
        (0, 8, 8),
        (64, 8, 4),
        (96, 8, 2),
        (128, 8, 0),
        (128, 9, 0),
        (128, 12, 6),
        (128, 16, 14),
        (128, 20, 15),
        (0, 60, 15),
    ],
)
def test_a_hop_rests_after_small_and_slow_transactions(records: int, took_ms: float, rest_ms: float) -> None:
    _, line = a_day()
    assert line._rest_after(records, took_ms / 1000) == pytest.approx(rest_ms / 1000)


def test_a_refusal_of_what_a_batch_takes_ends_its_transaction() -> None:
    log, line = a_day()
    reasons: list[str] = []
    line.on_lost = reasons.append
    take_all(log, line)
    log.granted = lambda membership: False  # type: ignore[method-assign]
    log.random.random = lambda: 0.4  # type: ignore[method-assign]  # offsets come before the records
    asyncio.run(line.step("accounts"))
    assert not line.ready
    assert "generation" in reasons[0]
    assert log.end(INPUT) > 0
    assert log.committed(Place("riskstream-accounts-batches", 0), 0, 1_000) == []


def test_a_line_that_pauses_ends_its_batch_and_takes_no_other() -> None:
    log, line = a_day()
    take_all(log, line)
    publisher = stuck(line.lanes["accounts"].publisher)  # type: ignore[arg-type]

    async def pause_in_a_commit() -> None:
        stepping = asyncio.create_task(line.step("accounts"))
        await asyncio.sleep(0)  # the batch is walked, its commit waits
        pausing = asyncio.create_task(line.pause())
        await asyncio.sleep(0)
        line.lane_of(TRANSACTIONS).mailbox.put(INPUT, RecordBatch.of(log.committed(INPUT, 0, 1)))
        assert not pausing.done()
        publisher.let_go.set()
        await asyncio.gather(stepping, pausing)

    asyncio.run(pause_in_a_commit())
    assert not line.ready
    assert line.accounts.owned[0].sequence == 1
    assert line.lane_of(TRANSACTIONS).mailbox


def test_a_commit_that_never_ends_is_given_up_and_done_again_once() -> None:
    log, line = a_day()
    reasons: list[str] = []
    line.on_lost = reasons.append
    take_all(log, line)
    publisher = stuck(line.lanes["accounts"].publisher)  # type: ignore[arg-type]
    line.commit_limit_s = 0.05
    asyncio.run(line.step("accounts"))
    assert not line.ready
    assert "given up" in reasons[0]
    line.commit_limit_s = 30.0
    take_all(log, line)
    publisher.let_go.set()
    assert publisher.ended.wait(30)
    assert "fenced" in publisher.refusal[0]
    asyncio.run(line.step("accounts"))
    assert len(reasons) == 1
    for transaction in list(log.unsettled):
        log.settle(transaction)
    assert len(log.committed(Place("riskstream-accounts-batches", 0), 0, 1_000)) == 1
    assert log.end(INPUT) == line.positions[INPUT]


def test_a_rebalance_waits_for_a_commit_as_long_as_its_budget_says_and_the_batch_is_done_again_once() -> None:
    log, line = a_day()
    reasons: list[str] = []
    line.on_lost = reasons.append
    take_all(log, line)
    publisher = stuck(line.lanes["accounts"].publisher)  # type: ignore[arg-type]

    async def revoke_in_a_commit() -> None:
        stepping = asyncio.create_task(line.step("accounts"))
        await asyncio.sleep(0)  # the batch is walked, its commit waits
        await asyncio.wait_for(line.pause(budget_s=0.05), 30)
        await asyncio.wait_for(stepping, 30)

    asyncio.run(revoke_in_a_commit())
    assert not publisher.ended.is_set(), "the commit is still under way, and nobody waited for it"
    assert not line.ready
    assert "given up" in reasons[0]
    line.release()
    assert line.owned == []
    take_all(log, line)
    publisher.let_go.set()
    assert publisher.ended.wait(30)
    assert "fenced" in publisher.refusal[0], "what ends late changes nothing"
    asyncio.run(line.step("accounts"))
    assert len(reasons) == 1
    for transaction in list(log.unsettled):
        log.settle(transaction)
    assert len(log.committed(Place("riskstream-accounts-batches", 0), 0, 1_000)) == 1
    assert log.end(INPUT) == line.positions[INPUT]


def test_a_budget_bounds_a_batch_that_failed_while_the_coordinator_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, line = a_day()
    reasons: list[str] = []
    line.on_lost = reasons.append
    take_all(log, line)
    publisher = line.lanes["accounts"].publisher
    let_go = threading.Event()
    monkeypatch.setattr(publisher, "take", lambda offsets: let_go.wait(30))

    def fails(*arguments: object) -> None:
        raise ValueError("a walk that fails")

    monkeypatch.setattr(line.accounts, "process", fails)

    async def revoke_in_a_failed_batch() -> bool:
        stepping = asyncio.create_task(line.step("accounts"))
        await asyncio.sleep(0)  # the batch has failed, its requests are under way
        await line.pause(budget_s=0.05)
        waited_for = let_go.is_set()
        await stepping
        let_go.set()
        return waited_for

    assert not asyncio.run(revoke_in_a_failed_batch()), "nobody waited for the coordinator"
    assert line.lanes["accounts"].publisher is None, "a publisher that is still asked for something is let go"
    assert "a walk that fails" in reasons[0]


def test_a_budget_that_is_not_used_up_lets_the_commit_end() -> None:
    log, line = a_day()
    take_all(log, line)
    publisher = stuck(line.lanes["accounts"].publisher)  # type: ignore[arg-type]

    async def revoke_in_a_commit() -> None:
        stepping = asyncio.create_task(line.step("accounts"))
        await asyncio.sleep(0)
        pausing = asyncio.create_task(line.pause(budget_s=30.0))
        await asyncio.sleep(0)
        publisher.let_go.set()
        await asyncio.gather(stepping, pausing)

    asyncio.run(revoke_in_a_commit())
    assert line.accounts.owned[0].sequence == 1
    assert log.end(INPUT) == line.positions[INPUT]


def test_rates_that_were_lost_and_accepted_stand_in_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    log, line = a_day()
    take_all(log, line)
    asyncio.run(line.step("accounts"))
    for transaction in list(log.unsettled):
        log.settle(transaction)

    def lost(batch: Mapping[str, object], before: object, otherwise: object) -> None:
        raise RatesLost("the table of that batch was deleted")

    monkeypatch.setattr(account_rows, "recorded_rates", lost)
    monkeypatch.setattr(line.accounts, "rates", lambda: Currencies("EUR"))
    line.accounts.settings = line.settings.model_copy(update={"accept_lost_records": True})
    line.release()
    line.accounts.kept.clear()  # another process: nothing but the log is there
    take_all(log, line)
    assert line.accounts.owned[0].rates is None, "what no record holds is written with the next batch"


def test_a_line_that_is_never_stepped_starts_no_thread() -> None:
    before = threading.active_count()
    lines = [a_day()[1] for _ in range(3)]
    assert threading.active_count() == before
    assert len(lines) == 3


def test_partitions_that_stop_one_after_the_other_are_progress_each_once() -> None:
    """A worker with bad frames in every partition stops one after the other, and each stop ends in a recovery: it lives."""
    _, line = a_day()
    for _ in range(2):
        for partition in range(4):
            place = Place("risk.profiled.v1", partition)
            line._note(line.lanes["payees"], PartitionStopped("payees", partition, place, 5, "too many bad frames"))
    assert line.commits == 4
