"""Is this worker alive, and is it ready? A judgement about observations, made without a clock or a connection.

Faust's workers can look healthy for hours while their offsets stand still. So liveness here means progress: offsets
that advance while there is something to read, a recovery that gets on, a broker that answers. What a restart would
not mend (a part that fails and tries again by itself) makes the worker unready and leaves it alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from stream.log.records import Place

EXIT_AFTER_S: Final = 90.0
"""A worker that has not been alive for so long ends itself, so that its supervisor starts a new one."""


LEAST_FAILURES: Final = 3
"""So many attempts in a row are more than bad luck."""


@dataclass(frozen=True, slots=True)
class WatchdogLimits:
    """How long something may last.

    Parameters
    ----------
    stall_s
        Offsets that stand still while records wait; a broker that does not answer.
    recovery_s
        A recovery without progress, the first assignment included.
    exit_s
        Not being alive.
    refusal_s
        So long a worker whose recovery is refused for good shows why before it ends.
    """

    stall_s: float
    recovery_s: float
    exit_s: float = EXIT_AFTER_S
    refusal_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a worker at one moment.

    Parameters
    ----------
    at
        Monotonic time, s.
    broker
        Why the broker could not be asked; empty where it answered, and only then do positions and lag say anything.
    recovered
        Whether the line takes batches.
    progress
        A number that grows while a recovery gets on; only a new height is progress, so that one that fails and begins
        anew again and again is not taken for one that gets on.
    doing
        What a recovery is at, in words.
    positions
        Next offset of each input partition that this worker owns.
    lag
        Records that wait behind each of them.
    parts
        Why a part of the worker (holds, learner) does not work now, empty where it does.
    failures, commits
        How many attempts to recover or commit have failed, and how many batches were committed.
    trouble
        What the last attempt failed of.
    refusal
        Why no attempt to recover can succeed; empty where one can.
    """

    at: float
    broker: str = ""
    recovered: bool = True
    progress: int = 0
    doing: str = ""
    positions: Mapping[Place, int] = field(default_factory=dict)
    lag: Mapping[Place, int] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    failures: int = 0
    commits: int = 0
    trouble: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """A judgement: ``reasons`` says why not, for a person; ``exhausted`` that the process should end now, ``refused``
    that it should because its recovery is refused for good."""

    live: bool
    ready: bool
    reasons: tuple[str, ...] = ()
    exhausted: bool = False
    refused: bool = False


STARTING: Final = Health(live=True, ready=False, reasons=("starting",))


@dataclass(slots=True)
class _Failing:
    """Since when attempts have failed one after the other, when the last one did, and how many have."""

    since: float
    last: float
    times: int = 0


class Watchdog:
    """Judges one observation after the other.

    Examples
    --------
    >>> watchdog = Watchdog(WatchdogLimits(stall_s=30.0, recovery_s=60.0))
    >>> place = Place("bank.transactions.v1", 0)
    >>> watchdog.observe(Observation(at=0.0, positions={place: 7}, lag={place: 3}))
    Health(live=True, ready=True, reasons=(), exhausted=False, refused=False)
    >>> stalled = watchdog.observe(Observation(at=31.0, positions={place: 7}, lag={place: 3}))
    >>> stalled.live, stalled.reasons
    (False, ('bank.transactions.v1[0] stands at offset 7 since 31 s while 3 records wait',))
    """

    def __init__(self, limits: WatchdogLimits) -> None:
        self._limits = limits
        self._gone_since: float | None = None
        self._recovering: tuple[float, int] | None = None
        """Since when without progress, and the most there was."""
        self._standing: dict[Place, tuple[float, int]] = {}
        """Since when partitions with records that wait stand still, and where."""
        self._dead_since: float | None = None
        self._refused_since: float | None = None
        self._failures = self._commits = 0
        self._failing: _Failing | None = None

    def observe(self, seen: Observation) -> Health:
        """Judge what was seen now; observations come in the order of their times."""
        fatal = [*self._broker(seen), *self._recovery(seen), *self._retries(seen), *self._stalls(seen)]
        soft = [] if seen.recovered else [self._why_unrecovered(seen)]
        if seen.broker and not fatal:
            soft.append(f"the broker does not answer: {seen.broker}")
        soft += [f"{name}: {why}" for name, why in sorted(seen.parts.items()) if why]
        if not fatal:
            self._dead_since = None
        elif self._dead_since is None:
            self._dead_since = seen.at
        exhausted = self._dead_since is not None and seen.at - self._dead_since >= self._limits.exit_s
        refused = self._refused_since is not None and seen.at - self._refused_since >= self._limits.refusal_s
        return Health(not fatal, not fatal and not soft, (*fatal, *soft), exhausted, refused)

    def _why_unrecovered(self, seen: Observation) -> str:
        if seen.refusal:
            return (
                f"recovery is refused and trying again will not mend it: {seen.refusal}; this worker ends with exit "
                f"status 4 after it has shown this for {self._limits.refusal_s:.0f} s"
            )
        at = f" ({seen.doing})" if seen.doing else ""
        last = f"; the last attempt failed: {seen.trouble}" if seen.trouble else ""
        return f"recovering{at}: rows are being rebuilt, or no partition was assigned yet{last}"

    def _retries(self, seen: Observation) -> list[str]:
        """Attempts that fail one after the other, however well each of them gets on before."""
        if not seen.refusal or seen.recovered:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = seen.at
        failed, self._failures = seen.failures > self._failures, seen.failures
        committed, self._commits = seen.commits > self._commits, seen.commits
        if committed or seen.broker or seen.refusal:
            self._failing = None
        if failed and not seen.broker:
            self._failing = _Failing(seen.at, seen.at) if self._failing is None else self._failing
            self._failing.last, self._failing.times = seen.at, self._failing.times + 1
        if self._failing is None:
            return []
        if seen.recovered and seen.at - self._failing.last > self._limits.recovery_s:
            self._failing = None
            return []
        still = seen.at - self._failing.since
        if still <= self._limits.recovery_s or self._failing.times < LEAST_FAILURES:
            return []
        return [f"attempts to recover and to commit have failed for {still:.0f} s, the last one of: {seen.trouble}"]

    def _broker(self, seen: Observation) -> list[str]:
        if not seen.broker:
            self._gone_since = None
            return []
        if self._gone_since is None:
            self._gone_since = seen.at
        gone = seen.at - self._gone_since
        if gone <= self._limits.stall_s:
            return []
        return [f"the broker has not answered for {gone:.0f} s: {seen.broker}"]

    def _recovery(self, seen: Observation) -> list[str]:
        if seen.recovered or seen.broker:
            # without a broker nothing can get on: its own time-out counts
            self._recovering = None
            return []
        if self._recovering is None or seen.progress > self._recovering[1]:
            self._recovering = seen.at, seen.progress
        still = seen.at - self._recovering[0]
        if still <= self._limits.recovery_s:
            return []
        at = f", at {seen.doing}" if seen.doing else ""
        return [f"recovery has made no progress for {still:.0f} s{at}"]

    def _stalls(self, seen: Observation) -> list[str]:
        if seen.broker or not seen.recovered:
            self._standing.clear()
            return []
        standing = {}
        for place, offset in seen.positions.items():
            if seen.lag.get(place, 0) > 0:
                since, before = self._standing.get(place, (seen.at, offset))
                standing[place] = (since if before == offset else seen.at), offset
        self._standing = standing
        return [
            f"{place.topic}[{place.partition}] stands at offset {offset} since {seen.at - since:.0f} s "
            f"while {seen.lag[place]} records wait"
            for place, (since, offset) in sorted(standing.items())
            if seen.at - since > self._limits.stall_s
        ]
