"""What riskstream itself fails at is left out alone, said, recorded, and left out again by whoever walks it again."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.poison import Stage, poison, poisoned, poisoned_as
from simulation.schedules import Simulation, draw, run
from simulation.shrink import failure
from simulation.simulated_log import ConnectedLog, SimulatedLog
from simulation.simulated_worker import UncountedMetrics
from simulation.traffic import FEEDBACK, TRANSACTIONS, Bank

from stream.core.frame.skipped import SkippedFrames
from stream.log.records import Place, Record, RecordBatch
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.ownership.line import Line

SCHEDULES = range(40)


@pytest.fixture(autouse=True)
def _poison(monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch)


def letters(log: SimulatedLog) -> list[Record]:
    places = [Place(f"{topic}.dlq", p) for topic in (TRANSACTIONS, FEEDBACK) for p in range(log.partitions)]
    return [record for place in places for record in log.committed(place, 0, 10_000)]


@pytest.mark.timeout(600)
def test_schedules_with_poison_end_as_the_oracle_says() -> None:
    seen: Counter[str] = Counter()
    for seed in SCHEDULES:
        done: list[Simulation] = []
        what = failure(poisoned(draw(seed), seed), done.append)
        assert not what, f"seed {seed}: {what}"
        for worker in done[0].workers:
            seen.update(worker.metrics.events)
        seen["internal"] += sum(1 for r in letters(done[0].log) if dict(r.headers)["riskstream.reason"] == b"internal")
    for what in ("accounts recovered", "accounts dead_letter", "payees recovered", "payees dead_letter", "internal"):
        assert seen[what] >= 20, seen
    assert seen["payees undecided"] >= 20, seen


def forget_offsets(patch: pytest.MonkeyPatch) -> None:
    """The batch record does not say what was left out."""
    record = AccountProcessor._record_batch

    def without(self: AccountProcessor, *rest: Any) -> None:
        *others, walked = rest
        record(self, *others, replace(walked, internal=[]))

    patch.setattr(AccountProcessor, "_record_batch", without)


def forget_skips(patch: pytest.MonkeyPatch) -> None:
    """A recovery of the second hop does not ask what was left out."""
    patch.setattr(PayeeProcessor, "_read_skips", lambda self, reader, partition: SkippedFrames())


def rows_kept(patch: pytest.MonkeyPatch) -> None:
    """Rows of a walk that raised are taken for those of the last commit."""
    give_up = Line._give_up

    async def trusting(self: Line, lane: Any, *rest: Any) -> None:
        await give_up(self, lane, *rest)
        lane.sound = True

    patch.setattr(Line, "_give_up", trusting)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutation", [forget_offsets, forget_skips, rows_kept], ids=lambda mutation: mutation.__name__)
def test_a_rule_left_out_is_noticed(mutation: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    caught = next((seed for seed in range(200) if failure(poisoned(draw(seed), seed))), None)
    assert caught is not None, mutation.__doc__


class Told(UncountedMetrics):
    """Also remembers which partitions stand."""

    standing: list[Place]

    def stopped(self, places: Any) -> None:
        self.standing = list(places)


class Day:
    """Two partitions with some payments each, and one worker that is stepped by hand."""

    def __init__(self, stages: Mapping[int, Stage], **settings: Any) -> None:
        self.log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
        self.log.random.random = lambda: 0.5  # type: ignore[method-assign]  # no commit fails by chance
        bank = Bank(random.Random(1), 2)
        counts: Counter[Place] = Counter()
        while sum(counts.values()) < 30:
            bank._number += 1
            event = bank._payment()
            at = counts[event.place]
            counts[event.place] += 1
            if event.place.partition == 0 and at in stages:
                event = poisoned_as(event, stages[at])
            self.log.write(event)
        self.settings = Settings(**settings)
        self.generation = 0
        self.metrics = Told()
        self.line = self.started()

    def started(self) -> Line:
        return Line(
            self.settings, 2, f"w{self.generation}", SwitchingVersions(), self.metrics,  # type: ignore[arg-type]
            ConnectedLog(self.log, Bystander()), lambda: 0.0,
        )  # fmt: skip

    def work(self) -> None:
        """Until nothing waits that is not stopped: recover as often as batches fail."""
        for _ in range(12):
            self.generation += 1
            offsets = self.line.recover([0, 1], Membership("riskstream", self.generation, self.line.worker))
            self.line.resume()
            for place, start in offsets.items():
                found = RecordBatch.of(self.log.committed(place, start, self.log.stable_end(place)), start)
                self.line.lane_of(place.topic).mailbox.put(place, found)
            for name in ("accounts", "payees"):
                asyncio.run(self.line.step(name))
                for transaction in list(self.log.unsettled):
                    self.log.settle(transaction)

    def decisions(self) -> list[dict[str, Any]]:
        records = [r for p in (0, 1) for r in self.log.committed(Place("risk.decisions.v1", p), 0, 1_000)]
        return [orjson.loads(record.value or b"") for record in records]


def test_the_dead_letter_names_the_error_and_nothing_of_the_payload() -> None:
    day = Day({2: "read", 5: "walk", 7: "payee walk"})
    day.work()
    found = letters(day.log)
    told = [(dict(r.headers)["__connect.errors.offset"], dict(r.headers)["__connect.errors.exception.message"])
            for r in found]  # fmt: skip
    assert [at for at, _ in told] == [b"2", b"5", b"7"]
    assert [message.split()[0] for _, message in told] == [b"RuntimeError", b"ValueError", b"ValueError"]
    assert all(b"667" not in message for _, message in told)
    originals = day.log.committed(Place(TRANSACTIONS, 0), 0, 1_000)
    assert [(r.key, r.value) for r in found] == [(originals[at].key, originals[at].value) for at in (2, 5, 7)]
    assert len(day.decisions()) == 27


def test_one_more_within_an_hour_stops_its_partition_and_the_others_go_on() -> None:
    day = Day({2: "walk", 4: "read", 5: "walk"}, internal_errors_per_hour=2)
    hour = [e.record._replace(timestamp=1_770_000_000_000) for e in day.log.entries[Place(TRANSACTIONS, 0)] if e.record]
    day.log.entries[Place(TRANSACTIONS, 0)] = []
    for record in hour:
        day.log.append(Place(TRANSACTIONS, 0), record)
    day.work()
    assert day.metrics.standing == [Place(TRANSACTIONS, 0)]
    assert len(day.line.standing) == 1
    assert "bank.transactions.v1[0] stands at offset 5: ValueError while it was walked" in day.line.standing[0]
    assert "nothing is lost" in day.line.standing[0]
    assert sorted(day.line.accounts.owned) == [1]
    elsewhere = len(day.log.committed(Place(TRANSACTIONS, 1), 0, 1_000))
    assert len(day.decisions()) == elsewhere
    day.settings = Settings(internal_errors_per_hour=3)
    day.line = day.started()  # who has looked at it raises the bound and starts the worker anew
    day.work()
    assert day.line.standing == []
    assert len(day.decisions()) == 27


def test_errors_further_apart_than_an_hour_stop_nothing_however_many() -> None:
    day = Day(dict.fromkeys(range(1, 9), "walk"), internal_errors_per_hour=1)  # payments of the bank are an hour apart
    day.work()
    assert day.line.standing == []
    assert len(letters(day.log)) == 8


def test_the_bound_counts_what_a_worker_before_left_out() -> None:
    day = Day({1: "walk", 2: "walk"}, internal_errors_per_hour=1)
    same = [e.record._replace(timestamp=1_770_000_000_000) for e in day.log.entries[Place(TRANSACTIONS, 0)] if e.record]
    day.log.entries[Place(TRANSACTIONS, 0)] = []
    day.log.append(Place(TRANSACTIONS, 0), same[0])
    day.log.append(Place(TRANSACTIONS, 0), same[1])
    day.work()
    assert day.line.standing == []
    day.line = day.started()
    day.log.append(Place(TRANSACTIONS, 0), same[2])
    day.work()
    assert "stands at offset 2" in day.line.standing[0]


def test_what_deciding_fails_at_takes_the_declared_direction_and_the_rest_is_decided() -> None:
    day = Day({3: "decide", 6: "decide"})
    day.work()
    failed = [d for d in day.decisions() if d["degraded"]]
    assert len(day.decisions()) == 30
    assert len(failed) == 2
    for decision in failed:
        assert decision["degraded"] == [{"dependency": "decider", "direction": "challenge_light"}]
        assert (decision["outcome"], decision["step_up"]) == ("challenge", "light")
        assert decision["risk_ppm"] > 0
    assert letters(day.log) == []


def test_a_poisoned_schedule_is_the_same_each_time() -> None:
    def letters_of(done: Simulation) -> list[tuple[bytes | None, bytes | None]]:
        return [(record.key, record.value) for record in letters(done.log)]

    schedule = poisoned(draw(3), 3)
    assert letters_of(run(schedule)) == letters_of(run(schedule))
