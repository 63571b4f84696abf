"""The broker's time: never ahead of it, standing still while the clocks differ or nobody measures."""

from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry

from stream.settings import Settings
from stream.worker.health.clock import SILENT_S, BrokerClock, Reading

NOW = 1_800_000_000_000_000
S, DAY = 1_000_000, 86_400_000_000


class Machine:
    """A machine whose clock is off, and whose monotonic clock is not."""

    def __init__(self, skew: int = 0) -> None:
        self.skew, self.elapsed = skew, 0.0
        self.registry = CollectorRegistry()
        self.clock = BrokerClock(
            Settings(clock_skew_limit_s=5), "w", self.registry, now_us=self.wall, monotonic=lambda: self.elapsed
        )

    def broker(self) -> int:
        return NOW + round(self.elapsed * S)

    def wall(self) -> int:
        return self.broker() + self.skew

    def measure(self, way_s: float = 0.01) -> None:
        sent = self.wall()
        self.elapsed += way_s / 2
        stamp = self.broker() // 1000 * 1000
        self.elapsed += way_s / 2
        self.clock.take(Reading(sent, self.wall(), stamp))

    def shown(self) -> float:
        value = self.registry.get_sample_value("riskstream_clock_skew_seconds")
        assert value is not None
        return value


def test_nothing_expires_before_the_clock_was_measured() -> None:
    machine = Machine()
    assert math.isnan(machine.shown())
    assert machine.clock.expiry_us() == 0
    assert "has not been measured yet: nothing expires, and no policy begins" in machine.clock.failure


def test_time_goes_on_by_the_broker_and_never_runs_ahead_of_it() -> None:
    machine = Machine(skew=2 * S)
    machine.measure(way_s=3.0)
    for _ in range(5):
        machine.elapsed += 4.9
        assert machine.broker() - 3 * S <= machine.clock.expiry_us() <= machine.broker()
        assert machine.clock.expiry_us() == machine.clock.policy_us()
        assert machine.clock.failure == ""
        machine.measure(way_s=3.0)


@pytest.mark.parametrize("skew", [2 * DAY, -2 * DAY, 6 * S, -6 * S])
def test_while_the_clocks_differ_nothing_expires_and_policies_stay(skew: int) -> None:
    machine = Machine()
    machine.measure()
    stood = machine.clock.policy_us()
    machine.skew = skew
    machine.elapsed += 5
    machine.measure()
    assert machine.shown() == pytest.approx(skew / S, abs=0.02)
    assert machine.clock.expiry_us() == 0
    assert machine.clock.policy_us() == stood
    assert ("ahead of" if skew > 0 else "behind") in machine.clock.failure
    machine.skew = 0
    machine.measure()
    assert machine.clock.failure == ""
    assert machine.broker() - S < machine.clock.expiry_us() <= machine.broker()
    assert machine.clock.policy_us() > stood


def test_a_worker_that_starts_with_a_wrong_clock_takes_the_policies_of_the_brokers_time() -> None:
    machine = Machine(skew=2 * DAY)
    machine.measure()
    first = machine.clock.policy_us()
    assert machine.broker() - S < first <= machine.broker()
    machine.elapsed += 20
    machine.measure()
    assert machine.clock.policy_us() == first


def test_an_old_measurement_counts_no_more() -> None:
    machine = Machine()
    machine.measure()
    machine.elapsed += SILENT_S + 1
    assert machine.clock.expiry_us() == 0
    assert "has not been measured for 31 s" in machine.clock.failure


def test_a_slow_broker_is_no_wrong_clock() -> None:
    machine = Machine()
    machine.measure(way_s=60.0)
    assert machine.shown() == 0
    assert machine.clock.failure == ""
