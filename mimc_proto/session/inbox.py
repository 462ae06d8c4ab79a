"""What a session receives: receipts, acknowledgements in their order, repeats, and back-pressure.

Receipts are a queue that outlives the link. SEQUENCE_ACK goes out only when all earlier receipts are consumed, so what
the application did not finish comes again after a restart. The socket is always read; memory is bounded by what is
acknowledged. A list that would pass the high mark is dropped and not acknowledged, and only lists that go on from there
are taken until all has come that was dropped: a cumulative acknowledgement would lose it. So a server may push what is
new while it sends that again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..config import SessionConfig
from ..errors import LocalProtocolError
from ..events import LimitReached
from ..events import MessagesReceived as ListReceived
from ..packets import BadPacket, Packet
from .events import MessagesDelivered, OnlineMessage, TooManyWaiting, UnlimitedMessage
from .memory import Seen
from .messages import to_message

__all__ = ["Inbox"]


class _Delivery:
    """Something that was given to the application, with what is to be done when that is through with it."""

    __slots__ = ("consumed", "count", "is_limit", "load", "max_sequence", "size", "skip")

    def __init__(self, load: _Load | None, count: int, size: int, max_sequence: int, is_limit: bool) -> None:
        self.load, self.count, self.size = load, count, size
        self.max_sequence = max_sequence
        self.is_limit = is_limit
        self.consumed = self.skip = False


class _Load:
    """Messages in the application's hands."""

    __slots__ = ("_config", "count", "size")

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self.count = self.size = 0

    def fits(self, count: int, size: int) -> bool:
        """Whether so much more may be taken; something always may when there is nothing."""
        config = self._config
        return not self.count or (self.count + count <= config.high_messages and self.size + size <= config.high_bytes)

    def low(self) -> bool:
        return self.count <= self._config.low_messages and self.size <= self._config.low_bytes


class Inbox:
    """Lists, limit notices, and the messages that come without a list; what is known of each until it is consumed."""

    __slots__ = (
        "_config",
        "_dropped_to",
        "_live",
        "_next_receipt",
        "_open",
        "_order",
        "_stored",
        "ack_due",
        "dropped",
        "pull_answered",
        "pull_due",
        "repeats",
        "seen",
    )

    def __init__(self, config: SessionConfig) -> None:
        self._config = config
        self.seen = Seen(config.remembered)
        self._stored, self._live = _Load(config), _Load(config)
        self._open: dict[int, _Delivery] = {}  # by receipt: not consumed yet
        self._order: deque[_Delivery] = deque()  # what is acknowledged, in the order of arrival
        self._next_receipt = 1
        self.ack_due: int | None = None
        """What the next SEQUENCE_ACK says."""
        self.dropped: int | None = None
        """Something was dropped there or before: only lists that begin there or before are taken."""
        self._dropped_to = 0
        """The highest sequence that ever was dropped, on whatever link."""
        self.pull_answered = False
        """A list came that begins where the server has to begin again; whoever waits for that resets it."""
        self.pull_due = False
        """The application asked for what is behind a limit notice."""
        self.repeats = 0
        """Messages that came again and were not delivered again."""

    # ------------------------------------------------------------------------------------------------------- input

    def on_list(self, event: ListReceived) -> MessagesDelivered | None:
        """A list; None if there is nothing in it to deliver, or if it was dropped."""
        known, dropped = self.seen.known, self.dropped
        packets, skipped = event.packets, event.skipped
        if dropped is not None and _lowest(packets, skipped, event.max_sequence) > dropped:
            self._dropped_to = max(self._dropped_to, event.max_sequence)
            return None
        self.pull_answered = True
        fresh = [packet for packet in packets if packet.sequence not in known]
        odd = [packet for packet in skipped if packet.sequence is None or packet.sequence not in known]
        count = len(fresh) + len(odd)
        size = sum([len(packet.body.payload) for packet in fresh])  # type: ignore[union-attr, misc]  # all are messages
        if odd:
            size += sum(map(_weight, odd))
        if count and not (self._stored.fits(count, size) and len(known) <= self._config.max_remembered):
            first = _lowest(fresh, odd, event.max_sequence)
            self.dropped = first if dropped is None else min(dropped, first)
            self._dropped_to = max(self._dropped_to, event.max_sequence)
            if self.ack_due is not None and self.ack_due >= self.dropped:
                self.ack_due = None  # not said yet, and it would lose what was dropped
            return None
        if dropped is not None and event.max_sequence >= dropped:
            # More was dropped behind it: a list that begins there goes on with that, one from beyond would lose it.
            self.dropped = self._dropped_to if event.max_sequence < self._dropped_to else None
        self.repeats += len(packets) - len(fresh)
        if not count:
            self._settled(event.max_sequence)
            return None
        self.seen.add([packet.sequence for packet in (*fresh, *odd) if packet.sequence is not None])
        receipt = self._deliver(_Delivery(self._stored, count, size, event.max_sequence, False), ordered=True)
        return MessagesDelivered(
            receipt=receipt, messages=tuple([to_message(packet) for packet in fresh]), skipped=tuple(odd)
        )

    def on_limit(self, event: LimitReached) -> TooManyWaiting | None:
        """A limit notice; None if the application has one already."""
        if any(delivery.is_limit for delivery in self._order):
            return None
        receipt = self._deliver(_Delivery(None, 0, 0, event.max_sequence, True), ordered=True)
        return TooManyWaiting(receipt=receipt, min_sequence=event.min_sequence, max_sequence=event.max_sequence)

    def on_live(self, messages: tuple[OnlineMessage | UnlimitedMessage, ...]) -> MessagesDelivered | None:
        """Messages that no list of the inbox brought; None if they were dropped, because too many wait."""
        size = sum(len(message.payload) for message in messages)
        if not self._live.fits(len(messages), size):
            return None
        receipt = self._deliver(_Delivery(self._live, len(messages), size, 0, False), ordered=False)
        return MessagesDelivered(receipt=receipt, messages=messages)

    def on_bound(self) -> None:
        """A new link is bound: the server pushes from its cursor on, so whatever comes may be taken."""
        self.dropped = None
        self.pull_due = False

    # -------------------------------------------------------------------------------------------------- application

    def consumed(self, receipt: int, *, skip: bool = False) -> None:
        """The application is through with a delivery. Raises `LocalProtocolError` for a receipt that is not open."""
        delivery = self._open.get(receipt) if type(receipt) is int else None
        if delivery is None:
            raise LocalProtocolError(f"expected a receipt that is not consumed yet, got {receipt!r}", where="receipt")
        if skip and not delivery.is_limit:
            raise LocalProtocolError("expected the receipt of a limit notice (TooManyWaiting)", where="receipt")
        del self._open[receipt]
        delivery.consumed, delivery.skip = True, skip
        if delivery.load is not None:
            delivery.load.count -= delivery.count
            delivery.load.size -= delivery.size
        self._advance()

    def wants_pull(self) -> bool:
        """Whether the server is to be asked for what waits there."""
        return self.pull_due or (self.dropped is not None and self._stored.low())

    @property
    def in_hand(self) -> int:
        """Messages that the application has and is not through with, with and without a list."""
        return self._stored.count + self._live.count

    # ----------------------------------------------------------------------------------------------------- helpers

    def _deliver(self, delivery: _Delivery, *, ordered: bool) -> int:
        receipt = self._next_receipt
        self._next_receipt += 1
        self._open[receipt] = delivery
        if delivery.load is not None:
            delivery.load.count += delivery.count
            delivery.load.size += delivery.size
        if ordered:
            self._order.append(delivery)
        return receipt

    def _settled(self, max_sequence: int) -> None:
        """A list that the application need not see is acknowledged in its turn."""
        order = self._order
        last = order[-1] if order else None
        if last is not None and last.consumed and not last.is_limit:
            last.max_sequence = max(last.max_sequence, max_sequence)
            return
        delivery = _Delivery(None, 0, 0, max_sequence, False)
        delivery.consumed = True
        order.append(delivery)
        self._advance()

    def _advance(self) -> None:
        order = self._order
        while order and order[0].consumed:
            delivery = order.popleft()
            last = delivery.max_sequence
            if delivery.is_limit and not delivery.skip:
                self.pull_due = True
            elif self.dropped is None or last < self.dropped:  # else it comes again, behind what was dropped
                self.ack_due = last if self.ack_due is None else max(self.ack_due, last)


def _weight(packet: Packet | BadPacket) -> int:
    """About how many bytes are kept with a packet that is no message."""
    return len(packet.encode()) if isinstance(packet, Packet) else len(packet.packet_id or "")


def _lowest(packets: Iterable[Packet | BadPacket], skipped: Iterable[Packet | BadPacket], max_sequence: int) -> int:
    """The lowest sequence in a list."""
    sequences = [packet.sequence for packet in (*packets, *skipped) if packet.sequence is not None]
    return min(sequences, default=max_sequence)
