"""Waiting longer after each failure: doubling, with full jitter, so that many clients do not come back at once."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Backoff", "Chance"]


class Chance(Protocol):
    """Where randomness comes from: ``random.Random`` and ``random.SystemRandom`` are such."""

    def random(self) -> float:
        """From 0 up to, but not including, 1."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """So many random bits."""
        ...


class Backoff:
    """Delays from 0 to ``first``, then to twice that, up to ``longest`` seconds."""

    __slots__ = ("_first", "_longest", "_most", "_rng")

    def __init__(self, first: float, longest: float, rng: Chance) -> None:
        self._first, self._longest, self._rng = first, longest, rng
        self._most = first

    def next(self) -> float:
        """The delay after one more failure, in seconds."""
        delay = self._rng.random() * self._most
        self._most = min(self._most * 2, self._longest)
        return delay

    def reset(self) -> None:
        """It went well: start again from the beginning."""
        self._most = self._first
