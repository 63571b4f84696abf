"""Who wins: one function that settles the rung, and the compiled loop that gathers what it needs.

The order, from the bottom up (docs/precedence.md, a test for each line): risk on the ladder; what was cleared
is left alone; the allow list; slips remind; a failed dependency's floor; the watch list; the deny list; hard
rules. Of hard rule, deny and watch the strictest stands; allow and familiarity never pass any of them. An
essential payment is never held: where a review would stand, a strong challenge stands.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from rules.bytecode import ERROR, TRUE
from rules.familiarity import discount_milli, familiarity_ppm
from rules.ladder import (
    APPROVE,
    CHALLENGE_LIGHT,
    CHALLENGE_STRONG,
    DECLINE,
    REMIND,
    REVIEW,
    climb,
    risk_ppm,
)
from rules.lists import list_mark, snoozed
from rules.tolerance import slip_rung

DENY: Final = 1
WATCH: Final = 2
ALLOW: Final = 3
FAILED_MODEL: Final = 1
FAILED_EXPRESSION: Final = 2
FAILED_HARD_RULE: Final = 4
FAILED_LIST: Final = 8
FAILED_STATE: Final = 16
FAILED_DECIDER: Final = 32
FAILED_RATES: Final = 64
"""Bits of ``degraded``, in the order of :data:`rules.pack.DEPENDENCIES`."""


@njit(cache=True, nogil=True)
def settle_rung(ladder, hard, mark, watch, cleared, essential, slips, floor, proceed):  # type: ignore[no-untyped-def]
    """The rung of one payment.

    Parameters
    ----------
    ladder
        Rung by risk, 0..5.
    hard
        Strictest rung of the hard rules that fired, 0 for none.
    mark
        List word: 0 none, 1 deny, 2 watch, 3 allow.
    watch
        Rung that the watch list asks for.
    cleared, essential, proceed
        Truths: the pair was cleared, the payment is essential, the customer may proceed first.
    slips
        Slips reported with this payment.
    floor
        Least rung while a dependency fails.

    >>> int(settle_rung(DECLINE, 0, ALLOW, REVIEW, False, False, 0, 0, False))
    0
    >>> int(settle_rung(APPROVE, CHALLENGE_STRONG, ALLOW, REVIEW, True, False, 0, 0, True))
    3
    """
    level = ladder
    if cleared or mark == ALLOW:
        level = APPROVE
    if proceed and REMIND < level <= CHALLENGE_LIGHT:
        level = REMIND
    level = max(level, slip_rung(slips), floor)
    if essential and level > CHALLENGE_STRONG:
        level = CHALLENGE_STRONG
    if mark == WATCH:
        level = max(level, watch)
    elif mark == DENY:
        level = DECLINE
    level = max(level, hard)
    if essential and level == REVIEW:
        level = CHALLENGE_STRONG
    return level


@njit(cache=True, nogil=True)
def gather_rules(truth, i, scenario, variants, when, prior_milli, ids, snoozes, out):  # type: ignore[no-untyped-def]
    """Weight in milli, strictest hard rung, hard rule (-1 none) and failure bits of row ``i``; marks its bits in ``out``."""
    rules, scenarios, weights, rungs, fades, start, end = variants
    snooze_keys, snooze_end, snooze_rule = snoozes
    weight = 0
    hard = 0
    hard_rule = -1
    failures = 0
    for v in range(len(rules)):
        state = truth[v, i]
        if state == 0 or not (scenarios[v] >> scenario) & 1 or not start[v] <= when < end[v]:
            continue
        rule = rules[v]
        if state == ERROR:
            out["failed"][i, rule >> 3] |= np.uint8(1 << (rule & 7))
            failures |= FAILED_HARD_RULE if rungs[v] > 0 else FAILED_EXPRESSION
            continue
        if len(snooze_keys) > 0 and snoozed(ids, when, rule, snooze_keys, snooze_end, snooze_rule):
            continue
        out["fired"][i, rule >> 3] |= np.uint8(1 << (rule & 7))
        weight += weights[v] * prior_milli // 1000 if fades[v] else weights[v]
        if rungs[v] > hard:
            hard = rungs[v]
            hard_rule = rule
    return weight, hard, hard_rule, failures


@njit(cache=True, nogil=True)
def settle(matrix, logit, ids, when, degraded, prior_milli, truth, policy, cuts, out):  # type: ignore[no-untyped-def]
    """Fill the verdicts ``out`` of every row.

    ``truth`` holds the verdicts of the policy's program, ``policy`` its arrays in the order of
    ``CompiledPolicy.arguments``, ``cuts`` the risk in ppm, by scenario, up to which risk alone touches nobody; the rest as in ``CompiledPolicy.evaluate``.
    """
    variants, places, scenarios, columns, familiar, lists, snoozes, limits, table = policy
    essential_at, lost_at, proceed_at, complex_at = places
    thresholds, caps = scenarios
    scenario_column, slips_column, cleared_column = columns
    familiar_columns, familiar_settings = familiar
    floors, watch, proceed_below, fresh_until = limits
    for i in range(matrix.shape[0]):
        row = matrix[i]
        scenario = int(row[scenario_column])
        gathered = gather_rules(truth, i, scenario, variants, when[i], prior_milli, ids[i], snoozes, out)
        weight, hard, hard_rule, failures = gathered
        failures |= int(degraded[i])
        if when[i] >= fresh_until:
            failures |= FAILED_LIST  # a list that nobody renewed says nothing about who is not on it
        for place in (essential_at, lost_at, proceed_at, complex_at[scenario]):
            if place >= 0 and truth[place, i] == ERROR:
                failures |= FAILED_EXPRESSION
        # A condition that takes familiarity away does so in error too.
        lost = lost_at >= 0 and truth[lost_at, i] != 0
        level = familiarity_ppm(row, familiar_columns, familiar_settings, lost)
        # the models read the pair's history too: what they have learned of it is not to be taken off twice
        discount = discount_milli(level, caps[scenario]) * prior_milli // 1000
        risk = risk_ppm(logit[i] + weight - discount, table)
        mark = list_mark(ids[i], when[i], lists)
        essential = essential_at >= 0 and truth[essential_at, i] == TRUE
        proceed = proceed_at >= 0 and truth[proceed_at, i] == TRUE and risk < proceed_below
        cleared = cleared_column >= 0 and row[cleared_column] == 1.0
        slips = int(row[slips_column]) if slips_column >= 0 and row[slips_column] >= 0.0 else 0
        ladder = climb(risk, thresholds[scenario])
        floor = failure_floor(failures, floors)
        rung = settle_rung(ladder, hard, mark, watch, cleared, essential, slips, floor, proceed)
        young = False
        if ladder > REMIND and risk <= cuts[scenario]:
            ladder = REMIND if risk >= thresholds[scenario, 0] else APPROVE
            below = settle_rung(ladder, hard, mark, watch, cleared, essential, slips, floor, proceed)
            young = below < rung
            rung = below
        out["young"][i] = young
        out["scenario"][i] = scenario
        out["rung"][i] = rung
        out["outcome"][i] = rung - (rung >= CHALLENGE_STRONG)
        out["step_up"][i] = rung - 1 if CHALLENGE_LIGHT <= rung <= CHALLENGE_STRONG else 0
        out["risk_ppm"][i] = risk
        out["weight_milli"][i] = weight
        out["familiarity_ppm"][i] = level
        out["familiarity_milli"][i] = discount
        out["hard_rule"][i] = hard_rule
        out["list_mark"][i] = mark
        out["essential"][i] = essential
        out["cleared"][i] = cleared
        out["complex"][i] = complex_at[scenario] >= 0 and truth[complex_at[scenario], i] == TRUE
        out["obligation"][i] = proceed and (slips > 0 or ladder == CHALLENGE_LIGHT) and rung == REMIND
        out["degraded"][i] = failures


@njit(cache=True, nogil=True)
def failure_floor(failures, floors):  # type: ignore[no-untyped-def]
    """Least rung while these dependencies (bits) fail.

    >>> int(failure_floor(FAILED_MODEL | FAILED_LIST, np.array([2, 1, 3, 4, 0])))
    4
    """
    floor = 0
    for d in range(len(floors)):
        if failures >> d & 1:
            floor = max(floor, floors[d])
    return floor
