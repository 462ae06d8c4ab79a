"""Runs an ASGI application on the running event loop, beside the service's own sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from ..sockets import listening_socket

__all__ = ["HttpFrontend"]

SHUTDOWN = 1
"""Seconds that answers under way get at the end."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the business of the program that we are a part of."""
        yield


class HttpFrontend:
    """Serves an application at one address of the running loop, until `close`."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=SHUTDOWN
        )
        self._server = _Server(config)
        self._running: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept requests at an address; port 0 takes a free one. Returns host and port. To be called once.

        Raises `OSError` if the address cannot be used.
        """
        sock, address = await listening_socket(host, port)  # connections wait in its queue until uvicorn is up
        self._running = asyncio.create_task(self._server.serve(sockets=[sock]))
        return address

    async def close(self) -> None:
        """Accept no more, and end when what is under way is answered."""
        self._server.should_exit = True
        if self._running is not None:
            await self._running
