"""From the producer to a committed decision: how long, at a steady rate.

    python benchmarks/latency.py                               riskstream's whole line, and Kafka Streams' one trivial hop
    python benchmarks/latency.py --engines riskstream --rates 1000,5000 --seconds 60
    python benchmarks/latency.py --json                        one JSON object on the last line

A feeder hands events to its producer at the rate (and notes when; its linger of 5 ms is within the figures); a
read_committed consumer notes when it gets each decision. Engine on core 0; broker, feeder and consumer share core 1.
The first seconds, in which caches and a JVM warm up, do not count, nor does a first minute of the broker. Both clocks are the same machine's.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks.engines import kafka_streams
from benchmarks.engines.job import Job
from benchmarks.testbed import BROKER_CORE, Testbed, say
from benchmarks.throughput import whole_line
from benchmarks.traffic import transactions

WARM_UP_S = 10.0
BROKER_WARM_UP_S, BROKER_WARM_UP_RATE = 50.0, 2000
"""Before the first engine a run that does not count: a fresh broker compiles its code for about a minute."""
DRAIN_S = 60.0
COMMANDS: dict[str, Callable[[Job], list[str]]] = {
    "riskstream": whole_line,
    "kafka_streams_eos": lambda job: kafka_streams.command(job, "exactly_once_v2"),
    "kafka_streams_alo": lambda job: kafka_streams.command(job, "at_least_once"),
}


def measure(testbed: Testbed, name: str, rate: int, seconds: float) -> dict[str, float | int | bool]:
    """One engine at one rate, from a fresh start."""
    prefix = f"{name.replace('_', '-')}-{rate}-"
    job = Job(testbed.broker, prefix, str(testbed.directory / prefix))
    Path(job.state).mkdir()
    testbed.topics(prefix)
    # a first event, so that the engine is known to be there before the clock runs
    key, value = next(transactions(1))
    testbed.load(job.input, iter([(key, value.replace(b'"transaction_id":"t', b'"transaction_id":"first-'))]))
    engine = testbed.start(COMMANDS[name](job), prefix, {"RISKSTREAM_DATA_DIRECTORY": job.state})
    try:
        wait_first(testbed, job)
        times_file = testbed.directory / f"{prefix}times.npy"
        feeder = testbed.start(
            [sys.executable, "-m", "benchmarks.feeder", job.broker, job.input, str(rate),
             str(seconds + WARM_UP_S), str(times_file)],
            f"{prefix}feeder", cores={BROKER_CORE},
        )  # fmt: skip
        events = round(rate * (seconds + WARM_UP_S))
        arrived = arrivals(testbed, job, events, seconds + WARM_UP_S + DRAIN_S)
        feeder.wait(30)
    finally:
        testbed.end(engine)
    sent = np.load(times_file)
    testbed.forget(prefix)
    return figures(sent, arrived, rate)


def wait_first(testbed: Testbed, job: Job) -> None:
    """Until the engine has decided once."""
    deadline = time.monotonic() + DRAIN_S
    while testbed.ends(job.output) == 0:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{job.prefix} decides nothing:\n{testbed.log(job.prefix).read_text()[-3000:]}")
        time.sleep(0.1)


def arrivals(testbed: Testbed, job: Job, events: int, seconds: float) -> dict[str, int]:
    """When the first decision of each transaction came, ns since the epoch."""
    consumer = Consumer(
        {
            "bootstrap.servers": testbed.broker,
            "group.id": f"{job.prefix}reader",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.assign([TopicPartition(job.output, partition, 0) for partition in range(testbed.partitions)])
    came: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + seconds
    gc.disable()  # walking all that came would be measured as a pause of the engine
    while len(came) < events + 1 and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            came.append((time.time_ns(), message.value() or b""))
    gc.enable()
    consumer.close()
    first: dict[str, int] = {}
    for at, value in came:
        first.setdefault(orjson.loads(value)["transaction_id"], at)
    return first


def figures(sent: npt.NDArray[np.int64], arrived: dict[str, int], rate: int) -> dict[str, float | int | bool]:
    """Percentiles of what was sent after the warm-up."""
    ids = [orjson.loads(value)["transaction_id"] for _, value in transactions(len(sent))]
    start = round(rate * WARM_UP_S)
    missing = sum(name not in arrived for name in ids)
    took = np.array([arrived[n] - t for n, t in zip(ids[start:], sent[start:].tolist(), strict=True) if n in arrived])
    p50, p99, p999 = (round(float(np.percentile(took, p)) / 1e6, 1) for p in (50, 99, 99.9))
    fed = len(sent) / ((sent[-1] - sent[0]) / 1e9)
    return {"p50_ms": p50, "p99_ms": p99, "p999_ms": p999, "events": len(took), "missing": missing,
            "fed_per_s": round(float(fed))}  # fmt: skip


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="riskstream,kafka_streams_eos", help=f"of {', '.join(COMMANDS)}")
    parser.add_argument("--rates", default="1000,5000", help="events/s, comma-separated")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured, after 10 s of warm-up")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Measure every engine at every rate and print."""
    arguments = parse()
    found: dict[str, dict[str, dict[str, float | int | bool]]] = {}
    with Testbed() as testbed:
        say("warming the broker up")
        measure(testbed, next(iter(arguments.engines.split(","))), BROKER_WARM_UP_RATE, BROKER_WARM_UP_S)
        for name in arguments.engines.split(","):
            for rate in map(int, arguments.rates.split(",")):
                row = found.setdefault(name, {})[str(rate)] = measure(testbed, name, rate, arguments.seconds)
                say(f"{name} at {rate}/s: {row}")
    print(f"{'engine':20}{'events/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'p99.9 ms':>9}")
    for name, rates in found.items():
        for rate_name, row in rates.items():
            print(f"{name:20}{rate_name:>9}{row['p50_ms']:9}{row['p99_ms']:9}{row['p999_ms']:9}")
    if arguments.json:
        ours = found.pop("riskstream", {})
        print(json.dumps({**ours, **found}))
    return 0 if all(row["missing"] == 0 for rates in found.values() for row in rates.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
