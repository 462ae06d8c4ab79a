"""What a session has to send: queued, then taken (its frame was handed out), then settled by exactly one verdict.

The clock of a send starts at the call. A queued message survives the loss of a link; a taken one fails with it, or
under `Delivery.AT_LEAST_ONCE` goes back to the head of the queue, with its id and its deadline.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from heapq import heapify, heappop, heappush

from .._checks import MAX_ID, MAX_NAME, check_text
from .._record import new_record
from .._requests import RequestEncoder
from ..config import Delivery, SessionConfig
from ..errors import LocalProtocolError, QueueFull
from ..packets import Group, OnlineMessage, PacketAck, UcJoin, UcMessage, UcQuit, User
from .events import Acknowledged, Failed, FailReason, Rejected, Verdict

__all__ = ["Kind", "Outbox", "Outgoing"]


class Kind(enum.Enum):
    """What is sent."""

    P2P = "message to a user"
    P2T = "message to a normal group"
    ONLINE = "online message"
    UNLIMITED = "message to an unlimited group"
    JOIN = "join of an unlimited group"
    QUIT = "leaving of an unlimited group"

    __hash__ = object.__hash__  # Enum's own is a Python function


_P2P, _P2T, _ONLINE = Kind.P2P, Kind.P2T, Kind.ONLINE
_ACCEPTED = 0
_SLACK = 64


class Outgoing:
    """One send without a verdict."""

    __slots__ = (
        "again", "biz_type", "deadline", "is_store", "kind", "packet_id", "payload", "size", "taken", "target",
        "wants_answer",
    )  # fmt: skip

    def __init__(
        self,
        packet_id: str,
        kind: Kind,
        target: bytes | int,
        payload: bytes,
        is_store: bool,
        biz_type: bytes | None,
        deadline: float,
        size: int,
    ) -> None:
        self.packet_id = packet_id
        self.kind = kind
        self.target = target
        """An account in UTF-8, or the id of a group."""
        self.payload = payload
        self.is_store = is_store
        self.biz_type = biz_type
        self.deadline = deadline
        self.size = size
        self.wants_answer = kind is not _ONLINE
        self.taken = self.again = False
        """Whether it was handed to a link; and to an earlier one, that was lost."""

    def __lt__(self, other: Outgoing) -> bool:
        return self.deadline < other.deadline

    def encode(self, requests: RequestEncoder, packet_id: bytes) -> bytes:
        """The plain MIMCPacket."""
        kind, target = self.kind, self.target
        if kind is _P2P:  # target: an account
            return requests.messages.p2p(packet_id, target, self.payload, self.is_store, self.biz_type)  # type: ignore[arg-type]
        if kind is _P2T:  # target: a group
            return requests.messages.p2t(packet_id, target, self.payload, self.is_store, self.biz_type)  # type: ignore[arg-type]
        biz_type = None if self.biz_type is None else self.biz_type.decode()
        if isinstance(target, bytes):
            to = User(app_id=requests.user.app_id, account=target.decode())
            online = OnlineMessage(recipient=to, payload=self.payload, is_store=False, biz_type=biz_type)
            return requests.encode(online, self.packet_id)
        group = Group(app_id=requests.user.app_id, topic_id=target)
        if kind is Kind.JOIN:
            return requests.encode(UcJoin(group=group), self.packet_id)
        if kind is Kind.QUIT:
            return requests.encode(UcQuit(group=group), self.packet_id)
        message = UcMessage(group=group, payload=self.payload, is_store=bool(self.is_store), biz_type=biz_type)
        return requests.encode(message, self.packet_id)


class Outbox:
    """All sends of a session that have no verdict yet; bounded in number and bytes."""

    __slots__ = ("_accepted", "_config", "_counter", "_heap", "_pending", "_prefix", "_size", "_timeline", "queue")

    def __init__(self, prefix: str, config: SessionConfig) -> None:
        self._config = config
        self._accepted = config.accepted_codes
        self._prefix = prefix
        self._counter = 0
        self._pending: dict[str, Outgoing] = {}
        self._size = 0
        self.queue: OrderedDict[str, Outgoing] = OrderedDict()
        """What was not taken yet, in order; whoever takes an item sets its ``taken``."""
        self._timeline: deque[Outgoing] = deque()  # sends in the order of their deadlines, settled ones among them
        self._heap: list[Outgoing] = []  # those whose deadline is earlier than that of a send before them

    def __len__(self) -> int:
        return len(self._pending)

    def full(self, size: int) -> bool:
        """Whether a payload of ``size`` bytes has to wait."""
        return len(self._pending) >= self._config.max_pending or self._size + size > self._config.max_pending_bytes

    def add(
        self,
        kind: Kind,
        target: bytes | int,
        payload: bytes,
        is_store: bool,
        biz_type: str | None,
        packet_id: str | None,
        deadline: float,
    ) -> str:
        """Queue a send whose target was checked; its packet id. Raises `LocalProtocolError` or `QueueFull`."""
        config = self._config
        if type(payload) is not bytes:
            raise LocalProtocolError(f"expected bytes, got a {type(payload).__name__}", where="payload")
        size = len(payload)
        if size > config.max_payload:
            raise LocalProtocolError(
                f"expected at most {config.max_payload} bytes (max_payload), got {size}", where="payload"
            )
        kind_text = None if biz_type is None else check_text(biz_type, "biz_type", MAX_NAME, empty=True).encode()
        pending = self._pending
        if packet_id is None:
            packet_id = f"{self._prefix}_{self._counter + 1}"
            while packet_id in pending:  # given by the caller before
                self._counter += 1
                packet_id = f"{self._prefix}_{self._counter + 1}"
        elif check_text(packet_id, "packet_id", MAX_ID) in pending:
            raise LocalProtocolError(
                f"expected an id of its own, got {packet_id}, which waits already", where="packet_id"
            )
        if len(pending) >= config.max_pending or self._size + size > config.max_pending_bytes:
            raise QueueFull(
                f"{len(pending)} sends of {self._size} bytes wait for their acknowledgement already"
                f" (max_pending={config.max_pending}, max_pending_bytes={config.max_pending_bytes})",
                where="send",
            )
        self._counter += 1
        self._size += size
        item = Outgoing(packet_id, kind, target, payload, is_store, kind_text, deadline, size)
        pending[packet_id] = self.queue[packet_id] = item
        timeline = self._timeline
        if not timeline or deadline >= timeline[-1].deadline:
            timeline.append(item)
        else:
            heappush(self._heap, item)
        return packet_id

    # ---------------------------------------------------------------------------------------------------- verdicts

    def acknowledged(self, ack: PacketAck) -> Verdict | None:
        """The verdict of a PACKET_ACK; None for one that nobody waits for."""
        packet_id, _, _, sequence, timestamp, _, error, code, index, _ = ack
        item = self._pending.get(packet_id)
        if item is None or not item.taken:
            return None
        accepted = code is None or code in self._accepted or (bool(sequence) and sequence > 0 and not error)
        kind = item.kind
        if kind is not _P2P and kind is not _P2T and (kind in _REQUESTS or (kind is _ONLINE and accepted)):
            return None  # an answer of its own kind follows
        self._settle(item)
        if accepted:
            return new_record(Acknowledged, (packet_id, sequence or None, timestamp or None, code or _ACCEPTED, index))
        return Rejected(packet_id=packet_id, code=code or 0, message=error or "", may_have_arrived=item.again)

    def answered(self, packet_id: str, kind: Kind, code: int, message: str) -> tuple[Outgoing, Verdict] | None:
        """The verdict of an answer of another kind; None for one that nobody waits for."""
        item = self._pending.get(packet_id)
        if item is None or not item.taken or item.kind is not kind:
            return None
        self._settle(item)
        if code == _SUCCESS[kind]:
            return item, Acknowledged(packet_id=packet_id, sequence=None, timestamp=None)
        return item, Rejected(packet_id=packet_id, code=code, message=message, may_have_arrived=item.again)

    def withdraw(self, packet_id: str) -> Failed | None:
        """Take back what waits in the queue; None for what is on its way or not known."""
        item = self.queue.get(packet_id)
        return None if item is None else self._fail(item, FailReason.WITHDRAWN)

    def overdue(self, now: float) -> list[Failed]:
        """The verdicts of those whose deadline has passed."""
        failed = []
        while (item := self._first()) is not None and item.deadline <= now:
            failed.append(self._fail(item, FailReason.TIMEOUT))
        return failed

    def link_lost(self) -> list[Failed]:
        """What was taken fails, or waits again before all others."""
        taken = [item for item in self._pending.values() if item.taken]
        if self._config.delivery is Delivery.AT_MOST_ONCE:
            return [self._fail(item, FailReason.LINK_LOST) for item in taken]
        for item in reversed(taken):
            item.again = True
            self.queue[item.packet_id] = item
            self.queue.move_to_end(item.packet_id, last=False)
        return []

    def end(self, reason: FailReason) -> list[Failed]:
        """The session ended: the verdicts of all that is left."""
        return [self._fail(item, reason) for item in list(self._pending.values())]

    def deadline(self) -> float | None:
        """When the next send is overdue."""
        item = self._first()
        return None if item is None else item.deadline

    def _fail(self, item: Outgoing, reason: FailReason) -> Failed:
        self._settle(item)
        return Failed(packet_id=item.packet_id, reason=reason, may_have_arrived=item.taken)

    def _settle(self, item: Outgoing) -> None:
        pending, timeline = self._pending, self._timeline
        del pending[item.packet_id]
        if self.queue:
            self.queue.pop(item.packet_id, None)
        self._size -= item.size
        if timeline and timeline[0] is item:
            timeline.popleft()
        elif len(timeline) + len(self._heap) > 2 * len(pending) + _SLACK:
            self._timeline = deque(item for item in timeline if self._waits(item))
            self._heap = [item for item in self._heap if self._waits(item)]
            heapify(self._heap)

    def _waits(self, item: Outgoing) -> bool:
        return self._pending.get(item.packet_id) is item

    def _first(self) -> Outgoing | None:
        """The send with the earliest deadline."""
        timeline, heap = self._timeline, self._heap
        while timeline and not self._waits(timeline[0]):
            timeline.popleft()
        while heap and not self._waits(heap[0]):
            heappop(heap)
        if timeline and heap:
            return min(timeline[0], heap[0])
        return timeline[0] if timeline else heap[0] if heap else None


_REQUESTS = (Kind.JOIN, Kind.QUIT)
_SUCCESS = {Kind.JOIN: 0, Kind.QUIT: 0, Kind.ONLINE: 1}
