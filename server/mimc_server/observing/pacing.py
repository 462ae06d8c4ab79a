"""How many lines of a kind are written: what any stranger can cause is not to fill a disk."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ..service.rates import Rates
from ..settings import Log
from .lines import FIELDS, SUPPRESSED

__all__ = ["OthersPaced", "Pace"]


class Pace:
    """Of each kind at most ``log.rate`` lines a second in the long run, and ``log.burst`` at once; others are counted.

    ``now`` gives seconds of any clock.
    """

    def __init__(self, log: Log, now: Callable[[], float]) -> None:
        self._now = now
        self._rates = Rates(log.rate, log.burst)
        self._missed: dict[str, int] = {}

    def admits(self, kind: str) -> bool:
        """Whether a line of this kind is to be written now."""
        if self._rates.take(kind, self._now()):
            return True
        self._missed[kind] = self._missed.get(kind, 0) + 1
        return False

    def missed(self, kind: str) -> int | None:
        """How many were not since the last one that was, if any; to be asked once for each that is."""
        return self._missed.pop(kind, None)

    def rest(self) -> dict[str, int]:
        """How many were not since the last one of each kind, to be asked at the end."""
        missed, self._missed = self._missed, {}
        return missed


class OthersPaced(logging.Filter):
    """A `Pace` for lines of other libraries, whose kinds are the names of their loggers; what has fields of ours goes
    through. For any number of threads."""

    def __init__(self, log: Log, now: Callable[[], float]) -> None:
        super().__init__()
        self._pace = Pace(log, now)
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is to be written; it gets the number of those that were not as an attribute."""
        if hasattr(record, FIELDS):
            return True
        with self._lock:
            admitted = self._pace.admits(record.name)
            if admitted:
                setattr(record, SUPPRESSED, self._pace.missed(record.name))
        return admitted

    def rest(self) -> dict[str, int]:
        """`Pace.rest`."""
        with self._lock:
            return self._pace.rest()
