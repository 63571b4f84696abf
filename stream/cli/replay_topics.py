"""``riskstream replay TOPIC``: the transactions topic through the core, or the decisions topic as it stands."""

from __future__ import annotations

import time
from typing import Any

from stream.cli.replay_options import ReplayOptions
from stream.cli.replay_walk import budgeted, labels_met, walk_history
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.errors import UsageError
from stream.log.connect import check_reachable
from stream.replay.measure.tally import Tally
from stream.replay.walk.input_partition import InputTerms
from stream.replay.walk.published import DECISIONS, Published, published_steps
from stream.replay.walk.topic_history import TopicHistory
from stream.replay.walk.topic_source import TRANSACTIONS, TopicSource
from stream.settings import Settings

_DAY_US = 86_400_000_000


def replay_topic(options: ReplayOptions) -> dict[str, Any]:
    """Replay a topic; returns the summary.

    Raises
    ------
    UsageError
        It is neither of the two topics, or does not exist.
    BrokerNotReachable
        No Kafka answers.
    """
    topic = next((name for name in (TRANSACTIONS, DECISIONS) if options.file.endswith(name)), None)
    if topic is None:
        raise UsageError(
            f"{options.file}: no such file, and neither {TRANSACTIONS} nor {DECISIONS}, the topics that can be replayed"
        )
    span, settings = options.span(), options.settings()
    prefix = options.file.removesuffix(topic) or settings.topic_prefix
    settings = settings.model_copy(update={"topic_prefix": prefix})
    shape = options.shape(f"{settings.maturity_days}d")
    policy = options.policy  # read before a broker is asked: what is wrong with it needs none
    terms = InputTerms(policy.trusts, round(settings.future_minutes * 60_000), shape.matures_us)
    if topic == DECISIONS:
        _refuse_engine_options(options)
        check_reachable(settings)
        return _measure(options, TopicHistory(settings, topic, span), terms, settings)
    check_reachable(settings)
    source = TopicSource(TopicHistory(settings, topic, span), settings.topic(topic), terms, options.truth())
    return {**walk_history(options, source, shape), "feedback_passed_over": source.passed_over}


def _refuse_engine_options(options: ReplayOptions) -> None:
    """Of decisions that are there, nothing is computed."""
    given = {
        "--policy": options.policy_dir, "--against": options.champion_dir, "--scores": options.scores_file,
        "--decisions": options.decisions_file, "--checkpoint": options.checkpoint_file,
        "--without-familiarity": options.without_familiarity or None, "--dask": options.scheduler,
        "--limit": options.limit,
    }  # fmt: skip
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise UsageError(
            f"{wrong[0]}: of {DECISIONS} what was decided is measured, nothing is decided anew; replay {TRANSACTIONS}"
        )


def _measure(options: ReplayOptions, log: TopicHistory, terms: InputTerms, settings: Settings) -> dict[str, Any]:
    begun, read, truth = time.perf_counter(), Published(), options.truth()
    tally = Tally(options.measure_day, settings.seed, options.policy.compile(SCHEMA, hash_id).budgets)
    for step in published_steps(log, terms, truth, read):
        tally.add(step)
    if not read.decisions:
        raise UsageError(f"{settings.topic(DECISIONS)}: no decision in this range")
    seconds = time.perf_counter() - begun
    return {
        "file": settings.topic(DECISIONS),
        "events": read.decisions,
        "duplicate": 0,
        "dead": 0,
        "dead_by_reason": {},
        "late": read.late,
        **tally.result(),
        **budgeted(options, tally),
        **labels_met(truth),
        "policy_version": read.policies[-1],
        "policies": read.policies,
        "model_version": read.model_version,
        "familiarity": True,
        "label_delay_days": None,
        "maturity_days": terms.maturity_us / _DAY_US,
        "workers": 1,
        "refused_examples": [],
        "seconds": round(seconds, 3),
        "events_per_s": round(read.decisions / seconds, 1),
    }
