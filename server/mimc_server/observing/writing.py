"""Lines on their way out: on a thread of their own, for a terminal that is held (Ctrl-S) or a pipe that nobody reads
would hold the whole service."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from ..settings import Log
from .journal import tell_rest
from .lines import FORMATTERS
from .pacing import OthersPaced

__all__ = ["LineHandler", "logging_to"]

MOST_WAITING = 10_000
"""Lines that wait to be written; more are lost, and counted."""

PATIENCE = 1.0
"""Seconds that the last lines get at the end."""


class LineHandler(logging.Handler):
    """Writes lines to a stream; whoever logs never waits for it. ``close`` writes what waits, if that goes at all."""

    def __init__(self, stream: TextIO, most_waiting: int = MOST_WAITING, patience: float = PATIENCE) -> None:
        super().__init__()
        self._stream = stream
        self._patience = patience
        self._lines: queue.Queue[str | None] = queue.Queue(most_waiting)
        self._lost = 0
        self._thread = threading.Thread(target=self._write, name="mimc-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self._lost += 1
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """May be called again."""
        super().close()
        with contextlib.suppress(queue.Full):  # nothing moves: there is nobody to wait for
            self._lines.put(None, timeout=self._patience)
            self._thread.join(self._patience)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if self._lost:
                with self.lock or contextlib.nullcontext():
                    lost, self._lost = self._lost, 0
                line = f"{line}\n{lost} lines were lost here: what reads them is too slow"
            with contextlib.suppress(OSError, ValueError):  # full, broken or closed: there is no other place to say so
                self._stream.write(line + "\n")
                self._stream.flush()


@contextlib.contextmanager
def logging_to(stream: TextIO, log: Log, now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Have all that is logged in this process written to a stream, as the settings say, until the block is left.

    ``log.level`` is that of this project; other libraries are heard from WARNING on, each of their loggers as often as
    an event of ours (``log.rate``): asyncio has a traceback for every connection that finds no file descriptor.
    ``now`` gives seconds of any clock.
    """
    root, own = logging.getLogger(), logging.getLogger("mimc")
    levels = root.level, own.level
    handler = LineHandler(stream)
    handler.setFormatter(FORMATTERS[log.format]())
    paced = OthersPaced(log, now)
    handler.addFilter(paced)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    own.setLevel(log.level.upper())
    try:
        yield
    finally:
        tell_rest(paced.rest())
        root.removeHandler(handler)
        root.setLevel(levels[0])
        own.setLevel(levels[1])
        handler.close()
