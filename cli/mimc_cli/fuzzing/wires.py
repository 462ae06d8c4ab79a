"""Connections to a server under test: TCP, TLS, and WebSocket over either."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from typing import Protocol

from mimc_proto import Framing, MimcError

__all__ = ["Closed", "Dialer", "Wire"]

CHUNK = 64 * 1024


class Closed(MimcError):  # noqa: N818 (says what happened)
    """The connection ended; ``problem`` says what it was that is no WebSocket, if that was why."""

    def __init__(self, problem: str = "") -> None:
        super().__init__(problem or "the server closed the connection")
        self.problem = problem


class Wire(Protocol):
    """One connection."""

    def send(self, frames: list[bytes]) -> None:
        """Write frames; what the server does not take in time is lost. Raises `Closed`."""

    def receive(self, timeout: float) -> list[bytes]:
        """What came, or [] if nothing does in so many seconds: pieces of the stream, or messages. Raises `Closed`."""

    def close(self) -> None:
        """Without more ado."""


class Dialer:
    """Opens connections to one address. ``tls`` is the context for TLS, ``host`` the name to check, ``timeout`` is in
    seconds, for opening and for writing."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        framing: Framing = Framing.TCP,
        host: str = "",
        tls: ssl.SSLContext | None = None,
        timeout: float = 5.0,
    ) -> None:
        self._address = address
        self._framing = framing
        self._host = host or address[0]
        self._tls = tls
        self._timeout = timeout

    def __call__(self) -> Wire:
        """Raises `OSError`."""
        sock = socket.create_connection(self._address, self._timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_hostname=self._host)
            wire = _TcpWire(sock, self._timeout)
            if self._framing is Framing.WEBSOCKET:
                secure = self._tls is not None
                return _WebSocketWire(wire, self._host, self._address[1], secure=secure, timeout=self._timeout)
        except BaseException:
            sock.close()
            raise
        return wire


class _TcpWire:
    def __init__(self, sock: socket.socket, timeout: float) -> None:
        self._socket = sock
        self._timeout = timeout

    def send(self, frames: list[bytes]) -> None:
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(b"".join(frames))
        except TimeoutError:
            pass  # it does not read: that it does not answer either will be found
        except OSError:
            raise Closed from None

    def receive(self, timeout: float) -> list[bytes]:
        try:
            self._socket.settimeout(max(timeout, 0.001))
            data = self._socket.recv(CHUNK)
        except (TimeoutError, ssl.SSLWantReadError):
            return []
        except OSError:
            raise Closed from None
        if not data:
            raise Closed
        return [data]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()


class _WebSocketWire:
    def __init__(self, wire: _TcpWire, host: str, port: int, *, secure: bool, timeout: float) -> None:
        """Shakes hands. Raises `OSError` if that does not come about."""
        from mimc_transports._link import need_websocket

        self._wire = wire
        self._socket = need_websocket()(host, port, secure=secure)
        self._early: list[bytes] = []
        until = time.monotonic() + timeout
        try:
            while not self._socket.opened:
                wire.send([self._socket.data_to_send()])
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError("no answer to the WebSocket handshake")
                for data in wire.receive(left):
                    self._early += self._take(data)
        except Closed:
            problem = self._socket.problem_at_end() or "the connection ended in the WebSocket handshake"
            raise ConnectionError(problem) from None

    def _take(self, data: bytes) -> list[bytes]:
        messages = self._socket.receive(data)
        if self._socket.problem:
            raise ConnectionError(self._socket.problem)
        return messages

    def send(self, frames: list[bytes]) -> None:
        self._socket.send(frames)
        self._wire.send([self._socket.data_to_send()])

    def receive(self, timeout: float) -> list[bytes]:
        messages, self._early = self._early, []
        if messages:
            return messages
        for data in self._wire.receive(timeout):
            try:
                messages += self._take(data)
            except ConnectionError as error:
                raise Closed(str(error)) from None
        if answers := self._socket.data_to_send():
            self._wire.send([answers])
        if self._socket.closed and not messages:
            raise Closed
        return messages

    def close(self) -> None:
        self._wire.close()
