"""A policy change must not stall a worker: no code is compiled for a policy, whatever it holds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from rules import bytecode, compiled_policy, precedence
from rules.compiled_policy import MASK_BYTES, MAX_RULES
from rules.policy import shipped
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

PACK = """
pack: person
scenario: person_transfer
match: has_payee
thresholds: {review: 300000}
rules:
"""
LISTS = """
pack: lists
kind: lists
deny: [{payee: p-1, reason: r, owner: o, until: 2030-01-01}]
snooze: [{rule: r0, account: a, payee: p, reason: r, owner: o, until: 2030-01-01}]
"""


def rules(count: int) -> str:
    lines = (
        f"  - {{id: r{i}, when: 'amount_minor / 2 > {i} && pair_payments in [1, {i}]', weight: 0.1}}"
        for i in range(count)
    )
    return PACK + "\n".join(lines) + "\n"


def test_policies_of_every_size_run_on_the_same_compiled_code(small: SimpleNamespace) -> None:
    policies = [
        small.compiled(),
        small.compiled(rules(1)),
        small.compiled(rules(100), LISTS),
        shipped().compile(SCHEMA, hash_id),
    ]
    dispatchers = (precedence.settle, bytecode.run, compiled_policy.choose_scenario)
    small.evaluate(policies[0])
    before = [len(dispatcher.signatures) for dispatcher in dispatchers]
    for policy in policies:
        small.evaluate(policy)
        # Rows of a larger matrix, columns in another layout: the callers' habits do not matter either.
        matrix = np.asfortranarray(np.zeros((6, len(SCHEMA))))
        policy.match(matrix)
        ids = np.zeros((6, 6), np.uint64)[:, ::2]
        policy.evaluate(matrix, np.zeros(12, np.int64)[::2], ids, np.zeros(12, np.int64)[::2])
    assert [len(dispatcher.signatures) for dispatcher in dispatchers] == before


def test_a_policy_has_room_for_so_many_rules_and_no_more(small: SimpleNamespace) -> None:
    policy = small.compiled(rules(MAX_RULES))
    verdict = small.evaluate(policy, has_payee=True, amount_minor=10_000, pair_payments=1)
    assert len(policy.fired_rules(verdict["fired"])) == MAX_RULES == 8 * MASK_BYTES
    more = rules(MAX_RULES), "pack: more\nkind: shared\nrules: [{id: one.more, when: has_payee, weight: 1}]\n"
    assert any("more than 256 rules" in str(problem) for problem in small.problems(*more))
