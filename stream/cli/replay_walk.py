"""One walk of ``riskstream replay`` over a history: engines, measurements, outputs, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.policy import Policy
from stream.cli.interruption import interruptible
from stream.cli.replay_options import ReplayOptions
from stream.cli.say import say
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.errors import UsageError
from stream.replay.measure.baselines import Baselines, beside
from stream.replay.measure.list_use import ListUse
from stream.replay.measure.scores import DecisionsFile, ScoresFile
from stream.replay.measure.tally import Tally
from stream.replay.source.extent import Extent
from stream.replay.source.labels import TruthFile
from stream.replay.source.sources import Chunk, History, Source
from stream.replay.walk.compare import Comparison, compare
from stream.replay.walk.engine import FileReplay, ReplaySettings
from stream.replay.walk.file_walk import Intake, counts, replay
from stream.replay.walk.resume_point import Checkpoint, file_mark
from stream.replay.walk.sharded import SharedReplay
from stream.replay.walk.share_workers import DaskCluster, StartWorkers, start_local_workers

_DAY_US = 86_400_000_000


@dataclass
class WalkState:
    """What a walk has come to: what a checkpoint holds.

    Parameters
    ----------
    intake
        What was read.
    engines, tallies
        The challenger's; before it the champion's, if there is one.
    comparison
        Between the two.
    seconds
        Time spent by the runs before this one.
    written
        Where the outputs stood, by option.
    lists
        Which entries of the policy's lists met a payment.
    labels_met
        Which labels of the TRUTH file had met a payment (``Truth.marks``).
    """

    intake: Intake
    engines: list[FileReplay | SharedReplay]
    tallies: list[Tally]
    comparison: Comparison
    seconds: float
    written: dict[str, int]
    lists: ListUse
    labels_met: npt.NDArray[np.uint8] | None = None

    @property
    def settled(self) -> bool:
        """Whether engines have gone no further than what was measured and written."""
        return all(engine.settled for engine in self.engines if isinstance(engine, SharedReplay))


def walk_history(options: ReplayOptions, source: History, shape: ReplaySettings) -> dict[str, Any]:
    """Walk a history; returns the summary.

    Raises
    ------
    RiskstreamError
        Whatever the user can mend, said so.
    """
    policies = [policy for policy in (options.champion, options.policy) if policy is not None]
    cluster = None if options.scheduler is None else DaskCluster(options.scheduler)
    start_workers = start_local_workers if cluster is None else cluster.start_workers
    try:
        return _Walk(options, source, shape, *_begun(options, source, shape, policies, start_workers)).run()
    finally:
        if cluster is not None:
            cluster.close()


def _begun(
    options: ReplayOptions, source: History, shape: ReplaySettings, policies: list[Policy], start_workers: StartWorkers
) -> tuple[Checkpoint | None, WalkState]:
    """A new walk, or one that was interrupted."""
    checkpoint = _checkpoint(options, source, shape)
    state: WalkState | None = None if checkpoint is None else checkpoint.load()
    if state is None:
        state = WalkState(
            Intake(),
            _engines(options, shape, policies, start_workers),
            _tallies(options, shape, policies),
            Comparison(),
            0.0,
            {},
            ListUse(options.policy, hash_id),
        )
    else:
        if source.truth is not None and state.labels_met is not None:
            source.truth.restore_marks(state.labels_met)
        for engine, policy in zip(state.engines, policies, strict=True):
            if isinstance(engine, SharedReplay):
                engine.resume(policy, start_workers)
            else:
                engine.resume(policy)
    return checkpoint, state


def _engines(
    options: ReplayOptions, shape: ReplaySettings, policies: list[Policy], start_workers: StartWorkers
) -> list[FileReplay | SharedReplay]:
    """An engine for each policy, the champion's first; decisions are rendered for the last one alone."""
    champions = [replace(shape, familiarity=shape.familiarity and not options.champion_blind)]
    shapes = [*champions, shape][-len(policies) :]
    if options.workers == 1 and options.scheduler is None:
        return [FileReplay(*terms) for terms in zip(shapes, policies, strict=True)]
    shares, last = max(options.workers // len(policies), 1), len(policies) - 1
    return [
        SharedReplay(*terms, shares, start_workers, renders=options.decisions_file is not None and place == last)
        for place, terms in enumerate(zip(shapes, policies, strict=True))
    ]


def _tallies(options: ReplayOptions, shape: ReplaySettings, policies: list[Policy]) -> list[Tally]:
    """A tally for each policy; the last one alone keeps what the baselines need."""
    # of a topic, a payment is known to be genuine when it has matured
    delay_us = shape.label_delay_us if options.is_file else max(shape.label_delay_us, shape.matures_us)
    test_us = None if options.measure_day is None else options.measure_day * _DAY_US
    last, compiled = len(policies) - 1, [policy.compile(SCHEMA, hash_id) for policy in policies]
    return [
        Tally(
            options.measure_day,
            shape.seed,
            policy.budgets,
            Baselines(delay_us, test_us, alone=place != last),
            policy.rules,
        )
        for place, policy in enumerate(compiled)
    ]


@dataclass
class _Walk:
    options: ReplayOptions
    source: History
    shape: ReplaySettings
    checkpoint: Checkpoint | None
    state: WalkState

    def run(self) -> dict[str, Any]:
        state, begun = self.state, time.perf_counter()
        before = state.seconds
        with ExitStack() as files:
            writers = self._writers(files)
            progressing = progress(self.options, self.source, state.intake.rows)
            with progressing as advance, interruptible() as raise_interrupt:

                def done(chunk: Chunk) -> None:
                    advance(chunk)
                    state.lists.add(chunk.decoded.columns)
                    state.seconds = before + time.perf_counter() - begun
                    if self.checkpoint is not None and self.checkpoint.due() and state.settled:
                        self._save(writers)
                    raise_interrupt()

                try:
                    self._walk([writer.write for writer in writers.values()], done)
                except KeyboardInterrupt:
                    if self.checkpoint is not None and self.checkpoint.path.exists():
                        say(f"interrupted; the same command goes on from {self.checkpoint.path}", err=True)
                    raise
        state.seconds = before + time.perf_counter() - begun
        if self.checkpoint is not None:
            self.checkpoint.remove()
        summaries = [self._summary(engine, tally) for engine, tally in zip(state.engines, state.tallies, strict=True)]
        if len(summaries) == 1:
            return summaries[0]
        spans = state.tallies[1].less(state.tallies[0])
        comparison = {"champion": summaries[0], "comparison": {**state.comparison.result(), **spans}}
        if "baselines" in summaries[1]:
            name = "without_familiarity" if self.options.champion_blind else "champion"
            comparison["baselines"] = beside(summaries[1]["baselines"], name, summaries[0]["baselines"])
        return {**summaries[1], **comparison}

    def _walk(self, writers: list[Callable[[Any], None]], done: Callable[[Chunk], None]) -> None:
        state = self.state
        terms: dict[str, Any] = {
            "limit": self.options.limit, "chunk_rows": self.options.chunk_rows, "on_chunk": done,
            "intake": state.intake,
        }  # fmt: skip
        listeners = [state.tallies[-1].add, *writers]

        def listen(champion: Any, challenger: Any) -> None:
            state.comparison.add(champion, challenger)
            state.tallies[0].add(champion)
            for hear in listeners:
                hear(challenger)

        match state.engines:
            case [FileReplay() as engine]:
                replay(self.source, engine, listeners, **terms)
            case [FileReplay() as champion, FileReplay() as challenger]:
                compare(self.source, champion, challenger, [listen], **terms)
            case [SharedReplay() as engine]:
                settle = (lambda: False) if self.checkpoint is None else self.checkpoint.due
                for step in engine.walk(self.source, settle=settle, **terms):
                    for hear in listeners:
                        hear(step)
            case [SharedReplay() as champion, SharedReplay() as challenger]:
                # they cut the history at the same places, so their steps go side by side
                aside = {**terms, "intake": Intake(), "on_chunk": lambda chunk: None}
                sides = champion.walk(self.source, **aside), challenger.walk(self.source, **terms)
                for before, after in zip(*sides, strict=True):
                    listen(before, after)

    def _writers(self, files: ExitStack) -> dict[str, ScoresFile | DecisionsFile]:
        writers: dict[str, ScoresFile | DecisionsFile] = {}
        at, resumable = self.state.written, self.checkpoint is not None
        if self.options.scores_file is not None:
            scores = ScoresFile(self.options.scores_file, resumable=resumable, at=at.get("scores"))
            writers["scores"] = files.enter_context(scores)
        if self.options.decisions_file is not None:
            decisions = DecisionsFile(self.options.decisions_file, at=at.get("decisions"))
            writers["decisions"] = files.enter_context(decisions)
        return writers

    def _lists(self, engine: FileReplay | SharedReplay) -> dict[str, Any]:
        """Entries of lists that met a payment; of the policy that is replayed, not of the champion's."""
        used = self.state.lists.result if engine is self.state.engines[-1] else None
        return {} if used is None else {"lists": asdict(used)}

    def _save(self, writers: dict[str, ScoresFile | DecisionsFile]) -> None:
        assert self.checkpoint is not None
        self.state.labels_met = None if self.source.truth is None else self.source.truth.marks()
        self.state.written = {name: writer.position() for name, writer in writers.items()}
        self.checkpoint.save(self.state)

    def _place(self, line: int) -> str:
        return f"{self.source.name}:{line}" if isinstance(self.source, Source) else f"row {line}"

    def _summary(self, engine: FileReplay | SharedReplay, tally: Tally) -> dict[str, Any]:
        intake, seconds = self.state.intake, self.state.seconds
        return {
            "file": self.source.name,
            **counts(intake, engine),
            **tally.result(),
            **budgeted(self.options, tally),
            "policy_version": engine.policy.version,
            "model_version": engine.model_version,
            "familiarity": engine.settings.familiarity,
            "label_delay_days": self.shape.label_delay_us / _DAY_US,
            "maturity_days": self.shape.matures_us / _DAY_US,
            "workers": self.options.workers,
            **labels_met(self.source.truth),
            **self._lists(engine),
            "refused_by_kind": intake.by_kind(),
            "refused_examples": [
                f"{self._place(line)}: {reason}: {message}" for line, reason, message in intake.examples
            ],
            **(self.source.remarks() if isinstance(self.source, Source) else {}),
            "seconds": round(seconds, 3),
            "events_per_s": round(intake.rows / seconds, 1) if seconds > 0 else 0.0,
        }


def labels_met(truth: TruthFile | None) -> dict[str, Any]:
    """How many labels of a TRUTH file met a payment, as JSON values; nothing where there is no such file."""
    return {} if truth is None else {"labels": asdict(truth.met)}


def budgeted(options: ReplayOptions, tally: Tally) -> dict[str, Any]:
    """The threshold that keeps to what was asked for, as a row of the what-if table; none where no label is known."""
    asked = {"alerts_per_day": options.alerts_per_day, "false_per_10k": options.false_alerts_per_10k}
    if all(limit is None for limit in asked.values()):
        return {}
    if not tally.labelled:
        return {"budget": None}
    threshold = tally.what_if.threshold_for(tally.days, **asked)
    row = tally.what_if.table(tally.days, [threshold])[0]
    return {"budget": {"asked": {name: limit for name, limit in asked.items() if limit is not None}, **row}}


def _checkpoint(options: ReplayOptions, source: History, shape: ReplaySettings) -> Checkpoint | None:
    if options.checkpoint_file is None:
        return None
    if options.champion_dir is not None and (options.workers > 1 or options.scheduler is not None):
        raise UsageError("--checkpoint with --against: give --workers 1, or replay the two one after the other")
    inputs = {"columns": options.map_file, "labels": options.truth_file}
    if options.is_file:
        inputs["history"] = Path(options.file)
    fingerprint: dict[str, Any] = {
        "version of riskstream": version("riskstream"),
        "source": source.name,
        "range": [options.start, options.stop],
        "settings": asdict(shape),
        "policy": options.policy.version,
        "workers": options.workers,
        "champion": None if options.champion is None else [options.champion.version, options.champion_blind],
        "first test day": options.measure_day,
        "row limit": options.limit,
        "sorted": options.in_time_order,
        "scores": _resolved(options.scores_file),
        "decisions": _resolved(options.decisions_file),
        **{name: None if path is None else file_mark(path) for name, path in inputs.items()},
    }
    try:
        options.checkpoint_file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--checkpoint {options.checkpoint_file}: {error.strerror}") from error
    return Checkpoint(options.checkpoint_file, fingerprint, options.checkpoint_every_s)


def _resolved(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


@contextmanager
def progress(options: ReplayOptions, source: History, done: int) -> Iterator[Callable[[Chunk], None]]:
    """A bar with the time left on a terminal's stderr; yields what to call when a chunk is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    path, expected = (Path(options.file), None) if options.is_file else (None, source.expected)
    extent = Extent(path, options.limit, done, expected)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=None, completed=done)

        def advance(chunk: Chunk) -> None:
            extent.add(len(chunk.values))
            bar.update(task, completed=extent.rows, total=extent.total)

        yield advance
