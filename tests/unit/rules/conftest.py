"""A policy from a few lines of YAML, bound to the feature table."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from rules.compiled_policy import CompiledPolicy
from rules.examples import encode, neutral_row
from rules.policy import Policy
from rules.problem import Problem
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

COMMON = """
pack: common
kind: common
thresholds: {remind: 1000, challenge_light: 20000, challenge_strong: 60000, review: 300000, decline: 900000}
"""


def compiled(*packs: str, common: str = COMMON) -> CompiledPolicy:
    files = {"common.yaml": common.encode()} | {f"{i}.yaml": text.encode() for i, text in enumerate(packs)}
    return Policy.from_files(files).compile(SCHEMA, hash_id)


def evaluate(
    policy: CompiledPolicy,
    logit_milli: int = -6907,
    ids: tuple[str, str, str] = ("a-1", "p-1", "d-1"),
    when: int = 0,
    degraded: int = 0,
    prior_milli: int = 1000,
    **given: object,
) -> np.void:
    """The verdict of one payment: features by name, the rest neutral."""
    row = neutral_row(SCHEMA)
    for name, value in given.items():
        row[SCHEMA.index[name]] = encode(value, SCHEMA[name])
    matrix = row.reshape(1, -1)
    if "scenario" not in given:
        matrix[:, SCHEMA.index["scenario"]] = policy.match(matrix)
    keys = np.array([[hash_id(text) for text in ids]], np.uint64)
    verdict: np.void = policy.evaluate(
        matrix, np.array([logit_milli]), keys, np.array([when]), np.array([degraded], np.uint8), prior_milli
    )[0]
    return verdict


def problems(*packs: str, common: str = COMMON) -> list[Problem]:
    """Problems of packs beside a small common one."""
    files = {"common.yaml": common.encode()} | {f"{i}.yaml": text.encode() for i, text in enumerate(packs)}
    return Policy.from_files(files).check(SCHEMA)


@pytest.fixture
def small() -> SimpleNamespace:
    """``compiled``, ``evaluate`` and ``problems`` over packs of a few lines."""
    return SimpleNamespace(compiled=compiled, evaluate=evaluate, problems=problems, common=COMMON)
