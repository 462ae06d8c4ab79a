"""A picture of a simulated day, as SVG: who was online, what was said and delivered, how soon, and what went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from .faults import FaultKind
from .report import Report, Times
from .scenario import CALM, HOUR
from .tally import MINUTE

__all__ = ["draw"]

WIDTH, LEFT, RIGHT = 1120.0, 118.0, 24.0
TOP, GAP = 92.0, 34.0
LANE = 17.0

MOST_BUCKETS = 150
"""Columns of a picture: so many minutes are shown as one that no more are needed."""

INK, FAINT, GRID = "#1f2933", "#616e7c", "#e4e7eb"
BLUE, GREEN, SAND, RED, VIOLET = "#2b6cb0", "#2f855a", "#b7e0c5", "#c53030", "#6b46c1"

_LANES = {
    FaultKind.PARTITION: "#d69e2e",
    FaultKind.BAD_RADIO: "#b7791f",
    FaultKind.SERVICE_DOWN: "#c53030",
    FaultKind.SLOW_STORE: "#805ad5",
    FaultKind.FAILING_STORE: "#b83280",
    FaultKind.NO_TOKENS: "#2c7a7b",
    FaultKind.WALL_CLOCK: "#4a5568",
    FaultKind.KICK: "#4a5568",
    FaultKind.REVOKED: "#4a5568",
    FaultKind.TWIN: "#4a5568",
}

_TROUBLES = (("reconnects", BLUE), ("failed", RED), ("crashes of clients", VIOLET))
_SHADED = (FaultKind.PARTITION, FaultKind.SERVICE_DOWN, FaultKind.SLOW_STORE, FaultKind.FAILING_STORE)
"""What is seen in all panels."""


def draw(report: Report) -> str:
    """The SVG document."""
    return _Picture(report).document()


class _Picture:
    def __init__(self, report: Report) -> None:
        self._report = report
        self._seconds = report.scenario.seconds + CALM
        minutes = len(report.latencies)
        self._per_bucket = math.ceil(minutes / MOST_BUCKETS)
        self._buckets = math.ceil(minutes / self._per_bucket)
        self._parts: list[str] = []
        self._y = TOP

    def document(self) -> str:
        """All of it."""
        report = self._report
        unit = "minute" if self._per_bucket == 1 else f"{self._per_bucket} minutes"
        panels: list[tuple[str, float, Callable[[float, float], None]]] = [
            ("clients online", 110.0, self._online),
            (f"messages a {unit}" if self._per_bucket == 1 else f"messages in {unit}", 150.0, self._messages),
            ("seconds to receivers who are online", 120.0, self._latency),
            (f"what went wrong, in {unit}", 90.0, self._troubles),
        ]
        height = TOP + sum(high + GAP for _, high, _ in panels) + LANE * len(_LANES) + 52.0
        bottom = height - 44.0
        self._shade(TOP, bottom)
        for title, high, fill in panels:
            self._text(LEFT, self._y - 8, title, size=12, weight=600)
            fill(self._y, high)
            self._y += high + GAP
        self._faults()
        self._hours(bottom)
        scenario = report.scenario
        title = f"{scenario.clients} clients and one service, {scenario.hours:g} hours, seed {scenario.seed}"
        body = "\n".join(self._parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" font-family="{_FONT}">\n'
            f"<title>{escape(title)}</title>\n"
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n'
            f'<text x="{LEFT:g}" y="30" font-size="18" font-weight="600" fill="{INK}">{escape(title)}</text>\n'
            f'<text x="{LEFT:g}" y="49" font-size="12" fill="{FAINT}">{escape(self._summary())}</text>\n'
            f"{body}\n</svg>\n"
        )

    def _summary(self) -> str:
        counts, times = self._report.counts, self._report.times["delivery"]
        return (
            f"{counts.get('said', 0):,} messages said, {counts.get('delivered', 0):,} deliveries"
            f" (median {times.median * 1000:.0f} ms, p99 {times.p99:.1f} s),"
            f" {counts.get('reconnects', 0):,} reconnects,"
            f" {counts.get('crashes of clients', 0):,} clients crashed,"
            f" {counts.get('repeats', 0) + counts.get('repeats known by the store', 0):,} repeats suppressed:"
            f" every law held"
        )

    # ---------------------------------------------------------------------------------------------------------- panels

    def _online(self, y: float, high: float) -> None:
        levels = self._in_buckets(self._report.minutes.get("online", ()), max)
        scale = self._axis(y, high, self._report.scenario.clients)
        self._area(y + high, [scale(level) for level in levels], BLUE)

    def _messages(self, y: float, high: float) -> None:
        """To the scale of the day; in the calm all that waited comes at once, and what is too high is written."""
        delivered = self._in_buckets(self._report.minutes.get("delivered", ()), sum)
        said = self._in_buckets(self._report.minutes.get("said", ()), sum)
        day = int(self._report.scenario.seconds // (self._per_bucket * MINUTE))
        most = max([*delivered[:day], *said[:day], 1])
        scale = self._axis(y, high, most)
        self._bars([0] * len(delivered), [min(number, most) for number in delivered], scale, SAND)
        self._line([scale(min(number, most)) for number in said], GREEN)
        for index, number in enumerate(delivered):
            if number > most:
                x, wide = self._column(index)
                self._text(x + wide / 2, scale(most) - 4, f"{number:,}", anchor="middle", size=10)
        self._legend(y, [("delivered", SAND), ("said", GREEN)])

    def _latency(self, y: float, high: float) -> None:
        """On a scale of powers of ten."""
        report = self._report
        shown = [_worst(report.latencies[at : at + self._per_bucket]) for at in self._starts()]
        low, top = -2, max(1, math.ceil(math.log10(max([t.p99 for t in shown if t] or [1.0]))))

        def scale(seconds: float) -> float:
            part = (math.log10(max(seconds, 10**low)) - low) / (top - low)
            return y + high * (1 - min(1.0, part))

        for power in range(low, top + 1):
            at = scale(10.0**power)
            self._rule(at)
            self._text(LEFT - 8, at + 4, f"{10.0**power:g}", anchor="end")
        for index, times in enumerate(shown):
            if times is not None:
                x, wide = self._column(index)
                tall = max(1.5, scale(times.median) - scale(times.p99))
                self._rect(x + wide * 0.2, scale(times.p99), wide * 0.6, tall, "#f6ad55")
                self._rect(x, scale(times.median) - 1, wide, 2.0, "#9c4221")
        self._legend(y, [("median", "#9c4221"), ("up to p99", "#f6ad55")])

    def _troubles(self, y: float, high: float) -> None:
        rows = [self._in_buckets(self._report.minutes.get(name, ()), sum) for name, _ in _TROUBLES]
        stacked = [sum(column) for column in zip(*rows, strict=True)]
        scale = self._axis(y, high, max([*stacked, 1]))
        below = [0] * self._buckets
        for row, (_, colour) in zip(rows, _TROUBLES, strict=True):
            self._bars(below, row, scale, colour)
            below = [a + b for a, b in zip(below, row, strict=True)]
        named = {"failed": "failed sends", "crashes of clients": "crashed clients"}
        self._legend(y, [(named.get(name, name), colour) for name, colour in _TROUBLES])

    def _faults(self) -> None:
        for number, (kind, colour) in enumerate(_LANES.items()):
            y = self._y + LANE * number
            self._text(LEFT - 8, y + 11, kind.value, anchor="end")
            self._rule(y + LANE - 1.5)
            for fault in self._report.faults:
                if fault.kind is kind:
                    x = self._x(fault.begin)
                    if fault.end > fault.begin:
                        self._rect(x, y + 2, max(2.5, self._x(fault.end) - x), LANE - 7, colour, radius=2)
                    else:
                        self._parts.append(
                            f'<circle cx="{x:.1f}" cy="{y + LANE / 2 - 1.5:.1f}" r="3.2" fill="{colour}"/>'
                        )

    def _shade(self, top: float, bottom: float) -> None:
        for fault in self._report.faults:
            if fault.kind in _SHADED:
                x = self._x(fault.begin)
                wide = max(1.5, self._x(fault.end) - x)
                self._rect(x, top, wide, bottom - top, _LANES[fault.kind], opacity=0.13)
        x = self._x(self._report.scenario.seconds)
        self._rect(x, top, self._x(self._seconds) - x, bottom - top, "#a0aec0", opacity=0.15)

    def _hours(self, y: float) -> None:
        """The time of day along the bottom."""
        scenario = self._report.scenario
        wanted = self._seconds / HOUR / 12
        step = next(
            step for step in (1 / 6, 0.25, 0.5, 1.0, 2.0, 3.0, 6.0, 12.0, 24.0) if step >= wanted or step == 24.0
        )
        hour = math.ceil(scenario.begin / step) * step
        while hour <= scenario.begin + self._seconds / HOUR:
            x = self._x((hour - scenario.begin) * HOUR)
            label = f"{int(hour) % 24:02}:{round(hour % 1 * 60):02}"
            self._parts.append(f'<path d="M{x:.1f} {y:.1f}v5" stroke="{FAINT}"/>')
            self._text(x, y + 18, label, anchor="middle")
            hour += step
        x = (self._x(scenario.seconds) + self._x(self._seconds)) / 2
        self._text(x, y + 34, "calm", anchor="middle")

    # ---------------------------------------------------------------------------------------------------------- shapes

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self._seconds

    def _column(self, index: int) -> tuple[float, float]:
        """Where a bucket begins, and how wide it is."""
        x = self._x(index * self._per_bucket * MINUTE)
        return x, min(self._x((index + 1) * self._per_bucket * MINUTE), WIDTH - RIGHT) - x

    def _starts(self) -> range:
        return range(0, len(self._report.latencies), self._per_bucket)

    def _in_buckets(self, row: Sequence[int], of: Callable[[Sequence[int]], int]) -> list[int]:
        return [of(row[at : at + self._per_bucket]) if row else 0 for at in self._starts()]

    def _axis(self, y: float, high: float, most: float) -> Callable[[float], float]:
        """Lines at round numbers; the scale."""
        step = 10.0 ** math.floor(math.log10(most))
        step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 5)
        top = math.ceil(most / step) * step

        def scale(value: float) -> float:
            return y + high * (1 - value / top)

        for number in range(round(top / step) + 1):
            self._rule(scale(number * step))
            self._text(LEFT - 8, scale(number * step) + 4, f"{number * step:g}", anchor="end")
        return scale

    def _area(self, bottom: float, ys: list[float], colour: str) -> None:
        points = self._points(ys)
        first, last = points[0].partition(",")[0], points[-1].partition(",")[0]
        path = f"M{first},{bottom:.1f} L{' '.join(points)} L{last},{bottom:.1f} Z"
        self._parts.append(f'<path d="{path}" fill="{colour}" fill-opacity="0.25"/>')
        self._line(ys, colour)

    def _line(self, ys: list[float], colour: str) -> None:
        points = " ".join(self._points(ys))
        self._parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"/>')

    def _points(self, ys: list[float]) -> list[str]:
        points = []
        for index, y in enumerate(ys):
            x, wide = self._column(index)
            points.append(f"{x + wide / 2:.1f},{y:.1f}")
        return points

    def _bars(self, below: list[int], row: list[int], scale: Callable[[float], float], colour: str) -> None:
        for index, (start, number) in enumerate(zip(below, row, strict=True)):
            if number:
                x, wide = self._column(index)
                top = scale(start + number)
                self._rect(x + wide * 0.1, top, wide * 0.8, scale(start) - top, colour)

    def _legend(self, y: float, entries: list[tuple[str, str]]) -> None:
        x = WIDTH - RIGHT
        for name, colour in reversed(entries):
            self._text(x, y - 8, name, anchor="end")
            x -= 6.6 * len(name) + 16
            self._rect(x, y - 17, 10, 10, colour, radius=2)
            x -= 16

    def _rule(self, y: float) -> None:
        self._parts.append(f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" stroke="{GRID}"/>')

    def _rect(
        self, x: float, y: float, wide: float, high: float, colour: str, *, radius: float = 0, opacity: float = 1
    ) -> None:
        more = (f' rx="{radius:g}"' if radius else "") + (f' fill-opacity="{opacity:g}"' if opacity != 1 else "")
        self._parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{colour}"{more}/>'
        )

    def _text(
        self, x: float, y: float, text: str, *, anchor: str = "start", size: float = 11, weight: int = 400
    ) -> None:
        colour = INK if weight > 400 else FAINT
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}"'
            f' fill="{colour}">{escape(text)}</text>'
        )


_FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


def _worst(minutes: Sequence[Times]) -> Times | None:
    """Of some minutes with deliveries: the middle one's median, and the highest p99."""
    told = [times for times in minutes if times.samples]
    if not told:
        return None
    medians = sorted(times.median for times in told)
    return Times(
        samples=sum(times.samples for times in told),
        median=medians[len(medians) // 2],
        p99=max(times.p99 for times in told),
        longest=max(times.longest for times in told),
    )
