"""librdkafka's mock cluster as a broker inside this process: the demo's default, without Java."""

from __future__ import annotations

import ctypes
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from stream.errors import RiskstreamError
from stream.log.librdkafka import library

_ERROR_BYTES = 512


class EmbeddedBroker:
    """A Kafka-protocol broker in memory, run by a thread of librdkafka inside this process.

    It speaks enough of the protocol for a live demonstration: produce, fetch, consumer groups, offset commits,
    idempotent producers, headers, 4 MB records. It starts in some ms and needs Python alone.

    What it is not: a store. It keeps about 5 MB a partition and drops older records without a word; nothing is
    written to disk and all is gone with the process. There is no compaction, no isolation (read_committed sees
    everything), no security, no lz4, and CreateTopics and DescribeConfigs are not answered: its topics are those it
    was started with. For anything beyond a demonstration use :class:`stream.brokers.kafka.DevelopmentKafka`.

    Parameters
    ----------
    topics
        Name and number of partitions of each topic.

    Examples
    --------
    >>> with EmbeddedBroker({"risk.alerts.v1": 2}) as broker:
    ...     broker.bootstrap.startswith("127.0.0.1:")
    True
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        wrong = [name for name, partitions in topics.items() if partitions < 1]
        if wrong:
            raise ValueError(f"topic {wrong[0]}: needs at least 1 partition")
        self.topics = dict(topics)
        self._library = _load()
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> EmbeddedBroker:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """HOST:PORT to connect to.

        Raises
        ------
        RiskstreamError
            The broker has not been started.
        """
        if self._cluster is None:
            raise RiskstreamError("the embedded broker is not running; use it as a context manager or call start()")
        return str(self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode())

    def start(self) -> None:
        """Start it and create its topics; nothing happens when it runs.

        Raises
        ------
        RiskstreamError
            librdkafka could not make the cluster or one of the topics.
        """
        if self._cluster is not None:
            return
        message = ctypes.create_string_buffer(_ERROR_BYTES)
        # A mock cluster lives inside a client instance; this one never connects anywhere, so its warnings say nothing.
        configuration = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(configuration, b"log_level", b"0", message, _ERROR_BYTES)
        self._client = self._library.rd_kafka_new(0, configuration, message, _ERROR_BYTES)
        if not self._client:
            raise RiskstreamError(f"the embedded broker could not start: {message.value.decode(errors='replace')}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        if not self._cluster:
            self.stop()
            raise RiskstreamError("the embedded broker could not start: no port on the loopback interface")
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        code = 0
        with _kept_awake(self.bootstrap):
            for name, partitions in self.topics.items():
                code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
                if code != 0:
                    break
        if code != 0:
            self.stop()
            reason = self._library.rd_kafka_err2str(code).decode()
            raise RiskstreamError(f"the embedded broker could not create topic {name}: {reason}")

    def stop(self) -> None:
        """End it; what it held is gone."""
        if self._cluster:
            with _kept_awake(self.bootstrap):
                self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            self._library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None


@contextmanager
def _kept_awake(bootstrap: str) -> Iterator[None]:
    # The mock cluster's thread can miss the wake-up for an operation and then sleeps for a second with the caller
    # waiting (about one start in four, librdkafka 2.16); a connection to its port wakes it in any case.
    host, _, port = bootstrap.partition(":")
    done = threading.Event()

    def knock() -> None:
        while not done.wait(0.005):
            with socket.socket() as visitor:
                if visitor.connect_ex((host, int(port))) != 0:
                    return

    knocking = threading.Thread(target=knock, name="embedded-broker-knock", daemon=True)
    knocking.start()
    try:
        yield
    finally:
        done.set()
        knocking.join()


def _load() -> ctypes.CDLL:
    loaded = library()
    pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[object, list[object]]] = {
        "rd_kafka_new": (pointer, [integer, pointer, text, ctypes.c_size_t]),
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (integer, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_err2str": (text, [integer]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, integer]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_topic_create": (integer, [pointer, text, integer, integer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    return loaded
