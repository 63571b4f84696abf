"""What the edge costs: JSON records to columns, µs of CPU an event, beside the libraries it could be built on.

    .venv/bin/python benchmarks/decode.py

Medians of several runs in one process, one thread. The libraries stop at Python objects; columns, hashes, checks
and the partition would come on top of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec
import numpy as np
import orjson

from stream.contracts.transaction import read_transaction
from stream.core.edge.decode import decode_transactions
from stream.core.edge.partition import partition_of

PARTITIONS = 4
NOW_MS = 1_795_478_400_000


class Flat(msgspec.Struct, gc=False):
    transaction_id: str
    account_id: str
    event_time: str
    amount_minor: int
    currency: str
    channel: str
    customer_id: str | None = None
    payee_id: str | None = None
    device_id: str | None = None
    country: str | None = None
    payee_country: str | None = None
    payee_kind: str | None = None
    purpose: str | None = None
    name_check: str | None = None
    lat: float | None = None
    lon: float | None = None
    customer: dict[str, str | bool] | None = None


def records(count: int, *, purpose: str = "rent", escape: bool = False) -> list[bytes]:
    """Records of one partition, each about 400 bytes."""
    made: list[bytes] = []
    number = 0
    while len(made) < count:
        number += 1
        customer = f"cu-{number:07d}"
        if partition_of(customer.encode(), PARTITIONS) != 0:
            continue
        document = {
            "transaction_id": f"t-{number:010d}",
            "account_id": f"ac-{number:07d}",
            "customer_id": customer,
            "payee_id": f"p-{number % 997:06d}",
            "event_time": f"2026-11-23T{number % 24:02d}:{number % 60:02d}:07.{number % 1000:03d}Z",
            "amount_minor": 1250 + number % 100_000,
            "currency": "CNY",
            "channel": "app",
            "country": "CN",
            "lat": 31.2304 + number % 100 / 1000,
            "lon": 121.4737,
            "device_id": f"d-{number % 5000:08d}",
            "payee_kind": "person",
            "payee_country": "CN",
            "purpose": purpose,
            "name_check": "match",
            "customer": {"segment": "retail", "age_band": "30-44", "home_country": "CN"},
        }
        text = msgspec.json.encode(document)
        made.append(text if not escape else text.replace(purpose.encode(), ascii(purpose)[1:-1].encode()))
    return made


def decode(values: list[bytes]) -> None:
    count = len(values)
    decoded = decode_transactions(values, np.arange(count), np.full(count, NOW_MS), 0, PARTITIONS, future_ms=300_000)
    assert len(decoded.columns) == count, decoded.refused[0]


def cost(run: Callable[[list[bytes]], object], values: list[bytes], batch: int) -> float:
    """Median µs of CPU an event."""
    batches = [values[start : start + batch] for start in range(0, len(values), batch)]
    run(batches[0])
    costs = []
    for _ in range(5):
        start = time.process_time()
        for one in batches:
            run(one)
        costs.append((time.process_time() - start) / len(values) * 1e6)
    return statistics.median(costs)


def main() -> None:
    values = records(10_000)
    flat = msgspec.json.Decoder(Flat)
    flats = msgspec.json.Decoder(list[Flat])
    print(f"records of {sum(map(len, values)) / len(values):.0f} bytes, µs of CPU an event")
    for batch in (500, 256, 16, 1):
        print(f"  decode to columns, batch of {batch:<4}             {cost(decode, values, batch):8.2f}")
    chinese = records(5_000, purpose="房租 2026年11月")
    print(f"  the same, 500, Chinese text in UTF-8             {cost(decode, chinese, 500):8.2f}")
    escaped = records(5_000, purpose="房租 2026年11月", escape=True)
    print(f"  the same, 500, Chinese text as escapes           {cost(decode, escaped, 500):8.2f}")
    print(
        f"  orjson, to dicts                                 {cost(lambda b: [orjson.loads(v) for v in b], values, 500):8.2f}"
    )
    print(
        f"  msgspec Struct, record by record                 {cost(lambda b: [flat.decode(v) for v in b], values, 500):8.2f}"
    )
    joined = lambda b: flats.decode(b"[" + b",".join(b) + b"]")  # noqa: E731
    print(f"  msgspec Struct, the batch as one array           {cost(joined, values, 500):8.2f}")
    few = values[:500]
    print(
        f"  reference (pydantic)                             {cost(lambda b: [read_transaction(v) for v in b], few, 500):8.2f}"
    )


if __name__ == "__main__":
    main()
