"""What was delivered already: remembered sequences, never a watermark, and never without bound."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import islice, takewhile
from typing import Generic, TypeVar

__all__ = ["Recent", "Seen"]

AT_ONCE = 32
"""So many more than need be are remembered before some are forgotten."""

K = TypeVar("K", bound=Hashable)


class Seen:
    """Sequences of delivered messages.

    Those that the server may still push again are kept, and at least the last ``least``: a sequence can be forgotten
    when an acknowledgement that covers it was followed, on its link, by a request that was answered.
    """

    __slots__ = ("_confirmed", "_least", "known")

    def __init__(self, least: int) -> None:
        self._least = least
        self._confirmed = 0
        self.known: dict[int, None] = {}
        """Those that are remembered, in the order of delivery; to be looked at only."""

    def add(self, sequences: Iterable[int]) -> None:
        """They are delivered now."""
        self.known.update(dict.fromkeys(sequences))
        if len(self.known) > self._least + AT_ONCE:
            self._forget()

    def confirm(self, sequence: int) -> None:
        """The server has the acknowledgement of everything up to ``sequence``."""
        self._confirmed = max(self._confirmed, sequence)
        self._forget()

    def _forget(self) -> None:
        """Drop from the front what is confirmed; several at once, because a dict's front is slow to reach."""
        surplus = len(self.known) - self._least
        confirmed = self._confirmed
        for sequence in list(takewhile(lambda known: known <= confirmed, islice(self.known, max(surplus, 0)))):
            del self.known[sequence]


class Recent(Generic[K]):
    """The last few keys."""

    __slots__ = ("_keys", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[K, None] = {}

    def add(self, key: K) -> bool:
        """Whether it is new."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._most:
            del self._keys[next(iter(self._keys))]
        return True
