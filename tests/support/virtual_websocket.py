"""WebSocket in front of a listener on a `Network`, without sockets."""

from __future__ import annotations

import logging
from collections.abc import Callable

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from mimc_proto.testing import Endpoint, Listener

__all__ = ["WebSocketListener"]

_silent = logging.Logger("tests.websocket", level=logging.CRITICAL)


class WebSocketListener:
    """What ``inner`` is, for those who speak WebSocket."""

    def __init__(self, inner: Listener) -> None:
        self.inner = inner

    def accept(self, now: float, wake: Callable[[], None]) -> Endpoint:
        """A connection arrived: see `Listener`."""
        return _WebSocketEndpoint(self.inner.accept(now, wake))


class _WebSocketEndpoint:
    """The server's side of one connection."""

    def __init__(self, inner: Endpoint) -> None:
        self._inner = inner
        self._protocol = ServerProtocol(logger=_silent)
        self._open = False
        self._close_at: float | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
                self._open = True
            elif isinstance(event, Frame) and event.opcode is Opcode.BINARY:
                self._inner.receive_data(bytes(event.data), now)
        if self._protocol.close_expected():
            self._close_at = now

    def data_to_send(self, max_bytes: int = 65536) -> list[bytes]:
        if self._open and not self._protocol.close_expected():
            for message in self._inner.data_to_send(max_bytes):
                self._protocol.send_binary(message)
            if self._inner.close_expected() is not None:
                self._protocol.send_close(1000)
        return [data for data in self._protocol.data_to_send() if data]

    def close_expected(self) -> float | None:
        return self._close_at if self._close_at is not None else self._inner.close_expected()

    def receive_eof(self, now: float) -> None:
        self._inner.receive_eof(now)

    def send_failed(self, now: float) -> None:
        self._inner.send_failed(now)

    def get_timer(self) -> float | None:
        return self._inner.get_timer()

    def handle_timer(self, now: float) -> None:
        self._inner.handle_timer(now)
