"""A rebalance in the middle of a recovery: the old attempt ends, without a trace, before the new one begins."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from simulation.deciders import SwitchingVersions
from simulation.invariants import Bystander
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedReader
from simulation.simulated_worker import UncountedMetrics

from stream.errors import RiskstreamError
from stream.log.records import Place
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.ownership.line import Line
from stream.worker.ownership.recovery import Superseded


class Gate(Bystander):
    """A process whose recovery stops at its next operation until it is let go."""

    def __init__(self) -> None:
        self.closed = True
        self.reached, self.let_go = threading.Event(), threading.Event()

    def operation(self) -> None:
        if self.closed:
            self.closed = False
            self.reached.set()
            assert self.let_go.wait(30)


class GatedLog(ConnectedLog):
    """Its first reader waits at the gate when it comes to read rows."""

    gate = Gate()

    def reader(self) -> SimulatedReader:
        made = SimulatedReader(self.log, Bystander())
        read = made.read

        def gated(place: Place, start: int, stop: int | None = None):  # type: ignore[no-untyped-def]
            self.gate.operation()
            return read(place, start, stop)

        made.read = gated  # type: ignore[method-assign]
        return made


def test_a_recovery_that_was_left_ends_before_the_next_one_begins() -> None:
    log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
    connected = GatedLog(log, Bystander())
    line = Line(Settings(), 2, "w1", SwitchingVersions(), UncountedMetrics(), connected, lambda: 0.0)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as threads:
        left = threads.submit(line.recover, [0, 1], Membership("riskstream", 1, "w1"))
        assert connected.gate.reached.wait(30)
        next_one = threads.submit(line.recover, [1], Membership("riskstream", 2, "w1"))
        connected.gate.let_go.set()
        with pytest.raises(RiskstreamError, match="abandoned"):
            left.result(30)
        next_one.result(30)
    assert line.owned == [1]
    assert {lane.publisher._id for lane in line.lanes.values()} == {  # type: ignore[union-attr]
        "riskstream-w1-2-accounts",
        "riskstream-w1-2-payees",
    }


def test_rows_are_let_go_of_after_a_recovery_that_was_left_has_ended() -> None:
    log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
    connected = GatedLog(log, Bystander())
    connected.gate = Gate()
    line = Line(Settings(), 2, "w1", SwitchingVersions(), UncountedMetrics(), connected, lambda: 0.0)  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as threads:
        left = threads.submit(line.recover, [0, 1], Membership("riskstream", 1, "w1"))
        assert connected.gate.reached.wait(30)
        letting_go = threads.submit(line.release)
        connected.gate.let_go.set()
        with pytest.raises(RiskstreamError, match="abandoned"):
            left.result(30)
        letting_go.result(30)
    assert line.owned == []
    assert all(lane.publisher is None for lane in line.lanes.values())


def test_a_recovery_whose_turn_comes_late_does_not_end_the_one_that_overtook_it() -> None:
    log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
    connected = GatedLog(log, Bystander())
    connected.gate = Gate()
    line = Line(Settings(), 2, "w1", SwitchingVersions(), UncountedMetrics(), connected, lambda: 0.0)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as threads:
        newest = threads.submit(line.recover, [0, 1], Membership("riskstream", 2, "w1"))
        assert connected.gate.reached.wait(30)
        with pytest.raises(Superseded, match="overtaken"):
            line.recover([0], Membership("riskstream", 1, "w1"), lambda: False)
        line.release(lambda: False)
        connected.gate.let_go.set()
        newest.result(30)
    assert line.owned == [0, 1]


def test_a_recovery_that_is_overtaken_before_it_reads_anything_ends_at_once() -> None:
    log = SimulatedLog(2, random.Random(1), lambda: 0.0, lambda membership: True)
    connected = ConnectedLog(log, Bystander())
    line = Line(Settings(), 2, "w1", SwitchingVersions(), UncountedMetrics(), connected, lambda: 0.0)  # type: ignore[arg-type]
    line.recover([0, 1], Membership("riskstream", 1, "w1"))
    newest = [2]

    def overtaken() -> None:
        newest.append(3)
        line.abandon()  # as the next recovery does, which then waits for its turn

    publisher = line.lanes["accounts"].publisher
    assert publisher is not None
    publisher.close = overtaken  # type: ignore[method-assign]
    with pytest.raises(Superseded):
        line.recover([0, 1], Membership("riskstream", 2, "w1"), lambda: newest[-1] == 2)
    assert line.owned == []
