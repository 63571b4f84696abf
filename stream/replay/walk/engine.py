"""The core over a file, in one process: what the workers would have decided, had this history been their stream.

Time is the data's own. It goes in buckets (:data:`BUCKET_US`): at the start of a bucket come the labels that are due
by then, and perhaps a new model; then the bucket's transactions, in the file's order. So a decision depends on
transactions before it in the file and on labels that were due before its bucket, and on nothing else: not on how the
file was cut into chunks, not on a clock.

Of a file, a label is due at event time plus the label delay. Fraud becomes feedback then (a chargeback) to the account hop, the
payee hop and the learner; a genuine label becomes nothing: what has no adverse outcome matures, at the same age unless
``maturity_us`` says otherwise. Of a topic, feedback is whatever arrived, and counts from the bucket after its arrival.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.ensemble import EnsembleConfig, Learner
from rules.compiled_policy import CompiledPolicy
from rules.policy import Policy
from stream.core import columns
from stream.core.account import account_row
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.account.account_reversal import RESULTS
from stream.core.decision.decide import Decided, Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.features import FEATURES, INDEX
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop, Received
from stream.core.table.forgetting import BY_DEFAULT, IdleLimits
from stream.replay.measure.scorecard import card
from stream.replay.measure.scores import score_rows
from stream.replay.source.labels import FRAUD, UNLABELLED, Labels
from stream.replay.source.sources import Chunk
from stream.replay.walk.due_labels import DueLabels
from stream.replay.walk.replay_learning import learn_labels, observe

BUCKET_US = 600_000_000
"""Ten minutes: how late, at most, a due label is applied; as long as a live worker may take to hear of it."""
DAY_US = 86_400_000_000
FORGOTTEN_AT_ONCE = 1_000
"""Most rows of a table that are taken out of memory at once."""
_BEFORE = np.iinfo(np.int64).min // 2
"""Before all times."""
_PAIR_COLUMNS = np.array([place for place, feature in enumerate(FEATURES) if feature.pair_dependent])
_NO_HISTORY = np.array([np.nan if feature.nullable else 0.0 for feature in FEATURES if feature.pair_dependent])


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What a replay's results depend on, beside the file and the policy.

    Parameters
    ----------
    label_delay_us
        Age of a payment at which its label becomes known, µs.
    round_us
        Event time between two rounds of the learner, µs; a multiple of :data:`BUCKET_US`. A new model decides from
        the next bucket on. 0: nothing is learned, the first model decides throughout.
    lateness_us
        Further behind the highest event time: flagged late, µs.
    seed
        Of everything random in the models.
    familiarity
        False: every payment is decided as if the account had no history with its payee. The models are fitted on
        that, rules that ask for the pair see a new payee, and there is no discount.
    maturity_us
        Age at which a payment without an adverse outcome becomes normal, µs; None for the label delay. A live line has
        a setting for it (``maturity_days``, 30 days).
    idle, idle_payees_us
        After how long rows are forgotten, as the settings of a live line say by default.
    """

    label_delay_us: int = 7 * DAY_US
    round_us: int = DAY_US // 4
    lateness_us: int = 3_600_000_000
    seed: int = 42
    familiarity: bool = True
    maturity_us: int | None = None
    idle: IdleLimits = BY_DEFAULT
    idle_payees_us: int = 180 * DAY_US

    @property
    def matures_us(self) -> int:
        """Age at which a payment matures, µs."""
        return self.label_delay_us if self.maturity_us is None else self.maturity_us


@dataclass(frozen=True, slots=True)
class WalkedRun:
    """A run of transactions decided by one model, with their truth beside them.

    Parameters
    ----------
    decided
        Verdicts, in the file's order.
    decider
        Who decided.
    labels_until
        int64[n], µs: labels of payments up to this event time were known to rows and model; None in a replay without
        labels, and where feedback came as it arrived.
    labels
        Truth of each transaction, for whoever measures; None in a replay without labels. The engine saw none of it.
    """

    decided: Decided
    decider: Decider
    labels_until: npt.NDArray[np.int64] | None
    labels: Labels | None

    def __len__(self) -> int:
        return len(self.decided.verdicts)

    @property
    def transactions(self) -> npt.NDArray[np.void]:
        """``stream.core.frame.frame.PROFILED`` [n]."""
        return self.decided.received.transactions

    @property
    def verdicts(self) -> npt.NDArray[np.void]:
        """``rules.compiled_policy.VERDICT`` [n]."""
        return self.decided.verdicts

    @property
    def model_version(self) -> str:
        """The model that scored."""
        return self.decider.model_version

    @property
    def compiled(self) -> CompiledPolicy:
        """The policy that decided."""
        return self.decider.compiled

    def score_rows(self) -> Any:
        """Its rows of ``--scores``."""
        decided = self.decided
        return score_rows(
            self.transactions, decided.verdicts, decided.anomaly_ppm, self.model_version, self.labels_until
        )

    def rendered(self) -> list[bytes]:
        """The JSON of each decision, as a worker would publish it."""
        return list(render(self.decided, self.decider).decisions)

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """A coded feature of each transaction, int64[n], for figures by group: ``age_band`` or ``segment``."""
        return self.decided.received.features[:, INDEX[name]].astype(np.int64)

    def card(self) -> npt.NDArray[np.float32]:
        """See ``stream.replay.measure.judged.Judged``."""
        return card(self.decided.received.features)


class FileReplay:
    """The whole line over chunks of a file.

    Parameters
    ----------
    settings
        See there.
    policy
        The policy in force throughout.
    """

    def __init__(self, settings: ReplaySettings, policy: Policy) -> None:
        self.settings = settings
        self.policy = policy
        self.status = np.zeros(3, np.int64)
        """Transactions decided, duplicate and in conflict so far (``stream.core.account.account_walk``)."""
        self.reversals = np.zeros(len(RESULTS), np.int64)
        """Reversals so far by what became of them (``stream.core.account.account_reversal.RESULTS``)."""
        self.late = 0
        # a label can be a bucket late, and must still come before its payment matures
        hop = HopSettings(1, settings.matures_us + BUCKET_US, settings.lateness_us, settings.idle)
        self._rates = policy.common.currencies
        self._accounts = AccountHop(0, hop)
        self._payees = PayeeHop(0, hop.maturity_us, settings.idle_payees_us)
        first = first_snapshot(settings.seed)
        self._learner = Learner(first, EnsembleConfig(maturity_us=settings.matures_us))
        self._model = first
        self._decider = Decider(first, policy)
        self._due = DueLabels(settings.label_delay_us, BUCKET_US)
        self._bucket = _BEFORE
        self._highest = _BEFORE
        self._round: int | None = None
        self._frames = 0

    @property
    def model_version(self) -> str:
        """The model in force."""
        return self._decider.model_version

    def __getstate__(self) -> dict[str, Any]:
        """All but the decider, which the model and the policy make again."""
        return {**self.__dict__, "_decider": None, "policy": None}

    def resume(self, policy: Policy) -> None:
        """Go on after having been stored; the policy is the same as then."""
        self.policy = policy
        self._decider = Decider(self._model, policy)

    def feed(self, chunk: Chunk) -> Iterator[WalkedRun]:
        """Decide about a chunk's accepted transactions, in order; duplicates and conflicts yield nothing."""
        rows, labels = chunk.decoded.columns, chunk.labels
        reached = self._reached()
        if len(rows):
            highest = np.maximum.accumulate(np.maximum(rows["event_time"], self._highest))
            self._highest = int(highest[-1])
            bucket = highest // BUCKET_US
        else:
            bucket = np.zeros(0, np.int64)
        if chunk.feedback is None:
            fraud = np.zeros(len(rows), np.bool_) if labels is None else labels.fraud == FRAUD
            cuts = self._due.buckets(rows["event_time"], bucket, fraud)
        else:
            arrived = np.concatenate(([reached], bucket))[chunk.feedback.after]
            self._due.arrive(chunk.feedback.rows, arrived)
            cuts = np.unique(arrived + 1)
        start = 0
        while start < len(rows):
            self._turn(int(bucket[start]))
            stop = start + int(np.searchsorted(bucket[start:], self._next_turn(cuts, int(bucket[start]))))
            step = self._decide(
                rows[start:stop],
                bucket[start:stop],
                None if labels is None else _slice(labels, start, stop),
                chunk.feedback is None,
            )
            if step is not None:
                yield step
            start = stop

    def _reached(self) -> int:
        """The bucket that event time has reached."""
        return self._highest // BUCKET_US

    def _next_turn(self, cuts: npt.NDArray[np.int64], bucket: int) -> int:
        """The next bucket before which something happens: a label is due, or a round ends."""
        place = int(np.searchsorted(cuts, bucket, side="right"))
        label = int(cuts[place]) if place < len(cuts) else np.iinfo(np.int64).max
        ends = np.iinfo(np.int64).max if self._round is None else -(-self._round // BUCKET_US)
        return min(label, self._due.next_bucket, ends)

    def _turn(self, bucket: int) -> None:
        """What comes before the transactions of a bucket: labels that are due, and a round if one has ended."""
        if bucket <= self._bucket:
            return
        self._bucket = bucket
        now, interval = bucket * BUCKET_US, self.settings.round_us
        if interval and self._round is None:
            self._round = (now // interval + 1) * interval
        if self._round is not None and now >= self._round:
            ended = now // interval * interval
            self._learn_labels(ended // BUCKET_US)
            self._learner.advance(ended)
            self._model = self._learner.close_round(with_state=False)
            self._decider = Decider(self._model, self.policy)
            self._round = ended + interval
        self._learn_labels(bucket)

    def _learn_labels(self, bucket: int) -> None:
        feedback = self._due.take(bucket)
        if not len(feedback):
            return
        profiled = self._accounts.process(np.zeros(0, columns.TRANSACTION), feedback, self._rates)
        self._receive(profiled.frames)
        learn_labels(self._learner, feedback)

    def _decide(
        self, rows: npt.NDArray[np.void], bucket: npt.NDArray[np.int64], labels: Labels | None, scheduled: bool
    ) -> WalkedRun | None:
        profiled = self._accounts.process(rows, np.zeros(0, columns.FEEDBACK), self._rates)
        self._sweep()
        self.status += np.bincount(profiled.status, minlength=3)
        self.reversals += profiled.reversals
        kept = np.flatnonzero(profiled.status == account_row.DECIDED)
        if not len(kept):
            return None
        if labels is not None:
            labels = labels[kept].without(rows["original_hash"][kept] != 0)
        if labels is not None and scheduled:
            frauds = kept[labels.fraud == FRAUD]
            self._due.add(rows[frauds], bucket[frauds])
        received = self._receive(profiled.frames)
        self.late += int(np.count_nonzero(received.transactions["late"]))
        if not self.settings.familiarity:
            forget_pairs(received.features)
        decided = self._decider.decide(received)
        self._observe(decided)
        until = bucket[kept] * BUCKET_US - self.settings.label_delay_us if labels is not None and scheduled else None
        return WalkedRun(decided, self._decider, until, labels)

    def _sweep(self) -> None:
        """Take out some of what is forgotten, as a worker does at its checkpoints."""
        for hop in (self._accounts, self._payees):
            hop.forget(FORGOTTEN_AT_ONCE)
            hop.written()

    def _receive(self, frames: tuple[tuple[int, bytes], ...]) -> Received:
        offsets = range(self._frames, self._frames + len(frames))
        self._frames += len(frames)
        return self._payees.process(
            [(offset, decode_frame(frame)) for offset, (_, frame) in zip(offsets, frames, strict=True)]
        )

    def _observe(self, decided: Decided) -> None:
        """Hand the learner what ``risk.learning.v1`` would hold: inputs in single precision."""
        if not self.settings.round_us:
            return
        observe(self._learner, decided.received.transactions, decided.verdicts, decided.inputs.astype(np.float32))


def forget_pairs(features: npt.NDArray[np.float64]) -> None:
    """Make every payment one to a payee without history; float64[n, WIDTH], in place."""
    features[:, _PAIR_COLUMNS] = _NO_HISTORY


def _slice(labels: Labels, start: int, stop: int) -> Labels:
    return Labels(labels.fraud[start:stop], labels.attack[start:stop])


__all__ = ["BUCKET_US", "DAY_US", "UNLABELLED", "FileReplay", "ReplaySettings", "WalkedRun"]
