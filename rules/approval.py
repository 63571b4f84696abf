"""How a policy version comes into force: published by one person, approved by another, rolled back by one command.

A pure state machine over one record a version, as the compacted topic of policies keeps them. Nothing is ever
changed in place: each step takes the records and returns the one record to write. Which version is in force at a
time is a function of the records and that time alone, so every reader agrees.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from rules.bounded_json import NotReadable, load
from rules.policy import MAX_FILES, Policy
from rules.problem import PackError

Status = Literal["published", "approved", "in_force", "superseded", "withdrawn"]
RefusalReason = Literal["malformed", "too_large", "wrong_type", "out_of_range", "altered"]
FORMAT: Final = 1
MAX_RECORD_BYTES: Final = 8 << 20
"""Longest record of a policy, bytes."""
MAX_IDENTITY: Final = 200
"""Longest name of a person, characters."""
LAST_TIME_US: Final = 4_102_444_800_000_000
"""Times in records lie before 2100, µs since the epoch."""
_VERSION: Final = re.compile(r"p-[0-9a-f]{12}")
_FILE: Final = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}\.(?:yaml|yml|csv)")
_TIMES: Final = ("published_at", "valid_from", "approved_at", "withdrawn_at")
_PEOPLE: Final = ("published_by", "approved_by", "withdrawn_by")
_OPTIONAL: Final = frozenset(("approved_by", "approved_at", "withdrawn_by", "withdrawn_at"))


class ApprovalError(ValueError):
    """A step that the two-person rule or the state of the version does not allow; the message says what to do."""


class RecordRefused(ApprovalError):
    """A record that is none of a policy's; ``reason`` is its kind, in a word."""

    def __init__(self, message: str, reason: RefusalReason) -> None:
        super().__init__(message)
        self.reason = reason


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
    if not 0 <= valid_from <= LAST_TIME_US:
        raise ApprovalError("valid_from lies outside of 1970 to 2100")
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

    The schema is closed: each field is there, of its type and within its limits, and there is no other. Size and nesting
    are looked at before anything is parsed, in the record and in each of its files.

    Raises
    ------
    RecordRefused
        Not such a record, a newer format, files that do not make the version they claim, or a two-person rule broken.
    """
    try:
        document = load(value, max_bytes=MAX_RECORD_BYTES, max_depth=3, max_values=10 * MAX_FILES)
    except NotReadable as error:
        raise RecordRefused(
            f"not a policy record: {error}; was the topic written by something else?",
            "too_large" if error.too_large else "malformed",
        ) from error
    if not isinstance(document, dict) or "files" not in document or type(document.get("format")) is not int:
        raise RecordRefused(
            "not a policy record: no JSON object with format and files; was the topic written by something else?",
            "malformed",
        )
    if document["format"] != FORMAT:
        raise RecordRefused(
            f"policy record of format {_shown(document.get('format'))}; this release reads format {FORMAT}",
            "malformed",
        )
    fields = _fields(document)
    record = PolicyRecord(**fields, files=_files(document["files"]))
    if (record.approved_by is None) != (record.approved_at is None):
        raise RecordRefused("approved_by and approved_at go together: one is null, the other is not", "out_of_range")
    if (record.withdrawn_by is None) != (record.withdrawn_at is None):
        raise RecordRefused("withdrawn_by and withdrawn_at go together: one is null, the other is not", "out_of_range")
    _prove(record)
    return record


def _fields(document: dict[str, Any]) -> dict[str, Any]:
    """Every field but the files, looked at."""
    expected = {"format", *PolicyRecord.__slots__}
    if set(document) != expected:
        missing, unknown = sorted(expected - set(document)), sorted(set(document) - expected)
        raise RecordRefused(
            f"not a policy record: missing {_shown(missing)}, unknown {_shown(unknown)}", "malformed"
        )  # fmt: skip
    fields = {name: document[name] for name in PolicyRecord.__slots__ if name != "files"}
    for name, value in fields.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _TIMES:
            _require(name, value, int, "an integer of µs since the epoch")
            if not 0 <= value <= LAST_TIME_US:
                raise RecordRefused(
                    f"{name} is {_shown(value)}: a time from 1970 to 2100 in µs is read", "out_of_range"
                )
        else:
            _require(name, value, str, "a text")
            if name in _PEOPLE and not (0 < len(value.strip()) <= len(value) <= MAX_IDENTITY and value.isprintable()):
                raise RecordRefused(f"{name}: 1 to {MAX_IDENTITY} printable characters are read", "out_of_range")
    if not _VERSION.fullmatch(fields["version"]):
        raise RecordRefused(f"version {_shown(fields['version'])} is none of a policy", "out_of_range")
    return fields


def _files(files: Any) -> dict[str, bytes]:
    _require("files", files, dict, "an object of texts by file name")
    if not 1 <= len(files) <= MAX_FILES:
        raise RecordRefused(f"{len(files)} files, 1 to {MAX_FILES} are read", "out_of_range")
    found = {}
    for name, text in files.items():
        if not _FILE.fullmatch(name):
            raise RecordRefused(f"a file is called {_shown(name)}: a name that ends in .yaml is read", "out_of_range")
        _require(f"file {name}", text, str, "a text")
        try:
            found[name] = text.encode("utf-8")
        except UnicodeEncodeError:
            raise RecordRefused(f"file {name} has half a surrogate pair: no text", "malformed") from None
    return found


def _require(name: str, value: Any, kind: type, what: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise RecordRefused(f"not a policy record: {name} is {_shown(value)}, expected {what}", "wrong_type")


def _shown(value: Any) -> str:
    """A value for a message: short, and on one line."""
    text = json.dumps(value) if isinstance(value, (str, int, float, bool, list, type(None))) else type(value).__name__
    return text if len(text) <= 60 else text[:60] + "…"


def _prove(record: PolicyRecord) -> None:
    try:
        actual = Policy.from_files(record.files).version
    except PackError as error:
        first = str(error).splitlines()[0][:300]
        raise RecordRefused(f"policy {record.version} cannot be read: {first}", "malformed") from error
    if actual != record.version:
        raise RecordRefused(f"policy record {record.version} carries the files of {actual}; it was altered", "altered")
    if record.approved_by is not None and record.approved_by.casefold() == record.published_by.casefold():
        raise RecordRefused(
            f"policy {record.version} was approved by its publisher {record.approved_by}; refused", "altered"
        )


def _identity(by: str) -> None:
    if not by.strip():
        raise ApprovalError("no identity given; say who acts (--by NAME)")
    if len(by) > MAX_IDENTITY or not by.isprintable():
        raise ApprovalError(f"who acts is named in at most {MAX_IDENTITY} printable characters (--by NAME)")


def _find(records: Iterable[PolicyRecord], version: str) -> PolicyRecord | None:
    return next((record for record in records if record.version == version), None)


def _known(records: Iterable[PolicyRecord], version: str) -> PolicyRecord:
    record = _find(records, version)
    if record is None:
        raise ApprovalError(f"unknown version {version}; see 'riskstream policy list'")
    return record
