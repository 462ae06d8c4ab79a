"""What both sides of a link share: input to frames to packets, packets to frames to output, and the clock."""

from __future__ import annotations

import abc
import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from ._checks import LATEST, later, read_strictly
from .crypto import ARC4, MAX_KEY, BodyCipher
from .errors import LocalProtocolError, PacketError, QueueFull, RemoteProtocolError, shown_name
from .events import BadPacket, CloseReason, Ignored, LinkClosed
from .framing import (
    Framing,
    TcpDecoder,
    decode_websocket_packet,
    encode_tcp_frame,
    encode_websocket_packet,
    join_body,
    split_body,
)
from .packets import Command, Header, Packet
from .packets.encoders import HeaderTemplate
from .states import Outcome

__all__ = ["Link", "Trace"]

Trace = Callable[[str, str, float], None]
"""A trace hook: direction (``"in"`` or ``"out"``), a summary without secrets or texts, the time."""

MOST_LEARNED = 64
"""How often a link looks for its peer's usual header: one whose headers always differ would keep it looking."""

S = TypeVar("S", bound=enum.Enum)
E = TypeVar("E")

_REFUSE, _IGNORE, _FATAL = Outcome.REFUSE, Outcome.IGNORE, Outcome.FATAL  # an enum's attributes are slow to reach
_TCP = Framing.TCP
_WITHIN_A_READ = (CloseReason.PROTOCOL_ERROR, CloseReason.LOGGED_OUT)

Waiting = tuple[bytes, bytes, bool]
"""A packet that waits to be encrypted: header id, plain MIMCPacket, whether it wants an answer."""


class Link(abc.ABC, Generic[S, E]):
    """Base of both roles. Not re-entrant, not thread-safe; a verb that raised changed nothing but the clock."""

    __slots__ = (
        "_answer_at",
        "_cipher",
        "_close_at",
        "_control",
        "_decoder",
        "_events",
        "_last_received",
        "_learned",
        "_limits",
        "_now",
        "_phase_at",
        "_queue",
        "_queue_size",
        "_receive_template",
        "_secret",
        "_send_template",
        "_state",
        "_trace",
        "framing",
    )

    _table: ClassVar[Mapping[tuple[Any, Any], Any]]
    _closed: ClassVar[Any]
    """The role's final state."""
    _packet_input: ClassVar[enum.Enum]
    """What a SECMSG is to the role's table."""
    _other_input: ClassVar[enum.Enum]
    """What a command without a handler is to the role's table."""
    _handlers: ClassVar[Mapping[str, Callable[[Any, Header, bytes], None]]]
    """By command: all but SECMSG that the role understands."""
    _decode: ClassVar[staticmethod[[bytes], Any]]
    """The decoder of what the other role sends."""
    _always_encrypted: ClassVar[bool]
    """Whether payloads are decrypted without asking the header's cipher."""

    def __init__(
        self, framing: Framing, max_frame: int, limits: tuple[int, int], state: S, now: float, trace: Trace | None
    ) -> None:
        if not isinstance(framing, Framing):
            raise LocalProtocolError(f"expected a Framing, got {framing!r}", where="framing")
        self.framing = framing
        self._limits = limits
        self._state = state
        self._trace = trace
        self._now = -LATEST
        self._tick(now)
        if self._now != now:  # NaN, or before all time
            raise LocalProtocolError(f"expected seconds above -{LATEST:g}, got {now!r}", where="now")
        self._last_received = self._now
        self._decoder = TcpDecoder(max_frame)
        self._cipher: BodyCipher | None = None
        self._secret: bytes | None = None
        self._control: list[bytes] = []
        self._queue: deque[Waiting | bytes] | None = None  # made when needed: an empty deque takes 600 bytes
        self._queue_size = 0
        self._events: list[E] = []
        self._phase_at: float | None = None
        self._answer_at: float | None = None  # any whole frame answers
        self._close_at: float | None = None
        self._receive_template: HeaderTemplate | None = None
        self._learned = 0
        self._send_template: HeaderTemplate | None = None

    # ------------------------------------------------------------------------------------------------ the outside

    @property
    def state(self) -> S:
        """Where the link is."""
        return self._state

    @property
    def pending(self) -> int:
        """Packets and frames that wait to be taken."""
        return len(self._control) + len(self._queue or ())

    def receive_data(self, data: bytes | bytearray | memoryview, now: float) -> None:
        """Take in received bytes: any piece of the stream on TCP, exactly one message on WebSocket.

        Raises `RemoteProtocolError` once, when the peer broke the protocol; the events of the packets before it are
        there, and everything after it is ignored. Raises `LocalProtocolError` for what is no bytes.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise LocalProtocolError(f"expected bytes, got {type(data).__name__}", where="receive_data")
        self._tick(now)
        if self._close_at is not None:  # nothing is of interest any more
            return
        try:
            if self.framing is _TCP:
                self._receive_stream(data)
            else:
                header, payload = decode_websocket_packet(bytes(data), self._decoder.max_body)
                self._heard()
                self._on_frame(header, payload)
        except RemoteProtocolError:
            self._broken()
            raise

    def receive_eof(self, now: float) -> None:
        """The peer closed the connection (on WebSocket: its Close came)."""
        self._lost(CloseReason.EOF, now)

    def send_failed(self, now: float) -> None:
        """Writing failed: the connection is of no more use."""
        self._lost(CloseReason.SEND_FAILED, now)

    def events(self) -> list[E]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        """Frames to write, in order; each item is one whole frame (on WebSocket: one message).

        Control frames come first. Packets are encrypted only now, until ``max_bytes`` are reached (the last frame
        may pass them), so do not call this while the transport cannot write. What was taken is the caller's. May
        start a deadline: ask `get_timer` afterwards.
        """
        if type(max_bytes) is not int or max_bytes < 1:
            raise LocalProtocolError(f"expected an integer of at least 1, got {max_bytes!r}", where="max_bytes")
        frames, self._control = self._control, []
        size = sum(map(len, frames))
        queue = self._queue
        if queue and self._may_send():
            answers, waiting, encrypt = False, self._queue_size, self._encrypt
            while queue and size < max_bytes:
                item = queue.popleft()
                if isinstance(item, bytes):
                    frame = item
                    waiting -= len(frame)
                else:
                    waiting -= len(item[1])
                    answers = answers or item[2]
                    frame = encrypt(item)
                frames.append(frame)
                size += len(frame)
            self._queue_size = waiting
            if not queue:
                self._queue = None
            self._taken(answers)
        if frames and self._trace is not None:
            for frame in frames:
                self._trace("out", f"{len(frame)} bytes", self._now)
        return frames

    @abc.abstractmethod
    def get_timer(self) -> float | None:
        """When `handle_timer` wants to be called; None for never."""

    @abc.abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do what is due; harmless when nothing is. Feed bytes that wait before calling it."""

    def close_expected(self) -> float | None:
        """None while the link lives; else: write what `data_to_send` still gives, then close by this time."""
        return self._close_at

    # ------------------------------------------------------------------------------------------------------ input

    def _receive_stream(self, data: bytes | bytearray | memoryview) -> None:
        decoder = self._decoder
        decoder.feed(data)
        body = decoder.next_body()
        if body is not None:
            self._heard()
        while body is not None:
            if body:
                cipher, template = self._cipher, self._receive_template
                if cipher is not None:
                    body = cipher.apply(body)
                secmsg = template.open(body) if template is not None else None
                if secmsg is None or template is None:
                    self._on_frame(*split_body(body))
                else:
                    packet_id, payload = secmsg
                    if self._trace is not None:
                        self._trace("in", f"SECMSG id={shown_name(packet_id)} {len(payload)} bytes", self._now)
                    self._on_secmsg(packet_id, template.cipher, payload)
            else:
                if self._trace is not None:
                    self._trace("in", "an empty frame", self._now)
                self._on_empty_frame()
            if self._close_at is not None:
                return
            body = decoder.next_body()

    def _heard(self) -> None:
        """A whole frame came: any of them answers."""
        self._last_received = self._now
        self._answer_at = None

    def _on_frame(self, header_bytes: bytes, payload: bytes) -> None:
        header = read_strictly(Header, header_bytes)
        if self._trace is not None:
            self._trace("in", f"{shown_name(header.cmd)} id={shown_name(header.id)} {len(payload)} bytes", self._now)
        if header.cmd == Command.SECMSG:
            if self.framing is _TCP and self._secret is not None and header.id and self._learned < MOST_LEARNED:
                self._learned += 1
                self._receive_template = HeaderTemplate.learn(header_bytes, header)
            self._on_secmsg(header.id or "", header.cipher, payload)
        else:
            self._on_command(header, payload)

    def _on_secmsg(self, packet_id: str, cipher: int | None, payload: bytes) -> None:
        state = self._state  # a SECMSG that is welcome changes none, so the step is only taken for one that is not
        if self._table[state, self._packet_input] is not state and not self._arrived(self._packet_input, "SECMSG"):
            self._emit(Ignored(command=Command.SECMSG, id=packet_id, size=len(payload)))
            return
        try:
            if self._always_encrypted or cipher == 1:
                assert self._secret is not None  # the state table lets no SECMSG through without it
                key = self._secret + packet_id.encode()
                if not packet_id or len(key) > MAX_KEY:
                    raise self._bad_id(len(key) - len(self._secret))
                payload = ARC4(key).encrypt(payload)
            packet = self._decode(payload)
        except PacketError as error:
            self._bad_packet(error, packet_id)
        else:
            self._on_packet(packet_id, packet)

    def _bad_id(self, size: int) -> PacketError:
        most = MAX_KEY - len(self._secret or b"")
        return PacketError(f"expected an id of 1 to {most} bytes, got {size}", where="ClientHeader.id")

    def _bad_packet(self, error: PacketError, header_id: str, packet: Packet | None = None) -> None:
        self._emit(
            BadPacket(
                error=error,
                header_id=header_id,
                packet_id=packet.packet_id if packet else None,
                sequence=packet.sequence if packet else None,
            )
        )

    def _ignore(self, header: Header, payload: bytes) -> None:
        self._emit(Ignored(command=header.cmd, id=header.id, size=len(payload)))

    @abc.abstractmethod
    def _on_empty_frame(self) -> None: ...

    def _on_command(self, header: Header, payload: bytes) -> None:
        handler = self._handlers.get(header.cmd)
        if handler is not None:
            handler(self, header, payload)
        else:
            self._arrived(self._other_input, header.cmd)
            self._ignore(header, payload)

    @abc.abstractmethod
    def _on_packet(self, packet_id: str, packet: Any) -> None: ...

    # ----------------------------------------------------------------------------------------------------- output

    def _frame(self, header: bytes, payload: bytes) -> bytes:
        if self.framing is Framing.WEBSOCKET:
            return encode_websocket_packet(header, payload)
        body = join_body(header, payload)
        return encode_tcp_frame(body if self._cipher is None else self._cipher.apply(body))

    def _encrypt(self, waiting: Waiting) -> bytes:
        """The frame of a SECMSG."""
        packet_id, packet, _ = waiting
        template, cipher = self._send_template, self._cipher
        assert template is not None  # set when the user was bound
        assert self._secret is not None
        if template.cipher:
            packet = ARC4(self._secret + packet_id).encrypt(packet)
        if cipher is None:
            return encode_websocket_packet(template.encode(packet_id), packet)
        return encode_tcp_frame(cipher.apply(template.join(packet_id, packet)))

    def _enqueue(self, packet_id: bytes, packet: bytes, wants_answer: bool) -> None:
        queue = self._queue
        if queue is None:
            queue = self._queue = deque()
        count, limit = self._limits
        size = self._queue_size + len(packet)
        if len(queue) >= count or size > limit:
            raise QueueFull(
                f"{len(queue)} packets of {self._queue_size} bytes wait already (max_pending={count},"
                f" max_pending_bytes={limit}); take data_to_send() first",
                where="send",
            )
        queue.append((packet_id, packet, wants_answer))
        self._queue_size = size

    def _append(self, item: Waiting | bytes, size: int) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(item)
        self._queue_size += size

    def _seal(self) -> None:
        """Encrypt all that waits, because the keys are about to change; then the order cannot be lost either."""
        if self._queue:
            frames = [item if isinstance(item, bytes) else self._encrypt(item) for item in self._queue]
            self._queue = deque(frames)
            self._queue_size = sum(map(len, frames))

    @abc.abstractmethod
    def _may_send(self) -> bool:
        """Whether what is in the queue may be taken now."""

    def _taken(self, wants_answer: bool) -> None:
        """Frames were taken from the queue."""

    def _trim(self) -> None:
        """The link is idle: what its cipher caches is not needed now."""
        if self._cipher is not None:
            self._cipher.trim()

    # ------------------------------------------------------------------------------------------------------ states

    def _verb(self, item: enum.Enum) -> S:
        """The state that a verb leads to; the verb sets it when nothing can go wrong any more."""
        cell = self._table[self._state, item]
        if cell is _REFUSE:
            raise LocalProtocolError(f"{item.value} is not possible in state {self._state.name}")
        state: S = cell
        return state

    def _arrived(self, item: enum.Enum, command: str) -> bool:
        """Step the state machine by a packet; False if the packet is to be ignored."""
        cell = self._table[self._state, item]
        if cell is _FATAL:
            raise RemoteProtocolError(f"unexpected {item.value} in state {self._state.name}", where=shown_name(command))
        if cell is _IGNORE:
            return False
        self._state = cell
        return True

    # ------------------------------------------------------------------------------------------------ time and end

    def tick(self, now: float) -> None:
        """It is ``now``, and nothing else happened: for whoever takes frames long after the last event."""
        self._tick(now)

    def _tick(self, now: float) -> None:
        self._now = later(self._now, now)

    def _lost(self, reason: CloseReason, now: float) -> None:
        self._tick(now)
        if self._state is not self._closed:
            self._end(reason)

    def _broken(self) -> None:
        """The peer broke the protocol."""
        self._end(CloseReason.PROTOCOL_ERROR)

    def _end(self, reason: CloseReason, state: S | None = None, flush: float | None = None) -> None:
        """Enter a final state; ``flush`` seconds are left to write what is queued, else it is dropped."""
        if self._close_at is None:
            within_a_read = reason in _WITHIN_A_READ  # what else that read brought says nothing
            self._emit(LinkClosed(reason=reason, unread=0 if within_a_read else self._decoder.pending))
        self._state = self._closed if state is None else state
        self._close_at = self._now + (flush or 0.0)
        self._phase_at = None
        self._decoder = TcpDecoder(1)
        if flush is None:
            self._control = []
            self._queue = None
            self._queue_size = 0
            self._secret = self._cipher = None

    def _emit(self, event: object) -> None:
        self._events.append(event)  # type: ignore[arg-type]  # each role emits members of its own union
