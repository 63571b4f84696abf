"""What decides in the simulation: two policies and three models, one of which must not be used; made once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from detectors.ensemble import genesis
from rules.exchange_rates import Currencies
from rules.policy import Policy
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import INPUTS, INTERCEPT, PRIOR, first_snapshot

_COMMON = """\
pack: common
kind: common
trusted_actors: [{trusted}]
thresholds: {{remind: {remind}, challenge_light: 9000, challenge_strong: 40000, review: 200000, decline: 900000}}
currencies:
  reference: EUR
  rates: [{{currency: EUR, rate: 1, valid_from: 2000-01-01}}, {{currency: CNY, rate: 0.{remind}, valid_from: 2000-01-01}}]
"""


@cache
def deciders() -> tuple[Decider, ...]:
    """Every pair that may be in force; the last one's model reads features that nobody computes."""
    policies = [
        Policy.from_files({"common.yaml": _COMMON.format(trusted=trusted, remind=remind).encode()})
        for trusted, remind in (('"chargeback:*", "reviewer:*"', 700), ('"chargeback:*"', 3000))
    ]
    models = [first_snapshot(1), genesis(INPUTS, dict.fromkeys(PRIOR, 0.5), INTERCEPT, SCENARIOS, 2)]
    foreign = genesis(INPUTS[1:], {}, INTERCEPT, SCENARIOS, 3)
    return (*(Decider(m, p) for m in models for p in policies), Decider(foreign, policies[0]))


def declares_failure(model: str) -> bool:
    """Whether a decision of this model must say that the model has failed."""
    return model == deciders()[-1].model_version


def by_versions(model: str, policy: str) -> Decider:
    """The decider that a decision names."""
    return next(d for d in deciders() if (d.model_version, d.policy_version) == (model, policy))


class SwitchingVersions:
    """Versions in force, which the schedule switches; see :class:`stream.worker.ownership.line.VersionsInForce`."""

    def __init__(self) -> None:
        self.number = 0

    def decider(self) -> Decider:
        """Model and policy in force."""
        return deciders()[self.number % len(deciders())]

    def rates(self) -> Currencies:
        """Rates of the policy in force; they differ from policy to policy."""
        return self.decider().compiled.currencies

    def trusts(self, actor: str) -> bool:
        """Whether the policy in force lists an actor."""
        return self.decider().policy.trusts(actor)

    def alternatives(self, decider: Decider) -> Iterator[Decider]:
        """Nothing came in lately."""
        return iter(())

    def set_aside(self, decider: Decider, instead: Decider, why: str) -> None:
        """Not asked: there are no alternatives."""
        raise AssertionError(why)
