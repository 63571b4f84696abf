"""Alert: a decision that a person must see, on ``risk.alerts.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stream.contracts.decision import Decision
from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import OutputRecord
from stream.contracts.transaction import Channel, PayeeKind


class Alert(OutputRecord):
    """Work for a reviewer, with the clock that ends it."""

    alert_id: Annotated[Identifier, Field(description="The transaction_id. ISO 20022: PmtId/TxId.")]
    decision: Annotated[Decision, Field(description="The decision as published.")]
    priority_milli: Annotated[int, Field(description="Higher comes first; thousandths.")]
    due_at: Annotated[Instant, Field(description="A reviewer should have answered by then.")]
    hold_expires_at: Annotated[Instant, Field(description="The hold on the transaction ends then, by itself.")]
    on_expiry: Annotated[Literal["release", "decline"], Field(description="What happens then.")]
    amount_minor: Annotated[
        int,
        Field(ge=0, description="As ordered, in minor units of currency. ISO 20022: InstdAmt, else IntrBkSttlmAmt."),
    ]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217. ISO 20022: its Ccy.")]
    channel: Annotated[Channel | None, Field(description="As in the transaction; null where its history is broken.")]
    payee_kind: Annotated[PayeeKind | None, Field(description="As in the transaction; null where none is told.")]
    four_eyes: Annotated[
        bool,
        Field(description="Whether a verdict needs a second person's signature; false as long as verdicts carry none."),
    ]
