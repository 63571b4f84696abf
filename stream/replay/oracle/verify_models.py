"""The oracle's view of models: every published one computed again from the records its rounds read."""

from __future__ import annotations

from stream.core.learning.stream_learner import StreamLearner
from stream.log.reader import KafkaReader
from stream.replay.oracle.verify import Verified
from stream.versions.model_history import ModelHistory, round_of


def verify_models(history: ModelHistory, reader: KafkaReader, maturity_us: int, result: Verified) -> None:
    """Compute every published model again from the records its rounds read; a first difference ends it."""
    rounds = [(version, ends) for version, ends in history.rounds(reader)[0] if ends]
    stream, offsets = StreamLearner.begin(history.first, maturity_us), dict[int, int]()
    for number, (version, ends) in enumerate(rounds, 1):
        if round_of(version) != number:
            result.differ(f"risk.models.v1/{version}", f"round {number} is gone: later models cannot be computed again")
            return
        history.walk(reader, stream, offsets, ends)
        result.count("model")
        again = stream.close_round(with_state=False).version
        if again != version:
            result.differ(f"risk.models.v1/{version}", f"its rounds lead to {again}")
            return
