"""What was stored lately, so that a message that comes again is answered as before and not stored twice."""

from __future__ import annotations

from collections import deque

from mimc_proto._record import new_record

from ..contract import NewMessage, Stored

__all__ = ["Repeats"]

Key = tuple[int, str, str, str | int, int]


class Repeats:
    """The repeats of one application, in the order of their sequences; about 0.3 KiB each."""

    __slots__ = ("_limit", "_order", "_stored")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stored: dict[Key, Stored] = {}
        self._order: deque[Key] = deque()

    @staticmethod
    def key(message: NewMessage) -> Key:
        """What two messages share if one repeats the other. The target says the kind as well: accounts are text, and
        groups of both kinds are numbered together.

        The payload counts by Python's hash, which is keyed by the process: two payloads are taken for one by a chance
        of 2**-64, and then only under the same packet id to the same target.
        """
        return (
            message.sender.uuid,
            message.resource,
            message.packet_id,
            message.target,
            hash(message.payload),
        )

    def first(self, key: Key) -> Stored | None:
        """How the first of them was answered, marked as repeated."""
        return self._stored.get(key)

    def remember(self, key: Key, stored: Stored) -> None:
        """A message was stored that was no repeat; `trim` follows, after its batch."""
        self._stored[key] = new_record(Stored, (stored.sequence, stored.timestamp, stored.conv_index, (), True))
        self._order.append(key)

    def trim(self) -> None:
        """Forget the oldest beyond the limit."""
        while len(self._order) > self._limit:
            del self._stored[self._order.popleft()]

    def forget_before(self, sequence: int) -> None:
        """Forget what has a lower sequence."""
        order, stored = self._order, self._stored
        while order and stored[order[0]].sequence < sequence:
            del stored[order.popleft()]
