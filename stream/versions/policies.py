"""Policy versions on ``risk.policies.v1``: the records as they were read, and which version is in force at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

from rules.approval import PolicyRecord, RecordRefused, decode, encode, in_force
from rules.policy import Policy, shipped
from rules.problem import PackError
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.errors import RiskstreamError
from stream.log.records import Place
from stream.log.set_aside import QUARANTINE, ControlRefused, Reason, SetAside

logger = logging.getLogger("riskstream.policies")
TOPIC = "risk.policies.v1"
VERSION = re.compile(rb"p-[0-9a-f]{12}")
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
    aside
        Where records that are none are set aside; by itself a list of its own.
    topic
        The topic's full name, for that list.
    """

    def __init__(self, founding: Policy | None = None, aside: SetAside | None = None, topic: str = TOPIC) -> None:
        self.founding = founding or shipped()
        self.records: dict[str, PolicyRecord] = {}
        self.aside = aside or SetAside()
        self._place = Place(topic, 0)
        self._policies: dict[str, Policy] = {}
        self._read: dict[str, tuple[int, bytes]] = {}
        """Offset and value of the record of each version that counts."""
        self._unusable: set[str] = set()
        self._lost: dict[str, int] = {}
        """Versions of which nothing but records set aside was read, and where."""

    @property
    def altered(self) -> list[str]:
        """Versions of which a record was set aside and not quarantined: what the oracle names."""
        keys = (refused.key.strip('"') for refused in self.aside.open if refused.topic == TOPIC)
        return [key for key in keys if VERSION.fullmatch(key.encode())]

    @property
    def lost(self) -> list[str]:
        """Versions that were here, and of which no record can be read: what should be in force may be among them."""
        known = {refused.offset for refused in self.aside.listed if refused.topic == TOPIC and refused.quarantined_by}
        return [version for version, offset in self._lost.items() if offset not in known]

    def take(self, key: bytes | None, value: bytes | None, offset: int = -1) -> None:
        """Read one record of the topic. One that is none is set aside, by its offset, and changes nothing."""
        try:
            self._take(key, value, offset)
        except RecordRefused as error:
            self._refuse(key, value, offset, error.reason, str(error))
        except ControlRefused as error:
            self._refuse(key, value, offset, error.reason, str(error))
        except Exception as error:
            # a defect of a reader must not end what reads the topic, nor pass unseen
            logger.exception("a record on %s could not be read", self._place.topic)
            self._refuse(key, value, offset, "malformed", f"{type(error).__name__} while it was read")

    def _take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        if not key:
            raise ControlRefused("foreign", "no key: a policy's is its version")
        if key.startswith(QUARANTINE):
            self.aside.quarantine(key, value)
            return
        if value is None and not VERSION.fullmatch(key):
            return  # nothing of it is here: so compaction takes away what was foreign
        if not VERSION.fullmatch(key):
            raise ControlRefused("foreign", "its key is no policy's version")
        version = key.decode()
        if value is None:
            if version in self.records:
                raise ControlRefused("deleted", f"nothing is deleted here: policy {version} stays as it was")
            return
        record = decode(value)
        if record.version != version:
            raise ControlRefused("altered", f"the key is not that of policy {record.version}, which it holds")
        self.records = {**self.records, version: record}
        self._read[version] = offset, value
        self._lost.pop(version, None)

    def _refuse(self, key: bytes | None, value: bytes | None, offset: int, reason: Reason, why: str) -> None:
        version = (key or b"").decode("ascii", "replace")
        if VERSION.fullmatch(key or b"") and version not in self.records and value is not None:
            self._lost[version] = offset
        self.aside.refuse(self._place, offset, key, value, reason, why)

    def in_force(self, now_us: int, aside: Collection[str] = ()) -> Policy:
        """The approved policy whose time has come, the one valid last; the founding one where there is none. Versions set
        aside are passed over."""
        left_out = {*self._unusable, *aside}
        record = in_force([record for record in self.records.values() if record.version not in left_out], now_us)
        return self.version(record.version) if record is not None else self.founding

    def unusable(self, version: str, why: str) -> None:
        """Set the record of a version aside that was read well and cannot decide: it is not in force."""
        offset, value = self._read.get(version, (-1, b""))
        self._unusable.add(version)
        self.aside.refuse(self._place, offset, version.encode(), value, "unusable", why)

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
