"""Deciding a batch, also where the model or the policy raises an error: then it is a dependency that failed.

What raised is tried once more. If versions that came in within the last hour are to blame (without them the batch can be
decided), they are set aside and the ones before go on. Else the transactions that nothing can decide about are found by
halving, and take the direction that the policy declares for the dependency ``decider``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from stream.arrays.packed import Packed
from stream.core.decision.decide import Decided, Decider
from stream.core.decision.render import Rendered, render
from stream.core.decision.undecided_payments import render_undecided, undecided
from stream.core.learning.learning_records import scored_records
from stream.core.payee.payee_hop import Received

logger = logging.getLogger("riskstream.deciding")
MOST_FOUND: Final = 16
"""With so many of one batch found, the rest of it is not halved further: the fault is not a record's."""


class DeciderSource(Protocol):
    """What deciding asks of :class:`stream.worker.agents.versions_agent.Versions`."""

    def decider(self) -> Decider:
        """Model and policy in force."""

    def alternatives(self, decider: Decider) -> Iterable[Decider]:
        """What would decide without the versions of this decider that came in within the last hour, the best first."""

    def set_aside(self, decider: Decider, instead: Decider, why: str) -> None:
        """Let another decider go on: the versions that it has not are to blame."""


@dataclass(frozen=True, slots=True)
class DecidedGroup:
    """Transactions that were decided together, and what is published of them.

    Parameters
    ----------
    scored
        Features as scored, for the learner; None where nothing scored them.
    """

    decided: Decided
    rendered: Rendered
    scored: Packed | None


class Deciding:
    """See the module.

    Parameters
    ----------
    versions
        Model and policy in force.

    Attributes
    ----------
    undecided
        Transactions so far that took the declared direction.
    """

    def __init__(self, versions: DeciderSource) -> None:
        self._versions = versions
        self.undecided = 0

    def decide(self, received: Received) -> list[DecidedGroup]:
        """Decide a batch, by one decider; what is decided stands in the order it came in."""
        decider = self._versions.decider()
        try:
            return [_decide(received, decider)]
        except Exception as error:
            logger.error(
                "model %s and policy %s could not decide about %d transactions; trying again",
                decider.model_version, decider.policy_version, len(received.transactions), exc_info=error,
            )  # fmt: skip
            return self._again(received, decider, error)

    def _again(self, received: Received, decider: Decider, error: Exception) -> list[DecidedGroup]:
        whole = received.part(0, len(received.transactions))
        for other in (decider, *self._versions.alternatives(decider)):
            try:
                verdict = _decide(whole, other)
            except Exception as again:  # noqa: BLE001 - the next one may do better
                logger.error(
                    "model %s and policy %s: %s", other.model_version, other.policy_version, type(again).__name__
                )
                whole = received.part(0, len(received.transactions))
                continue
            if other is not decider:
                self._versions.set_aside(decider, other, type(error).__name__)
            return [verdict]
        return self._halved(received, decider)

    def _halved(self, received: Received, decider: Decider) -> list[DecidedGroup]:
        """Decide what can be; the rest takes the declared direction."""
        verdicts: list[DecidedGroup] = []
        waiting, found = [(0, len(received.transactions))], 0
        while waiting:
            start, stop = waiting.pop()
            part = received.part(start, stop)
            try:
                verdicts.append(_decide(part, decider))
                continue
            except Exception as error:  # noqa: BLE001 - see the module
                failed = error
            if stop - start > 1 and found < MOST_FOUND:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
                continue
            found += 1
            self.undecided += stop - start
            logger.error(
                "%d transactions from risk.profiled.v1[%d] offset %d place %d on take the direction declared for the "
                "dependency decider: %s", stop - start, part.partition[0], part.frame[0], part.place[0],
                type(failed).__name__,
            )  # fmt: skip
            decided = undecided(received.part(start, stop), decider)
            verdicts.append(DecidedGroup(decided, render_undecided(decided, decider), None))
        return verdicts


def _decide(received: Received, decider: Decider) -> DecidedGroup:
    decided = decider.decide(received)
    return DecidedGroup(decided, render(decided, decider), scored_records(decided))
