"""Every model that claims River's interface passes River's own estimator checks."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import river.checks
from river import base, datasets

from detectors.half_space_trees import HalfSpaceTrees
from detectors.online_logistic import OnlineLogistic


class _PackedAnomalies:
    """Stands in for River's CreditCard set, which its checks would download."""

    def __iter__(self) -> Iterator[tuple[dict[str, float], bool]]:
        rng = random.Random(3)
        for _ in range(400):
            odd = rng.random() < 0.05
            spread, centre = (0.02, 0.2) if odd else (0.3, 0.5)
            yield {f"V{j}": min(max(rng.gauss(centre, spread), 0.0), 1.0) for j in range(8)}, odd

    def take(self, count: int) -> Iterator[tuple[dict[str, float], bool]]:
        return itertools.islice(self, count)


class _FewPhishing:
    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __iter__(self) -> Iterator[tuple[dict[str, float], bool]]:
        for x, y in datasets.Phishing().take(200):
            yield x, self.kind(y)


@pytest.mark.parametrize(
    ("make", "streams", "left_out"),
    [
        (lambda: HalfSpaceTrees(seed=1), [_PackedAnomalies()], "check_roc_auc"),
        (OnlineLogistic, [_FewPhishing(bool), _FewPhishing(np.bool_)], "sklearn"),
    ],
    ids=["HalfSpaceTrees", "OnlineLogistic"],
)
def test_passes_rivers_estimator_checks(
    make: Callable[[], base.Estimator], streams: Iterable[Any], left_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(river.checks, "_yield_datasets", lambda model, scale=1: iter(streams))
    passed = 0
    for check in river.checks.yield_checks(make()):
        if left_out not in check.__name__:  # needs scikit-learn
            check(make())
            passed += 1
    assert passed >= 20
