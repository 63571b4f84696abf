"""A young line's ceiling: risk alone touches nobody up to the cut; hard rules, lists and failure directions pass it."""

from __future__ import annotations

import numpy as np
import pytest

from rules.examples import neutral_row
from rules.ladder import APPROVE, CHALLENGE_LIGHT, CHALLENGE_STRONG, DECLINE, REMIND, REVIEW
from rules.policy import Policy
from rules.precedence import FAILED_STATE
from rules.problem import PackError
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

COMMON = """
pack: common
kind: common
thresholds: {remind: 1000, challenge_light: 20000, challenge_strong: 60000, review: 300000, decline: 900000}
failure: {state: challenge_light}
young: {touch_ceiling_per_10k: 20}
rules:
  - {id: hard, when: "amount_minor == 777", outcome: challenge, step_up: strong}
watch:
  - {payee: p-watch, reason: case, owner: team, until: 2030-01-01}
deny:
  - {payee: p-bad, reason: mule, owner: team, until: 2030-01-01}
"""


def verdict(logit_milli: int, cut: int, *, amount: float = 5.0, payee: str = "p-1", degraded: int = 0) -> np.void:
    policy = Policy.from_files({"common.yaml": COMMON.encode()}).compile(SCHEMA, hash_id)
    row = neutral_row(SCHEMA)
    row[SCHEMA.index["amount_minor"]] = amount
    ids = np.array([[hash_id("a"), hash_id(payee), hash_id("d")]], np.uint64)
    cuts = np.full(len(policy.scenarios), cut, np.int64)
    found: np.void = policy.evaluate(
        row.reshape(1, -1), np.array([logit_milli]), ids, np.array([0]), np.array([degraded], np.uint8), 1000, cuts
    )[0]
    return found


@pytest.mark.parametrize(
    ("logit_milli", "cut", "rung", "young"),
    [
        (-3_000, -1, CHALLENGE_LIGHT, False),
        (-3_000, 40_000, CHALLENGE_LIGHT, False),
        (-3_000, 50_000, REMIND, True),
        (0, 600_000, REMIND, True),
        (0, 400_000, REVIEW, False),
        (-6_000, 600_000, REMIND, False),
        (-9_000, 600_000, APPROVE, False),
    ],
)
def test_risk_up_to_the_cut_touches_nobody_and_says_so(logit_milli: int, cut: int, rung: int, young: bool) -> None:
    found = verdict(logit_milli, cut)
    assert (int(found["rung"]), bool(found["young"])) == (rung, young)


def test_the_risk_itself_is_as_it_was() -> None:
    assert verdict(-3_000, 900_000)["risk_ppm"] == verdict(-3_000, -1)["risk_ppm"]


def test_hard_rules_lists_and_failure_directions_pass_the_ceiling() -> None:
    assert verdict(0, 999_999, amount=777.0)["rung"] == CHALLENGE_STRONG
    assert verdict(0, 999_999, payee="p-watch")["rung"] == REVIEW
    assert verdict(0, 999_999, payee="p-bad")["rung"] == DECLINE
    assert verdict(-3_000, 999_999, degraded=FAILED_STATE)["rung"] == CHALLENGE_LIGHT


def test_who_is_touched_all_the_same_carries_no_flag() -> None:
    assert not verdict(-3_000, 999_999, amount=777.0)["young"]


@pytest.mark.parametrize("text", ["{}", "{touch_ceiling_per_10k: 1}", "{touch_ceiling_per_10k: 20, frauds: 0}"])
def test_a_ceiling_that_is_none_is_refused_with_its_place(text: str) -> None:
    files = {"common.yaml": COMMON.replace("{touch_ceiling_per_10k: 20}", text).encode()}
    with pytest.raises(PackError, match=r"common\.yaml:6"):
        Policy.from_files(files)
