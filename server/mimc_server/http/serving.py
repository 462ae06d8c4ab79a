"""Runs an ASGI application on the running event loop, beside the service's own sockets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl as _ssl
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import h11  # comes with uvicorn, whose connection this extends
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..sockets import listening_socket

__all__ = ["HttpFrontend"]

SHUTDOWN = 1
"""Seconds that answers under way get at the end."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of the program that we are a part of."""
        yield


class _Limits:
    """What connections may take, and whose they may be; ``open`` counts them by address."""

    def __init__(
        self, most: int, most_of_address: int, patience: float, welcome: Callable[[asyncio.Transport], bool]
    ) -> None:
        self.welcome = welcome
        self.most = most
        self.most_of_address = most_of_address
        self.patience = patience
        self.open: Counter[str] = Counter()

    def admit(self, address: str) -> bool:
        """Whether there is room for another connection of this address."""
        if self.open.total() >= self.most or self.open[address] >= self.most_of_address:
            return False
        self.open[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was admitted is gone."""
        self.open[address] -= 1
        if not self.open[address]:
            del self.open[address]


class _Connection(H11Protocol):
    """A connection that is cut when its peer is too slow.

    uvicorn limits only how long a connection is idle between two requests. Here every exchange has to be over some time
    after the connection came, or after the head of its request: whether the head, the body or the answer hangs.
    """

    def __init__(self, *args: Any, limits: _Limits, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = limits
        self._admitted: str | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self._limits.welcome(transport) and self._limits.admit(address):
            self._admitted = address
            self._restart()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._admitted is not None:
            self._limits.leave(self._admitted)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP. uvicorn would have two answers to one request, and any stranger could have it log that:
        here whoever answers the request is told that its peer is gone, and an answer under way just ends."""
        cycle = self.cycle
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._restart()

    def _restart(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(self._limits.patience, self.transport.abort)


class HttpFrontend:
    """Serves an application at one address of the running loop, until `close`.

    Connections beyond ``max_connections``, or beyond ``max_of_address`` of one address, are cut at once. ``patience``
    is how many seconds a request and its answer may take: a peer that sends or reads more slowly is cut. So is every
    connection at once for which ``welcome`` gives False.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_connections: int = 1_000,
        max_of_address: int = 250,
        patience: float = 30.0,
        welcome: Callable[[asyncio.Transport], bool] = lambda _: True,
    ) -> None:
        limits = _Limits(max_connections, max_of_address, patience, welcome)
        config = uvicorn.Config(
            app,
            http=functools.partial(_Connection, limits=limits),  # type: ignore[arg-type]  # it is only called
            log_config=None,
            log_level="error",  # any stranger can make it warn, as often as he likes
            access_log=False,
            proxy_headers=False,  # nobody here asks where a request says that it comes from
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=SHUTDOWN,
        )
        self._server = _Server(config)
        self._running: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int, ssl: _ssl.SSLContext | None = None) -> tuple[str, int]:
        """Accept requests at an address; port 0 takes a free one. Returns host and port. To be called once.

        With ``ssl`` it is HTTPS. Raises `OSError` if the address cannot be used.
        """
        sock, address = await listening_socket(host, port)
        self.serve(sock, ssl)
        return address

    def serve(self, sock: socket.socket, ssl: _ssl.SSLContext | None = None) -> None:
        """The same at a socket that listens already; it is closed in the end."""
        self._server.config.load()
        self._server.config.ssl = ssl  # uvicorn would make one of files only
        # connections wait in the socket's queue until uvicorn is up
        self._running = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def close(self) -> None:
        """Accept no more, and end when what is under way is answered."""
        self._server.should_exit = True
        if self._running is not None:
            await self._running
