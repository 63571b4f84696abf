"""Errors of a broker that pass by themselves, injected into each kind of call: it asks again, and has its answer."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream.brokers.embedded import EmbeddedBroker
from stream.log.connect import producer_config
from stream.log.librdkafka import library
from stream.log.patience import PASSING, passes, patiently
from stream.log.reader import KafkaReader, ReadFailed
from stream.log.records import Place
from stream.log.topics import existing_partitions, partition_counts
from stream.log.transactions import Membership, TransactionalPublisher, fence
from stream.log.whole_topics import scan
from stream.replay.walk.span import Bound, Span
from stream.replay.walk.topic_history import TopicHistory
from stream.settings import Settings
from stream.worker.health.backlog import Backlog

TOPIC = "bank.transactions.v1"
PLACE = Place(TOPIC, 0)
FETCH, LIST_OFFSETS, METADATA, OFFSET_FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID = 1, 2, 3, 9, 10, 22
"""Kafka's numbers of requests."""
LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH)
COORDINATOR = (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR)


class FaultyBroker(EmbeddedBroker):
    """A broker that answers requests of a kind with errors, so often as it is told."""

    def fail(self, request: int, code: int, times: int) -> None:
        push = library().rd_kafka_mock_push_request_errors_array
        push.restype, push.argtypes = None, [ctypes.c_void_p, ctypes.c_int16, ctypes.c_size_t, ctypes.c_void_p]
        push(self._cluster, request, times, (ctypes.c_int * times)(*[code] * times))


@pytest.fixture(scope="module")
def broker() -> Iterator[FaultyBroker]:
    settings = Settings(partitions=1)
    with FaultyBroker(partition_counts(settings)) as made:
        producer = Producer(producer_config(Settings(broker=made.bootstrap)))
        for number in range(5):
            producer.produce(TOPIC, str(number).encode(), partition=0, timestamp=1_700_000_000_000 + number)
        assert producer.flush(30) == 0
        yield made


@pytest.fixture
def settings(broker: FaultyBroker) -> Settings:
    return Settings(broker=broker.bootstrap, partitions=1)


def values(settings: Settings, *, many: bool = False) -> list[bytes | None]:
    reader = KafkaReader(settings)
    try:
        if many:
            return [value for records in reader.read_many(PLACE, 0) for value in records.values]
        return [record.value for chunk in reader.read(PLACE, 0) for record in chunk]
    finally:
        reader.close()


def scanned(settings: Settings) -> int:
    seen: list[int] = []
    scan(settings, {PLACE: 0}, lambda place, message: seen.append(message.offset()))
    return len(seen)


def of_reader(ask: Callable[[KafkaReader], object]) -> Callable[[Settings], object]:
    def asked(settings: Settings) -> object:
        reader = KafkaReader(settings)
        try:
            return ask(reader)
        finally:
            reader.close()

    return asked


def of_backlog(ask: Callable[[Backlog], object]) -> Callable[[Settings], object]:
    def asked(settings: Settings) -> object:
        backlog = Backlog(settings, timeout_s=20.0)
        try:
            return ask(backlog)
        finally:
            backlog.close()

    return asked


def admin(settings: Settings) -> AdminClient:
    return AdminClient({"bootstrap.servers": settings.broker})


def published(settings: Settings) -> str:
    publisher = TransactionalPublisher(settings, "riskstream-w1-1-accounts", Membership("g", 1, "m"))
    publisher.close()
    fence(settings, "riskstream-w1-1-accounts")
    return "fenced"


CALLS: list[tuple[str, int, tuple[int, ...], Callable[[Settings], object], object]] = [
    ("the backlog's ends", LIST_OFFSETS, LEADER,
     of_backlog(lambda backlog: backlog.sample({PLACE: 0}).unread[PLACE].records), 5),
    ("the backlog's positions", OFFSET_FETCH, COORDINATOR, of_backlog(lambda backlog: backlog.committed([PLACE])), {}),
    ("a reader's watermarks", LIST_OFFSETS, LEADER, of_reader(lambda reader: reader.watermarks(PLACE)), (0, 5)),
    ("a reader's positions", OFFSET_FETCH, COORDINATOR,
     of_reader(lambda reader: reader.positions([PLACE])[PLACE].offset), 0),
    ("a group's coordinator", FIND_COORDINATOR, COORDINATOR,
     of_reader(lambda reader: reader.positions([PLACE])[PLACE].offset), 0),
    ("the owners", OFFSET_FETCH, COORDINATOR, of_reader(lambda reader: reader.owners([PLACE])), {}),
    ("a reader's partitions", METADATA, LEADER, of_reader(lambda reader: reader.partitions(TOPIC)), 1),
    ("a reader's records", FETCH, LEADER, lambda settings: values(settings), [b"0", b"1", b"2", b"3", b"4"]),
    ("a reader's batches", FETCH, LEADER, lambda settings: values(settings, many=True),
     [b"0", b"1", b"2", b"3", b"4"]),
    ("a scan", FETCH, LEADER, scanned, 5),
    ("the topics there are", METADATA, LEADER,
     lambda settings: existing_partitions(admin(settings), settings)[TOPIC], 1),
    ("history of offsets", LIST_OFFSETS, LEADER,
     lambda settings: TopicHistory(settings, TOPIC, Span(Bound(None, {0: 2}), None)).records(TOPIC), 3),
    ("a transactional producer", INIT_PRODUCER_ID, COORDINATOR, published, "fenced"),
]  # fmt: skip


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize(
    ("request_kind", "code", "call", "expected"),
    [
        pytest.param(kind, code, call, expected, id=f"{name}: {KafkaError(code).name()}")
        for name, kind, codes, call, expected in CALLS
        for code in codes
    ],
)
def test_a_call_asks_again_while_the_error_passes(
    broker: FaultyBroker, settings: Settings, request_kind: int, code: int,
    call: Callable[[Settings], object], expected: object, times: int,
) -> None:  # fmt: skip
    broker.fail(request_kind, code, times)
    assert call(settings) == expected


def test_a_budget_that_is_used_up_is_said_with_the_error(broker: FaultyBroker, settings: Settings) -> None:
    broker.fail(LIST_OFFSETS, KafkaError.FENCED_LEADER_EPOCH, times=200)
    reader = KafkaReader(settings.model_copy(update={"broker_budget_s": 0.3}))
    try:
        with pytest.raises(ReadFailed, match=r"bank.transactions.v1\[0\]: .*epoch"):
            reader.watermarks(PLACE)
    finally:
        reader.close()
        broker.fail(LIST_OFFSETS, KafkaError.NO_ERROR, times=0)


def test_what_does_not_pass_is_raised_at_once() -> None:
    asked: list[int] = []

    def ask() -> None:
        asked.append(1)
        raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

    with pytest.raises(KafkaException):
        patiently(ask, 60.0)
    assert len(asked) == 1


@pytest.mark.parametrize("code", sorted(PASSING))
def test_each_passing_code_is_tried_again_until_the_budget_ends(code: int) -> None:
    now, asked = [0.0], [0]

    def ask() -> None:
        asked[0] += 1
        raise KafkaException(KafkaError(code))

    def sleep(seconds: float) -> None:
        now[0] += 1.0

    assert passes(KafkaError(code))
    with pytest.raises(KafkaException):
        patiently(ask, 5.0, clock=lambda: now[0], sleep=sleep)
    assert asked[0] == 6
