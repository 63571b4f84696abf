"""Feedback: what reviewers, disputes, complaints and step-up results say about a transaction."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import InputRecord, read

MAX_ACTOR_BYTES = 64

Kind = Literal["review", "chargeback", "complaint", "challenge_result", "supplied", "cancelled", "recall_answer"]
Verdict = Literal["genuine", "fraud", "inconclusive", "passed", "failed"]


def printable(text: str) -> str:
    """The text, if it is one that is kept: at most 64 bytes, printable."""
    if len(text.encode()) > MAX_ACTOR_BYTES or not text.isprintable():
        raise PydanticCustomError("text_out_of_range", "not at most 64 bytes of printable text")
    return text


class Feedback(InputRecord):
    """A statement about one transaction, as of ``occurred_at``.

    In input, null or an empty string is an absent field and unknown fields are ignored. The record's key is
    ``customer_id``, else ``account_id``, as its transaction's.
    """

    feedback_id: Annotated[Identifier, Field(description="The sender's id. ISO 20022: camt.056 Assgnmt/Id.")]
    transaction_id: Annotated[
        Identifier, Field(description="The transaction it is about. ISO 20022: OrgnlTxId, else OrgnlEndToEndId.")
    ]
    account_id: Annotated[Identifier, Field(description="The paying account. ISO 20022: OrgnlTxRef/DbtrAcct/Id.")]
    customer_id: Annotated[
        Identifier | None,
        Field(description="The paying customer; defaults to account_id. ISO 20022: OrgnlTxRef/Dbtr/Id."),
    ] = None
    payee_id: Annotated[
        Identifier | None, Field(description="The payee, as in the transaction. ISO 20022: OrgnlTxRef/CdtrAcct/Id.")
    ] = None
    kind: Annotated[
        Kind,
        Field(
            description="Where it comes from. cancelled: the customer withdrew, its verdict is inconclusive. recall_answer: what "
            "the other bank says to a recall; it labels nothing. ISO 20022: camt.029 for recall_answer."
        ),
    ]
    verdict: Annotated[
        Verdict,
        Field(
            description="What it says; passed and failed are results of a challenge. ISO 20022: CxlRsnInf/Rsn/Cd, FRAD for fraud."
        ),
    ]
    actor: Annotated[
        str,
        AfterValidator(printable),
        Field(description="Who says it, at most 64 bytes; must be trusted by the policy. ISO 20022: CxlRsnInf/Orgtr."),
    ]
    occurred_at: Annotated[Instant, Field(description="When it was said. ISO 20022: Assgnmt/CreDtTm.")]
    supersedes: Annotated[
        Identifier | None, Field(description="The feedback_id that this one takes the place of. ISO 20022: none.")
    ] = None

    @model_validator(mode="after")
    def _withdrawn(self) -> Self:
        if self.kind == "cancelled" and self.verdict != "inconclusive":
            raise PydanticCustomError("verdict_of_cancelled", "verdict of kind cancelled is inconclusive, and no other")
        return self

    @property
    def owner(self) -> str:
        """The customer, or the account where no customer is named: the record's key."""
        return self.customer_id or self.account_id


def read_feedback(value: bytes | None) -> Feedback:
    """The reference reading of feedback; the rules are :func:`stream.contracts.transaction.read_transaction`'s.

    ``wrong_partition`` and ``untrusted`` are decided by the edge. ``occurred_at`` has no bound ahead: only what a
    transaction's event time says about itself has.

    Raises
    ------
    Refused
        With the reason and a message that holds no text of the payload.
    """
    return read(Feedback, value)
