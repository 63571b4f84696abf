"""The rounds that ``risk.models.v1`` tells of: every published model with the offsets its records end at, and the last full state."""

from __future__ import annotations

from dataclasses import dataclass, field

from detectors.ensemble import Learner, Snapshot
from detectors.sound_snapshot import require_sound
from rules.bounded_json import NotReadable, load
from stream.core.columns import SCENARIOS
from stream.core.learning.learning_records import read_learning
from stream.core.learning.stream_learner import StreamLearner
from stream.log.reader import KafkaReader
from stream.log.records import Place, Record
from stream.log.set_aside import ControlRefused, SetAside
from stream.settings import Settings
from stream.versions.model_records import MAX_CHUNK_BYTES, REFUSED, STATE_SUFFIX, chunk_key
from stream.versions.models import MAX_PARTIAL, ROUNDS

MODELS = "risk.models.v1"
KEPT_VERSIONS = 256
"""Model versions that stay on the topic; older ones get tombstones, the newest never."""


class ModelHistory:
    """What ``risk.models.v1`` says about the rounds so far.

    Parameters
    ----------
    first
        The model that the first round starts from.
    aside
        Where records that are none are set aside; None for those who only look.
    """

    def __init__(self, settings: Settings, first: Snapshot, aside: SetAside | None = None) -> None:
        self._settings = settings
        self._aside = aside
        self.first = first
        self._versions: list[list[bytes]] = []
        """Keys of the chunks of each version that is still on the topic, oldest first."""
        self._state_keys: list[bytes] = []
        self.rounds_since_state = 0

    def restore(self, reader: KafkaReader, maturity_us: int) -> tuple[StreamLearner, dict[int, int]]:
        """The learner after the last published round, and the offsets that round ended at."""
        rounds, state = self.rounds(reader)
        rounds = [(version, ends) for version, ends in rounds if ends]
        if state is not None:
            full, done = state
            stream, offsets = StreamLearner(Learner.restore(full)), dict(done)
            rounds = [(version, ends) for version, ends in rounds if round_of(version) > full.round]
        else:
            stream, offsets = StreamLearner.begin(self.first, maturity_us), {}
        for version, ends in rounds:
            self.walk(reader, stream, offsets, ends)
            again = stream.close_round(with_state=False)
            if again.version != version:
                raise RuntimeError(
                    f"the recorded rounds lead to model {again.version}, but {version} was published: "
                    "the learning topic lost records, or another version of riskstream learned here"
                )
        return stream, offsets

    def outdated(self, snapshot: Snapshot, active: str) -> list[bytes]:
        """Keys that get tombstones with this snapshot: the oldest versions, never the one in force, and the state it
        replaces."""
        keys: list[bytes] = []
        for chunks_of in self._versions[: -KEPT_VERSIONS + 1]:
            version = chunk_key(chunks_of[0])[0]
            if version != active:
                keys += [*chunks_of, REFUSED + version.encode()]
        return keys + (self._state_keys if snapshot.state else [])

    def add(self, keys: list[bytes], snapshot: Snapshot) -> None:
        """Remember what was published."""
        own = [key for key in keys if key.startswith(snapshot.version.encode() + b"/")]
        self._versions = [*self._versions[-KEPT_VERSIONS + 1 :], own]
        self.rounds_since_state += 1
        if snapshot.state:
            self._state_keys = [key for key in keys if key.startswith((snapshot.version + STATE_SUFFIX).encode())]
            self.rounds_since_state = 0

    def rounds(
        self, reader: KafkaReader
    ) -> tuple[list[tuple[str, dict[int, int]]], tuple[Snapshot, dict[int, int]] | None]:
        """Rounds in order (version and end offsets), and the last full state with its offsets. What is no record of
        a model, or makes none, is left out: it is nobody's round."""
        rounds: dict[str, dict[int, int]] = {}
        keys: dict[str, list[bytes]] = {}
        found: dict[str, _Chunks] = {}
        state: tuple[Snapshot, dict[int, int]] | None = None
        place = Place(self._settings.topic(MODELS), 0)
        for chunk in reader.read(place, 0):
            for record in chunk:
                try:
                    taken = _chunk_of(record)
                except ControlRefused as error:
                    self._refuse(place, record, error)
                    continue
                if taken is None:
                    continue
                version, number, count, ends = taken
                if record.value is None:
                    rounds.pop(version, None)
                    keys.pop(version, None)
                    found.pop(version, None)
                    continue
                parts = found.setdefault(version, _Chunks(count, ends))
                parts.values[number], parts.keys[number] = record.value, record.key or b""
                if len(parts.values) < parts.count:
                    while len(found) > MAX_PARTIAL:
                        found.pop(next(iter(found)))
                    continue
                try:
                    snapshot = found.pop(version).snapshot(version)
                except ControlRefused as error:
                    self._refuse(place, record, error)
                    continue
                if snapshot.state:
                    state = snapshot, parts.ends
                    self._state_keys = [parts.keys[n] for n in range(parts.count)]
                else:
                    rounds[version] = parts.ends
                    keys[version] = [parts.keys[n] for n in range(parts.count)]
        self._versions = list(keys.values())
        self.rounds_since_state = len(rounds)
        return list(rounds.items()), state

    def _refuse(self, place: Place, record: Record, error: ControlRefused) -> None:
        if self._aside is not None:
            self._aside.refuse(place, record.offset, record.key, record.value, error.reason, str(error))

    def walk(self, reader: KafkaReader, stream: StreamLearner, offsets: dict[int, int], ends: dict[int, int]) -> None:
        """Let a learner take the records between ``offsets`` and the ends of a round, by partition; ``offsets`` moves there."""
        topic = self._settings.topic("risk.learning.v1")
        for partition in sorted(ends):
            start = offsets.get(partition, 0)
            if ends[partition] > start:
                for records in reader.read_many(Place(topic, partition), start, ends[partition]):
                    stream.absorb(read_learning([records.values]))
            offsets[partition] = ends[partition]


def round_of(version: str) -> int:
    """The round in a model's version.

    >>> round_of("m12-0a1b2c3d")
    12
    """
    return int(version[1:].split("-")[0])


@dataclass
class _Chunks:
    """Chunks of one version that were read so far."""

    count: int
    ends: dict[int, int]
    values: dict[int, bytes] = field(default_factory=dict)
    keys: dict[int, bytes] = field(default_factory=dict)

    def snapshot(self, version: str) -> Snapshot:
        """What they make: a snapshot of that version, with the learning state where the version says so.

        Raises
        ------
        ControlRefused
            They make none that can be learned on.
        """
        try:
            snapshot = Snapshot.from_bytes(b"".join(self.values[n] for n in range(self.count)))
            require_sound(snapshot, SCENARIOS)
            with_state = version.endswith(STATE_SUFFIX)
            if snapshot.version != version.removesuffix(STATE_SUFFIX) or bool(snapshot.state) != with_state:
                raise ControlRefused("altered", f"{version} holds {snapshot.version}")
            if with_state:
                Learner.restore(snapshot)
        except ControlRefused:
            raise
        except Exception as error:
            # a state has some thirty arrays and a description: whatever does not fit, it is none of this learner's
            raise ControlRefused("altered", f"{version} cannot be learned on: {error!r}") from error
        return snapshot


def _chunk_of(record: Record) -> tuple[str, int, int, dict[int, int]] | None:
    """Version, number, count and the round's end offsets of a chunk; None for a note.

    Raises
    ------
    ControlRefused
        It is neither.
    """
    if record.key is None or b"/" not in record.key:
        return None
    version, number, count = chunk_key(record.key)
    if record.value is not None and len(record.value) > MAX_CHUNK_BYTES:
        raise ControlRefused("too_large", f"a chunk of {len(record.value)} bytes; at most {MAX_CHUNK_BYTES} are read")
    return version, number, count, _ends(record) if record.value is not None else {}


def _ends(record: Record) -> dict[int, int]:
    """The end offsets of the round that a model record carries."""
    named = dict(record.headers).get(ROUNDS)
    if named is None:
        return {}
    try:
        ends = load(named, max_bytes=1 << 20, max_depth=1, max_values=20_000)
    except NotReadable as error:
        raise ControlRefused("malformed", f"header {ROUNDS}: {error}") from error
    if not isinstance(ends, dict) or not all(
        partition.isdecimal() and len(partition) < 10 and isinstance(end, int) and 0 <= end < 2**63
        for partition, end in ends.items()
    ):
        raise ControlRefused("wrong_type", f"header {ROUNDS}: expected offsets by partition")
    return {int(partition): end for partition, end in ends.items()}
