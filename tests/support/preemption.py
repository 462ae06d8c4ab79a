"""Letting another thread go first at every line of the blocking adapter, on `VirtualThreads`."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from mimc_transports import _blocking_io, _blocking_threads, _link, _shared, _user, blocking
from support.virtual_threads import VirtualThreads

__all__ = ["Preemption"]

ADAPTER = {module.__file__ for module in (_blocking_io, _blocking_threads, _link, _shared, _user, blocking)}


class Preemption:
    """Counts the lines of the adapter that any thread comes to between `begin` and `end`.

    Before the ``at``-th, another thread calls ``intervene``, and all that can run does, before that thread goes on.
    """

    def __init__(self, threads: VirtualThreads, at: int | None, intervene: Callable[[], object]) -> None:
        self._threads, self._at, self._intervene = threads, at, intervene
        self._counts = False
        self.lines = 0
        self.intervening: Any = None
        """The other thread, once there is one."""

    def __enter__(self) -> Self:
        self._before = sys.gettrace(), threading.gettrace()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        here, elsewhere = self._before
        sys.settrace(here)
        threading.settrace(elsewhere)

    def begin(self) -> None:
        self._counts = True

    def end(self) -> None:
        self._counts = False

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in ADAPTER or frame.f_code.co_name == "__del__":
            return None  # the collector runs anywhere
        if event == "line" and self._counts:
            self.lines += 1
            if self.lines == self._at:
                self.end()
                self.intervening = self._threads.start(self._intervene)
                self._threads.sleep(0.0)
        return self._trace
