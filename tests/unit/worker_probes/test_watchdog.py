"""When a worker is alive, when it is ready, and when it ends itself."""

from __future__ import annotations

import pytest

from stream.worker.log import Place
from stream.worker.watchdog import Health, Limits, Observation, Watchdog

LIMITS = Limits(stall_s=30.0, recovery_s=60.0, exit_s=90.0)
PLACE, OTHER = Place("bank.transactions.v1", 0), Place("risk.profiled.v1", 1)


def judged(*seen: Observation) -> Health:
    watchdog = Watchdog(LIMITS)
    health = Health(live=True, ready=True)
    for observation in seen:
        health = watchdog.observe(observation)
    return health


def working(at: float, offset: int, lag: int = 5) -> Observation:
    return Observation(at, positions={PLACE: offset, OTHER: 3}, lag={PLACE: lag, OTHER: 0})


def recovering(at: float, progress: int) -> Observation:
    return Observation(at, recovered=False, progress=progress)


def test_a_worker_that_keeps_up_is_live_and_ready() -> None:
    assert judged(*(working(at, 10 + at) for at in range(0, 200, 10))) == Health(True, True)


def test_an_idle_worker_is_live_and_ready_for_ever() -> None:
    assert judged(working(0, 10, lag=0), working(10_000, 10, lag=0)) == Health(True, True)


def test_offsets_that_stand_still_while_records_wait_end_liveness_and_name_the_partition() -> None:
    assert judged(working(0, 10), working(30, 10)).live
    dead = judged(working(0, 10), working(30.5, 10))
    assert (dead.live, dead.ready) == (False, False)
    assert dead.reasons == ("bank.transactions.v1[0] stands at offset 10 since 30 s while 5 records wait",)


def test_one_partition_that_stands_still_is_enough() -> None:
    def seen(at: float, offset: int) -> Observation:
        return Observation(at, positions={PLACE: offset, OTHER: 3}, lag={PLACE: 5, OTHER: 1})

    dead = judged(seen(0, 1), seen(20, 2), seen(40, 3))
    assert [reason.split(" ")[0] for reason in dead.reasons] == ["risk.profiled.v1[1]"]


def test_an_advance_or_an_empty_partition_starts_the_time_anew() -> None:
    assert judged(working(0, 10), working(29, 11), working(58, 11)).live
    assert judged(working(0, 10), working(29, 10, lag=0), working(58, 10), working(87, 10)).live


def test_a_recovery_is_live_and_not_ready_while_it_gets_on() -> None:
    health = judged(*(recovering(at, progress=at) for at in range(0, 500, 20)))
    assert (health.live, health.ready) == (True, False)
    assert "recovering" in health.reasons[0]


def test_a_recovery_without_progress_ends_liveness() -> None:
    assert judged(recovering(0, 7), recovering(60, 7)).live
    dead = judged(recovering(0, 7), recovering(61, 7))
    assert not dead.live
    assert dead.reasons[0] == "recovery has made no progress for 61 s"


def test_a_recovery_that_begins_anew_again_and_again_is_no_progress() -> None:
    assert not judged(*(recovering(at, progress=at % 20) for at in range(0, 100, 10))).live


def test_a_time_of_recovery_does_not_count_as_standing_still() -> None:
    assert judged(working(0, 10), recovering(20, 1), working(40, 10), working(65, 10)).live


def gone(at: float) -> Observation:
    return Observation(at, broker="Connection refused")


def test_a_broker_that_is_gone_ends_readiness_at_once_and_liveness_after_the_limit() -> None:
    short = judged(working(0, 10), gone(1), gone(31))
    assert (short.live, short.ready, short.reasons) == (
        True,
        False,
        ("the broker does not answer: Connection refused",),
    )
    long = judged(working(0, 10), gone(1), gone(32))
    assert (long.live, long.reasons) == (False, ("the broker has not answered for 31 s: Connection refused",))


def test_a_broker_that_comes_back_makes_the_worker_live_and_ready_again() -> None:
    assert judged(gone(0), gone(50), working(51, 10)) == Health(True, True)
    # its absence is not held against recovery and offsets
    assert judged(recovering(0, 7), gone(30), recovering(80, 7)).live
    assert judged(working(0, 7), gone(30), working(80, 7)).live


@pytest.mark.parametrize("part", ["holds", "learner"])
def test_a_part_that_fails_makes_the_worker_unready_and_leaves_it_alive(part: str) -> None:
    health = judged(*(Observation(at, parts={part: "no topic", "other": ""}) for at in range(0, 1000, 50)))
    assert health == Health(True, False, (f"{part}: no topic",))


def test_a_worker_that_stays_dead_is_exhausted_and_one_that_recovers_is_not() -> None:
    assert not judged(gone(0), gone(31), gone(120)).exhausted
    assert judged(gone(0), gone(31), gone(121)).exhausted
    assert not judged(gone(0), gone(31), gone(100), working(110, 1), gone(111), gone(150), gone(230)).exhausted
