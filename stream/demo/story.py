"""One alert followed to its end: the payment, the reason, the verdict, and the model that has learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_OPEN = 200
"""Alerts that are followed at once; of more the oldest is let go."""


@dataclass(slots=True)
class Story:
    """An alert about a fraud, and how far it has come.

    Parameters
    ----------
    alert
        As it was read from ``risk.alerts.v1``.
    attack
        What it truly was.
    label
        The verdict as it reached ``risk.learning.v1``; None while nobody has spoken.
    place
        Partition and offset of that record.
    model
        First model whose round read the verdict; empty while there is none.
    """

    alert: Mapping[str, Any]
    attack: str
    label: Mapping[str, Any] | None = None
    place: tuple[int, int] | None = None
    model: str = ""

    @property
    def chapters(self) -> int:
        """How far it has come: 1 payment and reason, 2 verdict, 3 model."""
        return 1 + (self.label is not None) + bool(self.model)


class Stories:
    """Follows alerts about frauds; :attr:`best` is the one that has come furthest, the first of those.

    >>> stories = Stories()
    >>> stories.take_alert({"alert_id": "t1"}, "task_scam")
    >>> stories.take_label("t1", {"verdict": "fraud"}, 0, 17)
    >>> stories.take_model("m3-00000000", {0: 17})
    >>> stories.take_model("m4-00000000", {0: 18})
    >>> stories.best.chapters, stories.best.model
    (3, 'm4-00000000')
    """

    def __init__(self) -> None:
        self._stories: dict[str, Story] = {}
        self._whole: Story | None = None

    def take_alert(self, alert: Mapping[str, Any], attack: str) -> None:
        """An alert about a fraud was read."""
        if self._whole is None:
            self._stories[alert["alert_id"]] = Story(alert, attack)
            while len(self._stories) > MOST_OPEN:
                self._stories.pop(next(iter(self._stories)))

    def take_label(self, transaction_id: str, label: Mapping[str, Any], partition: int, offset: int) -> None:
        """A verdict reached the learning topic."""
        story = self._stories.get(transaction_id)
        if story is not None and story.label is None:
            story.label, story.place = label, (partition, offset)

    def take_model(self, version: str, ends: Mapping[int, int]) -> None:
        """A model was published, whose round ended at these offsets of the learning topic."""
        if self._whole is not None:
            return
        for story in self._stories.values():
            if story.place is not None and not story.model and story.place[1] < ends.get(story.place[0], 0):
                story.model = version
                self._whole = self._whole or story

    @property
    def best(self) -> Story | None:
        """The first whole story, else the one that has come furthest; None while there was no alert about a fraud."""
        if self._whole is not None:
            return self._whole
        return max(self._stories.values(), key=lambda story: story.chapters, default=None)
