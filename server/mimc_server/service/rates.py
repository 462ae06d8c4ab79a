"""How fast an account may send: a bucket of tokens each, which fills up again by and by."""

from __future__ import annotations

from collections.abc import Hashable

__all__ = ["Rates"]


class Rates:
    """Buckets of ``burst`` tokens that refill with ``rate`` tokens a second; each thing done takes one.

    A bucket is kept as the time at which it will be full, and only until then: memory is bounded by what was done in
    the last ``burst / rate`` seconds (and until the next `forget_full`).
    """

    __slots__ = ("_full_at", "_interval", "_most")

    def __init__(self, rate: float, burst: int) -> None:
        self._interval = 1.0 / rate
        self._most = (burst - 1) * self._interval + 1e-6  # floats lose a little of a token that is there in time
        self._full_at: dict[Hashable, float] = {}

    def take(self, key: Hashable, now: float) -> bool:
        """Whether there was a token in this bucket; now it is taken."""
        full_at = self._full_at.get(key, now)
        if full_at < now:
            full_at = now
        if full_at - now > self._most:
            return False
        self._full_at[key] = full_at + self._interval
        return True

    def forget_full(self, now: float) -> None:
        """Buckets that are full again are like new ones."""
        self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}

    def __len__(self) -> int:
        """Buckets that are kept."""
        return len(self._full_at)
