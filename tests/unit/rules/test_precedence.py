"""docs/precedence.md, a test for each of its lines."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from rules.ladder import (
    APPROVE,
    CHALLENGE_LIGHT,
    CHALLENGE_STRONG,
    DECLINE,
    OUTCOMES,
    REMIND,
    REVIEW,
    RUNGS,
    STEP_UPS,
)
from rules.policy import shipped
from rules.precedence import (
    ALLOW,
    DENY,
    FAILED_EXPRESSION,
    FAILED_HARD_RULE,
    FAILED_MODEL,
    FAILED_STATE,
    WATCH,
    settle_rung,
)
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

PACK = """
pack: person
scenario: person_transfer
match: has_payee
thresholds: {challenge_light: 20000, challenge_strong: 60000, review: 300000, decline: 900000}
rules:
  - {id: weighted, when: "amount_minor >= 500", weight: 4}
  - {id: hard.review, when: "amount_minor == 777", outcome: review}
  - {id: hard.light, when: "amount_minor in [777, 778]", outcome: challenge, step_up: light}
"""
LISTS = """
pack: lists
kind: lists
deny:
  - {payee: p-bad, reason: mule, owner: fraud-team, until: 2030-01-01}
watch:
  - {payee: p-watch, reason: seen in a case, owner: fraud-team, until: 2030-01-01}
  - {account: a-1, payee: p-both, reason: case, owner: fraud-team, until: 2030-01-01}
allow:
  - {account: a-1, payee: p-good, reason: own company, owner: desk, until: 2030-01-01}
  - {payee: p-both, reason: utility, owner: desk, until: 2030-01-01}
  - {payee: p-ended, reason: trial, owner: desk, valid_from: 2026-01-01, until: 2026-02-01}
snooze:
  - {rule: weighted, account: a-1, payee: p-snooze, reason: house purchase, owner: desk, until: 2026-06-01}
"""
MARCH, JULY = 1_772_323_200_000_000, 1_782_864_000_000_000  # 2026-03-01, 2026-07-01
JANUARY = 1_767_571_200_000_000  # 2026-01-05


def settled(
    ladder: int,
    *,
    hard: int = 0,
    mark: int = 0,
    watch: int = REVIEW,
    cleared: bool = False,
    essential: bool = False,
    slips: int = 0,
    floor: int = 0,
    proceed: bool = False,
) -> int:
    return int(settle_rung(ladder, hard, mark, watch, cleared, essential, slips, floor, proceed))


@pytest.mark.parametrize("ladder", range(6))
def test_the_ladder_alone_decides_where_nothing_else_speaks(ladder: int) -> None:
    assert settled(ladder) == ladder


def test_a_cleared_pair_is_not_touched_again() -> None:
    assert all(settled(ladder, cleared=True) == APPROVE for ladder in range(6))


def test_the_allow_list_takes_away_what_risk_alone_asks_for() -> None:
    assert all(settled(ladder, mark=ALLOW) == APPROVE for ladder in range(6))


def test_slips_remind_and_never_more() -> None:
    """Exhaustively: whatever else holds, slips change nothing but an approval, into a reminder."""
    flags = list(itertools.product([False, True], repeat=3))
    for ladder, hard, mark, slips, floor in itertools.product(range(6), range(6), range(4), range(9), range(6)):
        for cleared, essential, proceed in flags:
            given = {"hard": hard, "mark": mark, "floor": floor}
            given |= {"cleared": cleared, "essential": essential, "proceed": proceed}
            with_slips, without = settled(ladder, slips=slips, **given), settled(ladder, slips=0, **given)
            assert with_slips == (max(without, REMIND) if slips else without)


def test_a_failed_dependency_lifts_to_its_floor() -> None:
    assert settled(APPROVE, floor=CHALLENGE_LIGHT) == CHALLENGE_LIGHT
    assert settled(APPROVE, floor=CHALLENGE_LIGHT, cleared=True, mark=ALLOW) == CHALLENGE_LIGHT


def test_watch_goes_before_allow_and_deny_before_watch(small: SimpleNamespace) -> None:
    policy = small.compiled(PACK, LISTS)
    seen = {
        payee: RUNGS[small.evaluate(policy, when=MARCH, ids=("a-1", payee, ""), has_payee=True)["rung"]]
        for payee in ("p-bad", "p-watch", "p-both", "p-good", "p-other")
    }
    assert seen == {
        "p-bad": "decline",
        "p-watch": "review",
        "p-both": "review",
        "p-good": "approve",
        "p-other": "approve",
    }
    assert settled(APPROVE, mark=WATCH) == REVIEW
    assert settled(APPROVE, mark=DENY) == DECLINE


@pytest.mark.parametrize("hard", range(1, 6))
def test_a_hard_rule_is_passed_by_nothing_that_lowers(hard: int) -> None:
    assert settled(APPROVE, hard=hard, mark=ALLOW, cleared=True, proceed=True) == hard


def test_of_hard_rule_deny_and_watch_the_strictest_stands() -> None:
    assert settled(APPROVE, hard=CHALLENGE_LIGHT, mark=DENY) == DECLINE
    assert settled(APPROVE, hard=DECLINE, mark=WATCH) == DECLINE
    assert settled(APPROVE, hard=CHALLENGE_LIGHT, mark=WATCH) == REVIEW


def test_an_essential_payment_is_never_held() -> None:
    for ladder, hard, mark, floor in itertools.product(range(6), range(6), range(4), range(6)):
        for cleared, proceed in itertools.product([False, True], repeat=2):
            rung = settled(ladder, hard=hard, mark=mark, floor=floor, essential=True, cleared=cleared, proceed=proceed)
            assert rung != REVIEW
    assert settled(REVIEW, essential=True) == CHALLENGE_STRONG
    assert settled(DECLINE, essential=True) == CHALLENGE_STRONG  # risk alone never refuses it
    assert settled(APPROVE, essential=True, hard=REVIEW) == CHALLENGE_STRONG
    assert settled(APPROVE, essential=True, mark=WATCH) == CHALLENGE_STRONG
    assert settled(APPROVE, essential=True, hard=DECLINE) == DECLINE
    assert settled(APPROVE, essential=True, mark=DENY) == DECLINE


def test_who_may_proceed_first_is_reminded_instead_of_lightly_challenged() -> None:
    assert settled(CHALLENGE_LIGHT, proceed=True) == REMIND
    assert settled(CHALLENGE_STRONG, proceed=True) == CHALLENGE_STRONG
    assert settled(APPROVE, proceed=True) == APPROVE


def test_hard_rules_change_only_the_outcome_and_the_strictest_is_named(small: SimpleNamespace) -> None:
    policy = small.compiled(PACK)
    plain, hard = (small.evaluate(policy, has_payee=True, amount_minor=amount) for amount in (501, 777))
    assert plain["risk_ppm"] == hard["risk_ppm"]
    assert policy.rules[hard["hard_rule"]].id == "hard.review"
    assert [rule.id for rule in policy.fired_rules(hard["fired"])] == ["weighted", "hard.review", "hard.light"]
    assert OUTCOMES[hard["outcome"]] == "review"
    lighter = small.evaluate(policy, has_payee=True, amount_minor=778)
    assert (OUTCOMES[lighter["outcome"]], STEP_UPS[lighter["step_up"]]) == ("challenge", "light")


def test_list_entries_are_in_force_by_the_time_of_the_event(small: SimpleNamespace) -> None:
    policy = small.compiled(PACK, LISTS)
    marks = [
        int(small.evaluate(policy, when=when, ids=("a-9", "p-ended", ""), has_payee=True)["list_mark"])
        for when in (JANUARY, MARCH)
    ]
    assert marks == [ALLOW, 0]


def test_an_entry_that_names_two_ids_needs_both(small: SimpleNamespace) -> None:
    policy = small.compiled(PACK, LISTS)
    marks = [
        int(small.evaluate(policy, when=MARCH, ids=ids, has_payee=True)["list_mark"])
        for ids in (("a-1", "p-good", ""), ("a-2", "p-good", ""), ("a-1", "", ""))
    ]
    assert marks == [ALLOW, 0, 0]


def test_a_snooze_silences_one_rule_for_one_pair_until_its_date(small: SimpleNamespace) -> None:
    policy = small.compiled(PACK, LISTS)

    def fired(account: str, payee: str, when: int, amount: int = 600) -> list[str]:
        verdict = small.evaluate(policy, when=when, ids=(account, payee, ""), has_payee=True, amount_minor=amount)
        return [rule.id for rule in policy.fired_rules(verdict["fired"])]

    assert fired("a-1", "p-snooze", MARCH) == []
    assert fired("a-1", "p-snooze", JULY) == ["weighted"]
    assert fired("a-2", "p-snooze", MARCH) == ["weighted"]
    assert fired("a-1", "p-other", MARCH) == ["weighted"]
    assert fired("a-1", "p-snooze", MARCH, 777) == ["hard.review", "hard.light"]


FAILING = """
pack: person
scenario: person_transfer
match: has_payee
thresholds: {review: 300000}
rules:
  - {id: fails, when: "amount_minor / slow > 1", weight: 4}
""".replace("slow", "pair_attempts")
FAILURES = """
failure: {model: challenge_strong, expression: remind, hard_rule: review, list: remind, state: challenge_light}
"""


def test_an_error_in_a_condition_is_evidence_of_its_own_and_never_a_silent_pass(small: SimpleNamespace) -> None:
    policy = small.compiled(FAILING, common=small.common + FAILURES)
    failed = small.evaluate(policy, has_payee=True, amount_minor=100, pair_attempts=0)
    fine = small.evaluate(policy, has_payee=True, amount_minor=100, pair_attempts=1000)
    assert [rule.id for rule in policy.fired_rules(failed["failed"])] == ["fails"]
    assert not policy.fired_rules(failed["fired"])
    assert failed["degraded"] == FAILED_EXPRESSION
    assert policy.degraded_list(int(failed["degraded"])) == [{"dependency": "expression", "direction": "remind"}]
    assert RUNGS[failed["rung"]] == "remind"
    assert failed["risk_ppm"] == fine["risk_ppm"] > 0
    assert (fine["degraded"], RUNGS[fine["rung"]]) == (0, "approve")


def test_a_hard_rule_in_error_takes_its_own_direction(small: SimpleNamespace) -> None:
    hard = FAILING.replace("weight: 4", "outcome: decline")
    policy = small.compiled(hard, common=small.common + FAILURES)
    verdict = small.evaluate(policy, has_payee=True, amount_minor=100, pair_attempts=0)
    assert (verdict["degraded"], RUNGS[verdict["rung"]]) == (FAILED_HARD_RULE, "review")


def test_a_failed_model_takes_the_declared_direction(small: SimpleNamespace) -> None:
    policy = small.compiled(common=small.common + FAILURES)
    verdict = small.evaluate(policy, degraded=FAILED_MODEL)
    assert RUNGS[verdict["rung"]] == "challenge_strong"
    assert policy.degraded_list(int(verdict["degraded"]))[0]["dependency"] == "model"


def test_lists_out_of_date_have_failed_and_are_no_clean_bill(small: SimpleNamespace) -> None:
    lists = (
        "pack: l\nkind: lists\nfresh_until: 2027-01-08\ndeny: [{payee: p-9, reason: x, owner: y, until: 2030-01-01}]\n"
    )
    policy = small.compiled(lists, common=small.common + "failure: {list: challenge_strong}\n")
    fresh = 1_799_366_400_000_000  # 2027-01-08
    before, after = (small.evaluate(policy, -9000, when=when) for when in (fresh - 1, fresh))
    assert (before["rung"], policy.degraded_list(int(before["degraded"]))) == (APPROVE, [])
    assert after["rung"] == CHALLENGE_STRONG
    assert policy.degraded_list(int(after["degraded"])) == [{"dependency": "list", "direction": "challenge_strong"}]
    denied = small.evaluate(policy, when=fresh, ids=("a-1", "p-9", "d-1"))
    assert denied["rung"] == DECLINE  # what stands on an old list still counts


def test_a_broken_row_takes_the_direction_of_state(small: SimpleNamespace) -> None:
    policy = small.compiled(common=small.common + "failure: {state: challenge_light}\n")
    verdict = small.evaluate(policy, degraded=FAILED_STATE)
    assert verdict["rung"] == CHALLENGE_LIGHT
    assert policy.degraded_list(int(verdict["degraded"])) == [{"dependency": "state", "direction": "challenge_light"}]


def test_no_outcome_acts_on_an_account() -> None:
    """Invariant 4, no account scope: there is no word for it."""
    assert OUTCOMES == ("approve", "remind", "challenge", "review", "decline")
    assert CHALLENGE_LIGHT < CHALLENGE_STRONG < REVIEW < DECLINE


def test_a_pair_that_ended_badly_is_asked_strongly_until_it_is_cleared_again(small: SimpleNamespace) -> None:
    policy = shipped().compile(SCHEMA, hash_id)
    bad, cleared = (
        small.evaluate(policy, has_payee=True, pair_payments=9, pair_attempts=9, pair_adverse=True, pair_cleared=clear)
        for clear in (False, True)
    )
    assert RUNGS[bad["rung"]] == "challenge_strong"
    assert RUNGS[cleared["rung"]] == "approve"
