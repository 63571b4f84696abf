"""What a batch leads to goes out in one transaction, records before rows, and dead letters name their place."""

from __future__ import annotations

from typing import Any

from stream.contracts.refusal import Refused
from stream.gateway.batch import MESSAGE, GatewayBatch
from stream.iso20022.case import Case, Recall
from stream.iso20022.original import REJECT_REASONS, Original
from stream.log.records import Place

ORIGINAL = Original(
    "id-1", "a", "c", None, "pacs.008.001.08", "M", None, None, None, "id-1", "EUR", "1.00", None, None, None, "sepa"
)


class Log:
    """Notes what a publisher is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def begin(self) -> None:
        self.told.append(("begin",))

    def send(self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1, **more: Any) -> None:
        self.told.append(("send", topic, key, partition, dict(more.get("headers") or ())))

    def commit(self, offsets: dict[Place, int]) -> None:
        self.told.append(("commit", dict(offsets)))


class Message:
    def key(self) -> bytes:
        return b"k"

    def value(self) -> bytes:
        return b"<a/>"


def test_everything_is_between_begin_and_commit() -> None:
    batch, log = GatewayBatch("p-", dict(REJECT_REASONS)), Log()
    place = Place("p-bank.iso20022.v1", 2)
    batch.converted("bank.transactions.v1", "transaction", b"c", b"{}", place, 9)
    batch.send_to_dlq(place, 10, Message(), Refused("missing", "pacs.008.001.08, transaction 1, /x: is absent"))
    batch.answer(Case(ORIGINAL, 0), ["RJCT", Recall()], 1_000)
    batch.offsets[place] = 11
    batch.send(log, "p-riskstream-gateway-rows", [(b"id-1", b"row")])  # type: ignore[arg-type]
    topics = [told[1] for told in log.told if told[0] == "send"]
    assert topics == [
        "p-bank.transactions.v1", "p-bank.iso20022.v1.dlq", "p-risk.iso20022.v1", "p-risk.iso20022.v1",
        "p-riskstream-gateway-rows",
    ]  # fmt: skip
    assert (log.told[0], log.told[-1]) == (("begin",), ("commit", {place: 11}))
    letter = log.told[2][4]
    assert (letter["riskstream.reason"], letter["__connect.errors.offset"]) == (b"missing", b"10")
    assert [told[4].get(MESSAGE) for told in log.told[3:5]] == [b"pacs.002.001.10", b"camt.056.001.08"]
    assert all(told[2] == b"c" for told in log.told[3:5])
    assert (dict(batch.records), dict(batch.answers)) == ({"transaction": 1}, {"RJCT": 1, "camt.056": 1})
