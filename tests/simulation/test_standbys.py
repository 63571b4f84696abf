"""Standby copies: read on, bounded, taken over in the midst of a read, and never believed of a topic made anew."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedReader

from stream.core.table.row_table import RowTable
from stream.log.records import Place
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.rows.replica import ReplicaRefused
from stream.worker.rows.standbys import Standbys
from stream.worker.transport.assignor import place_copies, share_out

ROWS = Place("riskstream-accounts-rows", 0)


class Shown:
    def __init__(self) -> None:
        self.behind: dict[Place, int | None] = {}

    def standby(self, place: Place, behind: int | None) -> None:
        self.behind[place] = behind

    def thread_restarted(self, thread: str) -> None:
        raise AssertionError(f"{thread} failed")


def copies_of(log: SimulatedLog, limit: int = 1 << 30) -> tuple[Standbys, Shown]:
    shown = Shown()
    standbys = Standbys(ConnectedLog(log, Bystander()), limit, shown)
    standbys.hops = (
        AccountProcessor(Settings(), 1, lambda actor: True),
        PayeeProcessor(Settings(), SwitchingVersions()),
    )
    return standbys, shown


def rows(table: RowTable) -> dict[bytes, bytes]:
    return {bytes(row["key"]): row.tobytes() for row in table.sorted_rows()}


def recovered(log: SimulatedLog, replica: Any) -> dict[bytes, bytes]:
    hop = AccountProcessor(Settings(), 1, lambda actor: True)
    reader = SimulatedReader(log, Bystander())
    offsets = {place: at.offset for place, at in reader.positions(hop.inputs(0)).items()}
    hop.recover(reader, 0, offsets, replica)
    return rows(hop.owned[0].core.table)


def test_a_copy_is_read_to_the_end_and_leads_to_the_same_rows(done: SimulatedLog) -> None:
    standbys, shown = copies_of(done)
    standbys.keep([0])
    assert standbys.warm == frozenset()
    assert standbys.step()
    assert standbys.warm == {0}
    assert shown.behind[ROWS] == 0
    replica = standbys.take(standbys.hops[0], 0)
    assert replica is not None
    assert len(replica.table) > 1
    assert recovered(done, replica) == recovered(done, None)
    assert shown.behind[ROWS] is None
    assert standbys.take(standbys.hops[0], 0) is None, "it is the recovery's now"


def test_a_copy_that_has_not_read_everything_is_read_on(done: SimulatedLog) -> None:
    standbys, _ = copies_of(done)
    whole = done.entries[ROWS]
    done.entries[ROWS] = whole[: len(whole) // 2]
    standbys.keep([0])
    standbys.step()
    done.entries[ROWS] = whole
    assert recovered(done, standbys.take(standbys.hops[0], 0)) == recovered(done, None)


def test_copies_beyond_their_memory_are_dropped_and_said(done: SimulatedLog) -> None:
    standbys, shown = copies_of(done, limit=10)
    standbys.keep([0])
    standbys.step()
    assert standbys.places == []
    assert "2 copies would pass the limit of 0 MB" in standbys.failure
    assert shown.behind[ROWS] is None
    standbys.keep([])
    standbys.step()
    assert standbys.failure == ""


def test_what_is_no_longer_wanted_is_let_go(done: SimulatedLog) -> None:
    standbys, _ = copies_of(done)
    standbys.keep([0])
    standbys.step()
    assert len(standbys.places) == 2
    standbys.keep([])
    assert standbys.places == []


def test_a_copy_of_a_topic_made_anew_is_refused(done: SimulatedLog) -> None:
    standbys, _ = copies_of(done)
    standbys.keep([0])
    standbys.step()
    done.made[ROWS.topic] = 1
    with pytest.raises(ReplicaRefused, match="made anew"):
        standbys.take(standbys.hops[0], 0)


def test_a_copy_of_a_log_that_was_cut_is_begun_anew(done: SimulatedLog) -> None:
    standbys, _ = copies_of(done)
    standbys.keep([0])
    standbys.step()
    whole, done.entries[ROWS] = done.entries[ROWS], []
    standbys.step()
    assert ROWS not in standbys.places
    done.entries[ROWS] = whole
    standbys.step()
    assert recovered(done, standbys.take(standbys.hops[0], 0)) == recovered(done, None)


def test_a_copy_taken_in_the_midst_of_a_read_is_not_written_to_any_more(done: SimulatedLog) -> None:
    """Two threads, as in a worker: one reads on, the other takes over."""
    standbys, _ = copies_of(done)
    standbys.keep([0])
    reached, let_go = threading.Event(), threading.Event()

    class Slow(SimulatedReader):
        def read_many(self, place: Place, start: int, stop: int | None = None) -> Any:
            for number, records in enumerate(SimulatedReader.read_many(self, place, start, stop)):
                half = max(len(records) // 2, 1)
                yield records.part(0, half)
                if place == ROWS and number == 0:
                    reached.set()
                    assert let_go.wait(30)
                yield from [records.part(half, len(records))] if half < len(records) else []

    standbys._log.reader = lambda: Slow(done, Bystander())  # type: ignore[method-assign]
    thread = threading.Thread(target=standbys.step)
    thread.start()
    assert reached.wait(30)
    replica = standbys.take(standbys.hops[0], 0)
    assert replica is not None
    before = replica.next_offset
    let_go.set()
    thread.join(30)
    assert replica.next_offset == before
    assert recovered(done, replica) == recovered(done, None)


def test_an_unfinished_checkpoint_is_not_seen_by_a_copy(done: SimulatedLog) -> None:
    standbys, _ = copies_of(done)
    standbys.keep([0])
    standbys.step()
    before = rows(standbys._copies[ROWS].replica.table)
    transaction = done.begin("somebody")
    record = next(e.record for e in reversed(done.entries[ROWS]) if e.record is not None and e.record.key[0] > 1)  # type: ignore[index]
    done.append(ROWS, record._replace(value=record.value[:-1] + b"\x07"), transaction)  # type: ignore[index,operator]
    standbys.step()
    assert rows(standbys._copies[ROWS].replica.table) == before


@given(
    st.integers(1, 12), st.integers(1, 5), st.integers(0, 3), st.randoms(use_true_random=False)
)  # fmt: skip
def test_copies_are_never_the_owners_and_even(
    partitions: int, members: int, copies: int, chance: random.Random
) -> None:  # fmt: skip
    names = [f"m{number}" for number in range(members)]
    warm = {name: frozenset(p for p in range(partitions) if chance.random() < 0.3) for name in names}
    shares = share_out(range(partitions), dict.fromkeys(names, frozenset[int]()), warm)
    assert sorted(p for share in shares.values() for p in share) == list(range(partitions))
    assert max(map(len, shares.values())) - min(map(len, shares.values())) <= 1
    placed = place_copies(shares, warm, copies)
    assert not any(set(placed[name]) & set(shares[name]) for name in names)
    for partition in range(partitions):
        assert sum(partition in own for own in placed.values()) == min(copies, members - 1)
    cold = place_copies(shares, {}, 1)
    assert max(map(len, cold.values())) <= partitions
