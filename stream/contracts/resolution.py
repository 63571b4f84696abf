"""Resolution: the end of a held transaction, on ``risk.resolutions.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stream.contracts.decision import Sentence
from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import OutputRecord


class Told(OutputRecord):
    """What is told about the end."""

    customer: Annotated[Sentence, Field(description="For the customer: what happened and what to do.")]


class Resolution(OutputRecord):
    """Every review and every challenge ends in exactly one."""

    transaction_id: Annotated[Identifier, Field(description="The held transaction. ISO 20022: PmtId/TxId.")]
    alert_id: Annotated[
        Identifier, Field(description="Its alert, which has the transaction's id; a challenge has the id and no alert.")
    ]
    account_id: Annotated[
        Identifier, Field(description="Its account: with transaction_id it says which payment this is about.")
    ]
    customer_id: Annotated[Identifier, Field(description="Its customer; the account where none was named.")]
    result: Annotated[
        Literal["release", "decline"],
        Field(description="What becomes of the transaction. ISO 20022: TxSts ACSP or RJCT."),
    ]
    cause: Annotated[
        Literal["reviewer", "challenge", "customer", "expiry"],
        Field(description="What ended it; customer: the customer withdrew the payment."),
    ]
    actor: Annotated[str | None, Field(description="Who said what ended it, as in the feedback; null on expiry.")]
    feedback_id: Annotated[Identifier | None, Field(description="The feedback that ended it; null on expiry.")]
    at: Annotated[Instant, Field(description="When it ended, by the times in the data.")]
    reasons: Annotated[Told, Field(description="In words.")]
