"""Deadlines of many links in one heap. Most only ever move later, which costs nothing until the old one is due."""

from __future__ import annotations

import heapq
from collections.abc import Callable

__all__ = ["Alarm", "Timers"]

FEW = 64
"""Entries that nobody waits for are not worth removing while there are no more."""


class Alarm:
    """Something that is to be done at a time; ``due`` is None while it is not."""

    __slots__ = ("act", "due", "queued")

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act
        self.due: float | None = None
        self.queued: float | None = None
        """The earliest entry in the heap, if any."""


class Timers:
    """All alarms of a service. An entry that is not its alarm's earliest any more is dropped when it comes up, or when
    more than half are such: the alarm of a token that expires tomorrow would keep its session until then."""

    __slots__ = ("_count", "_heap", "_set")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._count = 0
        self._set = 0  # alarms that are to ring

    def set(self, alarm: Alarm, due: float | None) -> None:
        """Have it rung at ``due`` and not before; None: not at all."""
        self._set += (due is not None) - (alarm.due is not None)
        alarm.due = due
        if due is not None and (alarm.queued is None or due < alarm.queued):
            self._push(alarm, due)
        if len(self._heap) > 2 * self._set + FEW:
            self._tidy()

    def next(self) -> float | None:
        """When the first alarm is due."""
        self._settle()
        return self._heap[0][0] if self._heap else None

    def ring(self, now: float) -> None:
        """Do what is due. What the alarms set to a time that has passed waits for the next call."""
        due = []
        while (first := self.next()) is not None and first <= now:
            alarm = heapq.heappop(self._heap)[2]
            alarm.queued = None
            due.append(alarm)
        for alarm in due:
            if alarm.due is not None and alarm.due <= now:  # one that rang before it may have taken it back
                self.set(alarm, None)
                alarm.act()

    def _push(self, alarm: Alarm, when: float) -> None:
        self._count += 1
        alarm.queued = when
        heapq.heappush(self._heap, (when, self._count, alarm))

    def _settle(self) -> None:
        """Bring to the top an entry that is what its alarm says."""
        heap = self._heap
        while heap:
            when, _, alarm = heap[0]
            if when == alarm.queued and when == alarm.due:
                return
            heapq.heappop(heap)
            if when == alarm.queued:
                alarm.queued = None
                if alarm.due is not None:
                    self._push(alarm, alarm.due)

    def _tidy(self) -> None:
        """Only the entries that somebody waits for."""
        alarms = dict.fromkeys(alarm for _, _, alarm in self._heap)
        self._heap = []
        for alarm in alarms:
            alarm.queued = None
            if alarm.due is not None:
                self._push(alarm, alarm.due)
