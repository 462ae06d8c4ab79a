"""One connection of a service: bytes to its link and back, and what becomes of a peer that does not read."""

from __future__ import annotations

import abc
import asyncio
import math
from typing import TYPE_CHECKING, ClassVar, cast

from mimc_proto import Framing
from mimc_proto.events import CloseReason

from .admission import Place
from .websocket import WebSocket

if TYPE_CHECKING:
    from .runner import ServiceRunner

__all__ = ["LINGER", "Connection", "TcpConnection", "WebSocketConnection"]

HIGH_WATER = 64 * 1024
"""Bytes in a transport's buffer above which it gets no more."""

AT_ONCE = 64 * 1024
"""Bytes of frames that are taken from a link at a time."""

LINGER = 1.0
"""Seconds that the system gets, beyond what the link allows, to take what was written before a connection is cut."""

AROUND_BODY = 18
"""Bytes of a WebSocket packet before and behind its header and payload (wire.md section 1.2)."""

NORMAL, PROTOCOL_ERROR = 1000, 1002
"""Codes of WebSocket's Close."""


class Connection(asyncio.Protocol, abc.ABC):
    """What is the same in every framing: when bytes are read and written, and when the connection ends."""

    slice: ClassVar[int]
    """Bytes that are taken in before others get their turn: the smallest frames cost more than they weigh."""

    def __init__(self, runner: ServiceRunner, peer: str, place: Place) -> None:
        self._runner = runner
        self._peer = peer
        self._place = place
        self._link_id: int | None = None
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._feeding = self._failed = False
        self._writable = self._reads = True
        self._stalled: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self._cut_at = math.inf

    @abc.abstractmethod
    def _begin(self) -> None:
        """The connection is there."""

    @abc.abstractmethod
    def _take(self, data: bytes) -> None:
        """Bytes came."""

    @abc.abstractmethod
    def _send(self, frames: list[bytes]) -> bytes:
        """What to write for these frames."""

    @abc.abstractmethod
    def _finish(self, transport: asyncio.Transport) -> None:
        """Close, now that all is written; may be called again."""

    # ---------------------------------------------------------------------------------------- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        self._runner.joined(self)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """May be called again, and for a connection that has never been there."""
        self._transport = None
        for timer in (self._stalled, self._cut):
            if timer is not None:
                timer.cancel()
        self._unlink()
        self._place.leave()
        self._runner.left(self)

    def data_received(self, data: bytes) -> None:
        self._unread = self._unread + data if self._unread else data
        if not self._feeding:
            self._feed()

    def pause_writing(self) -> None:
        """Who does not read is not read: its acknowledgements would only pile up. And at last it is cut."""
        self._writable = False
        self._update_reading()
        self._stalled = self._runner.loop.call_later(self._runner.config.write_timeout, self._give_up)

    def resume_writing(self) -> None:
        self._writable = True
        assert self._stalled is not None  # it was paused before
        self._stalled.cancel()
        self._runner.loop.call_soon(self._resume)  # asyncio's transport must not be closed from within this call

    def _give_up(self) -> None:
        assert self._transport is not None  # the timer ends with it
        self._failed = True
        self._transport.abort()

    def _resume(self) -> None:
        self.flush()
        self._runner.wake()  # there may be room for what the store has
        if not self._feeding:
            self._feed()
        self._update_reading()

    # -------------------------------------------------------------------------------------------------------- reading

    def stop_reading(self) -> None:
        """Take in no more, for good."""
        self._reads, self._unread = False, b""
        self._update_reading()

    def _feed(self) -> None:
        """Take in a slice of what came; the rest in the next turn."""
        data, was_feeding, self._feeding = self._unread, self._feeding, False
        if self._transport is None or not (data and self._writable):
            return
        if len(data) > self.slice:
            data, self._unread = data[: self.slice], data[self.slice :]
            self._feeding = True
            self._runner.loop.call_soon(self._feed)
        else:
            self._unread = b""
        self._take(data)
        self._runner.wake()
        if self._feeding != was_feeding:
            self._update_reading()

    def _update_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._writable and self._reads and not self._unread:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # ----------------------------------------------------------------------------------------------------------- link

    def _link(self, framing: Framing) -> None:
        """Have a link, if there is room for one."""
        self._link_id = self._runner.opened(self, self._peer, framing)
        if self._link_id is None and self._transport is not None:
            self._transport.abort()

    def _unlink(self) -> None:
        link_id, self._link_id = self._link_id, None
        if link_id is not None:
            self._runner.lost(link_id, failed=self._failed)

    # -------------------------------------------------------------------------------------------------------- writing

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it; close if the link is at its end."""
        transport, service, link_id = self._transport, self._runner.service, self._link_id
        if transport is None or link_id is None:
            return
        while self._writable and (frames := service.data_to_send(link_id, AT_ONCE)):
            data = self._send(frames)
            self._write_bytes(data)
            if len(data) < AT_ONCE:  # there is no more
                break
        close_at = service.close_expected(link_id)
        if close_at is not None:
            self.close(max(0.0, close_at - self._runner.now()) + LINGER)
        elif self._cut is not None and self._writable:
            self._finish(transport)

    def _write_bytes(self, data: bytes) -> None:
        """Never raises: this is a turn of all connections."""
        if self._transport is not None:
            try:
                self._transport.write(data)
            except RuntimeError:
                return  # uvloop's transport has failed; that it is lost comes next turn

    def close(self, within: float) -> None:
        """Close as soon as what waits is written, and at the latest in so many seconds; of several calls the one that
        is due first counts."""
        transport = self._transport
        if transport is not None:
            self._cut_within(within, transport)
            if self._writable:
                self._finish(transport)

    def _cut_within(self, seconds: float, transport: asyncio.Transport) -> None:
        loop = self._runner.loop
        cut_at = loop.time() + seconds
        if cut_at < self._cut_at:
            if self._cut is not None:
                self._cut.cancel()
            self._cut_at = cut_at
            self._cut = loop.call_at(cut_at, transport.abort)


class TcpConnection(Connection):
    """The framing of TCP."""

    slice = 64 * 1024

    def _begin(self) -> None:
        self._link(Framing.TCP)

    def _take(self, data: bytes) -> None:
        if self._link_id is not None:
            self._runner.received(self._link_id, data)

    def _send(self, frames: list[bytes]) -> bytes:
        return frames[0] if len(frames) == 1 else b"".join(frames)

    def _finish(self, transport: asyncio.Transport) -> None:
        transport.close()


class WebSocketConnection(Connection):
    """The framing of WebSocket; there is a link when hands are shaken, until one side has said that it closes."""

    slice = 16 * 1024

    def __init__(self, runner: ServiceRunner, peer: str, place: Place) -> None:
        super().__init__(runner, peer, place)
        self._websocket = WebSocket(runner.service.config.link.max_frame + AROUND_BODY)
        self._handshake: asyncio.TimerHandle | None = None
        self._finishing = False

    def _begin(self) -> None:
        runner, transport = self._runner, self._transport
        assert transport is not None
        self._handshake = runner.loop.call_later(runner.config.handshake_timeout, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._shaken()
        super().connection_lost(exc)

    def _take(self, data: bytes) -> None:
        websocket, runner = self._websocket, self._runner
        if self._link_id is not None:
            websocket.max_message = runner.service.max_body(self._link_id) + AROUND_BODY
        messages = websocket.receive(data)
        if websocket.opened and self._handshake is not None:
            self._shaken()
            self._link(Framing.WEBSOCKET)
        if self._link_id is not None and not self._finishing:
            for message in messages:
                runner.received(self._link_id, message)
        self._write()

    def _shaken(self) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None

    def _send(self, frames: list[bytes]) -> bytes:
        self._websocket.send(frames)
        return self._websocket.data_to_send()

    def _finish(self, transport: asyncio.Transport) -> None:
        """Say so, and wait for the peer to say so too."""
        if not self._websocket.opened:
            transport.close()
            return
        reason = None if self._link_id is None else self._runner.service.close_reason(self._link_id)
        self._websocket.close(PROTOCOL_ERROR if reason is CloseReason.PROTOCOL_ERROR else NORMAL)
        self._write()
        if not self._finishing:
            self._finishing = self._reads = True
            self._update_reading()

    def _write(self) -> None:
        """What the WebSocket itself has to say; at its end the link is gone (design.md section 2)."""
        transport = self._transport
        if transport is None:
            return
        if data := self._websocket.data_to_send():
            self._write_bytes(data)
        if self._websocket.ended:
            self._unlink()
            self._cut_within(LINGER, transport)
            transport.close()
