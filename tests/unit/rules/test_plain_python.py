"""Compiled and plain Python give the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np

from rules.policy import shipped
from stream.core.columns import hash_id
from stream.core.features import SCHEMA


def digest() -> str:
    """SHA-256 over the verdicts of the shipped policy on seeded random payments."""
    generator = np.random.default_rng(20261124)
    n = 60
    matrix = generator.gamma(0.7, 3.0, (n, len(SCHEMA)))
    for column, variable in enumerate(SCHEMA.variables):
        if variable.kind in ("int", "enum", "bool", "code"):
            top = {"bool": 2, "enum": max(len(variable.values), 1)}.get(variable.kind, 30)
            matrix[:, column] = generator.integers(0, top, n)
        if variable.nullable:
            matrix[generator.random(n) < 0.3, column] = np.nan
    compiled = shipped().compile(SCHEMA, hash_id)
    matrix[:, SCHEMA.index["scenario"]] = compiled.match(matrix)
    logits = generator.integers(-9000, 2000, n)
    ids = generator.integers(0, 50, (n, 3)).astype(np.uint64)
    verdicts = compiled.evaluate(matrix, logits, ids, generator.integers(0, 10**15, n), prior_milli=700)
    assert len(np.unique(verdicts["outcome"])) > 1
    return hashlib.sha256(verdicts.tobytes()).hexdigest()


def test_plain_python_gives_the_bytes_of_the_compiled_code() -> None:
    plain = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); "
         "import test_plain_python; print(test_plain_python.digest())"],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert plain.stdout.strip() == digest()
