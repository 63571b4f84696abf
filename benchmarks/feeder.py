"""Sends the benchmarks' traffic at a steady rate: a process of its own, so that pacing and measuring do not meet.

    python -m benchmarks.feeder BROKER TOPIC RATE SECONDS TIMES.npy

Ends after SECONDS, or on SIGTERM; then TIMES.npy holds when each event was handed to the producer (ns since the epoch,
in the order of ``traffic.transactions``), so its length is how many were sent.
"""

from __future__ import annotations

import gc
import signal
import sys
import time

import numpy as np
from confluent_kafka import Producer

from benchmarks.traffic import transactions


def feed(broker: str, topic: str, rate: float, seconds: float) -> list[int]:
    """Send until the time is over or SIGTERM comes; returns the times of sending, ns since the epoch."""
    # The library's own linger: a request an event would be most of the broker's work. Not idempotent: with its five
    # requests in flight librdkafka's thread spins until one is answered, on the core that the broker needs for that.
    producer = Producer({"bootstrap.servers": broker, "partitioner": "murmur2_random", "linger.ms": 5, "acks": "all"})
    gc.disable()  # a pause of the feeder is none of the engine's
    ended = False

    def end(*_: object) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    times: list[int] = []
    began = time.monotonic()
    for number, (key, value) in enumerate(transactions(round(rate * seconds))):
        due = began + number / rate
        while (wait := due - time.monotonic()) > 0 and not ended:
            producer.poll(0)
            time.sleep(min(wait, 0.05))
        if ended:
            break
        times.append(time.time_ns())
        producer.produce(topic, value, key)
        if number % 100 == 0:
            producer.poll(0)
    if producer.flush(60):
        raise RuntimeError(f"{topic}: the broker did not take everything")
    return times


if __name__ == "__main__":
    broker, topic, rate, seconds, out = sys.argv[1:6]
    np.save(out, np.array(feed(broker, topic, float(rate), float(seconds)), np.int64))
