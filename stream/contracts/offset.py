"""Offset: where a record stands in Kafka."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stream.contracts.record import OutputRecord


class Offset(OutputRecord):
    """One record's place.

    >>> str(Offset(topic="risk.profiled.v1", partition=2, offset=17))
    'risk.profiled.v1/2/17'
    """

    topic: Annotated[str, Field(min_length=1, max_length=249, description="Topic, prefix included.")]
    partition: Annotated[int, Field(ge=0, description="Partition of the topic.")]
    offset: Annotated[int, Field(ge=0, description="Offset in the partition.")]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"
