"""Checkpoints: changed rows and a marker that names the offsets they stand for, in one transaction.

A changelog topic is compacted by row key; the marker has a key that no id can have. Because rows and marker commit
together, a committed reader sees either all of a checkpoint or nothing of it. Further tables of the same hop (customers
and what was told beside accounts, busy rows beside payees) share the topic: their keys begin with a byte that no id can have.
``replica.py`` reads it back.
"""

from __future__ import annotations

from typing import Any

import orjson

from stream.core.table.row_table import RowTable
from stream.log.records import Place, Publisher

MARKER_KEY = b"\x00marker"
BESIDE = (b"\x01", b"\x02")
"""What the keys of rows of a second and a third table begin with."""
ROWS = ("rows", "rows_beside", "rows_third")
"""What a marker calls the numbers of rows there are of each table: a recovery that finds fewer has lost some."""
TOMBSTONES = "tombstones"
"""What a marker calls the number of tombstones of forgotten rows that the partition's checkpoints ever wrote: whoever finds more
between two markers than the number grew by has found some that no checkpoint wrote."""
Marker = dict[str, Any]
"""Offsets by the names of inputs, and what else its hop needs to go on."""


def write_rows(publisher: Publisher, place: Place, table: RowTable, marker: Marker, *beside: RowTable) -> int:
    """Send a tombstone for every row that was taken out, every changed row, then the marker; returns how many rows. The tables
    still call them changed: only the commit makes them written. The commit also tells, in ``publisher.acknowledged``, where the marker lies."""
    publisher.acknowledged.pop(place, None)
    for prefix, held in zip((b"", *BESIDE), (table, *beside), strict=False):
        for key in held.gone():
            publisher.send(place.topic, None, prefix + key, partition=place.partition)
    count = _send(publisher, place, table, b"")
    marker = {**marker, **{name: len(held) for name, held in zip(ROWS, (table, *beside), strict=False)}}
    for prefix, other in zip(BESIDE, beside, strict=False):
        count += _send(publisher, place, other, prefix)
    publisher.send(place.topic, orjson.dumps(marker), MARKER_KEY, partition=place.partition, tracked=True)
    return count


def _send(publisher: Publisher, place: Place, table: RowTable, prefix: bytes) -> int:
    slots = table.changed()
    keys, rows = table.stored(slots)
    publisher.send_many(place.topic, rows, keys.prefixed(prefix) if prefix else keys, partition=place.partition)
    return len(slots)
