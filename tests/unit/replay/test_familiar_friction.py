"""What touched familiar life is told by rule: the hard rule that decided, the rules that pushed, or the model alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rules.compiled_policy import VERDICT
from rules.fired_rules import RuleInfo
from rules.precedence import DENY
from stream.replay.measure.familiar_friction import FamiliarFriction


def rule(name: str, weight_milli: int = 0, rung: int = 0) -> RuleInfo:
    return RuleInfo(name, "pack", weight_milli, rung, None, "none", False, False, ())


RULES = (rule("adverse_pair", rung=3), rule("hurry", 1_000), rule("known", -700), rule("odd_hour", 300))


def verdict(*fired: int, hard: int = -1, **more: Any) -> npt.NDArray[np.void]:
    one = np.zeros(1, VERDICT)
    one["hard_rule"] = hard
    bits = np.zeros(one["fired"].shape[1] * 8, np.uint8)
    bits[list(fired)] = 1
    one["fired"] = np.packbits(bits, bitorder="little")
    for name, value in more.items():
        one[name] = value
    return one


def causes(*verdicts: npt.NDArray[np.void]) -> dict[str, int]:
    friction = FamiliarFriction(RULES)
    friction.add(np.concatenate(verdicts))
    return {cause["cause"]: cause["touched"] for cause in friction.table(10_000)}


def test_a_hard_rule_that_decided_stands_alone() -> None:
    assert causes(verdict(0, 1, hard=0)) == {"adverse_pair": 1}


def test_every_rule_that_added_to_the_risk_is_named_and_those_that_lowered_it_are_not() -> None:
    assert causes(verdict(1, 2, 3), verdict(3)) == {"odd_hour": 2, "hurry": 1}


def test_without_a_rule_it_was_the_model_a_list_or_a_failed_dependency() -> None:
    told = causes(verdict(), verdict(2), verdict(degraded=1), verdict(1, list_mark=DENY))
    assert told == {"model_alone": 2, "failed_dependency": 1, "listed": 1}


def test_the_rate_is_of_familiar_payments() -> None:
    friction = FamiliarFriction(RULES)
    friction.add(verdict(1))
    assert friction.table(4_000) == [{"cause": "hurry", "touched": 1, "per_10k": 2.5}]
