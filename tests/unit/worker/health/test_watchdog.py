"""When a worker is alive, when it is ready, and when it ends itself."""

from __future__ import annotations

import pytest

from stream.log.records import Place
from stream.worker.health.watchdog import Health, Observation, Watchdog, WatchdogLimits

LIMITS = WatchdogLimits(stall_s=30.0, recovery_s=60.0, exit_s=90.0)
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


def failing(at: float, failures: int, **seen: object) -> Observation:
    return Observation(at, **{"recovered": False, "failures": failures, "trouble": "no leader", **seen})  # type: ignore[arg-type]


def test_attempts_that_get_on_and_fail_again_and_again_end_liveness_and_say_what_of() -> None:
    # each attempt reads more than the one before: no single one of them stands still
    health = judged(*(failing(at, at // 10, progress=at) for at in range(0, 130, 10)))
    assert not health.live
    assert health.reasons[0].startswith("attempts to recover and to commit have failed for")
    assert "no leader" in health.reasons[0]


def test_recoveries_that_succeed_and_whose_first_commit_fails_are_no_progress_either() -> None:
    seen = [
        failing(at, at // 10, recovered=at % 20 == 0, positions={PLACE: 7}, lag={PLACE: 3}) for at in range(0, 130, 10)
    ]
    assert not judged(*seen).live


def test_a_batch_that_was_committed_ends_the_count_of_failures() -> None:
    health = judged(*(failing(at, at // 10, progress=at, commits=at // 50) for at in range(0, 300, 10)))
    assert health.live


def test_a_few_failures_before_a_long_recovery_are_no_fault() -> None:
    assert judged(failing(0, 0), failing(10, 2), *(failing(at, 2, progress=at) for at in range(20, 300, 20))).live


def test_the_reason_of_the_last_failure_is_shown_while_it_is_tried_again() -> None:
    health = judged(failing(0, 1, doing="taking over"))
    assert (health.live, health.ready) == (True, False)
    assert health.reasons == (
        "recovering (taking over): rows are being rebuilt, or no partition was assigned yet; the last attempt failed: "
        "no leader",
    )


def test_a_recovery_that_is_refused_for_good_is_shown_for_a_while_and_then_ends_the_process() -> None:
    refusal = "partition 3: rows end at 7, the group stands at 9"
    first = judged(failing(0, 1, refusal=refusal))
    assert (first.live, first.ready, first.refused) == (True, False, False)
    assert refusal in first.reasons[0]
    assert "exit status 4" in first.reasons[0]
    seen = [failing(at, 1, refusal=refusal, progress=0) for at in (0, 10, 29.5, 30)]
    assert not judged(*seen[:3]).refused
    assert judged(*seen).refused
    # another generation of the group may have given the partition to somebody who can have it
    assert not judged(*seen[:3], working(29.8, 10), failing(31, 1, refusal=refusal)).refused
