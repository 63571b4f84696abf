"""What every hop passes: the like of River's checks of its estimators, on a log in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedPublisher, SimulatedReader
from simulation.simulated_worker import UncountedMetrics
from simulation.traffic import TRANSACTIONS, Bank

from stream.core.frame.frames import FrameRoom
from stream.errors import SeamBroken
from stream.log.mailbox import Mailbox
from stream.log.records import Place, RecordBatch
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.deciding import Deciding
from stream.worker.hops.hop import Hop
from stream.worker.hops.isolation import OutOfPlace, WalkFailed
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.ownership.lane import Lane

PAYMENTS = 12
NAMES = ("accounts", "payees")


@dataclass
class World:
    """A log whose payments the accounts hop has walked, and hops on it that own nothing yet."""

    log: SimulatedLog

    def hop(self, name: str) -> Hop:
        versions = SwitchingVersions()
        if name == "accounts":
            hop = AccountProcessor(Settings(), 1, versions.trusts)
            hop.broker_ms = lambda: self.log.broker_ms
            return hop
        return PayeeProcessor(Settings(), versions)

    def reader(self) -> SimulatedReader:
        return SimulatedReader(self.log, Bystander())

    def publisher(self, name: str) -> SimulatedPublisher:
        return ConnectedLog(self.log, Bystander()).publisher(name, Membership("riskstream", 1, "w1"))

    def owning(self, name: str) -> Hop:
        hop = self.hop(name)
        hop.recover(
            self.reader(), 0, {place: at.offset for place, at in self.reader().positions(hop.inputs(0)).items()}
        )
        return hop

    def waiting(self, hop: Hop) -> dict[Place, RecordBatch]:
        stands = hop.input_offsets(0)
        return {
            place: RecordBatch.of(self.log.committed(place, at, self.log.end(place)), at)
            for place, at in stands.items()
            if self.log.end(place) > at
        }

    def take(self, hop: Hop, *, commit: bool = True, checkpoint: bool = False) -> UncountedMetrics:
        """Walk what waits as one transaction."""
        publisher, metrics = self.publisher(hop.name), UncountedMetrics()
        publisher.begin()
        batch = self.waiting(hop)
        processed = hop.process(publisher, batch)
        if checkpoint:
            hop.checkpoint(publisher, 0)
        if commit:
            publisher.commit(hop.input_offsets(0))
            for transaction in list(self.log.unsettled):
                self.log.settle(transaction)
            processed.count(metrics)
            if checkpoint:
                hop.written(0)
        return metrics


@pytest.fixture
def world() -> World:
    log = SimulatedLog(1, random.Random(1), lambda: 0.0, lambda membership: True)
    log.random.random = lambda: 0.5  # type: ignore[method-assign]  # no commit fails by chance
    bank = Bank(random.Random(1), 1)
    for event in (bank._payment() for _ in range(PAYMENTS)):
        log.write(event)
    made = World(log)
    made.take(made.owning("accounts"))
    for event in (bank._payment() for _ in range(PAYMENTS)):
        log.write(event)
    return made


def rows_of(hop: Hop) -> list[bytes]:
    return [
        np.sort(table.rows[: table.slots][table.rows[: table.slots]["schema"] != 0]).tobytes()
        for table in hop.tables(0)[1]
    ]


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_one_place_of_each_source_and_its_rows_stand_for_those(world: World, name: str) -> None:
    hop = world.owning(name)
    assert hop.name == name
    for partition in (0, 3):
        assert [place.topic for place in hop.inputs(partition)] == list(hop.sources)
        assert {place.partition for place in hop.inputs(partition)} == {partition}
    assert list(hop.input_offsets(0)) == list(hop.inputs(0))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_moves_its_rows_to_its_end(world: World, name: str) -> None:
    hop = world.owning(name)
    batch = world.waiting(hop)
    assert batch, "nothing waits: the check would say nothing"
    world.take(hop)
    assert hop.input_offsets(0) == hop.input_offsets(0) | {p: records.next_offset for p, records in batch.items()}
    assert hop.walked >= 1
    assert hop.dirty(0)
    assert hop.unwritten(0) >= 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("by", [-1, 1])
def test_a_batch_that_begins_elsewhere_is_refused_and_changes_nothing(world: World, name: str, by: int) -> None:
    hop = world.owning(name)
    world.take(hop)
    before, stands = rows_of(hop), hop.input_offsets(0)
    place = hop.inputs(0)[0]
    records = world.log.committed(place, 0, world.log.end(place))
    publisher = world.publisher(hop.name)
    publisher.begin()
    with pytest.raises(OutOfPlace):
        hop.process(publisher, {place: RecordBatch.of(records[:1], stands[place] + by)})
    assert rows_of(hop) == before
    assert hop.input_offsets(0) == stands


@pytest.mark.parametrize("name", NAMES)
def test_what_was_set_aside_is_taken_up_only_where_the_group_stands_there(world: World, name: str) -> None:
    hop = world.owning(name)
    world.take(hop)
    stands, rows = hop.input_offsets(0), rows_of(hop)
    hop.keep(None)
    hop.owned.clear()
    assert not hop.take_up(0, {place: at + 1 for place, at in stands.items()})
    assert not hop.owned
    again = world.owning(name)
    world_stands = again.input_offsets(0)
    again.keep(None)
    again.owned.clear()
    assert again.take_up(0, world_stands)
    assert rows_of(again) == rows
    again.keep(None)
    again.owned.clear()
    again.forget_kept([7])
    assert not again.take_up(0, world_stands), "another worker has had it"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_recovery_has_the_same_rows_with_a_checkpoint_and_without(world: World, name: str, checkpoint: bool) -> None:
    hop = world.owning(name)
    world.take(hop, checkpoint=checkpoint)
    assert hop.dirty(0) is not checkpoint
    assert (hop.unwritten(0) == 0) is checkpoint
    again = world.owning(name)
    assert rows_of(again) == rows_of(hop)
    assert again.input_offsets(0) == hop.input_offsets(0)
    assert (again.changelog(0), len(again.tables(0)[1])) == (hop.tables(0)[0], len(hop.tables(0)[1]))
    assert again.fullest(0) == hop.fullest(0) > 0


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_committed_leaves_nothing_in_the_log(world: World, name: str) -> None:
    hop = world.owning(name)
    before = {place: world.log.committed(place, 0, world.log.end(place)) for place in list(world.log.entries)}
    world.take(hop, commit=False)
    world.publisher(hop.name)  # the next of its name fences it
    after = {place: world.log.committed(place, 0, world.log.end(place)) for place in before}
    assert after == before
    assert TRANSACTIONS in {place.topic for place in before}


@pytest.mark.parametrize("name", NAMES)
def test_a_line_commits_only_where_the_rows_stand(world: World, name: str) -> None:
    hop = world.owning(name)
    lane = Lane(hop, Mailbox(100, 1 << 20))
    lane.require_taken(hop.input_offsets(0))
    for wrong in ({place: at + 1 for place, at in hop.input_offsets(0).items()}, {hop.changelog(0): 1}):
        with pytest.raises(SeamBroken, match="other offsets"):
            lane.require_taken(wrong)


def test_frames_hold_what_was_decided_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hop = world.owning("accounts")
    monkeypatch.setattr(FrameRoom, "__len__", lambda room: 10_000)
    with pytest.raises(WalkFailed, match="SeamBroken"):
        world.take(hop)


def test_what_came_in_frames_is_what_is_decided(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hop = world.owning("payees")
    decide = Deciding.decide
    monkeypatch.setattr(Deciding, "decide", lambda self, received: decide(self, received)[1:])
    with pytest.raises(SeamBroken, match="other payments"):
        world.take(hop)
