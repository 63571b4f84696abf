from __future__ import annotations

import numpy as np

from stream.arrays.packed import Packed
from stream.core.columns import FEEDBACK_KINDS, VERDICTS
from stream.core.decision.genesis import first_snapshot
from stream.core.edge.payment_key import payments_of
from stream.core.frame.frame import FORWARDED
from stream.core.learning.learning_records import SCORED, VERSION, label_record, read_learning
from stream.core.learning.stream_learner import StreamLearner

DAY = 86_400_000_000


def test_a_label_is_of_its_account_where_another_one_used_the_same_transaction_id() -> None:
    who = np.zeros(2, [("account_hash", "u8"), ("transaction_hash", "u8")])
    who["account_hash"], who["transaction_hash"] = (11, 22), 7
    scored = np.zeros(2, SCORED)
    scored["magic"], scored["version"], scored["payment"] = b"RSLF", VERSION, payments_of(who)
    later = scored[:1].copy()
    later["payment"], later["event_time"] = 1, 9 * DAY
    feedback = np.zeros(1, FORWARDED)[0]
    feedback["account_hash"], feedback["transaction_hash"] = 22, 7
    feedback["kind"], feedback["verdict"] = FEEDBACK_KINDS.index("chargeback"), VERDICTS.index("fraud")
    stream = StreamLearner.begin(first_snapshot(1), DAY)
    records = [scored[0].tobytes(), scored[1].tobytes(), label_record(feedback), later.tobytes()]
    stream.absorb(read_learning([Packed.of(records)]))
    stream.close_round(with_state=False)
    assert stream.learner.matured.hash.tolist() == payments_of(who).tolist()
    assert stream.learner.matured.label.tolist() == [-1, 1]
