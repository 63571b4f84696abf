"""Line charts as SVG text: axes with round ticks, one line a series, a title that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46
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
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{TOP + 14 + 15 * place}" text-anchor="end" fill="{colour}">{escape(one.name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


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
