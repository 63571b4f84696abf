"""CPU per event, throughput and memory of stateful engines, side by side in one run.

    python benchmarks/throughput.py                      all engines, three rounds, about 15 minutes
    python benchmarks/throughput.py --engines riskstream,confluent_raw_changelog --rounds 1
    python benchmarks/throughput.py --json               one JSON object on the last line

Each engine works off a backlog on core 0 while a real Kafka of the benchmark's own has core 1. What is measured is the
stretch between an early and a late point of the backlog: start, imports and the warm-up of a JVM do not count (they
are reported beside it). CPU is that of all threads of the process, from /proc/PID/stat. Afterwards a committed reader
counts the decisions and compares every account's last count and sum with the traffic's own. Engines take turns, and
figures are medians of the rounds, so that a busy machine disturbs all alike; ``core_share`` says how much of its core
an engine got: far below 1 on a machine that does other things besides, and then only CPU per event means something.

``engine_only``: the same trivial job for everyone (``benchmarks/engines/``). ``full``: riskstream's worker as shipped.

Kafka Streams needs Java and Maven; Quix Streams an environment of its own, because it pins an older confluent-kafka:
    python3.11 -m venv build/benchmarks && build/benchmarks/bin/pip install -r benchmarks/requirements.lock
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import orjson

from benchmarks.engines import kafka_streams
from benchmarks.engines.job import Job
from benchmarks.process_meter import ProcessMeter
from benchmarks.testbed import ROOT, Testbed, say
from benchmarks.traffic import transactions

QUIX_PYTHON = ROOT / "build" / "benchmarks" / "bin" / "python"
POLL_S = 0.05
STALL_S = 120.0


@dataclass(frozen=True, slots=True)
class Engine:
    """One contestant.

    Parameters
    ----------
    command
        Its command line for a job.
    events
        Length of its backlog: long enough that CPU ticks and warm-up do not matter.
    early, late
        Shares of the backlog between which is measured.
    trivial
        False for the whole line, whose decisions hold no count and sum.
    """

    command: Callable[[Job], list[str]]
    events: int
    early: float = 0.25
    late: float = 0.95
    trivial: bool = True


def python(module: str, interpreter: Path = Path(sys.executable)) -> Callable[[Job], list[str]]:
    """Command of an engine in Python."""
    return lambda job: [str(interpreter), "-m", f"benchmarks.engines.{module}", job.broker, job.prefix, job.state]


def whole_line(job: Job) -> list[str]:
    """Command of the worker as shipped."""
    return [
        sys.executable, "-m", "stream.cli", "worker", "--broker", job.broker, "--topic-prefix", job.prefix,
        "--metrics-port", "0",
    ]  # fmt: skip


FULL = "full"
ENGINES = {
    "riskstream": Engine(python("riskstream_trivial"), 400_000),
    "faust_stock": Engine(python("faust_stock"), 20_000),
    "quixstreams": Engine(python("quixstreams", QUIX_PYTHON), 200_000),
    "kafka_streams_alo": Engine(lambda job: kafka_streams.command(job, "at_least_once"), 1_300_000, 0.4),
    "kafka_streams_eos": Engine(lambda job: kafka_streams.command(job, "exactly_once_v2"), 1_300_000, 0.4),
    "confluent_raw": Engine(python("confluent_raw"), 500_000),
    "confluent_raw_changelog": Engine(python("confluent_raw_changelog"), 500_000),
    FULL: Engine(whole_line, 400_000, trivial=False),
}
EXTRA = {
    "kafka_streams_eos_bytes": Engine(
        lambda job: kafka_streams.command(job, "exactly_once_v2", "bytes"), 1_300_000, 0.4
    ),
    "kafka_streams_alo_bytes": Engine(lambda job: kafka_streams.command(job, "at_least_once", "bytes"), 1_300_000, 0.4),
}
"""Only by name: the bound of Kafka Streams with a codec that validates nothing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round of one engine measured."""

    events_per_s: float
    cpu_us_per_event: float
    peak_rss_mb: float
    core_share: float
    start_cpu_s: float
    """CPU until the early point, less what its events cost at the measured rate: start and warm-up."""
    decisions: int
    exact: bool
    """One decision an event, counts and sums as the traffic's: true of all while nothing crashes, or it is a bug."""


def measure(testbed: Testbed, name: str, engine: Engine, events: int, number: int) -> Figures:
    """Load a backlog, let the engine work it off, look at what it made."""
    prefix = f"{name.replace('_', '-')}-{number}-"
    job = Job(testbed.broker, prefix, str(testbed.directory / prefix))
    Path(job.state).mkdir()
    testbed.topics(prefix, "changelog")
    testbed.load(job.input, transactions(events))
    process = testbed.start(engine.command(job), prefix, {"RISKSTREAM_DATA_DIRECTORY": job.state})
    meter = ProcessMeter(process.pid)
    try:
        early = reach(testbed, process, meter, job, round(engine.early * events))
        late = reach(testbed, process, meter, job, round(engine.late * events))
        peak = meter.peak_rss_mb()
        reach(testbed, process, meter, job, events)
        decisions, exact = wait_checked(testbed, process, job, engine, events)
        ends = testbed.ends(job.output)
    finally:
        testbed.end(process)
    testbed.forget(prefix)
    share = decisions / ends  # the ends also count control records
    took, cpu, done = (after - before for before, after in zip(early, late, strict=True))
    each = cpu / (done * share)
    start = early[1] - each * early[2] * share
    return Figures(done * share / took, 1e6 * each, peak, cpu / took, max(0.0, start), decisions, exact)


def reach(
    testbed: Testbed, process: subprocess.Popen[bytes], meter: ProcessMeter, job: Job, decided: int
) -> tuple[float, float, float]:
    """Wait for so many decisions; returns seconds, CPU seconds and decisions as of then."""
    seen, at = -1, time.monotonic()
    while True:
        done, now, cpu = testbed.ends(job.output), time.monotonic(), meter.cpu_s()
        if done >= decided:
            return now, cpu, float(done)
        if done > seen:
            seen, at = done, now
        if process.poll() is not None or now - at > STALL_S:
            tail = testbed.log(job.prefix).read_text(errors="replace")[-3000:]
            raise RuntimeError(
                f"{job.prefix}: {done} of {decided} decisions, then nothing for {now - at:.0f} s:\n{tail}"
            )
        time.sleep(POLL_S)


def wait_checked(
    testbed: Testbed, process: subprocess.Popen[bytes], job: Job, engine: Engine, events: int
) -> tuple[int, bool]:
    """Read what is committed until it is all there; returns how many decisions, and whether they are right."""
    deadline = time.monotonic() + STALL_S
    while True:
        values = [record.value or b"" for record in testbed.committed(job.output)]
        if len(values) >= events or time.monotonic() > deadline:
            break
        time.sleep(1.0)
    found = [orjson.loads(value) for value in values]
    once = len(found) == events == len({decision["transaction_id"] for decision in found})
    if not engine.trivial:
        return len(found), once
    last: dict[str, tuple[int, int]] = {}
    for decision in found:
        last[decision["account_id"]] = max(
            last.get(decision["account_id"], (0, 0)), (decision["count"], decision["sum_minor"])
        )
    return len(found), once and last == expected(events)


_EXPECTED: dict[int, dict[str, tuple[int, int]]] = {}


def expected(events: int) -> dict[str, tuple[int, int]]:
    """Every account's count and sum after the whole backlog."""
    if events not in _EXPECTED:
        accounts: dict[str, tuple[int, int]] = {}
        for _, value in transactions(events):
            transaction = orjson.loads(value)
            count, total = accounts.get(transaction["account_id"], (0, 0))
            accounts[transaction["account_id"]] = (count + 1, total + transaction["amount_minor"])
        _EXPECTED[events] = accounts
    return _EXPECTED[events]


def median(rounds: list[Figures]) -> dict[str, float | int | bool]:
    """The rounds' medians, rounded; ``exact`` when every round was."""

    def middle(of: Callable[[Figures], float], digits: int) -> float:
        return round(statistics.median(of(figures) for figures in rounds), digits)

    return {
        "events_per_s": round(middle(lambda f: f.events_per_s, 0)),
        "cpu_us_per_event": middle(lambda f: f.cpu_us_per_event, 2),
        "peak_rss_mb": round(middle(lambda f: f.peak_rss_mb, 0)),
        "core_share": middle(lambda f: f.core_share, 2),
        "start_cpu_s": middle(lambda f: f.start_cpu_s, 1),
        "decisions": rounds[0].decisions,
        "exact": all(figures.exact for figures in rounds),
        "rounds": len(rounds),
    }


def table(figures: dict[str, list[Figures]]) -> str:
    """For people: one line an engine, and the ratios that the project is held to."""
    lines = [f"{'engine':26}{'µs/event':>9}{'events/s':>10}{'RSS MB':>8}{'core':>6}{'start s':>9}  exact"]
    cpu: dict[str, float] = {}
    for name, rounds in figures.items():
        row = median(rounds)
        cpu[name] = float(row["cpu_us_per_event"])
        lines.append(
            f"{'riskstream, whole line' if name == FULL else name:26}{row['cpu_us_per_event']:9.1f}"
            f"{row['events_per_s']:10,}{row['peak_rss_mb']:8}{row['core_share']:6.2f}{row['start_cpu_s']:9.1f}"
            f"  {'yes' if row['exact'] else 'NO'}"
        )
    for ours, theirs, bound in RATIOS:
        if ours in cpu and theirs in cpu:
            lines.append(f"{ours} / {theirs}: {cpu[ours] / cpu[theirs]:.2f} (at most {bound})")
    return "\n".join(lines)


RATIOS = [
    ("riskstream", "kafka_streams_alo", 1.0),
    ("riskstream", "quixstreams", 0.4),
    ("riskstream", "confluent_raw_changelog", 2.0),
    (FULL, "kafka_streams_eos", 1.5),
    (FULL, "quixstreams", 0.6),
    (FULL, "confluent_raw", 2.7),
]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default=",".join(ENGINES), help="names, comma-separated; 'full' is the whole line")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every backlog's length")
    parser.add_argument("--accounts", type=int, default=1_000_000, help="for bytes_per_account; 0 leaves it out")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Run all rounds and print."""
    arguments = parse()
    known = ENGINES | EXTRA
    names = arguments.engines.split(",")
    if unknown := [name for name in names if name not in known]:
        say(f"no engine {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    if "quixstreams" in names and not QUIX_PYTHON.exists():
        say(f"{QUIX_PYTHON} is not there; see the end of --help, or leave quixstreams out with --engines")
        return 2
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    subprocess.run([sys.executable, "-m", "stream.warm_up"], cwd=ROOT, check=True)  # compiled before, not in a round
    with Testbed() as testbed:
        for number in range(arguments.rounds):
            for name in names:
                events = round(known[name].events * arguments.scale)
                result = measure(testbed, name, known[name], events, number)
                figures[name].append(result)
                say(f"round {number + 1} {name}: {result.cpu_us_per_event:.2f} µs, {result.events_per_s:,.0f}/s, "
                    f"{result.peak_rss_mb:.0f} MB, core {result.core_share:.2f}, {'exact' if result.exact else 'WRONG'}")  # fmt: skip
    print(table(figures))
    if arguments.json:
        print(json.dumps(document(figures, arguments.accounts)))
    return 0 if all(one.exact for rounds in figures.values() for one in rounds) else 1


def document(figures: dict[str, list[Figures]], accounts: int) -> dict[str, object]:
    """What ``--json`` prints."""
    found: dict[str, object] = {
        "engine_only": {name: median(rounds) for name, rounds in figures.items() if name != FULL},
        "full": {"riskstream": median(figures[FULL])} if FULL in figures else {},
    }
    if accounts:
        command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "--accounts", str(accounts), "--json"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        memory = json.loads(said.splitlines()[-1])
        found |= {name: memory[name] for name in ("bytes_per_account", "bytes_per_account_with_payees")}
    return found


if __name__ == "__main__":
    sys.exit(main())
