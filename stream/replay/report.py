"""The report of a replay: one HTML file with everything in it, for a risk officer; no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from stream.errors import UsageError
from stream.replay.chart import Axis, Series, line_chart

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; padding: 0; }
.facts li { list-style: none; } .facts b { display: block; font-size: 1.4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; font-size: 11px; } svg text { fill: currentColor; } svg .title { font-size: 14px; font-weight: 600; }
.grid { stroke: var(--line); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; } td.words { text-align: left; }
.note { color: var(--soft); }
"""


def write_report(summary: Mapping[str, Any], path: Path) -> None:
    """Write the report of a summary (the JSON of ``riskstream replay``).

    Raises
    ------
    UsageError
        The file cannot be written.
    """
    try:
        path.write_text(report_html(summary), "utf-8")
    except OSError as error:
        raise UsageError(f"--report {path}: {error.strerror}") from error


def report_html(summary: Mapping[str, Any]) -> str:
    """The whole page."""
    labelled = "frauds" in summary
    sections = [_facts(summary)]
    if labelled:
        sections += [_charts(summary), _what_if(summary)]
    sections += [_scenarios(summary), _gates(summary), _comparison(summary)]
    title = f"Replay of {Path(summary['file']).name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>\n{''.join(sections)}</body></html>\n"
    )


def _facts(summary: Mapping[str, Any]) -> str:
    facts = [
        (f"{summary['decided']:,}", "payments decided"),
        (f"{summary['alerts_per_day']:,.1f}", "alerts a day"),
    ]
    if "frauds" in summary:
        low, high = summary["interval95"]["per_10k"]
        facts += [
            (f"{summary['caught']:,} of {summary['frauds']:,}", "frauds caught"),
            (
                _number(summary["genuine_touched_per_10k"]),
                f"genuine touched per 10,000 ({_number(low)} to {_number(high)})",
            ),
            (_number(summary["genuine_touched_per_fraud_caught"]), "genuine touched per fraud caught"),
            (_number(summary["familiar_touched_per_10k"]), "familiar payments touched per 10,000"),
            (_number(summary["detection"]["ap"], 3), "average precision, mean of the test weeks"),
        ]
    items = "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for value, name in facts)
    return (
        f'<ul class="facts">{items}</ul><p class="note">Policy {escape(summary["policy_version"])}, last model '
        f"{escape(summary['model_version'])} of {summary['models']}; labels {summary['label_delay_days']:g} days late; "
        f"{summary['duplicate']:,} duplicates, {summary['dead']:,} rows refused, {summary['late']:,} late"
        f"{'' if summary['familiarity'] else '; without familiarity'}.</p>"
    )


def _charts(summary: Mapping[str, Any]) -> str:
    rows, frauds = summary["what_if"], summary["frauds"]
    found = [(row["alerts_per_day"], row["frauds_found"] / frauds) for row in rows] if frauds else []
    precision = [(row["frauds_found"] / frauds, row["frauds_found"] / row["alerts"]) for row in rows] if frauds else []
    friction = [(row["frauds_found"] / frauds, row["genuine_touched_per_10k"]) for row in rows] if frauds else []
    familiar = (
        [(row["frauds_found"] / frauds, row["familiar_touched_per_10k"] or 0.0) for row in rows] if frauds else []
    )
    share = Axis("share of frauds found", low=0.0, high=1.0)
    bins = [(one["predicted"], one["observed"]) for one in summary["calibration"] if one["events"]]
    ends = [value for point in bins for value in point if value > 0] or [1.0]
    weeks = summary["weeks"]
    charts = [
        line_chart("Capacity: what so many alerts a day find", Axis("alerts a day", True), share, [Series("by risk", found)]),
        line_chart("Precision and recall", share, Axis("share of alerts that are fraud", low=0.0, high=1.0), [Series("by risk", precision)]),
        line_chart(
            "Friction: genuine customers touched", share, Axis("touched per 10,000", True),
            [Series("all payments", friction), Series("familiar pairs", familiar)],
        ),
        line_chart(
            "Calibration: stated and observed share of fraud", Axis("stated risk", True), Axis("observed", True),
            [Series("by decade of risk", bins), Series("exact", [(min(ends), min(ends)), (max(ends), max(ends))], True)],
        ),
        line_chart(
            "Over time: test weeks, known cards left out", Axis("week"), Axis("", low=0.0, high=1.0),
            [
                Series("average precision", [(n + 1, week["ap"]) for n, week in enumerate(weeks) if week["ap"] is not None]),
                Series("card precision at 100", [(n + 1, week["cp100"]) for n, week in enumerate(weeks) if week["cp100"] is not None]),
            ],
        ),
    ]  # fmt: skip
    return f'<h2>Pictures</h2><div class="charts">{"".join(f"<figure>{chart}</figure>" for chart in charts)}</div>'


def _what_if(summary: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{row['threshold_ppm']:,}", f"{row['alerts_per_day']:,.2f}", f"{row['reviewer_hours_per_day']:,.2f}",
            f"{row['frauds_found']:,}", f"{row['frauds_missed']:,}", _number(row["genuine_touched_per_10k"]),
            _number(row["familiar_touched_per_10k"]),
        )
        for row in summary["what_if"]
    ]  # fmt: skip
    names = ("threshold, ppm of risk", "alerts a day", "review hours a day", "frauds found", "missed", "genuine touched per 10,000", "familiar per 10,000")  # fmt: skip
    return "<h2>What if: a threshold and what it costs</h2>" + _table(names, rows)


def _scenarios(summary: Mapping[str, Any]) -> str:
    names = list(next(iter(summary["scenarios"].values()), {}))
    rows = [(word, *(f"{counts[name]:,}" for name in names)) for word, counts in summary["scenarios"].items()]
    sections = ["<h2>By scenario</h2>", _table(("scenario", *names), rows)]
    if "frauds" in summary:
        attacks = [(name, f"{row['frauds']:,}", f"{row['caught']:,}") for name, row in summary["attacks"].items()]
        sections += ["<h2>By attack</h2>", _table(("attack", "frauds", "caught"), attacks)]
        ages = [(name, _number(value)) for name, value in summary["touched_per_10k_by_age"].items()]
        sections += ["<h2>Parity: genuine touched per 10,000 by age</h2>", _table(("age", "touched"), ages)]
    return "".join(sections)


def _gates(summary: Mapping[str, Any]) -> str:
    gates = summary.get("gates", ())
    if not gates:
        return ""
    rows = [
        (gate["gate"], "failed" if gate["failed"] else "passed", _number(gate["value"], 4), _number(gate["limit"], 4))
        for gate in gates
    ]
    return "<h2>Gates</h2>" + _table(("fails if", "result", "is", "limit"), rows)


def _comparison(summary: Mapping[str, Any]) -> str:
    if "comparison" not in summary:
        return ""
    comparison = summary["comparison"]
    parts = [
        f"<h2>Flips against policy {escape(summary['champion']['policy_version'])}</h2>"
        f"<p>{comparison['flipped']:,} of {comparison['decisions']:,} decisions.</p>"
    ]
    rows = [
        (
            f"{flip['champion']} → {flip['challenger']}", f"{flip['count']:,}", f"{flip['frauds']:,}",
            "; ".join(_example(example) for example in flip["examples"]),
        )
        for flip in comparison["flips"]
    ]  # fmt: skip
    parts.append(_table(("flip", "payments", "of them fraud", "examples: risk, rules"), rows, words=(3,)))
    return "".join(parts)


def _example(example: Mapping[str, Any]) -> str:
    sides = (
        f"{side} {example[side]['risk_ppm']:,} ppm [{', '.join(example[side]['rules']) or 'no rule'}]"
        for side in ("champion", "challenger")
    )
    return f"{example['transaction_id']}: {', '.join(sides)}"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], words: tuple[int, ...] = ()) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=words' if n in words else ''}>{escape(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"
