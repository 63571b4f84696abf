"""What must be kept of a payment to answer its message later, and to know it again in messages that follow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from stream.iso20022.parties import Agent

Rail = Literal["sepa", "cbpr", "fednow", "other"]
REJECT_REASONS: Final[Mapping[Rail, str]] = {"sepa": "MS03", "cbpr": "RR04", "fednow": "FRAD", "other": "MS03"}
"""Why a payment is refused, in the words that each rail understands (ExternalStatusReason1Code)."""


@dataclass(frozen=True, slots=True)
class Original:
    """A payment as others name it.

    Parameters
    ----------
    transaction_id, account_id, customer_id, payee_id
        As in the record on ``bank.transactions.v1``; the latter two are None where the record has none.
    definition, message_id
        The message that brought it and its ``MsgId``.
    instruction_id, end_to_end_id, tx_id, uetr
        Of ``PmtId``; None where absent.
    currency, amount
        Of the interbank settlement, else as instructed; the amount as decimal text.
    settlement_date
        ``IntrBkSttlmDt`` as text, None where absent.
    instructing, instructed
        The banks that sent and were to take it; None where the message names none.
    rail
        Whose words for a refusal are understood there.
    """

    transaction_id: str
    account_id: str
    customer_id: str | None
    payee_id: str | None
    definition: str
    message_id: str
    instruction_id: str | None
    end_to_end_id: str | None
    tx_id: str | None
    uetr: str | None
    currency: str
    amount: str
    settlement_date: str | None
    instructing: Agent | None
    instructed: Agent | None
    rail: Rail

    @property
    def owner(self) -> str:
        """The key of its records."""
        return self.customer_id or self.account_id

    def names(self) -> Iterator[str]:
        """What else than ``transaction_id`` a later message may call it by."""
        agent = self.instructing.name if self.instructing is not None else ""
        if self.uetr is not None and self.tx_id is not None:
            yield f"tx/{self.tx_id}"
        if self.instruction_id is not None and agent:
            yield f"instr/{agent}/{self.instruction_id}"
        if self.end_to_end_id is not None:
            yield f"msg/{self.message_id}/{self.end_to_end_id}"


class OriginalPayments(Protocol):
    """Payments that are known."""

    def find(self, name: str) -> Original | None:
        """By its transaction id or one of :meth:`Original.names`."""
