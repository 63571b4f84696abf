"""A replay's summary on one screen of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stream.replay.measure.list_use import Used
from stream.replay.source.labels import Met

LATE_SHARE = 0.01
"""With more late rows than this a file is in disorder, not a feed with stragglers."""


def summary_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Lines for a terminal, from the summary's JSON values."""
    yield (
        f"{summary['events']:,} rows: {summary['decided']:,} decided, {summary['duplicate']:,} duplicate, "
        f"{summary['dead']:,} refused, {summary['late']:,} late; {summary['seconds']:.1f} s, "
        f"{summary['events_per_s']:,.0f}/s"
    )
    if summary["late"] > LATE_SHARE * summary["decided"]:
        yield (
            f"  NOT IN ORDER: {100 * summary['late'] / summary['decided']:.1f} % of the rows lie more than the lateness bound "
            "behind a row before them; --sort reads a file by event time; as it is, velocities, labels and models are out of step"
        )
    if summary["dead_by_reason"]:
        yield "  refused: " + ", ".join(f"{reason} {count:,}" for reason, count in summary["dead_by_reason"].items())
    yield from _kind_lines(summary)
    yield from remark_lines(summary)
    yield "  outcomes: " + ", ".join(f"{outcome} {count:,}" for outcome, count in summary["outcomes"].items())
    yield f"  alerts: {summary['alerts']:,}, {summary['alerts_per_day']:,.1f} a day{_load(summary)}"
    yield f"  left alone because cleared: {summary['cleared']:,}; went ahead with information owed: {summary['obligations']:,}"
    yield (
        f"  policy {summary['policy_version']}, model {summary['model_version']}, the last of {summary['models']}"
        + ("" if summary["familiarity"] else "; without familiarity")
    )
    if "lists" in summary:
        yield f"  {Used(**summary['lists'])}"
    if "labels" in summary:
        yield f"  {Met(**summary['labels'])}"
    if "frauds" in summary:
        yield from _truth_lines(summary)
    if "baselines" in summary:
        yield from _baseline_lines(summary["baselines"])
    if "champion" in summary:
        blind = "" if summary["champion"]["familiarity"] else ", without familiarity"
        yield f"the champion, policy {summary['champion']['policy_version']}{blind}:"
        yield f"  alerts: {summary['champion']['alerts']:,}, {summary['champion']['alerts_per_day']:,.1f} a day"
        if "frauds" in summary:
            yield from _truth_lines(summary["champion"])
        yield from _flip_lines(summary["comparison"])


SHOWN_KINDS = 10
SHOWN_CAUSES = 5


def _kind_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """What was refused, summed by kind, each at the place of its first row."""
    kinds = summary.get("refused_by_kind", [])
    yield from (f"    {line}" for line in kind_lines(summary["file"], kinds[:SHOWN_KINDS]))
    if len(kinds) > SHOWN_KINDS:
        yield f"    and {len(kinds) - SHOWN_KINDS} other kinds (--json has all)"


def kind_lines(file: str, kinds: list[dict[str, Any]]) -> Iterator[str]:
    """Each kind of refused rows on a line, at the place of its first."""
    for kind in kinds:
        many = f"; {kind['rows']:,} rows like this" if kind["rows"] > 1 else ""
        yield f"{file}:{kind['first_line']}: {kind['reason']}: {kind['what']}{many}"


def remark_lines(remarks: Mapping[str, Any]) -> Iterator[str]:
    """What must be known of a file's rows: left out, times that a turned clock makes doubtful, columns never seen."""
    for column, values in remarks.get("left_out", {}).items():
        shown = ", ".join(f"{value or '(empty)'} {rows:,}" for value, rows in list(values.items())[:SHOWN_KINDS])
        yield f"  left out, no payments: {sum(values.values()):,} rows by column {column}: {shown}"
    if remarks.get("no_payment"):
        yield "  no row of the file is a payment: are the values under rows: (and sign:) right?"
    if remarks.get("repeated_in_disorder"):
        yield (
            f"  REPEATED TIMES NOT IN ORDER: the rows are in no order of time, and {remarks['repeated_in_disorder']:,} local times "
            "come twice: which one each is cannot be told; repeated: first, second or refuse in the map says it"
        )
    if remarks.get("repeated_times"):
        yield (
            f"  {remarks['repeated_times']:,} local times come twice as clocks go back; {remarks['repeated_second']:,} "
            "of them were read as the second one (repeated: in the map says how)"
        )
    if remarks.get("skipped_times"):
        yield f"  {remarks['skipped_times']:,} local times were shown by no clock as clocks go forward; read as if none had been turned"
    for column in remarks.get("columns_without_a_value", []):
        yield f"  no row has a value for {column}: is it spelt so?"


def _flip_lines(comparison: Mapping[str, Any]) -> Iterator[str]:
    for name, words in (("per_10k", "genuine touched per 10,000"), ("recall", "share of frauds caught")):
        low, high = comparison.get("difference95", {}).get(name, (None, None))
        if low is not None:
            yield f"  difference of {words}, 95 %: {low:+,.4f} to {high:+,.4f}"
    yield f"flips: {comparison['flipped']:,} of {comparison['decisions']:,} decisions"
    for flip in comparison["flips"]:
        example = flip["examples"][0]
        yield (
            f"  {flip['champion']} -> {flip['challenger']}: {flip['count']:,}, fraud {flip['frauds']:,}; {', '.join(flip['why'])}; "
            f"e.g. {example['transaction_id']}: risk {example['champion']['risk_ppm']:,} -> "
            f"{example['challenger']['risk_ppm']:,} ppm"
        )


def _truth_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    yield f"  fraud: {summary['frauds']:,}, caught {summary['caught']:,} ({_share(summary['recall'])}), missed {summary['missed']:,}"
    yield (
        f"  genuine touched: {summary['genuine_touched']:,} of {summary['genuine']:,}, "
        f"{_number(summary['genuine_touched_per_10k'])} per 10,000, "
        f"{_number(summary['genuine_touched_per_fraud_caught'])} per fraud caught; "
        f"reminded {summary['genuine_reminded']:,}"
    )
    yield (
        f"  familiar pairs touched: {summary['familiar_touched']:,} of {summary['familiar']:,}, "
        f"{_number(summary['familiar_touched_per_10k'])} per 10,000{_familiar_causes(summary)}"
    )
    detection = summary["detection"]
    yield (
        f"  {len(summary['weeks'])} test weeks, known cards left out: AP {_number(detection['ap'], 3)}, "
        f"CP@100 {_number(detection['cp100'], 3)}, AUC {_number(detection['auc'], 3)}, ECE {_number(detection['ece'], 4)}"
    )


def _familiar_causes(summary: Mapping[str, Any]) -> str:
    """What touched them, the most frequent first."""
    causes = summary.get("familiar_touched_by", ())[:SHOWN_CAUSES]
    return "".join(f"{', ' if n else '; by '}{cause['cause']} {cause['touched']:,}" for n, cause in enumerate(causes))


def _baseline_lines(baselines: Mapping[str, Any]) -> Iterator[str]:
    """Each engine on a line: what it touches to find so much fraud."""
    if not baselines["recall"]:
        yield f"  no baselines at equal recall: {baselines['left_out']}"
        return
    tested, recalls = baselines["tested"], baselines["recall"]
    yield (
        f"  at equal recall, thresholds chosen from {baselines['threshold_from']}, tested from {baselines['test_from']}, "
        f"{tested['frauds']:,} frauds of {tested['events']:,} (found; genuine touched per fraud, per 10,000):"
    )
    yield " " * 24 + "".join(f"{f'recall {recall}':>26}" for recall in recalls)
    for name in next(iter(recalls.values())):
        rows = [engines[name] for engines in recalls.values()]
        cells = [
            f"{_share(row['recall'])}; {_number(row['touched_per_fraud'])}, {_number(row['per_10k'])}" for row in rows
        ]
        yield f"    {name.replace('_', ' '):<20}" + "".join(f"{cell:>26}" for cell in cells)


def budget_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """The threshold that keeps to the budget that was asked for."""
    if "budget" not in summary:
        return
    row = summary["budget"]
    if row is None:
        yield "  no threshold for the budget: without labels nothing says what it would find; give --labels"
        return
    words = {"alerts_per_day": "alerts a day", "false_per_10k": "of 10,000 genuine payments touched"}
    asked = " and ".join(f"{limit:g} {words[name]}" for name, limit in row["asked"].items())
    if row["threshold_ppm"] > 1_000_000:
        yield f"  no threshold keeps to {asked}"
        return
    yield (
        f"  within {asked}: a threshold of {row['threshold_ppm']:,} ppm, {row['alerts_per_day']:,.2f} alerts a day, "
        f"{_number(row['genuine_touched_per_10k'])} of 10,000 genuine touched, {row['frauds_found']:,} frauds found, "
        f"{row['frauds_missed']:,} missed"
    )


def what_if_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """The curve of thresholds as a table."""
    yield f"{'threshold ppm':>14}{'alerts/day':>12}{'hours/day':>11}{'found':>8}{'missed':>8}{'touched/10k':>13}{'familiar/10k':>14}"
    for row in summary.get("what_if", ()):
        yield (
            f"{row['threshold_ppm']:>14,}{row['alerts_per_day']:>12,.2f}{row['reviewer_hours_per_day']:>11,.2f}"
            f"{row['frauds_found']:>8,}{row['frauds_missed']:>8,}{_number(row['genuine_touched_per_10k']):>13}"
            f"{_number(row['familiar_touched_per_10k']):>14}"
        )


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _load(summary: Mapping[str, Any]) -> str:
    """Hours in which alerts passed what people can look at."""
    scenarios = summary["alert_load"]["scenarios"]
    over = {name: load["hours_over_budget"] for name, load in scenarios.items() if load["hours_over_budget"]}
    if not over:
        return ", never above the hourly budgets" if scenarios else ""
    return "; hours above the budget: " + ", ".join(f"{name} {count}" for name, count in over.items())
