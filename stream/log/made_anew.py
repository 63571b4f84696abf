"""Topics that were deleted and made anew: their names come again, their records and offsets do not.

A worker that runs sees it by the topics' ids (``topology.py``). One that recovers sees it by the ids that stand in the
marker of its rows: offsets of another topic say nothing about this one, whatever the group's are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.errors import RecoveryRefused

WHAT_TO_DO = (
    "rows, batches and the group's offsets speak of the deleted one. Stop all workers and begin anew beside it with another "
    "RISKSTREAM_TOPIC_PREFIX, and tell that installation the history; what was sent to a topic made anew was not decided"
)


class TopicMadeAnew(RecoveryRefused):
    """An input is not the topic that the rows stand for."""


def refuse_anew(marker: Mapping[str, Any] | None, ids: Mapping[str, str]) -> None:
    """Refuse rows whose marker names another input than the one of that name now.

    Parameters
    ----------
    marker
        Of the rows; None or without ids says nothing.
    ids
        Cluster and id of each input topic now, with a slash between them. A topic of another cluster is a copy that
        somebody made on purpose: the offsets tell whether it is complete.

    Raises
    ------
    TopicMadeAnew
        Which topic, and what to do.

    >>> refuse_anew({"topics": {"bank.transactions.v1": "c/1"}}, {"bank.transactions.v1": "c/1"})
    >>> refuse_anew({"topics": {"bank.transactions.v1": "c/1"}}, {"bank.transactions.v1": "mirror/7"})
    >>> refuse_anew({"topics": {"bank.transactions.v1": "c/1"}}, {"bank.transactions.v1": "c/2"})
    Traceback (most recent call last):
    stream.log.made_anew.TopicMadeAnew: topic bank.transactions.v1 was deleted and made anew (id 1 before, 2 now): ...
    """
    for topic, before in (marker or {}).get("topics", {}).items():
        cluster, _, known = before.partition("/")
        now_cluster, _, now = ids.get(topic, before).partition("/")
        if (cluster, known) != (now_cluster, now) and cluster == now_cluster:
            raise TopicMadeAnew(
                f"topic {topic} was deleted and made anew (id {known} before, {now} now): {WHAT_TO_DO}. If its records "
                "were put back as they were, offsets too, start once with RISKSTREAM_ACCEPT_LOST_RECORDS=true"
            )
