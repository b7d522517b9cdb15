"""A line chart as HTML: its text is real text, which stays readable on a phone whatever the width of the chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

Number = int | float

LABEL_GAP = 0.085  # of the chart's height, between the labels of two lines


@dataclass(frozen=True)
class Series:
    """One line of a chart, or one mark where it has a single point."""

    label: str
    """What stands at its end."""
    points: tuple[tuple[Number, Number], ...]
    """x and y, x ascending."""
    style: str = ""
    """CSS class: "" solid, "dashed", or "accent" for a mark in the page's own colour."""


def line_chart(
    series: Sequence[Series], x_ticks: Sequence[Number], y_ticks: Sequence[Number], x_label: str, description: str
) -> str:
    """Draws lines over labelled axes, each line named at its end.

    Args:
        series: At least one line; the last points are what the labels stand at.
        x_ticks: Labelled values of x, ascending; the first and the last are the ends of the axis.
        y_ticks: Labelled shares in [0, 1], ascending; the first and the last are the ends of the axis.
        x_label: What x counts.
        description: The chart in one sentence, for those who cannot see it.

    Returns:
        An HTML figure; its style is in style.css under "chart".
    """
    x_low, x_high, y_low, y_high = x_ticks[0], x_ticks[-1], y_ticks[0], y_ticks[-1]

    def left(x: Number) -> float:
        return 100 * (x - x_low) / (x_high - x_low)

    def top(y: Number) -> float:
        return 100 * (y_high - y) / (y_high - y_low)

    grid = "".join(f'<path class="grid" d="M0 {top(y):.2f}H100"/>' for y in y_ticks)
    lines = "".join(
        f'<polyline class="{one.style}" points="{" ".join(f"{left(x):.2f},{top(y):.2f}" for x, y in one.points)}"/>'
        for one in series
        if len(one.points) > 1
    )
    dots = "".join(
        f'<i class="dot {one.style}" style="left:{left(x):.2f}%;top:{top(y):.2f}%"></i>'
        for one in series
        for x, y in one.points
    )
    ends = _spread([top(one.points[-1][1]) / 100 for one in series])
    labels = "".join(
        f'<span class="end {one.style}" style="top:{100 * place:.2f}%">{escape(one.label)}</span>'
        for one, place in zip(series, ends, strict=True)
    )
    y_words = "".join(f'<span class="y" style="top:{top(y):.2f}%">{y * 100:.0f}\u00a0%</span>' for y in y_ticks)
    x_words = "".join(f'<span class="x" style="left:{left(x):.2f}%">{x:g}</span>' for x in x_ticks)
    return (
        f'<figure class="chart" role="img" aria-label="{escape(description)}"><div class="chart-plot" '
        'aria-hidden="true"><svg viewBox="0 0 100 100" preserveAspectRatio="none">'
        f"{grid}{lines}</svg>{dots}{labels}{y_words}{x_words}"
        f'<span class="x-label">{escape(x_label)}</span></div></figure>'
    )


def _spread(places: Sequence[float]) -> list[float]:
    """Moves places in [0, 1] apart, downwards and then back up, until they are LABEL_GAP from one another."""
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, at in pairwise(order):
        moved[at] = max(moved[at], moved[before] + LABEL_GAP)
    limit = 1.0
    for at in reversed(order):
        moved[at] = min(moved[at], limit)
        limit = moved[at] - LABEL_GAP
    return moved
