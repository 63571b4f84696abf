"""Whatever lies on the control and internal topics: a reader gives a record or a refusal, and never anything else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.ensemble import Snapshot, SnapshotError
from detectors.sound_snapshot import require_sound
from rules.bounded_json import NotReadable
from stream.core.columns import FEEDBACK_KINDS, SCENARIOS, VERDICTS
from stream.core.decision.genesis import first_snapshot
from stream.core.frame.batch_record import read_batch
from stream.core.frame.frame import FORWARDED, PROFILED, BrokenFrame, decode_frame, encode_frame
from stream.core.frame.skipped import Skip
from stream.core.hold.holds import Hold, HoldBook, UnknownRow, UnreadableAlert, read_alert
from stream.core.hold.obligation_records import read_obligation
from stream.core.learning.learning_records import is_label, label_record
from stream.log.records import Place
from stream.log.set_aside import MAX_LISTED, SetAside, quarantine_record
from stream.versions.model_records import PIN_KEY
from stream.versions.models import MAX_PARTIAL, ModelLog, chunks
from stream.versions.policies import PolicyLog, baseline, record_of
from stream.worker.rows.changelog import read_marker

QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
).map(lambda value: __import__("json").dumps(value).encode())
HOSTILE = st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b'"' + b'\\"' * 100_000, b"9" * 100_000, b"", b"\xff"])
ANY = st.binary(max_size=120) | JSON | HOSTILE

ALERT = orjson.dumps(
    {
        "alert_id": "t-1", "hold_expires_at": "2026-01-01T00:00:00Z", "due_at": "2026-01-01T00:00:00Z",
        "on_expiry": "release", "priority_milli": 5,
        "decision": {"outcome": "review", "transaction_id": "t-1", "account_id": "a-1", "scenario": "ecommerce"},
    }
)  # fmt: skip
OBLIGATION = orjson.dumps({"due_at": "2026-01-01T00:00:00Z", "alert": orjson.loads(ALERT)})
BATCH = b'{"sequence":3,"transactions":[0,2],"feedback":[0,1],"untrusted":[4],"duplicates":0}'
ROW = orjson.dumps({"version": 2, "state": "open", "hold": Hold("t-1", "t-1", "a-1", "a-1", 5, "release")})
FRAME = encode_frame(np.zeros(2, PROFILED), np.zeros(1, FORWARDED))
MARKER = b'{"transactions":1,"feedback":2,"sequence":3,"batches":4,"highest":-5,"rows":6}'
FIRST = first_snapshot(1)


def mutated(value: bytes) -> st.SearchStrategy[bytes]:
    return st.tuples(st.integers(0, len(value)), st.integers(0, 12), st.binary(max_size=4)).map(
        lambda cut: value[: cut[0]] + cut[2] + value[cut[0] + cut[1] :]
    )


@QUICK
@given(ANY | mutated(ALERT) | mutated(OBLIGATION))
def test_an_alert_or_an_obligation_is_a_hold_or_refused(value: bytes) -> None:
    for read in (read_alert, read_obligation):
        with suppress(UnreadableAlert):
            hold = read(value)
            holds = HoldBook()
            if hold is not None:
                holds.open(hold)
                [(key, row)] = holds.take_changes()
                again = HoldBook()
                again.restore(key, row)  # what was read can be written, and read back
                assert list(again) == [hold]


@QUICK
@given(ANY | mutated(ROW))
def test_a_stored_hold_is_one_or_refused_and_leaves_the_others(value: bytes) -> None:
    holds = HoldBook()
    holds.restore(b"a-1/t-1", ROW)
    try:
        holds.restore(b"a-1/t-1", value)
    except UnknownRow:
        assert len(holds) == 1


@QUICK
@given(ANY | mutated(BATCH) | mutated(MARKER))
def test_a_batch_record_or_a_marker_is_one_or_refused(value: bytes) -> None:
    with suppress(NotReadable):
        batch = read_batch(value)
        assert batch["transactions"][0] <= batch["transactions"][1]
    with suppress(NotReadable):
        assert all(type(said) in (int, list) for said in read_marker(value).values())


@QUICK
@given(ANY | mutated(FRAME) | st.binary(max_size=60).map(lambda tail: b"RSFR" + tail))
def test_a_frame_is_one_or_refused(value: bytes) -> None:
    with suppress(BrokenFrame):
        frame = decode_frame(value)
        assert len(value) == 20 + frame.transactions.nbytes + frame.feedback.nbytes


KEYS = st.sampled_from(
    [b"pin", b"proposal", b"drift", b"comparison", b"refused+m1-00000000", b"m1-00000000/0/1", b"m2-00000000/1/3",
     b"m3-00000000+state/0/1", FIRST.version.encode() + b"/0/1", b"quarantine/risk.models.v1/0/4", b"p-0123456789ab"]
) | st.binary(max_size=30)  # fmt: skip


@QUICK
@given(st.lists(st.tuples(KEYS, st.none() | ANY), max_size=8))
def test_whatever_comes_the_last_good_model_and_policy_stay(records: list[tuple[bytes, bytes | None]]) -> None:
    models, policies = ModelLog(FIRST), PolicyLog()
    for key, value in chunks(FIRST):
        models.take(key, value, 0)
    founding = record_of(baseline(policies.founding))
    policies.take(*founding, 0)
    for offset, (key, value) in enumerate(records, 1):
        models.take(key, value, offset)
        policies.take(key, value, offset)
    assert models.active.version == FIRST.version
    assert models.pinned == ""
    assert policies.in_force(1).version == policies.founding.version
    assert list(policies.records) == [policies.founding.version]


def test_chunks_that_never_become_complete_are_bounded_and_named() -> None:
    log = ModelLog(FIRST)
    for number in range(50):
        log.take(f"m{number}-0a1b2c3d/0/9".encode(), b"x" * 1_000, number)
    assert len(log._partial) <= MAX_PARTIAL
    assert [refused.reason for refused in log.aside.listed] == ["incomplete"] * (50 - MAX_PARTIAL)
    log.settle()
    assert len(log.aside.listed) == 50


def _altered(**arrays: object) -> Snapshot:
    model = {**FIRST.model, **arrays}
    return Snapshot(FIRST.kind, 7, FIRST.digest, FIRST.description, model)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arrays",
    [
        {"linear": np.full_like(FIRST.model["linear"], np.nan)},
        {"biases": np.array([np.inf, 0.0])},
        {"stack": np.zeros(2)},
        {"maps": np.zeros((1, 2))},
        {"forest.feature": np.zeros(0, np.int32), "forest.threshold": np.zeros(0), "forest.reference": np.zeros(0, np.int32)},
        {"forest.reference": -np.ones_like(FIRST.model["forest.reference"])},
        {"scale": np.full_like(FIRST.model["scale"], 9)},
    ],
)  # fmt: skip
def test_a_snapshot_that_cannot_score_is_set_aside(arrays: dict[str, object]) -> None:
    log, snapshot = ModelLog(FIRST), _altered(**arrays)
    with pytest.raises(SnapshotError):
        require_sound(snapshot, SCENARIOS)
    for key, value in chunks(snapshot):
        log.take(key, value, 3)
    assert log.active.version == FIRST.version
    assert [refused.reason for refused in log.aside.listed] == ["unusable"]


def test_a_snapshot_of_other_scenarios_is_set_aside() -> None:
    described = {**FIRST.description, "groups": [*reversed(FIRST.description["groups"])]}
    log = ModelLog(FIRST)
    for key, value in chunks(replace(FIRST, description=described)):
        log.take(key, value, 3)
    assert [refused.reason for refused in log.aside.listed] == ["unusable"]


def test_models_may_be_looked_at_while_others_come() -> None:
    log = ModelLog(FIRST)
    for key, value in chunks(FIRST):
        log.take(key, value, 0)
    looking = iter(log.complete.items())
    next(looking)
    for key, value in chunks(_altered(biases=np.array([-3.0, 0.0]))):
        log.take(key, value, 1)
    assert list(looking) == []  # a dict that changes under its reader raises here
    assert log.active.round == 7


def test_a_pin_that_one_person_wrote_and_confirmed_is_set_aside() -> None:
    log = ModelLog(FIRST)
    log.take(PIN_KEY, orjson.dumps({"version": FIRST.version, "by": "a", "confirmed_by": "a"}), 1)
    assert (log.pinned, log.aside.listed[0].reason) == ("", "altered")


def test_what_is_kept_of_refused_records_is_bounded_and_counted_on() -> None:
    counts: dict[tuple[str, str], int] = {}
    aside = SetAside(changed=counts.update)
    for offset in range(3 * MAX_LISTED):
        aside.refuse(Place("risk.policies.v1", 0), offset, b"k" * 10_000, b"v", "foreign", "no\nline " * 1_000)
    assert len(aside.listed) == MAX_LISTED
    assert counts == {("risk.policies.v1", "foreign"): 3 * MAX_LISTED}
    assert all(len(str(refused)) < 600 and "\n" not in str(refused) for refused in aside.listed)
    aside.quarantine(*quarantine_record(aside.listed[0], "okafor", 5))
    assert counts == {("risk.policies.v1", "foreign"): 3 * MAX_LISTED - 1}


def test_of_refused_records_those_that_somebody_knows_are_let_go_first() -> None:
    aside = SetAside()
    for offset in range(MAX_LISTED):
        aside.refuse(Place("risk.policies.v1", 0), offset, b"k", b"v", "foreign", "no")
    aside.quarantine(*quarantine_record(aside.listed[7], "okafor", 5))
    aside.refuse(Place("risk.policies.v1", 0), MAX_LISTED, b"k", b"v", "foreign", "no")
    assert {refused.offset for refused in aside.open} == set(range(MAX_LISTED + 1)) - {7}


def test_each_model_that_cannot_score_is_listed_at_its_record() -> None:
    log = ModelLog(FIRST)
    two = [_altered(biases=np.array([bias, 0.0])) for bias in (-3.0, -2.0)]
    for offset, snapshot in enumerate(two):
        for key, value in chunks(snapshot):
            log.take(key, value, offset)
        log.unusable(snapshot.version, "it cannot score")
    assert [refused.offset for refused in log.aside.listed] == [0, 1]


def test_a_policy_whose_records_are_all_gone_is_known_to_be_lost_until_somebody_knows() -> None:
    log = PolicyLog()
    log.take(b"p-0123456789ab", b"written over", 4)
    assert log.lost == ["p-0123456789ab"]
    log.take(*quarantine_record(log.aside.listed[0], "okafor", 5), 6)
    assert log.lost == []


def test_a_policy_stays_when_its_key_gets_a_null_value() -> None:
    log = PolicyLog()
    key, value = record_of(baseline(log.founding))
    log.take(key, value, 0)
    log.take(key, None, 1)
    assert list(log.records) == [log.founding.version]
    assert [refused.reason for refused in log.aside.listed] == ["deleted"]


@pytest.mark.parametrize(
    "key", [b"foreign", b"\xff", b"m1/junk", b"quarantine/risk.policies.v1/0/1", b"p-0123456789ab"]
)
def test_a_null_value_of_what_was_never_read_is_harmless(key: bytes) -> None:
    models, policies = ModelLog(FIRST), PolicyLog()
    models.take(key, None, 1)
    policies.take(key, None, 1)
    assert models.aside.listed + policies.aside.listed == []


@QUICK
@given(value=ANY | mutated(Skip(7, 1_000, transactions=frozenset({2})).encoded()))
def test_what_a_frame_was_left_out_is_read_or_refused(value: bytes) -> None:
    with suppress(NotReadable):
        assert Skip.of(value).frame is not None


@pytest.mark.parametrize(
    "value",
    [
        b'{"rows":[1]}',
        b'{"highest":[1],"sequence":1}',
        b'{"internal":5}',
        b'{"topics":[]}',
        b'{"rates_table":{}}',
        b"[]",
    ],
)
def test_a_marker_that_its_readers_could_not_use_is_refused(value: bytes) -> None:
    with pytest.raises(NotReadable):
        read_marker(value)


@pytest.mark.parametrize("value", [b'"internal":5', b'"internal":{"feedback":7}', b'"internal":{"feedback":["7"]}'])
def test_a_batch_record_that_its_readers_could_not_use_is_refused(value: bytes) -> None:
    with pytest.raises(NotReadable):
        read_batch(BATCH[:-1] + b"," + value + b"}")


@given(kind=st.integers(0, len(FEEDBACK_KINDS) - 1), verdict=st.integers(0, len(VERDICTS) - 1), back=st.booleans())
def test_every_label_that_is_written_is_read_as_one(kind: int, verdict: int, back: bool) -> None:
    forwarded = np.zeros(1, FORWARDED)[0]
    forwarded["transaction_id"], forwarded["feedback_id"] = b"t-1", b"f-1"
    forwarded["kind"], forwarded["verdict"], forwarded["takes_back"] = kind, verdict, back
    assert is_label(label_record(forwarded))
