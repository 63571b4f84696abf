"""A recovery refuses a log that does not belong together, and reads no more than it must."""

from __future__ import annotations

import random

import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedReader

from stream.errors import RiskstreamError
from stream.log.made_anew import TopicMadeAnew
from stream.log.records import Place
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.rows.checkpoint import MARKER_KEY

BATCHES = Place("riskstream-accounts-batches", 0)
ROWS = Place("riskstream-accounts-rows", 0)
INPUTS = [Place("bank.transactions.v1", 0), Place("bank.feedback.v1", 0)]


def recover(
    log: SimulatedLog, topic_ids: dict[str, str] | None = None, settings: Settings | None = None
) -> AccountProcessor:  # fmt: skip
    hop = AccountProcessor(settings or Settings(), 1, lambda actor: True)
    hop.topic_ids = topic_ids or {}
    reader = SimulatedReader(log, Bystander())
    offsets = {place: at.offset for place, at in reader.positions(hop.inputs(0)).items()}
    hop.recover(reader, 0, offsets)
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


@pytest.mark.parametrize("topic", ["bank.transactions.v1", "bank.feedback.v1"])
def test_rows_of_an_input_that_was_made_anew_are_refused_though_the_offsets_agree(
    done: SimulatedLog, topic: str
) -> None:
    known = {place.topic: ConnectedLog(done, Bystander()).identity(place.topic) for place in INPUTS}
    assert len(recover(done, known).owned[0].core.table) > 1
    done.made[topic] = 1
    anew = {place.topic: ConnectedLog(done, Bystander()).identity(place.topic) for place in INPUTS}
    with pytest.raises(TopicMadeAnew, match=f"topic {topic} was deleted and made anew .*RISKSTREAM_TOPIC_PREFIX"):
        recover(done, anew)
    assert len(recover(done, anew, Settings(accept_lost_records=True)).owned[0].core.table) > 1


def test_frames_of_a_topic_that_was_made_anew_are_refused(done: SimulatedLog) -> None:
    hop = PayeeProcessor(Settings(), SwitchingVersions())
    done.made["risk.profiled.v1"] = 1
    hop.topic_ids = {"risk.profiled.v1": ConnectedLog(done, Bystander()).identity("risk.profiled.v1")}
    with pytest.raises(TopicMadeAnew, match=r"topic risk.profiled.v1 was deleted"):
        hop.recover(SimulatedReader(done, Bystander()), 0, {hop.inputs(0)[0]: 1_000})


def test_a_group_that_never_took_anything_starts_empty() -> None:
    log = SimulatedLog(1, random.Random(1), lambda: 0.0, lambda membership: True)
    assert len(recover(log).owned[0].core.table) == 0


def test_frames_offsets_reset_by_hand_are_refused(done: SimulatedLog) -> None:
    hop = PayeeProcessor(Settings(), SwitchingVersions())
    with pytest.raises(RiskstreamError, match="or were offsets reset by hand"):
        hop.recover(SimulatedReader(done, Bystander()), 0, {hop.inputs(0)[0]: 0})
