"""Two persons bring a policy into force, one takes it back, and nobody alters it on the way."""

from __future__ import annotations

import json

import pytest

from rules.approval import (
    ApprovalError,
    PolicyRecord,
    approve,
    decode,
    encode,
    in_force,
    publish,
    rollback,
    status,
)
from rules.policy import Policy

HEAD = "pack: mine\nscenario: ecommerce\nmatch: has_payee\nthresholds: {review: %d}\n"
ONE, TWO = (Policy.from_files({"mine.yaml": (HEAD % review).encode()}) for review in (100, 200))


def store(records: dict[str, PolicyRecord], record: PolicyRecord) -> None:
    """As a compacted topic keeps them: the last of each version, through its bytes."""
    records[record.version] = decode(encode(record))


def two_versions() -> dict[str, PolicyRecord]:
    records: dict[str, PolicyRecord] = {}
    store(records, publish(records.values(), ONE, "li", at=10, valid_from=10))
    store(records, approve(records.values(), ONE.version, "wang", at=20))
    store(records, publish(records.values(), TWO, "li", at=30, valid_from=50))
    store(records, approve(records.values(), TWO.version, "wang", at=40))
    return records


def version_in_force(records: dict[str, PolicyRecord], at: int) -> str | None:
    record = in_force(records.values(), at)
    return record.version if record else None


def test_a_published_version_is_not_in_force() -> None:
    records: dict[str, PolicyRecord] = {}
    store(records, publish(records.values(), ONE, "li", at=10, valid_from=0))
    assert version_in_force(records, 100) is None
    assert status(records.values(), ONE.version, 100) == "published"


@pytest.mark.parametrize("approver", ["li", "LI", " "])
def test_self_approval_is_refused(approver: str) -> None:
    records: dict[str, PolicyRecord] = {}
    store(records, publish(records.values(), ONE, "li", at=10, valid_from=0))
    with pytest.raises(ApprovalError, match=r"second person|no identity"):
        approve(records.values(), ONE.version, approver, at=20)


def test_the_version_valid_last_is_in_force() -> None:
    records = two_versions()
    assert [version_in_force(records, at) for at in (9, 10, 49, 50)] == [None, ONE.version, ONE.version, TWO.version]
    assert status(records.values(), TWO.version, 45) == "approved"
    assert status(records.values(), ONE.version, 60) == "superseded"


def test_rollback_leads_back_to_what_was_approved_before() -> None:
    records = two_versions()
    store(records, rollback(records.values(), "zhao", at=60))
    assert version_in_force(records, 60) == ONE.version
    assert status(records.values(), TWO.version, 60) == "withdrawn"
    with pytest.raises(ApprovalError, match="the only approved version"):
        rollback(records.values(), "zhao", at=61)


def test_a_withdrawn_version_comes_back_by_a_second_person_alone() -> None:
    records = two_versions()
    store(records, rollback(records.values(), "zhao", at=60))
    with pytest.raises(ApprovalError, match="second person"):
        approve(records.values(), TWO.version, "li", at=70)
    store(records, approve(records.values(), TWO.version, "wang", at=70))
    assert version_in_force(records, 70) == TWO.version


def test_steps_that_make_no_sense_are_refused_with_what_to_do() -> None:
    records = two_versions()
    with pytest.raises(ApprovalError, match="already published"):
        publish(records.values(), ONE, "li", at=60, valid_from=60)
    with pytest.raises(ApprovalError, match="already approved"):
        approve(records.values(), ONE.version, "wang", at=60)
    with pytest.raises(ApprovalError, match="policy list"):
        approve(records.values(), "p-000000000000", "wang", at=60)
    with pytest.raises(ApprovalError, match="no approved version"):
        rollback([], "zhao", at=60)


def test_altered_records_are_refused() -> None:
    value = json.loads(encode(two_versions()[ONE.version]))
    altered = value | {"files": {name: text.replace("100", "999999") for name, text in value["files"].items()}}
    with pytest.raises(ApprovalError, match="altered"):
        decode(json.dumps(altered).encode())
    with pytest.raises(ApprovalError, match="approved by its publisher"):
        decode(json.dumps(value | {"approved_by": "li"}).encode())
    with pytest.raises(ApprovalError, match="format 2"):
        decode(json.dumps(value | {"format": 2}).encode())
    for broken in (b"", b"[]", b"{}", b'{"format": 1}', json.dumps(value | {"files": 3}).encode()):
        with pytest.raises(ApprovalError, match="not a policy record"):
            decode(broken)


def test_a_record_names_files_without_their_folder(tmp_path: object) -> None:
    policy = Policy.from_files({"/somewhere/else/mine.yaml": (HEAD % 7).encode()})
    assert set(publish([], policy, "li", at=1, valid_from=1).files) == {"mine.yaml", "common.yaml"}
