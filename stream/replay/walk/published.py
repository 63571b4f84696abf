"""The decisions topic as a source: what was decided live, beside what became of it. Nothing is computed again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from rules.compiled_policy import VERDICT
from rules.ladder import OUTCOMES, RUNGS, STEP_UPS
from stream.arrays.rfc3339 import microseconds
from stream.core.columns import SCENARIOS
from stream.errors import RiskstreamError
from stream.replay.measure.scorecard import CARD
from stream.replay.source.labels import Labels, TruthFile
from stream.replay.source.truth_index import hash_ids
from stream.replay.walk.input_partition import InputTerms
from stream.replay.walk.merged_log import LogRecord, Timed, TopicLog, merged
from stream.replay.walk.topic_source import FeedbackTruth

DECISIONS = "risk.decisions.v1"
TRANSACTION = np.dtype([("event_time", "i8"), ("account_hash", "u8"), ("payee_hash", "u8"), ("transaction_hash", "u8")])


@dataclass(frozen=True, slots=True)
class PublishedStep:
    """Decisions of one model, as published; see ``stream.replay.measure.judged.Judged``."""

    transactions: npt.NDArray[np.void]
    verdicts: npt.NDArray[np.void]
    model_version: str
    labels: Labels | None

    def __len__(self) -> int:
        return len(self.verdicts)

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """A decision does not say whose it was: all absent."""
        return np.zeros(len(self), np.int64)

    def card(self) -> npt.NDArray[np.float32]:
        """A decision does not say what was paid, nor how: all absent."""
        return np.full((len(self), len(CARD)), np.nan, np.float32)


@dataclass
class Published:
    """What was read.

    Parameters
    ----------
    decisions
        How many.
    policies, late
        Versions that decided, in order of appearance; decisions flagged late.
    """

    decisions: int = 0
    late: int = 0
    policies: list[str] = field(default_factory=list)
    model_version: str = ""


def published_steps(
    log: TopicLog, terms: InputTerms, truth: TruthFile | None, read: Published
) -> Iterator[PublishedStep]:
    """Decisions of the asked range in the order of event time, a run of one model at a time.

    Parameters
    ----------
    log, terms
        As in ``stream.replay.walk.topic_source``.
    truth
        Labels from a file; None for those of the feedback topic.
    read
        Filled meanwhile.
    """
    partitions = log.partitions(DECISIONS)
    known = FeedbackTruth(log, terms, partitions) if truth is None else None
    for run in merged([_decisions(log, number) for number in range(partitions)]):
        for model, group in groupby(run, key=lambda decision: decision["model_version"]):
            decisions = list(group)
            _count(decisions, model, read)
            transactions = _transactions(decisions)
            labels = known.of(transactions) if known is not None else None
            if truth is not None:
                labels = truth.of(np.ascontiguousarray(transactions["transaction_hash"]))
            yield PublishedStep(transactions, _verdicts(decisions), model, labels)


def _decisions(log: TopicLog, partition: int) -> Iterator[list[Timed[dict[str, Any]]]]:
    for records in log.read(DECISIONS, partition, ranged=True):
        yield [_decision(partition, record) for record in records]


def _decision(partition: int, record: LogRecord) -> Timed[dict[str, Any]]:
    try:
        document: dict[str, Any] = orjson.loads(record.value or b"")
        time_us = microseconds(datetime.fromisoformat(document["event_time"]))
        document["event_time_us"] = time_us
        document["model_version"], document["risk_ppm"], document["outcome"]
    except (ValueError, KeyError, TypeError) as error:
        raise RiskstreamError(
            f"{DECISIONS}/{partition}/{record.offset} is no decision; only riskstream may write there"
        ) from error
    return Timed(time_us, document)


def _count(decisions: Sequence[dict[str, Any]], model: str, read: Published) -> None:
    read.decisions += len(decisions)
    read.late += sum("late" in decision["flags"] for decision in decisions)
    read.model_version = model
    for decision in decisions:
        if decision["policy_version"] not in read.policies:
            read.policies.append(decision["policy_version"])


def _transactions(decisions: Sequence[dict[str, Any]]) -> npt.NDArray[np.void]:
    rows = np.zeros(len(decisions), TRANSACTION)
    rows["event_time"] = [decision["event_time_us"] for decision in decisions]
    for column, name in (
        ("account_hash", "account_id"), ("payee_hash", "payee_id"), ("transaction_hash", "transaction_id"),
    ):  # fmt: skip
        rows[column] = hash_ids([(decision[name] or "").encode() for decision in decisions])
    return rows


def _verdicts(decisions: Sequence[dict[str, Any]]) -> npt.NDArray[np.void]:
    verdicts = np.zeros(len(decisions), VERDICT)
    verdicts["scenario"] = [SCENARIOS.index(decision["scenario"]) for decision in decisions]
    verdicts["outcome"] = [OUTCOMES.index(decision["outcome"]) for decision in decisions]
    verdicts["step_up"] = [STEP_UPS.index(decision["step_up"]) for decision in decisions]
    verdicts["rung"] = [RUNGS.index(_rung(decision["outcome"], decision["step_up"])) for decision in decisions]
    verdicts["risk_ppm"] = [decision["risk_ppm"] for decision in decisions]
    verdicts["familiarity_ppm"] = [decision["familiarity_ppm"] for decision in decisions]
    return verdicts


def _rung(outcome: str, step_up: str) -> str:
    return f"challenge_{step_up}" if outcome == "challenge" else outcome
