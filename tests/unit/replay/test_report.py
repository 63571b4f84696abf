"""The report: one file, well-formed, nothing from elsewhere, every picture drawn from the summary's own numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rules.policy import shipped
from stream.core.columns import hash_id
from stream.core.features import SCHEMA
from stream.replay.measure.tally import Tally
from stream.replay.report.chart import Axis, Series, line_chart
from stream.replay.report.report import report_html
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import FileReplay, ReplaySettings
from stream.replay.walk.file_walk import counts, replay

VOID = {"meta", "link", "polyline", "line", "br", "rect", "circle"}


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


@pytest.fixture(scope="module")
def summary(bank: tuple[Path, Path]) -> dict[str, Any]:
    engine = FileReplay(ReplaySettings(round_us=0), shipped())
    tally = Tally(rules=shipped().compile(SCHEMA, hash_id).rules)
    intake = replay(open_source(bank[0], None, bank[1]), engine, [tally.add])
    return {
        "file": "<bank>.jsonl",
        **counts(intake, engine),
        **tally.result(),
        "policy_version": "p-1",
        "model_version": "m0-1",
        "familiarity": True,
        "label_delay_days": 7.0,
        "maturity_days": 7.0,
    }


def test_the_page_is_well_formed_and_asks_nobody_for_anything(summary: dict[str, Any]) -> None:
    text = report_html(summary)
    page = Page(text)
    assert page.open == []
    assert "script" not in page.seen
    assert re.findall(r"(?:src|href)=\"(?!data:)", text) == []
    assert "http" not in text
    assert "&lt;bank&gt;.jsonl" in text, "names are escaped"


def test_what_touched_familiar_life_is_in_the_table_and_adds_up(summary: dict[str, Any]) -> None:
    causes = summary["familiar_touched_by"]
    assert sum(cause["touched"] for cause in causes) >= summary["familiar_touched"]
    assert bool(causes) == bool(summary["familiar_touched"])
    text = report_html(summary | {"familiar_touched_by": [{"cause": "adverse_<pair>", "touched": 3, "per_10k": 1.25}]})
    assert "<td class=words>" not in text.split("Familiar life")[1].split("</table>")[0]
    assert "adverse_&lt;pair&gt;</td><td>3</td><td>1.25</td>" in text
    assert "Familiar life" not in report_html({k: v for k, v in summary.items() if k != "familiar_touched_by"})


def test_every_picture_has_lines_and_the_table_every_threshold(summary: dict[str, Any]) -> None:
    text = report_html(summary)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) == 8
    assert all("<polyline" in picture or "<rect" in picture for picture in pictures)
    for row in summary["what_if"]:
        assert f"<td>{row['threshold_ppm']:,}</td>" in text


def test_bins_of_the_calibration_hold_every_event(summary: dict[str, Any]) -> None:
    assert sum(one["events"] for one in summary["calibration"]) == summary["decided"]
    observed = sum(one["events"] * one["observed"] for one in summary["calibration"])
    assert observed == pytest.approx(summary["frauds"], abs=0.5)


def test_lines_stay_within_their_chart_and_zero_has_no_logarithm() -> None:
    svg = line_chart("t", Axis("x", True), Axis("y"), [Series("s", [(0.0, 1.0), (1.0, 2.0), (100.0, 5.0)])])
    points = re.search(r'points="([^"]*)"', svg)
    assert points is not None
    places = [tuple(map(float, point.split(","))) for point in points[1].split()]
    assert places == [(66.0, 274.0), (544.0, 52.0)]


def test_a_chart_without_points_says_so() -> None:
    assert "nothing to show" in line_chart("t", Axis("x"), Axis("y"), [Series("s", [])])
