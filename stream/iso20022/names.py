"""Names of the elements that are read. What has another name is passed over with all that is below it, unread."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

HEADER: Final = "Fr FIId MsgDefIdr BizSvc"
BANK: Final = "FinInstnId BICFI BIC ClrSysMmbId ClrSysId MmbId LEI Cd Prtry"
GROUP: Final = "GrpHdr MsgId CreDtTm NbOfTxs CtrlSum SttlmInf ClrSys InstgAgt InstdAgt GrpRtr"
PAYMENT: Final = (
    "PmtInf PmtInfId CdtTrfTxInf PmtId InstrId EndToEndId TxId UETR PmtTpInf SvcLvl LclInstrm CtgyPurp AccptncDtTm Amt "
    "InstdAmt EqvtAmt IntrBkSttlmAmt IntrBkSttlmDt DbtrAcct DbtrAgt Dbtr UltmtDbtr CdtrAgt Cdtr CdtrAcct Purp"
)
PARTY: Final = "Id IBAN Othr Prxy Tp SchmeNm Issr Nm PstlAdr Ctry CtryOfRes OrgId AnyBIC BICOrBEI PrvtId DtAndPlcOfBirth BirthDt Pty"
FOLLOW_UP: Final = (
    "TxInf RtrId OrgnlUETR OrgnlTxId OrgnlInstrId OrgnlEndToEndId OrgnlGrpInf OrgnlMsgId OrgnlGrpInfAndCxl OrgnlGrpInfAndSts "
    "GrpCxl OrgnlIntrBkSttlmAmt RtrdInstdAmt RtrdIntrBkSttlmAmt OrgnlTxRef Assgnmt Assgnr Assgne Agt CtrlData Undrlyg CxlId CxlRsnInf Rsn CxlDtls "
    "TxInfAndSts TxCxlSts CxlStsId Sts Conf"
)
NAMES: Final = frozenset(" ".join((HEADER, BANK, GROUP, PAYMENT, PARTY, FOLLOW_UP)).split())
AMOUNTS: Final = frozenset(
    ("InstdAmt", "IntrBkSttlmAmt", "Amt", "OrgnlIntrBkSttlmAmt", "RtrdInstdAmt", "RtrdIntrBkSttlmAmt")
)
"""Of these, those that have a currency."""
TRANSACTIONS: Final = frozenset(("CdtTrfTxInf", "TxInf", "TxInfAndSts"))
"""Of these, those whose line in the document is kept."""
WITH_MORE: Final = AMOUNTS | TRANSACTIONS
"""Of these, those of which more than the text is kept."""


@lru_cache(maxsize=64)
def tags(namespace: str) -> dict[str, str]:
    """The names that are read by their tag in a namespace, as lxml writes it."""
    prefix = f"{{{namespace}}}" if namespace else ""
    return {prefix + name: name for name in NAMES}
