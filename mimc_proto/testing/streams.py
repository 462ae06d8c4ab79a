"""One direction of a connection without a network: bytes on their way, and every fault that a network has."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Protocol

from .._record import Record
from ..framing import Framing
from .clock import Alarm, VirtualClock

__all__ = ["Chance", "Conditions", "Ending", "PipeUser", "Side", "Stream"]

MOST_READ = 65_536
"""Bytes that one read takes at most, as drivers of sockets do."""


class Side(enum.Enum):
    """One side of a connection."""

    CLIENT = "client"
    SERVER = "server"


class Chance(Protocol):
    """Where randomness comes from: ``random.Random(seed)``, or anything like it."""

    def getrandbits(self, k: int, /) -> int:
        """A number of ``k`` random bits."""


class Conditions(Record):
    """What a pipe is like: ``latency`` in seconds, ``capacity`` in bytes.

    ``capacity`` is how much may be under way in one direction before its writer has to wait. ``chunk`` cuts the
    stream into pieces of that many bytes, with an ``rng`` of any size up to it; None delivers all there is. On
    WebSocket messages stay whole.
    """

    __slots__ = ()
    latency: float = 0.0
    capacity: int = 65_536
    chunk: int | None = None
    rng: Chance | None = None


class PipeUser(Protocol):
    """Who holds an end of a pipe. Nothing is ever called from within a call to the pipe, but for `PipeEnd.pump`."""

    def data_received(self, data: bytes) -> None:
        """Bytes came; on WebSocket one message."""

    def eof_received(self) -> None:
        """The other side closed: nothing comes any more."""

    def connection_lost(self) -> None:
        """The connection broke: nothing comes any more, and what is written goes nowhere."""

    def writing_resumed(self) -> None:
        """The end can be written to again."""


class Ending(enum.Enum):
    """What a reader learns behind the last byte."""

    EOF = "the end of the stream"
    LOST = "the loss of the connection"


class Stream:
    """One direction of a pipe. Faults count from the next byte that is written.

    ``latency``, ``capacity`` and ``chunk`` may be changed at any time. ``written`` and ``delivered`` count bytes.
    """

    def __init__(
        self,
        clock: VirtualClock,
        framing: Framing,
        conditions: Conditions,
        writer: Side,
        breaks: Callable[[Stream, Side | None], object],
    ) -> None:
        """``breaks(stream, unaware)`` is called when a cut is due."""
        self.latency = conditions.latency
        self.capacity = conditions.capacity
        self.chunk = conditions.chunk
        self.written = 0
        self.delivered = 0
        self._rng = conditions.rng
        self._clock = clock
        self._framing = framing
        self._breaks = breaks
        self.writer = writer
        self._flight: deque[tuple[float, bytes | memoryview]] = deque()
        self._buffered = 0
        self._open = True
        self._full = self._stalled = self._paused = False
        self._ending: tuple[float, Ending] | None = None
        self._last_arrival = clock.now
        self._cut_at: int | None = None
        self._unaware: Side | None = None
        self._flips: dict[int, int] = {}
        self._lost: list[tuple[int, float]] = []
        self.source: PipeUser | None = None
        """Who is told that there is room to write again."""
        self._target: PipeUser | None = None
        self._alarm = Alarm(clock, self.deliver, f"bytes from the {writer.value}")

    # ------------------------------------------------------------------------------------------------------ faults

    def cut(self, after_bytes: int = 0, *, unaware: Side | None = None) -> None:
        """Break the connection, both directions, when ``after_bytes`` more have been written here.

        What was written here before still arrives; what is under way in the other direction does not. This stream's
        reader then sees the end of input, its writer a broken connection. The side that is ``unaware`` learns
        nothing: a half-open connection. (When neither is to learn it, `drop` both directions.)
        """
        self._cut_at, self._unaware = self.written + after_bytes, unaware
        self._cut_if_due()

    def drop(self, count: int | None = None, *, after_bytes: int = 0) -> None:
        """Let the next ``count`` bytes vanish (None: all from then on), after ``after_bytes`` that pass.

        On WebSocket every message that would lose a byte vanishes whole.
        """
        start = self.written + after_bytes
        self._lost.append((start, float("inf") if count is None else start + count))

    def corrupt(self, after_bytes: int = 0, *, mask: int = 1) -> None:
        """Flip the bits of ``mask`` in the byte that comes ``after_bytes`` more."""
        self._flips[self.written + after_bytes] = mask

    def stall(self) -> None:
        """Hold everything back, until `resume`; soon the writer has to wait."""
        self._stalled = True
        self._arm()

    def resume(self) -> None:
        """End a `stall`."""
        self._stalled = False
        self._arm()

    # ----------------------------------------------------------------------------------------------------- writing

    @property
    def buffered(self) -> int:
        """Bytes that were written and have not arrived."""
        return self._buffered

    @property
    def writable(self) -> bool:
        """Whether its writer may write: no longer when ``capacity`` bytes are under way, until half are delivered."""
        return not self._full

    def write(self, data: bytes) -> None:
        """Send bytes (on WebSocket: one message) on their way. What comes after a break vanishes."""
        start, end = self.written, self.written + len(data)
        self.written = end
        if self._open:
            left = self._after_faults(start, data if self._cut_at is None else data[: self._cut_at - start])
            if self._framing is Framing.WEBSOCKET and self._cut_at is not None and self._cut_at < end:
                left = b""  # a message whose end is missing is none
            if left:
                self._flight.append((self._arrival(), left))
                self._buffered += len(left)
                self._full = self._full or self._buffered >= self.capacity
                self._arm()
            self._cut_if_due()

    def _after_faults(self, start: int, data: bytes) -> bytes:
        end = start + len(data)
        changed = bytearray(data)
        for offset in [offset for offset in self._flips if start <= offset < end]:
            changed[offset - start] ^= self._flips.pop(offset)
        self._lost = [(first, last) for first, last in self._lost if last > start]
        lost = [(first, last) for first, last in self._lost if first < end]
        if not lost:
            return bytes(changed)
        if self._framing is Framing.WEBSOCKET:
            return b""
        at = enumerate(changed, start)
        return bytes(byte for offset, byte in at if not any(first <= offset < last for first, last in lost))

    def _arrival(self) -> float:
        self._last_arrival = max(self._last_arrival, self._clock.now + self.latency)
        return self._last_arrival

    def _cut_if_due(self) -> None:
        if self._open and self._cut_at is not None and self.written >= self._cut_at:
            self._breaks(self, self._unaware)

    # ------------------------------------------------------------------------------------------------------ ending

    def end(self, ending: Ending | None, *, discard: bool) -> None:
        """Nothing more goes in. What is under way arrives unless discarded; then its reader learns of ``ending``."""
        if discard:
            self._flight.clear()
            self._buffered = 0
            self._ending = None
        if self._open or discard:
            self._open = False
            self._full = False
            self._ending = None if ending is None else (self._arrival(), ending)
            self._arm()

    # -------------------------------------------------------------------------------------------------- delivering

    def read_by(self, target: PipeUser | None) -> None:
        """Have ``target`` told what arrives; nothing arrives while there is none."""
        self._target = target
        self._arm()

    def pause(self, paused: bool) -> None:
        """Whether the reader reads nothing for now."""
        self._paused = paused
        self._arm()

    def deliver(self) -> bool:
        """Deliver one piece, or the end, if one is due; whether it was."""
        at, target = self._next_at(), self._target
        if at is None or target is None or at > self._clock.now:
            return False
        if self._flight:
            piece = self._piece()
            self._buffered -= len(piece)
            self.delivered += len(piece)
            if self._full and self._buffered <= self.capacity // 2:
                self._full = False
                self._clock.call_at(self._clock.now, self._resumed, f"room for the {self.writer.value} to write")
            target.data_received(piece)
        else:
            ending, self._ending = self._ending, None
            assert ending is not None  # or there would be no time for it
            target.eof_received() if ending[1] is Ending.EOF else target.connection_lost()
        self._arm()
        return True

    def _arm(self) -> None:
        self._alarm.set(self._next_at())

    def _next_at(self) -> float | None:
        if self._stalled or self._paused or self._target is None:
            return None
        if self._flight:
            return self._flight[0][0]
        return None if self._ending is None else self._ending[0]

    def _resumed(self) -> None:
        if self.source is not None:
            self.source.writing_resumed()

    def _piece(self) -> bytes:
        if self._framing is Framing.WEBSOCKET:
            return bytes(self._flight.popleft()[1])
        size = MOST_READ if self.chunk is None else self.chunk
        if self.chunk is not None and self._rng is not None:
            size = 1 + self._rng.getrandbits(32) % self.chunk
        taken = bytearray()
        while self._flight and self._flight[0][0] <= self._clock.now and len(taken) < size:
            at, data = self._flight.popleft()
            room = size - len(taken)
            taken += data[:room]
            if len(data) > room:  # a view, or cutting a long piece into bytes would copy it again and again
                self._flight.appendleft((at, memoryview(data)[room:]))
        return bytes(taken)
