from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson

from detectors.drift import HOUR
from detectors.ensemble import EnsembleConfig, Learner, Scorer, Snapshot
from rules.policy import shipped
from stream.arrays.packed import Packed
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import MODEL_NAMES, Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.learning.learning_records import SCORED, LearningRecords, read_learning
from stream.core.learning.model_watch import DriftWatch, SideBySide, alert_rate_change
from stream.settings import Settings
from stream.versions.model_records import COMPARISON_KEY, REFUSED
from stream.versions.models import ModelLog
from stream.worker.agents.model_notes import ModelNotes
from stream.worker.health.line_metrics import Metrics

AMOUNT = MODEL_NAMES.index("amount_deviation")
PERSON = SCENARIOS.index("person_transfer")


def _records(hour: int, count: int, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng((seed, hour))
    records = np.zeros(count, SCORED)
    records["magic"], records["version"] = b"RSLF", 2
    records["payment"] = rng.integers(1, 2**63, count, dtype=np.uint64)
    records["event_time"] = hour * HOUR + np.sort(rng.integers(0, HOUR, count))
    records["inputs"] = rng.normal(0.0, 1.0, (count, len(MODEL_NAMES)))
    records["risk_ppm"] = (1e6 / (1.0 + np.exp(rng.normal(7.0, 0.7, count)))).astype(int)
    records["group"] = np.where(np.arange(count) % 2, PERSON, SCENARIOS.index("ecommerce"))
    return records


def _ids(records: np.ndarray[Any, Any]) -> list[str]:
    return [f"tx-{payment}" for payment in records["payment"].tolist()]


def _learning(records: np.ndarray[Any, Any], ids: list[str]) -> LearningRecords:
    return read_learning([Packed.of_structs(records)], [Packed.of([name.encode() for name in ids])])


def _snapshot(intercept: float) -> Snapshot:
    first = first_snapshot(1)
    model = {**first.model, "biases": np.array([intercept, 0.0])}
    return Snapshot(first.kind, 1, first.digest, first.description, model)


def test_an_attack_is_named_within_its_hour_with_scenario_feature_and_transactions() -> None:
    watch, reports = DriftWatch(), []
    struck: list[str] = []
    for hour in range(32):
        records = _records(hour, 20_000, seed=3)
        if hour == 30:
            rows = np.flatnonzero(records["group"] == PERSON)[::500]  # 20 of 10,000
            records["risk_ppm"][rows] = 400_000
            records["inputs"][rows, AMOUNT] = 9.0
            struck = [_ids(records)[row] for row in rows.tolist()]
        reports += watch.take(_learning(records, _ids(records)))
    [report] = reports
    assert (report["kind"], report["scenario"], report["at"]) == ("tail", "person_transfer", "1970-01-02T07:00:00Z")
    assert report["moved"][0]["feature"] == "amount_deviation"
    assert len(report["examples"]) == 5
    assert set(report["examples"]) <= set(struck)


def test_a_sale_is_a_volume_shift_and_no_attack() -> None:
    watch, reports = DriftWatch(), []
    for hour in range(24 * 4 + 1):
        records = _records(hour, 1500 if hour >= 72 else 500, seed=4)
        reports += watch.take(_learning(records, _ids(records)))
    assert {(report["kind"], report["scenario"]) for report in reports} == {
        ("volume", "ecommerce"), ("volume", "person_transfer"),
    }  # fmt: skip


def test_champion_and_challenger_are_counted_on_the_same_payments() -> None:
    records = _records(0, 2000, seed=5)
    matrix, group = records["inputs"].astype(np.float64), records["group"].copy()
    limits = [20_000] * len(SCENARIOS)
    sides = SideBySide(Scorer(_snapshot(-7.6)), Scorer(_snapshot(-5.0)), limits)
    sides.live(matrix, group)
    tally = sides.tally
    expected = [
        int((Scorer(_snapshot(b)).score(matrix, group)[0] >= 1000 * np.log(0.02 / 0.98)).sum()) for b in (-7.6, -5.0)
    ]
    assert [tally.champion_alerts, tally.challenger_alerts] == expected
    assert tally.events == 2000
    assert tally.champion_alerts == tally.both < tally.challenger_alerts


class _Versions:
    def __init__(self, models: ModelLog) -> None:
        self.models = models
        self._decider = Decider(models.first, shipped())

    def decider(self) -> Decider:
        return self._decider


def _notes(models: ModelLog) -> tuple[ModelNotes, Learner, Metrics]:
    learner, metrics = Learner(first_snapshot(1), EnsembleConfig(maturity_us=2 * HOUR)), Metrics()
    return ModelNotes(Settings(), _Versions(models), metrics, learner), learner, metrics


def _feed(learner: Learner, records: np.ndarray[Any, Any]) -> None:
    learner.observe(
        records["payment"].copy(), records["event_time"].copy(), records["inputs"].astype(np.float64),
        records["group"].copy(), np.zeros(len(records), np.bool_),
    )  # fmt: skip


def test_a_model_that_would_change_the_alert_rate_too_much_is_refused_and_not_followed() -> None:
    models = ModelLog(first_snapshot(1))
    notes, learner, _ = _notes(models)
    _feed(learner, _records(0, 2000, seed=6))
    assert notes.closed(_snapshot(-7.5)) == []
    bad = _snapshot(-2.0)
    refusals = [note for note in notes.closed(bad) if note[0].startswith(REFUSED)]
    [(key, value)] = refusals
    reason = orjson.loads(value or b"")
    before, after = alert_rate_change(Scorer(models.active), Scorer(bad), learner.latest(4096), notes._limits())
    assert reason["alerts_per_10k"] == round(after, 1) > 100 + reason["champion_alerts_per_10k"]
    assert reason["champion_alerts_per_10k"] == round(before, 1)
    models.take(key, value)
    models.complete[bad.version] = bad
    assert models.active is models.first
    models.take(key, None)
    assert models.active is bad


def test_what_matures_is_counted_by_scenario() -> None:
    notes, learner, metrics = _notes(ModelLog(first_snapshot(1)))
    records = _records(0, 400, seed=7)
    _feed(learner, records)
    learner.label(int(records["payment"][1]), 0, True, "chargeback")  # of person_transfer
    learner.advance(4 * HOUR)
    notes.closed(learner.close_round())
    counted = {
        name: metrics.registry.get_sample_value("riskstream_genuine_matured_total", {"scenario": name})
        for name in ("person_transfer", "ecommerce")
    }
    assert counted == {"person_transfer": 199.0, "ecommerce": 200.0}


def test_where_workers_are_held_to_a_model_the_learner_goes_on_beside_it() -> None:
    models = ModelLog(first_snapshot(1))
    held, newest = _snapshot(-7.6), _snapshot(-6.0)
    for snapshot in (held, newest):
        models.complete[snapshot.version] = snapshot
    models.pinned = held.version
    notes, learner, _ = _notes(models)
    assert [key for key, _ in notes.closed(newest)] == [COMPARISON_KEY]
    records = _records(0, 500, seed=8)
    notes.observe(_learning(records, [f"tx-{n}" for n in range(len(records))]))
    _feed(learner, records)
    learner.label(int(records["payment"][0]), 0, True, "chargeback")
    learner.advance(9 * HOUR)
    [(_, value)] = [note for note in notes.closed(newest) if note[0] == COMPARISON_KEY]
    seen = SimpleNamespace(**orjson.loads(value or b""))
    assert (seen.champion, seen.challenger) == (held.version, newest.version)
    assert (seen.events, seen.frauds, seen.genuine) == (500, 1, 499)
    models.pinned = ""
    assert notes.closed(newest) == [(COMPARISON_KEY, None)]
