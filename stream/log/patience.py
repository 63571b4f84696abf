"""Errors of a broker that pass by themselves, and trying again for as long as a stated budget says.

A partition whose leader moves, a group's coordinator that loads its log, a broker that has just come back: each answers
with an error that means "ask again". Everything else is an answer, and is raised at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

T = TypeVar("T")
PAUSE_S: Final = 0.1
"""Between two attempts."""
PASSING: Final = frozenset(
    (
        # a partition's leader
        KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH, KafkaError.OFFSET_NOT_AVAILABLE, KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.REPLICA_NOT_AVAILABLE,
        # a group's or transaction's coordinator
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR,
        KafkaError.UNSTABLE_OFFSET_COMMIT, KafkaError.CONCURRENT_TRANSACTIONS, KafkaError.NOT_CONTROLLER,
        # a topic that was just made
        KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID, KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
        # a connection, or no answer in time
        KafkaError.REQUEST_TIMED_OUT, KafkaError.NETWORK_EXCEPTION, KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE,
        KafkaError._TRANSPORT, KafkaError._WAIT_COORD, KafkaError._ALL_BROKERS_DOWN,
    )
)  # fmt: skip
"""Codes of errors that pass by themselves; librdkafka calls a few more of its own retriable."""


def passes(error: KafkaError) -> bool:
    """Whether an error passes by itself.

    >>> passes(KafkaError(KafkaError.NOT_COORDINATOR)), passes(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    (True, False)
    """
    return bool(error.retriable()) or error.code() in PASSING


def patiently(
    call: Callable[[], T], budget_s: float, *, again: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
) -> T:  # fmt: skip
    """What ``call`` returns; called again while it fails with errors that pass and the budget is not used up.

    Parameters
    ----------
    call
        A request; it may take its own time-out, so the last attempt may end that much later than the budget.
    budget_s
        After so long no other attempt is made, s.
    again
        Called before another attempt, for instance to learn who leads now; its errors that pass are passed over.

    Raises
    ------
    KafkaException
        An error that does not pass, or the last one when the budget was used up.

    >>> answers = [KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION), None]
    >>> def ask():
    ...     error = answers.pop(0)
    ...     if error:
    ...         raise KafkaException(error)
    ...     return 7
    >>> patiently(ask, 5.0, sleep=lambda seconds: None)
    7
    """
    until = clock() + budget_s
    while True:
        try:
            return call()
        except KafkaException as error:
            if not passes(error.args[0]) or clock() >= until:
                raise
        sleep(PAUSE_S)
        try:
            again()
        except KafkaException as error:
            if not passes(error.args[0]):
                raise
