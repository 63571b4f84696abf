"""Measures: by hand on small cases, against plain definitions on random ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.replay.measure.detection import (
    DAY_US,
    Scored,
    area_under_roc,
    average_precision,
    card_precision,
    known_accounts,
    without_known_cards,
)
from stream.replay.measure.familiar_pairs import FamiliarPairs
from stream.replay.measure.friction import (
    EventTruth,
    bootstrap,
    curve,
    measure,
    threshold_at_recall,
    thresholds_of,
    touched_again,
)
from stream.replay.measure.weeks import Weeks

PAIRS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40)


def scored(rows: list[tuple[int, int, float, bool]]) -> Scored:
    day, account, score, fraud = zip(*rows, strict=True)
    return Scored(np.array(day), np.array(account, np.uint64), np.array(score, float), np.array(fraud, bool))


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_average_precision_is_the_sum_over_thresholds(pairs: list[tuple[int, bool]]) -> None:
    score, fraud = np.array([s for s, _ in pairs], float), np.array([f for _, f in pairs])
    if not fraud.any():
        assert math.isnan(average_precision(score, fraud))
        return
    expected, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        taken = score >= threshold
        recall, precision = fraud[taken].sum() / fraud.sum(), fraud[taken].mean()
        expected += (recall - before) * precision
        before = recall
    assert average_precision(score, fraud) == pytest.approx(expected)


@given(PAIRS)
@settings(max_examples=100, deadline=None)
def test_auc_is_the_chance_that_a_fraud_scores_higher(pairs: list[tuple[int, bool]]) -> None:
    score, fraud = np.array([s for s, _ in pairs], float), np.array([f for _, f in pairs])
    if fraud.all() or not fraud.any():
        assert math.isnan(area_under_roc(score, fraud))
        return
    wins = [(a > b) + 0.5 * (a == b) for a in score[fraud] for b in score[~fraud]]
    assert area_under_roc(score, fraud) == pytest.approx(np.mean(wins))


def test_an_account_found_among_the_highest_leaves_the_following_days() -> None:
    events = scored([(0, 1, 0.9, True), (0, 2, 0.8, False), (1, 1, 0.9, True), (1, 2, 0.3, False), (1, 3, 0.5, True)])
    # day 0: account 1 is found; day 1: of 2 and 3 the higher one, 3
    assert card_precision(events, top=1) == 1.0
    assert card_precision(events, top=2) == 0.5


def test_an_account_counts_once_a_day_with_its_highest_score() -> None:
    events = scored([(0, 1, 0.1, True), (0, 1, 0.9, False), (0, 2, 0.5, False)])
    assert card_precision(events, top=1) == 1.0


@pytest.mark.parametrize(
    ("fraud_day", "tested_day", "known"),
    [
        (85, 100, False),
        (86, 100, True),
        (92, 100, True),
        (93, 100, False),
        (93, 101, True),
        (98, 106, True),
        (99, 106, False),
    ],
)
def test_accounts_are_known_from_two_weeks_before_the_week_to_eight_days_before_the_day(
    fraud_day: int, tested_day: int, known: bool
) -> None:
    events = scored([(fraud_day, 7, 0.5, True), (tested_day, 7, 0.5, False), (tested_day, 8, 0.5, False)])
    assert (7 in known_accounts(events, 100, tested_day)) is known
    assert len(without_known_cards(events.where(events.day >= 86), 100)) == (1 if known else 2)


def test_weeks_as_events_come_are_those_of_the_whole() -> None:
    generator = np.random.default_rng(3)
    day = np.sort(generator.integers(1_000, 1_045, 4_000))
    fraud = generator.random(4_000) < 0.05
    whole = Scored(
        day, generator.integers(0, 300, 4_000).astype(np.uint64), generator.random(4_000) + 0.3 * fraud, fraud
    )
    weeks = Weeks()
    for start in range(0, 4_000, 37):
        weeks.add(Scored(*(getattr(whole, name)[start : start + 37] for name in ("day", "account", "score", "fraud"))))
    weeks.close()
    assert [week for week, _ in weeks.measured] == [1_014, 1_021, 1_028, 1_035]
    for week, found in weeks.measured:
        tested = without_known_cards(whole, week)
        assert found.ap == average_precision(tested.score, tested.fraud)
        assert found.cp100 == card_precision(tested)


def test_a_pair_is_familiar_after_three_genuine_payments_and_two_weeks() -> None:
    pairs = FamiliarPairs()
    days = np.array([0, 13, 13, 13.9, 14, 15])
    genuine = np.array([True, True, True, True, True, False])
    accounts, payees = np.full(6, 5, np.uint64), np.full(6, 9, np.uint64)
    times = (days * DAY_US).astype(np.int64)
    assert pairs.walk(accounts, payees, times, genuine).tolist() == [False] * 4 + [True, True]
    assert pairs.walk(accounts[:1], payees[:1] + np.uint64(1), times[5:], genuine[:1]).tolist() == [False], (
        "another payee"
    )
    assert pairs.walk(accounts[:1], np.zeros(1, np.uint64), times[5:], genuine[:1]).tolist() == [False], "no payee"


def test_familiar_pairs_stay_right_as_their_table_grows() -> None:
    pairs = FamiliarPairs()
    accounts = np.arange(1, 3_001, dtype=np.uint64)
    payees, genuine = accounts * np.uint64(7), np.ones(3_000, bool)
    for day in (0, 1, 2):
        assert not pairs.walk(accounts, payees, np.full(3_000, day * DAY_US), genuine).any()
    assert pairs.count == 3_000
    assert pairs.walk(accounts, payees, np.full(3_000, 20 * DAY_US), genuine).all()


def truth_of(fraud: list[int], familiar: list[int] | None = None, account: list[int] | None = None) -> EventTruth:
    n = len(fraud)
    return EventTruth(
        np.arange(n, dtype=np.int64) * DAY_US,
        np.array(account or range(n), np.uint64),
        np.array(fraud, bool),
        np.array(familiar or [0] * n, bool),
    )


def test_friction_counts_genuine_touches_and_caught_frauds_familiar_and_not() -> None:
    truth = truth_of([1, 1, 0, 0, 0], [1, 0, 1, 1, 0])
    friction = measure(np.array([True, False, True, False, True]), truth)
    assert (friction.recall, friction.touched_per_fraud, friction.familiar_recall) == (0.5, 2.0, 1.0)
    assert friction.per_10k == pytest.approx(20_000 / 3)
    assert friction.familiar_per_10k == 5_000


@given(PAIRS, st.sampled_from([0.6, 0.7, 0.8, 1.0]))
@settings(max_examples=100, deadline=None)
def test_a_threshold_reaches_its_recall_and_the_next_higher_one_does_not(
    pairs: list[tuple[int, bool]], recall: float
) -> None:
    score, fraud = np.array([s for s, _ in pairs], float), np.array([f for _, f in pairs])
    threshold = threshold_at_recall(score, fraud, recall)
    if not fraud.any():
        assert threshold == math.inf
        return
    assert (score[fraud] >= threshold).mean() >= recall - 1e-9
    assert (score[fraud] > threshold).mean() < recall


def test_alerts_predicted_for_a_threshold_are_those_of_applying_it() -> None:
    generator = np.random.default_rng(1)
    score = generator.integers(0, 50, 500) / 50.0
    truth = truth_of((generator.random(500) < 0.1).astype(int).tolist())
    points = curve(score, truth, thresholds_of(score))
    assert len(points) > 20
    for point in points:
        applied = measure(score >= point.threshold, truth)
        assert point.friction == applied
        assert point.alerts_per_day == pytest.approx((applied.touched + applied.caught) / 499)


def test_intervals_are_wider_where_few_accounts_make_all_touches() -> None:
    fraud, familiar = [0] * 400 + [1] * 40, [0] * 440
    touched = np.array([n % 10 == 0 for n in range(400)] + [True] * 40)
    spread = bootstrap(touched, truth_of(fraud, familiar), seed=1)["per_10k"]
    crowded = truth_of(fraud, familiar, [0 if n % 10 == 0 and n < 400 else n + 1 for n in range(440)])
    lumped = bootstrap(touched, crowded, seed=1)["per_10k"]
    assert spread.low < 1_000 < spread.high
    assert lumped.high - lumped.low > 2 * (spread.high - spread.low)


def test_a_customer_touched_again_within_a_week_is_counted() -> None:
    truth = EventTruth(
        np.array([0, 6, 20, 21]) * DAY_US, np.array([1, 1, 1, 2], np.uint64), np.zeros(4, bool), np.zeros(4, bool)
    )
    assert touched_again(np.ones(4, bool), truth) == 0.25
