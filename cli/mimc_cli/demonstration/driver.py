"""One asyncio protocol that drives a link of either role: bytes in, events out, frames and timers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mimc_proto import ClientConnection, RemoteProtocolError, ServerConnection

__all__ = ["LinkProtocol", "closing_links"]

AnyLink = ClientConnection | ServerConnection

_open_transports: set[asyncio.Transport] = set()


@asynccontextmanager
async def closing_links() -> AsyncIterator[None]:
    """However the block is left, no connection stays open behind it."""
    try:
        yield
    finally:
        for transport in tuple(_open_transports):
            transport.abort()
        await asyncio.sleep(0)  # an aborted transport is closed at the loop's next turn
        _open_transports.clear()


class LinkProtocol(asyncio.Protocol):
    """Owns a transport and a link. ``make_link(now)`` makes the link; ``on_event(self, event)`` gets its events.

    Whoever calls a verb of `link` calls `flush` afterwards.
    """

    link: Any

    def __init__(self, make_link: Callable[[float], AnyLink], on_event: Callable[[LinkProtocol, Any], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._make_link = make_link
        self._on_event = on_event
        self._timer: asyncio.TimerHandle | None = None
        self._writable = True
        self.received = self.sent = 0

    def now(self) -> float:
        """The loop's clock, which is the link's."""
        return self._loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        _open_transports.add(transport)
        self.link = self._make_link(self.now())
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        try:
            self.link.receive_data(data, self.now())
        except RemoteProtocolError as error:
            print(f"  !! {error}")
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        _open_transports.discard(self._transport)
        self.link.receive_eof(self.now())
        self.flush()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.flush()

    def flush(self) -> None:
        """Hand out events, write what waits, set the timer, and close when the link says so."""
        for event in self.link.events():
            self._on_event(self, event)
        while self._writable and not self._transport.is_closing() and (frames := self.link.data_to_send()):
            self.sent += sum(map(len, frames))
            self._transport.writelines(frames)
        if self._timer is not None:
            self._timer.cancel()
        when = self.link.get_timer()
        self._timer = None if when is None else self._loop.call_at(when, self._on_timer)
        if self._writable and self.link.close_expected() is not None:
            self._transport.close()  # it writes first what it was given

    def _on_timer(self) -> None:
        self.link.handle_timer(self.now())
        self.flush()
