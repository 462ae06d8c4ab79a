"""Counting while it happens: totals, times, and what each minute was like."""

from __future__ import annotations

from array import array
from collections import Counter

__all__ = ["MINUTE", "Tally"]

MINUTE = 60.0


class Tally:
    """``counts`` by name; ``times`` (seconds) by name; ``minutes``: for each name a number for every minute.

    ``slow`` has for each minute the times of deliveries, for quantiles.
    """

    def __init__(self, minutes: int) -> None:
        self.counts: Counter[str] = Counter()
        self.times: dict[str, array[float]] = {}
        self._minutes = minutes
        self.minutes: dict[str, list[int]] = {}
        self.latencies: list[array[float]] = [array("d") for _ in range(minutes)]

    def count(self, name: str, number: int = 1) -> None:
        """So many more in total."""
        self.counts[name] += number

    def at(self, name: str, now: float, number: int = 1) -> None:
        """So many more in total, and in this minute."""
        self.counts[name] += number
        self._row(name)[self._minute(now)] += number

    def level(self, name: str, now: float, value: int) -> None:
        """How many there are in this minute."""
        self._row(name)[self._minute(now)] = value

    def time(self, name: str, seconds: float) -> None:
        """Something took so long."""
        times = self.times.get(name)
        if times is None:
            times = self.times[name] = array("d")
        times.append(seconds)

    def latency(self, now: float, seconds: float) -> None:
        """A delivery, to somebody who was online when the message was said, took so long."""
        self.time("delivery", seconds)
        self.latencies[self._minute(now)].append(seconds)

    def _row(self, name: str) -> list[int]:
        row = self.minutes.get(name)
        if row is None:
            row = self.minutes[name] = [0] * self._minutes
        return row

    def _minute(self, now: float) -> int:
        return min(int(now // MINUTE), self._minutes - 1)
