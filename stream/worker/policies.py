"""Policy versions on ``risk.policies.v1``, and which of them is in force at a time."""

from __future__ import annotations

from rules.policy import Policy, shipped


class PolicyLog:
    """Policy records as they were read."""

    def take(self, key: bytes, value: bytes | None) -> None:
        """Read one record of the topic."""

    def in_force(self, now_us: int) -> Policy:
        """The approved policy whose time has come, newest first; the shipped one where there is none."""
        return shipped()
