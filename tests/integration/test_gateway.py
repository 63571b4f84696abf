"""The gateway on a real Kafka: messages into a line, its answers out, each once, whoever is killed in between."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import ConfigResource
from lxml import etree

from stream.contracts.token import token
from stream.iso20022.follow_up import ACTOR
from stream.log.connect import admin
from stream.log.topics import ensure_gateway_topics

pytestmark = pytest.mark.kafka

KEY = b"a key of tests, of no bank"
PACK = """\
pack: large_transfer
scenario: large_transfer
match: has_payee
thresholds: {challenge_light: 990000, challenge_strong: 992000, review: 994000, decline: 998000}
review: {legal_basis: contract, due: 2h, expires: 24h, on_expiry: decline}
rules:
  - {id: test.held, when: amount_minor >= 900000 && amount_minor < 90000000, outcome: review, reason: {zh: 大额, en: A large amount}}
  - {id: test.refused, when: amount_minor >= 90000000, outcome: decline, reason: {zh: 极大, en: A very large amount}}
"""
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
IBAN, PAYEE = "DE89370400440532013000", "GB87UVWX12345623456789"
PATIENCE_S = 90.0


def uetr(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def initiation(amounts: dict[int, str]) -> bytes:
    """A pain.001 of payments from one account: UETR number and amount."""
    transfers = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>E-{number}</EndToEndId><UETR>{uetr(number)}</UETR></PmtId><Amt><InstdAmt Ccy='EUR'>{amount}"
        f"</InstdAmt></Amt><CdtrAgt><FinInstnId><BICFI>ZABCGB9A</BICFI></FinInstnId></CdtrAgt><CdtrAcct><Id><IBAN>{PAYEE}</IBAN></Id>"
        "</CdtrAcct></CdtTrfTxInf>"
        for number, amount in amounts.items()
    )
    return (
        f"<Document xmlns='{NAMESPACE}pain.001.001.09'><CstmrCdtTrfInitn><GrpHdr><MsgId>PAIN-1</MsgId><CreDtTm>{now()}</CreDtTm>"
        f"<NbOfTxs>{len(amounts)}</NbOfTxs></GrpHdr><PmtInf><PmtInfId>P</PmtInfId><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
        f"<DbtrAgt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></DbtrAgt>{transfers}</PmtInf></CstmrCdtTrfInitn></Document>"
    ).encode()


def transfer_message(number: int, amount: str = "10.00") -> bytes:
    """A pacs.008 of one payment, of an account of its own."""
    return (
        f"<Document xmlns='{NAMESPACE}pacs.008.001.08'><FIToFICstmrCdtTrf><GrpHdr><MsgId>M-{number}</MsgId><CreDtTm>{now()}</CreDtTm>"
        f"<NbOfTxs>1</NbOfTxs></GrpHdr><CdtTrfTxInf><PmtId><EndToEndId>E</EndToEndId><UETR>{uetr(number)}</UETR></PmtId>"
        f"<IntrBkSttlmAmt Ccy='EUR'>{amount}</IntrBkSttlmAmt><DbtrAcct><Id><Othr><Id>{number % 50}</Id></Othr></Id></DbtrAcct><DbtrAgt>"
        "<FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></DbtrAgt></CdtTrfTxInf></FIToFICstmrCdtTrf></Document>"
    ).encode()


def returned(number: int) -> bytes:
    return (
        f"<Document xmlns='{NAMESPACE}pacs.004.001.09'><PmtRtr><GrpHdr><MsgId>R</MsgId><CreDtTm>{now()}</CreDtTm><NbOfTxs>1</NbOfTxs>"
        f"</GrpHdr><TxInf><RtrId>RTR</RtrId><OrgnlUETR>{uetr(number)}</OrgnlUETR><RtrdIntrBkSttlmAmt Ccy='EUR'>100.00"
        "</RtrdIntrBkSttlmAmt></TxInf></PmtRtr></Document>"
    ).encode()


def answered(number: int) -> bytes:
    return (
        f"<Document xmlns='{NAMESPACE}camt.029.001.09'><RsltnOfInvstgtn><Assgnmt><Id>C</Id><CreDtTm>{now()}</CreDtTm></Assgnmt><Sts><Conf>"
        f"CNCL</Conf></Sts><CxlDtls><TxInfAndSts><OrgnlUETR>{uetr(number)}</OrgnlUETR></TxInfAndSts></CxlDtls></RsltnOfInvstgtn></Document>"
    ).encode()


class Bank:
    """What the bank's payment hub does: messages to the gateway, answers from it."""

    def __init__(self, line: Any, directory: Path) -> None:
        self.line = line
        self._key = directory / "key"
        self._key.write_bytes(KEY)
        self.partitions = ensure_gateway_topics(line.settings)

    def gateway(self, **settings: object) -> Any:
        program = ("-m", "stream.cli", "gateway", "iso20022")
        return self.line.worker(program=program, hash_key_file=self._key, session_timeout_ms=3000, **settings)

    def send(self, *messages: bytes) -> None:
        producer = self.line.producer()
        for message in messages:
            producer.produce(self.line.settings.topic("bank.iso20022.v1"), message)
        assert producer.flush(30) == 0

    def answers(self) -> Counter[tuple[str, str]]:
        """How often each payment was answered how: by UETR and status, ``FRAD`` for a recall."""
        found: Counter[tuple[str, str]] = Counter()
        for record in self.line.records("risk.iso20022.v1"):
            document = etree.fromstring(record.value)
            said = document.findtext(".//{*}TxSts") or document.findtext(".//{*}CxlRsnInf/{*}Rsn/{*}Cd")
            found[document.findtext(".//{*}OrgnlUETR"), said] += 1
        return found

    def documents(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in self.line.records(topic)]


@pytest.fixture
def bank(line: Any, tmp_path: Path) -> Bank:
    return Bank(line, tmp_path)


def verdict(number: int, said: str, actor: str = "reviewer:li") -> bytes:
    return orjson.dumps(
        {"feedback_id": f"f-{number}-{said}-{actor}", "transaction_id": uetr(number), "account_id": token(KEY, IBAN),
         "kind": "review", "verdict": said, "actor": actor, "occurred_at": now()}
    )  # fmt: skip


def test_a_payment_goes_round_from_initiation_to_the_answer_of_its_recall(
    bank: Bank, line: Any, until: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "large.yaml").write_text(PACK, "utf-8")
    line.worker(packs=tmp_path / "packs")
    bank.gateway()
    bank.send(initiation({1: "100.00", 2: "9500.00", 3: "1000000.00"}))
    expected = Counter({(uetr(1), "ACTC"): 1, (uetr(2), "PDNG"): 1, (uetr(3), "RJCT"): 1})
    until(lambda: bank.answers() == expected, f"three answers: {line.log(1)}", PATIENCE_S)

    line.send("bank.feedback.v1", [verdict(2, "genuine")])
    expected[uetr(2), "ACTC"] += 1
    until(lambda: bank.answers() == expected, "the release", PATIENCE_S)

    # whoever is not trusted recalls nothing; who is, recalls once, however often it is said
    line.send(
        "bank.feedback.v1", [verdict(2, "fraud", "nobody"), verdict(1, "fraud"), verdict(1, "fraud", "reviewer:wu")]
    )
    expected[uetr(1), "FRAD"] += 1
    until(lambda: bank.answers() == expected, "the recall", PATIENCE_S)

    bank.send(answered(1), returned(1))
    until(
        lambda: any(f["kind"] == "recall_answer" for f in bank.documents("bank.feedback.v1")), "the answer", PATIENCE_S
    )
    until(lambda: any("type" in t for t in bank.documents("bank.transactions.v1")), "the reversal", PATIENCE_S)
    (answer,) = [f for f in bank.documents("bank.feedback.v1") if f["kind"] == "recall_answer"]
    assert (answer["transaction_id"], answer["account_id"], answer["verdict"]) == (uetr(1), token(KEY, IBAN), "passed")
    assert answer["actor"] == ACTOR
    (reversal,) = [t for t in bank.documents("bank.transactions.v1") if "type" in t]
    assert (reversal["original_transaction_id"], reversal["amount_minor"]) == (uetr(1), 10_000)
    assert reversal["payee_id"] == token(KEY, PAYEE)

    # both go through the line: the return is approved, the models hear of it and of what the other bank said
    until(lambda: reversal["transaction_id"] in outcomes(bank), f"the decision: {line.log(1)}", PATIENCE_S)
    until(lambda: {"recall_answer", "reversal"} <= labels_of(bank, uetr(1)).keys(), "their labels", PATIENCE_S)
    assert outcomes(bank)[reversal["transaction_id"]] == ("approve", 0)
    labels = labels_of(bank, uetr(1))
    assert labels["recall_answer"]["verdict"] == "passed"
    assert labels["reversal"]["transaction_id"] == reversal["transaction_id"]
    # nobody is answered about either: the payment's last word stays the recall; the one letter is of who is not trusted
    assert bank.answers() == expected
    letters = [record for topic in ("transactions", "feedback") for record in line.records(f"bank.{topic}.v1.dlq")]
    assert [dict(letter.headers)["riskstream.reason"] for letter in letters] == [b"untrusted"]

    verified = line.command("replay", line.settings.topic("risk.decisions.v1"), "--verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def outcomes(bank: Bank) -> dict[str, tuple[str, int]]:
    """Outcome and risk of each decision."""
    found = bank.documents("risk.decisions.v1")
    return {one["transaction_id"]: (one["outcome"], one["risk_ppm"]) for one in found}


def labels_of(bank: Bank, transaction_id: str) -> dict[str, dict[str, Any]]:
    """What the models heard of a payment, by kind."""
    records = [record.value for record in bank.line.records("risk.learning.v1") if record.value.startswith(b"{")]
    labels = [orjson.loads(value) for value in records]
    payments = {label["payment"] for label in labels if label["transaction_id"] == transaction_id}
    return {label["kind"]: label for label in labels if label["payment"] in payments}


def test_what_cannot_be_read_is_a_dead_letter_and_the_rest_goes_on(bank: Bank, until: Callable[..., None]) -> None:
    bank.gateway()
    half = transfer_message(7).replace(b"</CdtTrfTxInf>", b"</CdtTrfTxInf><CdtTrfTxInf><PmtId/></CdtTrfTxInf>")
    bank.send(b"no xml", half.replace(b"<NbOfTxs>1", b"<NbOfTxs>2"), transfer_message(8))
    until(lambda: len(bank.documents("bank.transactions.v1")) == 2, "both payments", PATIENCE_S)
    letters = {record.value: dict(record.headers) for record in bank.line.records("bank.iso20022.v1.dlq")}
    assert len(letters) == 2
    assert letters[b"no xml"]["riskstream.reason"] == b"malformed"
    (told,) = [headers for value, headers in letters.items() if value != b"no xml"]
    message = told["__connect.errors.exception.message"].decode()
    assert message.startswith("missing: pacs.008.001.08, transaction 2, /Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]")
    assert told["riskstream.reason"] == b"missing"
    assert told["__connect.errors.topic"].decode() == bank.line.settings.topic("bank.iso20022.v1")


def test_topics_with_the_banks_own_numbers_are_kept_for_a_week(bank: Bank) -> None:
    names = ["bank.iso20022.v1", "bank.iso20022.v1.dlq", "risk.iso20022.v1"]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, bank.line.settings.topic(name)) for name in names]
    client = admin(bank.line.settings)
    asked = client.describe_configs(resources)
    hours = [int(asked[resource].result(20)["retention.ms"].value) // 3_600_000 for resource in resources]
    assert hours == [168, 168, 9600]
    assert client.list_topics().topics.keys() >= set(bank.partitions)


def test_killed_at_any_point_everything_is_sent_and_answered_once(
    bank: Bank, line: Any, until: Callable[..., None]
) -> None:
    total, account = 2_000, {}
    gateways = [bank.gateway(), bank.gateway()]

    def replace_the_working_one() -> None:
        oldest = gateways.pop(0)
        oldest.send_signal(signal.SIGKILL)
        oldest.wait(10)
        gateways.append(bank.gateway())

    for part in range(4):
        bank.send(*(transfer_message(number) for number in range(part, total, 4)))
        until(lambda: len(line.records("bank.transactions.v1")) > 0, "some payments", PATIENCE_S)
        replace_the_working_one()
    until(lambda: len(bank.documents("bank.transactions.v1")) >= total, "all payments", PATIENCE_S)
    for document in bank.documents("bank.transactions.v1"):
        assert document["transaction_id"] not in account
        account[document["transaction_id"]] = document["account_id"]
    assert len(account) == total

    for part in range(4):
        decisions = [
            orjson.dumps({"transaction_id": name, "account_id": owner, "outcome": "approve"})
            for name, owner in list(account.items())[part::4]
        ]
        line.send("risk.decisions.v1", decisions)
        # what came another way is not answered
        line.send("risk.decisions.v1", [orjson.dumps({"transaction_id": "x", "account_id": "a", "outcome": "approve"})])
        time.sleep(0.3 * part)  # another point each time
        replace_the_working_one()
    until(lambda: sum(bank.answers().values()) >= total, "all answers", PATIENCE_S)
    assert bank.answers() == Counter({(name, "ACTC"): 1 for name in account})
