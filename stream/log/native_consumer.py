"""A consumer of librdkafka's own, for batches: it has no callbacks.

confluent-kafka's consumers have an error callback, whether one was asked for or not, and it aborts the process where it is
run outside of their own calls. Reading a partition's queue natively runs it: for a topic that was deleted, or made anew
with fewer partitions, librdkafka puts such an event into that queue. A client without callbacks has none to run; there
the event goes to librdkafka's log, and whoever reads sees an error in the batch or nothing at all.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from functools import cache
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from stream.errors import UsageError
from stream.log.librdkafka import BatchQueue, library, read_by_place

_CONSUMER: Final = 1
"""``RD_KAFKA_CONSUMER``."""
_CONF_OK: Final = 0
_ERROR_BYTES: Final = 512
_MOST_EVENTS: Final = 1_000
"""Served in one go."""


class NativeConsumer:
    """Reads partitions that are assigned by hand, through a queue for each.

    Parameters
    ----------
    configuration
        As librdkafka names it.

    Raises
    ------
    UsageError
        librdkafka does not take the configuration.
    """

    def __init__(self, configuration: Mapping[str, str | int | float | bool]) -> None:
        self._library = _load()
        message = ctypes.create_string_buffer(_ERROR_BYTES)
        client = self._library.rd_kafka_new(_CONSUMER, self._configured(configuration), message, _ERROR_BYTES)
        if not client:
            raise UsageError(f"Kafka settings cannot be used: {message.value.decode(errors='replace')}")
        self._client = int(client)
        # one queue for all that is no record: tokens to renew, connections that broke
        self._library.rd_kafka_poll_set_consumer(self._client)
        self._finish = weakref.finalize(self, self._library.rd_kafka_destroy, self._client)
        # a thread may still read when the interpreter ends
        self._finish.atexit = False

    def assign(self, offsets: Mapping[tuple[str, int], int], most: int = 10_000) -> dict[tuple[str, int], BatchQueue]:
        """Read these partitions from these offsets on, and no others; gives the queue of each.

        Parameters
        ----------
        most
            Most records of a batch.

        Raises
        ------
        KafkaException
            librdkafka refuses.
        """
        wanted = self._library.rd_kafka_topic_partition_list_new(len(offsets))
        try:
            for (topic, partition), offset in offsets.items():
                name = topic.encode()
                self._library.rd_kafka_topic_partition_list_add(wanted, name, partition)
                self._library.rd_kafka_topic_partition_list_set_offset(wanted, name, partition, offset)
            code = self._library.rd_kafka_assign(self._client, wanted)
        finally:
            self._library.rd_kafka_topic_partition_list_destroy(wanted)
        if code:
            raise KafkaException(KafkaError(code))
        queues = {place: BatchQueue(self._client, place, most, self) for place in offsets}
        # a fetch may have been faster than the lines above
        own = self._library.rd_kafka_queue_get_consumer(self._client)
        try:
            for place, batch in read_by_place(own, most).items():
                if place in queues:
                    queues[place].put_first(batch)
        finally:
            self._library.rd_kafka_queue_destroy(own)
        return queues

    def serve(self) -> None:
        """Let librdkafka do what waits besides records; returns at once."""
        for _ in range(_MOST_EVENTS):
            event = self._library.rd_kafka_consumer_poll(self._client, 0)
            if not event:
                return
            self._library.rd_kafka_message_destroy(event)

    def close(self) -> None:
        """Let go of the connection; queues must be closed before."""
        self._finish()

    def _configured(self, configuration: Mapping[str, str | int | float | bool]) -> int:
        message = ctypes.create_string_buffer(_ERROR_BYTES)
        made = self._library.rd_kafka_conf_new()
        for name, value in configuration.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if self._library.rd_kafka_conf_set(made, name.encode(), text.encode(), message, _ERROR_BYTES) != _CONF_OK:
                self._library.rd_kafka_conf_destroy(made)
                raise UsageError(f"Kafka settings cannot be used: {message.value.decode(errors='replace')}")
        return int(made)


@cache
def _load() -> ctypes.CDLL:
    loaded = library()
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    partition, offset = ctypes.c_int32, ctypes.c_int64
    signatures: dict[str, tuple[object, list[object]]] = {
        "rd_kafka_new": (pointer, [integer, pointer, text, ctypes.c_size_t]),
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_destroy": (None, [pointer]),
        "rd_kafka_conf_set": (integer, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_poll_set_consumer": (integer, [pointer]),
        "rd_kafka_consumer_poll": (pointer, [pointer, integer]),
        "rd_kafka_message_destroy": (None, [pointer]),
        "rd_kafka_assign": (integer, [pointer, pointer]),
        "rd_kafka_queue_get_consumer": (pointer, [pointer]),
        "rd_kafka_topic_partition_list_new": (pointer, [integer]),
        "rd_kafka_topic_partition_list_add": (pointer, [pointer, text, partition]),
        "rd_kafka_topic_partition_list_set_offset": (integer, [pointer, text, partition, offset]),
        "rd_kafka_topic_partition_list_destroy": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
