"""The report in a real browser: no error, pictures that show something, room on a phone, odd histories."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from playwright import sync_api as playwright

from stream.cli.replay import command
from stream.cli.simulate import write_files
from stream.simulate import SimulationConfig

CHROMIUM = shutil.which("chromium")
INKED = """(svg) => [...svg.querySelectorAll('polyline, .bar, circle')].some((mark) => {
  const box = mark.getBoundingClientRect(); return box.width + box.height > 2 })"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        # Skipping would let a machine without a browser report that all is well.
        pytest.fail("the report's tests need a real browser: sudo apt-get install chromium", pytrace=False)
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def report(folder: Path, events: int, days: int, fraud_rate: float, name: str = "bank", *options: str) -> Path:
    history, truth, out = folder / f"{name}.jsonl", folder / "truth.csv", folder / "report.html"
    write_files(SimulationConfig(seed=5, events=events, days=days, fraud_rate=fraud_rate), history, truth)
    arguments = [str(history), "--labels", str(truth), "--round", "0s", "--report", str(out), *options]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return out


def opened(browser: Any, path: Path, width: int) -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else told.append(request.url))
    page.goto(path.as_uri())
    return page, told


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_opens_without_a_word_of_complaint_and_fits(browser: Any, tmp_path: Path, width: int) -> None:
    path = report(tmp_path, 4_000, 40, 0.02, "bank", "--against", "shipped", "--fail-if", "alerts > 100000")
    page, told = opened(browser, path, width)
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    pictures = page.query_selector_all("svg")
    assert len(pictures) == 8
    assert all(picture.evaluate(INKED) for picture in pictures)
    assert all(picture.bounding_box()["height"] > 100 for picture in pictures)
    seen = page.screenshot(full_page=True)
    page.add_style_tag(content="polyline, .bar, circle { visibility: hidden }")
    assert page.screenshot(full_page=True) != seen, "what the pictures draw is seen"
    words = page.inner_text("body")
    for heading in (
        "Champion and challenger",
        "Friction at equal recall",
        "What if",
        "By scenario",
        "Parity",
        "Gates",
        "Flips against policy",
    ):
        assert heading in words


@pytest.mark.parametrize(
    ("name", "events", "days", "fraud_rate"),
    [
        ("a history without fraud", 1_500, 30, 0.0),
        ("a history of one day", 500, 1, 0.02),
        ("a-name-of-a-file-that-never-ends-" * 5, 500, 20, 0.02),
    ],
)
def test_odd_histories_give_a_page_that_fits_a_phone(
    browser: Any, tmp_path: Path, name: str, events: int, days: int, fraud_rate: float
) -> None:
    page, told = opened(browser, report(tmp_path, events, days, fraud_rate, name), 390)
    assert told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert name in page.inner_text("h1").replace("\n", "")
    assert "nan" not in page.inner_text("body").lower()
