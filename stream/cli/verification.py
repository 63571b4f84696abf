"""``riskstream replay --verify``: did the live line decide what its inputs, models and policies lead to?"""

from __future__ import annotations

import time

from stream.cli.options import print_json
from stream.cli.say import say
from stream.errors import UsageError
from stream.settings import Settings

DECISIONS = "risk.decisions.v1"


def verify_topic(topic: str, settings: Settings, *, as_json: bool) -> int:
    """Compute everything again behind a decisions topic and compare; returns the exit status: 1 for a difference, and where
    there was nothing to compare.

    Parameters
    ----------
    topic
        The decisions topic, with or without the installation's prefix.
    """
    from stream.log.connect import check_reachable
    from stream.replay.oracle.live_line import LiveRecord
    from stream.replay.oracle.verify import verify

    if not topic.endswith(DECISIONS):
        raise UsageError(f"--verify {topic}: expected the decisions topic, [prefix]{DECISIONS}")
    prefix = topic.removesuffix(DECISIONS) or settings.topic_prefix
    line = settings.model_copy(update={"topic_prefix": prefix})
    check_reachable(line)
    began = time.monotonic()
    say(f"computing again what {line.topic(DECISIONS)} says …", err=True)
    record = LiveRecord(line)
    result = verify(record.recorded)
    record.verify_models(result)
    counts = ", ".join(f"{number} {what}s" for what, number in sorted(result.counts.items()))
    say(f"compared {counts or 'nothing'} in {time.monotonic() - began:.1f} s")
    for difference in result.differences:
        say(str(difference), colour="red")
    if not result.counts and result.equal:
        say(
            f"nothing to compare: the line of {line.topic(DECISIONS)} has decided nothing; is RISKSTREAM_TOPIC_PREFIX right?"
        )
    else:
        say("every byte as computed" if result.equal else "the record differs from what it leads to")
    if as_json:
        print_json(
            {
                "equal": result.equal,
                "compared": result.counts,
                "differences": [{"where": d.where, "what": d.what} for d in result.differences],
            }
        )
    return 0 if result.equal and result.counts else 1
