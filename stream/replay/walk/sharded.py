"""A replay whose work is shared out: the same bytes as by one, since everything is put in the source's order again.

Reading, both hops, deciding and rendering are done by shares (``shard.py``), each with the customers and the payees of
its hashes. Here remains what has one place: the order of things, how late a row is, and the learner. Shares walk the
hops of the next rows while the learner is busy with these: rows never wait for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.ensemble import EnsembleConfig, Learner
from rules.compiled_policy import CompiledPolicy
from rules.policy import Policy
from stream.core.account import account_row
from stream.core.account.account_reversal import RESULTS
from stream.core.columns import hash_id
from stream.core.decision.genesis import first_snapshot
from stream.core.edge.decode import Decoded, Refusal
from stream.core.features import SCHEMA
from stream.core.frame.frame import reversals_of
from stream.replay.measure.scores import score_rows
from stream.replay.source.file_rows import Rows
from stream.replay.source.labels import FRAUD, Labels
from stream.replay.source.sources import Arrivals, Chunk, History, Source
from stream.replay.source.tables import CHUNK_ROWS
from stream.replay.walk.customers import CustomerOf
from stream.replay.walk.engine import BUCKET_US, ReplaySettings
from stream.replay.walk.file_walk import Intake, limited
from stream.replay.walk.replay_learning import learn_labels, observe
from stream.replay.walk.shard import (
    NO_ROUND,
    NO_TURN,
    PAID,
    TURN,
    ArrivedFeedback,
    OrderedFeedback,
    Read,
    ShareDecisions,
    Walked,
    share_out,
)
from stream.replay.walk.share_workers import ShareWorker, StartWorkers

_BEFORE = np.iinfo(np.int64).min // 2


@dataclass(frozen=True, slots=True)
class SharedStep:
    """A run of transactions decided by one model: ``stream.replay.walk.engine.WalkedRun`` without what stays with the shares."""

    transactions: npt.NDArray[np.void]
    verdicts: npt.NDArray[np.void]
    anomaly_ppm: npt.NDArray[np.int32]
    lines: list[bytes]
    model_version: str
    compiled: CompiledPolicy
    labels_until: npt.NDArray[np.int64] | None
    labels: Labels | None

    def __len__(self) -> int:
        return len(self.verdicts)

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """See ``Step.group``."""
        codes: npt.NDArray[np.int64] = self.transactions[name].astype(np.int64)
        return codes

    def card(self) -> npt.NDArray[np.float32]:
        """See ``stream.replay.measure.judged.Judged``."""
        cards: npt.NDArray[np.float32] = self.transactions["card"]
        return cards

    def score_rows(self) -> Any:
        """Its rows of ``--scores``."""
        return score_rows(self.transactions, self.verdicts, self.anomaly_ppm, self.model_version, self.labels_until)

    def rendered(self) -> list[bytes]:
        """The JSON of each decision."""
        return self.lines


@dataclass(slots=True)
class _Run:
    """Rows of the source on their way: what a chunk of it became."""

    chunk: Chunk
    parts: list[list[bytes]]
    rows: npt.NDArray[np.void]
    bucket: npt.NDArray[np.int64]
    turns: npt.NDArray[np.void]
    reached: npt.NDArray[np.int64]
    heard: list[ArrivedFeedback] | None
    told: OrderedFeedback | None = None
    questions: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Rows of the source that shares are reading, each from a cut to the next."""

    raw: Rows
    first_row: int
    cuts: list[int]
    questions: list[Any]


class SharedReplay:
    """The whole line, shared out.

    Parameters
    ----------
    settings, policy
        As of ``stream.replay.walk.engine.FileReplay``.
    shares
        How many.
    start_workers
        Who carries them out.
    renders
        Whether decisions are wanted as JSON.
    """

    def __init__(
        self, settings: ReplaySettings, policy: Policy, shares: int, start_workers: StartWorkers, *, renders: bool
    ) -> None:
        self.settings, self.policy, self.shares = settings, policy, shares
        self.status = np.zeros(3, np.int64)
        self.reversals = np.zeros(len(RESULTS), np.int64)
        self.late = 0
        self._start_workers, self._renders = start_workers, renders
        self._workers: list[ShareWorker] = []
        self._stored: list[bytes] = []
        self._model = first_snapshot(settings.seed)
        self._learner = Learner(self._model, EnsembleConfig(maturity_us=settings.matures_us))
        self._compiled = policy.compile(SCHEMA, hash_id)
        self._customers = CustomerOf()
        self._highest = self._decided_until = _BEFORE
        self._bucket = _BEFORE
        self._round: int | None = None
        self._arrived = 0
        self._learned_until, self._closed = _BEFORE, False
        self.settled = False
        """Whether shares have gone no further than the steps that were given out."""

    @property
    def model_version(self) -> str:
        """The model in force."""
        return self._model.version

    def __getstate__(self) -> dict[str, Any]:
        """For a checkpoint, when :attr:`settled`; shares included."""
        stored = self._all("stored")
        return {
            **self.__dict__,
            "_workers": [],
            "_start_workers": None,
            "_compiled": None,
            "policy": None,
            "_stored": stored,
        }

    def resume(self, policy: Policy, start_workers: StartWorkers) -> None:
        """Go on after having been stored; the policy is the same as then."""
        self.policy, self._start_workers = policy, start_workers
        self._compiled = policy.compile(SCHEMA, hash_id)

    def walk(
        self,
        source: History,
        intake: Intake,
        *,
        limit: int | None,
        chunk_rows: int | None,
        on_chunk: Callable[[Chunk], None],
        settle: Callable[[], bool] = lambda: False,
    ) -> Iterator[SharedStep]:
        """Walk a source; see ``stream.replay.walk.file_walk.replay``. ``settle`` is asked before each chunk whether to be
        :attr:`settled` behind it."""
        reader = source.reader() if isinstance(source, Source) else None
        self._workers = self._start_workers(
            [(self.shares, self.settings, self.policy, reader, self._renders)] * self.shares
        )
        try:
            for worker, state in zip(self._workers, self._stored, strict=False):
                worker.answer(worker.ask("restore", state))
            self._stored = []
            self._all("model", self._model)
            rows = CHUNK_ROWS if chunk_rows is None else chunk_rows
            left = None if limit is None else limit - intake.rows
            if isinstance(source, Source):
                runs = self._read(source, intake.position, left, rows)
            else:
                runs = self._take(source, intake.position, left, rows)
            yield from self._steps(runs, intake, on_chunk, settle)
        finally:
            for worker in self._workers:
                worker.close()
            self._workers = []

    def _steps(
        self, runs: Iterator[_Run], intake: Intake, on_chunk: Callable[[Chunk], None], settle: Callable[[], bool]
    ) -> Iterator[SharedStep]:
        run = self._ahead(runs)
        while run is not None:
            self.settled = settle()
            self._hand_on(run)
            questions = self._ask("decide", _first_stop(run))
            # while these are decided and learned from, shares walk the next ones
            following = None if self.settled else self._ahead(runs)
            yield from self._decide(run, questions)
            intake.add(run.chunk)
            on_chunk(run.chunk)
            run = self._ahead(runs) if self.settled else following

    def _ahead(self, runs: Iterator[_Run]) -> _Run | None:
        """Have the shares walk the accounts of the next run."""
        run = next(runs, None)
        if run is None:
            return None
        fraud = _frauds(run)
        for place, worker in enumerate(self._workers):
            heard = None if run.heard is None else run.heard[place]
            mine = run.reached[run.rows["customer_hash"] % np.uint64(self.shares) == place]
            run.questions.append(worker.ask("accounts", run.parts[place], mine, fraud, run.turns, heard))
        run.parts = []
        return run

    def _hand_on(self, run: _Run) -> None:
        """Hand on to payees what accounts sent."""
        walked: list[Walked] = self._answers(run.questions)
        late, paid = self._statuses(run, walked)
        for place, worker in enumerate(self._workers):
            worker.ask("payees", [one.sent[place] for one in walked], late, paid)
        run.told = OrderedFeedback.joined([one.told for one in walked], "offset")

    def _ask(self, method: str, *arguments: Any) -> list[Any]:
        return [worker.ask(method, *arguments) for worker in self._workers]

    def _answers(self, questions: list[Any]) -> list[Any]:
        return [worker.answer(question) for worker, question in zip(self._workers, questions, strict=True)]

    def _all(self, method: str, *arguments: Any) -> list[Any]:
        return self._answers(self._ask(method, *arguments))

    def _statuses(self, run: _Run, walked: list[Walked]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]:
        """Count them; returns the rows that came late, and how far event time had come by those decided."""
        row = np.concatenate([one.row for one in walked])
        status = np.concatenate([one.status for one in walked])[np.argsort(row)]
        self.status += np.bincount(status, minlength=3)
        for one in walked:
            self.reversals += one.reversals
        decided = status == account_row.DECIDED
        times = np.where(decided, run.rows["event_time"], _BEFORE)
        reached = np.maximum.accumulate(np.concatenate(([self._decided_until], times)))
        self._decided_until = int(reached[-1])
        late = decided & (times < reached[:-1] - self.settings.lateness_us)
        self.late += int(np.count_nonzero(late))
        paid = np.zeros(len(run.rows), PAID)
        paid["row"], paid["reached"] = run.rows["offset"], reached[1:]
        rows: npt.NDArray[np.int64] = run.rows["offset"][late]
        return rows, paid

    def _decide(self, run: _Run, questions: list[Any]) -> Iterator[SharedStep]:
        assert run.told is not None, "the hops come first"
        ends = run.turns[run.turns["ended"] >= 0]
        for number, turn in enumerate(ends):
            yield from self._segment(run, questions, int(turn["row"]))
            self._learn_labels(run.told, (run.told.row == turn["row"]) & ~run.told.after_round)
            self._close_round(int(turn["ended"]))
            stop = int(ends["row"][number + 1]) if number + 1 < len(ends) else _end(run)
            questions = self._ask("decide", stop)
        yield from self._segment(run, questions, _end(run))

    def _segment(self, run: _Run, questions: list[Any], stop: int) -> Iterator[SharedStep]:
        """Gather the decisions of rows before ``stop``, and let the learner see them."""
        answers: list[ShareDecisions] = [one for one in self._answers(questions) if one is not None]
        assert run.told is not None, "the hops come first"
        step, inputs = self._joined(run, answers) if answers else (None, np.zeros((0, 0), np.float32))
        self._learn(run.told, step, inputs, stop)
        if step is not None:
            yield step

    def _joined(self, run: _Run, answers: list[ShareDecisions]) -> tuple[SharedStep, npt.NDArray[np.float32]]:
        identity = np.concatenate([one.identity for one in answers])
        order = np.argsort(identity["row"])
        identity = identity[order]
        lines = [line for one in answers for line in one.rendered]
        place = np.searchsorted(run.rows["offset"], identity["row"])
        labels = None if run.chunk.labels is None else run.chunk.labels[place].without(reversals_of(identity))
        scheduled = labels is not None and run.heard is None
        step = SharedStep(
            identity,
            np.concatenate([one.verdicts for one in answers])[order],
            np.concatenate([one.anomaly_ppm for one in answers])[order],
            [lines[number] for number in order.tolist()] if lines else [],
            self.model_version,
            self._compiled,
            run.bucket[place] * BUCKET_US - self.settings.label_delay_us if scheduled else None,
            labels,
        )
        return step, np.concatenate([one.inputs for one in answers])[order]

    def _learn(
        self, told: OrderedFeedback, step: SharedStep | None, inputs: npt.NDArray[np.float32], stop: int
    ) -> None:
        """Rows before ``stop`` and the labels between them, in order."""
        if not self.settings.round_us:
            return
        rows = np.zeros(0, np.int64) if step is None else step.transactions["row"]
        first = self._learned_until
        between = (told.row >= first) & (told.row < stop) & ~((told.row == first) & ~told.after_round & self._closed)
        start = 0
        for row in np.unique(told.row[between]).tolist():
            cut = int(np.searchsorted(rows, row))
            self._observe(step, inputs, start, cut)
            self._learn_labels(told, between & (told.row == row))
            start = cut
        self._observe(step, inputs, start, len(rows))
        self._learned_until, self._closed = stop, False

    def _observe(self, step: SharedStep | None, inputs: npt.NDArray[np.float32], start: int, stop: int) -> None:
        if step is None or start == stop:
            return
        identity, verdicts = step.transactions[start:stop], step.verdicts[start:stop]
        observe(self._learner, identity, verdicts, inputs[start:stop])

    def _learn_labels(self, told: OrderedFeedback, which: npt.NDArray[np.bool_]) -> None:
        learn_labels(self._learner, told.feedback[which])

    def _close_round(self, ended_bucket: int) -> None:
        self._learner.advance(ended_bucket * BUCKET_US)
        self._model = self._learner.close_round(with_state=False)
        self._closed = True
        self._ask("model", self._model)

    def _read(self, source: Source, position: int, left: int | None, rows: int) -> Iterator[_Run]:
        """Runs that the shares read, one of them ahead."""
        asked: _Asked | None = None
        for raw in source.raws(rows, position):
            some = raw if left is None or len(raw) <= left else raw[:left]
            left = None if left is None else left - len(some)
            if not len(some):
                break
            following = self._ask_reads(some, position)
            position += len(some)
            if asked is not None:
                yield self._reads(source, asked)
            asked = following
        if asked is not None:
            yield self._reads(source, asked)

    def _ask_reads(self, raw: Rows, first_row: int) -> _Asked:
        count, pieces = len(raw), min(self.shares, len(raw))
        cuts = [count * piece // pieces for piece in range(pieces + 1)]
        questions = [
            worker.ask("read", raw[start:stop], first_row + start)
            for worker, start, stop in zip(self._workers, cuts, cuts[1:], strict=False)
        ]
        return _Asked(raw, first_row, cuts, questions)

    def _reads(self, source: Source, asked: _Asked) -> _Run:
        answers = zip(self._workers, asked.questions, strict=False)
        reads: list[Read] = [worker.answer(question) for worker, question in answers]
        rows = np.concatenate([read.rows for read in reads])
        labels = source.labels(rows["transaction_hash"])
        if labels is None and reads[0].labels is not None:
            labels = Labels.joined([read.labels for read in reads if read.labels is not None])
        refused = [
            Refusal(one.index + start, one.reason, one.message)
            for read, start in zip(reads, asked.cuts, strict=False)
            for one in read.refused
        ]
        count = len(asked.raw)
        values = [b""] * count if asked.raw.values is None else asked.raw.values
        decoded = Decoded(rows, rows["offset"] - asked.first_row, refused)
        chunk = Chunk(asked.first_row, values, decoded, labels, position=asked.first_row + count, lines=asked.raw.lines)
        return self._run(chunk, [[read.parts[place] for read in reads] for place in range(self.shares)], None)

    def _take(self, source: History, position: int, left: int | None, rows: int) -> Iterator[_Run]:
        """Runs of a source that one reads."""
        for chunk in limited(source.chunks(rows, position), left):
            parts = [[part] for part in share_out(chunk.decoded.columns, self.shares)]
            yield self._run(chunk, parts, chunk.feedback)

    def _run(self, chunk: Chunk, parts: list[list[bytes]], feedback: Arrivals | None) -> _Run:
        rows = chunk.decoded.columns
        reached = self._highest // BUCKET_US
        self._customers.learn(np.ascontiguousarray(rows["account_hash"]), np.ascontiguousarray(rows["customer_hash"]))
        highest = np.maximum.accumulate(np.concatenate(([self._highest], rows["event_time"])))
        self._highest = int(highest[-1])
        bucket = highest[1:] // BUCKET_US
        heard = None
        if feedback is not None:
            arrived = np.concatenate(([reached], bucket))[feedback.after]
            order = np.arange(self._arrived, self._arrived + len(feedback.rows))
            self._arrived += len(feedback.rows)
            accounts, theirs = (np.ascontiguousarray(feedback.rows[n]) for n in ("account_hash", "customer_hash"))
            owner = self._customers.of(accounts, theirs)
            named = theirs != accounts  # without a customer, feedback goes by the account
            self._customers.learn(accounts[named], theirs[named])
            share = owner % np.uint64(self.shares)
            heard = [
                ArrivedFeedback(feedback.rows[share == place], arrived[share == place], order[share == place])
                for place in range(self.shares)
            ]
        return _Run(chunk, parts, rows, bucket, self._turns(rows, bucket, highest[:-1]), highest[1:], heard)

    def _turns(
        self, rows: npt.NDArray[np.void], bucket: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.void]:
        """The buckets of a run, and where rounds end."""
        if not len(rows):
            return np.zeros(0, TURN)
        first = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
        turns = np.zeros(len(first), TURN)
        turns["bucket"], turns["row"], turns["ended"] = bucket[first], rows["offset"][first], NO_ROUND
        turns["reached"] = before[first]
        if turns["bucket"][0] <= self._bucket:
            turns["ended"][0] = NO_TURN
        self._bucket = int(bucket[-1])
        interval = self.settings.round_us
        if not interval:
            return turns
        if self._round is None:
            self._round = (int(bucket[0]) * BUCKET_US // interval + 1) * interval
        while True:
            place = int(np.searchsorted(turns["bucket"], -(-self._round // BUCKET_US)))
            if place >= len(turns):
                return turns
            ended = int(turns["bucket"][place]) * BUCKET_US // interval * interval
            turns["ended"][place] = ended // BUCKET_US
            self._round = ended + interval


def _frauds(run: _Run) -> npt.NDArray[np.int64]:
    """Rows of the source whose label is due later."""
    if run.heard is not None or run.chunk.labels is None:
        return np.zeros(0, np.int64)
    rows: npt.NDArray[np.int64] = run.rows["offset"][run.chunk.labels.fraud == FRAUD]
    return rows


def _first_stop(run: _Run) -> int:
    ends = run.turns["row"][run.turns["ended"] >= 0]
    return int(ends[0]) if len(ends) else _end(run)


def _end(run: _Run) -> int:
    return run.chunk.first_row + len(run.chunk.values)
