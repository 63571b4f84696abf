"""The report of a replay: one HTML file with everything in it, for a risk officer; no script, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from stream.errors import UsageError
from stream.replay.report.report_charts import charts

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; --good: #2e7d4f; --bad: #b3412a; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(13rem, 100%), 1fr)); gap: .8rem 2rem; padding: 0; }
.facts li { list-style: none; } .facts b { display: block; font-size: 1.4rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem 2rem; }
figure { margin: 0; } svg { width: 100%; height: auto; font-size: 12px; } svg text { fill: currentColor; }
svg .title { font-size: 14px; font-weight: 600; }
.grid { stroke: var(--line); } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
table { overflow-wrap: normal; } th:first-child, td:first-child, .words { text-align: left; } td.words { min-width: 16rem; }
.note { color: var(--soft); } .passed { color: var(--good); } .failed { color: var(--bad); font-weight: 600; }
"""
_NO_BREAK = "\u00a0"
_SPANS = {
    "per_10k": ("genuine touched per 10,000", "genuine_touched_per_10k", 1.0),
    "familiar_per_10k": ("familiar payments touched per 10,000", "familiar_touched_per_10k", 1.0),
    "touched_per_fraud": ("genuine touched per fraud caught", "genuine_touched_per_fraud_caught", 1.0),
    "recall": ("share of frauds caught, %", "recall", 100.0),
}


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
    sections = [_facts(summary), _gates(summary), _difference(summary)]
    if "frauds" in summary:
        sections += [_charts(summary), _baselines(summary), _flips(summary), _what_if(summary), _reliability(summary)]
    else:
        sections += [_flips(summary)]
    sections += [_familiar_life(summary), _scenarios(summary)]
    title = f"Replay of {Path(summary['file']).name}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>\n{''.join(sections)}</body></html>\n"
    )


def _facts(summary: Mapping[str, Any]) -> str:
    facts = [(f"{summary['decided']:,}", "payments decided"), (f"{summary['alerts_per_day']:,.1f}", "alerts a day")]
    if "frauds" in summary:
        facts += _truth_facts(summary)
    items = "".join(f"<li><b>{escape(value)}</b>{escape(name)}</li>" for value, name in facts)
    delay = summary["label_delay_days"]
    known = "feedback as it arrived" if delay is None else f"labels {delay:g} days late"
    notes = [
        f"policy {summary['policy_version']}", f"last model {summary['model_version']} of {summary['models']}", known,
        f"payments mature after {summary['maturity_days']:g} days",
        f"{summary['duplicate']:,} duplicates, {summary['dead']:,} rows refused, {summary['late']:,} late",
    ]  # fmt: skip
    if summary.get("unlabelled"):
        notes.append(f"{summary['unlabelled']:,} payments without a label yet count for neither side")
    if not summary["familiarity"]:
        notes.append("without familiarity")
    period = f"{summary.get('from') or '–'} to {summary.get('to') or '–'}"
    return (
        f'<p class="note">{escape(period)}</p><ul class="facts">{items}</ul>'
        f'<p class="note">{escape("; ".join(notes).capitalize())}.</p>'
    )


def _truth_facts(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    low, high = summary["interval95"]["per_10k"]
    again = summary["touched_again_7d"]
    return [
        (f"{summary['caught']:,} of {summary['frauds']:,}", "frauds caught"),
        (
            _number(summary["genuine_touched_per_10k"]),
            f"genuine touched per 10,000 (95 %: {_number(low)} to {_number(high)})",
        ),
        (_number(summary["genuine_touched_per_fraud_caught"]), "genuine touched per fraud caught"),
        (_number(summary["familiar_touched_per_10k"]), "familiar payments touched per 10,000"),
        ("–" if again is None else f"{100 * again:.1f} %", "of those touched were touched again within 7 days"),
        (_number(summary["detection"]["ap"], 3), "average precision, mean of the test weeks"),
    ]


def _charts(summary: Mapping[str, Any]) -> str:
    pictures = "".join(f"<figure>{chart}</figure>" for chart in charts(summary))
    return f'<h2>Pictures</h2><div class="charts">{pictures}</div>'


def _difference(summary: Mapping[str, Any]) -> str:
    """Champion and challenger beside each other."""
    if "champion" not in summary or "frauds" not in summary:
        return ""
    champion, spans = summary["champion"], summary["comparison"]["difference95"]
    rows = []
    for name, (words, figure, scale) in _SPANS.items():
        low, high = (None if end is None else end * scale for end in spans[name])
        certain = low is not None and high is not None and (low > 0 or high < 0)
        rows.append(
            (
                words, _scaled(champion[figure], scale), _scaled(summary[figure], scale),
                "–" if low is None or high is None else f"{low:+,.2f} to {high:+,.2f}", "yes" if certain else "no",
            )
        )  # fmt: skip
    rows.append(("alerts a day", _number(champion["alerts_per_day"]), _number(summary["alerts_per_day"]), "", ""))
    names = ("", f"champion {champion['policy_version']}", f"challenger {summary['policy_version']}", "difference, 95 %", "beyond chance")  # fmt: skip
    return "<h2>Champion and challenger</h2>" + _table(names, rows)


def _baselines(summary: Mapping[str, Any]) -> str:
    """The engine beside a scorecard and a blanket amount rule, each finding as much fraud."""
    if "baselines" not in summary:
        return ""
    baselines, title = summary["baselines"], "<h2>Friction at equal recall: beside simpler rules</h2>"
    if not baselines["recall"]:
        return f'{title}<p class="note">Not measured: {escape(baselines["left_out"])}.</p>'
    tested = baselines["tested"]
    note = (
        f"Each one's thresholds are chosen on {baselines['threshold_from']} to {baselines['test_from']}, then applied from "
        f"{baselines['test_from']} on: {tested['events']:,} payments, {tested['frauds']:,} frauds, "
        f"{tested['familiar_frauds']:,} of them between familiar pairs. What that finds there stands beside what it touches"
    )
    if baselines["accounts_share"] < 1:
        note += f"; on {100 * baselines['accounts_share']:g} % of the accounts"
    names = (
        "engine", "recall asked", "found", "genuine touched per fraud caught", "95 %", "per 10,000 genuine", "95 %",
        "familiar per 10,000", "familiar frauds found",
    )  # fmt: skip
    rows = [
        (
            name.replace("_", " "), recall, _percent(row["recall"]), _number(row["touched_per_fraud"]),
            _span(row["interval95"]["touched_per_fraud"]), _number(row["per_10k"]), _span(row["interval95"]["per_10k"]),
            _number(row["familiar_per_10k"]), _percent(row["familiar_recall"]),
        )
        for recall, engines in baselines["recall"].items()
        for name, row in engines.items()
    ]  # fmt: skip
    return f'{title}<p class="note">{note}.</p>' + _table(names, rows)


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


def _reliability(summary: Mapping[str, Any]) -> str:
    """Stated against observed risk, scenario by scenario."""
    rows = [
        (
            word, f"{row['events']:,}", f"{row['frauds']:,}", f"{1e4 * row['predicted']:,.2f}",
            f"{1e4 * row['observed']:,.2f}", f"{row['ece']:.5f}",
            "; ".join(f"{100 * one['predicted']:.2g} → {100 * one['observed']:.2g}" for one in row["curve"]),
        )
        for word, row in summary["calibration_by_scenario"].items()
    ]  # fmt: skip
    names = ("scenario", "payments with a known outcome", "frauds", "stated per 10,000", "observed per 10,000", "expected calibration error", "stated → observed, %, by bins of risk")  # fmt: skip
    return "<h2>Calibration by scenario</h2>" + _table(names, rows, words=(6,))


def _familiar_life(summary: Mapping[str, Any]) -> str:
    """Which rule, or the model alone, touched payments between familiar pairs."""
    if "familiar_touched_by" not in summary:
        return ""
    title = "<h2>Familiar life: what touched it</h2>"
    note = (
        f"{summary['familiar_touched']:,} of {summary['familiar']:,} genuine payments between familiar pairs were touched. "
        "A hard rule that decided stands alone; else each rule that added to the risk is named, and a payment may count twice"
    )
    rows = [
        (cause["cause"].replace("_alone", " alone"), f"{cause['touched']:,}", _number(cause["per_10k"]))
        for cause in summary["familiar_touched_by"]
    ]
    table = _table(("touched by", "payments", "per 10,000 familiar"), rows) if rows else ""
    return f'{title}<p class="note">{note}.</p>' + table


def _scenarios(summary: Mapping[str, Any]) -> str:
    names = list(next(iter(summary["scenarios"].values()), {}))
    rows = [(word, *(f"{counts[name]:,}" for name in names)) for word, counts in summary["scenarios"].items()]
    sections = ["<h2>By scenario</h2>", _table(("scenario", *names), rows)]
    if "frauds" in summary:
        attacks = [(name, f"{row['frauds']:,}", f"{row['caught']:,}") for name, row in summary["attacks"].items()]
        if attacks:
            sections += ["<h2>By attack</h2>", _table(("attack", "frauds", "caught"), attacks)]
        for name in ("age", "segment"):
            groups = [(word, _number(value)) for word, value in summary[f"touched_per_10k_by_{name}"].items()]
            sections += [
                f"<h2>Parity: genuine touched per 10,000 by {name}</h2>",
                _table((name, "touched per 10,000"), groups),
            ]
    return "".join(sections)


def _gates(summary: Mapping[str, Any]) -> str:
    gates = summary.get("gates", ())
    if not gates:
        return ""
    rows = "".join(
        f'<tr><td>{escape(gate["gate"])}</td><td class="{_result(gate)}">{_result(gate)}</td>'
        f"<td>{_number(gate['value'], 4)}</td><td>{_number(gate['limit'], 4)}</td></tr>"
        for gate in gates
    )
    head = "".join(f"<th>{name}</th>" for name in ("fails if", "result", "is", "limit"))
    return f'<h2>Gates</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _result(gate: Mapping[str, Any]) -> str:
    return "failed" if gate["failed"] else "passed"


def _flips(summary: Mapping[str, Any]) -> str:
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
            "; ".join(f"{why} ({count:,})" for why, count in flip["why"].items()),
            "; ".join(_example(example) for example in flip["examples"]),
        )
        for flip in comparison["flips"]
    ]  # fmt: skip
    if rows:
        parts.append(_table(("flip", "payments", "of them fraud", "why", "examples"), rows, words=(3, 4)))
    return "".join(parts)


def _example(example: Mapping[str, Any]) -> str:
    before, after = example["champion"], example["challenger"]
    truth = "" if example["fraud"] is None else (", fraud" if example["fraud"] else ", genuine")
    return (
        f"{example['transaction_id']} ({example['scenario']}, {example['amount_minor']:,}{truth}): risk "
        f"{before['risk_ppm']:,} → {after['risk_ppm']:,} ppm, rules {', '.join(after['rules']) or 'none'}"
    )


def _table(names: Sequence[str], rows: Iterable[Sequence[str]], words: tuple[int, ...] = ()) -> str:
    head = "".join(f"<th{' class=words' if n in words else ''}>{escape(name)}</th>" for n, name in enumerate(names))
    body = "".join(
        "<tr>"
        + "".join(f"<td{' class=words' if n in words else ''}>{escape(cell)}</td>" for n, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}{_NO_BREAK}%"


def _span(ends: Sequence[float | None]) -> str:
    return "–" if None in ends else _NO_BREAK.join((_number(ends[0]), "to", _number(ends[1])))


def _scaled(value: float | None, scale: float) -> str:
    return _number(None if value is None else value * scale)
