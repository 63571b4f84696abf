"""What the worker's HTTP port answers, without a broker."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from stream.errors import UsageError
from stream.log.records import Place
from stream.settings import Settings
from stream.worker.health.backlog import Sample, WaitingPartition
from stream.worker.health.line_metrics import Metrics
from stream.worker.health.probes import EXIT_STATUS_BROKER, Probes, Sampler


@dataclass
class StillLine:
    """A line that owns nothing yet."""

    ready: bool = False
    transactional: bool = True
    owned: list[int] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)
    progress: int = 0
    doing: str = ""
    inputs: list[Place] = field(default_factory=list)
    unwritten: list[tuple[str, int, float]] = field(default_factory=list)
    failures: int = 0
    commits: int = 0
    trouble: str = ""
    refusal: str = ""

    def rows(self) -> dict[tuple[str, int], int]:
        return {}

    def rows_forgotten(self) -> dict[str, int]:
        return {"accounts": 3, "payees": 0}


@dataclass(frozen=True)
class Versions:
    model_version: str = "m1"
    policy_version: str = "p1"

    def decider(self) -> Versions:
        return self


@pytest.fixture
def service() -> Iterator[Probes]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings = Settings(broker=f"127.0.0.1:{closed.getsockname()[1]}", metrics_port=0)
    made = Probes(settings, StillLine(), Metrics(), Versions(), {"holds": lambda: "no topic"})  # type: ignore[arg-type]
    made.server.start()
    yield made
    made.server.stop()


def get(service: Probes, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.port}{path}", timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_worker_that_starts_is_live_and_not_ready(service: Probes) -> None:
    status, body = get(service, "/live")
    assert (status, json.loads(body)) == (
        200,
        {"live": True, "ready": False, "reasons": ["starting"], "partitions": [], "model_version": "m1",
         "policy_version": "p1"},
    )  # fmt: skip
    assert get(service, "/ready?verbose=1")[0] == 503


def test_metrics_are_the_contracts(service: Probes) -> None:
    status, body = get(service, "/metrics")
    assert status == 200
    for name in ("riskstream_lag", "riskstream_in_flight", "riskstream_transactions_total"):
        assert f"# HELP {name} ".encode() in body


def test_another_path_names_those_that_are_there(service: Probes) -> None:
    assert get(service, "/health") == (404, b"/metrics, /live and /ready are here\n")


def test_without_a_broker_the_reasons_say_so(service: Probes) -> None:
    health = service.sampler.look()
    assert (health.live, health.ready) == (True, False)
    assert any(reason.startswith("the broker does not answer: ") for reason in health.reasons)
    assert "holds: no topic" in health.reasons
    assert json.loads(get(service, "/ready")[1])["reasons"] == list(health.reasons)


def test_a_port_in_use_is_said_with_what_to_do(service: Probes) -> None:
    settings = Settings(metrics_port=service.port)
    with pytest.raises(
        UsageError, match=f"127.0.0.1:{service.port}, for metrics and probes, is in use; choose another"
    ):
        Probes(settings, StillLine(), Metrics(), Versions())  # type: ignore[arg-type]


def test_an_address_that_is_not_ours_is_said_too() -> None:
    with pytest.raises(UsageError, match="cannot be listened on"):
        Probes(Settings(metrics_host="192.0.2.1"), StillLine(), Metrics(), Versions())  # type: ignore[arg-type]


def test_in_flight_is_what_no_hop_has_taken_by_source_partition() -> None:
    transactions, frames = Place("bank.transactions.v1", 0), Place("risk.profiled.v1", 1)
    sample = Sample(
        {},
        {
            transactions: WaitingPartition(5, 9, 4, exact=True),
            frames: WaitingPartition(1, 4, 2, exact=True, transactions={0: 10, 3: 7}),
            Place("bank.feedback.v1", 0): WaitingPartition(0, 2, 2, exact=True),
        },
    )
    assert sample.in_flight("bank.transactions.v1") == {transactions: 14, Place("bank.transactions.v1", 3): 7}


def test_a_worker_that_stays_dead_ends_with_the_status_of_a_missing_broker() -> None:
    now = 1.0
    ended: list[int] = []
    sampler = Sampler(Settings(broker="127.0.0.1:1"), StillLine(), Metrics(), {}, ended.append, lambda: now)
    sampler.look()
    now = 40.0
    sampler.look()
    assert ended == []
    now = 135.0
    assert not sampler.look().live
    assert ended == [EXIT_STATUS_BROKER]


def test_a_sampler_that_hangs_is_not_alive() -> None:
    now = 0.0
    sampler = Sampler(Settings(broker="127.0.0.1:1"), StillLine(), Metrics(), {}, clock=lambda: now)
    assert sampler.health.live
    now = 31.0
    assert sampler.health.reasons == ("the sampler has not looked for 31 s",)
    assert not sampler.health.live


class NoCluster:
    """What the sampler asks a broker for, from tables."""

    def __init__(self, committed: dict[Place, int], ends: dict[Place, int]) -> None:
        self.stands, self.ends = committed, ends

    def committed(self, places: list[Place]) -> dict[Place, int]:
        return {place: self.stands[place] for place in places if place in self.stands}

    def beginnings(self, places: list[Place]) -> dict[Place, int]:
        return dict.fromkeys(places, 0)

    def sample(self, positions: dict[Place, int]) -> Sample:
        return Sample(
            positions,
            {p: WaitingPartition(at, self.ends[p], self.ends[p] - at, exact=True) for p, at in positions.items()},
        )


def gauges(metrics: Metrics, name: str) -> dict[str, float]:
    return {
        "/".join(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def sampler(line: StillLine, cluster: NoCluster, metrics: Metrics, **options: Any) -> Sampler:
    made = Sampler(Settings(broker="127.0.0.1:1"), line, metrics, options.pop("parts", {}), **options)
    made._backlog.close()
    made._backlog = cluster  # type: ignore[assignment]
    return made


def test_what_waits_in_partitions_that_nobody_has_is_lag_at_whoever_sees_it() -> None:
    mine, free, never = (Place("bank.transactions.v1", number) for number in range(3))
    line = StillLine(ready=True, owned=[0], positions={mine: 5}, inputs=[mine, free, never])
    cluster = NoCluster({mine: 5, free: 7}, {mine: 9, free: 1007, never: 3})
    metrics = Metrics()
    looking = sampler(line, cluster, metrics)
    looking.look()
    # of what another worker may have, one look says nothing
    assert gauges(metrics, "riskstream_lag") == {"bank.transactions.v1/0": 4}
    health = looking.look()
    assert gauges(metrics, "riskstream_lag") == {
        "bank.transactions.v1/0": 4, "bank.transactions.v1/1": 1000, "bank.transactions.v1/2": 3,
    }  # fmt: skip
    assert gauges(metrics, "riskstream_end_offset")["bank.transactions.v1/1"] == 1007
    assert gauges(metrics, "riskstream_committed_offset")["bank.transactions.v1/1"] == 7
    assert health.live, "what others do not read is no fault of this worker"
    # somebody reads it: the owner tells what waits
    cluster.stands[free] = 100
    looking.look()
    assert gauges(metrics, "riskstream_lag")["bank.transactions.v1/1"] == 0


def test_a_worker_whose_recovery_fails_shows_what_waits() -> None:
    places = [Place("bank.transactions.v1", number) for number in range(4)]
    line = StillLine(inputs=places, failures=3, trouble="no leader")
    metrics = Metrics()
    looking = sampler(line, NoCluster({}, dict.fromkeys(places, 250)), metrics)
    for _ in range(2):
        health = looking.look()
    assert sum(gauges(metrics, "riskstream_lag").values()) == 1000
    assert "no leader" in health.reasons[0]


def test_parts_and_partitions_are_shown_and_liveness_is_asked_when_prometheus_asks(service: Probes) -> None:
    metrics = service._metrics
    service.sampler.look()
    parts = gauges(metrics, "riskstream_part_ok")
    assert (parts["broker"], parts["holds"], parts["recovery"]) == (0, 0, 0)
    assert gauges(metrics, "riskstream_live") == {"": 1}
    service.sampler._judged_at -= 1000
    assert gauges(metrics, "riskstream_live") == {"": 0}, "a sampler that hangs leaves no 1 standing"


def test_a_recovery_that_is_refused_ends_the_process_with_a_status_of_its_own_after_it_was_shown() -> None:
    now, ended = 1.0, list[int]()
    places = [Place("bank.transactions.v1", 0)]
    line = StillLine(inputs=places, failures=1, trouble="offsets", refusal="offsets do not belong together")
    looking = sampler(line, NoCluster({}, dict.fromkeys(places, 1)), Metrics(), end=ended.append, clock=lambda: now)
    assert "offsets do not belong together" in looking.look().reasons[0]
    now = 30.0
    looking.look()
    assert ended == []
    now = 31.0
    looking.look()
    assert ended == [4]


def test_a_thread_of_versions_that_is_gone_and_a_learner_without_rounds_show_as_ages() -> None:
    metrics = Metrics()
    metrics.health.ages(lambda: 7.0, lambda: 8.0, lambda: 9.0)
    names = (
        "riskstream_learner_round_age_seconds",
        "riskstream_versions_age_seconds",
        "riskstream_versions_behind_seconds",
    )
    assert [gauges(metrics, name)[""] for name in names] == [7.0, 8.0, 9.0]
