"""An alert in words, for a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def alert_text(alert: Mapping[str, Any]) -> list[str]:
    """Everything a reviewer needs, in Chinese and English, a few lines without their ends.

    >>> alert = {"alert_id": "t1", "priority_milli": 880, "due_at": "2026-01-01T02:00:00Z",
    ...          "hold_expires_at": "2026-01-02T00:00:00Z", "on_expiry": "release", "decision": {
    ...          "account_id": "a1", "customer_id": "c1", "payee_id": None, "event_time": "2026-01-01T00:00:00Z",
    ...          "scenario": "large_transfer", "outcome": "review", "step_up": "none", "risk_ppm": 123400,
    ...          "anomaly_ppm": 0, "familiarity_ppm": 0, "hard_rule": None, "rules": [], "evidence": [],
    ...          "reasons": {"reviewer": {"zh": "金额异常。", "en": "Unusual amount."}}, "degraded": [], "flags": []}}
    >>> print("\\n".join(alert_text(alert)))
    review t1  large_transfer  risk 12.34 %  priority 0.880
      金额异常。
      Unusual amount.
      account a1, customer c1, no payee, at 2026-01-01T00:00:00Z
      answer by 2026-01-01T02:00:00Z; the hold ends at 2026-01-02T00:00:00Z, then release
    """
    return list(_lines(alert))


def _lines(alert: Mapping[str, Any]) -> Iterator[str]:
    decision: Mapping[str, Any] = alert["decision"]
    step_up = "" if decision["step_up"] == "none" else f" ({decision['step_up']})"
    yield (
        f"{decision['outcome']}{step_up} {alert['alert_id']}  {decision['scenario']}  "
        f"risk {decision['risk_ppm'] / 10_000:.2f} %  priority {alert['priority_milli'] / 1000:.3f}"
    )
    reviewer = (decision["reasons"] or {}).get("reviewer", {})
    for language in ("zh", "en"):
        if reviewer.get(language):
            yield f"  {reviewer[language]}"
    payee = f"payee {decision['payee_id']}" if decision["payee_id"] else "no payee"
    yield f"  account {decision['account_id']}, customer {decision['customer_id']}, {payee}, at {decision['event_time']}"
    yield from _why(decision)
    yield (f"  answer by {alert['due_at']}; the hold ends at {alert['hold_expires_at']}, then {alert['on_expiry']}")


def _why(decision: Mapping[str, Any]) -> Iterator[str]:
    for item in decision["evidence"]:
        normal = "" if item["normal"] is None else f" (normal {item['normal']})"
        yield f"    {item['contribution_milli'] / 1000:+.3f}  {item['feature']} = {item['value']}{normal}"
    if decision["hard_rule"]:
        yield f"    hard rule {decision['hard_rule']}"
    if decision["rules"]:
        yield "    rules " + ", ".join(f"{hit['id']} {hit['weight_milli'] / 1000:+.3f}" for hit in decision["rules"])
    for failed in decision["degraded"]:
        yield f"    degraded: {failed['dependency']} failed, {failed['direction']}"
    if decision["flags"]:
        yield "    flags " + ", ".join(decision["flags"])
