"""Second hop, second half: a model and a policy turn features into verdicts about single transactions.

``Decider`` binds one model version and one policy version; a batch is decided by one decider, and both versions
stand in every decision. It holds no state that a batch could change.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from detectors.ensemble import Scorer, Snapshot
from detectors.touch_ceiling import cuts_in_force
from rules.compiled_policy import CompiledPolicy
from rules.ladder import OUTCOMES
from rules.policy import Policy
from rules.precedence import FAILED_MODEL, FAILED_RATES, FAILED_STATE
from rules.priority import below_line
from stream.core.account.account_features import UNKNOWN_DAY, UNKNOWN_SINCE
from stream.core.columns import hash_id
from stream.core.decision.genesis import first_snapshot
from stream.core.features import FEATURES, INDEX, MODEL_COLUMNS, SCHEMA
from stream.core.frame.frame import reversals_of
from stream.core.payee.payee_hop import Received

logger = logging.getLogger("riskstream.decide")

APPROVE, REMIND, CHALLENGE, REVIEW, DECLINE = (
    OUTCOMES.index(word) for word in ("approve", "remind", "challenge", "review", "decline")
)
_SCENARIO, _REFERENCE, _ANOMALY = INDEX["scenario"], INDEX["amount_reference"], INDEX["anomaly_ppm"]
_REMOTE_DAY, _UNAUTHENTICATED = INDEX["remote_sum_24h"], INDEX["unauthenticated_sum"]
_REMOTE_REFERENCE, _UNAUTHENTICATED_REFERENCE = INDEX["remote_day_reference"], INDEX["unauthenticated_reference"]
_MODEL = np.array(MODEL_COLUMNS)
_MOST = np.array(
    [np.inf if FEATURES[c].model_most is None else FEATURES[c].model_most for c in MODEL_COLUMNS], np.float64
)
_AMOUNT_INPUT = MODEL_COLUMNS.index(INDEX["amount_minor"])
"""The models read the amount in the reference currency; rules read it as it was told."""
MODEL_NAMES = tuple(FEATURES[column].name for column in MODEL_COLUMNS)
_WHOLE = np.array(
    [i for i, f in enumerate(FEATURES) if f.row != "policy" and not f.nullable and f.kind in ("int", "double")]
)
"""Columns of numbers that history always fills: where one is none, a row is broken and its history says nothing."""
TRAINED_FRAUDS = 50
"""With so many confirmed frauds behind the model, rules marked ``until_trained`` and familiarity's discount count half."""


@dataclass(frozen=True, slots=True)
class Decided:
    """Verdicts of one batch, in the order of ``received``.

    Parameters
    ----------
    received
        What was decided about; its features now have every column filled.
    verdicts
        Structured array of ``rules.compiled_policy.CompiledPolicy.dtype``.
    inputs : float64[n, M]
        The model's inputs, as scored.
    anomaly_ppm : int32[n]
    contributions : int32[k, M]
        Log-odds x 1000 per model input for the rows that are not approved.
    explained : int64[k]
        Those rows.
    sampled : bool[n]
        Approvals to be looked at all the same, chosen by their id alone, to show what the line misses.
    """

    received: Received
    verdicts: npt.NDArray[np.void]
    inputs: npt.NDArray[np.float64]
    anomaly_ppm: npt.NDArray[np.int32]
    contributions: npt.NDArray[np.int32]
    explained: npt.NDArray[np.int64]
    sampled: npt.NDArray[np.bool_]


@njit(cache=True, nogil=True)
def mark_broken(features: Any, columns: Any, bit: Any, degraded: Any) -> None:
    """Set ``bit`` where a column that is always a number is none: the row behind it cannot be trusted.

    >>> degraded = np.zeros(3, np.uint8)
    >>> mark_broken(np.array([[1.0, np.nan], [np.inf, 0.0], [2.0, 3.0]]), np.array([0]), 16, degraded)
    >>> degraded.tolist()
    [0, 16, 0]
    """
    for i in range(features.shape[0]):
        for column in columns:
            if not math.isfinite(features[i, column]):
                degraded[i] |= bit
                break


@njit(cache=True, nogil=True)
def fill_references(transactions: Any, reference: Any, minor_units: Any, features: Any, degraded: Any) -> None:
    """Fill the columns in the reference currency, from what the walk brought into its minor units.

    Where there was no rate for this payment or for one that its sums should hold, or the walk had another reference
    currency than the policy, the column is missing and the dependency ``rates`` has failed.

    Parameters
    ----------
    transactions : PROFILED[n]
    reference
        Packed code of the policy's reference currency.
    minor_units
        Of one unit of it.
    features : float64[n, WIDTH]
    degraded : uint8[n]
        ``FAILED_RATES`` is set.
    """
    for i in range(features.shape[0]):
        transaction, row = transactions[i], features[i]
        per = minor_units if transaction["reference"] == reference else math.nan
        unknown = np.int64(transaction["unknown"])
        row[_REFERENCE] = transaction["reference_minor"] / per
        row[_REMOTE_REFERENCE] = math.nan if unknown & UNKNOWN_DAY else row[_REMOTE_DAY] / per
        row[_UNAUTHENTICATED_REFERENCE] = math.nan if unknown & UNKNOWN_SINCE else row[_UNAUTHENTICATED] / per
        if math.isnan(row[_REFERENCE]) or unknown != 0:
            degraded[i] |= FAILED_RATES


@njit(cache=True, nogil=True)
def take_inputs(features: Any, columns: Any, most: Any, inputs: Any) -> None:
    """Copy the model's columns into ``inputs``, none larger than ``most`` says; what is missing stays missing.

    >>> inputs = np.empty((1, 2))
    >>> take_inputs(np.array([[5.0, np.nan, 7.0]]), np.array([2, 1]), np.array([6.0, 6.0]), inputs)
    >>> inputs.tolist()
    [[6.0, nan]]
    """
    for i in range(features.shape[0]):
        for k in range(columns.shape[0]):
            value = features[i, columns[k]]
            inputs[i, k] = most[k] if value > most[k] else value


def approve_reversals(verdicts: npt.NDArray[np.void], taken_back: npt.NDArray[np.bool_]) -> None:
    """Approve what is no payment, whatever was computed for it: scenario ``other``, no risk, no rule, nothing degraded.

    Parameters
    ----------
    verdicts
        ``rules.compiled_policy.CompiledPolicy.dtype`` [n]; changed.
    taken_back : bool[n]
    """
    approved = np.zeros(1, verdicts.dtype)
    approved["hard_rule"] = -1
    verdicts[taken_back] = approved


class Decider:
    """One model and one policy.

    A model that was fit to another feature table is not used: the dependency ``model`` has failed then, with the
    direction that the policy declares, and the first model's prior stands in for it.

    Parameters
    ----------
    snapshot
        The model, frozen.
    policy
        The policy; compiled here against the feature table.
    """

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.model_version = snapshot.version
        self.policy_version = policy.version
        self.policy = policy
        self.scorer = Scorer(snapshot)
        self.failed = 0
        """Dependencies that fail for every payment, as bits."""
        if tuple(self.scorer.names) != MODEL_NAMES:
            logger.error("model %s reads other features than this version computes: it is not used", snapshot.version)
            self.scorer, self.failed = Scorer(first_snapshot(0)), FAILED_MODEL
        self.compiled: CompiledPolicy = policy.compile(SCHEMA, hash_id)
        self._sampled_per_10k = np.array([budget.below_line_per_10k for budget in self.compiled.budgets])
        young = self.compiled.young
        self._cuts = cuts_in_force(
            snapshot.model, young.touch_ceiling_per_10k, young.frauds, young.genuine, len(self.compiled.scenarios)
        )
        known = snapshot.counts["frauds"]
        self.prior_milli = 1000 * TRAINED_FRAUDS // (TRAINED_FRAUDS + known)

    def decide(self, received: Received) -> Decided:
        """Verdicts of a batch; fills the columns ``scenario``, ``amount_reference`` and ``anomaly_ppm``."""
        features, transactions = received.features, received.transactions
        event_time = np.ascontiguousarray(transactions["event_time"])
        degraded = np.full(len(features), self.failed, np.uint8)
        currencies = self.compiled.currencies
        # scenarios may be matched by it
        fill_references(transactions, currencies.arrays.reference, 10.0**currencies.digits, features, degraded)
        degraded[event_time >= currencies.fresh_until] |= FAILED_RATES
        scenario = self.compiled.match(features)
        features[:, _SCENARIO] = scenario
        inputs = np.empty((len(features), len(_MODEL)))
        take_inputs(features, _MODEL, _MOST, inputs)
        inputs[:, _AMOUNT_INPUT] = transactions["reference_minor"]
        # a scenario that came after this model is calibrated like "other" until the next one learns it
        group = np.where(scenario < len(self.scorer.groups), scenario, 0).astype(np.uint8)
        logit_milli, anomaly_ppm = self.scorer.score(inputs, group)
        features[:, _ANOMALY] = anomaly_ppm
        ids = np.column_stack((transactions["account_hash"], transactions["payee_hash"], transactions["device_hash"]))
        mark_broken(features, _WHOLE, FAILED_STATE, degraded)
        verdicts = self.compiled.evaluate(
            features, logit_milli, ids, event_time, degraded, self.prior_milli, self._cuts
        )
        taken_back = reversals_of(transactions)
        if taken_back.any():
            approve_reversals(verdicts, taken_back)
            anomaly_ppm = np.where(taken_back, np.int32(0), anomaly_ppm)
        touched = verdicts["outcome"] != APPROVE
        explained = np.flatnonzero(touched)
        contributions = self.scorer.contributions(inputs[explained], group[explained])
        sampled = below_line(transactions["transaction_hash"], self._sampled_per_10k[verdicts["scenario"]]) & ~touched
        sampled &= ~taken_back
        return Decided(received, verdicts, inputs, anomaly_ppm, contributions, explained, sampled)
