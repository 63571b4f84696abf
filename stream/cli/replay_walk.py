"""One walk of ``riskstream replay`` over a history: engines, measurements, outputs, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from stream.cli.replay_options import ReplayOptions
from stream.errors import UsageError
from stream.replay.checkpoint import Checkpoint, file_mark
from stream.replay.compare import Comparison, compare
from stream.replay.engine import FileReplay, ReplaySettings, Step
from stream.replay.extent import Extent
from stream.replay.run import Intake, counts, replay
from stream.replay.scores import DecisionsFile, ScoresFile
from stream.replay.sources import Chunk, History
from stream.replay.tally import Tally

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
    """

    intake: Intake
    engines: list[FileReplay]
    tallies: list[Tally]
    comparison: Comparison
    seconds: float
    written: dict[str, int]


def walk_history(options: ReplayOptions, source: History, shape: ReplaySettings) -> dict[str, Any]:
    """Walk a history; returns the summary.

    Raises
    ------
    RiskstreamError
        Whatever the user can mend, said so.
    """
    policies = [policy for policy in (options.champion, options.policy) if policy is not None]
    checkpoint = _checkpoint(options, source, shape)
    state: WalkState | None = None if checkpoint is None else checkpoint.load()
    if state is None:
        state = WalkState(
            Intake(),
            [FileReplay(shape, policy) for policy in policies],
            [Tally(options.measure_day, shape.seed) for _ in policies],
            Comparison(),
            0.0,
            {},
        )
    else:
        for engine, policy in zip(state.engines, policies, strict=True):
            engine.resume(policy)
    return _Walk(options, source, shape, checkpoint, state).run()


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
            with progress(self.options, state.intake.rows) as advance:

                def done(chunk: Chunk) -> None:
                    advance(chunk)
                    state.seconds = before + time.perf_counter() - begun
                    if self.checkpoint is not None and self.checkpoint.due():
                        self._save(writers)

                try:
                    self._walk([writer.write for writer in writers.values()], done)
                except KeyboardInterrupt:
                    if self.checkpoint is not None and self.checkpoint.path.exists():
                        click.echo(f"interrupted; the same command goes on from {self.checkpoint.path}", err=True)
                    raise
        state.seconds = before + time.perf_counter() - begun
        if self.checkpoint is not None:
            self.checkpoint.remove()
        summaries = [self._summary(engine, tally) for engine, tally in zip(state.engines, state.tallies, strict=True)]
        if len(summaries) == 1:
            return summaries[0]
        return {**summaries[1], "champion": summaries[0], "comparison": state.comparison.result()}

    def _walk(self, writers: list[Callable[[Step], None]], done: Callable[[Chunk], None]) -> None:
        state = self.state
        terms: dict[str, Any] = {
            "limit": self.options.limit, "chunk_rows": self.options.chunk_rows, "on_chunk": done,
            "intake": state.intake,
        }  # fmt: skip
        if len(state.engines) == 1:
            replay(self.source, state.engines[0], [state.tallies[0].add, *writers], **terms)
            return

        def listen(champion: Step, challenger: Step) -> None:
            state.comparison.add(champion, challenger)
            state.tallies[0].add(champion)
            for write in (state.tallies[1].add, *writers):
                write(challenger)

        compare(self.source, state.engines[0], state.engines[1], [listen], **terms)

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

    def _save(self, writers: dict[str, ScoresFile | DecisionsFile]) -> None:
        assert self.checkpoint is not None
        self.state.written = {name: writer.position() for name, writer in writers.items()}
        self.checkpoint.save(self.state)

    def _summary(self, engine: FileReplay, tally: Tally) -> dict[str, Any]:
        intake, seconds = self.state.intake, self.state.seconds
        return {
            "file": self.source.name,
            **counts(intake, engine),
            **tally.result(),
            "policy_version": engine.policy.version,
            "model_version": engine.model_version,
            "familiarity": self.shape.familiarity,
            "label_delay_days": self.shape.label_delay_us / _DAY_US,
            "maturity_days": self.shape.matures_us / _DAY_US,
            "workers": self.options.workers,
            "refused_examples": [f"row {row}: {reason}: {message}" for row, reason, message in intake.examples],
            "seconds": round(seconds, 3),
            "events_per_s": round(intake.rows / seconds, 1) if seconds > 0 else 0.0,
        }


def _checkpoint(options: ReplayOptions, source: History, shape: ReplaySettings) -> Checkpoint | None:
    if options.checkpoint_file is None:
        return None
    inputs = {"columns": options.map_file, "labels": options.truth_file}
    if options.is_file:
        inputs["history"] = Path(options.file)
    fingerprint: dict[str, Any] = {
        "version of riskstream": version("riskstream"),
        "source": source.name,
        "range": [options.start, options.stop],
        "settings": asdict(shape),
        "policy": options.policy.version,
        "champion": None if options.champion is None else options.champion.version,
        "first test day": options.measure_day,
        "row limit": options.limit,
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
def progress(options: ReplayOptions, done: int) -> Iterator[Callable[[Chunk], None]]:
    """A bar with the time left on a terminal's stderr; yields what to call when a chunk is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    extent = Extent(Path(options.file) if options.is_file else None, options.limit, done)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=None, completed=done)

        def advance(chunk: Chunk) -> None:
            extent.add(chunk.values)
            bar.update(task, completed=extent.rows, total=extent.total)

        yield advance
