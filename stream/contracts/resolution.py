"""Resolution: the end of a held transaction, on ``risk.resolutions.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import OutputRecord


class Resolution(OutputRecord):
    """Every review ends in exactly one."""

    transaction_id: Annotated[Identifier, Field(description="The held transaction. ISO 20022: PmtId/TxId.")]
    alert_id: Annotated[Identifier, Field(description="Its alert.")]
    account_id: Annotated[
        Identifier, Field(description="Its account: with transaction_id it says which payment this is about.")
    ]
    customer_id: Annotated[Identifier, Field(description="Its customer; the account where none was named.")]
    result: Annotated[
        Literal["release", "decline"],
        Field(description="What becomes of the transaction. ISO 20022: TxSts ACSP or RJCT."),
    ]
    cause: Annotated[Literal["reviewer", "challenge", "expiry"], Field(description="What ended the hold.")]
    at: Annotated[Instant, Field(description="When it ended, by the times in the data.")]
