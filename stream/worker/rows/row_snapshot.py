"""A snapshot: one partition's rows of one hop in a local file, to begin a recovery with.

It is taken while the hop works on. Rows are copied block by block from where they lie, so some are older and some newer
than others, a row may even be caught half-changed. That does no harm: the changelog holds whole rows, and every row
that changed since the marker that the copy began behind is written, whole, before the next marker. So a snapshot names two
places of the changelog: where to read on (behind the marker it began at), and a marker (later than the end of the
copy) that must be read before the rows may be trusted. It is published only when that second marker was committed.
(Mohan et al., "ARIES", 1992, calls such checkpoints fuzzy.)

The file: ``RSKSNAP1``, length and CRC-32 of the header, the header (JSON) in 4,096 bytes, then the tables' rows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import orjson

from stream.arrays.packed import Packed
from stream.core.table.row_table import RowTable
from stream.log.records import Place
from stream.worker.rows.replica import Replica, ReplicaRefused

FORMAT: Final = 1
MAGIC: Final = b"RSKSNAP1"
HEADER_BYTES: Final = 4_096
BLOCK_BYTES: Final = 1 << 20
_BEGIN = struct.Struct("<8sII")


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot says of itself.

    Parameters
    ----------
    identity
        The cluster's and the topic's own ids: names come again when a topic is made anew.
    topic, partition
        The changelog.
    start
        Where to read on in it.
    vouched
        Offset of the marker that must be read.
    schemas, row_bytes, rows
        Of each table, empty slots counted; the rows carry their own schema versions too.
    crc
        CRC-32 of all rows.
    """

    identity: str
    topic: str
    partition: int
    start: int
    vouched: int
    schemas: list[int]
    row_bytes: list[int]
    rows: list[int]
    crc: int
    format: int = FORMAT

    @property
    def payload_bytes(self) -> int:
        """Length of the rows."""
        return sum(size * count for size, count in zip(self.row_bytes, self.rows, strict=True))

    def encoded(self) -> bytes:
        """The file's first 4,096 bytes."""
        text = orjson.dumps(asdict(self))
        begin = _BEGIN.pack(MAGIC, len(text), zlib.crc32(text))
        if len(begin) + len(text) > HEADER_BYTES:
            raise ReplicaRefused(f"{self.topic}: a header of {len(text)} bytes has no room in a snapshot")
        return (begin + text).ljust(HEADER_BYTES, b"\0")


class Copying:
    """A snapshot in the making.

    Parameters
    ----------
    place, tables
        The changelog and the rows; a hop may change them meanwhile.
    start
        Behind the marker that was just committed, with no row changed since.
    """

    def __init__(self, place: Place, tables: tuple[RowTable, ...], start: int, block_bytes: int = BLOCK_BYTES) -> None:
        self.place = place
        self.tables = tables
        self.start = start
        self._counts = [table.slots for table in tables]
        self._crc = 0
        self._blocks = self._each_block(block_bytes)

    @property
    def file_bytes(self) -> int:
        """What the file will need."""
        sizes = zip(self._counts, self.tables, strict=True)
        return HEADER_BYTES + sum(count * table.dtype.itemsize for count, table in sizes)

    def step(self, file: BinaryIO) -> bool:
        """Copy one more block; returns whether that was the last."""
        block = next(self._blocks, None)
        if block is None:
            return True
        self._crc = zlib.crc32(block, self._crc)
        file.write(block)
        return False

    def header(self, identity: str, vouched: int) -> Header:
        """What to write in front, when all is copied."""
        return Header(
            identity, self.place.topic, self.place.partition, self.start, vouched,
            [table.schema for table in self.tables], [table.dtype.itemsize for table in self.tables],
            list(self._counts), self._crc,
        )  # fmt: skip

    def _each_block(self, block_bytes: int) -> Iterator[bytes]:
        for table, count in zip(self.tables, self._counts, strict=True):
            rows = max(1, block_bytes // table.dtype.itemsize)
            for first in range(0, count, rows):
                yield table.copy(first, min(first + rows, count))


def read_header(file: BinaryIO) -> Header:
    """The header of a snapshot; the file then stands where its rows begin.

    Raises
    ------
    ReplicaRefused
        It is none, is torn, or another version wrote it.
    """
    head = file.read(HEADER_BYTES)
    if len(head) < HEADER_BYTES or head[: len(MAGIC)] != MAGIC:
        raise ReplicaRefused("the file is no snapshot, or its beginning is torn")
    _, length, crc = _BEGIN.unpack_from(head)
    text = head[_BEGIN.size : _BEGIN.size + length]
    if zlib.crc32(text) != crc:
        raise ReplicaRefused("the snapshot's header does not fit its checksum")
    values: dict[str, Any] = orjson.loads(text)
    if values.get("format") != FORMAT:
        raise ReplicaRefused(f"a snapshot of format {values.get('format')}; this version reads {FORMAT}")
    return Header(**values)


def fill(
    file: BinaryIO, replica: Replica[Any], identity: str, size: int, progress: Callable[[], None],
    block_bytes: int = BLOCK_BYTES,
) -> None:  # fmt: skip
    """Put a snapshot's rows into an empty replica, so that it may be read on.

    Parameters
    ----------
    identity
        Of the changelog as it is now.
    size
        Of the file.
    progress
        Called after each block.

    Raises
    ------
    ReplicaRefused
        The snapshot is of another changelog, or damaged; the replica must not be used then.
    UnknownSchema
        Its rows are of a layout that this version does not know.
    """
    header = read_header(file)
    if header.identity != identity:
        raise ReplicaRefused("the snapshot is of another cluster, or of a topic of this name that was made before")
    if Place(header.topic, header.partition) != replica.place or len(header.rows) != len(replica.tables):
        raise ReplicaRefused(f"the snapshot is one of {header.topic}[{header.partition}]")
    if size != HEADER_BYTES + header.payload_bytes:
        raise ReplicaRefused(f"the snapshot has {size} bytes, not {HEADER_BYTES + header.payload_bytes}: it is torn")
    crc = 0
    for table, row_bytes, rows in zip(replica.tables, header.row_bytes, header.rows, strict=True):
        for first in range(0, rows, max(1, block_bytes // row_bytes)):
            count = min(max(1, block_bytes // row_bytes), rows - first)
            block = bytearray(file.read(count * row_bytes))
            if len(block) < count * row_bytes:
                raise ReplicaRefused("the snapshot ends too early")
            crc = zlib.crc32(block, crc)
            starts = np.arange(count) * row_bytes
            data = np.frombuffer(block, np.uint8)
            # a slot whose row was taken out lies as zeros
            starts = starts[data[starts] + 256 * data[starts + 1].astype(np.int64) != 0]
            table.put(Packed(data, starts, np.full(len(starts), row_bytes)))
            progress()
    if crc != header.crc:
        raise ReplicaRefused("the snapshot's rows do not fit their checksum")
    replica.begun_at(header.start, header.vouched)
