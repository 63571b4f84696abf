"""Line charts as SVG text: axes with round ticks, one line a series, a title that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 66, 16, 52, 46
COLOURS = ("#1b6ca8", "#c2571a", "#3b8751", "#7a4f9e")


@dataclass(frozen=True, slots=True)
class Axis:
    """One direction of a chart.

    Parameters
    ----------
    label
        What it shows, with its unit.
    logarithmic
        Whether equal steps are equal ratios; values of 0 and less are then left out.
    low, high
        Ends; None for those of the data.
    """

    label: str
    logarithmic: bool = False
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points joined by a line, in the order given."""

    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    logarithmic: bool

    def share(self, value: float) -> float:
        """Where a value stands between the ends, 0 to 1."""
        low, high, at = self.low, self.high, value
        if self.logarithmic:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return (at - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values from end to end."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            powers = [10.0**power for power in range(first, last + 1)]
            return [value for value in powers if self.low <= value <= self.high * (1 + 1e-9)]
        step = _round_step((self.high - self.low) / 5)
        first = math.ceil(self.low / step - 1e-9)
        return [round(n * step, 12) for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def line_chart(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> str:
    """An ``<svg>`` element.

    >>> svg = line_chart("Found", Axis("alerts"), Axis("share", low=0.0, high=1.0), [Series("now", [(1.0, 0.2), (2.0, 0.6)])])
    >>> svg.count("<polyline"), "aria-label" in svg
    (1, True)
    """
    shown = [Series(one.name, _there(one.points, x, y), one.dashed) for one in series]
    points = [point for one in shown for point in one.points]
    if not points:
        return f"<p>{escape(title)}: nothing to show.</p>"
    across = _scale(x, [point[0] for point in points])
    up = _scale(y, [point[1] for point in points])
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        f'<text class="title" x="{LEFT}" y="20">{escape(title)}</text>',
        *_grid(across, up, x, y),
    ]
    for place, one in enumerate(shown):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{_left(across, a):.1f},{_top(up, b):.1f}" for a, b in one.points)
        dash = ' stroke-dasharray="5 4"' if one.dashed else ""
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if len(one.points) == 1:
            at, high = _left(across, one.points[0][0]), _top(up, one.points[0][1])
            parts.append(f'<circle cx="{at:.1f}" cy="{high:.1f}" r="4" fill="{colour}"/>')
    return "\n".join([*parts, *_legend([one.name for one in shown]), "</svg>"])


def bar_chart(title: str, label: str, names: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> str:
    """Horizontal bars, a group for each name, a bar for each series; the number stands at the bar's end.

    >>> svg = bar_chart("Touched", "per 10,000", ["cards", "wallets"], [("now", [3.0, 1.5])])
    >>> svg.count('class="bar"'), "1.5" in svg
    (2, True)
    """
    high = max((value for _, values in series for value in values), default=0.0)
    if not names or high <= 0:
        return f"<p>{escape(title)}: nothing to show.</p>"
    thick, gap, left = 13, 10, 132
    height = TOP + len(names) * (thick * len(series) + gap) + 30
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, quote=True)}">',
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
        *_legend([name for name, _ in series], 0),
    ]
    for place, name in enumerate(names):
        top = TOP + place * (thick * len(series) + gap)
        middle = top + thick * len(series) / 2
        parts.append(f'<text x="{left - 8}" y="{middle}" dy="4" text-anchor="end">{escape(_shortened(name))}</text>')
        for number, (_, values) in enumerate(series):
            wide, at = values[place] / high * (WIDTH - left - 64), top + number * thick
            parts.append(
                f'<rect class="bar" x="{left}" y="{at}" width="{max(wide, 0.5):.1f}" height="{thick - 2}" fill="{COLOURS[number]}"/>'
            )
            parts.append(
                f'<text x="{left + wide + 5:.1f}" y="{at + thick - 4}">{_text(round(values[place], 2))}</text>'
            )
    parts.append(f'<text x="{left}" y="{height - 10}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"])


def _legend(names: Sequence[str], left: float = LEFT) -> list[str]:
    """The series' names in their colours, one beside the other under the title."""
    parts = []
    for place, name in enumerate(names):
        parts.append(f'<rect x="{left}" y="31" width="10" height="10" fill="{COLOURS[place % len(COLOURS)]}"/>')
        parts.append(f'<text x="{left + 14}" y="40">{escape(_shortened(name, 30))}</text>')
        left += 28 + 6.4 * len(_shortened(name, 30))
    return parts


def _shortened(name: str, most: int = 20) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _there(points: Sequence[tuple[float, float]], x: Axis, y: Axis) -> list[tuple[float, float]]:
    return [(a, b) for a, b in points if (a > 0 or not x.logarithmic) and (b > 0 or not y.logarithmic)]


def _scale(axis: Axis, values: Sequence[float]) -> _Scale:
    low = min(values) if axis.low is None else axis.low
    high = max(values) if axis.high is None else axis.high
    if not low < high:
        low, high = (low / 2, low * 2) if axis.logarithmic else (low - 0.5, low + 0.5)
    return _Scale(low, high, axis.logarithmic)


def _grid(across: _Scale, up: _Scale, x: Axis, y: Axis) -> list[str]:
    parts = []
    for value in across.ticks():
        at = f"{_left(across, value):.1f}"
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_text(value)}</text>')
    for value in up.ticks():
        at = f"{_top(up, value):.1f}"
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at}" dy="4" text-anchor="end">{_text(value)}</text>')
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>'
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>')
    return parts


def _left(scale: _Scale, value: float) -> float:
    return LEFT + scale.share(value) * (WIDTH - LEFT - RIGHT)


def _top(scale: _Scale, value: float) -> float:
    return HEIGHT - BOTTOM - scale.share(value) * (HEIGHT - TOP - BOTTOM)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * (1 - 1e-9))


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"
