"""Policy versions on ``risk.policies.v1``: the records as they were read, and which version is in force at a time."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from rules.approval import ApprovalError, PolicyRecord, decode, encode, in_force
from rules.policy import Policy, shipped
from rules.problem import PackError
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.errors import RiskstreamError

logger = logging.getLogger("riskstream.policies")
BASELINE_BY, BASELINE_APPROVED_BY = "riskstream", "installation"


def founding_policy(packs: str) -> Policy:
    """The policy that an installation starts with: a directory's, else the shipped one.

    Raises
    ------
    RiskstreamError
        A pack that is wrong, with file, line and column: nothing starts on half a policy.
    """
    if not packs:
        return shipped()
    try:
        policy = Policy.load([Path(packs)])
        policy.compile(SCHEMA, hash_id)
    except PackError as error:
        raise RiskstreamError(f"packs in {packs} cannot be used:", map(str, error.problems)) from error
    return policy


def baseline(policy: Policy) -> PolicyRecord:
    """The first record of an installation: what a rollback leads back to in the end."""
    files = {Path(name).name: content for name, content in policy.files.items()}
    return PolicyRecord(policy.version, files, BASELINE_BY, 0, 0, approved_by=BASELINE_APPROVED_BY, approved_at=0)


class PolicyLog:
    """Policy records by version; the newest record of a version counts.

    Parameters
    ----------
    founding
        In force where the topic has no approved record.
    """

    def __init__(self, founding: Policy | None = None) -> None:
        self.founding = founding or shipped()
        self.records: dict[str, PolicyRecord] = {}
        self.altered: list[str] = []
        """Versions of which a record was read that was altered: what the oracle names."""
        self._policies: dict[str, Policy] = {}

    def take(self, key: bytes, value: bytes | None) -> None:
        """Read one record of the topic; one that was altered is named, logged and passed over."""
        version = key.decode()
        if value is None:
            self.records.pop(version, None)
            return
        try:
            self.records[version] = decode(value)
        except ApprovalError as error:
            self.altered.append(version)
            logger.error("policy record %s is passed over: %s", version, error)

    def in_force(self, now_us: int, aside: Collection[str] = ()) -> Policy:
        """The approved policy whose time has come, the one valid last; the founding one where there is none. Versions set
        aside are passed over."""
        record = in_force([record for record in list(self.records.values()) if record.version not in aside], now_us)
        return self.version(record.version) if record is not None else self.founding

    def version(self, version: str) -> Policy:
        """A policy by its version; KeyError says that it is not there."""
        if version not in self._policies:
            if version == self.founding.version:
                self._policies[version] = self.founding
            elif version in self.records:
                self._policies[version] = Policy.from_files(self.records[version].files)
            else:
                raise KeyError(f"policy {version} is not on the topic of policies")
        return self._policies[version]


def record_of(record: PolicyRecord) -> tuple[bytes, bytes]:
    """Key and value of a policy record on its topic."""
    return record.version.encode(), encode(record)
