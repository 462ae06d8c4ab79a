"""Asks a database that no server uses: by a server of our own that listens nowhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx2
from anyio.from_thread import start_blocking_portal
from mimc_server.server import Server
from mimc_server.settings import Admin, Listen, Metrics, Settings
from mimc_server.store import StoreError

from .asking import AdminError, Ask, asking

__all__ = ["ask_database"]


@contextlib.contextmanager
def ask_database(settings: Settings) -> Iterator[Ask]:
    """The database of these settings, while no server uses it. Raises `AdminError`."""
    nowhere = {"listen": Listen(tcp=(), websocket=(), http=()), "metrics": Metrics(), "admin": Admin(socket=None)}
    server = Server(settings.model_copy(update=nowhere))
    with start_blocking_portal() as portal, contextlib.ExitStack() as stack:
        try:
            stack.enter_context(portal.wrap_async_context_manager(server))
        except StoreError as error:
            raise AdminError(str(error)) from error
        transport = httpx2.ASGITransport(app=server.operating.admin_app())

        async def request(method: str, target: str, **options: Any) -> httpx2.Response:
            async with httpx2.AsyncClient(transport=transport, base_url="http://mimc", trust_env=False) as client:
                return await client.request(method, target, **options)

        def send(method: str, target: str, params: dict[str, Any], body: dict[str, Any] | None) -> httpx2.Response:
            return portal.call(lambda: request(method, target, params=params, json=body))

        yield asking(send)
