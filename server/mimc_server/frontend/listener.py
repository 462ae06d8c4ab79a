"""Accepts connections at one address."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl as _ssl
from collections.abc import Callable

from .admission import Admission, Place, source_of

__all__ = ["ACCEPT_PAUSE", "Listener"]

ACCEPT_PAUSE = 1.0
"""Seconds to wait when the system has no file descriptors left, as asyncio does."""

CANNOT_ACCEPT = "socket.accept() out of system resource"
"""What asyncio's own listeners say then."""

MakeProtocol = Callable[[str, Place], asyncio.Protocol]
"""Makes what speaks with a peer, by its host and its place. Its ``connection_lost`` may come without a
``connection_made``, or twice, and has the place left."""


class Listener:
    """Accepts connections while there are places, and has TLS shake hands with them."""

    def __init__(
        self,
        sock: socket.socket,
        admission: Admission,
        make_protocol: MakeProtocol,
        ssl: _ssl.SSLContext | None,
        handshake_timeout: float,
    ) -> None:
        self._socket = sock
        self._admission = admission
        self._make_protocol = make_protocol
        self._ssl = ssl
        self._handshake_timeout = handshake_timeout if ssl is not None else None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._accepting = self._loop.create_task(self._accept())

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    async def close(self) -> None:
        """Accept nothing more, and break off handshakes. May be called again, also while it runs."""
        tasks = [self._accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        self._socket.close()

    async def _accept(self) -> None:
        while True:
            try:
                sock, address = await self._loop.sock_accept(self._socket)
            except ConnectionAbortedError:  # the peer has gone already
                continue
            except OSError as error:  # no file descriptors
                if not self._admission.parking.drop_oldest():
                    self._loop.call_exception_handler({"message": CANNOT_ACCEPT, "exception": error})
                    await asyncio.sleep(ACCEPT_PAUSE)
                continue
            try:
                await self._admission.room()
            except asyncio.CancelledError:
                sock.close()
                raise
            host = str(address[0])
            self._admission.admit(source_of(host), sock, functools.partial(self._admitted, host))
            if self._ssl is None and self._handshakes:  # of many at once each is served before the next is accepted
                await asyncio.wait(self._handshakes)
            else:
                await asyncio.sleep(0)  # while connections wait, sock_accept does not

    def _admitted(self, host: str, sock: socket.socket, place: Place) -> None:
        protocol = self._make_protocol(host, place)
        task = self._loop.create_task(self._open(protocol, sock))
        self._handshakes.add(task)
        task.add_done_callback(functools.partial(self._opened, protocol, sock))

    async def _open(self, protocol: asyncio.Protocol, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self._loop.connect_accepted_socket(
            lambda: protocol,
            sock,
            ssl=self._ssl,
            ssl_handshake_timeout=self._handshake_timeout,
        )

    def _opened(self, protocol: asyncio.Protocol, sock: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        if task.cancelled() or task.exception() is not None:  # TLS that fails, or a peer that is gone already
            sock.close()
            protocol.connection_lost(None)  # uvloop, cancelled at the wrong moment, tells of the beginning only
