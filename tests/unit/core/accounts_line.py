"""The accounts hop, fed one record at a time: for tests that tell a customer's story."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.features import FEATURES, INDEX
from stream.core.frame.frame import decode_frame

DAY_US = 86_400_000_000
DAY_MS = DAY_US // 1000
FIRST_MS = 1_767_225_600_000


class Line:
    """The accounts hop, fed one record at a time; a day passes with each payment unless said otherwise."""

    def __init__(self) -> None:
        self.hop = AccountHop(0, HopSettings(1, 7 * DAY_US, DAY_US))
        self.now_ms = FIRST_MS
        self.count = 0
        self.sums_unknown = 0
        self.reference_minor = 0.0

    def pay(self, account: str, *, customer: str = "c-1", after_days: float = 1.0, **fields: Any) -> dict[str, float]:
        """Features of one payment."""
        self.now_ms += round(after_days * DAY_MS)
        self.count += 1
        record = {
            "transaction_id": f"t-{self.count}",
            "account_id": account,
            "customer_id": customer,
            "event_time": f"{np.datetime64(self.now_ms, 'ms')}Z",
            "amount_minor": 10_000,
            "currency": "EUR",
            "channel": "app",
            "payee_id": "landlord",
            "device_id": "phone",
            **fields,
        }
        at = np.array([self.now_ms])
        decoded = decode_transactions([orjson.dumps(record)], np.array([self.count]), at, 0, 1, future_ms=300_000)
        assert not decoded.refused
        profiled = self.hop.process(decoded.columns, decode_feedback([], at[:0], at[:0], 0, 1).columns)
        self.profiled = profiled
        transaction = decode_frame(profiled.frames[0][1]).transactions[0]
        features, self.sums_unknown = transaction["features"], int(transaction["unknown"])
        self.reference_minor = float(transaction["reference_minor"])
        return {
            feature.name: float(features[INDEX[feature.name]])
            for feature in FEATURES
            if INDEX[feature.name] < len(features)
        }

    def tell(self, account: str, verdict: str, kind: str = "review", transaction: int | None = None) -> None:
        """Feedback on the last payment, or on one of them."""
        record = {
            "feedback_id": f"f-{self.count}-{verdict}",
            "transaction_id": f"t-{transaction or self.count}",
            "account_id": account,
            "customer_id": "c-1",
            "payee_id": "landlord",
            "kind": kind,
            "verdict": verdict,
            "actor": "reviewer:x",
            "occurred_at": f"{np.datetime64(self.now_ms, 'ms')}Z",
        }
        at = np.array([self.now_ms])
        none = decode_transactions([], at[:0], at[:0], 0, 1, future_ms=300_000).columns
        self.hop.process(none, decode_feedback([orjson.dumps(record)], np.array([1]), at, 0, 1).columns)
