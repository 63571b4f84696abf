"""The rules that fired for a payment, and what follows from them alone: their attack, and what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from rules.pack import LANGUAGES, Text
from rules.typesetting import typeset, uncapital

MAX_RULE_REASONS: Final = 2


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What a decision needs to know about a rule.

    Parameters
    ----------
    id, pack
        Its name and its pack's.
    weight_milli
        Log-odds in thousandths; 0 for a hard rule.
    rung
        A hard rule's rung (see :data:`rules.ladder.RUNGS`), else 0.
    reason
        The reviewer's sentence, if the pack gives one.
    scam, protective, until_trained, evidence
        As in :class:`rules.pack.Rule`.
    """

    id: str
    pack: str
    weight_milli: int
    rung: int
    reason: Text | None
    scam: str
    protective: bool
    until_trained: bool
    evidence: tuple[str, ...]

    @property
    def hard(self) -> bool:
        """Whether it decides by itself."""
        return self.rung > 0

    def applied_milli(self, prior_milli: int) -> int:
        """The weight that :meth:`CompiledPolicy.evaluate` applied, given the share of ``until_trained`` rules."""
        return self.weight_milli * prior_milli // 1000 if self.until_trained else self.weight_milli


class FiredRules(tuple[RuleInfo, ...]):
    """Rules in the policy's order; what follows from them is worked out once, for the same few sets come again.

    >>> FiredRules.of([]).scam
    'none'
    """

    @classmethod
    def of(cls, rules: Iterable[RuleInfo]) -> FiredRules:
        """These rules, the same object where they are such a set already."""
        return rules if isinstance(rules, FiredRules) else cls(rules)

    @cached_property
    def scam(self) -> str:
        """The attack that they point at: that of the weightiest rule that names one, else ``none``."""
        named = [rule for rule in self if rule.scam != "none" and (rule.hard or rule.weight_milli > 0)]
        if not named:
            return "none"
        return max(named, key=lambda rule: (rule.protective, rule.rung, rule.weight_milli, rule.id)).scam

    @cached_property
    def protective(self) -> bool:
        """Whether one of them protects its customer."""
        return any(rule.protective for rule in self)

    @cached_property
    def told(self) -> dict[str, tuple[str, ...]]:
        """Sentences of the weightiest rules that raised the risk, protective ones first, by language."""
        raising = [rule for rule in self if rule.reason and not rule.hard and rule.weight_milli > 0]
        raising.sort(key=lambda rule: (not rule.protective, -rule.weight_milli, rule.id))
        return {
            language: tuple(
                typeset(uncapital(rule.reason[language]), language)
                for rule in raising[:MAX_RULE_REASONS]
                if rule.reason
            )
            for language in LANGUAGES
        }
