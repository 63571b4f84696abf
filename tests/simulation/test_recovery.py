"""A recovery refuses a log that does not belong together, and reads no more than it must."""

from __future__ import annotations

import random

import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import SimulatedLog, SimulatedReader

from stream.errors import RiskstreamError
from stream.settings import Settings
from stream.worker.accounts import AccountsHop
from stream.worker.checkpoint import MARKER_KEY
from stream.worker.log import Place
from stream.worker.payees import PayeesHop

BATCHES = Place("riskstream-accounts-batches", 0)
ROWS = Place("riskstream-accounts-rows", 0)


def recover(log: SimulatedLog) -> AccountsHop:
    hop = AccountsHop(Settings(), 1, lambda actor: True)
    reader = SimulatedReader(log, Bystander())
    transactions, feedback = (p.offset for p in reader.positions(hop.places(0)).values())
    hop.recover(reader, 0, transactions, feedback)
    return hop


def test_the_log_as_it_is_recovers(done: SimulatedLog) -> None:
    assert len(recover(done).owned[0].core.table) > 1


def test_batches_lost_behind_the_last_checkpoint_are_refused(done: SimulatedLog) -> None:
    rows = done.entries[ROWS]
    first = next(at for at, entry in enumerate(rows) if entry.record is not None and entry.record.key == MARKER_KEY)
    done.entries[ROWS] = rows[: first + 1]
    recover(done)  # the batches behind that checkpoint lead to the same rows
    done.entries[BATCHES] = []
    with pytest.raises(RiskstreamError, match="do not belong together"):
        recover(done)


def test_all_of_batches_and_rows_lost_is_refused(done: SimulatedLog) -> None:
    done.entries[BATCHES] = []
    done.entries[ROWS] = []
    with pytest.raises(RiskstreamError, match=r"end at offsets None, the group stands at"):
        recover(done)


def test_offsets_reset_by_hand_are_refused(done: SimulatedLog) -> None:
    done.group = {place: position._replace(offset=0) for place, position in done.group.items()}
    with pytest.raises(RiskstreamError, match="or were offsets reset by hand"):
        recover(done)


def test_a_group_that_never_took_anything_starts_empty() -> None:
    log = SimulatedLog(1, random.Random(1), lambda: 0.0, lambda membership: True)
    assert len(recover(log).owned[0].core.table) == 0


def test_frames_offsets_reset_by_hand_are_refused(done: SimulatedLog) -> None:
    hop = PayeesHop(Settings(), SwitchingVersions())
    with pytest.raises(RiskstreamError, match="or were offsets reset by hand"):
        hop.recover(SimulatedReader(done, Bystander()), 0, 0)
