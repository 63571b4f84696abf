"""How a policy version comes into force: published by one person, approved by another, rolled back by one command.

A pure state machine over one record a version, as the compacted topic of policies keeps them. Nothing is ever
changed in place: each step takes the records and returns the one record to write. Which version is in force at a
time is a function of the records and that time alone, so every reader agrees.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from rules.policy import Policy
from rules.problem import PackError

Status = Literal["published", "approved", "in_force", "superseded", "withdrawn"]
FORMAT: Final = 1


class ApprovalError(ValueError):
    """A step that the two-person rule or the state of the version does not allow; the message says what to do."""


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One policy version and what happened to it.

    Parameters
    ----------
    version
        Digest of the content, from :attr:`rules.policy.Policy.version`.
    files
        The policy's files by name.
    published_by, published_at
        Who brought it, and when (µs since the epoch).
    valid_from
        Earliest time at which it may be in force, µs.
    approved_by, approved_at
        Who approved it, and when; None until then.
    withdrawn_by, withdrawn_at
        Who rolled it back, and when; None while it stands.
    """

    version: str
    files: Mapping[str, bytes]
    published_by: str
    published_at: int
    valid_from: int
    approved_by: str | None = None
    approved_at: int | None = None
    withdrawn_by: str | None = None
    withdrawn_at: int | None = None

    @property
    def usable(self) -> bool:
        """Approved and not withdrawn."""
        return self.approved_at is not None and self.withdrawn_at is None


def publish(records: Iterable[PolicyRecord], policy: Policy, by: str, at: int, valid_from: int) -> PolicyRecord:
    """The record of a new version, not yet approved.

    Raises
    ------
    ApprovalError
        The same content is already published, or nobody answers for it.
    """
    _identity(by)
    known = _find(records, policy.version)
    if known is not None and known.withdrawn_at is None:
        raise ApprovalError(
            f"{policy.version} is already published by {known.published_by}: approve it, or change the files"
        )
    files = {Path(name).name: content for name, content in policy.files.items()}
    if len(files) < len(policy.files):
        raise ApprovalError("two files of the policy have the same name; rename one")
    return PolicyRecord(policy.version, files, by, at, valid_from)


def approve(records: Iterable[PolicyRecord], version: str, by: str, at: int) -> PolicyRecord:
    """The record of a version that a second person approved; also brings back a withdrawn one.

    Raises
    ------
    ApprovalError
        Unknown version, approved already, or the approver is the publisher.
    """
    _identity(by)
    record = _known(records, version)
    if record.usable:
        raise ApprovalError(f"{version} is already approved by {record.approved_by}; nothing to do")
    if by.casefold() == record.published_by.casefold():
        raise ApprovalError(f"{version} was published by {by}: a second person must approve it")
    return replace(record, approved_by=by, approved_at=at, withdrawn_by=None, withdrawn_at=None)


def rollback(records: Iterable[PolicyRecord], by: str, at: int) -> PolicyRecord:
    """The record of the version in force, withdrawn: the one approved before it is in force again.

    One person suffices: it leads back to what two persons agreed on before.

    Raises
    ------
    ApprovalError
        There is no version in force, or none to go back to.
    """
    _identity(by)
    every = tuple(records)
    current = in_force(every, at)
    if current is None:
        raise ApprovalError("no approved version is in force; there is nothing to roll back")
    withdrawn = replace(current, withdrawn_by=by, withdrawn_at=at)
    if in_force([record for record in every if record.version != current.version], at) is None:
        raise ApprovalError(f"{current.version} is the only approved version; publish and approve another one first")
    return withdrawn


def in_force(records: Iterable[PolicyRecord], at: int) -> PolicyRecord | None:
    """The version in force at a time: of the usable ones that are valid by then, the one valid last.

    Of two with the same ``valid_from`` the later approved counts, then the greater version.
    """
    usable = [record for record in records if record.usable and record.valid_from <= at]
    return max(usable, key=lambda r: (r.valid_from, r.approved_at or 0, r.version), default=None)


def status(records: Iterable[PolicyRecord], version: str, at: int) -> Status:
    """Where a version stands at a time."""
    every = tuple(records)
    record = _known(every, version)
    if record.withdrawn_at is not None:
        return "withdrawn"
    if record.approved_at is None:
        return "published"
    current = in_force(every, at)
    if current is not None and current.version == version:
        return "in_force"
    return "approved" if record.valid_from > at else "superseded"


def encode(record: PolicyRecord) -> bytes:
    """The record as the value of its topic: one JSON object with sorted keys."""
    document = {
        "format": FORMAT,
        "version": record.version,
        "files": {name: content.decode("utf-8") for name, content in sorted(record.files.items())},
        "published_by": record.published_by,
        "published_at": record.published_at,
        "valid_from": record.valid_from,
        "approved_by": record.approved_by,
        "approved_at": record.approved_at,
        "withdrawn_by": record.withdrawn_by,
        "withdrawn_at": record.withdrawn_at,
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8")


def decode(value: bytes) -> PolicyRecord:
    """The record of a value; its files are proven to be those of its version.

    Raises
    ------
    ApprovalError
        Not such a record, a newer format, files that do not make the version they claim, or a two-person rule broken.
    """
    try:
        document = json.loads(value)
        if document["format"] != FORMAT:
            raise ApprovalError(f"policy record of format {document['format']}; this release reads format {FORMAT}")
        files = {str(name): str(text).encode("utf-8") for name, text in document["files"].items()}
        fields = {key: document[key] for key in PolicyRecord.__slots__ if key != "files"}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ApprovalError):
            raise
        raise ApprovalError(f"not a policy record: {error}; was the topic written by something else?") from error
    record = PolicyRecord(files=files, **fields)
    _prove(record)
    return record


def _prove(record: PolicyRecord) -> None:
    try:
        actual = Policy.from_files(record.files).version
    except PackError as error:
        raise ApprovalError(f"policy {record.version} cannot be read: {error}") from error
    if actual != record.version:
        raise ApprovalError(f"policy record {record.version} carries the files of {actual}; it was altered")
    if record.approved_by is not None and record.approved_by.casefold() == record.published_by.casefold():
        raise ApprovalError(f"policy {record.version} was approved by its publisher {record.approved_by}; refused")


def _identity(by: str) -> None:
    if not by.strip():
        raise ApprovalError("no identity given; say who acts (--by NAME)")


def _find(records: Iterable[PolicyRecord], version: str) -> PolicyRecord | None:
    return next((record for record in records if record.version == version), None)


def _known(records: Iterable[PolicyRecord], version: str) -> PolicyRecord:
    record = _find(records, version)
    if record is None:
        raise ApprovalError(f"unknown version {version}; see 'riskstream policy list'")
    return record
