"""The pictures of a report, from a summary's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stream.replay.report.chart import Axis, Series, bar_chart, line_chart

_SHARE = Axis("share of frauds found", low=0.0, high=1.0)

FEW = 100
"""A scenario with fewer genuine payments has no rate that a bar should stand for; the table has its counts."""


def charts(summary: Mapping[str, Any]) -> list[str]:
    """``<svg>`` elements (or a line that says there is nothing to show), in the order in which they are read."""
    sides = [("this policy", summary)]
    if "champion" in summary:
        sides = [("challenger", summary), ("champion", summary["champion"])]
    return [
        _capacity(sides),
        _precision(sides),
        _friction(summary),
        _by_scenario(sides),
        _calibration(summary),
        _detection(summary),
        _touched_by_week(sides),
        _stability(summary),
    ]


Sides = list[tuple[str, Mapping[str, Any]]]


def _rows(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The curve of thresholds; empty where no fraud is known, since there is nothing to find then."""
    return list(summary["what_if"]) if summary["frauds"] else []


def _capacity(sides: Sides) -> str:
    lines = [
        Series(name, [(row["alerts_per_day"], row["frauds_found"] / side["frauds"]) for row in _rows(side)])
        for name, side in sides
    ]
    share = Axis("share of frauds found", low=0.0, high=1.0)
    return line_chart("Capacity: what so many alerts a day find", Axis("alerts a day", True), share, lines)


def _precision(sides: Sides) -> str:
    lines = []
    for name, side in sides:
        known = [(row, row["frauds_found"] + row["genuine_touched"]) for row in _rows(side)]
        points = [(row["frauds_found"] / side["frauds"], row["frauds_found"] / count) for row, count in known if count]
        lines.append(Series(name, points))
    return line_chart("Precision and recall", _SHARE, Axis("share of alerts that are fraud", low=0.0, high=1.0), lines)


def _friction(summary: Mapping[str, Any]) -> str:
    rows, frauds = _rows(summary), summary["frauds"]
    lines = [
        Series(name, [(row["frauds_found"] / frauds, row[figure] or 0.0) for row in rows])
        for name, figure in (
            ("all payments", "genuine_touched_per_10k"),
            ("familiar pairs", "familiar_touched_per_10k"),
        )
    ]
    return line_chart("Friction: genuine customers touched", _SHARE, Axis("touched per 10,000", True), lines)


def _by_scenario(sides: Sides) -> str:
    names = [name for name, row in sides[0][1]["scenarios"].items() if row["genuine"] >= FEW]
    series = [(side, [_per_10k(summary["scenarios"].get(name)) for name in names]) for side, summary in sides]
    return bar_chart("Friction by scenario", "genuine touched per 10,000 genuine payments", names, series)


def _per_10k(row: Mapping[str, Any] | None) -> float:
    return 10_000 * row["touched"] / row["genuine"] if row and row["genuine"] else 0.0


def _calibration(summary: Mapping[str, Any]) -> str:
    bins = [(one["predicted"], one["observed"]) for one in summary["calibration"] if one["events"]]
    ends = [value for point in bins for value in point if value > 0]
    exact = [(min(ends), min(ends)), (max(ends), max(ends))] if ends and summary["frauds"] else []
    lines = [Series("observed", bins if summary["frauds"] else []), Series("exact", exact, True)]
    return line_chart(
        "Calibration: stated and observed share of fraud", Axis("stated risk", True), Axis("observed", True), lines
    )


def _detection(summary: Mapping[str, Any]) -> str:
    points = [(float(n), week["ap"]) for n, week in enumerate(summary["weeks"], 1) if week["ap"] is not None]
    lines = [Series("average precision", points)]
    return line_chart(
        "Detection over time: test weeks, known cards left out",
        Axis("test week"),
        Axis("average precision", low=0.0, high=1.0),
        lines,
    )


def _touched_by_week(sides: Sides) -> str:
    lines = [
        Series(name, [(n, 10_000 * w["touched"] / w["genuine"]) for n, w in _weeks(side) if w["genuine"]])
        for name, side in sides
    ]
    return line_chart("Friction over time", Axis("week"), Axis("genuine touched per 10,000", low=0.0), lines)


def _stability(summary: Mapping[str, Any]) -> str:
    points = [(n, week["stability"]) for n, week in _weeks(summary) if week["stability"] is not None]
    lines = [Series("stability index", points)]
    if len(points) > 1:
        ends = points[0][0], points[-1][0]
        lines.append(Series(".25: another population", [(end, 0.25) for end in ends], True))
    return line_chart(
        "Drift: risks of each week against the first four",
        Axis("week"),
        Axis("population stability index", low=0.0),
        lines,
    )


def _weeks(summary: Mapping[str, Any]) -> list[tuple[float, Mapping[str, Any]]]:
    return [(float(number), week) for number, week in enumerate(summary["drift"], 1)]
