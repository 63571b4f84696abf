"""librdkafka by whole batches: its C interface, for what confluent-kafka's Python objects would cost a record each.

confluent-kafka makes and configures the producers, and keeps their transactions; here only the loop over the records of
a batch is compiled. Consumers of batches are librdkafka's own (``native_consumer.py``). Producing one record with three headers from Python costs 2 to 3 µs and holds the interpreter's
lock; here it costs a fraction of that and holds none. The functions called are of librdkafka's stable C interface
(``rdkafka.h``); the one thing taken from confluent-kafka's inside is where its objects keep the client's pointer, so
the package is pinned and ``tests/integration/test_librdkafka.py`` produces and consumes with it.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka
import llvmlite.binding
import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, KafkaException, Producer
from numba import njit, types

from stream.arrays.packed import PADDING, Packed
from stream.errors import RiskstreamError

_RKT, _PARTITION, _VALUE, _KEY, _MSGFLAGS, _HEADER = 2, 3, 4, 5, 7, 9
"""``rd_kafka_vtype_t``."""
_FIXED = 5
"""Arguments of a record without headers."""
_COPY = 2
"""``RD_KAFKA_MSG_F_COPY``."""
_VU_WORDS = 9
"""Size of ``rd_kafka_vu_t`` in 64-bit words: the type, then a union of 64 bytes."""
_FULL_WAIT_S = 0.05

MESSAGE = np.dtype(
    {
        "names": ["error", "topic", "partition", "value", "value_bytes", "key", "key_bytes", "offset"],
        "formats": ["i4", "u8", "i4", "u8", "i8", "u8", "i8", "i8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 56],
        "itemsize": 72,
    }
)
"""``rd_kafka_message_t``."""
_BYTES = (("value", "value_bytes"), ("key", "key_bytes"))

_pointer: Any = types.intp
_int: Any = types.intc
_nothing: Any = types.void
_produceva: Any = types.ExternalFunction("rd_kafka_produceva", _pointer(_pointer, _pointer, _pointer))
_error_code: Any = types.ExternalFunction("rd_kafka_error_code", _int(_pointer))
_error_destroy: Any = types.ExternalFunction("rd_kafka_error_destroy", _nothing(_pointer))
_message_timestamp: Any = types.ExternalFunction("rd_kafka_message_timestamp", _pointer(_pointer, _pointer))
_message_destroy: Any = types.ExternalFunction("rd_kafka_message_destroy", _nothing(_pointer))
_memcpy: Any = types.ExternalFunction("memcpy", _pointer(_pointer, _pointer, _pointer))

Headers = Sequence[tuple[str, Packed | bytes]]


class BatchProducer:
    """Produces batches of records through a confluent-kafka producer.

    Parameters
    ----------
    producer
        Makes and ends the transactions, serves callbacks; records without a delivery report are sent here.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._library = library()
        self._client = client_of(producer)
        self._topics: dict[str, int] = {}
        self._finish = weakref.finalize(self, _let_go, self._library, self._topics)

    def send(self, topic: str, values: Packed, keys: Packed, headers: Headers = (), partition: int = -1) -> None:
        """Add records to the queue, waiting while it is full; partition -1 means by the keys.

        Raises
        ------
        KafkaException
            librdkafka refuses one.
        """
        count = len(values)
        names = [ctypes.create_string_buffer(name.encode()) for name, _ in headers]
        columns = [value if isinstance(value, Packed) else _repeated(value, count) for _, value in headers]
        template = np.zeros((_FIXED + len(columns), _VU_WORDS), np.uint64)
        template[:_FIXED, 0] = _RKT, _MSGFLAGS, _PARTITION, _VALUE, _KEY
        template[:3, 1] = self._topic(topic), _COPY, partition & 0xFFFFFFFF
        template[_FIXED:, 0] = _HEADER
        template[_FIXED:, 1] = [ctypes.addressof(name) for name in names]
        spans = np.empty((2 + len(columns), 2, count), np.uint64)
        for place, column in enumerate((values, keys, *columns)):
            is_null = column.lengths < 0
            spans[place, 0] = np.where(is_null, 0, column.starts + column.data.ctypes.data)
            spans[place, 1] = np.where(is_null, 0, column.lengths)
        sent, code = 0, np.zeros(1, np.int64)
        while True:
            sent = _produce(self._client, template, spans, sent, code)
            if sent == count:
                return
            if code[0] != KafkaError._QUEUE_FULL:
                raise KafkaException(KafkaError(int(code[0])))
            self._producer.poll(_FULL_WAIT_S)

    def close(self) -> None:
        """Let go of the topics; nothing may be sent after that."""
        self._finish()

    def _topic(self, name: str) -> int:
        handle = self._topics.get(name)
        if handle is None:
            handle = self._library.rd_kafka_topic_new(self._client, name.encode(), None)
            if not handle:
                raise RiskstreamError(f"librdkafka gives no handle of topic {name}")
            self._topics[name] = handle
        return handle


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition as they were fetched.

    Parameters
    ----------
    errors : int32[n]
        0, or librdkafka's code of an event that is no record.
    offsets : int64[n]
    timestamps : int64[n]
        ms since the epoch.
    values, keys
    """

    errors: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: Packed
    keys: Packed

    def __len__(self) -> int:
        return len(self.offsets)

    def chosen(self, wanted: npt.NDArray[np.bool_]) -> Batch:
        """Those that are wanted."""
        return Batch(
            self.errors[wanted], self.offsets[wanted], self.timestamps[wanted],
            self.values.chosen(wanted), self.keys.chosen(wanted),
        )  # fmt: skip


class BatchQueue:
    """Reads batches of records from one partition's queue; made by
    :meth:`stream.log.native_consumer.NativeConsumer.assign`.

    Parameters
    ----------
    client
        librdkafka's client (``rd_kafka_t *``), which must have no callbacks: reading a queue runs those of the events in
        it, and confluent-kafka's abort the process outside of its own calls. The partition was assigned to it; from now
        on its records come here alone.
    place
        The topic and partition.
    most
        Most records of a batch.
    owner
        Who ends the client: not before this queue is closed.
    """

    def __init__(self, client: int, place: tuple[str, int], most: int, owner: object) -> None:
        self._library = library()
        self._owner = owner
        self._queue = self._library.rd_kafka_queue_get_partition(client, place[0].encode(), place[1])
        self._library.rd_kafka_queue_forward(self._queue, None)
        self._pointers = np.zeros(most, np.uint64)
        self._early: list[Batch] = []
        self._finish = weakref.finalize(self, self._library.rd_kafka_queue_destroy, self._queue)

    def wake(self, descriptor: int) -> None:
        """Write a byte to a file descriptor whenever the queue stops being empty."""
        self._library.rd_kafka_queue_io_event_enable(self._queue, descriptor, b"1", 1)

    def put_first(self, batch: Batch) -> None:
        """Records and events that came before this queue was cut off from the consumer's own."""
        self._early.append(batch)

    def read(self, timeout_s: float) -> Batch:
        """What arrives until a batch is full or the time is over."""
        if self._early:
            return self._early.pop(0)
        return _copied(*_fetch(self._queue, self._pointers, timeout_s))

    def close(self) -> None:
        """Let go of the queue; the consumer stays open."""
        self._finish()


def read_by_place(queue: int, most: int) -> dict[tuple[str, int], Batch]:
    """What is in a queue (``rd_kafka_queue_t *``) of several partitions, at most so many records, by topic and partition;
    what belongs to none is dropped."""
    pointers, messages, timestamps = _fetch(queue, np.zeros(most, np.uint64), 0.0)
    names = {int(t): library().rd_kafka_topic_name(int(t)).decode() for t in np.unique(messages["topic"]) if t}
    topics, partitions = messages["topic"].copy(), messages["partition"].copy()
    batch = _copied(pointers, messages, timestamps)
    found = {}
    for topic, name in names.items():
        for partition in np.unique(partitions[topics == topic]).tolist():
            found[name, partition] = batch.chosen((topics == topic) & (partitions == partition))
    return found


def _fetch(
    queue: int, pointers: npt.NDArray[np.uint64], timeout_s: float
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[Any], npt.NDArray[np.int64]]:
    loaded = library()
    count = loaded.rd_kafka_consume_batch_queue(queue, int(timeout_s * 1000), pointers.ctypes.data, len(pointers))
    if count < 0:
        raise KafkaException(KafkaError(loaded.rd_kafka_last_error()))
    messages, timestamps = np.zeros(count, MESSAGE), np.zeros(count, np.int64)
    _describe(pointers[:count], messages, timestamps, np.zeros(1, np.int32))
    return pointers[:count], messages, timestamps


def _copied(pointers: npt.NDArray[np.uint64], messages: npt.NDArray[Any], timestamps: npt.NDArray[np.int64]) -> Batch:
    """Messages as a batch of its own; they themselves are destroyed."""
    values, keys = (_room(messages[name], messages[size]) for name, size in _BYTES)
    _take(pointers, messages, (values.data, values.starts), (keys.data, keys.starts))
    return Batch(messages["error"].copy(), messages["offset"].copy(), timestamps, values, keys)


def client_of(client: Any) -> int:
    """The pointer (``rd_kafka_t *``) inside a confluent-kafka client: the first field of its C struct."""
    return int(ctypes.c_void_p.from_address(id(client) + object.__basicsize__).value or 0)


@cache
def library() -> ctypes.CDLL:
    """The shared library of confluent-kafka's wheel, known to compiled code too.

    Raises
    ------
    RiskstreamError
        It is not where wheels carry it.
    """
    path = str(_library_path())
    loaded = ctypes.CDLL(path)
    llvmlite.binding.load_library_permanently(path)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    loaded.rd_kafka_topic_new.restype = pointer
    loaded.rd_kafka_topic_new.argtypes = [pointer, text, pointer]
    loaded.rd_kafka_topic_destroy.restype = None
    loaded.rd_kafka_topic_destroy.argtypes = [pointer]
    loaded.rd_kafka_topic_name.restype = text
    loaded.rd_kafka_topic_name.argtypes = [pointer]
    loaded.rd_kafka_queue_get_partition.restype = pointer
    loaded.rd_kafka_queue_get_partition.argtypes = [pointer, text, ctypes.c_int32]
    loaded.rd_kafka_queue_forward.restype = None
    loaded.rd_kafka_queue_forward.argtypes = [pointer, pointer]
    loaded.rd_kafka_queue_io_event_enable.restype = None
    loaded.rd_kafka_queue_io_event_enable.argtypes = [pointer, ctypes.c_int, text, ctypes.c_size_t]
    loaded.rd_kafka_queue_destroy.restype = None
    loaded.rd_kafka_queue_destroy.argtypes = [pointer]
    loaded.rd_kafka_consume_batch_queue.restype = ctypes.c_ssize_t
    loaded.rd_kafka_consume_batch_queue.argtypes = [pointer, ctypes.c_int, pointer, ctypes.c_size_t]
    loaded.rd_kafka_last_error.restype = ctypes.c_int
    loaded.rd_kafka_last_error.argtypes = []
    return loaded


def _library_path() -> Path:
    package = Path(confluent_kafka.__file__).parent
    # Where wheels carry their shared libraries: auditwheel beside the package, delocate inside it.
    folders = [package.parent / "confluent_kafka.libs", package / ".dylibs"]
    found = [
        path for folder in folders if folder.is_dir() for path in sorted(folder.glob("librdkafka*")) if path.is_file()
    ]
    if not found:
        raise RiskstreamError(
            f"librdkafka is not beside {package}: riskstream needs confluent-kafka from its wheel "
            f"(this is {sys.platform}); reinstall with `make setup`"
        )
    return found[0]


def _let_go(loaded: ctypes.CDLL, topics: dict[str, int]) -> None:
    while topics:
        loaded.rd_kafka_topic_destroy(topics.popitem()[1])


def _room(pointers: npt.NDArray[np.uint64], sizes: npt.NDArray[np.int64]) -> Packed:
    """Space for byte strings of C, a null pointer being a null; padded."""
    lengths = np.where(pointers == 0, -1, sizes)
    ends = np.cumsum(sizes)
    used = int(ends[-1]) if len(ends) else 0
    data = np.empty(used + PADDING, np.uint8)
    data[used:] = 0
    return Packed(data, ends - sizes, lengths)


def _repeated(value: bytes, count: int) -> Packed:
    return Packed(np.frombuffer(value, np.uint8), np.zeros(count, np.int64), np.full(count, len(value)))


@njit(cache=True, nogil=True)
def _produce(client: Any, arguments: Any, spans: Any, sent: Any, code: Any) -> Any:
    """Produce from record ``sent`` on; returns how many are sent then, with the reason in ``code`` if not all."""
    count = spans.shape[2]
    for i in range(sent, count):
        for place in range(spans.shape[0]):
            # value and key stand in the first word of the union, a header's value behind its name
            word = 1 if place < 2 else 2
            arguments[_FIXED - 2 + place, word] = spans[place, 0, i]
            arguments[_FIXED - 2 + place, word + 1] = spans[place, 1, i]
        error = _produceva(client, arguments.ctypes.data, arguments.shape[0])
        if error != 0:
            code[0] = _error_code(error)
            _error_destroy(error)
            return i
    return count


@njit(cache=True, nogil=True)
def _describe(pointers: Any, messages: Any, timestamps: Any, kind: Any) -> None:
    size = messages.itemsize
    for i in range(pointers.shape[0]):
        _memcpy(messages.ctypes.data + i * size, np.int64(pointers[i]), size)
        timestamps[i] = _message_timestamp(np.int64(pointers[i]), kind.ctypes.data)


@njit(cache=True, nogil=True)
def _take(pointers: Any, messages: Any, values: Any, keys: Any) -> None:
    """Copy values and keys out of the messages and destroy those."""
    for i in range(pointers.shape[0]):
        message = messages[i]
        _memcpy(values[0].ctypes.data + values[1][i], np.int64(message["value"]), message["value_bytes"])
        _memcpy(keys[0].ctypes.data + keys[1][i], np.int64(message["key"]), message["key_bytes"])
        _message_destroy(np.int64(pointers[i]))


def warm_up() -> None:
    """Compile what runs per batch, without a broker."""
    library()
    none = np.zeros(0, np.uint64)
    _produce(0, np.zeros((_FIXED, _VU_WORDS), np.uint64), np.zeros((2, 2, 0), np.uint64), 0, np.zeros(1, np.int64))
    messages = np.zeros(0, MESSAGE)
    _describe(none, messages, np.zeros(0, np.int64), np.zeros(1, np.int32))
    room = _room(none, np.zeros(0, np.int64))
    _take(none, messages, (room.data, room.starts), (room.data, room.starts))
