"""A share of a replay: some customers' accounts, some payees, and the deciding about what those payees receive.

Rows depend on their inputs alone, never on a model. So customers can be shared out by their hash and payees by theirs, and
both hops of a run of rows may be walked before the model that decides about it exists. What one share hands to another
is what would stand on ``risk.profiled.v1``; the rows of the source put it in order again.
"""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.ensemble import Snapshot
from rules.policy import Policy
from stream.core import columns
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.account.account_reversal import RESULTS
from stream.core.decision.decide import Decider
from stream.core.decision.render import render
from stream.core.edge.decode import Refusal
from stream.core.features import INDEX
from stream.core.frame.frame import FORWARDED, PROFILED, Frame, decode_frame
from stream.core.payee.payee_hop import PayeeHop, Received, together
from stream.replay.measure.scorecard import CARD, card
from stream.replay.source.file_rows import Rows
from stream.replay.source.labels import Labels
from stream.replay.source.sources import Source
from stream.replay.walk.due_labels import DueLabels
from stream.replay.walk.engine import BUCKET_US, FORGOTTEN_AT_ONCE, ReplaySettings, forget_pairs

IDENTITY = np.dtype(
    [
        ("row", "i8"), ("event_time", "i8"), ("amount_minor", "i8"), ("transaction_hash", "u8"), ("account_hash", "u8"),
        ("payee_hash", "u8"), ("device_hash", "u8"), ("transaction_id", "S64"), ("account_id", "S64"), ("payee_id", "S64"), ("late", "u1"),
        ("slips", "u1"), ("age_band", "u1"), ("segment", "u1"), ("card", "f4", (len(CARD),)),
    ]
)  # fmt: skip
"""What is said of a decided transaction beside its verdict; ``row`` is its place in the source. Of a reversal
``device_hash`` is the payment that it takes back (``account_reversal.py``)."""
SEEN = np.dtype(
    [
        ("offset", "i8"), ("event_time", "i8"), ("transaction_hash", "u8"), ("account_hash", "u8"),
        ("customer_hash", "u8"),
    ]
)  # fmt: skip
"""What of an accepted row whoever puts things in order must see."""
TURN = np.dtype([("bucket", "i8"), ("row", "i8"), ("ended", "i8"), ("reached", "i8")])
"""A bucket, its first row, the bucket at whose start a round ended before it (else one of the two below), and the highest event
time before it, µs."""
PAID = np.dtype([("row", "i8"), ("reached", "i8")])
"""A row of the source, and the highest event time of those decided up to it, µs."""
NO_ROUND, NO_TURN = -1, -2
"""No round ended; the run goes on in a bucket that had begun before it."""
_NEVER_LATE = 2**61
_NO_ROWS = np.zeros(0, columns.TRANSACTION)
_IDENTITY_NAMES = ("event_time", "amount_minor", "transaction_hash", "account_hash", "payee_hash", "device_hash", "transaction_id", "account_id", "payee_id", "late", "slips")  # fmt: skip


class OrderedFeedback(NamedTuple):
    """Feedback and where it counts: ``feedback`` before ``row``, ``after_round`` or before the round that ends there.

    Arrays of equal length; ``order`` is what feedback at one place is sorted by, its ``offset`` next.
    """

    feedback: npt.NDArray[np.void]
    row: npt.NDArray[np.int64]
    after_round: npt.NDArray[np.bool_]
    order: npt.NDArray[np.int64]

    @classmethod
    def joined(cls, parts: list[OrderedFeedback], offset: str) -> OrderedFeedback:
        """Several as one, sorted; ``offset`` names the field of the feedback that breaks ties."""
        feedback = np.concatenate([part.feedback for part in parts])
        row, order = np.concatenate([part.row for part in parts]), np.concatenate([part.order for part in parts])
        after = np.concatenate([part.after_round for part in parts])
        sorting = np.lexsort((feedback[offset], order, after, row))
        return cls(feedback[sorting], row[sorting], after[sorting], order[sorting])


class Read(NamedTuple):
    """What the edge made of some rows of a source."""

    parts: list[bytes]
    """For each share the rows of its customers, ``columns.TRANSACTION``."""
    rows: npt.NDArray[np.void]
    """:data:`SEEN` of the accepted rows."""
    refused: list[Refusal]
    labels: Labels | None


class Walked(NamedTuple):
    """What came of the accounts of one share."""

    sent: list[bytes]
    row: npt.NDArray[np.int64]
    status: npt.NDArray[np.uint8]
    told: OrderedFeedback
    reversals: tuple[int, ...]


class ShareDecisions(NamedTuple):
    """What one share decided."""

    identity: npt.NDArray[np.void]
    verdicts: npt.NDArray[np.void]
    anomaly_ppm: npt.NDArray[np.int32]
    inputs: npt.NDArray[np.float32]
    rendered: list[bytes]


def share_out(rows: npt.NDArray[np.void], shares: int) -> list[bytes]:
    """Rows (``columns.TRANSACTION``) by the share of their customer, to whom accounts belong."""
    share = rows["customer_hash"] % np.uint64(shares)
    return [rows[share == place].tobytes() for place in range(shares)]


class Shard:
    """One share; its methods are called in the order in which a run goes through them.

    Parameters
    ----------
    shares
        How many there are.
    settings, policy
        What results depend on.
    source
        How raw rows are read; None where shares do not read.
    renders
        Whether decisions are wanted as JSON.
    """

    def __init__(
        self, shares: int, settings: ReplaySettings, policy: Policy, source: Source | None, renders: bool
    ) -> None:
        self._shares, self._settings = shares, settings
        self._policy, self._source, self._renders = policy, source, renders
        maturity_us = settings.matures_us + BUCKET_US
        # how late a row is, only whoever sees all rows can tell
        self._accounts = AccountHop(0, HopSettings(shares, maturity_us, _NEVER_LATE, settings.idle))
        self._payees = PayeeHop(0, maturity_us, settings.idle_payees_us)
        self._due = DueLabels(settings.label_delay_us, BUCKET_US)
        self._decider: Decider | None = None
        self._waiting: list[Received] = []
        self._reversals = np.zeros(len(RESULTS), np.int64)

    def read(self, raw: Rows, first_row: int) -> Read:
        """Rows of the source through the edge."""
        assert self._source is not None, "this source is read by one"
        chunk = self._source.chunk(raw, first_row)
        rows = chunk.decoded.columns
        seen = np.zeros(len(rows), SEEN)
        for name in SEEN.names or ():
            seen[name] = rows[name]
        return Read(share_out(rows, self._shares), seen, chunk.decoded.refused, chunk.labels)

    def accounts(
        self, parts: list[bytes], reached: npt.NDArray[np.int64], fraud: npt.NDArray[np.int64],
        turns: npt.NDArray[np.void], heard: ArrivedFeedback | None,
    ) -> Walked:  # fmt: skip
        """Walk the share's accounts through a run of rows, and through feedback that falls due meanwhile.

        Parameters
        ----------
        parts
            The share's rows in order, ``columns.TRANSACTION``.
        reached
            The highest event time up to each of them, among all rows of the source, µs.
        fraud
            Rows of the source whose label is due later, ascending.
        turns : TURN[k]
            The buckets of the run.
        heard
            Feedback about the share's accounts as it arrived; None where labels are due.
        """
        rows = np.frombuffer(b"".join(parts), columns.TRANSACTION) if any(parts) else _NO_ROWS
        bucket = turns["bucket"][np.searchsorted(turns["row"], rows["offset"], side="right") - 1]
        is_fraud = np.isin(rows["offset"], fraud)
        if heard is not None:
            self._due.arrive(heard.feedback, heard.bucket, heard.order)
        status = np.zeros(len(rows), np.uint8)
        payments: list[list[npt.NDArray[np.void]]] = [[] for _ in range(self._shares)]
        outcomes: list[list[OrderedFeedback]] = [[] for _ in range(self._shares)]
        told = [_nothing(columns.FEEDBACK)]
        self._reversals[:] = 0
        start = 0
        for turn in self._turns(rows, bucket, is_fraud, turns):
            stop = start + int(np.searchsorted(rows["offset"][start:], turn["row"]))
            status[start:stop] = self._pay(
                rows[start:stop], reached[start:stop], bucket[start:stop], is_fraud[start:stop], payments
            )
            start = stop
            self._accounts.horizons.reach(int(turn["reached"]), self._settings.idle.numbers())
            ended = int(turn["ended"])
            if ended >= 0:
                self._tell(ended, int(turn["row"]), False, outcomes, told)
            self._tell(int(turn["bucket"]), int(turn["row"]), ended >= 0, outcomes, told)
        status[start:] = self._pay(rows[start:], reached[start:], bucket[start:], is_fraud[start:], payments)
        self._accounts.forget(FORGOTTEN_AT_ONCE)
        self._accounts.written()
        sent = [
            pickle.dumps(
                (_joined(paid, PROFILED), OrderedFeedback.joined([_nothing(FORWARDED), *heard_of], "source_offset")), 5
            )
            for paid, heard_of in zip(payments, outcomes, strict=True)
        ]
        return Walked(
            sent, rows["offset"].copy(), status, OrderedFeedback.joined(told, "offset"), tuple(self._reversals.tolist())
        )

    def payees(self, sent: list[bytes], late: npt.NDArray[np.int64], paid: npt.NDArray[np.void]) -> None:
        """Walk the share's payees through what all shares sent of a run.

        Parameters
        ----------
        late
            Rows of the source that came late.
        paid : PAID[n]
            All rows of the run.
        """
        parts = [pickle.loads(one) for one in sent]  # noqa: S301 - what sisters made
        payments = np.concatenate([payments for payments, _ in parts])
        payments = payments[np.argsort(payments["source_offset"], kind="stable")]
        payments["late"] = np.isin(payments["source_offset"], late)
        told = OrderedFeedback.joined([heard for _, heard in parts], "source_offset")
        reached = paid["reached"][np.searchsorted(paid["row"], payments["source_offset"])]
        rows = np.unique(told.row)
        cuts = np.searchsorted(payments["source_offset"], rows)
        parts_received, start = [], 0
        for row, stop in zip(rows.tolist(), cuts.tolist(), strict=True):
            parts_received.append(self._receive(payments[start:stop], reached[start:stop], told.feedback[:0]))
            before = int(np.searchsorted(paid["row"], row))
            if before:
                self._payees.horizons.reach(int(paid["reached"][before - 1]), [self._settings.idle_payees_us])
            self._receive(payments[:0], reached[:0], told.feedback[told.row == row])
            start = stop
        parts_received.append(self._receive(payments[start:], reached[start:], told.feedback[:0]))
        received = together(parts_received)
        if len(paid):
            self._payees.horizons.reach(int(paid["reached"][-1]), [self._settings.idle_payees_us])
        self._payees.forget(FORGOTTEN_AT_ONCE)
        self._payees.written()
        if not self._settings.familiarity:
            forget_pairs(received.features)
        self._waiting.append(received)

    def _receive(
        self, payments: npt.NDArray[np.void], reached: npt.NDArray[np.int64], feedback: npt.NDArray[np.void]
    ) -> Received:
        return self._payees.process([(0, Frame(payments, feedback))], reached)

    def model(self, snapshot: Snapshot) -> None:
        """The model that decides from now on."""
        self._decider = Decider(snapshot, self._policy)

    def decide(self, stop: int) -> ShareDecisions | None:
        """Decide about what waits of rows before ``stop``; None where nothing does."""
        assert self._decider is not None, "a model comes first"
        if not self._waiting:
            return None
        first = self._waiting[0]
        count = int(np.searchsorted(first.transactions["source_offset"], stop))
        if count == len(first.transactions):
            self._waiting.pop(0)
        else:
            self._waiting[0] = _slice(first, count, len(first.transactions))
        if count == 0:
            return None
        decided = self._decider.decide(_slice(first, 0, count))
        transactions, features = decided.received.transactions, decided.received.features
        identity = np.zeros(count, IDENTITY)
        identity["row"] = transactions["source_offset"]
        for name in _IDENTITY_NAMES:
            identity[name] = transactions[name]
        for name in ("age_band", "segment"):
            identity[name] = features[:, INDEX[name]]
        identity["card"] = card(features)
        rendered = list(render(decided, self._decider).decisions) if self._renders else []
        return ShareDecisions(
            identity, decided.verdicts, decided.anomaly_ppm, decided.inputs.astype(np.float32), rendered
        )

    def stored(self) -> bytes:
        """What the share has come to, for a checkpoint."""
        assert not self._waiting, "a checkpoint is taken between runs"
        return pickle.dumps((self._accounts, self._payees, self._due), 5)

    def restore(self, state: bytes) -> None:
        """Go on from what :meth:`stored` gave."""
        self._accounts, self._payees, self._due = pickle.loads(state)  # noqa: S301 - of a checked checkpoint

    def _turns(
        self,
        rows: npt.NDArray[np.void],
        bucket: npt.NDArray[np.int64],
        is_fraud: npt.NDArray[np.bool_],
        turns: npt.NDArray[np.void],
    ) -> npt.NDArray[np.void]:
        """The turns of a run before which feedback of the share may count."""
        real = turns[turns["ended"] != NO_TURN]
        later = self._due.buckets(rows["event_time"], bucket, is_fraud)
        places = np.searchsorted(real["bucket"], np.concatenate((self._due.waiting_buckets(), later)))
        turned: npt.NDArray[np.void] = real[np.unique(places[places < len(real)])]
        return turned

    def _pay(
        self,
        rows: npt.NDArray[np.void],
        reached: npt.NDArray[np.int64],
        bucket: npt.NDArray[np.int64],
        is_fraud: npt.NDArray[np.bool_],
        payments: list[list[npt.NDArray[np.void]]],
    ) -> npt.NDArray[np.uint8]:
        profiled = self._accounts.process(
            rows, np.zeros(0, columns.FEEDBACK), self._policy.common.currencies, reached=reached
        )
        for to, frame in profiled.frames:
            payments[to].append(decode_frame(frame).transactions)
        self._reversals += profiled.reversals
        frauds = is_fraud & (profiled.status == 0) & (rows["original_hash"] == 0)
        self._due.add(rows[frauds], bucket[frauds])
        return profiled.status

    def _tell(
        self,
        bucket: int,
        row: int,
        after_round: bool,
        outcomes: list[list[OrderedFeedback]],
        told: list[OrderedFeedback],
    ) -> None:
        feedback, order = self._due.take_ordered(bucket)
        if not len(feedback):
            return
        told.append(_at(feedback, row, after_round, order))
        place = {name: number for number, name in enumerate(feedback["feedback_id"].tolist())}
        for to, frame in self._accounts.process(
            np.zeros(0, columns.TRANSACTION), feedback, self._policy.common.currencies
        ).frames:
            forwarded = decode_frame(frame).feedback
            places = [place[name] for name in forwarded["feedback_id"].tolist()]
            outcomes[to].append(_at(forwarded, row, after_round, order[places]))


class ArrivedFeedback(NamedTuple):
    """Feedback as it arrived: ``columns.FEEDBACK`` [m], the bucket reached then, and its number in order of arrival."""

    feedback: npt.NDArray[np.void]
    bucket: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]


def _at(feedback: npt.NDArray[np.void], row: int, after_round: bool, order: npt.NDArray[np.int64]) -> OrderedFeedback:
    count = len(feedback)
    return OrderedFeedback(feedback, np.full(count, row, np.int64), np.full(count, after_round), order)


def _nothing(dtype: np.dtype[np.void]) -> OrderedFeedback:
    return _at(np.zeros(0, dtype), 0, False, np.zeros(0, np.int64))


def _joined(parts: list[npt.NDArray[np.void]], dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
    joined: npt.NDArray[np.void] = np.concatenate(parts) if parts else np.zeros(0, dtype)
    return joined


def _slice(received: Received, start: int, stop: int) -> Received:
    some = slice(start, stop)
    return Received(
        received.transactions[some], received.features[some],
        received.partition[some], received.frame[some], received.place[some],
        received.feedback[:0], received.feedback_frame[:0], received.feedback_place[:0],
    )  # fmt: skip
