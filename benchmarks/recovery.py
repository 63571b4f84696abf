"""kill -9 of one of two workers under load, again and again: is everything exact, and how long is it silent?

    python benchmarks/recovery.py --kills 20                      half with static membership, half without
    python benchmarks/recovery.py --kills 4 --membership static
    python benchmarks/recovery.py --kills 20 --json               one JSON object on the last line

Two workers share four partitions at 2,000 events/s. At a random moment one is killed.
``dynamic``: the survivor takes its partitions over when the session has timed out; a new worker joins afterwards.
``static``: a supervisor starts it again at once under the same instance name, and no partition moves.
``resume_s``: from the kill to the end of the silence of the victim's partitions, as a read_committed consumer sees it.
``survivor_pause_s``: the longest silence of decisions that need the survivor's partitions alone, until the
replacement joins (its joining pauses everybody: ``rejoin_pause_s``).
At the end the oracle computes everything again and compares bytes (``stream/replay/oracle/verify.py``): ``lost`` and
``double`` count transactions, ``different`` the oracle's differences (it names at most 20), ``exact`` the kills around
which there is none of them.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks.testbed import BROKER_CORE, ENGINE_CORE, Testbed, say
from benchmarks.traffic import transactions
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify
from stream.settings import Settings

STEADY_S = 300.0
LONGEST_S = 3_600.0


@dataclass(slots=True)
class Seen:
    """A decision as a committed reader got it: when (s since the epoch), its partitions, its transaction."""

    at: float
    source: int
    payee: int
    transaction: str


class Watcher(threading.Thread):
    """Reads committed decisions as they come."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        super().__init__(name="watcher", daemon=True)
        self.seen: list[Seen] = []
        self._topic = settings.topic("risk.decisions.v1")
        self._partitions = partitions
        self._ended = threading.Event()
        self._consumer = Consumer(
            {"bootstrap.servers": settings.broker, "group.id": "watcher", "isolation.level": "read_committed",
             "fetch.wait.max.ms": 10}
        )  # fmt: skip

    def run(self) -> None:
        """Read until told to end."""
        self._consumer.assign([TopicPartition(self._topic, p, 0) for p in range(self._partitions)])
        while not self._ended.is_set():
            message = self._consumer.poll(0.1)
            if message is None or message.error() is not None:
                continue
            headers: dict[str, bytes] = dict(message.headers() or [])  # type: ignore[arg-type]
            source, payee = (int(headers[f"riskstream.{name}"].split(b"/")[1]) for name in ("source", "profiled"))
            name = orjson.loads(message.value() or b"")["transaction_id"]
            self.seen.append(Seen(time.time(), source, payee, name))
        self._consumer.close()

    def end(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join()


@dataclass(slots=True)
class Kill:
    """One kill and what the other partitions saw of it."""

    at: float
    victims: set[int]
    rejoined: float = 0.0
    until: float = 0.0


@dataclass
class Outcome:
    """What a run found."""

    kills: list[Kill] = field(default_factory=list)
    resume_s: list[float] = field(default_factory=list)
    survivor_pause_s: list[float] = field(default_factory=list)
    rejoin_pause_s: list[float] = field(default_factory=list)
    decisions: int = 0
    lost: int = 0
    double: int = 0
    different: int = 0
    exact: int = 0


class Fleet:
    """Two workers on a line of their own."""

    def __init__(self, testbed: Testbed, settings: Settings, static: bool) -> None:
        self._testbed = testbed
        self.settings = settings
        self._static = static
        self._made = 0
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, seat: str) -> None:
        """Start a worker in a seat; with static membership the seat is its instance name."""
        self._made += 1
        environment = {
            "RISKSTREAM_BROKER": self.settings.broker,
            "RISKSTREAM_TOPIC_PREFIX": self.settings.topic_prefix,
            "RISKSTREAM_METRICS_PORT": "0",
            "RISKSTREAM_INSTANCE": seat if self._static else "",
            "RISKSTREAM_DATA_DIRECTORY": str(self._testbed.directory / f"{self.settings.topic_prefix}{seat}"),
        }
        self.workers[seat] = self._testbed.start(
            [sys.executable, "-m", "stream.cli", "worker"],
            f"{self.settings.topic_prefix}{seat}-{self._made}", environment, {ENGINE_CORE, BROKER_CORE},
        )  # fmt: skip

    def owned(self, seat: str, reader: KafkaReader) -> set[int]:
        """Partitions that a seat's worker committed last."""
        topic = self.settings.topic("bank.transactions.v1")
        places = [Place(topic, partition) for partition in range(self._testbed.partitions)]
        mark = f"-{seat}-" if self._static else f"-{self.workers[seat].pid}-"
        return {place.partition for place, owner in reader.owners(places).items() if mark in owner}

    def kill(self, seat: str) -> None:
        """kill -9."""
        self.workers[seat].send_signal(signal.SIGKILL)
        self.workers[seat].wait(10)

    def end(self) -> None:
        """Stop both."""
        for worker in self.workers.values():
            self._testbed.end(worker)


def run(testbed: Testbed, kills: int, rate: int, static: bool, rng: random.Random) -> Outcome:
    """One line, so many kills; then the oracle."""
    prefix = "static-" if static else "dynamic-"
    settings = testbed.settings(prefix)
    testbed.topics(prefix)
    fleet = Fleet(testbed, settings, static)
    watcher = Watcher(settings, testbed.partitions)
    watcher.start()
    for seat in ("a", "b"):
        fleet.start(seat)
    times_file = testbed.directory / f"{prefix}times.npy"
    feeder = testbed.start(
        [sys.executable, "-m", "benchmarks.feeder", testbed.broker, settings.topic("bank.transactions.v1"), str(rate),
         str(LONGEST_S), str(times_file)],
        f"{prefix}feeder", cores={ENGINE_CORE, BROKER_CORE},
    )  # fmt: skip
    outcome = Outcome()
    try:
        for number in range(kills):
            outcome.kills.append(one_kill(testbed, fleet, watcher, "ab"[number % 2], rate, rng))
            say(f"{prefix}kill {number + 1} of {kills}: partitions {sorted(outcome.kills[-1].victims)}")
        feeder.terminate()
        feeder.wait(90)
        sent = np.load(times_file)
        wait_for(lambda: len(watcher.seen) >= len(sent), "every transaction to be decided", soft=True)
    finally:
        fleet.end()
        watcher.end()
    gaps(outcome, watcher.seen)
    judge(outcome, settings, watcher.seen, sent)
    return outcome


def one_kill(
    testbed: Testbed, fleet: Fleet, watcher: Watcher, seat: str, rate: int, rng: random.Random
) -> Kill:  # fmt: skip
    """Wait until both workers keep up, kill one, see the line back to where it was."""
    reader = KafkaReader(fleet.settings)
    try:
        wait_for(lambda: steady(testbed, fleet, watcher, rate, reader), "two workers that keep up")
        time.sleep(rng.uniform(0.5, 4.0))
        kill = Kill(time.time(), fleet.owned(seat, reader))
        kill.at = time.time()
        fleet.kill(seat)
        if not fleet._static:
            wait_for(lambda: flowing(testbed, watcher, kill.at + 1.0), "the victim's partitions to go on")
            time.sleep(2.0)
        kill.rejoined = time.time()
        fleet.start(seat)
        wait_for(lambda: flowing(testbed, watcher, kill.rejoined + 1.0), "all partitions to go on")
        wait_for(lambda: steady(testbed, fleet, watcher, rate, reader), "two workers that keep up again")
        kill.until = time.time()
    finally:
        reader.close()
    return kill


def steady(testbed: Testbed, fleet: Fleet, watcher: Watcher, rate: int, reader: KafkaReader) -> bool:
    """Both own partitions, all partitions decide, and less than a second's events wait."""
    waiting = testbed.ends(fleet.settings.topic("bank.transactions.v1")) - len(watcher.seen)
    return (
        waiting < rate
        and flowing(testbed, watcher, time.time() - 0.5)
        and all(fleet.owned(seat, reader) for seat in fleet.workers)
    )


def flowing(testbed: Testbed, watcher: Watcher, since: float) -> bool:
    """Every pair of input and payee partition has decided since then."""
    pairs = set()
    for seen in reversed(watcher.seen):
        if seen.at < since:
            break
        pairs.add((seen.source, seen.payee))
    return len(pairs) == testbed.partitions**2


def gaps(outcome: Outcome, seen: list[Seen]) -> None:
    """The silences around each kill."""
    for kill in outcome.kills:
        near = [s for s in seen if kill.at - 1.0 < s.at < kill.until]
        resumed = [longest([s.at for s in near if v in (s.source, s.payee)], kill.at) for v in kill.victims]
        outcome.resume_s.append(round(max(end for _, end in resumed) - kill.at, 2))
        alone = [s.at for s in near if not {s.source, s.payee} & kill.victims]
        before = [at for at in alone if at < kill.rejoined] if kill.rejoined > kill.at + 1.0 else alone
        start, end = longest(before, kill.at)
        outcome.survivor_pause_s.append(round(end - start, 2))
        start, end = longest([s.at for s in near], kill.rejoined)
        outcome.rejoin_pause_s.append(round(end - start, 2))


def longest(times: list[float], since: float) -> tuple[float, float]:
    """Begin and end of the longest silence that begins after ``since``, or spans it."""
    around = [at for at in times if at >= since]
    last = max((at for at in times if at < since), default=since)
    points = [last, *around]
    return max(pairwise(points), key=lambda pair: pair[1] - pair[0], default=(since, since))


def judge(outcome: Outcome, settings: Settings, seen: list[Seen], sent: npt.NDArray[np.int64]) -> None:
    """Lost, double, different; and for how many kills there is nothing of it."""
    count = Counter(s.transaction for s in seen)
    ids = [orjson.loads(value)["transaction_id"] for _, value in transactions(len(sent))]
    times = dict(zip(ids, (sent / 1e9).tolist(), strict=True))
    lost = [name for name in ids if name not in count]
    double = [name for name, many in count.items() if many > 1]
    outcome.decisions, outcome.lost, outcome.double = len(seen), len(lost), len(double)
    result = verify(LiveRecord(settings).recorded)
    outcome.different = len(result.differences)
    for difference in result.differences:
        say(str(difference))
    wrong = [times[name] for name in (*lost, *double)]
    # a difference has no time of its own: it is held against every kill
    outcome.exact = 0 if outcome.different else sum(
        not any(kill.at - 10 <= at <= kill.until for at in wrong) for kill in outcome.kills
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], what: str, soft: bool = False) -> None:
    """Poll a condition; with ``soft`` the judge looks at what is missing."""
    deadline = time.monotonic() + STEADY_S
    while not condition():
        if time.monotonic() > deadline:
            if soft:
                return
            raise RuntimeError(f"waited {STEADY_S:.0f} s for {what}")
        time.sleep(0.1)


def document(outcomes: dict[str, Outcome]) -> dict[str, object]:
    """What ``--json`` prints: everything together, then by membership."""

    def part(some: list[Outcome]) -> dict[str, object]:
        found: dict[str, object] = {"kills": sum(len(o.kills) for o in some)}
        for name in ("exact", "lost", "double", "different", "decisions"):
            found[name] = sum(getattr(o, name) for o in some)
        for name in ("resume_s", "survivor_pause_s", "rejoin_pause_s"):
            found[name] = [value for o in some for value in getattr(o, name)]
        return found

    return part(list(outcomes.values())) | {"by_membership": {name: part([o]) for name, o in outcomes.items()}}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--membership", choices=("both", "static", "dynamic"), default="both")
    parser.add_argument("--rate", type=int, default=2_000, help="events/s")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Run, print, and fail where something is not exact."""
    arguments = parse()
    modes = ("static", "dynamic") if arguments.membership == "both" else (arguments.membership,)
    outcomes: dict[str, Outcome] = {}
    rng = random.Random(arguments.seed)
    with Testbed() as testbed:
        for place, mode in enumerate(modes):
            kills = (arguments.kills + place) // len(modes)
            if kills:
                outcomes[mode] = run(testbed, kills, arguments.rate, mode == "static", rng)
    for mode, outcome in outcomes.items():
        print(f"{mode}: {outcome.exact} of {len(outcome.kills)} kills exact; {outcome.decisions} decisions, "
              f"lost {outcome.lost}, double {outcome.double}, different {outcome.different}")  # fmt: skip
        print(f"  victim's partitions silent (s): {outcome.resume_s}")
        print(f"  survivor's pause (s): {outcome.survivor_pause_s}")
    if arguments.json:
        print(json.dumps(document(outcomes)))
    return 0 if all(outcome.exact == len(outcome.kills) for outcome in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
