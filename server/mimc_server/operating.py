"""What a server has for whoever operates it: log lines, figures, and the admin socket."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from starlette.types import ASGIApp

from .admin import bind_admin_socket, make_admin_app, only_users, remove_socket
from .administration import Administration
from .http import HttpFrontend
from .observing import Journal, Metrics, tell
from .observing.endpoint import StoreFigures, metrics_app
from .service import ServiceEvent
from .settings import Address
from .store import Statistics

__all__ = ["Operating"]

MOST_CONNECTIONS = 32
"""Connections to the admin socket at a time, and to each address of the figures."""

ADMIN_PATIENCE = 3600.0
"""Seconds that a request of an admin may take: a backup is one."""


class Operating:
    """For a server whose service is there; gets every event of it. ``now`` is the server's clock."""

    def __init__(self, server: Administration) -> None:
        now = server.now
        self._server = server
        self._version = _version()
        self._most_bytes = server.settings.store.max_bytes
        self._figures = StoreFigures(self._count, now)
        self.journal = Journal(server.settings.log, now)
        self.metrics = Metrics(server.service.load, self._version)
        self.addresses: list[Address] = []
        """Where the figures are served, and nothing else."""

    def __call__(self, event: ServiceEvent) -> None:
        """For `ServiceRunner`."""
        self.metrics(event)
        self.journal(event)

    async def text(self) -> bytes:
        """What `/metrics` answers."""
        kept = await self._figures.latest()
        return self.metrics.text(None if kept is None else (kept, self._most_bytes))

    async def _count(self) -> Statistics:
        return (await self._server.statistics()).store

    async def listen(self, stack: contextlib.AsyncExitStack, host: str, port: int) -> Address:
        """Serve the figures at an address, until the stack is left. Raises `OSError` if it cannot be used."""
        frontend = HttpFrontend(metrics_app(self.text), max_connections=MOST_CONNECTIONS)
        bound = Address(*await frontend.listen(host, port))
        stack.push_async_callback(frontend.close)
        self.addresses.append(bound)
        return bound

    def admin_app(self) -> ASGIApp:
        """What answers at the admin socket."""
        return make_admin_app(self._server, self.text, self._version)

    def open_socket(self, stack: contextlib.AsyncExitStack, path: Path) -> None:
        """Open the admin socket, until the stack is left; not where the system has none. Raises `CannotOpenSocket`."""
        if not hasattr(socket, "AF_UNIX"):
            tell(logging.WARNING, "no-admin-socket", path=str(path))
            return
        sock = bind_admin_socket(path)
        inode = path.lstat().st_ino
        frontend = HttpFrontend(
            self.admin_app(),
            max_connections=MOST_CONNECTIONS,
            max_of_address=MOST_CONNECTIONS,
            patience=ADMIN_PATIENCE,
            welcome=only_users(os.geteuid(), 0),
        )
        frontend.serve(sock)
        stack.push_async_callback(frontend.close)
        stack.callback(remove_socket, path, inode)


def _version() -> str:
    try:
        return version("mimc-proto")
    except PackageNotFoundError:  # run from a checkout, not installed
        return "unknown"
