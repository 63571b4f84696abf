"""Make a schedule that fails smaller: fewer faults, fewer events, fewer workers, as long as it still fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import orjson
from simulation.schedules import Schedule, Simulation, run
from simulation.traffic import Event

T = TypeVar("T")
MOST_TRIES = 400


def failure(schedule: Schedule, ended: Callable[[Simulation], object] = lambda done: None) -> str:
    """What a schedule violates; empty when nothing, and then ``ended`` has looked at the run."""
    try:
        ended(run(schedule))
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a run is what is looked for
        return f"{type(error).__name__}: {error}"
    return ""


def shrink(schedule: Schedule, fails: Callable[[Schedule], str] = failure) -> Schedule:
    """The smallest schedule found that fails."""
    tries = 0
    shrunk = True
    while shrunk and tries < MOST_TRIES:
        shrunk = False
        for candidate in _smaller(schedule):
            tries += 1
            if fails(candidate):
                schedule, shrunk = candidate, True
                break
            if tries >= MOST_TRIES:
                break
    return schedule


def describe(schedule: Schedule) -> str:
    """A schedule in lines, for a person."""
    lines = [
        f"seed {schedule.seed}: {schedule.partitions} partitions, {schedule.workers} workers, batches of "
        f"{schedule.batch_records}, checkpoints every {schedule.checkpoint_interval_ms} ms "
        f"or {schedule.checkpoint_records} records, "
        f"{schedule.standby_copies} standby copies, snapshots every {schedule.snapshot_interval_s} s"
    ]
    for event in schedule.events:
        place = f"{event.place.topic}[{event.place.partition}]"
        lines.append(f"  event {event.expect:<20} {place:<26} {event.value.decode()[:160]}")
    lines += [
        f"  fault at turn {f.turn}: {f.kind} {f.worker}, {f.damage if f.kind == 'disk' else f'{f.turns} turns'}"
        for f in schedule.faults
    ]
    return "\n".join(lines)


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    for faults in _without_parts(schedule.faults):
        yield replace(schedule, faults=faults)
    for events in _without_parts(schedule.events):
        yield replace(schedule, events=_consistent(events))
    if schedule.workers > 1:
        yield replace(schedule, workers=schedule.workers - 1)


def _without_parts(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """The items without a half, a quarter, … one of them."""
    size = -(-len(items) // 2)
    while size:
        for start in range(0, len(items), size):
            yield (*items[:start], *items[start + size :])
        size = size // 2 if size > 1 else 0


def _consistent(events: Sequence[Event]) -> tuple[Event, ...]:
    """Without repeats of what is no longer sent before them: those would be first occurrences."""
    sent: set[str] = set()
    kept = []
    for event in events:
        if event.repeats and event.repeats not in sent:
            continue
        if event.expect == "decided":
            sent.add(orjson.loads(event.value)["transaction_id"])
        kept.append(event)
    return tuple(kept)
