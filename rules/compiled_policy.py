"""A policy ready to decide: plain arrays, the one interpreter, and the one compiled loop over the rows.

Nothing here is compiled for a policy: a new policy is new arrays, so that taking it over costs a running worker
no compilation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.bytecode import TRUE, Program
from rules.exchange_rates import Currencies
from rules.familiarity import FamiliaritySettings
from rules.fired_rules import FiredRules, RuleInfo
from rules.hold import ChallengeTerms, HoldTerms
from rules.ladder import RISK_PPM
from rules.lists import MarkTable
from rules.pack import DEPENDENCIES, Budget, Young, direction
from rules.pack_schema import Schema
from rules.precedence import settle

ALL_SCENARIOS: Final = (1 << 63) - 1


MASK_BYTES: Final = 32
MAX_RULES: Final = 8 * MASK_BYTES
"""Most rules of a policy. The masks have room for them all in every policy: a verdict of one size is one type to the
compiled loop, so that a policy with more rules is not compiled anew."""
MAX_FIRED_SETS: Final = 8192
"""Sets of fired rules that a policy keeps."""
VERDICT: Final[np.dtype[np.void]] = np.dtype(
    [
        ("scenario", "u1"),
        ("rung", "u1"),
        ("outcome", "u1"),
        ("step_up", "u1"),
        ("risk_ppm", "i4"),
        ("weight_milli", "i4"),
        ("familiarity_ppm", "i4"),
        ("familiarity_milli", "i4"),
        ("hard_rule", "i2"),
        ("list_mark", "u1"),
        ("essential", "u1"),
        ("cleared", "u1"),
        ("complex", "u1"),
        ("obligation", "u1"),
        ("young", "u1"),
        ("degraded", "u1"),
        ("fired", "u1", (MASK_BYTES,)),
        ("failed", "u1", (MASK_BYTES,)),
    ]
)


@dataclass(frozen=True, slots=True)
class ScenarioTerms:
    """What the policy says about one scenario.

    Parameters
    ----------
    name, pack
        The scenario's word, and its pack (the common one where it has none).
    thresholds
        Least risk in ppm of remind, challenge_light, challenge_strong, review, decline; 1000001 is never.
    hold
        Terms of a review.
    challenge
        Terms of a challenge.
    budget
        How many alerts people can look at.
    familiarity_cap_milli
        Most that familiarity takes off.
    """

    name: str
    pack: str
    thresholds: tuple[int, ...]
    hold: HoldTerms
    challenge: ChallengeTerms
    budget: Budget
    familiarity_cap_milli: int


@dataclass(frozen=True, slots=True)
class Variants:
    """Rules as the loop reads them; a rule with dated limits has one variant for each period.

    Parameters
    ----------
    rule
        int16[v]: position in ``rules``.
    scenarios
        int64[v]: bit s is set where the rule applies to scenario s.
    weight_milli, rung, fades
        As in :class:`rules.fired_rules.RuleInfo`.
    start, end
        int64[v]: event times it applies to, µs.
    """

    rule: NDArray[np.int16]
    scenarios: NDArray[np.int64]
    weight_milli: NDArray[np.int64]
    rung: NDArray[np.int64]
    fades: NDArray[np.bool_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """In the order of the compiled loop."""
        return self.rule, self.scenarios, self.weight_milli, self.rung, self.fades, self.start, self.end


@dataclass(frozen=True, slots=True)
class Extras:
    """Where the conditions that are no rules stand in the program, -1 where absent."""

    essential: int
    lost: int
    proceed: int
    complex: NDArray[np.int64]


@dataclass(frozen=True)
class CompiledPolicy:
    """A policy bound to a schema; made by :meth:`rules.policy.Policy.compile`."""

    version: str
    schema: Schema
    rules: tuple[RuleInfo, ...]
    scenarios: tuple[ScenarioTerms, ...]
    currencies: Currencies
    failure: dict[str, str]
    matching: Program
    match_scenarios: NDArray[np.uint8]
    program: Program
    variants: Variants
    extras: Extras
    familiarity: FamiliaritySettings
    familiarity_columns: NDArray[np.int64]
    lists: MarkTable
    snoozes: MarkTable
    floors: NDArray[np.int64]
    watch_rung: int
    lists_fresh_until: int
    proceed_below_ppm: int
    proceed_due_us: int
    young: Young = field(default_factory=Young)

    @property
    def mask_bytes(self) -> int:
        """Width W of the ``fired`` and ``failed`` bit masks, the same for every policy."""
        return MASK_BYTES

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Type of one verdict, the same for every policy; see :meth:`evaluate`."""
        return VERDICT

    def match(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """The scenario of each row, uint8[n]: a usable hint, else the first pack that matches, else 0 (other)."""
        hint_column = self.schema.index.get("scenario_hint", -1)
        found = np.empty(len(matrix), np.uint8)
        matrix = np.ascontiguousarray(matrix)
        choose_scenario(self.matching.run(matrix), self.match_scenarios, matrix, hint_column, found)
        return found

    def reference_amount(
        self, matrix: NDArray[np.float64], event_time: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """Amount of each row in the reference currency, float64[n]; NaN without a rate.

        With ``event_time`` (int64[n], µs) the rate in force then counts, without it the newest.
        """
        index = self.schema.index
        matrix = np.ascontiguousarray(matrix)
        times = None if event_time is None else np.ascontiguousarray(event_time)
        return self.currencies.reference(matrix[:, index["currency"]], matrix[:, index["amount_minor"]], times)

    def evaluate(
        self,
        matrix: NDArray[np.float64],
        logit_milli: NDArray[np.int64],
        ids: NDArray[np.uint64],
        event_time: NDArray[np.int64],
        degraded: NDArray[np.uint8] | None = None,
        prior_milli: int = 1000,
        cuts: NDArray[np.int64] | None = None,
    ) -> NDArray[np.void]:
        """Verdicts of a batch.

        Parameters
        ----------
        matrix
            float64[n, F], C order, columns ``scenario`` and ``amount_reference`` filled.
        logit_milli
            int64[n]: the calibrated model's log-odds of fraud, in thousandths.
        ids
            uint64[n, 3]: hashes of account, payee and device, 0 where absent.
        event_time
            int64[n], µs: decides which limits, entries and snoozes are in force.
        degraded
            uint8[n]: dependencies that failed before (``rules.precedence.FAILED_MODEL`` and others).
        prior_milli
            Share of the weight of rules marked ``until_trained``, and of familiarity's discount, that still counts,
            0..1000: 1000 while the model knows no confirmed case, less as it learns.
        cuts
            int64[S]: of each scenario the risk in ppm up to which risk alone touches nobody; None for no such cut.

        Returns
        -------
        Structured array [n] of :attr:`dtype`: ``scenario``, ``rung``, ``outcome`` and ``step_up`` (codes of
        :mod:`rules.ladder`), ``risk_ppm``, ``weight_milli`` (sum of the fired rules), ``familiarity_ppm``,
        ``familiarity_milli`` (discount), ``hard_rule`` (-1 none), ``list_mark`` (:data:`rules.lists.LIST_MARKS`),
        truths ``essential``, ``cleared``, ``complex``, ``obligation`` and ``young`` (let go by the cut), ``degraded`` (bits), ``fired`` and
        ``failed`` (bit r%8 of byte r//8 is rule r).
        """
        verdicts = np.zeros(len(matrix), VERDICT)
        if degraded is None:
            degraded = np.zeros(len(matrix), np.uint8)
        # Of one layout always: another one would be another type, compiled in the middle of a batch.
        matrix, ids = np.ascontiguousarray(matrix), np.ascontiguousarray(ids)
        logit_milli, event_time = np.ascontiguousarray(logit_milli), np.ascontiguousarray(event_time)
        truth = self.program.run(matrix)
        cuts = np.full(len(self.scenarios), -1, np.int64) if cuts is None else cuts
        settle(matrix, logit_milli, ids, event_time, degraded, prior_milli, truth, self.arguments, cuts, verdicts)
        return verdicts

    def thresholds(self, scenario: int) -> tuple[int, ...]:
        """Least risk in ppm of each rung above approve."""
        return self.scenarios[scenario].thresholds

    @property
    def budgets(self) -> tuple[Budget, ...]:
        """Alert budgets by scenario code: they order and report, no verdict reads them."""
        return tuple(terms.budget for terms in self.scenarios)

    def hold(self, scenario: int) -> HoldTerms:
        """Terms of a review in this scenario."""
        return self.scenarios[scenario].hold

    def challenge(self, scenario: int) -> ChallengeTerms:
        """Terms of a challenge in this scenario."""
        return self.scenarios[scenario].challenge

    def fired_rules(self, mask: NDArray[np.uint8]) -> FiredRules:
        """The rules of a ``fired`` or ``failed`` mask, in the policy's order."""
        key = mask.tobytes()
        found = self._fired.get(key)
        if found is None:
            found = FiredRules(self.rules[r] for r in np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist())
            if len(self._fired) >= MAX_FIRED_SETS:
                self._fired.clear()
            self._fired[key] = found
        return found

    @cached_property
    def _fired(self) -> dict[bytes, FiredRules]:
        """Sets of fired rules by their masks: kept to save work, and changes no result."""
        return {}

    def contributions(self, mask: NDArray[np.uint8], prior_milli: int = 1000) -> dict[str, int]:
        """What the fired rules of a mask add to the log-odds, in thousandths, by the feature that shows it best.

        A rule counts under the first feature of its ``evidence``; one without any is left out. ``prior_milli`` as in
        :meth:`evaluate`.
        """
        found: dict[str, int] = {}
        for rule in self.fired_rules(mask):
            if rule.evidence and rule.weight_milli:
                feature = rule.evidence[0]
                found[feature] = found.get(feature, 0) + rule.applied_milli(prior_milli)
        return found

    def degraded_list(self, bits: int) -> list[dict[str, str]]:
        """``degraded`` of a decision: each failed dependency with the least rung it forces."""
        return [
            {"dependency": name, "direction": direction(self.failure, name)}
            for place, name in enumerate(DEPENDENCIES)
            if bits >> place & 1
        ]

    @cached_property
    def arguments(self) -> tuple[Any, ...]:
        """The arrays of the policy as :func:`rules.precedence.settle` takes them."""
        index, lists, snoozes = self.schema.index, self.lists, self.snoozes
        thresholds = np.array([terms.thresholds for terms in self.scenarios], np.int64)
        caps = np.array([terms.familiarity_cap_milli for terms in self.scenarios], np.int64)
        return (
            self.variants.arrays(),
            (self.extras.essential, self.extras.lost, self.extras.proceed, self.extras.complex),
            (thresholds, caps),
            (index["scenario"], index.get("slips", -1), index.get("pair_cleared", -1)),
            (self.familiarity_columns, self.familiarity.array()),
            (lists.keys, lists.start, lists.end, lists.mark, lists.shapes),
            (snoozes.keys, snoozes.end, snoozes.mark),
            (self.floors, self.watch_rung, self.proceed_below_ppm, self.lists_fresh_until),
            RISK_PPM,
        )


@njit(cache=True, nogil=True)
def choose_scenario(verdicts, scenarios, matrix, hint_column, found):  # type: ignore[no-untyped-def]
    """Fill ``found`` uint8[n]: the hint where a pack serves it, else the first of ``scenarios`` that matched, else 0."""
    for i in range(len(found)):
        found[i] = 0
        hint = matrix[i, hint_column] if hint_column >= 0 else 0.0
        for position in range(len(scenarios)):
            if scenarios[position] == hint:
                found[i] = scenarios[position]
                break
        if found[i] == 0:
            for position in range(len(scenarios)):
                if verdicts[position, i] == TRUE:
                    found[i] = scenarios[position]
                    break
