"""Checkpoints: changed rows and a marker that names the offsets they stand for, in one transaction.

A changelog topic is compacted by row key; the marker has a key that no id can have. Because rows and marker commit
together, a committed reader sees either all of a checkpoint or nothing of it. A second table of the same hop (customers
beside accounts) shares the topic: its keys begin with a byte that no id can have.
"""

from __future__ import annotations

import numpy as np
import orjson

from stream.core.columns import hash_id
from stream.core.rows import RowTable, UnknownSchema
from stream.worker.log import Place, Publisher, Reader

MARKER_KEY = b"\x00marker"
BESIDE = b"\x01"
"""What the keys of a second table's rows begin with."""
Marker = dict[str, int]


def write_rows(
    publisher: Publisher, place: Place, table: RowTable, marker: Marker, beside: RowTable | None = None
) -> int:
    """Send every changed row, then the marker; returns how many rows. The tables still call them changed:
    only the commit makes them written."""
    count = _send(publisher, place, table, b"")
    if beside is not None:
        count += _send(publisher, place, beside, BESIDE)
    publisher.send(place.topic, orjson.dumps(marker), MARKER_KEY, partition=place.partition)
    return count


def _send(publisher: Publisher, place: Place, table: RowTable, prefix: bytes) -> int:
    slots = table.changed()
    rows = table.rows[slots]
    keys: list[bytes] = rows["key"].tolist()
    data, size = rows.tobytes(), table.dtype.itemsize
    for position, key in enumerate(keys):
        value = data[position * size : (position + 1) * size]
        publisher.send(place.topic, value, prefix + key if prefix else key, partition=place.partition)
    return len(keys)


def read_rows(reader: Reader, place: Place, table: RowTable, beside: RowTable | None = None) -> Marker | None:
    """Fill a table, and the one beside it, from their changelog; returns the last marker, None where there was never a
    checkpoint."""
    marker: Marker | None = None
    for chunk in reader.read(place, 0):
        values: list[bytes] = []
        others: list[bytes] = []
        for record in chunk:
            if record.key == MARKER_KEY:
                marker = orjson.loads(record.value or b"{}")
            elif record.value is not None:
                (others if record.key and record.key[:1] == BESIDE else values).append(record.value)
        if values:
            table.put(*_decoded(values, table))
        if others and beside is not None:
            beside.put(*_decoded(others, beside))
    return marker


def _decoded(values: list[bytes], table: RowTable):  # type: ignore[no-untyped-def]
    size = table.dtype.itemsize
    odd = next((value for value in values if len(value) != size), None)
    if odd is not None:
        raise UnknownSchema(
            f"a stored row of schema version {int.from_bytes(odd[:2], 'little')} has {len(odd)} bytes, this version "
            f"({table.schema}) has {size}: run the version of riskstream that wrote it, or replay from the inputs"
        )
    # the last row of a key wins: put() writes in order, and equal slots keep the last one
    rows = np.frombuffer(b"".join(values), table.dtype)
    hashes = np.array([hash_id(key) for key in rows["key"].tolist()], np.uint64)
    return hashes, rows
