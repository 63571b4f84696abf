"""What a pacs.008 costs: bytes to a checked record of the contract, beside pyiso20022, which stops at Python objects.

    .venv/bin/python benchmarks/iso20022.py [--rounds N]

One thread, one run: rounds of both by turns over the same messages, medians of CPU and of wall time, and their ratio. Each message is
another one (ids, accounts, amounts). pyiso20022's parser and its context are made once, as its users are told to; its objects are not
checked, turned into minor units or tokens.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable

from pyiso20022.pacs.pacs_008_001_08 import Document
from xsdata.formats.dataclass.context import XmlContext
from xsdata.formats.dataclass.parsers import XmlParser

from stream.iso20022.converter import Seen, convert
from stream.iso20022.terms import ReadingTerms

TERMS = ReadingTerms(b"a key of a benchmark")
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
HEADER = (
    f'<AppHdr xmlns="{NAMESPACE}head.001.001.02"><Fr><FIId><FinInstnId><BICFI>COBADEFFXXX</BICFI></FinInstnId></FIId></Fr><To><FIId>'
    "<FinInstnId><BICFI>ZABCGB9AXXX</BICFI></FinInstnId></FIId></To><BizMsgIdr>{0}</BizMsgIdr><MsgDefIdr>pacs.008.001.08</MsgDefIdr>"
    "<BizSvc>swift.cbprplus.03</BizSvc><CreDt>2026-03-01T10:00:00+00:00</CreDt></AppHdr>"
)
AGENT = "<{0}><FinInstnId><BICFI>{1}</BICFI><LEI>315700LMNOPQRSTU3465</LEI></FinInstnId></{0}>"
PARTY = (
    "<{0}><Nm>{1} Trading Company</Nm><PstlAdr><StrtNm>High Street</StrtNm><BldgNb>{2}</BldgNb><PstCd>10115</PstCd><TwnNm>Berlin</TwnNm>"
    "<Ctry>DE</Ctry></PstlAdr></{0}>"
)


def transfer(number: int) -> str:
    """A payment as a corporate customer's bank sends it."""
    return (
        f"<CdtTrfTxInf><PmtId><InstrId>I{number}</InstrId><EndToEndId>E{number}</EndToEndId><UETR>00000000-0000-4000-8000-{number:012d}"
        "</UETR></PmtId><PmtTpInf><SvcLvl><Cd>G001</Cd></SvcLvl><CtgyPurp><Cd>SUPP</Cd></CtgyPurp></PmtTpInf>"
        f'<IntrBkSttlmAmt Ccy="EUR">{number % 9_999}.50</IntrBkSttlmAmt><IntrBkSttlmDt>2026-03-01</IntrBkSttlmDt>'
        f'<InstdAmt Ccy="EUR">{number % 9_999}.50</InstdAmt><ChrgBr>SHAR</ChrgBr>'
        + AGENT.format("InstgAgt", "COBADEFFXXX") + AGENT.format("InstdAgt", "ZABCGB9AXXX") + PARTY.format("Dbtr", "One", number % 99)
        + f"<DbtrAcct><Id><Othr><Id>{number % 5_000:010d}</Id></Othr></Id></DbtrAcct>" + AGENT.format("DbtrAgt", "COBADEFFXXX")
        + AGENT.format("CdtrAgt", "ZABCGB9AXXX") + PARTY.format("Cdtr", "Two", number % 99)
        + f"<CdtrAcct><Id><Othr><Id>{number % 7_000:010d}</Id></Othr></Id></CdtrAcct><Purp><Cd>GDDS</Cd></Purp>"
        f"<RmtInf><Ustrd>Invoice {number}</Ustrd></RmtInf></CdtTrfTxInf>"
    )  # fmt: skip


def message(first: int, count: int) -> bytes:
    """A message of so many payments in an envelope with its header."""
    body = "".join(transfer(number) for number in range(first, first + count))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Envelope>{HEADER.format(f"M{first}")}<Document xmlns="{NAMESPACE}pacs.008.001.08">'
        f"<FIToFICstmrCdtTrf><GrpHdr><MsgId>M{first}</MsgId><CreDtTm>2026-03-01T10:00:00+00:00</CreDtTm><NbOfTxs>{count}</NbOfTxs>"
        f"<SttlmInf><SttlmMtd>INDA</SttlmMtd></SttlmInf></GrpHdr>{body}</FIToFICstmrCdtTrf></Document></Envelope>"
    ).encode()


def by_riskstream(messages: list[bytes]) -> int:
    """Records made."""
    return sum(len(convert(one, TERMS, Seen()).records) for one in messages)


def by_pyiso20022(parser: XmlParser, messages: list[bytes]) -> int:
    """Payments parsed; it takes no envelope, so the document is cut out for it."""
    found = 0
    for one in messages:
        document = parser.from_bytes(one[one.index(b"<Document") : -len(b"</Envelope>")], Document)
        found += len(document.fito_ficstmr_cdt_trf.cdt_trf_tx_inf)
    return found


def measured(work: Callable[[list[bytes]], int], messages: list[bytes], payments: int) -> tuple[float, float]:
    """CPU and wall time of one round, µs a payment."""
    wall, cpu = time.perf_counter(), time.thread_time()
    made = work(messages)
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    assert made == payments, f"{made} of {payments}"
    return cpu / payments * 1e6, wall / payments * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=9)
    rounds: int = arguments.parse_args().rounds
    parser = XmlParser(context=XmlContext())
    contenders = {"riskstream": by_riskstream, "pyiso20022": lambda messages: by_pyiso20022(parser, messages)}
    print(
        "| payments a message | bytes a payment | | CPU µs a payment | wall µs | payments a second and core | CPU, riskstream's = 1 |"
    )
    print("|---|---|---|---|---|---|---|")
    for count in (1, 100):
        messages = [message(number * count, count) for number in range(600 // count)]
        payments = len(messages) * count
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        gc.collect()
        gc.freeze()  # as the gateway does when it starts
        for number in range(rounds + 1):
            for name, work in contenders.items():
                found = measured(work, messages, payments)
                if number:  # the first round warms up
                    times[name].append(found)
        cpu = {name: statistics.median(pair[0] for pair in pairs) for name, pairs in times.items()}
        wall = {name: statistics.median(pair[1] for pair in pairs) for name, pairs in times.items()}
        size = sum(map(len, messages)) // payments
        for name in contenders:
            ratio = statistics.median(
                own[0] / ours[0] for own, ours in zip(times[name], times["riskstream"], strict=True)
            )
            print(
                f"| {count} | {size:,} | {name} | {cpu[name]:.0f} | {wall[name]:.0f} | {1e6 / cpu[name]:,.0f} | {ratio:.1f} |"
            )


if __name__ == "__main__":
    main()
