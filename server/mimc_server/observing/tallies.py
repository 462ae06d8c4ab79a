"""Counts that cost an addition each, and how they become what Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

__all__ = ["Histogram", "Tally"]


class Tally:
    """A counter with labels: ``tally.add("p2p", "0")``, or ``tally.add()`` for one without.

    The values of labels must be few, and not a peer's choice: each is kept for ever.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self._name = name
        self._about = about
        self._labels = labels
        self._counts: Counter[tuple[str, ...]] = Counter()
        if not labels:
            self._counts[()] = 0  # what never happened has happened 0 times

    def add(self, *labels: str) -> None:
        """It happened once more."""
        self._counts[labels] += 1

    def family(self) -> CounterMetricFamily:
        """As it is now."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._counts.items():
            family.add_metric(labels, count)
        return family


class Histogram:
    """How often which values were seen; ``bounds`` are the upper bounds of its buckets."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._about = about
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """It was seen once more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self) -> HistogramMetricFamily:
        """As it is now."""
        family = HistogramMetricFamily(self._name, self._about)
        buckets, total = [], 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((bound, total))
        family.add_metric((), buckets, self._sum)
        return family
