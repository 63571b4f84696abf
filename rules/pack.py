"""Packs: what a bank writes about one scenario, a jurisdiction, its lists, or all scenarios together.

This module holds the plain data and reads it from documents; names and types inside conditions are checked
against the feature schema when a policy is compiled. The format, key by key: docs/packs.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from rules.document import Item
from rules.exchange_rates import Currencies
from rules.familiarity import FamiliaritySettings
from rules.fields import Condition
from rules.hold import ChallengeTerms, HoldTerms
from rules.ladder import OUTCOMES, STEP_UPS
from rules.lists import ListEntry, Snooze

PackKind = Literal["scenario", "shared", "common", "jurisdiction", "lists"]
PACK_KINDS: Final[tuple[PackKind, ...]] = ("scenario", "shared", "common", "jurisdiction", "lists")
THRESHOLDS: Final = ("remind", "challenge_light", "challenge_strong", "review", "decline")
SCAMS: Final = (
    "none",
    "takeover",
    "safe_account",
    "task",
    "investment",
    "grooming",
    "card_testing",
    "invoice",
    "mule",
)
"""Kinds of attack a rule can point at; each has its own warning to the customer."""
DEPENDENCIES: Final = ("model", "expression", "hard_rule", "list", "state", "decider", "rates")
"""What can fail; for each the policy states the least rung while it does."""
UNDECLARED: Final = {"decider": "challenge_light", "rates": "challenge_strong"}
"""Least rung of those that a policy does not declare; approve for the others. Where deciding itself fails neither model
nor rules have looked at the payment; without a rate limits have not: neither is let pass in silence."""


def direction(failure: Mapping[str, str], dependency: str) -> str:
    """Least rung while a dependency fails.

    >>> direction({"model": "review"}, "model"), direction({}, "model"), direction({}, "decider")
    ('review', 'approve', 'challenge_light')
    """
    return failure.get(dependency, UNDECLARED.get(dependency, "approve"))


LANGUAGES: Final = ("zh", "en")
NEVER_US: Final = 2**62
"""An event time that never comes."""


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in every language."""

    zh: str
    en: str

    def __getitem__(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class Limit:
    """A dated number of a law, contract or bank: named in conditions as ``limits.NAME``.

    Parameters
    ----------
    name
        As in conditions, without ``limits.``.
    value
        The number; an amount is in the policy's reference currency.
    valid_from, valid_to
        In force for event times in [valid_from, valid_to), µs.
    instrument, article, source, status
        Where it comes from; ``law`` read in the text, ``press`` a secondary source, ``check`` an example value.
    """

    name: str
    value: float
    valid_from: int
    valid_to: int
    instrument: str
    article: str
    source: str
    status: str
    item: Item


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a pack: a condition, and a weight in log-odds or (hard) an outcome.

    Parameters
    ----------
    id
        Unique in the policy.
    when
        The condition.
    weight_milli
        Log-odds in thousandths it adds to the risk; 0 for a hard rule.
    outcome, step_up
        A hard rule's; empty otherwise.
    scenarios
        Scenarios it applies to; empty for all that its pack covers.
    reason
        The reviewer's sentence, or None for the one made from the evidence.
    scam
        The attack it points at, which chooses the customer's warning.
    protective
        The written rule by which age or vulnerability may make an outcome stricter; ``why`` says on what ground.
    until_trained
        A stand-in for labels: its weight fades as the model learns from confirmed cases.
    evidence
        Features shown as its evidence.
    window_days
        How far back its author needs history to reach; 0 for not at all.
    """

    id: str
    when: Condition
    weight_milli: int
    outcome: str
    step_up: str
    scenarios: tuple[str, ...]
    reason: Text | None
    scam: str
    protective: bool
    why: str
    until_trained: bool
    evidence: tuple[str, ...]
    window_days: float
    item: Item

    @property
    def hard(self) -> bool:
        """Whether it names an outcome instead of a weight."""
        return bool(self.outcome)


@dataclass(frozen=True, slots=True)
class Example:
    """A case written in a pack, with the outcome its author expects.

    Parameters
    ----------
    given
        Feature values by name; the rest is neutral.
    history, event
        Transactions instead of features, for the tool that can profile them.
    expect
        Expected verdict fields: outcome, step_up, scenario, rules, not_rules.
    """

    name: str
    given: dict[str, Item]
    history: tuple[Item, ...]
    event: Item | None
    expect: dict[str, Item]
    item: Item


@dataclass(frozen=True, slots=True)
class Review:
    """A scenario's terms of review, and what makes a case complex."""

    terms: HoldTerms
    complex_when: Condition | None


@dataclass(frozen=True, slots=True)
class Budget:
    """How many alerts of a scenario people can look at.

    Parameters
    ----------
    per_hour
        Alerts an hour.
    review_minutes
        Minutes a review takes.
    below_line_per_10k
        Samples below the line of alerting, per 10,000 approved.
    """

    per_hour: int = 60
    review_minutes: float = 6.0
    below_line_per_10k: int = 2


@dataclass(frozen=True, slots=True)
class ProceedFirst:
    """Who may proceed now and supply what is missing later."""

    when: Condition
    below_ppm: int
    due_us: int


@dataclass(frozen=True, slots=True)
class Young:
    """What holds while a scenario has too few outcomes for its probabilities to be believed.

    Parameters
    ----------
    touch_ceiling_per_10k
        Payments that risk may touch, of 10,000; 0 for no ceiling.
    frauds, genuine
        Outcomes that must have matured in a scenario; then its ceiling doubles with every further ``frauds``.
    """

    touch_ceiling_per_10k: float = 0.0
    frauds: int = 60
    genuine: int = 5_000


@dataclass(frozen=True, slots=True)
class Common:
    """What holds for every scenario unless its pack says otherwise."""

    essential: Condition | None = None
    familiarity: FamiliaritySettings = field(default_factory=FamiliaritySettings)
    familiarity_lost: Condition | None = None
    trusted_actors: tuple[str, ...] = ()
    failure: dict[str, str] = field(default_factory=dict)
    watch_outcome: str = "review"
    proceed_first: ProceedFirst | None = None
    currencies: Currencies = field(default_factory=lambda: Currencies("EUR"))
    young: Young = field(default_factory=Young)


@dataclass(frozen=True, slots=True)
class Pack:
    """One file of a policy.

    ``fresh_until`` is the event time, µs, from which its lists are out of date: the dependency ``list`` has failed then.
    """

    name: str
    kind: PackKind
    scenario: str
    order: int
    match: Condition | None
    thresholds: tuple[int, ...] | None
    review: Review | None
    challenge: ChallengeTerms | None
    budget: Budget | None
    familiarity_cap_milli: int | None
    limits: tuple[Limit, ...]
    rules: tuple[Rule, ...]
    lists: tuple[ListEntry, ...]
    snoozes: tuple[Snooze, ...]
    fresh_until: int
    examples: tuple[Example, ...]
    common: Common | None
    item: Item

    @property
    def file(self) -> str:
        """Name of the file it came from."""
        return self.item.file


__all__ = [
    "DEPENDENCIES",
    "LANGUAGES",
    "OUTCOMES",
    "PACK_KINDS",
    "SCAMS",
    "STEP_UPS",
    "THRESHOLDS",
    "Budget",
    "Common",
    "Example",
    "Limit",
    "Pack",
    "PackKind",
    "ProceedFirst",
    "Review",
    "Rule",
    "Text",
    "Young",
]
