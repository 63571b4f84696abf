"""A step among the feedback that is no feedback: times that lie ahead of the broker's are brought back to it."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from stream.contracts.feedback import printable
from stream.contracts.instant import Instant
from stream.contracts.record import InputRecord, read

STEP_KEY: Final = b"step/mend_times"
"""Key of its record on ``bank.feedback.v1``, one in each partition: no account or customer has such an id."""


class MendTimes(InputRecord):
    """Mend the rows of the partition it lies in. It says no time: the broker's is taken when it is walked."""

    step: Annotated[Literal["mend_times"], Field(description="What is done.")]
    actor: Annotated[
        str, AfterValidator(printable), Field(min_length=1, description="Who answers for it, at most 64 bytes.")
    ]
    reason: Annotated[str, AfterValidator(printable), Field(min_length=1, description="Why, at most 64 bytes.")]
    occurred_at: Annotated[Instant, Field(description="When it was said.")]


def read_mend_times(value: bytes | None) -> MendTimes:
    """The step of a record.

    Raises
    ------
    Refused
        With the reason and a message that holds no text of the payload.
    """
    return read(MendTimes, value)
