from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detectors_traffic import CONFIG, DAY, INPUTS, Traffic, first_snapshot, learn, make_traffic
from numpy.typing import NDArray

from detectors.calibration import expected_calibration_error
from detectors.ensemble import EnsembleConfig, Input, Learner, Scorer, Snapshot, SnapshotError, genesis
from detectors.learner import PARTIAL_FIRST


def test_genesis_scores_the_prior_alone(traffic: Traffic) -> None:
    rows = traffic.matrix[:200].copy()
    rows[0, 1] = np.nan
    logit_milli, anomaly_ppm = Scorer(first_snapshot()).score(rows, traffic.group[:200])
    expected = np.where(np.isnan(rows[:, 1]), -5.0, -5.0 + np.log1p(rows[:, 1]))
    assert np.abs(logit_milli / 1000 - expected).max() < 0.07  # the piecewise linear logarithm
    assert logit_milli[0] == -5000
    assert not anomaly_ppm.any()


def test_a_prior_on_an_unknown_or_unordered_input_is_refused() -> None:
    with pytest.raises(ValueError, match="'f9' is not an input with an order"):
        genesis(INPUTS, {"f9": 1.0}, 0.0, ["all"], 1)
    with pytest.raises(ValueError, match="'f4' is not an input with an order"):
        genesis(INPUTS, {"f4": 1.0}, 0.0, ["all"], 1)
    with pytest.raises(ValueError, match="'a' is listed twice"):
        genesis([Input("a", "log"), Input("a", "flag")], {}, 0.0, ["all"], 1)


def test_learning_finds_what_the_prior_misses_and_stays_calibrated(traffic: Traffic, history: list[Snapshot]) -> None:
    late = slice(20 * traffic.per_day, 24 * traffic.per_day)
    fraud = traffic.fraud[late]

    def precision_at_the_top(snapshot: Snapshot) -> float:
        logit = Scorer(snapshot).score(traffic.matrix[late], traffic.group[late])[0]
        return float(fraud[np.argsort(-logit, kind="stable")[: int(fraud.sum())]].mean())

    learned = history[19]
    assert len(learned.model["trees.root"]) > 0
    assert precision_at_the_top(learned) > precision_at_the_top(first_snapshot()) + 0.15
    logit = Scorer(learned).score(traffic.matrix[late], traffic.group[late])[0]
    assert expected_calibration_error(1 / (1 + np.exp(-logit / 1000)), fraud) < 0.015


def test_trees_enter_only_with_enough_frauds(history: list[Snapshot]) -> None:
    for snapshot in history:
        if snapshot.counts["frauds"] < CONFIG.boosted.min_frauds:
            assert len(snapshot.model["trees.root"]) == 0
            assert snapshot.model["stack"][2] == 0.0
    assert history[-1].counts["frauds"] > 100


def test_scores_do_not_depend_on_the_batch(traffic: Traffic, history: list[Snapshot]) -> None:
    scorer = Scorer(history[-1])
    rows, group = traffic.matrix[:600], traffic.group[:600]
    whole = scorer.score(rows, group)
    for cut in (1, 16, 256):
        parts = [scorer.score(rows[a : a + cut], group[a : a + cut]) for a in range(0, 600, cut)]
        assert np.concatenate([p[0] for p in parts]).tobytes() == whole[0].tobytes()
        assert np.concatenate([p[1] for p in parts]).tobytes() == whole[1].tobytes()


def test_empty_batches_are_fine(history: list[Snapshot]) -> None:
    scorer = Scorer(history[-1])
    rows, group = np.zeros((0, 6)), np.zeros(0, np.uint8)
    assert [len(out) for out in scorer.score(rows, group)] == [0, 0]
    assert scorer.contributions(rows, group).shape == (0, 6)
    learner = Learner(first_snapshot(), CONFIG)
    learner.observe(np.zeros(0, np.uint64), np.zeros(0, np.int64), rows, group, np.zeros(0, np.bool_))
    assert learner.close_round().counts["events"] == 0


def test_single_precision_inputs_teach_the_same(traffic: Traffic) -> None:
    digests = []
    for dtype in (np.float32, np.float64):
        learner = Learner(first_snapshot(), CONFIG)
        rows = traffic.matrix[:800].astype(dtype)
        learner.observe(traffic.ids[:800], traffic.time[:800], rows, traffic.group[:800], np.zeros(800, np.bool_))
        digests.append(learner.close_round().digest)
    assert digests[0] == digests[1]


def test_contributions_add_up_to_the_score(traffic: Traffic, history: list[Snapshot]) -> None:
    for snapshot in (first_snapshot(), history[6], history[-1]):
        scorer = Scorer(snapshot)
        rows, group = traffic.matrix[:500], traffic.group[:500]
        total = scorer.contributions(rows, group).sum(axis=1) + scorer.base_milli[group]
        assert np.abs(total - scorer.score(rows, group)[0]).max() <= 1


def test_the_top_factor_set_to_normal_moves_the_score_down(traffic: Traffic, history: list[Snapshot]) -> None:
    scorer = Scorer(history[-1])
    logit = scorer.score(traffic.matrix, traffic.group)[0]
    risky = np.argsort(-logit, kind="stable")[:100]
    rows, group = traffic.matrix[risky], traffic.group[risky]
    contributions = scorer.contributions(rows, group)
    top = contributions.argmax(axis=1)
    normal = rows.copy()
    normal[np.arange(100), top] = np.nanmedian(traffic.matrix, axis=0)[top]
    moved = logit[risky] - scorer.score(normal, group)[0]
    share = contributions[np.arange(100), top]
    assert (moved > 0).mean() > 0.95
    assert 0.5 < np.median(moved / share) < 2.0


def test_anomaly_is_a_rate(traffic: Traffic) -> None:
    rng = np.random.default_rng(3)
    learner = Learner(first_snapshot(), CONFIG)
    rows = np.exp(rng.normal(0, 1, (14_000, 6)))
    quiet = np.zeros(14_000, np.bool_)
    learner.observe(
        rng.integers(1, 2**63, 14_000, dtype=np.uint64), np.arange(14_000), rows, np.zeros(14_000, np.uint8), quiet
    )
    scorer = Scorer(learner.close_round())
    fresh = np.exp(rng.normal(0, 1, (8_000, 6)))
    ppm = scorer.score(fresh, np.zeros(8_000, np.uint8))[1]
    for rate in (0.5, 0.1, 0.02):
        assert (ppm >= 1e6 * (1 - rate)).mean() == pytest.approx(rate, rel=0.35)
    odd = fresh.copy()
    odd[:, :3] = np.exp(rng.normal(6, 0.2, (8_000, 3)))
    assert np.median(scorer.score(odd, np.zeros(8_000, np.uint8))[1]) > 970_000


def test_the_anomaly_model_looks_only_where_and_on_the_side_it_is_told() -> None:
    rng = np.random.default_rng(8)
    inputs = [Input("amount", "linear", "high"), Input("shared", "linear", "low"), Input("history", "linear", "no")]
    learner = Learner(genesis(inputs, {}, -5.0, ["all"], seed=42), CONFIG)
    rows, quiet = rng.normal(0, 1, (14_000, 3)), np.zeros(14_000, np.bool_)
    ids = rng.integers(1, 2**63, 14_000, dtype=np.uint64)
    learner.observe(ids, np.arange(14_000), rows, np.zeros(14_000, np.uint8), quiet)
    odd = np.zeros((6, 3))
    odd[[0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 2, 2]] = 5.0, -5.0, -5.0, 5.0, 5.0, -5.0
    anomaly = Scorer(learner.close_round()).score(odd, np.zeros(6, np.uint8))[1]
    assert anomaly[:2].min() > 950_000
    assert anomaly[2:].max() < 600_000


def test_an_anomaly_model_with_nothing_to_look_at_is_refused() -> None:
    with pytest.raises(ValueError, match="none is watched by the anomaly model"):
        genesis([Input("kind", "code"), Input("age", "log", "no")], {}, -5.0, ["all"], seed=42)


def test_a_quiet_day_stays_quiet(traffic: Traffic, history: list[Snapshot]) -> None:
    """The threshold that uses a budget up on days with fraud is no quota: without fraud hardly anything reaches it."""

    def scores(day: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        rows = slice(day * traffic.per_day, (day + 1) * traffic.per_day)
        return Scorer(history[day - 1]).score(traffic.matrix[rows], traffic.group[rows])[0], traffic.fraud[rows]

    usual = [scores(day) for day in range(12, 18)]
    everything, frauds = np.concatenate([s for s, _ in usual]), int(sum(f.sum() for _, f in usual))
    threshold = np.sort(everything)[-frauds]  # as many alerts as there are frauds
    false_rate = sum(((s >= threshold) & ~f).sum() for s, f in usual) / sum((~f).sum() for _, f in usual)
    quiet = np.concatenate([s[~f] for s, f in map(scores, range(18, 24))])
    alerts = (quiet >= threshold).mean()
    assert alerts <= 1.5 * false_rate
    assert alerts < 0.5 * frauds / len(everything)


def test_suspected_events_do_not_teach_the_anomaly_model_until_they_mature(traffic: Traffic) -> None:
    rows, n = traffic.matrix[:6000], 6000
    group = np.zeros(n, np.uint8)
    suspected = np.zeros(n, np.bool_)
    suspected[:500] = True
    with_them, without = Learner(first_snapshot(), CONFIG), Learner(first_snapshot(), CONFIG)
    with_them.observe(traffic.ids[:n], traffic.time[:n], rows, group, suspected)
    without.observe(traffic.ids[500:n], traffic.time[500:n], rows[500:], group[500:], suspected[500:])
    ours, theirs = with_them.close_round().model, without.close_round().model
    for name in ("forest.reference", "linear", "knots"):
        assert ours[name].tobytes() == theirs[name].tobytes()
    with_them.advance(int(traffic.time[500]) + CONFIG.maturity_us)
    assert with_them.close_round().model["linear"].tobytes() != theirs["linear"].tobytes()


@pytest.mark.parametrize("cut", [1, 37])
def test_the_same_history_gives_the_same_bytes_however_it_is_cut(
    traffic: Traffic, history: list[Snapshot], cut: int
) -> None:
    days = 14 if cut > 1 else 3
    cut_up = learn(Learner(first_snapshot(), CONFIG), traffic, range(days), cut=cut)
    assert [s.version for s in cut_up] == [s.version for s in history[:days]]
    assert cut_up[-1].to_bytes() == history[days - 1].to_bytes()


@pytest.mark.parametrize("day", [2, 9, 17])
def test_a_restored_learner_goes_on_to_the_same_bytes(traffic: Traffic, history: list[Snapshot], day: int) -> None:
    learner = Learner.restore(Snapshot.from_bytes(history[day].to_bytes()))
    again = learn(learner, traffic, range(day + 1, day + 5))
    assert again[-1].to_bytes() == history[day + 4].to_bytes()


def test_a_snapshot_without_state_scores_alike_but_cannot_be_restored(
    traffic: Traffic, history: list[Snapshot]
) -> None:
    small = Snapshot.from_bytes(history[-1].without_state().to_bytes())
    assert small.version == history[-1].version
    assert (
        Scorer(small).score(traffic.matrix, traffic.group)[0].tobytes()
        == Scorer(history[-1]).score(traffic.matrix, traffic.group)[0].tobytes()
    )
    with pytest.raises(SnapshotError, match="no learning state"):
        Learner.restore(small)


def test_changed_labels_change_no_score_before_they_could_be_known(traffic: Traffic, history: list[Snapshot]) -> None:
    changed_from = 10
    flipped = traffic.fraud.copy()
    flipped[changed_from * traffic.per_day :] = (
        np.random.default_rng(1).random(len(flipped) - changed_from * traffic.per_day) < 0.2
    )
    other = learn(Learner(first_snapshot(), CONFIG), traffic, range(traffic.days), labels=flipped)
    delay = CONFIG.maturity_us // DAY
    for day in range(changed_from + delay):
        assert other[day].digest == history[day].digest
    assert other[changed_from + delay].digest != history[changed_from + delay].digest


def test_a_genuine_verdict_supersedes_a_fraud_label(traffic: Traffic) -> None:
    learner = Learner(first_snapshot(), CONFIG)
    learner.observe(
        traffic.ids[:400], traffic.time[:400], traffic.matrix[:400], traffic.group[:400], np.zeros(400, np.bool_)
    )
    for i in (3, 5):
        learner.label(int(traffic.ids[i]), DAY, True, "complaint")
    learner.label(int(traffic.ids[3]), 2 * DAY, False, "review")
    assert learner.close_round().counts == {"events": 400, "genuine": 0, "frauds": 0}
    learner.advance(10 * DAY)
    assert learner.close_round().counts == {"events": 400, "genuine": 399, "frauds": 1}


def test_a_label_that_turns_after_maturity_is_learned_at_the_next_refit(traffic: Traffic) -> None:
    learner = Learner(first_snapshot(), CONFIG)
    learner.observe(
        traffic.ids[:400], traffic.time[:400], traffic.matrix[:400], traffic.group[:400], np.zeros(400, np.bool_)
    )
    learner.label(int(traffic.ids[3]), DAY, True, "complaint")
    learner.advance(10 * DAY)
    for _ in range(2):  # the second one says nothing new
        learner.label(int(traffic.ids[7]), 11 * DAY, True, "chargeback")
        learner.label(int(traffic.ids[3]), 11 * DAY, False, "review")
        assert learner.close_round().counts == {"events": 400, "genuine": 399, "frauds": 1}


def test_frauds_known_before_their_genuine_counterparts_move_nothing_yet(traffic: Traffic) -> None:
    learner, n = Learner(first_snapshot(), CONFIG), 4000
    rows, group = traffic.matrix[:n], traffic.group[:n]
    learner.observe(traffic.ids[:n], traffic.time[:n], rows, group, np.zeros(n, np.bool_))
    for i in np.flatnonzero(traffic.fraud[:n]).tolist():
        learner.label(int(traffic.ids[i]), int(traffic.time[i]), True, "chargeback")
    learner.advance(CONFIG.maturity_us - DAY)
    before = Scorer(first_snapshot()).score(rows, group)[0]
    assert np.array_equal(Scorer(learner.close_round()).score(rows, group)[0], before)
    learner.advance(100 * DAY)
    assert not np.array_equal(Scorer(learner.close_round()).score(rows, group)[0], before)


def test_a_young_model_lets_few_of_the_latest_payments_stand_out(traffic: Traffic) -> None:
    n = 7000
    matrix = traffic.matrix[:n].copy()
    matrix[2000:, 0] *= 1000.0  # an input that grows with the line's age, unlike anything that has matured
    fraud = traffic.fraud[:n] & (matrix[:, 0] > np.nanmedian(matrix[:2000, 0]))
    shares = {}
    for young_frauds in (0, 10_000):
        learner = Learner(first_snapshot(), replace(CONFIG, young_frauds=young_frauds))
        learner.observe(
            traffic.ids[:n],
            np.repeat((0, 20 * DAY), (2000, n - 2000)),
            matrix,
            traffic.group[:n],
            np.zeros(n, np.bool_),
        )
        for i in np.flatnonzero(fraud[:2000]).tolist():
            learner.label(int(traffic.ids[i]), DAY, True, "chargeback")
        learner.advance(20 * DAY)
        snapshot = learner.close_round()
        latest = Scorer(snapshot).score(matrix[2000:], traffic.group[2000:n])[0]
        shares[young_frauds] = (latest > 1000 * np.log(0.02 / 0.98) + 1).mean()
    known = snapshot.counts["frauds"] / 2000
    assert shares[0] > 0.15
    assert shares[10_000] <= known + CONFIG.young_share + 0.01


def test_a_less_trusted_source_moves_the_model_less(traffic: Traffic) -> None:
    moved = []
    for trust in (0.01, 0.5, 1.0):
        learner = Learner(first_snapshot(), replace(CONFIG, trust={**CONFIG.trust, "complaint": trust}))
        learner.observe(
            traffic.ids[:400], traffic.time[:400], traffic.matrix[:400], traffic.group[:400], np.zeros(400, np.bool_)
        )
        for i in range(10):
            learner.label(int(traffic.ids[i]), DAY, True, "complaint")
        learner.advance(100 * DAY)
        moved.append(Scorer(learner.close_round()).score(traffic.matrix[:10], traffic.group[:10])[0].mean())
    assert moved[0] < moved[1] < moved[2]


def test_where_no_fraud_was_ever_told_what_matures_does_not_move_the_prior(traffic: Traffic) -> None:
    learner = Learner(first_snapshot(), CONFIG)
    rows = slice(0, 4000)
    learner.observe(
        traffic.ids[rows], traffic.time[rows], traffic.matrix[rows], traffic.group[rows], np.zeros(4000, np.bool_)
    )
    learner.advance(100 * DAY)
    silent = learner.close_round()
    assert silent.counts == {"events": 4000, "genuine": 4000, "frauds": 0}
    before = Scorer(first_snapshot()).score(traffic.matrix[rows], traffic.group[rows])[0]
    after = Scorer(silent).score(traffic.matrix[rows], traffic.group[rows])[0]
    assert np.array_equal(before, after)


def _with_false_labels(share: float, source: str = "complaint") -> NDArray[np.float64]:
    """Log-odds of all rows after 40 days in which false frauds rise from none to a share of the true ones."""
    traffic = make_traffic(seed=1, days=40, per_day=400)
    ramp = share * np.clip((np.arange(len(traffic.ids)) / traffic.per_day - 10) / 20, 0.0, 1.0)
    false = (np.random.default_rng(9).random(len(ramp)) < ramp * traffic.fraud.mean()) & ~traffic.fraud
    learner = Learner(first_snapshot(), CONFIG)
    for day in range(traffic.days):
        rows = slice(day * traffic.per_day, (day + 1) * traffic.per_day)
        learner.observe(
            traffic.ids[rows], traffic.time[rows], traffic.matrix[rows], traffic.group[rows], np.zeros(400, np.bool_)
        )
        for i in range(max(rows.start - 4 * traffic.per_day, 0), max(rows.stop - 4 * traffic.per_day, 0)):
            if traffic.fraud[i]:
                learner.label(int(traffic.ids[i]), int(traffic.time[i]) + 4 * DAY, True, "chargeback")
            elif false[i]:
                learner.label(int(traffic.ids[i]), int(traffic.time[i]) + 4 * DAY, True, source)
        learner.advance((day + 1) * DAY)
        snapshot = learner.close_round(with_state=False)
    return Scorer(snapshot).score(traffic.matrix, traffic.group)[0] / 1000


def test_a_slow_ramp_of_false_frauds_moves_no_score_beyond_the_stated_bounds() -> None:
    honest = _with_false_labels(0.0)
    by_complaints, by_chargebacks = _with_false_labels(0.05), _with_false_labels(0.05, "chargeback")
    for poisoned, bound in ((by_complaints, 1.0), (by_chargebacks, 1.5)):  # docs/models/labels.md
        moved = np.abs(poisoned - honest)
        assert 0.0 < moved.max() <= bound
        assert np.median(moved) <= bound / 4


def test_sources_below_full_trust_weigh_no_more_than_their_share() -> None:
    learner = Learner(first_snapshot(), CONFIG)
    fraud = np.array([True, True, True, False, True, True])
    trust = np.array([1.0, 0.5, 0.5, 1.0, 1.0, 0.5])
    learner._fraud_weight[:] = 0.0, PARTIAL_FIRST
    assert learner._bounded(trust.copy(), fraud, trust).tolist() == [1.0, 0.25, 0.0, 1.0, 1.0, 0.25]


def test_labels_of_unknown_source_are_refused() -> None:
    with pytest.raises(ValueError, match="'rumour' has no trust; known: review, chargeback, complaint, maturity"):
        Learner(first_snapshot(), EnsembleConfig()).label(1, 0, True, "rumour")


def test_wrong_matrices_are_refused_with_what_was_expected(traffic: Traffic) -> None:
    scorer = Scorer(first_snapshot())
    with pytest.raises(ValueError, match=r"float32\[2, 6\], expected C-contiguous float64\[n, 6\]"):
        scorer.score(np.zeros((2, 6), np.float32), np.zeros(2, np.uint8))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="group 7 is unknown"):
        scorer.score(np.zeros((2, 6)), np.full(2, 7, np.uint8))


_DIGESTS = """
import sys
sys.path.insert(0, {here!r})
import numpy as np
from detectors_traffic import CONFIG, first_snapshot, learn, make_traffic
from dataclasses import replace
from detectors.ensemble import Learner, Scorer
traffic = make_traffic(seed=2, days=8, per_day=60)
config = replace(CONFIG, boosted=replace(CONFIG.boosted, min_frauds=3, trees=8))
last = learn(Learner(first_snapshot(), config), traffic, range(traffic.days))[-1]
scorer = Scorer(last)
rows, group = traffic.matrix[:40], traffic.group[:40]
assert len(last.model["trees.root"]) > 0
print(last.digest, scorer.score(rows, group)[0].tolist(), scorer.contributions(rows, group).tolist())
"""


def test_compiled_and_plain_python_give_the_same_bytes() -> None:
    here = str(Path(__file__).parent)

    def run(**environment: str) -> str:
        code = _DIGESTS.format(here=here)
        done = subprocess.run(
            [sys.executable, "-W", "error::RuntimeWarning", "-c", code],
            env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run(NUMBA_DISABLE_JIT="1", PYTHONHASHSEED="1") == run(PYTHONHASHSEED="2")
