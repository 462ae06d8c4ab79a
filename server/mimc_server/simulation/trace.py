"""What happened, line by line: to be read, to be compared, and to be looked at when a law was broken."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable

from mimc_proto.testing import VirtualClock

__all__ = ["Trace"]

KEPT = 80
"""Lines that are kept for whoever asks for the tail."""

AT_ONCE = 512
"""Lines that are hashed and written together."""

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Trace:
    """A line of JSON for everything that matters, in the order in which it happened.

    ``write``, if given, gets pieces of it; each is some lines with their line ends. `close` writes the last one. What
    it raises is kept in ``failed``, and nothing more is written: it says nothing of what is traced.
    """

    def __init__(self, clock: VirtualClock, write: Callable[[str], object] | None = None) -> None:
        self._clock = clock
        self._write = write
        self._hash = hashlib.sha256()
        self._waiting: list[str] = []
        self._tail: deque[str] = deque(maxlen=KEPT)
        self.lines = 0
        self.failed: Exception | None = None

    def tell(self, who: str, what: str, **more: object) -> None:
        """One line: the time in seconds, who, what, and ``more`` (anything that JSON has)."""
        self._waiting.append(_encode({"t": round(self._clock.now, 6), "who": who, "what": what, **more}))
        self.lines += 1
        if len(self._waiting) >= AT_ONCE:
            self._flush()

    def tail(self) -> list[str]:
        """The last lines."""
        self._flush()
        return list(self._tail)

    def close(self) -> str:
        """Write what is left; the SHA-256 of the whole trace in hex."""
        self._flush()
        return self._hash.hexdigest()

    def _flush(self) -> None:
        if not self._waiting:
            return
        self._tail.extend(self._waiting[-KEPT:])
        text = "\n".join(self._waiting) + "\n"
        self._waiting.clear()
        self._hash.update(text.encode())
        if self._write is not None:
            try:
                self._write(text)
            except Exception as error:
                self._write, self.failed = None, error
