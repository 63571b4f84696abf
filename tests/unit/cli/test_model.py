from __future__ import annotations

import numpy as np
import orjson
import pytest

from detectors.ensemble import Snapshot
from stream.cli.model import decide
from stream.core.decision.genesis import first_snapshot
from stream.errors import RiskstreamError
from stream.versions.model_records import PIN_KEY
from stream.versions.models import ModelLog, chunks


def _log(versions: int) -> ModelLog:
    first = first_snapshot(1)
    log = ModelLog(first, keep=None)
    for number in range(versions):
        model = {**first.model, "biases": np.array([-7.0 - number, 0.0])}
        snapshot = Snapshot(first.kind, number, first.digest, first.description, model)
        for key, value in chunks(snapshot):
            log.take(key, value)
    return log


def _write(log: ModelLog, records: list[tuple[bytes, bytes | None]]) -> None:
    for key, value in records:
        log.take(key, value)


def test_a_promotion_takes_two_people_and_keeps_the_numbers_it_is_based_on() -> None:
    log = _log(3)
    newest, wanted = log.active.version, list(log.complete)[1]
    _write(log, decide(log, wanted, "okafor"))
    assert log.active.version == newest
    with pytest.raises(RiskstreamError, match=r"okafor proposed .*: another person has to confirm"):
        decide(log, wanted, "okafor")
    records = decide(log, wanted, "lindqvist")
    pin = orjson.loads(dict(records)[PIN_KEY] or b"")
    assert (pin["by"], pin["confirmed_by"]) == ("okafor", "lindqvist")
    assert pin["proposed_on"]["learned"] == {"events": 0, "genuine": 0, "frauds": 0}
    assert pin["confirmed_on"]["active"] == newest
    _write(log, records)
    assert log.active.version == wanted
    assert log.proposal == {}


def test_another_version_asked_for_is_another_proposal() -> None:
    log = _log(3)
    first, second, _ = log.complete
    _write(log, decide(log, first, "okafor"))
    _write(log, decide(log, second, "lindqvist"))
    assert log.pinned == ""
    assert (log.proposal["version"], log.proposal["by"]) == (second, "lindqvist")


def test_following_the_newest_again_takes_two_people_too() -> None:
    log = _log(2)
    log.pinned = next(iter(log.complete))
    _write(log, decide(log, "newest", "okafor"))
    assert log.pinned
    _write(log, decide(log, "newest", "lindqvist"))
    assert log.pinned == ""
    assert log.active.version == list(log.complete)[-1]
