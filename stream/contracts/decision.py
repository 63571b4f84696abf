"""Decision: what riskstream says about one transaction, on ``risk.decisions.v1``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stream.contracts.identifier import Identifier
from stream.contracts.instant import Instant
from stream.contracts.record import OutputRecord

MAX_EVIDENCE = 8

Scenario = Literal[
    "ecommerce",
    "cross_border",
    "large_transfer",
    "remote_spending",
    "person_transfer",
    "digital_wallet",
    "bills_payroll",
    "other",
]
Outcome = Literal["approve", "remind", "challenge", "review", "decline"]
StepUp = Literal["none", "light", "strong"]
Flag = Literal["late", "canary", "below_line", "young"]
Ppm = Annotated[int, Field(ge=0, le=1_000_000)]


class RuleHit(OutputRecord):
    """A rule that fired."""

    id: Annotated[str, Field(min_length=1, description="The rule, by its pack's id.")]
    weight_milli: Annotated[int, Field(description="What it added, log-odds x 1000; 0 for a hard rule.")]


class Evidence(OutputRecord):
    """One feature that made a difference."""

    feature: Annotated[str, Field(min_length=1, description="Name in the feature table (docs/features.md).")]
    value: Annotated[str, Field(description="Its value in this transaction, in the feature's unit.")]
    normal: Annotated[str | None, Field(description="The customer's own normal, where there is one.")]
    contribution_milli: Annotated[int, Field(description="What it added to the risk, log-odds x 1000.")]


class Sentence(OutputRecord):
    """The same thing said in both languages."""

    zh: Annotated[str, Field(min_length=1, description="In Chinese.")]
    en: Annotated[str, Field(min_length=1, description="In English.")]


class Reasons(OutputRecord):
    """Why, in words."""

    customer: Annotated[Sentence, Field(description="For the customer: what to do; no threshold, no rule.")]
    reviewer: Annotated[Sentence, Field(description="For the reviewer, with the customer's own normal.")]


class Degradation(OutputRecord):
    """A dependency that failed while this was decided, and which way the decision leaned."""

    dependency: Annotated[str, Field(min_length=1, description="What failed.")]
    direction: Annotated[str, Field(min_length=1, description="The configured direction of its failure.")]


class Decision(OutputRecord):
    """One per transaction_id. Neither floats nor wall clock: the same inputs give the same bytes."""

    transaction_id: Annotated[
        Identifier,
        Field(description="The transaction's id; the decision's and the alert's too. ISO 20022: PmtId/TxId."),
    ]
    customer_id: Annotated[Identifier, Field(description="As in the transaction, defaults filled. ISO 20022: Dbtr/Id.")]
    account_id: Annotated[Identifier, Field(description="As in the transaction. ISO 20022: DbtrAcct/Id.")]
    payee_id: Annotated[Identifier | None, Field(description="As in the transaction. ISO 20022: CdtrAcct/Id.")]
    event_time: Annotated[Instant, Field(description="As in the transaction, in UTC. ISO 20022: AccptncDtTm.")]
    scenario: Annotated[Scenario, Field(description="The scenario whose pack decided. ISO 20022: none.")]
    outcome: Annotated[
        Outcome,
        Field(description="The rung of the ladder. ISO 20022: TxSts: ACCP, PDNG for challenge and review, RJCT."),
    ]
    step_up: Annotated[StepUp, Field(description="Strength of the challenge; none for other outcomes.")]
    scope: Annotated[Literal["transaction"], Field(description="Always this transaction, never the account.")] = (
        "transaction"
    )
    risk_ppm: Annotated[Ppm, Field(description="Calibrated probability of fraud, ppm; thresholds read it.")]
    anomaly_ppm: Annotated[Ppm, Field(description="How unusual it is, ppm; 1000000 is the rarest.")]
    familiarity_ppm: Annotated[Ppm, Field(description="How familiar this payee is to this account, ppm.")]
    hard_rule: Annotated[str | None, Field(description="The hard rule that set the outcome, if one did.")]
    rules: Annotated[list[RuleHit], Field(description="Rules that fired.")]
    evidence: Annotated[list[Evidence], Field(max_length=MAX_EVIDENCE, description="The features that mattered most.")]
    reasons: Annotated[
        Reasons | None, Field(description="Null on approve; rendered on demand. ISO 20022: StsRsnInf/AddtlInf.")
    ]
    degraded: Annotated[list[Degradation], Field(description="Dependencies that failed while deciding.")]
    flags: Annotated[
        list[Flag],
        Field(
            description="late: behind the lateness bound; canary, below_line: sampled; young: let go by the ceiling of a young line."
        ),
    ]
    policy_version: Annotated[str, Field(min_length=1, description="The policy that decided.")]
    model_version: Annotated[str, Field(min_length=1, description="The model snapshot that scored.")]
