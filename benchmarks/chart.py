"""Small charts as SVG text: panels side by side, each a line over counts that are spaced by their logarithm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

__all__ = ["Panel", "draw"]

WIDTH, HEIGHT = 230, 170
LEFT, TOP, RIGHT, BOTTOM = 44, 44, 14, 34
INK, LINE, GRID = "#444", "#1668b0", "#ddd"


class Panel(NamedTuple):
    """One chart; ``points`` are (count, value), counts rising."""

    title: str
    unit: str
    points: tuple[tuple[float, float], ...]


def draw(panels: Sequence[Panel], title: str) -> str:
    """All panels with axes of their own; values begin at 0, so that what is flat looks flat."""
    width = WIDTH * len(panels)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}"'
        f' font-family="sans-serif" font-size="10" fill="{INK}">\n<title>{escape(title)}</title>\n'
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>\n'
    )
    return head + "".join(_panel(panel, index * WIDTH) for index, panel in enumerate(panels)) + "</svg>\n"


def _panel(panel: Panel, offset: float) -> str:
    left, right, top, bottom = offset + LEFT, offset + WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    counts = [count for count, _ in panel.points]
    most = _round_up(max(value for _, value in panel.points))
    span = math.log(counts[-1] / counts[0]) or 1.0

    def place(count: float, value: float) -> tuple[float, float]:
        across = math.log(count / counts[0]) / span
        return left + across * (right - left), bottom - value / most * (bottom - top)

    parts = [
        f'<text x="{offset + 8}" y="16" font-weight="bold">{escape(panel.title)}</text>',
        f'<text x="{offset + 8}" y="30">{escape(panel.unit)}</text>',
    ]
    for value in (0, most / 2, most):
        y = place(counts[0], value)[1]
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{GRID}"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 3:.1f}" text-anchor="end">{value:g}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in panel.points))
    parts.append(f'<polyline points="{line}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    for count, value in panel.points:
        x, y = place(count, value)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINE}"/>')
        parts.append(f'<text x="{x:.1f}" y="{y - 7:.1f}" text-anchor="middle">{value:.0f}</text>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{count:,.0f}</text>')
    return "\n".join(parts) + "\n"


def _round_up(value: float) -> float:
    """A round number that is some way above a value."""
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * factor for factor in (1.5, 2, 3, 4, 6, 8, 10, 15) if step * factor > value * 1.15)
